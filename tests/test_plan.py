"""Which days are due and the fewest requests for them, held against brute force."""

# ruff: noqa: DTZ001 - plant-local times are naive

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import combinations
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester import clock, plan
from harvester.model import Device, Level, Period, Plant, Series, Slice
from harvester.plan import Scope, Span
from harvester.week import Convention, WeekRule

DAY = timedelta(days=1)
FIXED = settings(deadline=None, derandomize=True)
RULES = [WeekRule(some) for n in (1, 2, 3) for some in combinations(Convention, n)]
KNOWN = [rule for rule in RULES if rule.known]
SERIES = Series(plant_id="1", device_id="2", set="PowerAc")
MONDAY = date(2026, 6, 1)
NOW = datetime(2026, 6, 10, 12, tzinfo=UTC)

days = st.dates(date(2020, 1, 1), date(2027, 12, 31))
due_days = st.builds(
    lambda first, some: sorted(first + DAY * n for n in some), days, st.sets(st.integers(0, 60), min_size=1)
)
instants = st.datetimes(datetime(2015, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
zone_names = st.sampled_from(
    ["Europe/Berlin", "Pacific/Kiritimati", "Pacific/Pago_Pago", "America/Havana", "Asia/Beirut"]
)


def planned(wanted: list[date], rule: WeekRule, grid: date | None = None) -> list[Slice]:
    """Return the slices for the wanted days, in weeks of the rule's grid."""
    return list(plan.slices(SERIES, wanted, rule, grid or rule.grid(wanted[0])))


@cache
def fewest(wanted: frozenset[int], options: frozenset[frozenset[int]]) -> int:
    """Return the fewest sets of *options*, or single days, that cover *wanted*: by trying all."""
    if not wanted:
        return 0
    first = min(wanted)
    holding = [option for option in options if first in option]
    return 1 + min(fewest(wanted - option, options) for option in [*holding, frozenset({first})])


# Slices -----------------------------------------------------------------------------------------------------


@FIXED
@given(wanted=due_days, rule=st.sampled_from(RULES), shift=st.integers(0, 6))
def test_every_due_day_is_covered_once(wanted: list[date], rule: WeekRule, shift: int) -> None:
    """On any grid the slices hope for every due day exactly once and for no other."""
    pieces = planned(wanted, rule, rule.grid(wanted[0]) - DAY * shift)

    assert sorted(day for piece in pieces for day in piece.days) == wanted


@FIXED
@given(wanted=due_days, rule=st.sampled_from(RULES))
def test_what_a_slice_hopes_for_it_surely_covers(wanted: list[date], rule: WeekRule) -> None:
    """A Week is sure to cover the two due days or more that it is made for, a Day is made for its one."""
    for piece in planned(wanted, rule):
        if piece.period is Period.WEEK:
            assert len(piece.days) >= 2
            assert set(piece.days) <= rule.covers(piece.date)
        else:
            assert piece.days == (piece.date,)
        assert list(piece.days) == sorted(piece.days)


@FIXED
@given(wanted=due_days, rule=st.sampled_from(RULES))
def test_slices_keep_to_the_weeks_of_the_grid(wanted: list[date], rule: WeekRule) -> None:
    """No slice reaches for days of two weeks of the grid, so that each week's files are written once."""
    grid = rule.grid(wanted[0])
    weeks = [{plan.week_of(day, grid) for day in piece.days} for piece in planned(wanted, rule)]

    assert all(len(week) == 1 for week in weeks)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: ",".join(rule.possible))
@pytest.mark.parametrize("weekday", range(7))
def test_no_week_can_be_covered_by_fewer(rule: WeekRule, weekday: int) -> None:
    """For each of the 127 choices of days of a week, on any grid, no other choice of requests is smaller."""
    grid = MONDAY + DAY * weekday
    asked = [grid + DAY * n for n in range(-7, 14)]
    options = frozenset(frozenset((day - grid).days for day in rule.covers(at)) for at in asked)
    for some in (some for n in range(1, 8) for some in combinations(range(7), n)):
        pieces = planned([grid + DAY * n for n in some], rule, grid)
        assert len(pieces) == fewest(frozenset(some), options), some


@FIXED
@given(wanted=due_days, rule=st.sampled_from(KNOWN))
def test_a_known_rule_costs_one_request_a_week(wanted: list[date], rule: WeekRule) -> None:
    """Under a known rule each week of the grid with a due day costs one request."""
    grid = rule.grid(wanted[0])

    assert len(planned(wanted, rule)) == len({plan.week_of(day, grid) for day in wanted})


@settings(FIXED, max_examples=40)
@given(first=days, count=st.integers(1, 250), rule=st.sampled_from(KNOWN))
def test_a_whole_history_costs_a_seventh(first: date, count: int, rule: WeekRule) -> None:
    """A history of n days costs n / 7 requests, rounded up; one more where weeks begin on a fixed weekday."""
    pieces = planned([first + DAY * n for n in range(count)], rule)

    assert len(pieces) <= ceil(count / 7) + (rule.possible != (Convention.DATE,))


@settings(FIXED, max_examples=40)
@given(first=days, count=st.integers(14, 250), rule=st.sampled_from(RULES))
def test_an_unknown_rule_still_saves_requests(first: date, count: int, rule: WeekRule) -> None:
    """Whatever is not known yet, a long history costs less than half a request a day."""
    pieces = planned([first + DAY * n for n in range(count)], rule)

    assert len(pieces) <= 3 * (ceil(count / 7) + 1)


def test_a_day_alone_is_asked_as_a_day() -> None:
    """One due day of a week costs the small answer, not the one seven times as large."""
    assert planned([MONDAY], WeekRule((Convention.DATE,))) == [
        Slice(series=SERIES, period=Period.DAY, date=MONDAY, days=(MONDAY,))
    ]


def test_no_days_no_slices() -> None:
    """Where nothing is due nothing is asked."""
    assert list(plan.slices(SERIES, [], WeekRule(), MONDAY)) == []


@FIXED
@given(day=days, grid=days)
def test_weeks_tile_time(day: date, grid: date) -> None:
    """Every day lies in one week of a grid, also before the grid's own first day."""
    week = plan.week_of(day, grid)

    assert week <= day < week + 7 * DAY
    assert (week - grid).days % 7 == 0


# Batches ----------------------------------------------------------------------------------------------------


def some_slices(wanted: Iterable[tuple[int, str, str | None]]) -> list[Slice]:
    """Return a Day slice for each day number, set and device."""
    return [
        Slice(
            series=Series(plant_id="1", device_id=device, set=name),
            period=Period.DAY,
            date=MONDAY + DAY * n,
            days=(MONDAY + DAY * n,),
        )
        for n, name, device in wanted
    ]


pieces_of = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from("ABC"), st.sampled_from([None, "7", "8"])), unique=True
).map(some_slices)


@FIXED
@given(pieces=pieces_of, newest_first=st.booleans())
def test_batches_keep_all_slices_of_one_table_and_week(pieces: list[Slice], *, newest_first: bool) -> None:
    """Every slice is in one batch, with those of its week, level and set and no others, and no batch is doubled."""
    found = plan.batches(3, pieces, MONDAY, newest_first=newest_first)
    keys = [{(plan.week_of(p.days[0], MONDAY), p.series.level, p.series.set) for p in batch.slices} for batch in found]

    assert Counter(p for batch in found for p in batch.slices) == Counter(pieces)
    assert all(len(key) == 1 for key in keys)
    assert len({key for some in keys for key in some}) == len(found)
    assert all((batch.part, {batch.week}) == (3, {k[0] for k in key}) for batch, key in zip(found, keys, strict=True))


@FIXED
@given(pieces=pieces_of, newest_first=st.booleans())
def test_batches_come_in_the_order_of_weeks(pieces: list[Slice], *, newest_first: bool) -> None:
    """Batches come oldest week first, or newest first; within a week in the order of tables."""
    found = plan.batches(0, pieces, MONDAY, newest_first=newest_first)
    sign = -1 if newest_first else 1
    order = [
        (sign * batch.week.toordinal(), batch.slices[0].series.level.value, batch.slices[0].series.set)
        for batch in found
    ]

    assert order == sorted(order)


def test_plant_and_device_tables_are_apart() -> None:
    """One set name at both levels makes two batches: they are two tables."""
    found = plan.batches(0, some_slices([(0, "A", None), (0, "A", "7")]), MONDAY)

    assert [batch.slices[0].series.level for batch in found] == [Level.DEVICE, Level.PLANT]


# Days -------------------------------------------------------------------------------------------------------


@FIXED
@given(
    name=zone_names,
    first=days,
    length=st.integers(0, 4000),
    now=instants,
    start_up=st.none() | instants,
    off=st.none()
    | st.datetimes(datetime(2015, 1, 1), datetime(2030, 1, 1))
    | days.map(lambda d: datetime(d.year, d.month, d.day)),
)
def test_applicable_days(
    name: str, first: date, length: int, now: datetime, start_up: datetime | None, off: datetime | None
) -> None:
    """A day can have rows if some of it lies between start-up, deactivation and now; all such days are kept."""
    plant = Plant(plant_id="1", name="", timezone=name, start_up=start_up)
    device = Device(device_id="2", plant_id="1", name="", deactivated_at=off)
    asked, where = Span(first, first + DAY * length), clock.zone(name)

    def can(day: date) -> bool:
        return (
            clock.day_start(day, where) <= now
            and (start_up is None or clock.day_end(day, where) > start_up)
            and (off is None or datetime(day.year, day.month, day.day) < off)
        )

    found = plan.applicable(asked, plant, device, now)
    edges = {found.first, found.last} if found else set()
    outside = {found.first - DAY, found.last + DAY} if found else set(asked)

    assert all(can(day) and asked.first <= day <= asked.last for day in edges)
    assert not [day for day in outside if can(day) and asked.first <= day <= asked.last]


def test_a_device_switched_off_at_midnight_has_no_such_day() -> None:
    """The day that begins with the moment of deactivation has no rows and is never asked."""
    plant = Plant(plant_id="1", name="", timezone="Europe/Berlin")
    asked = Span(MONDAY, MONDAY + 5 * DAY)

    def last(off: datetime) -> date:
        return plan.applicable(asked, plant, Device(device_id="2", plant_id="1", name="", deactivated_at=off), NOW).last

    assert last(datetime(2026, 6, 3)) == date(2026, 6, 2)
    assert last(datetime(2026, 6, 3, 0, 5)) == date(2026, 6, 3)


@FIXED
@given(count=st.integers(0, 40), answered=st.sets(st.integers(-5, 45)))
def test_due_days(count: int, answered: set[int]) -> None:
    """Due are all days of a span but those that need not be asked, in order."""
    found = plan.due(Span(MONDAY, MONDAY + DAY * (count - 1)), {MONDAY + DAY * n for n in answered})

    assert found == tuple(MONDAY + DAY * n for n in range(count) if n not in answered)


@pytest.mark.parametrize("year", [1, 1970, 9999])
def test_a_start_up_in_no_likely_year_is_unknown(year: int) -> None:
    """A start-up that stands for an empty value bounds nothing."""
    plant = Plant(plant_id="1", name="", timezone="Europe/Berlin", start_up=datetime(year, 12, 31, 23, 30, tzinfo=UTC))
    asked = Span(MONDAY, MONDAY + DAY)

    assert plan.start_day(plant) is None
    assert plan.applicable(asked, plant, None, NOW) == asked


@pytest.mark.parametrize(
    ("name", "live", "other"),
    [
        ("Europe/Berlin", date(2026, 6, 10), date(2026, 6, 9)),
        ("Pacific/Kiritimati", date(2026, 6, 11), date(2026, 6, 10)),
        ("Pacific/Pago_Pago", date(2026, 6, 10), date(2026, 6, 9)),
    ],
)
def test_recent_days_end_with_the_plants_own_today(name: str, live: date, other: date) -> None:
    """Live sets are asked up to the plant's local today, the others up to the day before."""
    start_up = datetime(2026, 6, 1, 23, tzinfo=UTC)
    plant = Plant(plant_id="1", name="", timezone=name, start_up=start_up)
    seen: list[tuple[date, date | None]] = []

    def first_day(today: date, start: date | None) -> date:
        seen.append((today, start))
        return today - 7 * DAY

    span = plan.recent(first_day, ["EnergyBalance"], NOW)

    assert span(plant, "EnergyBalance") == Span(live - 7 * DAY, live)
    assert span(plant, "PowerAc") == Span(live - 7 * DAY, other)
    assert seen == [(live, clock.local_day(start_up, clock.zone(name)))] * 2


def test_between_asks_every_set_alike() -> None:
    """A backfill's days are the same for all plants and sets."""
    span = plan.between(MONDAY, MONDAY + DAY)(Plant(plant_id="1", name="", timezone="UTC"), "any")

    assert list(span) == [MONDAY, MONDAY + DAY]


@pytest.mark.parametrize(("length", "there"), [(-3, False), (-1, False), (0, True), (9, True)])
def test_spans_are_inclusive(length: int, *, there: bool) -> None:
    """A span holds both its ends; one that ends before it begins is empty and false."""
    span = Span(MONDAY, MONDAY + DAY * length)

    assert bool(span) is there
    assert len(list(span)) == max(0, length + 1)


# Scope ------------------------------------------------------------------------------------------------------

names = st.frozensets(st.sampled_from("abc"), max_size=2)


@FIXED
@given(
    plants=names,
    devices=names,
    sets=names,
    level=st.sampled_from([None, "plant", "device"]),
    no_plants=names,
    no_sets=names,
    series=st.builds(
        Series, plant_id=st.sampled_from("abc"), set=st.sampled_from("abc"), device_id=st.sampled_from([None, "a", "b"])
    ),
)
def test_scopes_narrow(
    *,
    plants: frozenset[str],
    devices: frozenset[str],
    sets: frozenset[str],
    level: str | None,
    no_plants: frozenset[str],
    no_sets: frozenset[str],
    series: Series,
) -> None:
    """An empty selection takes everything, a selection what it names, an exclusion wins over both."""
    scope = Scope(
        plants=plants, devices=devices, sets=sets, level=level, exclude_plants=no_plants, exclude_sets=no_sets
    )
    chosen = [(plants, series.plant_id), (devices, series.device_id), (sets, series.set)]
    refused = series.plant_id in no_plants or series.set in no_sets
    taken = all(not some or one in some for some, one in chosen) and level in {None, series.level.value}

    assert scope.takes(series) == (taken and not refused)
    assert scope.takes_plant(series.plant_id) or not scope.takes(series)
