"""Stamps: words to interval ends to instants and wall clocks of interval starts."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester import clock
from harvester.lake import stamps

FIXED = settings(deadline=None, derandomize=True)
FIVE = timedelta(minutes=5)
at = datetime.fromisoformat


def place(ends: list[datetime], minutes: int | None, zone: str) -> tuple[list[datetime], list[datetime], str]:
    """Return instants and wall clocks of the starts, and what was lost."""
    frame, lost = stamps.place(pl.DataFrame({"time": ends}, schema={"time": pl.Datetime("us")}), minutes, zone)
    return frame.get_column("time").to_list(), frame.get_column("local_time").to_list(), lost


def day_of(zone: str, day: date) -> tuple[list[datetime], list[datetime]]:
    """Return the starts (naive UTC) of the five-minute intervals of a day, and the local ends that stamp them."""
    where = ZoneInfo(zone)
    start = datetime.combine(day, time(), tzinfo=where).astimezone(UTC)
    end = datetime.combine(day + timedelta(days=1), time(), tzinfo=where).astimezone(UTC)
    starts = [start + FIVE * n for n in range((end - start) // FIVE)]
    ends = [(moment + FIVE).astimezone(where).replace(tzinfo=None) for moment in starts]
    return [moment.replace(tzinfo=None) for moment in starts], ends


@given(
    st.datetimes(min_value=at("1970-01-01"), max_value=at("2199-12-31")),
    st.text("0123456789", max_size=9),
)
@settings(FIXED, max_examples=200)
def test_fractions(moment: datetime, digits: str) -> None:
    """A stamp may have none to nine fractional digits, of which microseconds are kept."""
    words = moment.strftime("%Y-%m-%dT%H:%M:%S").zfill(19) + (f".{digits}" if digits else "")
    microseconds = int((digits + "000000")[:6])

    parsed = stamps.parse(pl.Series([words, "2024-06-01T00:00:00"])).to_list()

    assert parsed == [moment.replace(microsecond=microseconds), at("2024-06-01")]


@pytest.mark.parametrize(
    "words",
    [
        *("", "now", "2024-06-01", "2024-06-01T00:00", "2024-02-30T00:00:00", "2024-06-01T25:00:00"),
        *(
            "2024-06-01T00:00:00Z",
            "2024-06-01T00:00:00+02:00",
            "2024-06-01T00:00:00.",
            "2024-06-01T00:00:00.1234567890",
        ),
        *("2024-06-01 00:00:00", "01.06.2024 00:00", "2024-06-01T00:00:00 ", "12024-06-01T00:00:00", "1717200000"),
    ],
)
def test_other_words_are_refused(words: str) -> None:
    """What is no local time without offset is refused, and the refusal shows it."""
    with pytest.raises(ValueError, match="not a local time") as caught:
        stamps.parse(pl.Series(["2024-06-01T00:00:00", words]))

    assert repr(words)[:50] in str(caught.value)


@pytest.mark.parametrize("minutes", [1, 5, 15, 60])
def test_a_resolution_is_inferred_on_a_grid(minutes: int) -> None:
    """Rows on a grid from midnight show their resolution, also with gaps between them."""
    ends = [at("2024-06-01") + timedelta(minutes=minutes) * n for n in (1, 2, 3, 7, 30)]

    assert stamps.infer_minutes(ends) == minutes


@pytest.mark.parametrize(
    "ends",
    [
        [],
        [at("2024-06-01T00:05"), at("2024-06-01T00:10")],
        [at("2024-06-01T00:05")] * 4,
        [at("2024-06-01T00:05:01"), at("2024-06-01T00:10:01"), at("2024-06-01T00:15:01")],
        [at("2024-06-01T00:05:00.000007"), at("2024-06-01T00:10"), at("2024-06-01T00:15")],
        [at("2024-06-01T00:07"), at("2024-06-01T00:14"), at("2024-06-01T00:21")],
        [at("2024-06-01T00:06"), at("2024-06-01T00:11"), at("2024-06-01T00:16")],
    ],
)
def test_point_samples_have_no_resolution(ends: list[datetime]) -> None:
    """Too few rows, rows off the grid and rows at odd distances are point samples."""
    assert stamps.infer_minutes(ends) is None


def test_ends_become_starts() -> None:
    """A stamp at the end of an interval becomes its start; the midnight row belongs to the day before."""
    ends = [at("2024-06-01T00:05"), at("2024-06-02")]

    assert place(ends, 5, "Europe/Berlin") == (
        [at("2024-05-31T22:00"), at("2024-06-01T21:55")],
        [at("2024-06-01"), at("2024-06-01T23:55")],
        "",
    )


def test_a_point_sample_is_its_own_instant() -> None:
    """Without a resolution the time is the stamp itself."""
    sample = at("2024-06-01T00:37:01.202407")

    assert place([sample], None, "UTC") == ([sample], [sample], "")


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Berlin", date(2024, 3, 31)),
        ("Europe/Berlin", date(2024, 10, 27)),
        ("America/New_York", date(2024, 3, 10)),
        ("America/New_York", date(2024, 11, 3)),
        ("Australia/Lord_Howe", date(2024, 4, 7)),
        ("Australia/Lord_Howe", date(2024, 10, 6)),
        ("Asia/Kolkata", date(2024, 6, 1)),
        ("Asia/Kathmandu", date(2024, 6, 1)),
    ],
)
def test_whole_days_near_a_change_of_clock(zone: str, day: date) -> None:
    """Every interval of a day, long, short or plain, comes back to its very instant and to its day."""
    starts, ends = day_of(zone, day)
    instants, walls, lost = place(ends, 5, zone)

    assert instants == starts
    assert {wall.date() for wall in walls} == {day}
    assert lost == ""


@given(
    st.sampled_from(["Europe/Berlin", "America/Sao_Paulo", "Asia/Kolkata", "Pacific/Apia", "UTC"]),
    st.dates(date(2021, 1, 1), date(2025, 12, 31)),
    st.sets(st.integers(0, 275), min_size=1, max_size=20),
)
@settings(FIXED, max_examples=120)
def test_sparse_days(zone: str, day: date, present: set[int]) -> None:
    """Where the clock does not change, any rows of a day come back to their instants, however sparse."""
    starts, ends = day_of(zone, day)
    near = clock.changes(zone, ends[0], ends[-1])
    kept = [] if near else [n for n in sorted(present) if n < len(starts)]
    instants, _, lost = place([ends[n] for n in kept], 5, zone)

    assert instants == [starts[n] for n in kept]
    assert lost == ""


def test_repeated_days_are_marked() -> None:
    """Rows of the day that repeats an hour are marked, those of its neighbours are not."""
    ends = [at("2024-10-26T23:55"), at("2024-10-27T12:00"), at("2024-10-28T00:05")]
    frame, _ = stamps.place(pl.DataFrame({"time": ends}), 5, "Europe/Berlin")

    assert frame.get_column("_repeats").to_list() == [False, True, False]


def test_a_stamp_that_was_never_shown() -> None:
    """A stamp inside the skipped hour is left out and told; the rows around it stay."""
    ends = [at("2024-03-31T01:55"), at("2024-03-31T02:30"), at("2024-03-31T03:05")]
    instants, walls, lost = place(ends, 5, "Europe/Berlin")

    assert instants == [at("2024-03-31T00:50"), at("2024-03-31T01:00")]
    assert walls == [at("2024-03-31T01:50"), at("2024-03-31T03:00")]
    assert lost.startswith("1 stamps")
    assert "2024-03-31T02:30:00" in lost


@pytest.mark.parametrize("odd", [at("0001-01-01"), at("1969-12-31"), at("9999-12-31T23:59:59")])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "Pacific/Kiritimati"])
def test_a_stamp_of_no_possible_year(odd: datetime, zone: str) -> None:
    """A server's default stamp is left out and told, and costs no other row and no overflow."""
    instants, _, lost = place([odd, at("2024-06-01T12:05")], 5, zone)

    assert len(instants) == 1
    assert "no year" in lost
    assert f"{odd.year:04d}-" in lost


def test_both_kinds_of_odd_stamps() -> None:
    """Stamps lost for different reasons are told together."""
    ends = [at("0001-01-01"), at("2024-03-31T02:30"), at("2024-03-31T03:05")]
    instants, _, lost = place(ends, 5, "Europe/Berlin")

    assert instants == [at("2024-03-31T01:00")]
    assert "no year" in lost
    assert "never showed" in lost


def test_no_rows() -> None:
    """Without rows there is nothing to place."""
    assert place([], 5, "Europe/Berlin") == ([], [], "")
