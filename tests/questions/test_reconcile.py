"""Whether powers add up to SMA's energies: an honest lake is quiet, and what was tampered with is found."""

import asyncio
import os
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from present import Present
from running import Command, accept_all, backfilled, command, configured

from harvester.errors import ConfigError
from harvester.lake.energy import EnergyTables
from harvester.lake.layout import Places
from harvester.questions.accounts import OF_A_DAY, Verdict
from harvester.questions.reconcile import Asked, Findings, compare
from harvester.sandbox import Settings, serving

FIRST, LAST = date(2026, 9, 28), date(2026, 11, 5)
NOW = datetime(2026, 11, 5, 12, tzinfo=UTC)
TABLE = "plant_energy_balance"


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a lake of two plants, one in a zone whose clocks are set back, up to the noon of a running day."""
    folder = tmp_path_factory.mktemp("honest")

    async def harvest() -> Path:
        now = Present(2026, 11, 5, 12)
        settings = Settings(plants=2, devices=1, zones=("Europe/Berlin", "Asia/Kolkata"), start=date(2026, 9, 20))
        async with serving(settings, now=now) as running:
            accept_all(running)
            config = configured(running, folder, harvest__sets=("EnergyBalance",))
            assert (await backfilled(config, FIRST, LAST, wall=now)).exit_code == 0
            return config.lake.root

    return asyncio.run(harvest())


@pytest.fixture
def lake(honest: Path, tmp_path: Path) -> Path:
    """Return a copy that a test may spoil."""
    return shutil.copytree(honest, tmp_path / "lake")


def spoil(root: Path, path: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Change one file of the lake."""
    file = root / path
    change(pl.read_parquet(file, hive_partitioning=False)).write_parquet(file)


def scaled(factor: float, *plants: str) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Return what multiplies the power fed in, of all plants or of some."""
    chosen = pl.col("plant_id").is_in(plants) if plants else pl.lit(value=True)
    fed_in = pl.col("grid_feed_in")
    return lambda frame: frame.with_columns(
        pl.when(chosen).then(fed_in * factor).otherwise(fed_in).alias("grid_feed_in")
    )


def findings(root: Path, first: date = FIRST, last: date = LAST, *plants: str) -> Findings:
    """Reconcile the lake at *root*."""
    return compare(EnergyTables(Places(root)), Asked(first, last, frozenset(plants), OF_A_DAY))


def told(found: Findings, verdict: Verdict) -> set[tuple[str, date, str]]:
    """Return kind, start and channel of what has *verdict*."""
    return {(d.of, d.start, d.channel) for d in found.with_verdict(verdict)}


def plants_of(root: Path) -> list[str]:
    """Return the plants of the lake."""
    return pl.read_parquet(root / "plants/part-00000.parquet").get_column("plant_id").sort().to_list()


class TestLake:
    """Over files that a harvest wrote."""

    def test_an_honest_lake_is_quiet(self, honest: Path) -> None:
        """Every day and month of every plant is compared, the change of the clock and today included."""
        found = findings(honest)

        assert found.compared == {"day": 2 * 39, "month": 2 * 3}
        assert found.differences == []
        assert found.not_compared() == []

    def test_a_tampered_day_is_found(self, lake: Path) -> None:
        """The plant, the day and the channel, and no other; both sums and how far they lie apart."""
        plant = plants_of(lake)[1]
        spoil(lake, f"{TABLE}/date=2026-10-25/part-00000.parquet", scaled(1.1, plant))
        found = findings(lake)
        only = found.with_verdict(Verdict.DIFFERS)
        facts = only[0].facts()

        assert [(d.of, d.plant_id, d.start, d.channel) for d in only] == [
            ("day", plant, date(2026, 10, 25), "grid_feed_in")
        ]
        assert facts["share"] == pytest.approx(0.1, abs=0.01)
        assert facts["difference_wh"] == pytest.approx(facts["ours_wh"] - facts["sma_wh"], abs=0.01)
        assert found.with_verdict(Verdict.PROVISIONAL) == found.with_verdict(Verdict.INCOMPLETE) == []

    def test_a_day_that_still_runs_is_said_to(self, lake: Path) -> None:
        """Today's sum grows: what is apart is told and does not count."""
        spoil(lake, f"{TABLE}/date=2026-11-05/part-00000.parquet", scaled(2.0))
        found = findings(lake)

        assert told(found, Verdict.PROVISIONAL) == {("day", LAST, "grid_feed_in")}
        assert told(found, Verdict.DIFFERS) == set()

    def test_a_day_that_lacks_rows_is_said_to(self, lake: Path) -> None:
        """An hour of rows is missing at noon: incomplete, and does not count."""
        noon = pl.col("local_time").dt.hour() == 12
        spoil(lake, f"{TABLE}/date=2026-10-10/part-00000.parquet", lambda frame: frame.filter(~noon))
        found = findings(lake)

        assert {(of, start) for of, start, _ in told(found, Verdict.INCOMPLETE)} == {("day", date(2026, 10, 10))}
        assert told(found, Verdict.DIFFERS) == set()

    def test_rows_that_came_after_smas_sum_wait_for_the_next_one(self, lake: Path) -> None:
        """What changed since the Month was read can not be held against it."""
        later = pl.lit(NOW + timedelta(hours=1)).cast(pl.Datetime("us", "UTC")).alias("harvested_at")
        path = f"{TABLE}/date=2026-10-10/part-00000.parquet"
        spoil(lake, path, lambda frame: scaled(1.1)(frame).with_columns(later))

        assert told(findings(lake), Verdict.PROVISIONAL) == {("day", date(2026, 10, 10), "grid_feed_in")}

    @pytest.mark.parametrize(("more", "found"), [(0.4, set()), (0.6, {("month", date(2026, 10, 1), "grid_feed_in")})])
    def test_a_month_is_the_sum_of_its_days_to_half_a_watt_hour(
        self, lake: Path, more: float, found: set[tuple[str, date, str]]
    ) -> None:
        """Here nothing is rounded and nothing is missing."""
        october = pl.when(pl.col("period_start") == date(2026, 10, 1)).then(more).otherwise(0.0)
        spoil(
            lake,
            f"{TABLE}_monthly/year=2026/part-00000.parquet",
            lambda frame: frame.with_columns(pl.col("grid_feed_in") + october),
        )

        assert told(findings(lake), Verdict.DIFFERS) == found

    def test_what_cannot_be_compared_is_told_with_the_reason(self, lake: Path) -> None:
        """A day without rows, days without SMA's sum, a month without SMA's sum; days in a row are one line."""
        one, other = plants_of(lake)
        shutil.rmtree(lake / f"{TABLE}/date=2026-10-01")
        late = pl.col("period_start").is_between(date(2026, 10, 20), date(2026, 10, 22)) & (pl.col("plant_id") == one)
        spoil(lake, f"{TABLE}_daily/year=2026/part-00000.parquet", lambda frame: frame.filter(~late))
        september = (pl.col("period_start") == date(2026, 9, 1)) & (pl.col("plant_id") == other)
        spoil(lake, f"{TABLE}_monthly/year=2026/part-00000.parquet", lambda frame: frame.filter(~september))
        found = findings(lake)

        told_of = {(m.of, m.plant_id, m.first, m.last): m.reason for m in found.not_compared()}
        assert told_of == {
            ("day", one, date(2026, 10, 1), date(2026, 10, 1)): "no row is in the lake",
            ("day", other, date(2026, 10, 1), date(2026, 10, 1)): "no row is in the lake",
            ("day", one, date(2026, 10, 20), date(2026, 10, 22)): (
                "SMA's sum is not in the lake: its Month brought none"
            ),
            ("month", other, date(2026, 9, 1), date(2026, 9, 1)): "SMA's sum is not in the lake: its Year brought none",
        }
        assert {(of, start) for of, start, _ in told(found, Verdict.INCOMPLETE)} == {("month", date(2026, 10, 1))}
        assert told(found, Verdict.DIFFERS) == set()

    def test_before_start_up_there_is_nothing_to_compare(self, honest: Path) -> None:
        """Days before it are left out, and a month that lies after everything is told as a whole."""
        plant = plants_of(honest)[0]
        found = findings(honest, date(2026, 8, 1), date(2026, 9, 27), plant)
        after = findings(honest, date(2027, 1, 1), date(2027, 1, 31), plant)

        assert found.compared == {"day": 0, "month": 1}
        assert {(m.first, m.last) for m in found.not_compared()} == {(date(2026, 9, 20), date(2026, 9, 27))}
        assert {(m.of, m.first, m.last, m.reason) for m in after.not_compared()} == {
            ("day", date(2027, 1, 1), date(2027, 1, 31), "nothing of it is in the lake"),
            ("month", date(2027, 1, 1), date(2027, 1, 1), "nothing of it is in the lake"),
        }

    def test_one_plant_of_several(self, honest: Path) -> None:
        """The others are not looked at, and a name that is none is refused."""
        assert findings(honest, FIRST, LAST, plants_of(honest)[0]).compared == {"day": 39, "month": 3}
        with pytest.raises(ConfigError, match="no plant 4711"):
            findings(honest, FIRST, LAST, "4711")

    def test_older_files_lack_columns(self, lake: Path) -> None:
        """A channel that a file does not have yet is told as missing and spoils no other."""
        path = f"{TABLE}/date=2026-10-10/part-00000.parquet"
        spoil(lake, path, lambda frame: frame.drop("self_supply"))
        found = findings(lake)

        assert found.differences == []
        assert {(m.first, m.reason) for m in found.not_compared()} == {
            (date(2026, 10, 10), "only SMA's sum has self_supply")
        }


async def run(root: Path, *arguments: str) -> Command:
    """Run `harvester reconcile` over the lake at *root*."""
    env = {**os.environ, "HARVESTER_LAKE__ROOT": str(root), "HARVESTER_SMA__ENVIRONMENT": "local"}
    return await command(env, "reconcile", "--from", str(FIRST), "--to", str(LAST), *arguments)


async def test_the_command_ends_with_0_or_with_check_3(honest: Path, lake: Path) -> None:
    """A question ends well unless it was asked to judge; both tolerances can be given."""
    spoil(lake, f"{TABLE}/date=2026-10-10/part-00000.parquet", scaled(1.1))
    ends = [await run(honest, "--check"), await run(lake), await run(lake, "--check", "--json")]
    lenient = await run(lake, "--check", "--relative", "0.2")

    assert [end.code for end in ends] == [0, 0, 3]
    assert lenient.code == 0
    assert "Beyond the tolerance" in ends[1].out
    assert "2026-10-10" in ends[1].out
    assert "0 channels differ" in ends[0].out
    assert {d["start"] for d in ends[2].json["differs"]} == {"2026-10-10"}
    assert ends[2].json["compared"] == {"days": 78, "months": 6}


async def test_the_command_refuses_what_makes_no_sense(honest: Path, tmp_path: Path) -> None:
    """Days in the wrong order, a plant that is none, a folder that is no lake: exit code 2 and the reason."""
    ends = [
        await run(honest, "--to", "2026-01-01"),
        await run(honest, "--plant", "4711"),
        await run(tmp_path / "nothing"),
    ]

    assert [end.code for end in ends] == [2, 2, 2]
    assert "earlier day first" in ends[0].err
    assert "4711" in ends[1].err
    assert "no lake yet" in ends[2].err
