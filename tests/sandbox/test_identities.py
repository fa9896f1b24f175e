"""The balance of a plant closes, whichever plant and day one looks at."""

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.sandbox import Cloud, Settings, TruthSeries

ZONES = ("Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata", "America/St_Johns")
CLOUD = Cloud(Settings(plants=12, zones=ZONES, start=date(2023, 1, 1)))
BALANCES = [series for series in CLOUD.truth.series() if series.set == "EnergyBalance"]
DAYS = st.integers(0, 900).map(lambda number: date(2023, 1, 1) + timedelta(days=number))


def near(value: float) -> object:
    """Allow the published tolerance."""
    return pytest.approx(value, abs=0.001)


@settings(max_examples=60, deadline=None)
@given(series=st.sampled_from(BALANCES), day=DAYS, view=st.sampled_from(["power", "energy"]))
def test_the_balance_closes(series: TruthSeries, day: date, view: str) -> None:
    """All identities hold to 0.001 in W and in Wh, no flow is negative, rates lie between 0 and 1."""
    for reading in CLOUD.truth.rows(series, day, energy=view == "energy"):
        row = reading.scalars
        charged, given_back = row.get("batteryCharging", 0), row.get("batteryDischarging", 0)
        others = ("dieselGeneration", "combinedHeatAndPowerGeneration", "hydroGeneration")

        assert min(row.values()) >= 0
        assert row["totalGeneration"] == near(row["pvGeneration"] + sum(row.get(name, 0) for name in others))
        assert row["selfConsumption"] == near(row["totalGeneration"] - row["gridFeedIn"])
        assert row["selfConsumption"] == near(row["directConsumption"] + charged)
        assert row["selfSupply"] == near(row["directConsumption"] + given_back)
        assert row["totalConsumption"] == near(row["selfSupply"] + row["gridConsumption"])
        assert ("autarkyRate" in row) == (row["totalConsumption"] > 0)
        if "autarkyRate" in row:
            assert row["autarkyRate"] == near(row["selfSupply"] / row["totalConsumption"])
        if "selfConsumptionRate" in row:
            assert row["selfConsumptionRate"] == near(row["selfConsumption"] / row["totalGeneration"])
        if not charged and not given_back:
            assert row["selfConsumption"] == near(row["selfSupply"])


@settings(max_examples=20, deadline=None)
@given(series=st.sampled_from(BALANCES), day=DAYS)
def test_both_views_are_the_same_energy(series: TruthSeries, day: date) -> None:
    """A row in W times its interval is the row in Wh."""
    rows = zip(CLOUD.truth.rows(series, day), CLOUD.truth.rows(series, day, energy=True), strict=True)
    for watts, hours in rows:
        hours_long = watts.minutes / 60
        assert watts.start_utc == hours.start_utc
        assert watts.scalars["totalGeneration"] * hours_long == near(hours.scalars["totalGeneration"])
        assert watts.scalars["gridConsumption"] * hours_long == near(hours.scalars["gridConsumption"])


@settings(max_examples=20, deadline=None)
@given(day=DAYS)
def test_batteries_stay_within_their_capacity(day: date) -> None:
    """The state of charge lies between 5 and 100 % and moves by what flows."""
    for series in BALANCES:
        charges = [row.scalars.get("batteryStateOfCharge") for row in CLOUD.truth.rows(series, day)]
        known = [charge for charge in charges if charge is not None]
        assert len(known) in {0, len(charges)}
        assert all(4.99 <= charge <= 100 for charge in known)


def test_midnight_hardly_moves_a_battery() -> None:
    """From one day to the next the state of charge goes on where it stood, nearly always."""
    series = next(s for s in BALANCES if "batteryStateOfCharge" in CLOUD.truth.rows(s, date(2023, 6, 1))[0].scalars)
    jumps = []
    for number in range(60):
        day = date(2023, 5, 1) + timedelta(days=number)
        last = CLOUD.truth.rows(series, day)[-1].scalars["batteryStateOfCharge"]
        first = CLOUD.truth.rows(series, day + timedelta(days=1))[0].scalars["batteryStateOfCharge"]
        jumps.append(abs(first - last))

    assert sum(jump < 6 for jump in jumps) >= 57


def test_a_year_looks_like_a_plant() -> None:
    """A kilowatt of modules near Berlin makes 700 to 1300 kWh a year, most of it in summer."""
    plant = next(p for p in CLOUD.truth.plants() if p.timezone == "Europe/Berlin" and not p.classic)
    series = next(s for s in BALANCES if s.plant_id == plant.plant_id)
    months = [row.scalars["pvGeneration"] / plant.peak_watts for row in CLOUD.truth.year(series, 2023)]

    assert len(months) == 12
    assert 700 < sum(months) < 1300
    assert sum(months[4:8]) > 3 * (sum(months[:2]) + sum(months[10:]))
