"""Answers that could not be decoded, kept for a person to look at: mode 0600, 30 days, 1 GiB, then only counted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from harvester.lake.answers import Bad
from harvester.lake.atomic import remove, replace_file
from harvester.lake.layout import Places

KEEP = timedelta(days=30)
MOST_BYTES = 1024**3


@dataclass(slots=True)
class Quarantine:
    """The quarantine of one lake; one owner at a time, as for all that writes to a lake."""

    places: Places
    kept: int = 0
    only_counted: int = 0
    _bytes: int | None = None

    def keep(self, bad: Bad) -> None:
        """Keep the answer and the reason, or only count it where the quarantine is full."""
        size = len(bad.payload.body)
        if self._stored() + size > MOST_BYTES:
            self.only_counted += 1
            return
        asked = bad.payload.asked_at
        # With the slice in it: one error page may come in answer to many.
        digest = hashlib.sha256(f"{bad.payload.slice}\n".encode() + bad.payload.body).hexdigest()[:16]
        name = f"{asked:%Y%m%dT%H%M%S}-{digest}"
        facts = {
            "slice": str(bad.payload.slice),
            "asked_at": asked.isoformat(),
            "reason": bad.reason,
            "body": f"{name}.body",
        }
        replace_file(self.places.quarantine / f"{name}.body", bad.payload.body, mode=0o600)
        replace_file(self.places.quarantine / f"{name}.json", json.dumps(facts, indent=2).encode(), mode=0o600)
        self._bytes = self._stored() + size
        self.kept += 1

    def clear(self, now: datetime) -> None:
        """Remove what is older than `KEEP`."""
        for file in self.places.quarantine.glob("*"):
            if now.timestamp() - file.stat().st_mtime > KEEP.total_seconds():
                file.unlink(missing_ok=True)
        self._bytes = None

    def since(self, moment: datetime) -> int:
        """Return how many answers are kept that were asked for since *moment* (aware UTC)."""
        return sum(1 for file in self.places.quarantine.glob("*.json") if file.name >= f"{moment:%Y%m%dT%H%M%S}")

    def of(self, plants: Collection[str]) -> tuple[int, list[Path]]:
        """Return how many answers of *plants* there are, and their files.

        Bodies without facts are among the files: a writer was killed between the two, and nobody can tell whose they
        are. What cannot be read as facts tells nothing either.
        """
        mine: set[str] = set()
        others: set[str] = set()
        for file in self.places.quarantine.glob("*.json"):
            series = _slice_of(file).partition("/")[0]
            (mine if not series or series in plants else others).add(file.stem)
        files = sorted(self.places.quarantine.glob("*"))
        return len(mine), [file for file in files if file.stem not in others]

    def forget(self, plants: Collection[str]) -> int:
        """Remove the answers of *plants* and return how many there were; raises `LakeError`."""
        answers, files = self.of(plants)
        for file in sorted(files, key=lambda file: file.suffix):  # bodies first: their facts say whose they are
            remove(file, root=self.places.own)
        self._bytes = None
        return answers

    def _stored(self) -> int:
        if self._bytes is None:
            self._bytes = sum(file.stat().st_size for file in self.places.quarantine.glob("*"))
        return self._bytes


def _slice_of(facts: Path) -> str:
    """Return what was asked, as written down beside an answer; empty where that cannot be read."""
    try:
        told = json.loads(facts.read_bytes())
    except (OSError, ValueError):
        return ""
    return str(told.get("slice", "")) if isinstance(told, dict) else ""
