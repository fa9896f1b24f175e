"""What was replayed from the raw archive, and when: kept beside it, because the next replay must know."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime

import msgspec

from harvester.errors import LakeError
from harvester.lake.atomic import replace_file
from harvester.lake.layout import Places


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """One replay."""

    at: datetime
    """When it was begun, aware UTC: `harvested_at` of the rows that it changed."""
    first: date
    last: date
    zones: dict[str, str] = {}
    """Plant ids and the IANA names that hold instead of what answers asked until then say."""


def read_replays(places: Places) -> list[Replayed]:
    """Return the replays of a lake, oldest first; raises `LakeError` where the record is spoiled."""
    try:
        return msgspec.json.decode(places.replays.read_bytes(), type=list[Replayed])
    except FileNotFoundError:
        return []
    except (OSError, msgspec.MsgspecError) as error:
        raise LakeError(f"{places.replays}: the record of replays cannot be read: {error}") from error


def record_replay(places: Places, known: Sequence[Replayed], new: Replayed) -> None:
    """Add *new* to the *known* replays of a lake; raises `LakeError`."""
    content = msgspec.json.format(msgspec.json.encode([*known, new]))
    replace_file(places.replays, content + b"\n", mode=0o600)


def correction(replays: Sequence[Replayed], plant_id: str, asked_at: datetime) -> str | None:
    """Return the zone that holds instead of what an answer of the plant says that was asked at *asked_at*."""
    said = (each.zones[plant_id] for each in reversed(replays) if plant_id in each.zones and asked_at <= each.at)
    return next(said, None)


def forget_zones(places: Places, known: Sequence[Replayed], plants: Collection[str]) -> None:
    """Take *plants* out of the record of the *known* replays; raises `LakeError`."""
    left = [
        msgspec.structs.replace(each, zones={p: zone for p, zone in each.zones.items() if p not in plants})
        for each in known
    ]
    if left != list(known):
        replace_file(places.replays, msgspec.json.format(msgspec.json.encode(left)) + b"\n", mode=0o600)
