"""What was ever visible: plants and their part of the lake, devices, measurement sets, aliases."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection, Engine, RowMapping

from harvester.model import Device, Plant, Series
from harvester.state.tables import ALIAS, DEVICE, PLANT, SERIES, from_seconds, portions, to_seconds
from harvester.state.tombstones import highest_ordinal, purged


@dataclass(frozen=True, slots=True)
class KnownPlant:
    """A plant that is or was visible."""

    plant: Plant
    part: int
    first_seen: datetime
    last_seen: datetime
    explored_at: datetime | None
    """When its devices and sets were last enumerated as a whole."""
    withdrawn_at: datetime | None
    missing_since: datetime | None = None
    """Since when it is not listed any more."""
    missing_count: int = 0
    """In how many plant lists in a row it was missing."""
    traced_at: datetime | None = None
    """When it was last asked where it went."""
    moved_to: str | None = None
    """The id that SMA redirects it to."""


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """A device that is or was listed."""

    device: Device
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class KnownSeries:
    """A measurement set that is or was offered."""

    series_id: int
    part: int
    series: Series
    minutes: int | None = None
    """Length of its intervals, None while no row has come."""
    newest: datetime | None = None
    """End of its newest row's interval."""
    lag: int | None = None
    """Seconds from the end of an interval until SMA serves its row, as learned by asking."""
    gone_at: datetime | None = None
    """Since when the set is not offered any more."""


@dataclass(frozen=True, slots=True)
class KnownAlias:
    """An id that SMA redirected to another."""

    level: str
    old_id: str
    new_id: str
    since: datetime


_HERE = {"withdrawn_at": None, "missing_since": None, "missing_count": 0, "traced_at": None, "moved_to": None}
"""What is true of a plant that is listed."""


# put together once: to do it for each look costs more than the answer
_IDS = sa.select(sa.func.json_each(sa.bindparam("ids")).table_valued("value").c.value)
_SERIES_WITH = sa.select(SERIES).where(SERIES.c.series_id.in_(_IDS))
_DEVICES_WITH = sa.select(DEVICE).where(DEVICE.c.device_id.in_(_IDS))

_NEW_DEVICE = insert(DEVICE)
_SEE_DEVICE = _NEW_DEVICE.on_conflict_do_update(
    index_elements=["device_id"],
    set_={c.name: c for c in _NEW_DEVICE.excluded if c.name not in {"device_id", "first_seen"}},
)


class Inventory:
    """The inventory in the ledger's database."""

    def __init__(self, engine: Engine, *, plants_per_file: int) -> None:
        self._engine = engine
        self._plants_per_file = plants_per_file

    def unpurged(self, plants: Iterable[Plant]) -> list[Plant]:
        """Return those of *plants* that were not deleted, and are not being, on their owner's wish."""
        with self._engine.connect() as db:
            gone = purged(db)
        return [plant for plant in plants if not gone(plant.plant_id)]

    def see_plants(self, plants: Sequence[Plant], now: datetime) -> None:
        """Record the plants of a plant list; a new one gets its part, which never changes."""
        seconds = to_seconds(now)
        with self._engine.begin() as db:
            known = set(db.scalars(sa.select(PLANT.c.plant_id)))
            ordinal = highest_ordinal(db)
            for plant in plants:
                if plant.plant_id in known:
                    changed = {**_told(plant), "last_seen": seconds, **_HERE}
                    db.execute(sa.update(PLANT).where(PLANT.c.plant_id == plant.plant_id).values(changed))
                    continue
                ordinal += 1
                seen = {"first_seen": seconds, "last_seen": seconds}
                place = {"ordinal": ordinal, "part": ordinal // self._plants_per_file}
                db.execute(sa.insert(PLANT).values(plant_id=plant.plant_id, **_plant_facts(plant), **place, **seen))
                known.add(plant.plant_id)
            missing = {
                "missing_count": PLANT.c.missing_count + 1,
                "missing_since": sa.func.coalesce(PLANT.c.missing_since, seconds),
            }
            for some in portions(known - {plant.plant_id for plant in plants}):
                db.execute(sa.update(PLANT).where(PLANT.c.plant_id.in_(some)).values(missing))

    def explored(
        self,
        plant: Plant,
        devices: Sequence[Device],
        sets: Mapping[str | None, Sequence[str] | None],
        now: datetime,
        *,
        whole: bool = True,
    ) -> None:
        """Record the devices of *plant* and the sets each offers; device None is the plant as a whole.

        Of sets that are None nothing was told: what is known of them stays. Not *whole*, it is explored again soon.
        """
        with self._engine.begin() as db:
            part = db.scalar(sa.select(PLANT.c.part).where(PLANT.c.plant_id == plant.plant_id))
            facts = {**_told(plant), **({"explored_at": to_seconds(now)} if whole else {})}
            db.execute(sa.update(PLANT).where(PLANT.c.plant_id == plant.plant_id).values(facts))
            if devices:
                db.execute(_SEE_DEVICE, [_device_facts(device, to_seconds(now)) for device in devices])
            offered = {(owner or "", name) for owner, names in sets.items() for name in names or ()}
            unknown = {owner or "" for owner, names in sets.items() if names is None}
            self._offer(db, plant.plant_id, int(part or 0), offered=offered, unknown=unknown, now=to_seconds(now))

    @staticmethod
    def _offer(
        db: Connection,
        plant_id: str,
        part: int,
        *,
        offered: set[tuple[str, str]],
        unknown: set[str],
        now: int,
    ) -> None:
        rows = db.execute(sa.select(SERIES).where(SERIES.c.plant_id == plant_id)).mappings()
        known = {(row["device_id"], row["set"]): row for row in rows if row["device_id"] not in unknown}
        shared = {"plant_id": plant_id, "part": part, "first_seen": now}
        if new := [{**shared, "device_id": owner, "set": name} for owner, name in sorted(offered - known.keys())]:
            db.execute(sa.insert(SERIES), new)
        for key, row in known.items():
            if (key in offered) == (row["gone_at"] is not None):
                gone_at = None if key in offered else now
                db.execute(sa.update(SERIES).where(SERIES.c.series_id == row["series_id"]).values(gone_at=gone_at))

    def add_alias(self, level: str, old_id: str, new_id: str, now: datetime) -> None:
        """Record that SMA redirected *old_id* to *new_id*; the first time counts."""
        values = {"level": level, "old_id": old_id, "new_id": new_id, "since": to_seconds(now)}
        with self._engine.begin() as db:
            db.execute(insert(ALIAS).values(values).on_conflict_do_nothing())

    def plants(self) -> list[KnownPlant]:
        """Return every plant ever seen, in the order of their parts."""
        with self._engine.connect() as db:
            return [_known_plant(row) for row in db.execute(sa.select(PLANT).order_by(PLANT.c.ordinal)).mappings()]

    def devices(self, part: int | None = None) -> list[KnownDevice]:
        """Return every device ever listed (of the plants of one *part*), by id."""
        query = sa.select(DEVICE).order_by(DEVICE.c.device_id)
        if part is not None:
            query = query.join(PLANT, PLANT.c.plant_id == DEVICE.c.plant_id).where(PLANT.c.part == part)
        with self._engine.connect() as db:
            return [_known_device(row) for row in db.execute(query).mappings()]

    def aliases(self) -> list[KnownAlias]:
        """Return every redirection, by old id."""
        with self._engine.connect() as db:
            rows = db.execute(sa.select(ALIAS).order_by(ALIAS.c.level, ALIAS.c.old_id)).all()
        return [KnownAlias(level, old, new, from_seconds(since)) for level, old, new, since in rows]

    def offered_series(self, part: int) -> list[KnownSeries]:
        """Return the series of *part* that are offered now, plants together."""
        query = sa.select(SERIES).where(SERIES.c.part == part, SERIES.c.gone_at.is_(None))
        with self._engine.connect() as db:
            rows = db.execute(query.order_by(SERIES.c.plant_id, SERIES.c.device_id, SERIES.c.set)).mappings()
            return [_known_series(row) for row in rows]

    def series_with(self, series_ids: Iterable[int]) -> list[KnownSeries]:
        """Return the series of the given ids, plants together; ids that nobody has are left out."""
        with self._engine.connect() as db:
            rows = db.execute(_SERIES_WITH, {"ids": json.dumps(list(series_ids))}).mappings()
            found = [_known_series(row) for row in rows]
        return sorted(found, key=lambda known: (known.series.plant_id, known.series.device_id or "", known.series.set))

    def devices_with(self, device_ids: Iterable[str]) -> dict[str, Device]:
        """Return the devices of the given ids, by id."""
        with self._engine.connect() as db:
            rows = db.execute(_DEVICES_WITH, {"ids": json.dumps(list(device_ids))}).mappings()
            return {row["device_id"]: _known_device(row).device for row in rows}

    def every_series(self, part: int) -> list[KnownSeries]:
        """Return the series of *part* that are or were offered, plants together."""
        query = sa.select(SERIES).where(SERIES.c.part == part)
        with self._engine.connect() as db:
            rows = db.execute(query.order_by(SERIES.c.plant_id, SERIES.c.device_id, SERIES.c.set)).mappings()
            return [_known_series(row) for row in rows]

    def series_named(self, series_ids: Iterable[int]) -> dict[int, Series]:
        """Return the series of the given ids."""
        found: dict[int, Series] = {}
        with self._engine.connect() as db:
            for some in portions(series_ids):
                rows = db.execute(sa.select(SERIES).where(SERIES.c.series_id.in_(some))).mappings()
                found.update({row["series_id"]: _series(row) for row in rows})
        return found


def _series(row: RowMapping) -> Series:
    return Series(plant_id=row["plant_id"], device_id=row["device_id"] or None, set=row["set"])


def _known_series(row: RowMapping) -> KnownSeries:
    learned = (row["minutes"], _instant(row["newest"]), row["lag"], _instant(row["gone_at"]))
    return KnownSeries(row["series_id"], row["part"], _series(row), *learned)


def _plant_facts(plant: Plant) -> dict[str, object]:
    return {
        "name": plant.name,
        "timezone": plant.timezone,
        "peak_power": plant.peak_power,
        "start_up": None if plant.start_up is None else to_seconds(plant.start_up),
        "latitude": plant.latitude,
        "longitude": plant.longitude,
    }


def _told(plant: Plant) -> dict[str, object]:
    """Return the facts that an answer told: what it left out stays as it is known."""
    return {name: value for name, value in _plant_facts(plant).items() if value not in {None, ""}}


def _device_facts(device: Device, now: int) -> dict[str, object]:
    return {
        "device_id": device.device_id,
        "plant_id": device.plant_id,
        "name": device.name,
        "type": device.type,
        "product": device.product,
        "product_id": device.product_id,
        "vendor": device.vendor,
        "serial": device.serial,
        "generator_power": device.generator_power,
        "is_active": device.is_active,
        "deactivated_at": device.deactivated_at.isoformat() if device.deactivated_at else None,
        "first_seen": now,
        "last_seen": now,
    }


def _known_plant(row: RowMapping) -> KnownPlant:
    plant = Plant(
        plant_id=row["plant_id"],
        name=row["name"],
        timezone=row["timezone"],
        peak_power=row["peak_power"],
        start_up=_instant(row["start_up"]),
        latitude=row["latitude"],
        longitude=row["longitude"],
    )
    seen = (from_seconds(row["first_seen"]), from_seconds(row["last_seen"]))
    return KnownPlant(
        plant,
        row["part"],
        *seen,
        explored_at=_instant(row["explored_at"]),
        withdrawn_at=_instant(row["withdrawn_at"]),
        missing_since=_instant(row["missing_since"]),
        missing_count=row["missing_count"],
        traced_at=_instant(row["traced_at"]),
        moved_to=row["moved_to"],
    )


def _known_device(row: RowMapping) -> KnownDevice:
    off = row["deactivated_at"]
    device = Device(
        device_id=row["device_id"],
        plant_id=row["plant_id"],
        name=row["name"],
        type=row["type"],
        product=row["product"],
        product_id=row["product_id"],
        vendor=row["vendor"],
        serial=row["serial"],
        generator_power=row["generator_power"],
        is_active=row["is_active"],
        deactivated_at=datetime.fromisoformat(off) if off else None,
    )
    return KnownDevice(device, from_seconds(row["first_seen"]), from_seconds(row["last_seen"]))


def _instant(seconds: int | None) -> datetime | None:
    return None if seconds is None else from_seconds(seconds)
