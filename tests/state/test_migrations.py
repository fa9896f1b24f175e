"""Ledgers of earlier versions open as they were; a copy of each is kept."""

import sqlite3
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from harvester.state import upgrade
from harvester.state.database import connect
from harvester.state.inventory import Inventory
from harvester.state.ledger import Ledger
from harvester.state.tables import VERSION

KEPT = sorted(Path(__file__).parent.glob("ledger-*.sql"))
"""One dump for each version that was ever released."""


@pytest.fixture(params=KEPT, ids=lambda file: file.stem)
def ledger_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a ledger as an earlier version left it."""
    file = tmp_path / "ledger.db"
    connection = sqlite3.connect(file)
    connection.executescript(request.param.read_text(encoding="utf-8"))
    connection.close()
    return file


def test_every_version_has_its_copy() -> None:
    """A migration without a kept ledger of the version before it proves nothing."""
    migrations = Path(connect.__code__.co_filename).parent / "migrations" / "versions"
    versions = sorted(file.stem[1:5] for file in migrations.glob("v*.py"))

    assert [file.stem.removeprefix("ledger-") for file in KEPT] == versions


def test_the_tables_are_those_of_the_last_migration() -> None:
    """Whoever adds a migration says so in `tables`."""
    assert upgrade.newest() == VERSION


def test_what_was_known_is_known(ledger_file: Path) -> None:
    """Settled, open and failed days, plants with their parts, facts and aliases: all there after the migrations."""
    engine = connect(ledger_file)
    inventory, ledger = Inventory(engine, plants_per_file=2), Ledger(engine)
    known = {str(each.series): each for each in inventory.offered_series(0)}
    balance, power = known["4711001/EnergyBalance"], known["4711001/4711007/PowerAc"]
    days = ledger.days([balance.series_id, power.series_id], date(2026, 10, 1), date(2026, 11, 30))

    assert {plant.plant.plant_id: plant.part for plant in inventory.plants()} == {
        "4711001": 0,
        "4711002": 0,
        "4711003": 1,
    }
    assert len(days[balance.series_id].settled) == 10
    assert days[balance.series_id].settled[date(2026, 10, 25)] == 300
    assert days[power.series_id].open[date(2026, 11, 20)].reason == "404, unknown here"
    assert days[power.series_id].open[date(2026, 11, 22)].rows == 120
    assert (balance.minutes, balance.lag) == (5, 130)
    assert balance.newest == datetime(2026, 11, 23, 8, tzinfo=UTC)
    assert ledger.fact("week_rule") == "date"
    assert [(alias.old_id, alias.new_id) for alias in inventory.aliases()] == [("old", "4711001")]
    engine.dispose()
