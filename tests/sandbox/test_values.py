"""Answers with values."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from harvester.sandbox import TruthSeries


def plant_series(client: Any, name: str = "EnergyBalance", at: int = 0) -> TruthSeries:
    """Return a set of the n-th plant."""
    plant = client.cloud.truth.plants()[at]
    return TruthSeries(level="plant", plant_id=plant.plant_id, device_id=None, set=name)


def device_series(client: Any, name: str) -> TruthSeries:
    """Return the first device series of that name at a five-minute plant."""
    return next(s for s in client.cloud.truth.series() if s.set == name and s.device_id and "-" not in s.plant_id)


async def test_a_day_runs_from_five_past_to_midnight(opening: Any) -> None:
    """A Day has 288 interval-end stamps; the last one is the next date's midnight."""
    async with opening() as client:
        body = await client.values(plant_series(client), "Day", Date="2024-07-19")

    stamps = [row["time"] for row in body["set"]]
    assert (len(stamps), stamps[0], stamps[-1]) == (288, "2024-07-19T00:05:00", "2024-07-20T00:00:00")
    assert (body["setType"], body["resolution"]) == ("EnergyBalance", "FiveMinutes")
    assert "total" not in body
    assert "device" not in body


async def test_classic_plants_have_quarter_hours(opening: Any) -> None:
    """A Classic plant answers every 15 minutes."""
    async with opening() as client:
        body = await client.values(plant_series(client, at=-1), "Day", Date="2024-07-18")

    assert (len(body["set"]), body["resolution"]) == (96, "FifteenMinutes")


async def test_paths_and_queries_ignore_case(opening: Any) -> None:
    """Capitals make no difference, in either spelling of the base path."""
    async with opening() as client:
        series = plant_series(client)
        path = f"plants/{series.plant_id}/measurements/sets"
        _, first = await client.ask(f"/monitoring/v1/{path}/EnergyBalance/Day?Date=2024-07-19&WithTotal=true")
        _, second = await client.ask(f"/V1/{path.upper()}/energybalance/DAY?date=2024-07-19&withtotal=TRUE")

    assert first == second
    assert first["setType"] == "EnergyBalance"


async def test_energy_is_power_times_the_interval(opening: Any) -> None:
    """ReturnEnergyValues turns W into Wh of the interval and leaves states of charge out."""
    async with opening() as client:
        series = next(
            s for s in client.cloud.truth.series() if s.set == "EnergyAndPowerBattery" and "-" not in s.plant_id
        )
        power = await client.values(series, "Day", Date="2024-07-18")
        energy = await client.values(series, "Day", Date="2024-07-18", ReturnEnergyValues="true")

    assert len(power["set"]) == len(energy["set"]) > 250
    for watts, hours in zip(power["set"], energy["set"], strict=True):
        assert watts["batteryCharging"] == pytest.approx(12 * hours["batteryCharging"], abs=1e-6)
    assert "batteryStateOfCharge" in power["set"][0]
    assert "batteryStateOfHealth" not in power["set"][0]
    assert "batteryStateOfHealth" in energy["set"][0]
    assert "batteryStateOfCharge" not in energy["set"][0]


async def test_power_sets_ignore_the_energy_flag(opening: Any) -> None:
    """PowerAc is the same with and without ReturnEnergyValues."""
    async with opening() as client:
        series = device_series(client, "PowerAc")
        plain = await client.values(series, "Day", Date="2024-07-18")
        asked = await client.values(series, "Day", Date="2024-07-18", ReturnEnergyValues="true")

    assert plain["set"] == asked["set"]


async def test_totals_are_watt_hours(opening: Any) -> None:
    """WithTotal sums a power view in Wh as one object without a time."""
    async with opening() as client:
        series = plant_series(client)
        power = await client.values(series, "Day", Date="2024-07-18", WithTotal="true")
        energy = await client.values(series, "Day", Date="2024-07-18", WithTotal="true", ReturnEnergyValues="true")
        battery = await client.values(
            device_series(client, "EnergyAndPowerBattery"), "Day", Date="2024-07-18", WithTotal="true"
        )

    made = sum(row["pvGeneration"] for row in energy["set"])
    assert power["total"]["pvGeneration"] == pytest.approx(made, abs=0.001)
    assert power["total"] == energy["total"]
    assert "time" not in power["total"]
    assert battery["total"].keys() == {"batteryCharging", "batteryDischarging"}


async def test_pv_rows_stop_at_night_while_direct_current_goes_on(opening: Any) -> None:
    """PV has no rows without sun; PowerDc reports zeros irregularly; arrays list index and value."""
    async with opening() as client:
        pv = await client.values(device_series(client, "EnergyAndPowerPv"), "Day", Date="2024-07-18")
        dc = await client.values(device_series(client, "PowerDc"), "Day", Date="2024-07-18")

    assert all(row["pvGeneration"] > 0 for row in pv["set"])
    assert "2024-07-18T04:30" < pv["set"][0]["time"] < pv["set"][-1]["time"] < "2024-07-18T22:00"
    night = [row for row in dc["set"] if row["time"] < "2024-07-18T03:30"]
    assert 10 < len(night) < 40
    assert all(entry["value"] == 0 for row in night for entry in row["dcPowerInput"])
    assert [entry["index"] for entry in dc["set"][0]["dcVoltageInput"]] == ["A", "B"]


async def test_values_have_three_decimals_and_no_null(opening: Any) -> None:
    """No value is null, none has more than three decimals, no flow is negative."""
    async with opening() as client:
        series = plant_series(client)
        stem = f"/v1/plants/{series.plant_id}/measurements/sets/EnergyBalance"
        _, raw = await client.raw(f"{stem}/Day?Date=2024-07-18")
        body = await client.values(series, "Day", Date="2024-07-18")

    assert b"null" not in raw
    assert not re.search(rb"\.\d{4}", raw)
    assert all(value >= 0 for row in body["set"] for name, value in row.items() if name != "time")


async def test_recent_is_the_newest_row(opening: Any) -> None:
    """Recent has one row, the newest that has come in, also just after midnight; at night PV has none."""
    async with opening() as client:
        recent = await client.values(plant_series(client), "Recent")
        day = await client.values(plant_series(client), "Day", Date="2024-07-20")

    assert recent["set"] == day["set"][-1:]
    assert "2024-07-20T13:40:00" <= recent["set"][0]["time"] <= "2024-07-20T14:00:00"


async def test_recent_after_midnight(opening: Any, clock: Any) -> None:
    """Once yesterday's last row is the newest, Recent shows it; a PV set that sleeps is empty."""
    clock.at = datetime(2024, 7, 19, 22, 4, tzinfo=UTC)
    async with opening(delay_seconds=(60, 60)) as client:
        meter = await client.values(plant_series(client), "Recent")
        pv = await client.values(device_series(client, "EnergyAndPowerPv"), "Recent")

    assert [row["time"] for row in meter["set"]] == ["2024-07-20T00:00:00"]
    assert pv["set"] == []
    assert "resolution" not in pv


@pytest.mark.parametrize(
    ("week", "first", "last"),
    [
        ("date", "2024-07-03T00:05:00", "2024-07-10T00:00:00"),
        ("monday", "2024-07-01T00:05:00", "2024-07-08T00:00:00"),
        ("sunday", "2024-06-30T00:05:00", "2024-07-07T00:00:00"),
    ],
)
async def test_week_conventions(opening: Any, week: str, first: str, last: str) -> None:
    """A Week of a Wednesday begins on it, or on the Monday or Sunday before, by the settings."""
    async with opening(week=week) as client:
        body = await client.values(plant_series(client), "Week", Date="2024-07-03")

    assert len(body["set"]) == 7 * 288
    assert (body["set"][0]["time"], body["set"][-1]["time"]) == (first, last)


async def test_a_week_is_its_days(opening: Any) -> None:
    """The rows of a Week are those of its seven Days, one after the other."""
    async with opening() as client:
        series = device_series(client, "PowerAc")
        week = await client.values(series, "Week", Date="2024-07-01")
        days = [await client.values(series, "Day", Date=f"2024-07-{day:02}") for day in range(1, 8)]

    assert week["set"] == [row for day in days for row in day["set"]]


async def test_days_without_data_are_empty(opening: Any) -> None:
    """Future days and days before start-up are 200 with an empty set and no resolution."""
    async with opening() as client:
        bodies = [
            await client.values(plant_series(client), period, Date=day)
            for period, day in [
                ("Day", "2024-08-01"),
                ("Day", "2023-12-31"),
                ("Month", "2023-12"),
                ("Year", "2030"),
            ]
        ]

    assert [body["set"] for body in bodies] == [[]] * 4
    assert not any("resolution" in body for body in bodies)


async def test_questions_that_are_refused(opening: Any) -> None:
    """Wrong periods and dates are 400, sets that are not offered 404."""
    async with opening() as client:
        series = plant_series(client)
        stem = f"plants/{series.plant_id}/measurements/sets"
        bad = ["EnergyBalance/Day", "EnergyBalance/Decade?Date=2024", "EnergyBalance/Day?Date=2024-7-1"]
        bad += [
            "EnergyBalance/Day?Date=20240701",
            "EnergyBalance/Day?Date=2024-W01-1",
            "EnergyBalance/Month?Date=2024",
        ]
        bad += [
            "EnergyBalance/Day?Date=2024-02-30",
            "EnergyBalance/Year?Date=24",
            "EnergyBalance/Week?Date=0001-01-01",
        ]
        bad += ["EnergyBalance/Day?Date=2024-07-01&WithTotal=perhaps"]
        statuses = [(await client.get(f"{stem}/{tail}"))[0] for tail in bad]
        unknown = [(await client.get(f"{stem}/{name}/Day?Date=2024-07-01"))[0] for name in ("pvGeneration", "PowerAc")]
        _, body = await client.get(f"{stem}/pvGeneration/Recent")

    assert statuses == [400] * len(bad)
    assert unknown == [404, 404]
    assert body == {"message": "Not Found", "code": "404"}


async def test_plants_answer_device_sets_too(opening: Any) -> None:
    """EnergyAndPowerPv of a plant is the pvGeneration of its balance, though its list lacks it."""
    async with opening() as client:
        balance = await client.values(plant_series(client), "Day", Date="2024-07-18")
        pv = await client.values(plant_series(client, "EnergyAndPowerPv"), "Day", Date="2024-07-18")

    made = {row["time"]: row["pvGeneration"] for row in balance["set"] if row["pvGeneration"]}
    assert {row["time"]: row["pvGeneration"] for row in pv["set"]} == made


async def test_direct_current_energy_exists_in_watt_hours_alone(opening: Any) -> None:
    """EnergyDc is empty as power, filled as energy."""
    async with opening() as client:
        series = device_series(client, "EnergyDc")
        power = await client.values(series, "Day", Date="2024-07-18")
        energy = await client.values(series, "Day", Date="2024-07-18", ReturnEnergyValues="true")

    assert power["set"] == []
    assert energy["set"][80]["dcEnergyInput"][0].keys() == {"index", "value"}


async def test_bodies_are_compressed_on_demand(opening: Any) -> None:
    """Who accepts gzip gets it, others do not."""
    async with opening() as client:
        series = plant_series(client)
        path = f"/v1/plants/{series.plant_id}/measurements/sets/EnergyBalance/Day?Date=2024-07-18"
        packed, one = await client.raw(path)
        plain, other = await client.raw(path, headers={**client.headers, "Accept-Encoding": "identity"})

    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) < len(one) / 4
    assert "Content-Encoding" not in plain.headers
    assert one == other
