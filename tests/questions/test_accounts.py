"""Two sums of the same energy: when they agree, and what it means when they do not."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.lake.energy import Energy
from harvester.questions.accounts import OF_A_DAY, OF_A_MONTH, Compared, Tolerance, Verdict, compare_day, compare_month

NOW = datetime(2026, 11, 5, 12, tzinfo=UTC)
WH = st.floats(-1e9, 1e9)


def energy(wh: Mapping[str, float], **facts: Any) -> Energy:
    """Return a sum of the tenth of October."""
    return Energy(
        **{"plant_id": "1", "start": date(2026, 10, 10), "wh": wh, "changed_at": NOW, "minutes": 1440, **facts}
    )


def day(ours: Energy | None, theirs: Energy | None, tolerance: Tolerance = OF_A_DAY) -> Compared:
    """Compare a day of 24 hours."""
    return compare_day(ours, theirs, length=1440, read_at=NOW, tolerance=tolerance)


@given(ours=WH, theirs=WH, absolute=st.floats(0, 1e4), relative=st.floats(0, 1))
def test_a_difference_must_be_beyond_both_limits(ours: float, theirs: float, absolute: float, relative: float) -> None:
    """Within either of them two sums agree, whatever the other says."""
    apart = abs(ours - theirs)
    allowed = apart <= absolute or apart <= relative * abs(theirs)

    assert Tolerance(absolute, relative).allows(ours, theirs) == allowed


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (175.0, 167.0),
        (902.0, 888.0),
        (1163.0, 1165.0),
        (181.0, 176.0),
        (712.0, 707.0),
        (270.0, 257.0),
        (131.0, 120.0),
    ],
)
def test_the_published_week_is_within_the_tolerance(ours: float, theirs: float) -> None:
    """Seven winter days out of BasicReporting, their intraday sums beside their Month rows."""
    assert day(energy({"pv_generation": ours}), energy({"pv_generation": theirs})) == Compared()


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        ({}, {}, Verdict.DIFFERS),
        ({}, {"provisional": True}, Verdict.PROVISIONAL),
        ({"changed_at": NOW + timedelta(seconds=1)}, {}, Verdict.PROVISIONAL),
        ({"minutes": 1435}, {}, Verdict.INCOMPLETE),
        ({"minutes": 1435}, {"provisional": True}, Verdict.PROVISIONAL),
    ],
)
def test_only_what_is_whole_and_final_differs(ours: dict[str, Any], theirs: dict[str, Any], verdict: Verdict) -> None:
    """What still grows and what lacks rows is said to be so."""
    found = day(energy({"x": 1000.0}, **ours), energy({"x": 900.0}, **theirs))

    assert [d.verdict for d in found.differences] == [verdict]


def test_rows_of_no_known_length_cannot_be_summed() -> None:
    """Point samples have no length."""
    found = day(energy({"x": 1.0}, minutes=None), energy({"x": 1.0}))

    assert (found.done, found.missing) == (False, ("some of its rows do not tell how long their interval is",))


def test_a_month_that_lacks_days_is_incomplete() -> None:
    """Thirty of thirty-one days cannot add up."""
    days = [energy({"x": 1.0}, start=date(2026, 10, n)) for n in range(1, 31)]
    found = compare_month(days, energy({"x": 31.0}), length=31, read_at=NOW)

    assert [d.verdict for d in found.differences] == [Verdict.INCOMPLETE]


@given(values=st.lists(st.floats(0, 1e6), min_size=1, max_size=31))
def test_days_add_up_exactly(values: list[float]) -> None:
    """The order of adding makes no difference that a month would notice."""
    days = [energy({"x": value}) for value in values]
    whole = energy({"x": sum(reversed(values))})

    assert compare_month(days, whole, length=len(days), read_at=NOW).differences == ()
    assert OF_A_MONTH.relative == 0
