"""Everything of one owner deleted from lake, archive and ledger; begun once, and finished whatever happens.

The order keeps each step from being undone by other work that comes between a kill and the next try: answers go before
the rows that a replay would make of them, the ledger's plants before the master data that a run would publish from it.
The audit trail says first what is to be done, and last that it is.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from harvester.care.entombing import BEGUN, DONE, STEP, tell
from harvester.care.rebuild import remains
from harvester.errors import ConfigError, LakeError, LedgerError
from harvester.intake import Progress
from harvester.lake import purge as held
from harvester.lake.atomic import remove, replace_with, unfinished
from harvester.lake.layout import Places
from harvester.lake.purge import Cut
from harvester.lake.quarantine import Quarantine
from harvester.state.kinship import Kin, Owned
from harvester.state.purges import Held, Purge, Purges
from harvester.state.snapshot import examine

_MOST_NAMED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What somebody wants to be deleted."""

    owner: str = field(repr=False)
    plants: frozenset[str] = frozenset()
    """Plants that are this owner's though that is not certain."""
    not_plants: frozenset[str] = frozenset()
    """Plants that are not, though that is not certain either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be deleted."""

    owner: str = field(repr=False)
    kin: Kin
    certain: Mapping[str, bool]
    """Its plants, and whether it is certain whose they are; without the ids that they went by before."""
    begun: Purge | None
    """The same, begun before and not done yet: that one is finished, whatever is asked now."""
    done_at: datetime | None
    """When it was done the last time."""
    unattributed: int
    """Plants of which no owner is known at all; they stay."""


@dataclass(slots=True)
class Found:
    """What there is of an owner, or was."""

    cut: Cut
    quarantined: int = 0
    ledger: Held | None = None
    copies: int = 0
    """Copies of the ledger: one that holds nothing of the owner takes their place."""
    aside: int = 0
    """Ledgers that a rebuild moved aside."""

    def add(self, more: Found) -> None:
        """Count *more* as well."""
        self.cut.add(more.cut)
        self.quarantined += more.quarantined
        self.ledger = more.ledger or self.ledger
        self.copies += more.copies
        self.aside += more.aside

    def facts(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "tables": {
                table: {"files": self.cut.files[table], "rows": rows} for table, rows in sorted(self.cut.rows.items())
            },
            "raw_answers": self.cut.answers,
            "quarantined": self.quarantined,
            "ledger": asdict(self.ledger) if self.ledger else None,
            "ledger_copies": self.copies,
            "ledgers_aside": self.aside,
            "bytes": self.cut.bytes,
            "unreadable": list(self.cut.damaged),
        }


def plan(purges: Purges, asked: Asked, configured: Collection[str]) -> Plan:
    """Find out what *asked* means; raises `ConfigError` for an owner nobody knows and for plants that are in doubt."""
    last = purges.of(asked.owner)
    begun = last if last is not None and last.done_at is None else None
    unattributed = purges.unattributed()
    done_at = last.done_at if last else None
    if begun is not None:
        certain = dict.fromkeys(sorted(begun.kin.plants), True)
        return Plan(
            owner=asked.owner, kin=begun.kin, certain=certain, begun=begun, done_at=None, unattributed=len(unattributed)
        )
    _refuse_unknown(asked.owner, {*purges.owners(), *configured}, known=last is not None)
    found = {each.plant_id: each for each in purges.attributed(asked.owner)}
    _refuse_doubt(asked, found, set(unattributed))
    chosen = {i: each.certain for i, each in found.items() if i not in asked.not_plants}
    chosen |= dict.fromkeys(asked.plants - chosen.keys(), False)
    return Plan(
        owner=asked.owner,
        kin=purges.kin(asked.owner, chosen),
        certain=dict(sorted(chosen.items())),
        begun=None,
        done_at=done_at,
        unattributed=len(set(unattributed) - chosen.keys()),
    )


def _refuse_unknown(owner: str, names: Collection[str], *, known: bool) -> None:
    if known or owner.strip().casefold() in {name.casefold() for name in names}:
        return
    near = _near(owner, names)
    like = f" Did you mean {' or '.join(near)}?" if near else ""
    raise ConfigError(
        f"{owner}: nobody knows this owner, {len(names)} others are known.{like} `harvester consent status` lists them."
    )


def _near(owner: str, names: Collection[str]) -> list[str]:
    """Return the few names that *owner* may be a slip for."""
    return difflib.get_close_matches(owner.casefold(), sorted(names), n=3)


def _refuse_doubt(asked: Asked, found: Mapping[str, Owned], unattributed: Collection[str]) -> None:
    """Refuse plants that are another's, and those that may be another's as long as nobody has named them."""
    for plant_id in sorted(asked.plants | asked.not_plants):
        if plant_id not in found and (plant_id in asked.not_plants or plant_id not in unattributed):
            raise ConfigError(f"plant {plant_id} did not come with {asked.owner}: nothing was deleted.")
    for plant_id in sorted(asked.not_plants):
        if found[plant_id].certain or plant_id in asked.plants:
            raise ConfigError(
                f"plant {plant_id} is certain to be of {asked.owner}, or was named as such: it cannot stay."
            )
    doubted = [e for i, e in sorted(found.items()) if not e.certain and i not in asked.plants | asked.not_plants]
    if doubted:
        lines = [f"  {e.plant_id}: or of {', '.join(e.others) or 'somebody unknown'}" for e in doubted[:_MOST_NAMED]]
        more = [f"  … and {len(doubted) - _MOST_NAMED} more"] if len(doubted) > _MOST_NAMED else []
        head = f"It is not certain that these plants are of {asked.owner}; nothing was deleted:"
        what_to_do = "Name each that is with --plant ID, and each that is not, and stays, with --not-plant ID."
        raise ConfigError("\n".join([head, *lines, *more, what_to_do]))


def look(places: Places, purges: Purges, file: Path, kin: Kin) -> Found:
    """Count what there is of the plants of *kin*, and change nothing; *file* is the ledger's."""
    found = Found(Cut(), quarantined=Quarantine(places).of(kin.plants)[0])
    held.answers_of(places, kin.plants, found.cut, _nobody, drop=False)
    for master in (False, True):
        held.rows_of(places, kin.plants, kin.devices, found.cut, _nobody, master=master, drop=False)
    found.ledger = purges.held(kin.plants)
    found.copies, found.aside = len(places.snapshot_days()), len(remains(file))
    return found


def _nobody() -> None:
    """Hear of a file that was looked at."""


class Purging:
    """One deletion, under the lake's lock."""

    def __init__(
        self, places: Places, purges: Purges, file: Path, *, by: str, wall: Callable[[], datetime], progress: Progress
    ) -> None:
        self._places = places
        self._purges = purges
        self._file = file
        self._by = by
        self._wall = wall
        self._progress = progress
        self._owner = ""
        self._found = Found(Cut())
        self._steps: Mapping[str, Callable[[Purge], None]] = {
            "raw": self._raw,
            "quarantine": self._quarantine,
            "tables": self._tables,
            "ledger": self._ledger,
            "master": self._master,
            "shred": self._purges.shred,
            "copies": self._copies,
        }

    def run(self, planned: Plan) -> Found:
        """Delete what is *planned*, or what of it is left, and return what was deleted this time.

        Raises `LakeError` and `LedgerError`: the same call goes on from there.
        """
        self._owner = planned.owner
        purge = planned.begun or self._purges.begin(planned.owner, planned.kin, self._wall())
        if not purge.done:
            self._tell(BEGUN, purge)
        self._progress.planned(len(self._places.packs()) + len(self._places.partitions()) + len(self._steps))
        behind = list(self._steps).index(purge.done) + 1 if purge.done else 0
        total = Found(Cut())
        for name, step in list(self._steps.items())[behind:]:
            self._found = Found(Cut())
            step(purge)
            self._tell(STEP, purge, {"step": name, **{key: n for key, n in self._found.facts().items() if n}})
            total.add(self._found)
            self._purges.record(purge, name)
            self._progress.advanced()
        self._tell(DONE, purge)
        self._progress.advanced()
        self._purges.finish(purge, self._wall())
        return total

    def _tell(self, what: str, purge: Purge, counts: Mapping[str, Any] | None = None) -> None:
        tell(self._places, what, purge, by=self._by, now=self._wall(), counts=counts)

    def _raw(self, purge: Purge) -> None:
        held.answers_of(self._places, purge.kin.plants, self._found.cut, self._progress.advanced, drop=True)
        self._refuse_damaged()

    def _quarantine(self, purge: Purge) -> None:
        self._found.quarantined += Quarantine(self._places).forget(purge.kin.plants)

    def _tables(self, purge: Purge) -> None:
        self._rows(purge, master=False)

    def _master(self, purge: Purge) -> None:
        self._rows(purge, master=True)

    def _rows(self, purge: Purge, *, master: bool) -> None:
        kin, told = purge.kin, self._progress.advanced
        held.rows_of(self._places, kin.plants, kin.devices, self._found.cut, told, master=master, drop=True)
        self._refuse_damaged()

    def _refuse_damaged(self) -> None:
        """Stop where nobody can tell what a file holds: all others are done, and come first the next time."""
        damaged = self._found.cut.damaged
        if damaged:
            raise LakeError(
                f"{len(damaged)} files cannot be read, so they may hold what is to be deleted. Delete them, or put "
                "them back whole from a backup, and run the same command again:\n  " + "\n  ".join(damaged)
            )

    def _ledger(self, purge: Purge) -> None:
        self._found.ledger = self._purges.held(purge.kin.plants)
        self._purges.forget(purge, self._owner, self._wall())

    def _copies(self, _purge: Purge) -> None:
        """Put a fresh copy of the ledger in the place of all others, and sweep what killed writers left.

        An old copy is of use where all newer ones are spoiled, so the fresh one is read whole before they go.
        """
        today, days = self._wall().date(), self._places.snapshot_days()
        self._copy(self._places.snapshot(today))
        for day in days:
            if day != today:
                remove(self._places.snapshot(day), root=self._places.own)
        aside = remains(self._file)
        for file in [*aside, *unfinished(self._places.root)]:
            remove(file, root=file.parent)
        self._found.copies, self._found.aside = len(days), len(aside)

    def _copy(self, file: Path) -> None:
        replace_with(file, self._purges.copy_to, mode=0o600)
        condition = examine(file)
        if condition.damage is not None:
            raise LedgerError(f"{file}: the fresh copy of the ledger is not whole ({condition.damage}). Run it again.")
