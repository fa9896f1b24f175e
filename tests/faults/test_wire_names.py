"""Names that mean something to a file system, a database, a page or a terminal: here they are names and nothing else.

A rogue cloud gives them to plants, devices, sets, channels and indexes; one harvest takes all of them in, and then
everything that shows them is looked at.
"""

import asyncio
import io
import json
import logging
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import polars as pl
import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families
from rogue import IDS, ODD, Rogue, rogue
from running import backfilled, configured
from truth_frames import lake_tables

from harvester import commands, log, show
from harvester.care import tending
from harvester.compose import scope_of, utc_now
from harvester.config import Config, load
from harvester.errand import Errand, wanted
from harvester.lake.layout import Partition, Places
from harvester.ops.metrics import Metrics
from harvester.owners import consenting
from harvester.questions import preview
from harvester.questions.accounts import Tolerance
from harvester.questions.asking import Question, coverage_of, gaps
from harvester.questions.explaining import explain
from harvester.questions.overview import coverage_overview
from harvester.questions.reconcile import Asked as Reconciled
from harvester.questions.reconcile import reconcile
from harvester.report import Report

DAY = date(2026, 10, 19)
NOON = f"{DAY}T12:00:00"
ASKABLE = [name for name in IDS if name not in {".", ".."}]
"""Servers read dots as the way up, so these two are no part of an address: they are named as failed."""
QUESTIONS = ("gaps", "coverage", "status", "explain", "reconcile", "plan", "consent status", "lake check")
STEERING = [name for name in IDS if not name.isprintable() and "\n" not in name]
LONGEST_NAME = 200
"""Of a file, and of what is worth a test of its own."""
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


class Terminal(io.TextIOWrapper):
    """A terminal that a log is written to."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")

    def isatty(self) -> bool:
        """Say that a person reads this."""
        return True

    def text(self) -> str:
        """Return all that was written."""
        self.flush()
        self.seek(0)
        return self.read()


@contextmanager
def logged(stream: io.TextIOWrapper) -> Iterator[None]:
    """Send the log to *stream* for a while, and leave the process's logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    log.configure(stream=stream, level="debug")
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()


@dataclass(frozen=True)
class Taken:
    """What a harvest of them left behind."""

    folder: Path
    config: Config
    report: Report
    asked: list[str]
    said: str
    """What the log told a terminal meanwhile."""


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Taken:
    """Harvest a day of a cloud with odd names."""
    folder, terminal = tmp_path_factory.mktemp("names"), Terminal()

    async def harvest() -> Taken:
        async with rogue() as cloud:
            named()(cloud)
            config = configured(SimpleNamespace(url=cloud.url), folder, sma__monitoring_url=f"{cloud.url}/v1")
            report = await backfilled(config, DAY, DAY)
            return Taken(folder, config, report, cloud.seen, terminal.text())

    with logged(terminal):
        return asyncio.run(harvest())


@pytest.fixture
def crowded(taken: Taken, tmp_path: Path) -> Taken:
    """Copy what it left, and put files and columns with odd names into the lake's folder."""
    shutil.copytree(taken.folder, tmp_path, dirs_exist_ok=True)
    file = min((tmp_path / "lake" / "plant_energy_balance").rglob("*.parquet"))
    for name in (name for name in IDS if len(name) < LONGEST_NAME and "/" not in name):
        if not (file.parent / name).exists():
            (file.parent / name).write_bytes(b"")
    odd = {f"{n}{name}": 1.5 for n, name in enumerate(ODD)}
    pl.read_parquet(file).with_columns(**{name: pl.lit(value) for name, value in odd.items()}).write_parquet(file)
    where = {"lake.root": str(tmp_path / "lake"), "ledger.url": f"sqlite:///{tmp_path / 'ledger.db'}"}
    urls = taken.config.sma.model_dump(include={"auth_url", "consent_url", "monitoring_url"})
    config = load(None, environ={}, flags={f"sma.{key}": url for key, url in urls.items()} | where)
    return replace(taken, folder=tmp_path, config=config)


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


def asked(config: Config, what: str, *, as_json: bool = False) -> int:
    """Ask one question as a person does, or with *as_json* as a script."""
    scope = scope_of(config)
    question, unasked = Question(scope, DAY, DAY), Question(scope, DAY, DAY + timedelta(days=1))
    about = Reconciled(DAY, DAY, frozenset(), Tolerance(absolute=0.0, relative=0.0))
    errand = Errand(command="repair", scope=scope, first=DAY, last=DAY, force=True)
    ask: dict[str, Callable[[], int]] = {
        "gaps": lambda: gaps(config, unasked, content=True, check=False, as_json=as_json),
        "coverage": lambda: coverage_of(config, question, html=None, check=False, as_json=as_json),
        "status": lambda: commands.status(config, as_json=as_json),
        "explain": lambda: max(explain(config, [name, DAY.isoformat()], as_json=as_json) for name in ASKABLE),
        "reconcile": lambda: reconcile(config, about, check=False, as_json=as_json),
        "plan": lambda: preview.costs(config, wanted(errand, config, utc_now()), as_json=as_json),
        "consent status": lambda: asyncio.run(consenting.status(config, (), asking=False, as_json=as_json)),
        "lake check": lambda: tending.check_lake(config, strict=False, as_json=as_json),
    }
    return ask[what]()


@pytest.mark.parametrize("what", QUESTIONS)
def test_no_name_steers_the_terminal(crowded: Taken, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither escapes nor marks that turn the direction of text, nor markup or emoji of the printing library."""
    code = asked(crowded.config, what)
    printed = capsys.readouterr()

    assert code == 0
    assert printed.out
    assert steers(printed.out) | steers(printed.err) == set()
    assert "💣" not in printed.out
    assert printed.out.count("\n") < DISPLAYED


@pytest.mark.parametrize("what", QUESTIONS)
def test_no_name_steers_the_terminal_as_json(crowded: Taken, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What steers is spelt, so that a program reads the very name; what can be printed is as it is."""
    asked(crowded.config, what, as_json=True)
    printed = capsys.readouterr()
    documents = whole_documents(printed.out)
    texts = "\0".join(texts_in(documents))

    assert documents
    assert steers(printed.out) | steers(printed.err) == set()
    assert {name for name in STEERING if name not in texts} == set()
    assert ("größe" in texts, "größe" in printed.out) == (True, True)


def whole_documents(text: str) -> list[Any]:
    """Read one JSON document after the other."""
    found, at = [], 0
    while text[at:].strip():
        document, at = json.JSONDecoder().raw_decode(text, at)
        found.append(document)
        at += len(text[at:]) - len(text[at:].lstrip())
    return found


def texts_in(value: Any) -> Iterator[str]:
    """Yield every text in a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from texts_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_in(inner)


def colours(text: str) -> set[str]:
    """Return the sequences that begin with an escape, up to the first letter."""
    return set(re.findall(r"\x1b[^A-Za-z\x1b]*.?", text))


OWN_COLOURS = {f"\x1b[{code}m" for code in (0, 1, 2, *range(31, 37))}
"""With which the log marks levels, names and values."""


def test_no_name_in_the_log_steers_the_terminal(taken: Taken) -> None:
    """A harvest that fails for odd names tells of it in lines and colours of its own only."""
    lines = taken.said.splitlines()

    assert "discover.failed" in taken.said
    assert steers(taken.said) <= {"\x1b"}
    assert colours(taken.said) <= OWN_COLOURS
    assert [line for line in lines if not re.match(r"\x1b\[2m\d{4}-\d\d-\d\dT", line)] == []


@pytest.mark.parametrize("name", [name for name in ODD if len(name) < LONGEST_NAME])
def test_no_event_with_a_name_steers_the_terminal(name: str) -> None:
    """As a fact, deep in one, as an event, in an error with its traceback, and in what a library logs: one look."""
    terminal, plain = Terminal(), Terminal()
    for stream, used in ((terminal, name), (plain, "plain")):
        with logged(stream):
            logger = structlog.get_logger()
            logger.warning("discover.failed", plant_id=used, deep={used: [used]})
            logger.warning(used, **{used: 1})
            logger.error("run.failed", exc_info=ValueError(used))
            logging.getLogger("aiohttp").error("%s", used)
    told, usual = terminal.text(), plain.text()

    assert steers(told) <= {"\x1b"}
    assert told.count("\x1b") == usual.count("\x1b")
    assert name not in told or not steers(name)
    assert told.count("\n") == usual.count("\n") + name.count("\n")  # an error's text keeps its lines


def test_a_log_that_is_read_by_programs_holds_the_very_name() -> None:
    """JSON lines may be looked at too: what steers is spelt there as well."""
    file = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with logged(file):
        for name in ODD:
            structlog.get_logger().warning("discover.failed", plant_id=name)
    file.seek(0)
    lines = file.read().splitlines()

    assert steers("".join(lines)) == set()
    assert [json.loads(line)["plant_id"] for line in lines] == list(ODD)


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
    """What Prometheus reads is well formed, and no label of a counter is a name from the network as it came."""
    metrics = Metrics()
    metrics.ran("backfill", taken.report)
    families = list(text_string_to_metric_families(metrics.render()[0].decode()))
    labels = {value for family in families for sample in family.samples for value in sample.labels.values()}

    assert families
    assert labels.isdisjoint({name for name in ODD if not name.isidentifier()} - {"plants"})
