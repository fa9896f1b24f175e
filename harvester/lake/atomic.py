"""Replace a file so that a reader, and a crash at any moment, sees the old one or the new one and nothing between."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from harvester.errors import Full, LakeError

TEMPORARY = ".tmp"
"""Suffix of unfinished files; it never matches ``*.parquet``."""


def replace_file(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replace *path* by *content*; raise `LakeError` where it cannot be written."""
    replace_with(path, lambda temporary: temporary.write_bytes(content), mode=mode)


def replace_with(path: Path, write: Callable[[Path], object], *, mode: int = 0o644) -> None:
    """Let *write* fill a temporary file, then put it in the place of *path*, durably.

    The order is what makes it safe: the content reaches the disk before the name does, and the folder that holds
    the name is synchronised last. Raises `LakeError`; the temporary file is removed then.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(mode=0o600)  # nobody else may read it before its mode is set
        write(temporary)
        temporary.chmod(mode)
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        _forget(temporary)
        raise refusal(path, error) from error
    except BaseException:
        _forget(temporary)
        raise


def _forget(temporary: Path) -> None:
    with contextlib.suppress(OSError):  # where nothing could be made, nothing may be removable either
        temporary.unlink(missing_ok=True)


def remove(path: Path, *, root: Path) -> None:
    """Remove *path*, durably, and the folders below *root* that it leaves empty; raise `LakeError` where it stays."""
    try:
        path.unlink(missing_ok=True)
        folder = path.parent
        with contextlib.suppress(OSError):  # one that holds other files is to stay
            while folder != root:
                folder.rmdir()
                folder = folder.parent
        _sync(folder)
    except OSError as error:
        raise refusal(path, error) from error


def unfinished(folder: Path) -> list[Path]:
    """Return what writers that were killed left below *folder*; whoever asks must be the one writer."""
    return sorted(folder.rglob(f".*{TEMPORARY}*"))


def forget_unfinished(folder: Path, before: datetime) -> int:
    """Delete what killed writers left below *folder* and nobody has touched since *before*; return how much."""
    gone = 0
    for file in unfinished(folder):
        with contextlib.suppress(OSError):  # one that somebody else has finished or deleted meanwhile
            if file.stat().st_mtime < before.timestamp():
                file.unlink()
                gone += 1
    return gone


def refusal(path: Path, error: OSError) -> LakeError:
    """Say what a failed write means and what to do about it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Full(f"{path}: no space is left. Nothing already there was touched; make room and run again.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return LakeError(f"{path}: not writable ({error.strerror}). Check owner and mode of the lake's folder.")
    return LakeError(f"{path}: cannot be written: {error.strerror or error}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
