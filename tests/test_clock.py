"""Plant-local stamps and instants, held against an oracle that walks real time and reads the wall clock off.

The oracle knows neither offsets nor changes of them beforehand: it prints the wall clock of instant after instant
with zoneinfo, and what it printed must lead back to the instants.
"""

# ruff: noqa: DTZ001 - local times are naive, and so are instants in bulk

from __future__ import annotations

import zoneinfo
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester import clock

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
FIRST, LAST = datetime(2015, 1, 1), datetime(2031, 1, 1)
FIXED = settings(deadline=None, derandomize=True)
STEPS = (timedelta(minutes=5), timedelta(minutes=15), HOUR, timedelta(minutes=7), timedelta(minutes=1, seconds=13))
ZONES = tuple(resources.files("tzdata").joinpath("zones").read_text().split())


def content(name: str) -> bytes:
    """Return the zone's file in the package."""
    return resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()


@cache
def distinct() -> tuple[str, ...]:
    """Return one name of every zone: many are other names of the same file."""
    return tuple({content(name): name for name in reversed(ZONES)}.values())


@cache
def oracle_zone(name: str) -> ZoneInfo:
    """Return the zone, read without the code under test."""
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def wall(instant: datetime, where: ZoneInfo) -> datetime:
    """Print the wall clock at a naive UTC instant."""
    return where.fromutc(instant.replace(tzinfo=where)).replace(tzinfo=None)


@dataclass(frozen=True)
class Seen:
    """A change of a wall clock, as the oracle saw it."""

    zone: str
    instant: datetime
    before: timedelta
    after: timedelta

    @property
    def low(self) -> datetime:
        """Where the span begins that is shown twice, or never."""
        return self.instant + min(self.before, self.after)

    @property
    def high(self) -> datetime:
        """Where it ends."""
        return self.instant + max(self.before, self.after)


@cache
def seen(name: str) -> tuple[Seen, ...]:
    """Return the changes of a zone, found by walking: days, then hours, then minutes, then seconds."""
    where = oracle_zone(name)
    ends = (FIRST.replace(tzinfo=where), LAST.replace(tzinfo=where))
    return tuple(_walk(name, *ends, (4 * DAY, DAY, HOUR, MINUTE, timedelta(seconds=1))))


def _walk(name: str, low: datetime, high: datetime, steps: Sequence[timedelta]) -> Iterator[Seen]:
    """Walk from *low* to *high*: instants in UTC that carry the zone, as `fromutc` wants them."""
    fromutc, step = oracle_zone(name).fromutc, steps[0]
    instant, before = low, fromutc(low) - low
    while instant < high:
        later = min(instant + step, high)
        after = fromutc(later) - later
        if after != before:
            if len(steps) == 1:
                yield Seen(name, later.replace(tzinfo=None), before, after)
            else:
                yield from _walk(name, instant, later, steps[1:])
        instant, before = later, after


@cache
def every_change() -> tuple[Seen, ...]:
    """Return all changes of all distinct zones."""
    return tuple(change for name in distinct() for change in seen(name))


@cache
def sorts() -> tuple[Seen, ...]:
    """Return one of all changes that are alike: neighbouring zones share theirs."""
    return tuple({(c.instant, c.before, c.after): c for c in every_change()}.values())


def instants(change: Seen, reach: timedelta, step: timedelta) -> list[datetime]:
    """Return instants around a change, one of them the change itself."""
    count = reach // step
    return [change.instant + step * n for n in range(-count, count + 1)]


def quarters(change: Seen) -> list[datetime]:
    """Return the full quarters of an hour of more than a day before and after a change."""
    first = change.instant.replace(minute=0, second=0) - 28 * HOUR
    return [first + timedelta(minutes=15) * n for n in range(56 * 4)]


def shown(walked: Sequence[datetime], change: Seen) -> list[datetime]:
    """Print the wall clock at each instant walked."""
    where = oracle_zone(change.zone)
    return [wall(instant, where) for instant in walked]


def as_decided(walked: Sequence[datetime], stamps: Sequence[datetime], change: Seen) -> list[datetime]:
    """Return what rows in true order must lead to: themselves, or the earlier instant if order does not decide.

    Order decides if the first row of the second pass is stamped no later than the last one of the first pass.
    """
    inside = [(i, s) for i, s in zip(walked, stamps, strict=True) if change.low <= s < change.high]
    first = [stamp for instant, stamp in inside if instant < change.instant]
    second = [stamp for instant, stamp in inside if instant >= change.instant]
    if change.after > change.before or not second or (first and max(first) >= min(second)):
        return list(walked)
    lost = change.before - change.after
    return [i - lost if i >= change.instant and s < change.high else i for i, s in zip(walked, stamps, strict=True)]


def back_steps() -> list[Seen]:
    """Return the changes after which a span comes twice."""
    return [change for change in every_change() if change.after < change.before]


def forward_steps() -> list[Seen]:
    """Return the changes that skip a span."""
    return [change for change in every_change() if change.after > change.before]


# Everything -------------------------------------------------------------------------------------------------


def test_every_zone_of_tzdata_is_known() -> None:
    """All zones of the package can be had, under their own names."""
    assert len(ZONES) > 500
    assert all(clock.zone(name).key == name for name in ZONES)


def test_every_change_is_found() -> None:
    """The changes of every zone are those that a walk through sixteen years meets, to the second."""
    found = {
        name: [(c.instant, c.before, c.after) for c in clock.changes(name, FIRST + DAY, LAST - DAY)]
        for name in distinct()
        if seen(name)
    }

    assert len(found) > 100
    assert found == {name: [(c.instant, c.before, c.after) for c in seen(name)] for name in found}


def test_zones_without_a_change_have_one_offset() -> None:
    """A zone whose clock never changes has one offset, in summer and in winter."""
    noons = [datetime(2022, 7, 1, 12), datetime(2023, 1, 1, 12)]
    steady = [name for name in distinct() if not seen(name)]

    assert len(steady) > 100
    for name in steady:
        assert clock.ends_to_instants([wall(noon, oracle_zone(name)) for noon in noons], name) == noons


def test_every_change_of_every_zone_leads_back_to_the_instants() -> None:
    """A day and more around every change, in every step, what the wall clock shows leads back to the instant."""
    for change in every_change():
        for step, reach in zip(STEPS, (2.5 * HOUR, 3 * HOUR, 27 * HOUR, 2 * HOUR, HOUR / 5), strict=True):
            walked = instants(change, reach, step)
            stamps = shown(walked, change)
            assert clock.ends_to_instants(stamps, change.zone) == as_decided(walked, stamps, change), change
    assert len(every_change()) > 2000


def test_every_day_with_a_change_has_its_length() -> None:
    """Days with a change begin and end where the wall clock's date changes, and last 23 to 25 hours."""
    lengths = set()
    for change in sorts():
        where = clock.zone(change.zone)
        around = quarters(change)
        dates = [stamp.date() for stamp in shown(around, change)]
        begins = {day: at for at, (before, day) in zip(around[1:], pairwise(dates), strict=True) if day > before}
        for day in list(begins)[:-1]:
            start, end = clock.day_start(day, where), clock.day_end(day, where)
            assert (start, end) == (begins[day].replace(tzinfo=UTC), begins[day + DAY].replace(tzinfo=UTC)), change
            lengths.add(end - start)
    hours = {length / HOUR for length in lengths}
    assert {23, 23.5, 24, 24.5, 25} <= hours
    assert min(hours) >= 21


def test_days_that_repeat_an_hour_are_known() -> None:
    """A day repeats an hour if, and only if, the wall clock shows some time of it twice."""
    repeating = 0
    for change in sorts():
        stamps = shown(quarters(change), change)
        twice = {stamp.date() for stamp, times in Counter(stamps).items() if times > 1}
        days = sorted({stamp.date() for stamp in stamps})[1:-1]
        assert [clock.repeats_an_hour(day, change.zone) for day in days] == [day in twice for day in days], change
        repeating += bool(twice)
    assert 0 < repeating < len(sorts())


def test_steady_pieces_tell_every_wall_clock() -> None:
    """The offsets of a span tell the wall clock at each of its instants, around every change."""
    for change in sorts():
        walked = instants(change, 26 * HOUR, timedelta(minutes=30))
        pieces = clock.steady_pieces(change.zone, walked[0], walked[-1])
        assert [clock.to_local(instant, pieces) for instant in walked] == shown(walked, change), change
    assert len(sorts()) > 500


def test_no_stamp_within_a_gap_is_possible() -> None:
    """Inside each gap a stamp is impossible, at its start it ends the interval before, at its end likewise."""
    for change in forward_steps():
        assert clock.ends_to_instants([change.low], change.zone) == [change.instant]
        assert clock.ends_to_instants([change.high], change.zone) == [change.instant]
        for inside in (change.low + MINUTE, (change.low + (change.high - change.low) / 2), change.high - MINUTE):
            with pytest.raises(clock.ImpossibleStamp, match="does not exist"):
                clock.ends_to_instants([inside], change.zone)
    assert len(forward_steps()) > 1000


def test_a_repeated_hour_that_comes_once_is_the_earlier_one() -> None:
    """Merged answers, each stamp once, are the first pass of every repeated span."""
    for change in back_steps():
        walked = instants(change, 5 * HOUR, timedelta(minutes=10))
        first = {stamp: at for at, stamp in reversed(list(zip(walked, shown(walked, change), strict=True)))}
        stamps = sorted(first)
        assert clock.ends_to_instants(stamps, change.zone) == [first[stamp] for stamp in stamps], change
    assert len(back_steps()) > 1000


def test_sorted_pairs_are_first_and_second_pass() -> None:
    """Rows sorted by stamp hold each pair of equal ones as first and second pass, at every change."""
    for change in back_steps():
        walked = instants(change, 5 * HOUR, timedelta(minutes=10))
        rows = sorted(zip(shown(walked, change), walked, strict=True))
        assert clock.ends_to_instants([s for s, _ in rows], change.zone) == [i for _, i in rows], change
    assert len(back_steps()) > 1000


def test_a_first_pass_may_end_as_if_the_clock_had_not_stepped_back() -> None:
    """Ends reckoned from the wall clock of the start lead back to the instants, in order of time and sorted."""
    step = timedelta(minutes=10)
    for change in back_steps():
        starts = instants(change, 5 * HOUR, step)
        ends = [start + step for start in starts]
        rows = list(zip((start + step for start in shown(starts, change)), ends, strict=True))
        assert clock.ends_to_instants([s for s, _ in rows], change.zone) == ends, change
        rows.sort()
        assert clock.ends_to_instants([s for s, _ in rows], change.zone) == [i for _, i in rows], change
    assert len(back_steps()) > 1000


# At random --------------------------------------------------------------------------------------------------

changes = st.deferred(lambda: st.sampled_from(every_change()))
repeats = st.deferred(lambda: st.sampled_from(back_steps()))
steps = st.sampled_from(STEPS[:4]) | st.integers(1, 90).map(lambda minutes: timedelta(minutes=minutes))


@settings(FIXED, max_examples=200)
@given(change=changes, step=steps, shift=st.integers(0, 3599), data=st.data())
def test_rows_may_be_missing(change: Seen, step: timedelta, shift: int, data: st.DataObject) -> None:
    """Whatever rows an answer lacks, the others lead back as far as their order decides."""
    walked = [i + timedelta(seconds=shift) for i in instants(change, max(4 * HOUR, 3 * step), step)]
    kept = data.draw(st.lists(st.sampled_from(walked), unique=True).map(sorted) | st.just(walked))

    stamps = shown(kept, change)

    assert clock.ends_to_instants(stamps, change.zone) == as_decided(kept, stamps, change)


@settings(FIXED, max_examples=200)
@given(change=repeats, step=st.sampled_from(STEPS[:2]), data=st.data())
def test_sorted_rows_may_be_missing(change: Seen, step: timedelta, data: st.DataObject) -> None:
    """Of sorted rows two pairs or more are two passes each, what is alone is the first, one pair parts them."""
    walked = instants(change, 3 * HOUR, step)
    kept = data.draw(st.lists(st.sampled_from(walked), unique=True))
    rows = sorted(zip(shown(kept, change), kept, strict=True))
    lost = change.before - change.after
    pairs = [a[0] for a, b in pairwise(rows) if a[0] == b[0]]

    def meant(stamp: datetime, instant: datetime) -> datetime:
        if not change.low <= stamp < change.high:
            return instant
        first = instant if instant < change.instant else instant - lost
        if stamp in pairs:
            return instant
        return first + lost if len(pairs) == 1 and stamp > pairs[0] else first

    assert clock.ends_to_instants([s for s, _ in rows], change.zone) == [meant(s, i) for s, i in rows]


@settings(FIXED, max_examples=100)
@given(name=st.sampled_from(ZONES), start=st.datetimes(FIRST, LAST), step=steps, count=st.integers(1, 400))
def test_any_span_leads_back(name: str, start: datetime, step: timedelta, count: int) -> None:
    """Anywhere in sixteen years, in any zone and under any of its names, complete rows lead back to the instants."""
    start = start.replace(second=0, microsecond=0)
    walked = [start + step * n for n in range(count)]
    stamps = [wall(instant, oracle_zone(name)) for instant in walked]
    found = clock.ends_to_instants(stamps, name)

    assert [wall(instant, oracle_zone(name)) for instant in found] == stamps
    assert [at for at, it in zip(found, walked, strict=True) if at > it] == []
    assert found == walked or not monotonic_twice(stamps)


def monotonic_twice(stamps: Sequence[datetime]) -> bool:
    """Tell whether order shows a second pass: a stamp that is not later than the one before it."""
    return any(later <= earlier for earlier, later in pairwise(stamps))


@FIXED
@given(name=st.sampled_from(ZONES), instant=st.datetimes(FIRST, LAST), other=st.sampled_from(ZONES))
def test_local_day_is_the_date_on_the_wall(name: str, instant: datetime, other: str) -> None:
    """An instant's local day is what the wall calendar says, whatever zone the instant is written in."""
    aware = instant.replace(tzinfo=UTC).astimezone(oracle_zone(other))

    assert clock.local_day(aware, clock.zone(name)) == wall(instant, oracle_zone(name)).date()


@FIXED
@given(name=st.sampled_from(ZONES), day=st.dates(date(2015, 1, 1), date(2030, 12, 30)))
def test_days_follow_without_gap(name: str, day: date) -> None:
    """A day begins when the one before it ends, on its own date; a second earlier the date is another."""
    where = clock.zone(name)
    start = clock.day_start(day, where)

    assert start == clock.day_end(day - DAY, where)
    assert clock.local_day(start, where) == day
    assert clock.local_day(start - timedelta(seconds=1), where) == day - DAY


# By hand ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "day", "hours"),
    [
        ("Europe/Berlin", date(2024, 3, 31), 23),
        ("Europe/Berlin", date(2024, 10, 27), 25),
        ("Europe/Berlin", date(2024, 7, 1), 24),
        ("Australia/Lord_Howe", date(2024, 4, 7), 24.5),
        ("Australia/Lord_Howe", date(2024, 10, 6), 23.5),
        ("America/Havana", date(2024, 3, 10), 23),  # midnight is skipped
        ("America/Havana", date(2024, 11, 3), 25),  # midnight comes twice
        ("Asia/Beirut", date(2024, 3, 31), 23),
        ("Asia/Beirut", date(2024, 10, 26), 25),  # the clock goes back from midnight
        ("Africa/Cairo", date(2024, 4, 26), 23),
        ("Africa/Cairo", date(2024, 10, 31), 25),
        ("America/Asuncion", date(2023, 10, 1), 23),
        ("America/Asuncion", date(2023, 3, 25), 25),
        ("Asia/Amman", date(2021, 3, 26), 23),
        ("Asia/Amman", date(2021, 10, 29), 25),
        ("Antarctica/Troll", date(2024, 3, 31), 22),
        ("Pacific/Apia", date(2011, 12, 30), 0),  # a day that Samoa never had
    ],
)
def test_lengths_of_days(name: str, day: date, hours: float) -> None:
    """A day is as long as its clock says, also where the clock changes at midnight."""
    where = clock.zone(name)

    assert (clock.day_end(day, where) - clock.day_start(day, where)) / HOUR == hours


@pytest.mark.parametrize(
    ("name", "day", "rows"),
    [
        ("Europe/Berlin", date(2024, 10, 27), 300),
        ("Europe/Berlin", date(2024, 3, 31), 276),
        ("Australia/Lord_Howe", date(2024, 4, 7), 294),
        ("America/Havana", date(2024, 11, 3), 300),
        ("America/Havana", date(2024, 3, 10), 276),
        ("Asia/Beirut", date(2024, 10, 26), 300),
        ("Africa/Cairo", date(2024, 10, 31), 300),
        ("Asia/Kathmandu", date(2026, 6, 1), 288),
    ],
)
def test_a_whole_day_is_placed_whole(name: str, day: date, rows: int) -> None:
    """The rows of a day, 00:05 to 24:00 as stamped, are the ends of all its intervals, each once."""
    where = clock.zone(name)
    start, end = (f(day, where).replace(tzinfo=None) for f in (clock.day_start, clock.day_end))
    ends = [start + timedelta(minutes=5) * n for n in range(1, rows + 1)]
    stamps = [wall(instant, oracle_zone(name)) for instant in ends]

    assert ends[-1] == end
    assert clock.ends_to_instants(stamps, name) == ends


def test_the_midnight_row_ends_the_day_before() -> None:
    """The stamp 00:00 is the instant at which its date begins, the end of the last interval of the day before."""
    midnight = datetime(2026, 7, 2)

    assert clock.ends_to_instants([midnight], "Europe/Berlin") == [datetime(2026, 7, 1, 22)]
    assert clock.day_end(date(2026, 7, 1), clock.zone("Europe/Berlin")) == datetime(2026, 7, 1, 22, tzinfo=UTC)


def test_the_midnight_row_of_a_day_that_begins_late() -> None:
    """Where midnight is skipped, the last row of the day before may be stamped 00:00 or 01:00: the same instant."""
    stamps = [datetime(2024, 3, 10), datetime(2024, 3, 10, 1)]

    assert clock.ends_to_instants(stamps, "America/Havana") == [datetime(2024, 3, 10, 5)] * 2


def test_no_rows_no_instants() -> None:
    """An empty answer has no instants."""
    assert clock.ends_to_instants([], "Europe/Berlin") == []


def test_midnight_comes_twice_and_the_first_begins_the_day() -> None:
    """Where the clock goes back across midnight, a day begins with the first midnight, and both days repeat."""
    where = clock.zone("America/St_Johns")  # until 2011 from 00:01 back to 23:01

    assert clock.day_start(date(2010, 11, 7), where) == datetime(2010, 11, 7, 2, 30, tzinfo=UTC)
    assert [clock.repeats_an_hour(date(2010, 11, n), "America/St_Johns") for n in (5, 6, 7, 8)] == [
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("year", [1, 2, 1899, 2200, 9998, 9999])
def test_times_of_other_ages_are_impossible(year: int) -> None:
    """A stamp centuries away, such as the empty value 0001-01-01, is impossible and no overflow."""
    with pytest.raises(clock.ImpossibleStamp, match="no time at which a plant"):
        clock.ends_to_instants([datetime(2026, 1, 1), datetime(year, 12, 31)], "Europe/Berlin")
    with pytest.raises(clock.ImpossibleStamp):
        clock.changes("Europe/Berlin", datetime(year, 1, 1), datetime(year, 1, 1))


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "Europe",
        "Europe/Atlantis",
        "europe/berlin",
        "Europe/Berlin\n",
        "Europe/Berlin\0",
        "Europe//Berlin",
        "/Europe/Berlin",
        "Europe/Berlin/",
        "/etc/localtime",
        "../tzdata/zoneinfo/UTC",
        "Europe/../UTC",
        "..",
        ".",
        "zone.tab",
        "leapseconds",
        "__init__",
        "__init__/UTC",
        "__pycache__/UTC",
        "A/B/C/D",
        "x" * 5000,
        "Mitteleuropäische Zeit",
        "+01:00",
    ],
)
def test_other_names_are_refused(name: str) -> None:
    """What is no name of a zone is refused as such, and leads to no file elsewhere."""
    with pytest.raises(clock.UnknownZone):
        clock.zone(name)


@settings(FIXED, max_examples=300)
@given(name=st.text(max_size=30) | st.from_regex(r"[A-Za-z_./\-]{1,30}", fullmatch=True))
def test_any_other_word_is_refused(name: str) -> None:
    """Any word is a zone of the package or an `UnknownZone`, which is a ValueError."""
    try:
        found = clock.zone(name).key == name and bool(content(name))
    except clock.UnknownZone as error:
        found = isinstance(error, ValueError) and name not in ZONES

    assert found


def test_the_systems_zones_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the zones on the system that says something else is not asked."""
    (tmp_path / "Europe").mkdir()
    (tmp_path / "Europe" / "Berlin").write_bytes(content("Asia/Tokyo"))
    monkeypatch.setattr(zoneinfo, "TZPATH", zoneinfo.TZPATH)
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(to=[str(tmp_path)])
    try:
        offset = clock.offset_at(datetime(2026, 7, 1), clock.zone.__wrapped__("Europe/Berlin"))
        of_system = ZoneInfo.no_cache("Europe/Berlin").utcoffset(datetime(2026, 7, 1))
    finally:
        zoneinfo.reset_tzpath(to=before)

    assert of_system == 9 * HOUR
    assert offset == 2 * HOUR
