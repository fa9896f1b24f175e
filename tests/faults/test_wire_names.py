"""Names that mean something to a file system, a database, a page or a terminal: here they are names and nothing else.

A rogue cloud gives them to plants, devices, sets, channels and indexes; one harvest takes all of them in, and then
everything that shows them is looked at.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import polars as pl
import pytest
from prometheus_client.parser import text_string_to_metric_families
from rogue import IDS, ODD, Rogue, rogue
from running import backfilled, configured
from truth_frames import lake_tables

from harvester import commands, show
from harvester.compose import scope_of, utc_now
from harvester.config import Config
from harvester.lake.layout import Partition, Places
from harvester.ops.metrics import Metrics
from harvester.questions.asking import Question, coverage_of, gaps
from harvester.questions.explaining import explain
from harvester.questions.overview import coverage_overview
from harvester.report import Report

DAY = date(2026, 10, 19)
NOON = f"{DAY}T12:00:00"
ASKABLE = [name for name in IDS if name not in {".", ".."}]
"""Servers read dots as the way up, so these two are no part of an address: they are named as failed."""
DISPLAYED = 3_000
"""Lines that a question may print at most before somebody's name has broken one."""


def named() -> Callable[[Rogue], None]:
    """Return what gives every odd name to everything that has one."""

    def values(_id: str, of: str, period: str) -> dict[str, Any]:
        if period in {"Month", "Year", "Total"}:
            return {"set": []}
        channels = dict.fromkeys((name for name in ODD if name != "time"), 1.5) if of == "PowerDc" else {}
        arrays = [{"index": name, "value": 2.5} for name in ODD]
        rows = [{"time": NOON, **channels, "dcPowerInput": arrays, "words": of}]
        return {"resolution": "FiveMinutes", "set": rows if of != "EnergyBalance" else [{"time": NOON}]}

    def give(cloud: Rogue) -> None:
        start = {"startUpUtc": "2026-10-01T00:00:00"}
        zone = {"timezone": "Europe/Berlin", "installation": start}
        cloud.plants = [{"plantId": name, "name": name, **zone} for name in IDS]
        facts = ("name", "type", "product", "serial", "vendor")
        cloud.devices = {n: [{"deviceId": f"{n}!", **dict.fromkeys(facts, n)}] for n in IDS}
        cloud.sets = {name: ["EnergyBalance"] for name in IDS} | {f"{name}!": [name] for name in IDS}
        cloud.sets["CON!"] = ["PowerDc", "CON", "nul\x00byte"]
        cloud.values = values

    return give


@dataclass(frozen=True)
class Taken:
    """What a harvest of them left behind."""

    folder: Path
    config: Config
    report: Report
    asked: list[str]


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Taken:
    """Harvest a day of a cloud with odd names."""
    folder = tmp_path_factory.mktemp("names")

    async def harvest() -> Taken:
        async with rogue() as cloud:
            named()(cloud)
            config = configured(SimpleNamespace(url=cloud.url), folder, sma__monitoring_url=f"{cloud.url}/v1")
            return Taken(folder, config, await backfilled(config, DAY, DAY), cloud.seen)

    return asyncio.run(harvest())


def test_no_file_lies_where_a_name_points(taken: Taken) -> None:
    """Below the folder are the lake and the ledger; in the lake only what its layout spells."""
    places = Places(taken.config.lake.root)
    files = {file for file in taken.folder.rglob("*") if file.is_file()}
    data = {file for file in files if places.root in file.parents and places.own not in file.parents}

    assert {file.name for file in taken.folder.iterdir()} <= {"lake", "ledger.db", "ledger.db-wal", "ledger.db-shm"}
    assert data == {places.file(partition) for partition in places.partitions()}
    assert len(data) > len(ASKABLE)
    assert all(Partition.parse(file.relative_to(places.root).as_posix()) for file in data)
    assert all(file.name.isascii() and file.name.isprintable() for file in files)
    assert not Path("/tmp/evil").exists()  # noqa: S108 - where a name points


def test_every_name_has_its_rows_and_every_hole_is_told(taken: Taken) -> None:
    """Each plant, device, set, channel and index is kept under its very name; what cannot be asked is a failure."""
    lake = lake_tables(taken.config.lake.root)
    sets = pl.concat(
        [f.select("device_id", "other") for n, f in lake.items() if n.startswith("device") and "other" in f]
    )
    indexes = {i for name, f in lake.items() if name == "device_power_dc_by_index" for i in f["index"]}
    hopeless = [miss for miss in taken.report.misses if "cannot be a part of an address" in miss.reason]

    assert set(lake["plant_energy_balance"]["plant_id"]) == set(ASKABLE)
    assert {f"{name}!" for name in ASKABLE} <= set(sets["device_id"])
    assert indexes == set(ODD)
    assert sum(c.startswith("x_") for c in lake["device_power_dc"].columns) > len(ODD) / 2
    assert {miss.what.split()[0] for miss in hopeless} >= {".", ".."}
    assert taken.report.exit_code == 3


def test_no_name_leaves_its_segment_of_an_address(taken: Taken) -> None:
    """Every address that was asked is one of the API's, with the name as one part of it."""
    lengths = {1, 2, 3, 4, 5, 7, 8}  # plants/ID/devices/lean and so on; slashes inside a name come decoded
    plain = [path for path in taken.asked if not any(name in path for name in ODD if "/" in name)]

    assert {len(path.split("/")) for path in plain} <= lengths
    assert all(path.split("/")[0] in {"oauth2", "v1"} for path in taken.asked)


def steers(text: str) -> set[str]:
    """Return the characters of *text* that would steer a terminal."""
    return {character for character in text if not character.isprintable() and character != "\n"}


def asked(config: Config, what: str) -> int:
    """Ask one question as a person does."""
    question = Question(scope_of(config), DAY, DAY)
    if what == "gaps":
        return gaps(config, question, content=True, check=False, as_json=False)
    if what == "coverage":
        return coverage_of(config, question, html=None, check=False, as_json=False)
    if what == "status":
        return commands.status(config, as_json=False)
    return max(explain(config, [name, DAY.isoformat()], as_json=False) for name in ASKABLE)


@pytest.mark.parametrize("what", ["gaps", "coverage", "status", "explain"])
def test_no_name_steers_the_terminal(taken: Taken, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither escapes nor marks that turn the direction of text, nor markup or emoji of the printing library."""
    code = asked(taken.config, what)
    printed = capsys.readouterr()

    assert code == 0
    assert printed.out
    assert steers(printed.out) | steers(printed.err) == set()
    assert "💣" not in printed.out
    assert printed.out.count("\n") < DISPLAYED


def test_the_report_of_a_run_steers_nothing(taken: Taken, capsys: pytest.CaptureFixture[str]) -> None:
    """Failures name plants, and a reason holds what a server said."""
    show.report(taken.report)

    assert steers(capsys.readouterr().out) == set()


class Page(HTMLParser):
    """Tags, the attributes that act, and the texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.acting: list[str] = []
        self.texts = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append(tag)
        self.acting += [name for name, _ in attrs if name.startswith("on") or name in {"src", "href", "action"}]

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.texts += data


def test_no_name_runs_in_a_page(taken: Taken, tmp_path: Path) -> None:
    """The page of `coverage --html` and the daemon's show them as text."""
    file = tmp_path / "page.html"
    coverage_of(taken.config, Question(scope_of(taken.config), DAY, DAY), html=file, check=False, as_json=False)
    served = coverage_overview(taken.config, scope_of(taken.config), [], now=utc_now())
    for page in map(Page, (file.read_text(encoding="utf-8"), served)):
        assert page.tags.count("script") <= 1
        assert not {"img", "iframe", "form", "link", "object"} & set(page.tags)
        assert page.acting == []
        assert "<script>alert(1)</script>" in page.texts


def test_no_name_speaks_to_the_ledger(taken: Taken) -> None:
    """Every table of the ledger is there, sound, and holds the names as they are."""
    with closing(sqlite3.connect(taken.folder / "ledger.db")) as ledger:
        names = {name for (name,) in ledger.execute("SELECT plant_id FROM plant")}
        sound = ledger.execute("PRAGMA integrity_check").fetchall()

    assert names == set(IDS)
    assert sound == [("ok",)]


def test_no_name_breaks_the_views(taken: Taken) -> None:
    """The shipped SQL reads the lake; a plant is found by its name as a parameter."""
    sql = Path(__file__).parents[2] / "storage" / "duckdb.sql"
    with duckdb.connect() as connection:
        connection.execute(f"SET VARIABLE lake = '{taken.config.lake.root}'")
        connection.execute(sql.read_text(encoding="utf-8"))
        for name in ASKABLE:
            found = connection.execute(
                "SELECT count(*) FROM plant_energy_balance WHERE plant_id = ?", [name]
            ).fetchone()
            assert found == (1,)
        latest = connection.execute("SELECT count(*) FROM example_latest").fetchone()

    assert latest == (len(ASKABLE),)


def test_no_name_becomes_a_label(taken: Taken) -> None:
    """What Prometheus reads is well formed, and no label is a name from the network as it came."""
    metrics = Metrics()
    metrics.ran("backfill", taken.report)
    families = list(text_string_to_metric_families(metrics.render()[0].decode()))
    labels = {value for family in families for sample in family.samples for value in sample.labels.values()}

    assert families
    assert labels.isdisjoint({name for name in ODD if not name.isidentifier()} - {"plants"})
