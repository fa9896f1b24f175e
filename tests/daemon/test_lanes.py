"""Whose turn it is, in simulated time: one request after another, spread over the window."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.daemon.lanes import FLOORS, PATIENCE, Lane, Rota

WINDOW, BUDGET = 300.0, 200
STEP = WINDOW / BUDGET
Work = Callable[[float], Collection[Lane]]
Taken = list[tuple[float, Lane]]

LANES = st.sets(st.sampled_from(list(Lane)), min_size=2)


def saturated(work: Work, windows: int, limit: int | None = BUDGET, slice_size: int = 1) -> Taken:
    """Spend the budget of so many windows evenly on whatever lane is chosen; return what was spent when."""
    rota, taken = Rota(WINDOW), []
    for number in range(0, windows * BUDGET, slice_size):
        now = number * STEP
        lane = rota.choose(work(now), now, limit)
        if lane is not None:
            rota.spend(lane, now, slice_size)
            taken += [(now, lane)] * slice_size
    return taken


def within(taken: Taken, lane: Lane, start: float, end: float) -> int:
    """Count what *lane* spent from *start* until *end*."""
    return sum(1 for now, one in taken if one is lane and start <= now < end)


@settings(max_examples=40, deadline=None)
@given(pending=LANES, known=st.booleans(), slice_size=st.integers(1, 5))
def test_nobody_with_a_floor_starves(pending: set[Lane], *, known: bool, slice_size: int) -> None:
    """Over any three windows each lane that always has work gets its floor at least once."""
    taken = saturated(lambda _: pending, 9, BUDGET if known else None, slice_size)

    for lane in pending & FLOORS.keys():
        floor = max(1, int(FLOORS[lane] * BUDGET))
        least = min(within(taken, lane, start, start + 3 * WINDOW) for start in range(0, int(6 * WINDOW), 50))
        assert least >= floor, lane


@settings(max_examples=40, deadline=None)
@given(pending=LANES, slice_size=st.integers(1, 5))
def test_most_goes_to_the_most_urgent(pending: set[Lane], slice_size: int) -> None:
    """Floors never take more than they are: whoever is first gets all the rest."""
    taken = saturated(lambda _: pending, 9, slice_size=slice_size)
    first = min(pending)
    floors = sum(max(1.0, FLOORS.get(lane, 0.0) * BUDGET) + slice_size for lane in pending - {first})

    assert within(taken, first, WINDOW, 9 * WINDOW) >= 8 * (BUDGET - floors)


@settings(max_examples=40, deadline=None)
@given(pending=LANES)
def test_lanes_do_not_take_turns_all_the_time(pending: set[Lane]) -> None:
    """A window sees two changes for each lane that waits, at the most."""
    taken = saturated(lambda _: pending, 9)
    changes = [now for (_, before), (now, after) in pairwise(taken) if before is not after]

    for start in range(0, int(8 * WINDOW), 50):
        assert sum(start <= now < start + WINDOW for now in changes) <= 2 * (len(pending) - 1) + 1


@pytest.mark.parametrize("lane", list(Lane))
def test_a_lane_alone_gets_everything(lane: Lane) -> None:
    """Floors keep nothing free for those who want nothing."""
    taken = saturated(lambda _: {lane}, 4)

    assert [one for _, one in taken] == [lane] * 4 * BUDGET


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0.05, 0.5), others=st.sets(st.sampled_from(list(FLOORS)), min_size=1, max_size=2))
def test_live_goes_first_at_once_while_there_is_room_for_all(share: float, others: set[Lane]) -> None:
    """Where live leaves the others more than their floors, nothing ever goes before it."""
    rota, due, late = Rota(WINDOW), 0, []
    for number in range(8 * BUDGET):
        now = number * STEP
        due += int(number * share) - int((number - 1) * share) if number else 1
        # What is wanted beside live ends as well: a lane is never kept below its floor by live.
        wanted = {lane for lane in others if number % 60 < 20} | ({Lane.LIVE} if due else set())
        lane = rota.choose(wanted, now, BUDGET)
        if lane is not None:
            rota.spend(lane, now)
            due -= lane is Lane.LIVE
        late += [number] if Lane.LIVE in wanted and lane is not Lane.LIVE else []

    assert late == []


@settings(max_examples=40, deadline=None)
@given(
    spans=st.lists(
        st.tuples(st.sampled_from(list(Lane)), st.floats(0, 6 * WINDOW), st.floats(0, 2 * WINDOW)), max_size=12
    )
)
def test_somebody_works_whenever_there_is_work(spans: list[tuple[Lane, float, float]]) -> None:
    """Work that comes and goes is done by one who has work; nobody is chosen where there is none."""
    rota = Rota(WINDOW)
    for number in range(8 * BUDGET):
        now = number * STEP
        pending = {lane for lane, start, length in spans if start <= now < start + length}
        lane = rota.choose(pending, now, BUDGET)
        assert (lane in pending) if pending else lane is None
        if lane is not None:
            rota.spend(lane, now)


def test_who_is_at_work_gives_way_to_the_more_urgent_and_to_nobody_else() -> None:
    """Backfill stops for live; live does not stop for backfill; order of urgency as it is drawn."""
    rota = Rota(WINDOW)

    assert rota.gives_way(Lane.BACKFILL, {Lane.LIVE}, 0.0, BUDGET)
    assert not rota.gives_way(Lane.LIVE, {Lane.BACKFILL}, 0.0, BUDGET)
    assert not rota.gives_way(Lane.BACKFILL, set(), 0.0, BUDGET)
    assert sorted(Lane) == [
        Lane.LIVE,
        Lane.CONSENT,
        Lane.DISCOVER,
        Lane.SETTLE,
        Lane.REPAIR,
        Lane.HOUSEKEEPING,
        Lane.BACKFILL,
    ]


def test_a_starving_lane_keeps_its_turn_until_it_has_had_its_floor() -> None:
    """After a window of live alone, late work gets its fifth in one piece, and then live goes on for a window."""
    taken = saturated(lambda _: {Lane.LIVE, Lane.SETTLE}, 3)
    lanes = [lane for _, lane in taken]

    assert lanes[:BUDGET] == [Lane.LIVE] * BUDGET
    assert lanes[BUDGET : BUDGET + 40] == [Lane.SETTLE] * 40
    assert lanes[BUDGET + 40 : 2 * BUDGET + 40] == [Lane.LIVE] * BUDGET


def test_a_turn_that_spends_nothing_ends() -> None:
    """Work without requests, or against a silent server, holds the others up for twice its share of the time."""
    rota = Rota(WINDOW)
    both = {Lane.LIVE, Lane.HOUSEKEEPING}
    rota.choose(both, 0.0, BUDGET)
    rota.spend(Lane.LIVE, 100.0, 50)
    ends = WINDOW + PATIENCE * FLOORS[Lane.HOUSEKEEPING] * WINDOW

    assert rota.choose(both, WINDOW, BUDGET) is Lane.HOUSEKEEPING
    assert rota.choose(both, ends - 0.1, BUDGET) is Lane.HOUSEKEEPING
    assert rota.choose(both, ends, BUDGET) is Lane.LIVE
    assert rota.choose(both, ends + WINDOW - 1, BUDGET) is Lane.LIVE
    assert rota.choose(both, ends + WINDOW, BUDGET) is Lane.HOUSEKEEPING


def test_what_was_spent_is_forgotten_after_a_window() -> None:
    """The rota counts what a lane spent within one window."""
    rota = Rota(WINDOW)
    rota.spend(Lane.REPAIR, 0.0, 3)
    rota.spend(Lane.REPAIR, 200.0, 2)

    assert [rota.spent(Lane.REPAIR, now) for now in (200.0, 300.0, 306.0, 506.0)] == [5, 5, 2, 0]
