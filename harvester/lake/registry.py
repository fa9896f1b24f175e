"""Sets and channels that no document told of, recorded in the lake before the first file that holds them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from harvester.catalog import ENERGY_SETS, SETS
from harvester.errors import LakeError
from harvester.lake import naming, schema
from harvester.lake.atomic import refusal, replace_file
from harvester.lake.schema import Shape, TableSchema
from harvester.model import Level, Period


class _Channel(msgspec.Struct, frozen=True):
    """A channel found on the wire: SMA's name, how it comes, its column."""

    name: str
    shape: Shape
    column: str


class _Table(msgspec.Struct):
    """A table that the registry adds to: its level, SMA's name of the set, the extra channels in order."""

    level: Level
    set: str
    channels: list[_Channel] = []
    period: Period | None = None
    """The period view that it holds; None for the intervals of a day."""


class _Content(msgspec.Struct):
    tables: dict[str, _Table] = {}


class Registry:
    """What the tables look like now: the catalogue, and what this lake has seen beyond it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content = _read(path)
        self._saved = msgspec.json.encode(self._content)
        self._schemas: dict[tuple[Level, str, Period | None], TableSchema] = {}

    def table(self, level: Level, measurement_set: str, period: Period | None = None) -> TableSchema:
        """Return the schema of *measurement_set* at *level*; a set in no document is recorded first.

        *period* asks for the table of that view instead of the one of the intervals of a day.
        """
        key = (level, measurement_set, period)
        if key not in self._schemas:
            built = self._build(level, measurement_set)
            self._schemas[key] = built if period is None else self._view(built, period)
        return self._schemas[key]

    def learn(self, table: TableSchema, found: Iterable[tuple[str, Shape]]) -> TableSchema:
        """Record the channels *found* on the wire and return the schema that holds them."""
        key = (table.level, table.set, table.period)
        wanted = list(dict.fromkeys(found))
        table = self.table(*key)  # the given one may lack what another answer has brought
        if all(channel in table.names for channel in wanted):
            return table
        with self._newest():
            self._record(self.table(*key), [channel for channel in wanted if channel not in self.table(*key).names])
        self._schemas.pop(key, None)
        return self.table(*key)

    def _record(self, table: TableSchema, new: Iterable[tuple[str, Shape]]) -> None:
        entry = self._content.tables.setdefault(table.table, _Table(table.level, table.set, period=table.period))
        for name, shape in new:
            entry.channels.append(_Channel(name, shape, self._free_column(table, entry, name, shape)))
        self._save()

    def tables(self) -> list[TableSchema]:
        """Return every table of the catalogue and of the registry, by name."""
        documented = [(level, s.name, None) for s in SETS.values() for level in s.levels]
        views = [(Level.PLANT, name, period) for name in ENERGY_SETS for period in naming.ROWS_OF]
        recorded = [(entry.level, entry.set, entry.period) for entry in self._content.tables.values()]
        known = {self.table(*key).table: self.table(*key) for key in [*documented, *views, *recorded]}
        return [known[name] for name in sorted(known)]

    def _build(self, level: Level, measurement_set: str) -> TableSchema:
        table = self._recorded(level, measurement_set) or self._free_table(level, measurement_set)
        if measurement_set not in SETS and table not in self._content.tables:
            with self._newest():
                table = self._recorded(level, measurement_set) or self._free_table(level, measurement_set)
                self._content.tables.setdefault(table, _Table(level, measurement_set))
                self._save()
        return schema.build(level, measurement_set, table, self._extra(table))

    def _recorded(self, level: Level, measurement_set: str) -> str | None:
        recorded = self._content.tables.items()
        wanted = (level, measurement_set, None)
        return next((name for name, entry in recorded if (entry.level, entry.set, entry.period) == wanted), None)

    def _free_table(self, level: Level, measurement_set: str) -> str:
        table = naming.table_name(level, measurement_set)
        if table in self._content.tables or (measurement_set not in SETS and table in _documented_tables(level)):
            return f"{level.value}_{naming.hashed(measurement_set)}"
        return table

    @contextmanager
    def _newest(self) -> Iterator[None]:
        """Change what is on disk now: daemons that share a lake learn side by side, and none undoes another."""
        folder = self._path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY)
        except OSError as error:
            raise refusal(self._path, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._content = _read(self._path)
            self._saved = msgspec.json.encode(self._content)
            self._schemas.clear()
            yield
        finally:
            os.close(descriptor)

    def _view(self, of: TableSchema, period: Period) -> TableSchema:
        table = naming.by_period(of.table, period)
        return schema.build(of.level, of.set, table, self._extra(table), period)

    def _extra(self, table: str) -> dict[tuple[str, Shape], str]:
        recorded = self._content.tables
        return {(c.name, c.shape): c.column for c in recorded[table].channels} if table in recorded else {}

    @staticmethod
    def _free_column(table: TableSchema, entry: _Table, name: str, shape: Shape) -> str:
        taken = {column for (_, s), column in table.names.items() if s is shape}
        taken |= {channel.column for channel in entry.channels if channel.shape is shape}
        column = naming.channel_column(name)
        while column in taken:
            column, name = naming.hashed(name), f"{name}+"
        return column

    def _save(self) -> None:
        content = msgspec.json.encode(self._content)
        try:
            replace_file(self._path, msgspec.json.format(content) + b"\n")
        except LakeError:
            self._content = msgspec.json.decode(self._saved, type=_Content)  # what is not on disk is not recorded
            raise
        self._saved = content


def _documented_tables(level: Level) -> set[str]:
    return {naming.table_name(level, name) for name in SETS}


def _read(path: Path) -> _Content:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Content)
    except FileNotFoundError:
        return _Content()
    except (OSError, msgspec.MsgspecError) as error:
        raise LakeError(
            f"{path}: the registry of tables cannot be read: {error}. Restore it from a backup; nothing was changed."
        ) from error
