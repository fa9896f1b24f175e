"""Which Month, Year and Total requests are due, and when what came is final."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester import clock, periods
from harvester.model import EVER, Payload, Period, Series, Slice, Stretch
from harvester.plan import Span

BERLIN = clock.zone("Europe/Berlin")
SETTLE = timedelta(days=3)
OCTOBER = Stretch(Period.MONTH, date(2026, 10, 1))
YEAR = Stretch(Period.YEAR, date(2026, 1, 1))
TOTAL = Stretch(Period.TOTAL, EVER)
NOW = datetime(2026, 10, 20, 12, tzinfo=UTC)
DAYS = st.dates(date(1990, 1, 1), date(2100, 1, 1))
MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)).map(  # noqa: DTZ001 - made aware here
    lambda moment: moment.replace(tzinfo=UTC)
)
STRETCHES = st.one_of(
    DAYS.map(lambda day: Stretch(Period.MONTH, day.replace(day=1))),
    DAYS.map(lambda day: Stretch(Period.YEAR, day.replace(month=1, day=1))),
    st.just(TOTAL),
)


def look(stretch: Stretch, asked_at: datetime) -> datetime | None:
    """Return when a plant in Berlin is asked again."""
    return periods.next_look(stretch, BERLIN, asked_at=asked_at, settle_after=SETTLE)


def test_a_span_touches_its_months_its_years_and_all_time() -> None:
    """One Month for each calendar month, one Year for each year, one Total."""
    found = list(periods.touched(Span(date(2025, 11, 30), date(2026, 1, 1))))

    months = [Stretch(Period.MONTH, date(2025, 11, 1)), Stretch(Period.MONTH, date(2025, 12, 1))]
    assert found == [
        *months,
        Stretch(Period.MONTH, date(2026, 1, 1)),
        Stretch(Period.YEAR, date(2025, 1, 1)),
        YEAR,
        TOTAL,
    ]


@given(first=DAYS, length=st.integers(0, 1500))
def test_every_day_of_a_span_lies_in_one_month_and_one_year_of_it(first: date, length: int) -> None:
    """Nothing is left out, nothing is asked twice, and nothing that the span does not touch."""
    span = Span(first, first + timedelta(days=length))
    found = list(periods.touched(span))

    assert len(found) == len(set(found))
    assert {s.start for s in found if s.period is Period.MONTH} == {day.replace(day=1) for day in span}
    assert {s.start for s in found if s.period is Period.YEAR} == {day.replace(month=1, day=1) for day in span}
    assert found.count(TOTAL) == 1


def test_an_empty_span_touches_nothing() -> None:
    """A plant that starts after the span is not asked."""
    assert list(periods.touched(Span(date(2026, 1, 2), date(2026, 1, 1)))) == []


@given(known=st.dictionaries(STRETCHES, st.none() | MOMENTS), first=DAYS, length=st.integers(0, 99), now=MOMENTS)
def test_what_is_final_or_waits_is_never_due(
    known: dict[Stretch, datetime | None], first: date, length: int, now: datetime
) -> None:
    """What was never asked is due, what waits is not, what is final is never again."""
    span = Span(first, first + timedelta(days=length))
    due = periods.due(span, known, now, resume=False)

    for stretch in periods.touched(span):
        next_at = known.get(stretch, now)
        assert (stretch in due) == (next_at is not None and next_at <= now)


def test_a_run_asks_again_what_was_left_unfinished_before_its_span() -> None:
    """After an outage October is finished, though the run begins in November; a backfill keeps to its span."""
    november = Span(date(2026, 11, 10), date(2026, 11, 20))
    known: dict[Stretch, datetime | None] = {OCTOBER: NOW, Stretch(Period.MONTH, date(2026, 9, 1)): None}
    now = datetime(2026, 11, 20, tzinfo=UTC)

    assert OCTOBER in periods.due(november, known, now, resume=True)
    assert OCTOBER not in periods.due(november, known, now, resume=False)


@pytest.mark.parametrize(("stretch", "days"), [(OCTOBER, 1), (YEAR, 7), (TOTAL, 30)])
def test_what_still_grows_is_asked_again_the_later_the_less_it_grows(stretch: Stretch, days: int) -> None:
    """A Month after a day, a Year after a week, a Total after a month."""
    assert look(stretch, NOW) == NOW + timedelta(days=days)


def test_a_month_is_not_looked_at_in_the_first_hours_of_a_day() -> None:
    """Yesterday's sum is whole in the morning only: devices report up to three hours late."""
    assert look(OCTOBER, datetime(2026, 10, 19, 22, 30, tzinfo=UTC)) == datetime(2026, 10, 21, 4, tzinfo=UTC)


def test_a_month_is_final_once_it_has_settled() -> None:
    """A read begun three days after the month's local end, 23:00 UTC in winter, and none before."""
    settled = datetime(2026, 11, 2, 23, tzinfo=UTC) + timedelta(days=1)

    assert look(OCTOBER, settled) is None
    assert look(OCTOBER, settled - timedelta(seconds=1)) == settled


@given(stretch=STRETCHES, asked_at=MOMENTS)
def test_the_next_look_lies_ahead_and_is_the_last_one_when_it_has_settled(stretch: Stretch, asked_at: datetime) -> None:
    """Looks go forward, by no more than the distance of the period and a morning; only a Total has no end."""
    again = look(stretch, asked_at)

    if again is not None:
        assert asked_at < again <= asked_at + periods.AGAIN[stretch.period] + periods.MORNING + timedelta(hours=1)
    else:
        assert stretch != TOTAL
        assert asked_at.date() >= stretch.start


@given(wanted=st.lists(st.tuples(st.sampled_from("123"), STRETCHES), unique=True))
def test_a_batch_is_of_one_file(wanted: list[tuple[str, Stretch]]) -> None:
    """Each request is in one batch, and no two batches write the same file."""
    pairs = [(Series(plant_id=plant, set="EnergyBalance"), stretch) for plant, stretch in wanted]
    found = periods.batches(4, pairs)

    written = [{(s.period, s.date.year if s.period is not Period.TOTAL else None) for s in b.slices} for b in found]
    assert all(len(files) == 1 for files in written)
    assert len({next(iter(files)) for files in written}) == len(found)
    assert sorted((str(s.series), s.date, s.period) for b in found for s in b.slices) == sorted(
        (str(series), stretch.start, stretch.period) for series, stretch in pairs
    )
    assert all(batch.summed and batch.part == 4 for batch in found)


def test_only_the_energy_of_a_whole_plant_is_summed_up() -> None:
    """Requests are scarce: no other set and no device."""
    assert periods.sums_up(Series(plant_id="1", set="EnergyBalance"))
    assert not periods.sums_up(Series(plant_id="1", set="GridSettings"))
    assert not periods.sums_up(Series(plant_id="1", set="EnergyBalance", device_id="2"))


def test_the_ledger_is_told_of_an_answer() -> None:
    """The stretch, when it was asked and when it is due again."""
    piece = Slice(series=Series(plant_id="1", set="EnergyBalance"), period=Period.MONTH, date=OCTOBER.start, days=())
    read = periods.read_of(Payload(slice=piece, body=b"", asked_at=NOW), 9, BERLIN, SETTLE)

    assert (read.series_id, read.stretch, read.asked_at) == (9, OCTOBER, NOW)
    assert read.next_at == NOW + timedelta(days=1)
