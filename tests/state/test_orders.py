"""Orders: placed by a command, taken by daemons, told of, taken back, forgotten."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harvester.state.database import connect
from harvester.state.orders import KEEP, Orders, Stage

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def orders(tmp_path: Path) -> Iterator[Orders]:
    """Return the orders of a new ledger."""
    engine = connect(tmp_path / "ledger.db")
    yield Orders(engine)
    engine.dispose()


def placed(orders: Orders, *shards: str, command: str = "backfill") -> int:
    """Place an order."""
    return orders.place(command, {"from": "2026-11-01"}, shards or ("1/1",), placed_by="somebody", now=NOW)


def test_an_order_is_taken_and_done(orders: Orders) -> None:
    """What a command placed a daemon takes, oldest first; how far it is and what came of it are told."""
    first, second = placed(orders), placed(orders, command="repair")
    order = orders.take("1/1", NOW)
    assert order is not None
    assert (order.order_id, order.command, order.arguments) == (first, "backfill", {"from": "2026-11-01"})
    assert orders.progress(order, "1/1", planned=9, advanced=4, now=NOW)
    (share,) = orders.shares(first)
    assert (share.stage, share.planned, share.advanced, share.exit_code) == (Stage.TAKEN, 9, 4, None)
    orders.done(order, "1/1", exit_code=3, result={"facts": {"rows": 7}}, now=NOW)
    (share,) = orders.shares(first)
    later = orders.take("1/1", NOW)

    assert (share.stage, share.exit_code, share.result) == (Stage.DONE, 3, {"facts": {"rows": 7}})
    assert later is not None
    assert later.order_id == second


def test_an_order_outlives_its_daemon(orders: Orders) -> None:
    """What was taken and not done is taken again by the daemon that comes next."""
    placed(orders)

    assert orders.take("1/1", NOW) == orders.take("1/1", NOW + timedelta(days=3))


def test_each_shard_has_a_share(orders: Orders) -> None:
    """An order is done once all shards have done theirs; who is of no shard gets none."""
    number = placed(orders, "1/2", "2/2")
    order = orders.take("2/2", NOW)
    assert order is not None
    orders.done(order, "2/2", exit_code=0, result=None, now=NOW)

    assert orders.take("2/2", NOW) is None
    assert orders.take("1/1", NOW) is None
    assert [share.stage for share in orders.shares(number)] == [Stage.PLACED, Stage.DONE]
    assert orders.waiting() == 1


def test_an_order_is_taken_back(orders: Orders) -> None:
    """A daemon that is at it hears of it; one that was not yet never begins."""
    number = placed(orders, "1/2", "2/2")
    order = orders.take("1/2", NOW)
    assert order is not None
    assert orders.progress(order, "1/2", planned=1, advanced=0, now=NOW)
    orders.withdraw(number)

    assert not orders.progress(order, "1/2", planned=1, advanced=1, now=NOW)
    assert orders.take("2/2", NOW) is None
    assert [share.exit_code for share in orders.shares(number)] == [None, 130]


def test_old_orders_are_forgotten(orders: Orders) -> None:
    """A month after its end an order is gone; one that waits stays, however old."""
    done, waiting = placed(orders), placed(orders, "2/2")
    order = orders.take("1/1", NOW)
    assert order is not None
    orders.done(order, "1/1", exit_code=0, result=None, now=NOW)
    orders.forget(NOW + KEEP)
    assert len(orders.shares(done)) == 1
    orders.forget(NOW + KEEP + timedelta(seconds=1))

    assert orders.shares(done) == []
    assert len(orders.shares(waiting)) == 1
