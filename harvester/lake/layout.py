"""Where everything in a lake lies: the only module that spells a path.

::

    <root>/<table>/date=YYYY-MM-DD/part-NNNNN.parquet   measurements and revisions, by plant-local day
    <root>/<table>/year=YYYY/part-NNNNN.parquet         energies by day and by month, by year of their start
    <root>/<table>/part-NNNNN.parquet                   energies by year; master data
    <root>/_harvester/                                  everything that is not data
    <root>/_harvester/raw/<table>/week=YYYY-MM-DD/part-NNNNN-<hash>.pack   answers as they came
    <root>/_harvester/snapshots/ledger-YYYYMMDD.db                         copies of the ledger
    <root>/_harvester/audit.jsonl                                          who deleted what
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath

from harvester.model import WHOLE, Shard

_PATTERN = re.compile(
    r"(?P<table>[a-z][a-z0-9_]*)/"
    r"(?:date=(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})/|year=(?P<year>[0-9]{4})/)?"
    r"part-(?P<part>[0-9]{5}|[1-9][0-9]{5,})\.parquet"
)

_PACK = re.compile(
    r"(?P<table>[a-z][a-z0-9_]*)/"
    r"week=(?P<week>[0-9]{4}-[0-9]{2}-[0-9]{2})/"
    r"part-(?P<part>[0-9]{5}|[1-9][0-9]{5,})-(?P<digest>[0-9a-f]{16})\.pack"
)
_SNAPSHOT = re.compile(r"ledger-(?P<day>[0-9]{8})\.db")


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One table's file of one plant-local day, or of one year, and one part."""

    table: str
    day: date | None
    """None for what is not kept by day."""
    part: int
    """Which share of the plants: a plant's part never changes."""
    year: int | None = None
    """Of tables by day and by month; None for all others. A partition has a day, a year, or neither."""

    @property
    def path(self) -> PurePosixPath:
        """Path below the lake's root."""
        folder = PurePosixPath(self.table)
        if self.day is not None:
            folder /= f"date={self.day.isoformat()}"
        elif self.year is not None:
            folder /= f"year={self.year:04d}"
        return folder / f"part-{self.part:05d}.parquet"

    @classmethod
    def parse(cls, path: PurePosixPath | str) -> Partition:
        """Read a path below the lake's root back; raise ValueError for one that is no partition's."""
        found = _PATTERN.fullmatch(str(path))
        if not found:
            raise ValueError(f"not a partition of the lake: {path}")
        day, year = found["day"], found["year"]
        of_day = date.fromisoformat(day) if day else None
        return cls(found["table"], of_day, int(found["part"]), int(year) if year else None)


@dataclass(frozen=True, slots=True, order=True)
class Pack:
    """One file of the raw archive: answers to one measurement set, asked for dates of one week, of one part."""

    table: str
    week: date
    """The Monday on or before the dates that were asked for."""
    part: int
    digest: str
    """What tells the packs of one table, week and part apart: sixteen hexadecimal digits."""

    @property
    def path(self) -> PurePosixPath:
        """Path below the folder of the raw archive."""
        folder = PurePosixPath(self.table) / f"week={self.week.isoformat()}"
        return folder / f"part-{self.part:05d}-{self.digest}.pack"

    @classmethod
    def parse(cls, path: PurePosixPath | str) -> Pack:
        """Read a path below the folder of the raw archive back; raise ValueError for one that is no pack's."""
        found = _PACK.fullmatch(str(path))
        if not found:
            raise ValueError(f"not a pack of the raw archive: {path}")
        return cls(found["table"], date.fromisoformat(found["week"]), int(found["part"]), found["digest"])


@dataclass(frozen=True, slots=True)
class Places:
    """The files of one lake that are not data, all below ``<root>/_harvester``."""

    root: Path

    @property
    def own(self) -> Path:
        """The folder that readers of data never look into."""
        return self.root / "_harvester"

    @property
    def identity(self) -> Path:
        """Format version, lake id, monitoring host and part rule."""
        return self.own / "lake.json"

    def lock(self, shard: Shard = WHOLE) -> Path:
        """Held by the one process that writes, or by the one that writes the parts of *shard*."""
        return self.own / ("lock" if shard.whole else f"lock-{shard.index}-of-{shard.of}")

    def shard_locks(self) -> list[Path]:
        """Return the locks of shards that are or were held."""
        return sorted(self.own.glob("lock-*-of-*"))

    @property
    def registry(self) -> Path:
        """Sets, channels and odd names that no document told of."""
        return self.own / "registry.json"

    @property
    def quarantine(self) -> Path:
        """Answers that could not be decoded."""
        return self.own / "quarantine"

    @property
    def raw(self) -> Path:
        """Answers that settled days, as they came."""
        return self.own / "raw"

    @property
    def replays(self) -> Path:
        """When answers of the raw archive were replayed, and with which corrected zones."""
        return self.raw / "replays.json"

    @property
    def snapshots(self) -> Path:
        """Copies of the ledger."""
        return self.own / "snapshots"

    @property
    def audit(self) -> Path:
        """Who deleted what, and when; written to its end and never changed."""
        return self.own / "audit.jsonl"

    def snapshot(self, day: date) -> Path:
        """Where the copy of the ledger lies that was made on *day* (UTC)."""
        return self.snapshots / f"ledger-{day:%Y%m%d}.db"

    def snapshot_days(self) -> list[date]:
        """Return the days of the copies of the ledger that are there, ascending."""
        found = (_SNAPSHOT.fullmatch(file.name) for file in self.snapshots.glob("ledger-*.db"))
        return sorted(date.fromisoformat(match["day"]) for match in found if match)

    def pack(self, pack: Pack) -> Path:
        """Where *pack* lies."""
        return self.raw / pack.path

    def packs(self, table: str = "*", week: date | None = None, part: int | None = None) -> list[Pack]:
        """Return the packs that are there, all or those of one table, week or part, ascending."""
        weeks = f"week={week.isoformat() if week else '*'}"
        files = self.raw.glob(f"{table}/{weeks}/part-{'*' if part is None else f'{part:05d}'}-*.pack")
        found = []
        for file in files:
            with contextlib.suppress(ValueError):
                found.append(Pack.parse(file.relative_to(self.raw).as_posix()))
        return sorted(found)

    def file(self, partition: Partition) -> Path:
        """Where *partition* lies."""
        return self.root / partition.path

    def partitions(self, table: str | None = None) -> list[Partition]:
        """Return every partition that is there, ascending; a file that somebody else put there is none."""
        files = self.root.glob(f"{table or '[a-z]*'}/**/part-*.parquet")
        found = []
        for file in files:
            with contextlib.suppress(ValueError):
                found.append(Partition.parse(file.relative_to(self.root).as_posix()))
        return sorted(found, key=lambda p: (p.table, p.day or date.min, p.year or 0, p.part))

    def tables(self) -> list[str]:
        """Return the names of the tables that are there, ascending."""
        if not self.root.is_dir():
            return []
        return sorted(f.name for f in self.root.iterdir() if f.is_dir() and re.fullmatch(r"[a-z][a-z0-9_]*", f.name))
