"""Local days: their lengths, their stamps, their changes of clock."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from harvester.sandbox import Cloud, Reading, Settings
from harvester.sandbox.zones import grid, place, zone

AFTER = datetime(2026, 1, 1, tzinfo=UTC)


def rows(zone_name: str, day: date, **settings: Any) -> list[Reading]:
    """Return a balance of that day and zone, flawless."""
    cloud = Cloud(Settings(plants=1, zones=(zone_name,), **settings), now=lambda: AFTER)
    return cloud.truth.rows(cloud.truth.series()[0], day)


@pytest.mark.parametrize(
    ("zone_name", "day", "expected"),
    [
        ("Europe/Berlin", date(2024, 6, 1), 288),
        ("Europe/Berlin", date(2024, 3, 31), 276),
        ("Europe/Berlin", date(2024, 10, 27), 300),
        ("Australia/Lord_Howe", date(2024, 4, 7), 294),
        ("Australia/Lord_Howe", date(2024, 10, 6), 282),
        ("America/St_Johns", date(2024, 3, 10), 276),
        ("America/St_Johns", date(2024, 11, 3), 300),
        ("Africa/Cairo", date(2024, 4, 26), 276),
        ("Asia/Kolkata", date(2024, 10, 27), 288),
    ],
)
def test_lengths_of_days(zone_name: str, day: date, expected: int) -> None:
    """A day has as many intervals as hours, also where clocks change by half an hour or at midnight."""
    found = rows(zone_name, day)

    assert len(found) == expected
    assert all(b.start_utc - a.start_utc == timedelta(minutes=5) for a, b in pairwise(found))
    assert {row.start_local.date() for row in found} == {day}


async def test_the_repeated_hour_comes_twice_in_order(opening: Any, clock: Any) -> None:
    """In autumn the stamps from 02:00 to 02:55 come twice, equal, the first pass before the second."""
    clock.at = AFTER
    async with opening(plants=1) as client:
        body = await client.values(client.cloud.truth.series()[0], "Day", Date="2024-10-27")

    stamps = [row["time"][11:16] for row in body["set"]]
    hour = [f"02:{minute:02}" for minute in range(0, 60, 5)]
    at = stamps.index("02:00")
    assert len(stamps) == 300
    assert stamps[at : at + 25] == [*hour, *hour, "03:00"]


def test_the_repeated_hour_can_be_merged() -> None:
    """Merged, each stamp of the autumn day comes once, with the values of the first pass."""
    merged, twice = (rows("Europe/Berlin", date(2024, 10, 27), autumn=mode) for mode in ("merged", "twice"))
    second = {datetime(2024, 10, 27, 0, 55, tzinfo=UTC) + timedelta(minutes=5 * number) for number in range(12)}

    assert len(merged) == 288
    assert merged == [row for row in twice if row.start_utc not in second]


async def test_spring_has_no_stamp_in_the_missing_hour(opening: Any, clock: Any) -> None:
    """In spring 01:55 is followed by 03:00; 276 rows."""
    clock.at = AFTER
    async with opening(plants=1) as client:
        body = await client.values(client.cloud.truth.series()[0], "Day", Date="2024-03-31")

    stamps = [row["time"][11:16] for row in body["set"]]
    assert len(stamps) == 276
    assert stamps[stamps.index("01:55") + 1] == "03:00"
    assert not [stamp for stamp in stamps if stamp.startswith("02:")]


@given(
    zone_name=st.sampled_from(
        ["Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia", "Asia/Beirut"]
    ),
    day=st.dates(date(2005, 1, 1), date(2030, 1, 1)),
    minutes=st.sampled_from([5, 15]),
)
@example("Pacific/Apia", date(2011, 12, 29), 5)  # before the day that was left out
@example("Asia/Beirut", date(2024, 3, 31), 5)  # begins at 01:00
def test_days_join_without_gap_or_overlap(zone_name: str, day: date, minutes: int) -> None:
    """The end of a day is the start of the next, and every interval start lies in its day."""
    # until 2011 its clocks changed at 00:01, so that a day came in two pieces a minute apart
    assume(zone_name != "America/St_Johns" or day > date(2011, 12, 31))
    today, tomorrow = grid(zone_name, day, minutes), grid(zone_name, day + timedelta(days=1), minutes)
    there = zone(zone_name)

    assert {datetime.fromtimestamp(start, there).date() for start in today.starts} <= {day}
    if today.starts and tomorrow.starts:
        assert today.end == tomorrow.starts[0]


def test_places_come_from_the_zone_table() -> None:
    """A zone's country and coordinates are those of tzdata; a zone without a place stands in Germany."""
    country, latitude, longitude = place("Australia/Lord_Howe")

    assert country == "AU"
    assert (latitude, longitude) == pytest.approx((-31.55, 159.083), abs=0.01)
    assert place("Etc/UTC")[0] == "DE"


def test_unknown_zones_are_named() -> None:
    """A zone that tzdata lacks is refused by name, with the settings."""
    with pytest.raises(ValueError, match="Europe/Atlantis"):
        Settings(zones=("Europe/Atlantis",))
    with pytest.raises(ValueError, match="unknown time zone"):
        zone("../zoneinfo/Europe")
