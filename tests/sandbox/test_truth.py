"""The truth, and that what is served is nothing else."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from harvester.sandbox import Cloud, Faults, Settings

DAY = date(2024, 7, 17)


def served(row: dict[str, Any], minutes: int) -> tuple[datetime, dict[str, float], dict[str, dict[str, float]]]:
    """Return a JSON row as (local start, scalars, arrays)."""
    row = dict(row)
    start = datetime.fromisoformat(row.pop("time")) - timedelta(minutes=minutes)
    scalars = {name: value for name, value in row.items() if not isinstance(value, list)}
    arrays = {
        name: {entry["index"]: entry["value"] for entry in value}
        for name, value in row.items()
        if isinstance(value, list)
    }
    return start, scalars, arrays


async def test_every_series_is_served_as_it_is(opening: Any) -> None:
    """Row for row, a Day of each series of each plant is the truth about it."""
    faults = Faults(missing_rows=0.05, empty_arrays=0.05, spikes=0.5, negative_first=0.3, surplus=0.3)
    async with opening(plants=4, faults=faults) as client:
        truth = client.cloud.truth
        rows = 0
        for series in truth.series():
            body = await client.values(series, "Day", Date=DAY.isoformat())
            expected = truth.rows(series, DAY)
            rows += len(expected)
            minutes = 15 if "-" in series.plant_id else 5
            assert [served(row, minutes) for row in body["set"]] == [
                (reading.start_local, reading.scalars, reading.arrays) for reading in expected
            ]

    assert rows > 5000


async def test_today_grows_with_the_clock(opening: Any, clock: Any) -> None:
    """What is served now is the truth as of now: a function of the present, and only ever more."""
    async with opening(plants=2) as client:
        truth = client.cloud.truth
        counts = []
        for _ in range(3):
            rows = 0
            for series in truth.series():
                body = await client.values(series, "Day", Date="2024-07-20")
                visible = truth.rows(series, date(2024, 7, 20), at=clock())
                rows += len(visible)
                assert len(body["set"]) == len(visible) <= len(truth.rows(series, date(2024, 7, 20)))
            counts.append(rows)
            clock.move(hours=1)
            await client.log_in()

    assert counts == sorted(set(counts))


def test_devices_lag_differently(clock: Any) -> None:
    """Delays lie between 5 minutes and 3 hours, for Classic up to 2 hours, and differ."""
    cloud = Cloud(Settings(plants=8), now=clock)
    classic = {plant.plant_id for plant in cloud.truth.plants() if plant.classic}
    delays = [device.delay for device in cloud.truth.devices() if device.plant_id not in classic]

    assert min(delays) >= 300
    assert 3600 < max(delays) <= 10_800
    assert max(device.delay for device in cloud.truth.devices() if device.plant_id in classic) <= 7200
    assert len(set(delays)) > 30


def test_rows_can_come_days_late(clock: Any) -> None:
    """With late rows a past day lacks some until the days are over."""
    cloud = Cloud(Settings(plants=1, late_rows=0.2, late_days=3), now=clock)
    series = cloud.truth.series()[0]
    day = date(2024, 7, 10)
    soon, later = (
        len(cloud.truth.rows(series, day, at=datetime.fromisoformat(at)))
        for at in ("2024-07-12T00:00Z", "2024-07-14T12:00Z")
    )

    assert 200 < soon < 260
    assert later == len(cloud.truth.rows(series, day)) == 288


def test_months_add_up_to_years_and_years_to_totals(clock: Any) -> None:
    """Month rows sum exactly to the Year row and Year rows to the Total row, in thousandths of a Wh."""
    cloud = Cloud(Settings(plants=1), now=clock)
    for series in [s for s in cloud.truth.series() if s.set in {"EnergyBalance", "EnergyAndPowerPv"}][:2]:
        months = [cloud.truth.month(series, 2024, month, at=clock()) for month in range(1, 8)]
        year = cloud.truth.year(series, 2024, at=clock())
        [total] = cloud.truth.total(series, at=clock())
        for channel in ("pvGeneration",):
            sums = [sum(round(day.scalars[channel] * 1000) for day in month) for month in months]
            assert sums == [round(month.scalars[channel] * 1000) for month in year]
            assert sum(sums) == round(total.scalars[channel] * 1000)
        assert [month.start for month in year] == [date(2024, month, 1) for month in range(1, 8)]
        assert len(months[-1]) == 20


def test_days_differ_a_little_from_their_intervals(clock: Any) -> None:
    """A Month row is the sum of the day's energy give or take a few Wh, and its identities hold."""
    cloud = Cloud(Settings(plants=1), now=clock)
    series = cloud.truth.series()[0]
    off = []
    for row in cloud.truth.month(series, 2024, 6):
        made = sum(reading.scalars["pvGeneration"] for reading in cloud.truth.rows(series, row.start, energy=True))
        off.append(abs(row.scalars["pvGeneration"] - made))
        used = row.scalars["directConsumption"] + row.scalars["gridConsumption"]
        assert row.scalars["totalConsumption"] == pytest.approx(
            used + row.scalars.get("batteryDischarging", 0), abs=0.001
        )

    assert len(off) == 30
    assert 0 < max(off) <= 14
    assert sum(size > 0.01 for size in off) > 25


async def test_aggregates_are_served_as_they_are(opening: Any, clock: Any) -> None:
    """Month, Year and Total are stamped with the start of day, month and year and equal the truth."""
    async with opening(plants=1) as client:
        truth = client.cloud.truth
        series = truth.series()[0]
        month = await client.values(series, "Month", Date="2024-07", WithTotal="true")
        year = await client.values(series, "Year", Date="2024")
        total = await client.values(series, "Total")
        expected = truth.month(series, 2024, 7, at=clock()), truth.year(series, 2024, at=clock())

    assert [row["time"] for row in month["set"]] == [f"2024-07-{day:02}T00:00:00" for day in range(1, 21)]
    assert [{**row, "time": ""} for row in month["set"]] == [{**row.scalars, "time": ""} for row in expected[0]]
    assert [row["time"] for row in year["set"]] == [f"2024-{month:02}-01T00:00:00" for month in range(1, 8)]
    assert [row["pvGeneration"] for row in year["set"]] == [row.scalars["pvGeneration"] for row in expected[1]]
    assert [row["time"] for row in total["set"]] == ["2024-01-01T00:00:00"]
    assert [body["resolution"] for body in (month, year, total)] == ["OneDay", "OneMonth", "OneYear"]
    assert "batteryStateOfCharge" not in month["set"][0]
    assert month["total"]["pvGeneration"] == year["set"][-1]["pvGeneration"]


async def test_power_sets_have_no_aggregates(opening: Any) -> None:
    """PowerAc, PowerDc, Sensor and GridSettings answer Month with an empty set."""
    async with opening(plants=1) as client:
        for series in client.cloud.truth.series():
            if series.set in {"PowerAc", "PowerDc", "Sensor", "GridSettings"}:
                body = await client.values(series, "Month", Date="2024-06")
                assert body["set"] == []


def test_today_grows_in_the_month(clock: Any) -> None:
    """The newest Month row is what has come in of the running day."""
    cloud = Cloud(Settings(plants=1), now=clock)
    series = cloud.truth.series()[0]
    sizes = []
    for _ in range(3):
        [*_, today] = cloud.truth.month(series, 2024, 7, at=clock())
        sizes.append(today.scalars["totalConsumption"])
        clock.move(hours=2)

    assert today.start == date(2024, 7, 20)
    assert sizes == sorted(set(sizes))
