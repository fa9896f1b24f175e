"""The tables by day, month and year: what is read from Month, Year and Total, and how it grows in the lake."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from harvester.lake.dictionary import lake_dictionary
from harvester.lake.layout import Partition, Places
from harvester.lake.parquet import Written, publish_periods
from harvester.lake.period_rows import DecodedPeriods, decode_periods
from harvester.lake.registry import Registry
from harvester.lake.schema import REVISIONS
from harvester.model import EVER, Level, Payload, Period, Series, Slice

BALANCE = Series(plant_id="1", set="EnergyBalance")
OCTOBER = date(2026, 10, 1)
FIRST_LOOK = datetime(2026, 10, 2, 12, tzinfo=UTC)
SECOND_LOOK = datetime(2026, 10, 3, 12, tzinfo=UTC)
DAILY = Partition("plant_energy_balance_daily", None, 3, 2026)
STARTS = {Period.MONTH: OCTOBER, Period.YEAR: date(2026, 1, 1), Period.TOTAL: EVER}


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Name a lake that is not there yet."""
    return Places(tmp_path / "lake")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Offer a registry that knows the catalogue."""
    return Registry(tmp_path / "registry.json")


def answer(
    registry: Registry,
    rows: Mapping[str, Mapping[str, Any]],
    period: Period = Period.MONTH,
    *,
    asked_at: datetime = FIRST_LOOK,
    series: Series = BALANCE,
    zone: str = "Europe/Berlin",
) -> DecodedPeriods:
    """Return the decoded answer with the channels of each stamp."""
    body = {"plant": {"timezone": zone}, "set": [{"time": stamp, **channels} for stamp, channels in rows.items()]}
    piece = Slice(series=series, period=period, date=STARTS[period], days=())
    payload = Payload(slice=piece, body=json.dumps(body).encode(), asked_at=asked_at)
    return decode_periods([payload], registry, {})


def pv(day: int, value: float) -> dict[str, dict[str, float]]:
    """Return one row of October."""
    return {f"2026-10-{day:02d}T00:00:00": {"pvGeneration": value}}


def rows_of(places: Places, partition: Partition) -> pl.DataFrame:
    """Return the rows of one file."""
    return pl.read_parquet(places.file(partition), hive_partitioning=False)


class TestDecoding:
    """Answers to frames."""

    def test_a_month_has_a_row_for_each_day_and_todays_is_provisional(self, registry: Registry) -> None:
        """Stamps are starts; the newest row grows until the plant's day has ended."""
        found = answer(registry, pv(1, 10.0) | pv(2, 5.0)).rows

        assert found.select("plant_id", "period_start", "pv_generation", "provisional").rows() == [
            ("1", date(2026, 10, 1), 10.0, False),
            ("1", date(2026, 10, 2), 5.0, True),
        ]
        assert found.get_column("harvested_at").unique().to_list() == [FIRST_LOOK]

    @pytest.mark.parametrize(
        ("zone", "provisional"), [("Pacific/Auckland", False), ("Europe/Berlin", True), ("America/New_York", True)]
    )
    def test_a_day_ends_at_the_plant(self, registry: Registry, zone: str, *, provisional: bool) -> None:
        """At noon UTC the second of October is over in New Zealand alone."""
        found = answer(registry, pv(2, 5.0), zone=zone).rows

        assert found.get_column("provisional").to_list() == [provisional]

    @pytest.mark.parametrize(
        ("period", "stamps", "provisional"),
        [
            (Period.YEAR, ["2026-09-01T00:00:00", "2026-10-01T00:00:00"], [False, True]),
            (Period.TOTAL, ["2025-01-01T00:00:00", "2026-01-01T00:00:00"], [False, True]),
        ],
    )
    def test_years_have_months_and_totals_years(
        self, registry: Registry, period: Period, stamps: list[str], provisional: list[bool]
    ) -> None:
        """Each row is provisional while its own month or year runs."""
        found = answer(registry, {stamp: {"gridFeedIn": 1.0} for stamp in stamps}, period).rows

        assert found.get_column("period_start").to_list() == [date.fromisoformat(s[:10]) for s in stamps]
        assert found.get_column("provisional").to_list() == provisional

    @pytest.mark.parametrize(
        ("period", "stamp"),
        [
            (Period.MONTH, "2026-10-01T00:05:00"),
            (Period.YEAR, "2026-09-02T00:00:00"),
            (Period.TOTAL, "2026-02-01T00:05:00"),
            (Period.MONTH, "0001-01-01T00:00:00"),
        ],
    )
    def test_a_row_that_is_not_stamped_with_a_start_is_left_out_and_told(
        self, registry: Registry, period: Period, stamp: str
    ) -> None:
        """The other rows are kept; to ask again would bring the same."""
        good = "2026-01-01T00:00:00"
        found = answer(registry, {good: {"pvGeneration": 1.0}, stamp: {"pvGeneration": 2.0}}, period)

        assert found.rows.get_column("pv_generation").to_list() == [1.0]
        assert [(bad.partial, bad.reason) for bad in found.bad] == [
            (True, "1 rows are not stamped with the start of what they sum up")
        ]

    def test_a_row_of_total_stands_for_the_year_of_its_stamp(self, registry: Registry) -> None:
        """Which day of it SMA writes is not documented: the one of start-up will do."""
        found = answer(registry, {"2024-03-15T00:00:00": {"pvGeneration": 1.0}}, Period.TOTAL)

        assert found.rows.get_column("period_start").to_list() == [date(2024, 1, 1)]
        assert not found.bad

    @pytest.mark.parametrize("stamp", ["2026-10-01T00:00:00Z", "2026-10", ""])
    def test_what_is_no_local_time_spoils_the_answer(self, registry: Registry, stamp: str) -> None:
        """Nothing of it is taken, and it may be asked again."""
        found = answer(registry, {stamp: {"pvGeneration": 1.0}})

        assert found.rows.is_empty()
        assert [bad.partial for bad in found.bad] == [False]

    def test_an_answer_without_rows_is_good(self, registry: Registry) -> None:
        """No data is no failure, and its frame has the table's columns."""
        found = answer(registry, {})

        assert (found.rows.height, found.bad, found.counts) == (0, (), ())
        assert found.rows.columns[:2] == ["plant_id", "period_start"]

    def test_channels_that_no_document_names_get_their_column(self, registry: Registry, tmp_path: Path) -> None:
        """Also one that only the intraday table was known to have, and in the registry of the next run."""
        channels = {"batteryStateOfCharge": 50.0, "brandNew": 1.5, "provisional": 2.0, "note": "x"}
        found = answer(registry, {"2026-10-01T00:00:00": channels}).rows.row(0, named=True)

        assert (found["battery_state_of_charge"], found["brand_new"], found["provisional_value"]) == (50.0, 1.5, 2.0)
        assert found["other"] == '{"note":"x"}'
        again = Registry(tmp_path / "registry.json").table(Level.PLANT, "EnergyBalance", Period.MONTH)
        assert [c.name for c in again.scalars][-3:] == ["battery_state_of_charge", "brand_new", "provisional_value"]
        intraday = Registry(tmp_path / "registry.json").table(Level.PLANT, "EnergyBalance")
        assert "brand_new" not in [c.name for c in intraday.columns]


class TestTables:
    """Frames to files."""

    def test_the_contract(self, registry: Registry, places: Places) -> None:
        """Path, names, order, types and units: energies in Wh, shares as they are, no state of charge."""
        publish_periods(places, 3, [answer(registry, pv(1, 10.0))])
        file = places.root / "plant_energy_balance_daily/year=2026/part-00003.parquet"
        schema = pq.read_schema(file)
        units = {field.name: (field.metadata or {}).get(b"unit", b"").decode() for field in schema}

        assert list(places.root.rglob("*.parquet")) == [file]
        assert schema.names[:3] == ["plant_id", "period_start", "pv_generation"]
        assert schema.names[-4:] == ["self_consumption_rate", "provisional", "other", "harvested_at"]
        assert "battery_state_of_charge" not in schema.names
        assert (str(schema.field("period_start").type), str(schema.field("provisional").type)) == (
            "date32[day]",
            "bool",
        )
        assert units["pv_generation"] == units["self_supply"] == "Wh"
        assert units["autarky_rate"] == "1"
        assert set(units.values()) == {"", "1", "Wh", "UTC"}

    def test_each_view_has_its_files(self, registry: Registry, places: Places) -> None:
        """Days and months by the year of their start, years in one file; each path is read back."""
        for period in (Period.MONTH, Period.YEAR, Period.TOTAL):
            rows = {f"{year}-01-01T00:00:00": {"pvGeneration": 1.0} for year in (2025, 2026)}
            publish_periods(places, 0, [answer(registry, rows, period)])

        assert places.partitions() == [
            Partition("plant_energy_balance_daily", None, 0, 2025),
            Partition("plant_energy_balance_daily", None, 0, 2026),
            Partition("plant_energy_balance_monthly", None, 0, 2025),
            Partition("plant_energy_balance_monthly", None, 0, 2026),
            Partition("plant_energy_balance_yearly", None, 0),
        ]
        assert str(places.partitions()[0].path) == "plant_energy_balance_daily/year=2025/part-00000.parquet"

    def test_a_growing_row_is_no_revision_and_a_later_change_is(self, registry: Registry, places: Places) -> None:
        """Provisional, then final, then corrected: the last alone is told, with the instant its day began."""
        looks = [
            (FIRST_LOOK, 5.0),
            (FIRST_LOOK.replace(hour=20), 8.0),
            (SECOND_LOOK, 9.0),
            (SECOND_LOOK.replace(day=4), 9.5),
        ]
        found = []
        for asked_at, value in looks:
            written = publish_periods(places, 3, [answer(registry, pv(2, value), asked_at=asked_at)])
            row = rows_of(places, DAILY).row(0, named=True)
            assert (row["pv_generation"], row["harvested_at"]) == (value, asked_at)
            found.append((written.revisions, row["provisional"]))

        assert found == [(0, True), (0, True), (0, False), (1, False)]
        revision = rows_of(places, Partition(REVISIONS, date(2026, 10, 2), 3)).row(0, named=True)
        assert revision == {
            "table": "plant_energy_balance_daily",
            "plant_id": "1",
            "device_id": None,
            "time": datetime(2026, 10, 1, 22, tzinfo=UTC),
            "index": None,
            "channel": "pv_generation",
            "old": 9.0,
            "new": 9.5,
            "known_at": looks[-1][0],
        }

    def test_a_value_never_becomes_null_and_a_row_never_goes(self, registry: Registry, places: Places) -> None:
        """An answer that lacks a channel or a row changes nothing, and what vanished is told once."""
        both = {"2026-10-01T00:00:00": {"pvGeneration": 1.0, "gridFeedIn": 2.0}}
        publish_periods(places, 3, [answer(registry, both | pv(2, 3.0), asked_at=SECOND_LOOK)])
        before = rows_of(places, DAILY)
        less = answer(registry, {"2026-10-01T00:00:00": {"pvGeneration": 1.0}}, asked_at=SECOND_LOOK.replace(day=5))
        written = [publish_periods(places, 3, [less]) for _ in range(2)]

        assert rows_of(places, DAILY).equals(before)
        assert [(w.files, w.revisions) for w in written] == [(0, 1), (0, 0)]

    def test_the_same_answer_again_touches_no_file(self, registry: Registry, places: Places) -> None:
        """`harvested_at` stays at the moment when the values changed."""
        publish_periods(places, 3, [answer(registry, pv(1, 10.0), asked_at=SECOND_LOOK)])
        before = places.file(DAILY).stat().st_mtime_ns
        again = answer(registry, pv(1, 10.0), asked_at=SECOND_LOOK.replace(day=5))

        assert publish_periods(places, 3, [again]) == Written({"plant_energy_balance_daily": 1})
        assert places.file(DAILY).stat().st_mtime_ns == before

    def test_plants_of_a_part_share_a_file(self, registry: Registry, places: Places) -> None:
        """One row for each plant and day, sorted by key."""
        other = Series(plant_id="0", set="EnergyBalance")
        pieces = [answer(registry, pv(2, 1.0) | pv(1, 2.0)), answer(registry, pv(1, 3.0), series=other)]
        publish_periods(places, 3, pieces)

        keys = rows_of(places, DAILY).select("plant_id", "period_start").rows()
        assert keys == [("0", date(2026, 10, 1)), ("1", date(2026, 10, 1)), ("1", date(2026, 10, 2))]

    def test_arrays_go_to_the_companion(self, registry: Registry, places: Places) -> None:
        """Energy per DC input and day, by index, keyed like the rest; it grows without a revision as well."""
        dc = Series(plant_id="1", device_id="2", set="EnergyDc")
        for asked_at, value in ((FIRST_LOOK, 5.0), (SECOND_LOOK, 6.0), (SECOND_LOOK.replace(day=9), 7.0)):
            inputs = {"dcEnergyInput": [{"index": "A", "value": value}, {"index": "B", "value": 1.0}]}
            rows = {"2026-10-02T00:00:00": inputs}
            written = publish_periods(places, 3, [answer(registry, rows, asked_at=asked_at, series=dc)])

        found = rows_of(places, Partition("device_energy_dc_daily_by_index", None, 3, 2026))
        assert found.columns == [
            *("plant_id", "device_id", "period_start", "index", "dc_energy_input", "provisional", "harvested_at")
        ]
        assert found.select("index", "dc_energy_input", "provisional").rows() == [("A", 7.0, False), ("B", 1.0, False)]
        assert written.revisions == 1
        assert rows_of(places, Partition("device_energy_dc_daily", None, 3, 2026)).height == 1


@pytest.mark.parametrize(
    "path",
    [
        "t_daily/year=26/part-00000.parquet",
        "t_daily/year=2026/date=2026-01-01/part-00000.parquet",
        "t_daily/year=abcd/part-00000.parquet",
    ],
)
def test_what_is_no_path_of_ours_is_refused(path: str) -> None:
    """A year has four digits and stands alone."""
    with pytest.raises(ValueError, match="not a partition"):
        Partition.parse(path)


@pytest.mark.parametrize("partition", [DAILY, Partition("plant_energy_balance_yearly", None, 12)])
def test_a_path_is_read_back(partition: Partition) -> None:
    """With a year and without."""
    assert Partition.parse(partition.path) == partition


def test_the_dictionary_has_them(registry: Registry) -> None:
    """Each table of the registry that sums up energy is documented with its columns."""
    sections = {s.split("`")[1]: s for s in lake_dictionary().split("### ")[1:]}
    tables = [t for t in registry.tables() if t.period is not None]

    assert [t.table.rsplit("_", 1)[1] for t in tables] == ["daily", "monthly", "yearly"]
    assert all(f"| `{column.name}` |" in sections[t.table] for t in tables for column in t.columns)
