"""What is remembered of owners who connected, beside the owner book that others write too."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from present import Present
from sqlalchemy.engine import Engine

from harvester.model import Device, Plant
from harvester.state.connections import Connections
from harvester.state.database import connect
from harvester.state.inventory import Inventory
from harvester.state.owners import Owners
from harvester.state.vault import Keyring, Vault


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Make a ledger."""
    made = connect(tmp_path / "ledger.db")
    yield made
    made.dispose()


@pytest.fixture
def clock() -> Present:
    """Return a present."""
    return Present(2026, 5, 4)


@pytest.fixture
def store(engine: Engine, clock: Present) -> Connections:
    """Build what is tested."""
    return Connections(engine, Vault(engine, Keyring([bytes(32)]), clock), clock)


def plant(plant_id: str) -> Plant:
    """Return a plant."""
    return Plant(plant_id=plant_id, name=f"Plant {plant_id}", timezone="Europe/Berlin")


def test_a_state_is_written_when_it_changes(store: Connections, engine: Engine, clock: Present) -> None:
    """Accepted again and again keeps the time of the first; refused and accepted again are seen."""
    book, seen = Owners(engine), []
    store.connected("ann", "1")
    for change in (store.welcomed, store.accepted, store.refused, store.accepted):
        clock.advance(hours=1)
        change("ann")
        known = book.find("ann")
        assert known is not None
        seen.append((known.state, known.since.hour, known.grant))

    assert seen == [("Accepted", 1, "code"), ("Accepted", 1, "code"), ("Revoked", 3, "code"), ("Accepted", 4, "code")]


def test_plants_that_are_gone_do_not_stand_in(store: Connections, engine: Engine, clock: Present) -> None:
    """Only what was in the last list counts as listed still; a plant that nobody enumerated yet is not invented."""
    inventory = Inventory(engine, plants_per_file=100)
    inventory.see_plants([plant("1"), plant("2")], clock())
    inventory.see_plants([plant("1")], clock())
    store.saw("ann", ["1", "2", "3"])

    assert store.listed("ann") == ["1"]
    assert store.listed("bob") == []


def test_a_plant_and_its_devices_lead_to_the_owner(store: Connections, engine: Engine, clock: Present) -> None:
    """A plant that changes hands belongs to whom it was listed for last."""
    inventory = Inventory(engine, plants_per_file=100)
    inventory.see_plants([plant("1")], clock())
    device = Device(device_id="d", plant_id="1", name="Inverter")
    inventory.explored(plant("1"), [device], {None: [], "d": []}, clock())
    store.saw("ann", ["1"])
    first = (store.owner_of_plant("1"), store.owner_of_device("d"))
    store.saw("bob", ["1"])

    assert first == ("ann", "ann")
    assert (store.owner_of_plant("1"), store.owner_of_device("d")) == ("bob", "bob")
    assert store.owner_of_plant("2") is None
    assert store.owner_of_device("e") is None


@pytest.mark.parametrize(
    ("listed", "owner"),
    [
        (["1", "2"], "ann"),
        (["1", "2", "9"], "ann"),
        (["1", "2", "3"], "ann"),
        (["3"], "bob"),
        (["1"], None),
        (["9"], None),
        ([], None),
    ],
)
def test_an_owner_is_recognised_by_all_plants(store: Connections, listed: list[str], owner: str | None) -> None:
    """Who sees only some of another's plants is somebody else, and takes nothing over."""
    store.connected("ann", "1")
    store.connected("bob", "2")
    store.saw("ann", ["1", "2"])
    store.saw("bob", ["3"])
    store.saw("cat", ["9"])  # known, but not connected

    assert store.owner_with(listed) == owner


def test_a_token_goes_over_to_the_known_name(store: Connections) -> None:
    """Nothing is left under the name it came with."""
    store.connected("ann", "old")
    store.connected("owner-0", "new")
    store.renamed("owner-0", "ann")
    store.renamed("nobody", "ann")

    assert store.owners() == ["ann"]
    assert store.refresh_of("ann") == "new"
