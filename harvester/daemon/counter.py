"""Where a daemon takes orders, tells how far they are, and hands back what came of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog

from harvester.daemon.lanes import Lane
from harvester.errors import HarvestError
from harvester.intake import Progress
from harvester.model import Shard
from harvester.state.orders import Order, Orders

LANE_OF = {
    "run": Lane.SETTLE,
    "backfill": Lane.BACKFILL,
    "repair": Lane.REPAIR,
    "replay": Lane.HOUSEKEEPING,
    "purge": Lane.HOUSEKEEPING,
}
"""How urgent an order is."""

log = structlog.get_logger()


@dataclass(slots=True)
class Following(Progress):
    """How far an order has come, for the command that follows it."""

    plan: int = 0
    done: int = 0

    def planned(self, slices: int) -> None:
        """*slices* more are to be asked."""
        self.plan += slices

    def advanced(self) -> None:
        """One slice is answered or has failed."""
        self.done += 1

    def halted(self) -> None:
        """Forget what was planned and not asked: it will be planned again."""
        self.plan = self.done


@dataclass(slots=True)
class Taken:
    """An order under way."""

    order: Order
    lane: Lane
    progress: Following
    stands: bool = True
    """Whether its command still wants it."""


class Counter:
    """The orders of one daemon; *wall* answers aware UTC."""

    def __init__(self, orders: Orders, shard: Shard, wall: Callable[[], datetime]) -> None:
        self._orders = orders
        self._shard = str(shard)
        self._wall = wall
        self.taken: Taken | None = None
        """The one that is under way."""

    async def look(self) -> bool:
        """Take an order if none is under way, and tell whether there is a new one; else tell how far it is.

        Raises `LedgerError`.
        """
        taken, now = self.taken, self._wall()
        if taken is None:
            order = await asyncio.to_thread(self._orders.take, self._shard, now)
            if order is not None:
                self.taken = Taken(order, LANE_OF.get(order.command, Lane.BACKFILL), Following())
            return order is not None
        progress = {"planned": taken.progress.plan, "advanced": taken.progress.done}
        taken.stands = await asyncio.to_thread(self._orders.progress, taken.order, self._shard, **progress, now=now)
        return False

    async def finish(self, exit_code: int, result: Mapping[str, object] | None) -> None:
        """Hand back what came of the order under way."""
        if self.taken is None:
            return
        order, shard, now = self.taken.order, self._shard, self._wall()
        try:
            await asyncio.to_thread(self._orders.done, order, shard, exit_code=exit_code, result=result, now=now)
        except HarvestError as error:
            log.warning("order.unrecorded", order=order.order_id, reason=str(error))
        else:
            log.info("order.done", order=order.order_id, exit_code=exit_code)
        self.taken = None
