"""The audit trail of a lake: one line of JSON for each thing that was deleted for good, never changed, mode 0600.

It outlives the ledger, so that one which is made again knows what must not come back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from harvester.errors import LakeError
from harvester.lake.atomic import refusal
from harvester.lake.layout import Places


def record(places: Places, entry: Mapping[str, Any]) -> None:
    """Add *entry* to the trail, durably; raises `LakeError`."""
    path = places.audit
    line = json.dumps(entry, ensure_ascii=False, sort_keys=True).encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            _write(descriptor, b"\n" + line if torn else line)  # a line that a full disk cut off stays by itself
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _sync_folder(places)
    except OSError as error:
        raise refusal(path, error) from error


def entries(places: Places) -> Iterator[dict[str, Any]]:
    """Yield the trail, oldest first; a line that was cut off tells nothing. Raises `LakeError`."""
    try:
        lines = places.audit.read_bytes().splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise LakeError(f"{places.audit}: the audit trail cannot be read: {error.strerror}") from error
    for line in lines:
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def _write(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _sync_folder(places: Places) -> None:
    descriptor = os.open(places.own, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
