"""Month, Year and Total from request to table over real HTTP, compared with the cloud's own truth."""

from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from present import Present
from running import accept_all, backfilled, configured, ran
from truth_frames import snake

from harvester.compose import scope_of, writable
from harvester.errand import Errand, wanted
from harvester.lake.layout import Partition, Places
from harvester.lake.parquet import write
from harvester.lake.registry import Registry
from harvester.lake.schema import REVISIONS
from harvester.model import EVER, Level, Period, Stretch
from harvester.questions.estimate import estimate
from harvester.sandbox import Faults, Running, Settings, serving
from harvester.sandbox import Period as Sum
from harvester.state.database import connect
from harvester.state.period_ledger import KnownStretch, PeriodLedger

TABLE = "plant_energy_balance"
OCTOBER = Stretch(Period.MONTH, date(2026, 10, 1))
Rows = dict[tuple[str, date], dict[str, float]]


def table(root: Path, ending: str) -> pl.DataFrame:
    """Return one of the tables, sorted by key; empty where it has no file."""
    files = sorted((root / f"{TABLE}_{ending}").rglob("*.parquet"))
    read = [pl.read_parquet(file, hive_partitioning=False) for file in files]
    return pl.concat(read, how="diagonal").sort("plant_id", "period_start") if read else pl.DataFrame()


def values(frame: pl.DataFrame) -> Rows:
    """Return the channels that have a value, by plant and start."""
    beside = {"plant_id", "period_start", "provisional", "other", "harvested_at"}
    return {
        (row["plant_id"], row["period_start"]): {c: v for c, v in row.items() if c not in beside and v is not None}
        for row in frame.iter_rows(named=True)
    }


def truth(running: Running, ending: str, months: list[date], at: datetime) -> Rows:
    """Return what the cloud serves of *months* (their years, all time) at an instant, by plant and start."""
    cloud, found = running.cloud.truth, {}
    for series in (s for s in cloud.series() if s.level == "plant" and s.set == "EnergyBalance"):
        served: list[Sum] = []
        if ending == "daily":
            served = [row for month in months for row in cloud.month(series, month.year, month.month, at=at)]
        elif ending == "monthly":
            served = [row for year in sorted({m.year for m in months}) for row in cloud.year(series, year, at=at)]
        else:
            served = cloud.total(series, at=at)
        for row in served:
            found[series.plant_id, row.start] = {snake(c): v for c, v in row.scalars.items()}
    return found


def known(ledger: Path) -> dict[Stretch, KnownStretch]:
    """Return what the ledger at *ledger* knows of its only series with sums."""
    engine = connect(ledger)
    try:
        found = PeriodLedger(engine).known(range(1, 100))
        return next(stretches for stretches in found.values() if stretches)
    finally:
        engine.dispose()


async def test_the_tables_equal_the_truth(tmp_path: Path) -> None:
    """Days, months and years of plants in three zones, over New Year, to the last digit of every channel."""
    now = Present(2026, 2, 20, 12)
    settings = Settings(
        plants=3, devices=3, zones=("Europe/Berlin", "Asia/Kolkata", "America/Havana"), start=date(2025, 11, 15)
    )
    async with serving(settings, now=now) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__sets=("EnergyBalance",))
        report = await backfilled(config, date(2025, 12, 30), date(2026, 2, 20), wall=now)
        root, months = config.lake.root, [date(2025, 12, 1), date(2026, 1, 1), date(2026, 2, 1)]

        for ending in ("daily", "monthly", "yearly"):
            want = truth(running, ending, months, now())
            assert values(table(root, ending)) == want
            assert report.rows[f"{TABLE}_{ending}"] == len(want) > 0
    assert report.exit_code == 0
    assert table(root, "monthly")["period_start"].min() == date(2025, 11, 1)
    assert table(root, "yearly").filter("provisional")["period_start"].unique().to_list() == [date(2026, 1, 1)]


async def test_a_row_is_provisional_while_it_runs_and_final_later(tmp_path: Path) -> None:
    """Runs over the end of a month: today's row grows without a revision, and October is final once it settled."""
    now = Present(2026, 10, 30, 12)
    async with serving(Settings(plants=1, devices=1, start=date(2026, 10, 20)), now=now) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__sets=("EnergyBalance",))
        grown = []
        while now() < datetime(2026, 11, 5, tzinfo=now().tzinfo):
            await ran(config, wall=now)
            again = await ran(config, wall=now)
            daily = table(config.lake.root, "daily")
            grown.append(daily.filter("provisional")["period_start"].to_list())
            assert again.requests.get("values", 0) == 0
            now.advance(days=1)
        settled = known(tmp_path / "ledger.db")[OCTOBER]
        await ran(config, wall=now)
        kept = known(tmp_path / "ledger.db")[OCTOBER]
        want = truth(running, "daily", [OCTOBER.start], datetime(2099, 1, 1, tzinfo=now().tzinfo))

    assert grown == [[date(2026, 10, 30) + timedelta(days=n)] for n in range(6)]
    assert (settled.next_at, settled.asked_at) == (None, datetime(2026, 11, 4, 12, tzinfo=now().tzinfo))
    assert kept == settled
    have = {key: row for key, row in values(table(config.lake.root, "daily")).items() if key[1].month == 10}
    assert have == want
    assert not (config.lake.root / REVISIONS).exists()


async def test_a_change_after_the_day_has_ended_is_a_revision(tmp_path: Path) -> None:
    """The Month of the next day says otherwise of a day that was over: the lake follows, and tells."""
    now = Present(2026, 10, 20, 12)
    async with serving(Settings(plants=1, devices=1, start=date(2026, 10, 10)), now=now) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__sets=("EnergyBalance",))
        await ran(config, wall=now)
        places = Places(config.lake.root)
        spoil(places, Partition(f"{TABLE}_daily", None, 0, 2026), pl.col("period_start") == date(2026, 10, 15), 1.0)
        spoil(places, Partition(f"{TABLE}_daily", None, 0, 2026), pl.col("provisional"), 2.0)
        now.advance(days=1)
        report = await ran(config, wall=now)
        want = truth(running, "daily", [OCTOBER.start], now())

    assert values(table(config.lake.root, "daily")) == want
    assert report.revisions == 1
    revision = pl.read_parquet(places.file(Partition(REVISIONS, date(2026, 10, 15), 0))).row(0, named=True)
    assert (revision["table"], revision["channel"], revision["old"]) == (f"{TABLE}_daily", "pv_generation", 1.0)


def spoil(places: Places, partition: Partition, chosen: pl.Expr, value: float) -> None:
    """Put *value* in the place of the PV generation of the *chosen* rows."""
    columns = Registry(places.registry).table(Level.PLANT, "EnergyBalance", Period.MONTH).columns
    frame = pl.read_parquet(places.file(partition), hive_partitioning=False)
    spoiled = pl.when(chosen).then(value).otherwise("pv_generation").alias("pv_generation")
    write(places.file(partition), frame.with_columns(spoiled), columns)


async def test_eight_weeks_of_a_plant_cost_little_more_than_a_week_each(tmp_path: Path) -> None:
    """At most 0.17 requests per series and day, the sums included; a second backfill costs nothing."""
    now = Present(2026, 11, 20, 12)
    async with serving(Settings(plants=1, devices=7, start=date(2026, 9, 1)), now=now) as running:
        accept_all(running)
        config = configured(running, tmp_path)
        report = await backfilled(config, date(2026, 9, 14), date(2026, 11, 8), wall=now)
        again = await backfilled(config, date(2026, 9, 14), date(2026, 11, 8), wall=now)

    assert report.exit_code == 0
    assert report.requests["values"] <= 0.17 * 56 * report.series
    assert report.rows[f"{TABLE}_daily"] == 30 + 31 + 20
    assert again.requests.get("values", 0) == 0


async def test_a_plan_counts_the_sums(tmp_path: Path) -> None:
    """What `plan` says before is what `backfill` asks: a Week of each series, a Month, a Year, a Total."""
    now, span = Present(2026, 10, 20, 12), (date(2026, 10, 5), date(2026, 10, 11))
    async with serving(Settings(plants=1, devices=2, start=date(2026, 10, 1)), now=now) as running:
        accept_all(running)
        config = configured(running, tmp_path)
        await backfilled(config, *span, wall=now, sets=frozenset({"GridSettings"}))
        with writable(config, "plan") as stores:
            errand = Errand(command="backfill", scope=scope_of(config), first=span[0], last=span[1])
            what = wanted(errand, config, now())
            planned = estimate(stores.inventory, stores.ledger, what, now(), stores.periods).requests
        report = await backfilled(config, *span, wall=now)

    assert planned == report.requests["values"] == report.series - 1 + 3


@pytest.mark.parametrize(
    "chosen", [{"sets": frozenset({"GridSettings"})}, {"level": Level.DEVICE}, {"devices": frozenset({"*"})}]
)
async def test_a_backfill_of_something_else_asks_no_sums(tmp_path: Path, chosen: dict[str, object]) -> None:
    """Narrowed to other sets, to devices or to one device, it leaves Month, Year and Total alone."""
    now = Present(2026, 10, 20, 12)
    async with serving(Settings(plants=1, devices=2, start=date(2026, 10, 1)), now=now) as running:
        accept_all(running)
        config = configured(running, tmp_path)
        if "devices" in chosen:
            chosen = {"devices": frozenset({running.cloud.truth.devices()[0].device_id})}
        report = await backfilled(config, date(2026, 10, 10), date(2026, 10, 11), wall=now, **chosen)

    assert report.series > 0
    assert [name for name in report.rows if name.startswith(TABLE)] == []


async def test_nothing_before_start_up_is_asked(tmp_path: Path) -> None:
    """Of half a year only the month and the year in which the plant began; one Total."""
    now = Present(2026, 10, 20, 12)
    async with serving(Settings(plants=1, devices=1, start=date(2026, 10, 10)), now=now) as running:
        accept_all(running)
        config = configured(running, tmp_path)
        await backfilled(config, date(2025, 5, 1), date(2026, 10, 20), wall=now)

    assert set(known(tmp_path / "ledger.db")) == {
        OCTOBER,
        Stretch(Period.YEAR, date(2026, 1, 1)),
        Stretch(Period.TOTAL, EVER),
    }


async def test_spoiled_answers_end_with_the_same_sums(tmp_path: Path) -> None:
    """Every second answer is spoiled; the sums are whole all the same, and what was unreadable is in quarantine."""
    now = Present(2026, 10, 20, 12)
    spoiled = Faults(cut_json=0.15, html=0.15, empty_body=0.1, reset=0.05, http_500=0.05)
    async with serving(Settings(plants=3, devices=1, start=date(2026, 8, 1), faults=spoiled), now=now) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__sets=("EnergyBalance",))
        report = await backfilled(config, date(2026, 10, 1), date(2026, 10, 7), wall=now)

        for ending in ("daily", "monthly", "yearly"):
            assert values(table(config.lake.root, ending)) == truth(running, ending, [OCTOBER.start], now())
    assert report.misses == []


async def test_sums_that_fail_are_named_and_stay_due(tmp_path: Path) -> None:
    """Exit code 3, the request with its reason; a later run has it."""
    now = Present(2026, 10, 20, 12)
    async with serving(Settings(plants=1, devices=1, start=date(2026, 10, 1)), now=now) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__sets=("EnergyBalance",))
        await backfilled(config, date(2026, 10, 10), date(2026, 10, 10), wall=now)
        now.advance(days=1)
        running.cloud.faults = Faults(failing=("EnergyBalance:403",))
        failed = await backfilled(config, date(2026, 10, 10), date(2026, 10, 10), wall=now)
        states = {stretch.period: state for stretch, state in known(tmp_path / "ledger.db").items() if state.failed}
        running.cloud.faults = Faults()
        now.advance(days=1)
        after = await backfilled(config, date(2026, 10, 10), date(2026, 10, 10), wall=now)

    assert failed.exit_code == 3
    assert [miss.what.split()[1:] for miss in failed.misses] == [["Month", "2026-10"]]
    assert "403" in failed.misses[0].reason
    assert [(period, state.attempts) for period, state in states.items()] == [(Period.MONTH, 1)]
    assert after.exit_code == 0
    assert table(config.lake.root, "daily")["period_start"].max() == date(2026, 10, 22)


async def test_a_cloud_without_sums_is_harvested_all_the_same(tmp_path: Path) -> None:
    """Where Month is answered with 404 the run is complete; it is told, and asked again later."""
    now = Present(2026, 10, 20, 12)
    async with serving(Settings(plants=1, devices=1, start=date(2026, 10, 1)), now=now) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__sets=("EnergyBalance",))
        await backfilled(config, date(2026, 10, 10), date(2026, 10, 10), wall=now)
        now.advance(days=1)
        running.cloud.faults = Faults(failing=("EnergyBalance:404",))
        report = await backfilled(config, date(2026, 10, 10), date(2026, 10, 10), wall=now)
        month = known(tmp_path / "ledger.db")[Stretch(Period.MONTH, date(2026, 10, 1))]

    assert report.exit_code == 0
    assert any("Month 2026-10 is not served" in warning for warning in report.warnings)
    assert not month.failed, "what no cloud serves is no gap"
    assert month.next_at == now() + timedelta(days=1)
