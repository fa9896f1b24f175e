"""How many rows are plausible: bounded by the day, by daylight, by the series' own days and by its siblings."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.questions.content import Content, Evidence, Sibling, plausible, usual

COUNTS = st.integers(0, 300)
SETS = st.sampled_from(["EnergyAndPowerPv", "EnergyBalance", "PowerAc", "GridSettings", "SomethingNew"])
EVIDENCE = st.builds(
    Evidence,
    set=SETS,
    minutes=st.sampled_from([None, 1, 5, 15, 60]),
    length=st.sampled_from([timedelta(hours=hours) for hours in (23, 24, 25)]),
    daylight=st.one_of(st.none(), st.integers(0, 24).map(lambda hours: timedelta(hours=hours))),
    lived=st.booleans(),
    usual=st.one_of(st.none(), st.integers(1, 300)),
    siblings=st.lists(st.builds(Sibling, COUNTS, st.one_of(st.none(), st.integers(1, 300))), max_size=5),
)


def known(name: str = "EnergyBalance", **more: Any) -> Evidence:
    """Return what is known of a series of five minutes on a day of 24 hours, 8 of them with sun."""
    usual_day = {"minutes": 5, "length": timedelta(hours=24), "daylight": timedelta(hours=8)}
    return Evidence(set=name, **{**usual_day, **more})


def is_hole(received: int, evidence: Evidence) -> bool:
    """Tell whether so few rows are a hole."""
    return Content(received, plausible(evidence)).hole


@given(share=st.floats(0.55, 1.0), usual_rows=st.integers(10, 288))
def test_a_day_that_lacks_rows_is_no_hole(share: float, usual_rows: int) -> None:
    """Real days lack single rows for ever, so not even four of ten missing ones are missed."""
    evidence = known(usual=usual_rows)

    assert not is_hole(round(share * usual_rows), evidence)


def test_a_day_with_less_than_half_is_a_hole() -> None:
    """Half of what is plausible is enough, one row less is not."""
    evidence = known(usual=usual([288, 280, 284, 12, 286]))

    assert plausible(evidence).rows == 284
    assert not is_hole(142, evidence)
    assert is_hole(141, evidence)


@pytest.mark.parametrize(("hours", "rows"), [(23, 276), (24, 288), (25, 300)])
def test_no_more_rows_are_plausible_than_the_day_has_room_for(hours: int, rows: int) -> None:
    """A day of 23 hours has 276 rows of five minutes, whatever the days around have."""
    assert plausible(known(length=timedelta(hours=hours), usual=400)).rows == rows


def test_a_pv_set_has_no_night_rows() -> None:
    """After a bright summer 96 rows are all that eight hours of sun can give, and other sets go on at night."""
    assert plausible(known("EnergyAndPowerPv", usual=190)).rows == 96
    assert plausible(known("EnergyBalance", usual=190)).rows == 190


def test_a_pv_set_in_the_polar_night_lacks_nothing() -> None:
    """Without sun no row is plausible."""
    evidence = known("EnergyAndPowerPv", daylight=timedelta(), usual=3)

    assert not is_hole(0, evidence)


def test_a_day_on_which_all_siblings_are_low_is_no_hole() -> None:
    """Snow, or a router without power: the cause lies outside of the series."""
    low = [Sibling(12, 280), Sibling(0, 150), Sibling(30, 200)]

    assert not is_hole(10, known(usual=280, siblings=low))
    assert is_hole(10, known(usual=280, siblings=[*low, Sibling(199, 200)]))


def test_siblings_stand_in_where_a_series_has_no_days_to_compare_with() -> None:
    """The first day that is harvested, and an outage longer than the days looked at."""
    siblings = [Sibling(120, None), Sibling(118, None), Sibling(3, None)]

    assert plausible(known("PowerAc", siblings=siblings)).rows == 118
    assert is_hole(0, known("PowerAc", usual=usual([0] * 28), siblings=siblings))


def test_with_nothing_to_compare_the_day_itself_decides() -> None:
    """Daylight for inverters, which may sleep at night; the whole day for others; nothing for sets in no document."""
    assert plausible(known("PowerAc")).rows == 96
    assert plausible(known("EnergyBalance")).rows == 288
    assert plausible(known("SomethingNew")).rows == 0
    assert plausible(known("EnergyBalance", minutes=None)).rows == 0


def test_events_are_never_missed() -> None:
    """GridSettings has rows when the grid operator says something."""
    assert not is_hole(0, known("GridSettings", usual=8))


def test_a_series_lacks_nothing_before_its_first_row() -> None:
    """A device built in later has no rows from before, though its siblings do."""
    assert not is_hole(0, known("EnergyAndPowerPv", lived=False, siblings=[Sibling(96, 96)]))


@given(evidence=EVIDENCE)
def test_what_is_plausible_fits_into_the_day(evidence: Evidence) -> None:
    """Never more than the intervals of the day, of daylight for PV, and always with a reason."""
    found = plausible(evidence)

    assert found.rows >= 0
    assert found.basis
    if evidence.minutes:
        assert found.rows <= evidence.length / timedelta(minutes=evidence.minutes)
        if evidence.set == "EnergyAndPowerPv" and evidence.daylight is not None:
            assert found.rows <= evidence.daylight / timedelta(minutes=evidence.minutes)


@given(evidence=EVIDENCE, received=COUNTS, more=COUNTS)
def test_more_rows_make_no_hole(evidence: Evidence, received: int, more: int) -> None:
    """A day that is no hole stays none when rows come late, and one with all that is plausible is none."""
    expected = plausible(evidence)

    assert Content(received, expected).hole or not Content(received + more, expected).hole
    assert not Content(expected.rows, expected).hole
    assert Content(received, expected).why


@given(st.lists(COUNTS, min_size=1))
def test_the_usual_day_is_one_between_the_poorest_and_the_richest(around: list[int]) -> None:
    """The median, or None where most days are empty."""
    found = usual(around)

    assert found is None or min(around) <= found <= max(around)
