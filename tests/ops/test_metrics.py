"""What Prometheus reads: equal to the report and to the lake, bounded, and never ahead of what is durable."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rogue import ODD
from running import accept_all, configured

from harvester import plan
from harvester.compose import harvest_of, scope_of, utc_now, writable
from harvester.due import Wanted
from harvester.errors import CredentialsRefused, LakeError
from harvester.lake.layout import Places
from harvester.lake.measure import measure
from harvester.lake.naming import table_name
from harvester.model import Level
from harvester.ops.gauges import LONGEST_LABEL
from harvester.ops.metrics import ALERT_KINDS, MOST_TABLES, WORKS, Metrics
from harvester.questions.ages import PlantAge
from harvester.questions.standing import Share
from harvester.report import Miss, Report
from harvester.sandbox import Running, Settings, serving
from harvester.show import Quiet
from harvester.sma.client import Client
from harvester.sma.settings import Credentials, Hosts
from harvester.sma.tally import Call
from harvester.sma.wire import Kind

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
TODAY = utc_now().date()
FIRST, LAST = TODAY - timedelta(days=11), TODAY - timedelta(days=10)
SMALL = Settings(plants=2, devices=1, classic_every=0, start=TODAY - timedelta(days=20))


RIGHT = "local-sandbox"


class Scraped:
    """What one scrape says."""

    def __init__(self, metrics: Metrics) -> None:
        body, content_type = metrics.render()
        assert content_type.startswith("text/plain")
        self.families = {f.name: f for f in text_string_to_metric_families(body.decode())}
        self.samples = {
            (s.name.removeprefix("sma_harvester_"), *sorted(s.labels.items())): s.value
            for f in self.families.values()
            for s in f.samples
        }

    def get(self, name: str, /, **labels: str) -> float | None:
        """Return one number, None where it is absent."""
        return self.samples.get((name, *sorted(labels.items())))

    def all(self, name: str) -> list[float]:
        """Return the numbers of *name* with any labels."""
        return [value for key, value in self.samples.items() if key[0] == name]


def client_of(running: Running, metrics: Metrics, secret: str = RIGHT) -> Client:
    """Return a client that tells the metrics of its requests."""
    hosts = Hosts(auth_url=running.url, consent_url=running.url, monitoring_url=f"{running.url}/monitoring/v1")
    credentials = Credentials(client_id="local-sandbox", client_secret=secret)
    return Client(hosts, credentials, on_request=metrics.on_request)


async def harvested(running: Running, folder: Path, metrics: Metrics) -> Report:
    """Backfill two days of everything as a daemon does, and tell the metrics."""
    config = configured(running, folder, harvest__sets=["EnergyBalance"])
    wanted = Wanted(command="backfill", scope=scope_of(config), span_of=plan.between(FIRST, LAST))
    with writable(config, "daemon") as stores:
        async with client_of(running, metrics) as client:
            try:
                report = await harvest_of(config, client, stores, asyncio.Event(), Quiet()).run(wanted)
            except LakeError:
                metrics.broke("backfill")
                raise
    metrics.ran("backfill", report)
    return report


async def test_what_is_counted_is_what_the_report_and_the_lake_say(tmp_path: Path) -> None:
    """Rows by table, files, bytes, settled days and requests of a real harvest."""
    metrics = Metrics(version="1.2.3")
    async with serving(SMALL) as running:
        accept_all(running)
        report = await harvested(running, tmp_path, metrics)
    seen = Scraped(metrics)
    lake = {size.table: size for size in measure(Places(tmp_path / "lake"))}

    assert sum(report.rows.values()) > 500
    for table, rows in report.rows.items():
        assert seen.get("rows_total", table=table) == rows == lake[table].rows
    assert seen.get("files_written_total") == report.files
    assert seen.get("written_bytes_total") == report.bytes_written
    assert seen.get("series_days_total", settlement="settled") == report.days_settled == 4
    assert seen.get("slices_total", outcome="answered") == report.answered - report.empty
    for kind, number in report.requests.items():
        asked = [v for k, v in seen.samples.items() if k[0] == "requests_total" and ("kind", kind) in k]
        assert sum(asked) == number == seen.get("request_duration_seconds_count", kind=kind)
    assert sum(seen.all("response_bytes_total")) == report.bytes_read
    assert seen.get("runs_total", work="backfill", outcome="complete") == 1
    assert seen.get("run_duration_seconds_count", work="backfill") == 1
    assert report.ended_at is not None
    assert seen.get("last_success_timestamp_seconds", work="backfill") == report.ended_at.timestamp()
    assert seen.get("last_exit_code", work="backfill") == 0
    assert seen.get("build_info", version="1.2.3") == 1


async def test_nothing_moves_for_rows_that_were_not_published(tmp_path: Path) -> None:
    """Where the lake cannot be written, requests count and rows do not."""
    metrics = Metrics()
    table = tmp_path / "lake" / "plant_energy_balance"
    table.parent.mkdir()
    table.write_text("a file where the folder of the table has to be", encoding="utf-8")
    async with serving(SMALL) as running:
        accept_all(running)
        with pytest.raises(LakeError):
            await harvested(running, tmp_path, metrics)
    seen = Scraped(metrics)

    assert sum(seen.all("requests_total")) > 5
    for name in ("rows_total", "files_written_total", "written_bytes_total", "series_days_total", "slices_total"):
        assert sum(seen.all(name)) == 0
    assert seen.get("runs_total", work="backfill", outcome="broken") == 1
    assert seen.get("last_exit_code", work="backfill") == 1
    assert seen.get("last_success_timestamp_seconds", work="backfill") is None


async def test_a_refused_client_and_a_429_are_counted_as_such() -> None:
    """The token endpoint's refusal is well formed, and yet not ok."""
    metrics = Metrics()
    async with serving(SMALL) as running, client_of(running, metrics, secret="wrong") as client:
        with pytest.raises(CredentialsRefused):
            await client.verify()
    metrics.on_request(Call(kind=Kind.VALUES, outcome="Throttled", status=429, seconds=0.1, size=10))
    metrics.on_request(Call(kind=Kind.VALUES, outcome="SomethingNew", status=None, seconds=0.1, size=0))
    seen = Scraped(metrics)

    assert seen.get("requests_total", kind="token", outcome="credentials_refused") == 1
    assert seen.get("requests_total", kind="token", outcome="ok") == 0
    assert seen.get("requests_total", kind="values", outcome="throttled") == 1
    assert seen.get("requests_total", kind="values", outcome="other") == 1
    assert seen.get("throttled_total") == 1


def test_everything_that_can_be_known_is_there_from_the_start() -> None:
    """Counters at 0 with every label value; what is not known yet has no number."""
    seen = Scraped(Metrics())

    assert len(seen.all("requests_total")) == 6 * 13
    assert len(seen.all("runs_total")) == (len(WORKS) + 1) * 4
    assert set(seen.all("requests_total") + seen.all("runs_total")) == {0}
    for name in ("throttled_total", "revisions_total", "quarantined_total"):
        assert seen.get(name) == 0
    for name in ("budget_limit_requests", "disk_free_bytes", "plants", "last_exit_code", "age_seconds"):
        assert seen.all(name) == []
    assert "process_start_time_seconds" in seen.families
    assert not [name for name in seen.families if name.endswith("_created")]
    for family in seen.families.values():
        assert family.documentation
        assert family.name.startswith(("sma_harvester_", "process_"))


def test_two_processes_share_nothing() -> None:
    """Each has a registry of its own."""
    one, other = Metrics(), Metrics()
    one.broke("live")

    assert Scraped(one).get("runs_total", work="live", outcome="broken") == 1
    assert Scraped(other).get("runs_total", work="live", outcome="broken") == 0


def test_how_work_ended() -> None:
    """Complete, incomplete, interrupted; only the first is a success, and an unknown name is `other`."""
    metrics = Metrics()
    missed = Report("settle", NOW, ended_at=NOW, misses=[Miss("x", 3, "404")])
    missed.not_asked["y"] = 2
    metrics.ran("live", Report("live", NOW, ended_at=NOW + timedelta(seconds=20)))
    metrics.ran("settle", missed)
    metrics.ran("repair", Report("repair", NOW, ended_at=NOW, interrupted=True, signal=15))
    metrics.ran("something", Report("something", NOW, ended_at=NOW))
    metrics.did("consent", 2.0, NOW)
    seen = Scraped(metrics)

    assert seen.get("runs_total", work="live", outcome="complete") == 1
    assert seen.get("run_duration_seconds_bucket", work="live", le="60.0") == 1
    assert seen.get("run_duration_seconds_bucket", work="live", le="15.0") == 0
    assert seen.get("runs_total", work="settle", outcome="incomplete") == 1
    assert seen.get("last_exit_code", work="settle") == 3
    assert seen.get("last_run_timestamp_seconds", work="settle") == NOW.timestamp()
    assert seen.get("last_success_timestamp_seconds", work="settle") is None
    assert seen.get("series_days_total", settlement="failed") == 3
    assert (seen.get("slices_total", outcome="failed"), seen.get("slices_total", outcome="not_asked")) == (1, 2)
    assert seen.get("runs_total", work="repair", outcome="interrupted") == 1
    assert seen.get("runs_total", work="other", outcome="complete") == 1
    assert seen.get("last_success_timestamp_seconds", work="consent") == NOW.timestamp()


def test_work_that_takes_days_is_counted_as_it_goes() -> None:
    """Each row once: while it goes on, when it is done, and where an error ended it; other work in between."""
    metrics = Metrics()
    long, short = Report("backfill", NOW), Report("live", NOW, ended_at=NOW)
    for _ in range(3):
        long.rows["plant_energy_balance"] += 100
        long.files += 1
        long.days_settled += 7
        metrics.came(long)
        metrics.came(long)
    short.rows["plant_energy_balance"] = 24
    metrics.ran("live", short)
    halfway = Scraped(metrics)
    assert halfway.get("rows_total", table="plant_energy_balance") == 324
    assert halfway.get("runs_total", work="backfill", outcome="complete") == 0

    long.rows["device_power_ac"] = 5
    long.misses.append(Miss("x", 2, "404"))
    long.ended_at = NOW
    metrics.ran("backfill", long)
    metrics.ran("live", Report("live", NOW, ended_at=NOW))
    done = Scraped(metrics)
    assert done.get("rows_total", table="plant_energy_balance") == 324
    assert done.get("rows_total", table="device_power_ac") == 5
    assert (done.get("files_written_total"), done.get("series_days_total", settlement="settled")) == (3, 21)
    assert done.get("series_days_total", settlement="failed") == 2


def test_ordered_work_has_a_label() -> None:
    """A backfill is one, whoever asked for it; what is of no lane is an order."""
    metrics = Metrics()
    for work in ("run", "purge", "replay", "backfill"):
        metrics.did(work, 1.0, NOW)
    seen = Scraped(metrics)

    assert seen.get("runs_total", work="orders", outcome="complete") == 3
    assert seen.get("runs_total", work="backfill", outcome="complete") == 1


def test_tables_that_an_api_invents_do_not_grow_without_bound() -> None:
    """Two hundred have a name, the rest one together."""
    metrics = Metrics()
    report = Report("run", NOW, ended_at=NOW)
    report.rows.update({f"plant_x_{n}": 1 for n in range(MOST_TABLES + 30)})
    metrics.ran("live", report)
    metrics.ran("live", report)
    seen = Scraped(metrics)

    assert len(seen.all("rows_total")) == MOST_TABLES + 1
    assert seen.get("rows_total", table="other") == 60


def test_budget_consents_disk_and_alerts() -> None:
    """What is told replaces what was told; what is not known is absent."""
    metrics = Metrics()
    metrics.budget(limit=100, spent=130, pause_left=12.5)
    metrics.consents({"Accepted": 3, "NotAsked": 1, "Sideways": 2})
    metrics.consents({"ACCEPTED": 4, "Revoked": 1})
    metrics.disk(10, 100)
    metrics.firing({"stale": 2, "new": 1})
    metrics.notified("delivered")
    seen = Scraped(metrics)

    assert [seen.get(f"budget_{name}_requests") for name in ("limit", "spent", "left")] == [100, 130, 0]
    assert seen.get("pause_seconds") == 12.5
    assert [seen.get("consents", state=s) for s in ("accepted", "revoked", "not_asked", "other")] == [4, 1, 0, 0]
    assert [seen.get(f"disk_{name}_bytes") for name in ("free", "total")] == [10, 100]
    assert [seen.get("alerts_firing", kind=k) for k in ("stale", "other", "disk")] == [2, 1, 0]
    assert len(seen.all("alerts_firing")) == len(ALERT_KINDS) + 1
    assert seen.get("notifications_total", outcome="delivered") == 1

    metrics.budget(limit=None, spent=3, pause_left=0)
    again = Scraped(metrics)
    assert [again.get(f"budget_{name}_requests") for name in ("limit", "spent", "left")] == [None, 3, None]


def fleet(number: int) -> list[PlantAge]:
    """Return plants whose newest rows are 0, 1, 2 ... minutes old."""
    ages = (60 * n for n in range(number))
    return [PlantAge(f"{n}", f"Plant {n}", NOW - timedelta(seconds=age), age) for n, age in enumerate(ages)]


def test_a_small_fleet_is_told_plant_by_plant() -> None:
    """With names, also strange ones, and with the quantiles that a large one has."""
    metrics = Metrics(stale_seconds=3_000)
    named = PlantAge("strange", 'Süd "<script>"\nDach\\', None, None)
    metrics.fresh([named, *fleet(101)])
    metrics.covered([Share("0", 10, 5), Share("1", 10, 10), Share("2", 0, 0)])
    seen = Scraped(metrics)

    assert (seen.get("plants"), seen.get("plants_stale"), seen.get("plants_without_rows")) == (102, 50, 1)
    assert [seen.get("age_seconds", quantile=q) for q in ("0", "0.5", "0.9", "0.99", "1")] == [
        0,
        3000,
        5400,
        5940,
        6000,
    ]
    assert seen.get("plant_newest_timestamp_seconds", plant_id="2") == NOW.timestamp() - 120
    assert seen.get("plant_newest_timestamp_seconds", plant_id="strange") is None
    assert seen.get("plant_info", plant_id="strange", name='Süd "<script>"\nDach\\') == 1
    assert seen.get("plant_coverage_ratio", plant_id="0") == 0.5
    assert seen.get("plant_coverage_ratio", plant_id="2") is None
    assert (seen.get("coverage_ratio", quantile="0"), seen.get("coverage_ratio", quantile="1")) == (0.5, 1)
    assert [seen.get("coverage_series_days", settlement=s) for s in ("due", "settled")] == [20, 15]


def test_odd_names_are_bounded_labels_that_steer_nothing() -> None:
    """Of gauges and counters: one scrape that can be read, a series for each plant, nothing long or unprintable."""
    metrics = Metrics()
    metrics.fresh([PlantAge(name, name, NOW, 60) for name in ODD])
    metrics.covered([Share(name, 10, 5) for name in ODD])
    report = Report("run", NOW, ended_at=NOW)
    report.rows.update({table_name(Level.PLANT, name): 1 for name in ODD})
    metrics.ran("live", report)
    metrics.ran(ODD[0], report)
    metrics.consents(dict.fromkeys(ODD, 1))
    metrics.firing(dict.fromkeys(ODD, 1))
    seen, text = Scraped(metrics), metrics.render()[0].decode()
    values = {value for _, *labels in seen.samples for _, value in labels}

    assert {c for c in text if not c.isprintable()} == {"\n"}
    assert {value for value in values if len(value) > LONGEST_LABEL} == set()
    assert {value for value in values if not value.replace("\n", "").isprintable()} == set()
    for name in ("plant_info", "plant_newest_timestamp_seconds", "plant_coverage_ratio"):
        assert len(seen.all(name)) == len(ODD)
    assert seen.get("plant_coverage_ratio", plant_id="\\u202eright to left\\u2066") == 0.5
    assert seen.get("plant_info", plant_id="größe \u0130\u212a💩", name="größe \u0130\u212a💩") == 1
    assert (seen.get("consents", state="other"), seen.get("alerts_firing", kind="other")) == (len(ODD), len(ODD))


@pytest.mark.parametrize(("plants", "labelled"), [(1_999, 1_999), (2_000, 0)])
def test_a_large_fleet_is_told_in_quantiles(plants: int, labelled: int) -> None:
    """From 2,000 plants on, none has a label of its own; the quantiles are there either way."""
    metrics = Metrics()
    metrics.fresh(fleet(plants))
    metrics.covered([Share(f"{n}", 7, 7) for n in range(plants)])
    seen = Scraped(metrics)

    for name in ("plant_newest_timestamp_seconds", "plant_info", "plant_coverage_ratio"):
        assert len(seen.all(name)) == labelled
    assert len(seen.all("age_seconds")) == len(seen.all("coverage_ratio")) == 5
    assert seen.get("plants") == plants


async def test_a_scrape_in_a_thread_sees_one_state_as_a_whole() -> None:
    """Due and settled always belong together, however often they are told meanwhile."""
    metrics = Metrics()
    metrics.covered([Share("a", 1, 1)])

    def scrapes() -> Iterator[tuple[float | None, float | None]]:
        for _ in range(15):
            seen = Scraped(metrics)
            yield tuple(seen.get("coverage_series_days", settlement=s) for s in ("due", "settled"))  # type: ignore[misc]

    reading: Callable[[], list[tuple[float | None, float | None]]] = lambda: list(scrapes())  # noqa: E731
    task = asyncio.create_task(asyncio.to_thread(reading))
    number = 1
    while not task.done():
        number += 1
        metrics.covered([Share("a", number, number)])
        await asyncio.sleep(0)

    pairs = await task
    assert len(pairs) == 15
    assert all(due == settled for due, settled in pairs)
