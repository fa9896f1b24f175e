"""Everything that can go wrong at the source, as one frozen value that a command line can spell.

Rates lie between 0 and 1. What shapes the readings or the plants depends on the seed alone, so it stays the
same however often one asks. What spoils an answer depends on the seed, the URL and how often that URL was
asked before, so a repeated request gets another chance.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, get_type_hints

DIGITS = range(8)
ERRORS = range(400, 600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Switches, all of them harmless by default but for the gaps that every real plant has."""

    missing_rows: float = 0.01
    """Share of rows of device sets that never exist (captured: 15 of 181 points of a day)."""
    missing_plant_rows: float = 0.0
    """Share of rows of plant sets that never exist."""
    night_rows: bool = True
    """PowerDc reports zeros at night, irregularly, 5 to 15 minutes apart (captured)."""
    spikes: float = 0.0
    """Share of PV series-days whose first row holds a counter-like value (captured: 10^5 to 10^6 Wh)."""
    negative_first: float = 0.0
    """Share of PV series-days whose first row is hugely negative."""
    empty_arrays: float = 0.0
    """Share of rows with array channels whose arrays are all `[]` (captured: 2 of 219)."""
    surplus: float = 0.0
    """Share of series-days whose rows hold channels of another set."""

    deactivated: float = 0.0
    """Share of plants founded with a device that has been deactivated."""
    device_equals_plant: float = 0.0
    """Share of plants founded with a gateway whose device id is the plant's id."""
    shared_serials: float = 0.0
    """Share of plants founded with an inverter whose serial is known under the plant before as well."""
    two_owners: bool = False
    """Every second plant belongs to second.owner@example.org, beside the owners of the settings."""

    hang: float = 0.0
    """Share of requests that are never answered (read time-out)."""
    http_308: float = 0.0
    """Share of requests below /monitoring/v1 that are redirected to the other spelling, /v1."""
    http_401: float = 0.0
    """Share of requests refused although the token is good."""
    http_429: float = 0.0
    """Share of requests refused with `Retry-After: 1` although the bucket is not empty."""
    http_429_bare: float = 0.0
    """The same without the header."""
    http_403: float = 0.0
    """Share of requests refused although the owner has accepted."""
    http_404: float = 0.0
    """Share of requests whose address is unknown for once."""
    http_408: float = 0.0
    """Share of requests that took the server too long to read."""
    http_425: float = 0.0
    """Share of requests that came too early."""
    http_500: float = 0.0
    """Share of requests that end in 500."""
    http_502: float = 0.0
    """Share of requests that end in 502."""
    http_503: float = 0.0
    """Share of requests that end in 503."""
    http_504: float = 0.0
    """Share of requests that end in 504."""
    circle: float = 0.0
    """Share of requests that are redirected to themselves."""
    elsewhere: float = 0.0
    """Share of requests that are redirected to another host."""
    empty_plants: float = 0.0
    """Share of plant lists that come back empty."""
    vanishing_plants: float = 0.0
    """Share of plants that the list names and every other address answers with 404."""

    no_resolution: float = 0.0
    """Share of values without `resolution`."""
    no_set_type: float = 0.0
    """Share of values without `setType`."""
    fraction_digits: int = 0
    """Fractional digits of intraday stamps, 0 to 7 (SMA's own sandbox writes 7)."""
    cut_json: float = 0.0
    """Share of bodies that end in the middle, with a matching Content-Length."""
    html: float = 0.0
    """Share of 200 answers that are a page for people."""
    empty_body: float = 0.0
    """Share of 200 answers without a body."""
    reset: float = 0.0
    """Share of answers whose connection is reset in the body."""
    stall: float = 0.0
    """Share of answers whose body stops in the middle and never goes on."""
    drip: float = 0.0
    """Share of answers whose body trickles, ten bytes a second."""
    endless: float = 0.0
    """Share of answers whose body has no end."""
    bomb: float = 0.0
    """Share of answers of half a megabyte that unpack to 500 of them."""
    chunks: float = 0.0
    """Share of chunked answers that break their own rules after the first chunk."""
    octets: float = 0.0
    """Share of bodies with bytes that are neither UTF-8 nor allowed in JSON."""
    wrong_type: float = 0.0
    """Share of bodies declared as text/plain."""

    failing: tuple[str, ...] = ()
    """Series that always fail: `KEY:STATUS`; the key is a set, a device id, a plant id, or `ID/SET`."""
    only: tuple[str, ...] = ()
    """When not empty, answers are spoiled only where the URL contains one of these texts; `TEXT$`: ends with it."""
    everywhere: bool = False
    """Answers of /oauth2/token and bc-authorize are spoiled too; else those of the monitoring API alone."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not 0 <= value <= 1:
                raise ValueError(f"fault {field.name}={value:g}: a rate lies between 0 and 1")
        if self.fraction_digits not in DIGITS:
            raise ValueError(f"fault fraction_digits={self.fraction_digits}: between 0 and 7")
        for entry in self.failing:
            key, _, status = entry.rpartition(":")
            if not key or not status.isdecimal() or int(status) not in ERRORS:
                raise ValueError(f"fault failing={entry}: wanted KEY:STATUS with a status from 400 to 599")

    @classmethod
    def parse(cls, entries: Iterable[str]) -> "Faults":
        """Read `name=value` texts; lists by repetition, switches also as a bare name."""
        kinds = get_type_hints(cls)
        found: dict[str, Any] = {}
        for entry in entries:
            name, given, text = entry.partition("=")
            name = name.strip().replace("-", "_")
            if name not in kinds:
                raise ValueError(f"unknown fault {name!r}; known are {', '.join(kinds)}")
            value = _read(name, kinds[name], text.strip() if given else "true")
            found[name] = (*found.get(name, ()), value) if isinstance(value, str) else value
        return replace(cls(), **found)

    def shapes(self) -> tuple[object, ...]:
        """Return what the readings depend on; equal shapes mean equal readings."""
        return (
            self.missing_rows,
            self.missing_plant_rows,
            self.night_rows,
            self.spikes,
            self.negative_first,
            self.empty_arrays,
            self.surplus,
        )


def _read(name: str, kind: object, text: str) -> bool | int | float | str:
    """Read one value of the field's type."""
    try:
        if kind is bool:
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        if kind is int:
            return int(text)
        return float(text) if kind is float else text
    except (KeyError, ValueError):
        wanted = {bool: "true or false", int: "a whole number", float: "a rate from 0 to 1"}
        raise ValueError(f"fault {name}={text}: wanted {wanted.get(kind, 'a text')}") from None  # type: ignore[call-overload]
