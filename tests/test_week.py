"""Which days a Week covers: what the answers so far allow, and never more than they allow."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester import plan
from harvester.model import Period, Series
from harvester.week import Convention, WeekRule

DAY = timedelta(days=1)
FIXED = settings(deadline=None, derandomize=True)
SERIES = Series(plant_id="1", set="EnergyBalance")
RULES = [WeekRule(some) for n in (1, 2, 3) for some in combinations(Convention, n)]

days = st.dates(date(2015, 1, 1), date(2030, 12, 31))
rules = st.sampled_from(RULES)
conventions = st.sampled_from(list(Convention))


def test_conventions_by_hand() -> None:
    """Asked for a Wednesday, the seven days begin with it, with the Monday or with the Sunday before."""
    wednesday = date(2026, 7, 15)

    assert {convention: convention.first_day(wednesday) for convention in Convention} == {
        Convention.DATE: date(2026, 7, 15),
        Convention.MONDAY: date(2026, 7, 13),
        Convention.SUNDAY: date(2026, 7, 12),
    }


@FIXED
@given(convention=conventions, asked=days)
def test_a_week_is_seven_days_with_the_one_asked(convention: Convention, asked: date) -> None:
    """Each convention covers seven days in a row, the one asked for among them."""
    first, covered = convention.first_day(asked), convention.days(asked)

    assert covered == {first + DAY * n for n in range(7)}
    assert asked in covered
    assert {Convention.MONDAY: 0, Convention.SUNDAY: 6}.get(convention, first.weekday()) == first.weekday()


@FIXED
@given(rule=rules, asked=days)
def test_what_is_covered_is_sure(rule: WeekRule, asked: date) -> None:
    """A day counts as covered if, and only if, every convention left covers it; the day asked for always does."""
    near = [asked + DAY * n for n in range(-8, 9)]

    assert rule.covers(asked) == {day for day in near if all(day in c.days(asked) for c in rule.possible)}
    assert asked in rule.covers(asked)


@FIXED
@given(rule=rules, first=days)
def test_the_grid_holds_the_first_day_in_its_first_week(rule: WeekRule, first: date) -> None:
    """The grid begins no later than the first day, less than a week before it, where a known week begins."""
    begin = rule.grid(first)

    assert begin <= first < begin + 7 * DAY
    assert not rule.known or rule.possible[0].first_day(begin) == begin


@FIXED
@given(rule=rules, first=days, length=st.integers(1, 40), gaps=st.sets(st.integers(0, 39)))
def test_whatever_is_possible_all_days_are_covered(rule: WeekRule, first: date, length: int, gaps: set[int]) -> None:
    """Every due day is in exactly one request, and whichever convention is the right one, its answer holds it."""
    due = [first + DAY * n for n in range(length) if n not in gaps] or [first]
    pieces = list(plan.slices(SERIES, due, rule, rule.grid(due[0])))

    assert sorted(day for piece in pieces for day in piece.days) == due
    for piece in pieces:
        for convention in rule.possible:
            held = convention.days(piece.date) if piece.period is Period.WEEK else {piece.date}
            assert set(piece.days) <= held


def fewest(rule: WeekRule, due: Sequence[date]) -> int:
    """Return the fewest requests that are sure to cover *due*.

    Each covers days in a row, so that going on from the first day left with the one that reaches furthest is best.
    """
    left, spent = list(due), 0
    while left:
        reach = max((rule.covers(left[0] - DAY * n) for n in range(7)), key=lambda c: (left[0] in c, max(c)))
        left = [day for day in left[1:] if day not in reach]
        spent += 1
    return spent


@FIXED
@given(rule=rules, first=days, length=st.integers(1, 60), gaps=st.sets(st.integers(0, 59)))
def test_no_covering_needs_fewer_requests(rule: WeekRule, first: date, length: int, gaps: set[int]) -> None:
    """As long as several conventions are possible, with any days missing; where one is known, for days in a row."""
    due = [first + DAY * n for n in range(length) if rule.known or n not in gaps] or [first]

    assert len(list(plan.slices(SERIES, due, rule, rule.grid(due[0])))) == fewest(rule, due)


@FIXED
@given(rule=rules, first=days)
def test_a_year_of_empty_answers_is_cheap(rule: WeekRule, first: date) -> None:
    """Where nothing is ever learned, seven days still cost two requests at most."""
    due = [first + DAY * n for n in range(730)]

    assert len(list(plan.slices(SERIES, due, rule, rule.grid(first)))) <= 0.29 * len(due)


def test_only_one_convention_left_is_known() -> None:
    """A rule is known when one convention is left, and to begin with all are possible."""
    assert WeekRule().possible == tuple(Convention)
    assert [rule.known for rule in RULES] == [True] * 3 + [False] * 4


@FIXED
@given(truth=conventions, answers=st.lists(st.tuples(days, st.sets(st.integers(0, 6))), max_size=12))
def test_the_true_convention_is_never_excluded(truth: Convention, answers: list[tuple[date, set[int]]]) -> None:
    """Answers that follow one convention, with whatever days missing, never exclude it."""
    rule = WeekRule()
    for asked, filled in answers:
        rule = rule.learn(asked, [truth.first_day(asked) + DAY * n for n in filled])
        assert truth in rule.possible
        assert rule.covers(asked) <= truth.days(asked)


@FIXED
@given(truth=conventions, monday=days.map(Convention.MONDAY.first_day), weekday=st.integers(1, 5))
def test_one_full_answer_tells(truth: Convention, monday: date, weekday: int) -> None:
    """One answer with all seven days, asked for any day from Tuesday to Saturday, leaves the true convention."""
    asked = monday + DAY * weekday

    assert WeekRule().learn(asked, truth.days(asked)) == WeekRule((truth,))


@FIXED
@given(truth=conventions, monday=days.map(Convention.MONDAY.first_day))
def test_two_full_answers_tell_on_any_day(truth: Convention, monday: date) -> None:
    """Full answers asked for a Monday and a Sunday together leave the true convention."""
    rule = WeekRule()
    for asked in (monday, monday - DAY):
        rule = rule.learn(asked, truth.days(asked))

    assert rule == WeekRule((truth,))


@FIXED
@given(truth=conventions, asked=days, gaps=st.lists(st.sets(st.integers(0, 6), max_size=3), min_size=40, max_size=40))
def test_weeks_with_gaps_tell_in_the_end(truth: Convention, asked: date, gaps: list[set[int]]) -> None:
    """Asked for day after day, answers that lack up to three days each leave the true convention in the end."""
    rule = WeekRule()
    for n, missing in enumerate(gaps):
        first = truth.first_day(asked + DAY * n)
        rule = rule.learn(asked + DAY * n, [first + DAY * m for m in range(7) if m not in missing])
    for n in range(7):  # and one full week for each day of the week settles it
        rule = rule.learn(asked + DAY * n, truth.days(asked + DAY * n))

    assert rule == WeekRule((truth,))


@FIXED
@given(rule=rules, asked=days, filled=st.sets(st.integers(-20, 20)))
def test_learning_never_leaves_nothing(rule: WeekRule, asked: date, filled: set[int]) -> None:
    """Whatever an answer holds, some conventions stay, none comes back, and one that fits none teaches nothing."""
    found = [asked + DAY * n for n in filled]
    learned = rule.learn(asked, found)
    fitting = [c for c in rule.possible if set(found) <= c.days(asked)]

    assert learned == (WeekRule(tuple(fitting)) if fitting else rule)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: ",".join(rule.possible))
def test_an_empty_answer_teaches_nothing(rule: WeekRule) -> None:
    """An answer without rows fits every convention."""
    assert rule.learn(date(2026, 7, 15), []) == rule
