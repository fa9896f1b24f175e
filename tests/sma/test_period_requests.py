"""How Month, Year and Total are asked for on the wire."""

from datetime import date
from urllib.parse import parse_qs, urlsplit

import pytest

from harvester.model import EVER, Period, Series, Slice
from harvester.sma import monitoring

BASE = "https://monitoring.example/v1"


@pytest.mark.parametrize(
    ("period", "start", "query"),
    [
        (Period.DAY, date(2026, 10, 5), {"Date": ["2026-10-05"], "ReturnEnergyValues": ["false"]}),
        (Period.WEEK, date(2026, 10, 5), {"Date": ["2026-10-05"], "ReturnEnergyValues": ["false"]}),
        (Period.MONTH, date(2026, 10, 1), {"Date": ["2026-10"]}),
        (Period.YEAR, date(2026, 1, 1), {"Date": ["2026"]}),
        (Period.TOTAL, EVER, {}),
    ],
)
def test_each_period_spells_its_date(period: Period, start: date, query: dict[str, list[str]]) -> None:
    """A day, a month, a year, or none; energies are asked without the flag for powers."""
    piece = Slice(series=Series(plant_id="7", set="EnergyBalance"), period=period, date=start, days=())
    url = urlsplit(monitoring.values(BASE, piece).url)

    assert url.path == f"/v1/plants/7/measurements/sets/EnergyBalance/{period.value}"
    assert parse_qs(url.query) == query


@pytest.mark.parametrize(
    ("period", "words"), [(Period.MONTH, "Month 2026-10"), (Period.YEAR, "Year 2026"), (Period.TOTAL, "Total")]
)
def test_a_report_names_the_period(period: Period, words: str) -> None:
    """A person reads the month, not its first day."""
    piece = Slice(series=Series(plant_id="7", set="EnergyBalance"), period=period, date=date(2026, 10, 1), days=())

    assert str(piece) == f"7/EnergyBalance {words}"
