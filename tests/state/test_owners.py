"""The book of owners."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from harvester.state.database import connect
from harvester.state.owners import CODE, Owners, Seen, all_owners
from harvester.state.tables import OWNER, to_seconds

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ANN, BOB = "ann@example.org", "bob@example.org"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """Return a ledger."""
    made = connect(tmp_path / "ledger.db")
    yield made
    made.dispose()


@pytest.fixture
def owners(engine: sa.Engine) -> Owners:
    """Return an empty book."""
    return Owners(engine)


def test_a_state_is_remembered_since_it_was_first_read(owners: Owners) -> None:
    """`since` stays while the state does; the answer of a request keeps its end."""
    first = Seen(owner=ANN, state="Pending", look_at=NOW + HOUR, expires_at=NOW + 7 * 24 * HOUR, requested=True)
    states = [
        owners.record(first, NOW),
        owners.record(Seen(owner=ANN, state="Pending"), NOW + HOUR),
        owners.record(Seen(owner=ANN, state="Accepted"), NOW + 2 * HOUR),
    ]
    known = owners.find(ANN)

    assert states == [None, "Pending", "Pending"]
    assert known is not None
    assert (known.state, known.since, known.requested_at) == ("Accepted", NOW + 2 * HOUR, NOW)
    assert (known.seen_at, known.look_at, known.expires_at) == (NOW + 2 * HOUR, None, first.expires_at)
    assert ANN not in repr(known)


def test_an_owner_is_the_same_in_capitals(owners: Owners) -> None:
    """The first spelling stays."""
    owners.record(Seen(owner="Ann@Example.org", state="Pending"), NOW)
    owners.record(Seen(owner=ANN, state="Accepted"), NOW)

    assert [(each.owner, each.state) for each in owners.known()] == [("Ann@Example.org", "Accepted")]
    assert all_owners([ANN.upper(), BOB], owners.known()) == ["Ann@Example.org", BOB]


def test_an_occasion_opens_with_an_acceptance_or_a_request_and_closes_with_a_list(owners: Owners) -> None:
    """What opened after the list was asked for stays open."""
    owners.record(Seen(owner=ANN, state="Accepted"), NOW)
    mark = owners.latest_occasion()
    owners.record(Seen(owner=BOB, state="Accepted"), NOW)
    owners.account(mark)
    first = {each.owner: each.occasion for each in owners.known()}
    owners.record(Seen(owner=ANN, state="Accepted"), NOW)
    looked_at = owners.find(ANN)
    owners.record(Seen(owner=ANN, state="Accepted", requested=True), NOW)
    asked = owners.find(ANN)
    owners.account(0, [ANN])

    assert (first[ANN], first[BOB]) == (None, mark + 1)
    assert looked_at is not None
    assert looked_at.occasion is None
    assert asked is not None
    assert asked.occasion == mark + 2
    assert {each.owner: each.occasion for each in owners.known()} == {ANN: None, BOB: mark + 1}


def test_a_purged_owner_is_nobody_until_asked_by_name(owners: Owners, engine: sa.Engine) -> None:
    """Configured or not; a look that was under way does not revive."""
    owners.record(Seen(owner=ANN, state="Accepted"), NOW)
    with engine.begin() as db:
        db.execute(sa.update(OWNER).values(purged_at=to_seconds(NOW)))
    owners.record(Seen(owner=ANN, state="Accepted"), NOW)
    purged = all_owners([ANN], owners.known())
    owners.record(Seen(owner=ANN, state="Pending", requested=True), NOW)

    assert purged == []
    assert all_owners((), owners.known()) == [ANN]


def test_owners_of_the_code_grant_are_not_asked_by_e_mail(owners: Owners) -> None:
    """They are in the book, and nobody looks for their consent."""
    owners.record(Seen(owner="label", state="Accepted", grant=CODE), NOW)

    assert [each.owner for each in owners.known()] == ["label"]
    assert all_owners((), owners.known()) == []


def test_one_owner_is_certain_and_several_are_candidates(owners: Owners, engine: sa.Engine) -> None:
    """A later word replaces the earlier one."""
    owners.attribute({"1": frozenset({ANN, BOB}), "2": frozenset({BOB})}, NOW)
    owners.attribute({"1": frozenset({ANN})}, NOW)
    with engine.connect() as db:
        certain = db.execute(sa.text("SELECT plant_id, owner, certain FROM owner_plant ORDER BY plant_id")).all()

    assert owners.came_with() == {"1": frozenset({ANN}), "2": frozenset({BOB})}
    assert [tuple(row) for row in certain] == [("1", ANN, 1), ("2", BOB, 1)]
