"""Which endpoint a path names. Fixed words are read without regard to case, ids as they are."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["plants", "plant", "devices", "device", "sets", "values", "logs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One address of the monitoring API."""

    kind: Kind
    level: Literal["plant", "device"]
    id: str = ""
    part: str = ""
    """What of a plant: location, installation, status, capabilities; or `lean`; empty: the thing itself."""
    set: str = ""
    """Name of a set as written in the path."""
    period: str = ""
    """Lower case."""


PERIODS = frozenset({"recent", "day", "week", "month", "year", "total"})

SHAPES: dict[str, Kind] = {
    "plants": "plants",
    "plants/*": "plant",
    "plants/*/location": "plant",
    "plants/*/installation": "plant",
    "plants/*/status": "plant",
    "plants/*/capabilities": "plant",
    "plants/*/devices": "devices",
    "plants/*/devices/lean": "devices",
    "plants/*/logs": "logs",
    "plants/*/measurements/sets": "sets",
    "plants/*/measurements/sets/*/*": "values",
    "devices/*": "device",
    "devices/*/lean": "device",
    "devices/*/logs": "logs",
    "devices/*/measurements/sets": "sets",
    "devices/*/measurements/sets/*/*": "values",
}
"""Every path below the base; a star stands for an id, a set or a period."""

ID, SET, PERIOD = 1, 4, 5
"""Where the stars are."""


def base_length(words: list[str]) -> int:
    """Return how many segments belong to the base path: /monitoring/v1 or /v1; 0: neither."""
    if words[:2] == ["monitoring", "v1"]:
        return 2
    return 1 if words[:1] == ["v1"] else 0


def endpoint(segments: list[str]) -> Endpoint | None:
    """Return the endpoint that the segments below the base path name."""
    words = [segment.casefold() for segment in segments]
    shape = "/".join("*" if place in {ID, SET, PERIOD} else word for place, word in enumerate(words))
    kind = SHAPES.get(shape)
    if kind is None:
        return None
    padded = [*segments, *[""] * (PERIOD + 1 - len(segments))]
    return Endpoint(
        kind=kind,
        level="device" if words[0] == "devices" else "plant",
        id=padded[ID],
        part=words[-1] if kind in {"plant", "device", "devices"} and not shape.endswith(("*", "devices")) else "",
        set=padded[SET],
        period=padded[PERIOD].casefold(),
    )
