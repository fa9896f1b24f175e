"""The settled days of a month in a few bytes, and back."""

from __future__ import annotations

from calendar import monthrange
from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.state import packed

FIXED = settings(deadline=None, derandomize=True, max_examples=60)
MOST = 65_534
"""The most rows that are told apart."""

months = st.tuples(st.integers(1970, 2200), st.integers(1, 12))
counts = st.integers(0, 400) | st.integers(0, 200_000)


@st.composite
def filled(draw: st.DrawFn, times: int) -> tuple[int, list[dict[date, int]]]:
    """Return the number of a month, and some of its days with rows, several times."""
    year, month = draw(months)
    days = st.integers(1, monthrange(year, month)[1]).map(lambda day: date(year, month, day))
    return 12 * year + month - 1, [draw(st.dictionaries(days, counts)) for _ in range(times)]


@FIXED
@given(given=filled(1))
def test_round_trip(given: tuple[int, list[dict[date, int]]]) -> None:
    """What was settled comes back with its rows, also none, up to the most that fits."""
    month, (days,) = given

    assert packed.unpack(month, packed.settle(b"", days)) == {day: min(rows, MOST) for day, rows in days.items()}


@FIXED
@given(given=filled(3))
def test_settling_adds_up_and_never_shrinks(given: tuple[int, list[dict[date, int]]]) -> None:
    """Days settled at different times are all settled, each with the most rows it ever had."""
    month, times = given
    words, expected = b"", dict[date, int]()
    for days in times:
        words = packed.settle(words, days)
        expected = {day: max(days.get(day, 0), expected.get(day, 0)) for day in {*days, *expected}}

    assert packed.unpack(month, words) == {day: min(rows, MOST) for day, rows in expected.items()}


@FIXED
@given(given=filled(2))
def test_order_and_repetition_do_not_matter(given: tuple[int, list[dict[date, int]]]) -> None:
    """The same days in another order, or twice, are the same bytes."""
    _, (first, second) = given
    there = packed.settle(packed.settle(b"", first), second)

    assert packed.settle(packed.settle(b"", second), first) == there
    assert packed.settle(there, second) == there


@FIXED
@given(given=filled(1))
def test_a_month_stays_small(given: tuple[int, list[dict[date, int]]]) -> None:
    """A month takes two bytes a day up to its last settled day, at most 62."""
    _, (days,) = given

    assert len(packed.settle(b"", days)) == max((2 * day.day for day in days), default=0) <= 62


@FIXED
@given(day=st.dates())
def test_months_are_numbered_in_order(day: date) -> None:
    """A day's month is that of its first, and the next month has the next number."""
    first = day.replace(day=1)

    assert packed.month_of(day) == packed.month_of(first)
    if first < date(9999, 12, 1):
        assert packed.month_of((first + timedelta(days=32)).replace(day=1)) == packed.month_of(day) + 1


def test_no_rows_is_not_unsettled() -> None:
    """A day settled without a row is settled; the days around it are not."""
    day = date(2024, 2, 29)

    assert packed.unpack(packed.month_of(day), packed.settle(b"", {day: 0})) == {day: 0}
    assert packed.unpack(packed.month_of(day), b"") == {}


@FIXED
@given(given=filled(1), first=st.integers(-40, 40), length=st.integers(0, 80))
def test_settled_days_of_a_span(given: tuple[int, list[dict[date, int]]], first: int, length: int) -> None:
    """The settled days of a span are those of the whole month that lie in it, also days without a row."""
    month, (days,) = given
    low = date(month // 12, month % 12 + 1, 1) + timedelta(days=first)
    high = low + timedelta(days=length)
    overlaps = packed.month_of(low) <= month <= packed.month_of(high)
    found = packed.settled(month, packed.settle(b"", days), low, high) if overlaps else ()

    assert sorted(found) == sorted(day for day in days if low <= day <= high)
