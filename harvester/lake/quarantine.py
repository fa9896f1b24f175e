"""Answers that could not be decoded, kept for a person to look at: mode 0600, 30 days, 1 GiB, then only counted."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from harvester.lake.atomic import replace_file
from harvester.lake.decode import Bad
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

    def _stored(self) -> int:
        if self._bytes is None:
            self._bytes = sum(file.stat().st_size for file in self.places.quarantine.glob("*"))
        return self._bytes
