"""A ledger that was lost, made again: its newest snapshot, and what the lake has gained since as days to ask again."""

from __future__ import annotations

import contextlib
import errno
import glob
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial
from itertools import count
from pathlib import Path

from harvester.care.entombing import entomb
from harvester.errors import LakeError, LedgerError
from harvester.lake import evidence
from harvester.lake.atomic import replace_with
from harvester.lake.evidence import DayRows, Listed
from harvester.lake.lake import Identity, read_identity
from harvester.lake.layout import Places
from harvester.lake.registry import Registry
from harvester.model import Plant, Series
from harvester.questions.aliases import Aliases
from harvester.state.database import connect, unusable
from harvester.state.inventory import Inventory
from harvester.state.ledger import LAKE_ID, Ledger, Read
from harvester.state.purges import Purges
from harvester.state.restoration import Restoration
from harvester.state.snapshot import Condition, copy_ledger, examine, refuse_newer

_LOGS = ("-wal", "-shm", "-journal")
"""What SQLite lays beside a database. It knows them by their names alone: beside another database they change it."""
_FILES = (*_LOGS, "")
"""Files of one database, the logs before what they belong to: they must never be left behind for another one."""

_WITHOUT_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK}
"""What a file system says that knows no second name for a file."""
_UNREAD = ("unable to open", "locked", "readonly")
"""What SQLite says of a database that it cannot look into."""


@dataclass(slots=True)
class Rebuilt:
    """What a rebuild found."""

    snapshot: date | None = None
    """Day (UTC) of the snapshot that was restored; None where none was."""
    passed_over: list[str] = field(default_factory=list)
    """Snapshots that could not be used, with the reason."""
    aside: Path | None = None
    """Where the ledger is that was in place before, or what was left of it: its log."""
    plants: int = 0
    """Plants that the snapshot did not know."""
    again: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Series-days to ask again, by level and set."""
    purges: int = 0
    """Deletions on an owner's wish that were begun and are to be finished."""


def rebuild(places: Places, file: Path, *, force: bool, now: datetime) -> Rebuilt:
    """Make the ledger of the lake at *places* again in *file*; to be called under the lake's lock.

    Raises `LedgerError` where a healthy ledger is in place, unless *force* is given, and for a snapshot of a newer
    version, and where the system does not let it write; `LakeError` where the lake cannot be read. Until the very end
    nothing that is there is touched.
    """
    identity = read_identity(places)
    if identity is None:
        raise LakeError(f"{places.root}: there is no lake, so there is nothing to rebuild a ledger from.")
    if not force:
        _refuse_in_use(file, identity)
    done = Rebuilt()
    fresh = file.with_name(f".{file.name}.rebuilding")
    try:
        with _refused(file):
            for left in _half_made(file):
                left.unlink(missing_ok=True)
            done.snapshot = _restore(places, identity, fresh, done.passed_over)
        engine = connect(fresh)
        try:
            per_file = identity.plants_per_file
            ledger, inventory = Ledger(engine), Inventory(engine, plants_per_file=per_file)
            ledger.record(LAKE_ID, identity.lake_id)
            restoration = Restoration(engine, plants_per_file=per_file)
            purges = Purges(engine)
            entomb(places, purges, now, done=True)
            _Evidence(places, ledger, inventory, restoration, done, now).take_in()
            done.purges = entomb(places, purges, now, done=False)
            # a copy by SQLite, which reads its log too: what a full disk kept out of the file is not lost
            done.aside = _put(partial(copy_ledger, engine), file, now)
        finally:
            engine.dispose()
    finally:
        with contextlib.suppress(OSError):  # where nothing may be written, nothing may be removed either
            _remove(fresh)
    return done


@contextmanager
def _refused(file: Path) -> Iterator[None]:
    """Tell what the system does not allow beside *file* as a `LedgerError`."""
    try:
        yield
    except OSError as error:
        raise unusable(file, error) from error


def _refuse_in_use(file: Path, identity: Identity) -> None:
    if not file.exists():
        return
    condition = examine(file)
    refuse_newer(condition)
    if condition.damage is not None:
        _refuse_unread(file, condition.damage)
        return
    owner = (condition.facts or {}).get(LAKE_ID)
    if owner == identity.lake_id:
        raise LedgerError(f"{file}: a healthy ledger of this lake is in place. --force moves it aside and rebuilds it.")
    raise LedgerError(
        f"{file}: a healthy ledger of {f'the lake {owner}' if owner else 'no lake'} is in place. "
        "Is ledger.url right? --force moves it aside."
    )


def _refuse_unread(file: Path, reason: str) -> None:
    """Refuse a ledger that is not damaged for all that is known: it could not be looked into."""
    if any(sign in reason for sign in _UNREAD):
        raise LedgerError(
            f"{file}: nobody can tell whether the ledger in place is whole ({reason}). Check its owner and mode, and "
            "who has it open, and run again; --force moves it aside as it is."
        )


def _restore(places: Places, identity: Identity, fresh: Path, passed_over: list[str]) -> date | None:
    """Copy the newest snapshot that is whole and of this lake; a newer version is refused, not passed over."""
    fresh.parent.mkdir(parents=True, exist_ok=True)
    for day in reversed(places.snapshot_days()):
        condition = _copied(places.snapshot(day), fresh)
        refuse_newer(condition)
        owner = (condition.facts or {}).get(LAKE_ID)
        if condition.damage is None and owner == identity.lake_id:
            return day
        passed_over.append(f"{condition.file}: {condition.damage or f'it belongs to the lake {owner}'}")
        _remove(fresh)
    return None


def _copied(snapshot: Path, fresh: Path) -> Condition:
    """Copy *snapshot* and return what the copy says: what lies beside a snapshot is no part of it, and not read."""
    if not snapshot.is_file():
        return examine(snapshot)
    try:
        shutil.copyfile(snapshot, fresh)
    except PermissionError as error:
        return Condition(file=snapshot, damage=f"it cannot be read ({error.strerror})")
    return replace(examine(fresh), file=snapshot)


def _put(copy: Callable[[Path], object], file: Path, now: datetime) -> Path | None:
    """Have *copy* write a ledger that takes the place of *file*, and return where the one went that was there."""
    aside: Path | None = None

    def write(temporary: Path) -> None:
        nonlocal aside
        copy(temporary)
        aside = _move_aside(file, now)  # not before there is room for the new one

    try:
        replace_with(file, write, mode=0o600)
    except LakeError as error:
        if isinstance(error.__cause__, OSError):
            raise unusable(file, error.__cause__) from error
        raise
    return aside


def _move_aside(file: Path, now: datetime) -> Path | None:
    """Keep *file* and its logs aside, also logs that are there without it; return what is kept, or its log.

    *file* itself stays in place as well until the new one takes it: wherever a kill comes, there is a ledger.
    """
    aside = _free_name(file, now)
    moved: list[Path] = []
    for suffix in _LOGS:
        with contextlib.suppress(FileNotFoundError):
            moved.append(Path(f"{file}{suffix}").rename(f"{aside}{suffix}"))
    if not _linked(file, aside):
        return moved[0] if moved else None
    for suffix in _LOGS:  # whoever asked the old one meanwhile may have begun new logs; nothing is in them
        Path(f"{file}{suffix}").unlink(missing_ok=True)
    return aside


def _free_name(file: Path, now: datetime) -> Path:
    """Return a name for *file* to be kept under, which nothing has but *file*: a rebuild that failed gave it to it."""
    names = (f"{file.name}.aside-{now:%Y%m%dT%H%M%S}{f'-{number}' if number > 1 else ''}" for number in count(1))
    asides = (file.with_name(name) for name in names)
    return next(aside for aside in asides if not aside.exists() or (file.exists() and aside.samefile(file)))


def _linked(file: Path, aside: Path) -> bool:
    """Give *file* the name *aside* too; False where there is none."""
    try:
        aside.hardlink_to(file)
    except FileNotFoundError:
        return False
    except FileExistsError:
        if not aside.samefile(file):
            raise
    except OSError as error:
        if error.errno not in _WITHOUT_LINKS:
            raise
        file.rename(aside)
    return True


def remains(file: Path) -> list[Path]:
    """Return the ledgers that rebuilding *file* has moved aside, and what a rebuild left that was killed."""
    return sorted({*file.parent.glob(f"{glob.escape(file.name)}.aside-*"), *_half_made(file)})


def _half_made(file: Path) -> list[Path]:
    return list(file.parent.glob(f".{glob.escape(file.name)}.*"))


def _remove(file: Path) -> None:
    for suffix in _FILES:
        Path(f"{file}{suffix}").unlink(missing_ok=True)


class _Evidence:
    """What the lake shows, on its way into a restored ledger."""

    def __init__(
        self,
        places: Places,
        ledger: Ledger,
        inventory: Inventory,
        restoration: Restoration,
        done: Rebuilt,
        now: datetime,
    ) -> None:
        self._places = places
        self._ledger = ledger
        self._inventory = inventory
        self._restoration = restoration
        self._done = done
        self._now = now

    def take_in(self) -> None:
        """Take in master data, and the days of which the lake holds rows."""
        for alias in evidence.aliases(self._places):
            self._inventory.add_alias(alias.level, alias.old_id, alias.new_id, alias.since)
        listed = list(evidence.listed(self._places))
        plants = {each.what.plant_id: each for each in listed if isinstance(each.what, Plant)}
        known = {known.plant.plant_id for known in self._inventory.plants()}
        for part, days in evidence.day_rows(self._places, Registry(self._places.registry)):
            for plant_id in {day.series.plant_id for day in days} - known:
                self._add(plants.get(plant_id) or _unlisted(plant_id, self._now), part)
                known.add(plant_id)
            self._reopen(part, days)
        for plant_id in plants.keys() - known:
            self._add(plants[plant_id], None)
        for each in listed:
            if not isinstance(each.what, Plant):
                self._restoration.device(each.what, first_seen=each.first_seen, last_seen=each.last_seen)

    def _add(self, each: Listed, part: int | None) -> None:
        assert isinstance(each.what, Plant)  # noqa: S101 - taken from among the plants
        seen = {"first_seen": each.first_seen, "last_seen": each.last_seen}
        self._done.plants += self._restoration.plant(each.what, part, **seen, withdrawn_at=each.withdrawn_at)

    def _reopen(self, part: int, days: Iterable[DayRows]) -> None:
        """Have the days asked again that the lake holds rows of and the ledger does not know as settled."""
        by_series = self._as_asked(part, days)
        if not by_series:
            return
        ids = self._restoration.series(by_series, part, self._now)
        every = [each.day for some in by_series.values() for each in some]
        known = self._ledger.days(list(ids.values()), min(every), max(every))
        reads: list[Read] = []
        for series, some in by_series.items():
            new = [each for each in some if each.day not in known[ids[series]].settled]
            self._done.again[series.level.value, series.set] += len({each.day for each in new})
            reads.extend(_unsettled(ids[series], each, self._now) for each in new)
        self._ledger.commit(reads)

    def _as_asked(self, part: int, days: Iterable[DayRows]) -> dict[Series, list[DayRows]]:
        """Group *days* by the series that were asked: after a migration, rows carry the ids that the answer named."""
        known = {each.series for each in self._inventory.every_series(part)}
        aliases = Aliases.of(self._inventory.aliases())
        found: dict[Series, list[DayRows]] = {}
        for each in days:
            before = aliases.before(each.series)
            asked = before if each.series not in known and before in known else each.series
            found.setdefault(asked, []).append(each)
        return found


def _unsettled(series_id: int, found: DayRows, now: datetime) -> Read:
    return Read(series_id=series_id, day=found.day, rows=found.rows, asked_at=found.changed_at, next_at=now)


def _unlisted(plant_id: str, now: datetime) -> Listed:
    """Return a plant of which nothing but its rows is left; the next plant list tells the rest."""
    return Listed(Plant(plant_id=plant_id, name="", timezone="UTC"), now, now, None)
