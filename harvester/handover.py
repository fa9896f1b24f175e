"""A command that finds a daemon at its lake: the daemon does the work, the command shows how far it is."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from typing import Any

from harvester import show
from harvester.compose import operator_name, utc_now
from harvester.config import Config
from harvester.errand import Errand
from harvester.errors import LedgerError
from harvester.intake import Progress
from harvester.lake.layout import Places
from harvester.lake.lock import holders
from harvester.model import Shard
from harvester.report import INCOMPLETE, OK
from harvester.state.database import connect
from harvester.state.orders import Orders, Share, Stage
from harvester.stopping import Stop

_LOOK_SECONDS = 0.25
_START_LOOKS = 20
"""How often a command looks for the ledger of a daemon that is just starting."""
_PATIENCE_LOOKS = 40
"""How often a command that was told to stop looks whether the daemon has given its order up."""


async def hand_over(config: Config, errand: Errand, daemons: Sequence[str], *, wait: bool, as_json: bool) -> int:
    """Have the *daemons* (the shares of those that are running) do *errand*, and return the exit code.

    Follows the order to its end, or with *wait* off only places it. Told to stop, it takes the order back.
    """
    await _made(config)
    engine = connect(config.ledger.path, create=False)
    try:
        orders = Orders(engine)
        shards = [str(shard) for shard in Shard.parse(daemons[0]).every()]
        number = orders.place(errand.command, errand.arguments(), shards, placed_by=_who(), now=utc_now())
        missing = sorted(set(shards) - set(daemons))
        show.say(f"A daemon has this lake: it does the work, as order {number}.")
        if missing:
            show.say(f"No daemon runs as --shard {' or '.join(missing)}: its share waits for one.")
        if not wait:
            if as_json:
                show.as_json({"order": number, "shards": shards})
            return OK
        return await _follow(orders, number, Places(config.lake.root), set(daemons), errand, as_json=as_json)
    finally:
        engine.dispose()


async def _made(config: Config) -> None:
    """Wait for the ledger, which a daemon that began a moment ago is still making."""
    for _ in range(_START_LOOKS):
        try:
            connect(config.ledger.path, create=False).dispose()
        except LedgerError:
            await asyncio.sleep(_LOOK_SECONDS)
        else:
            return


def _who() -> str:
    return f"{operator_name()}@{socket.gethostname()} (process {os.getpid()})"


async def _follow(
    orders: Orders, number: int, places: Places, daemons: set[str], errand: Errand, *, as_json: bool
) -> int:
    """Show how far the order of *errand* is until it is done; the exit code is the worst of its shares."""
    stop, shown = Stop(), _Shown()
    with stop.listening(), show.progress() as progress:
        while not stop.event.is_set():
            running = {holder.shard for holder in holders(places)}  # first: a daemon may end when it is done
            shares = orders.shares(number)
            shown.update(progress, shares)
            left = {share.shard for share in shares if share.stage is not Stage.DONE and share.shard in daemons}
            if not left:
                break
            if not left & running:
                show.say("The daemon ended before it was done; the order is taken up when one runs again.")
                return INCOMPLETE
            await asyncio.sleep(_LOOK_SECONDS)
    if stop.signal:
        return await _taken_back(orders, number, stop, forced=errand.force)
    shares = orders.shares(number)
    _tell([share for share in shares if share.result is not None], as_json=as_json)
    ended = [share.exit_code for share in shares if share.exit_code is not None]
    return max([*ended, INCOMPLETE if len(ended) < len(shares) else OK])


async def _taken_back(orders: Orders, number: int, stop: Stop, *, forced: bool) -> int:
    orders.withdraw(number)
    for _ in range(_PATIENCE_LOOKS):
        if all(share.stage is not Stage.TAKEN for share in orders.shares(number)):
            break
        await asyncio.sleep(_LOOK_SECONDS)
    again = "asks all of its days again" if forced else "goes on from here"
    show.say(f"Taken back: what was answered is in the lake, and the same command {again}.")
    return stop.exit_code


class _Shown:
    """How much of an order's progress was shown."""

    def __init__(self) -> None:
        self._planned = self._advanced = 0

    def update(self, progress: Progress, shares: Sequence[Share]) -> None:
        """Show what is new."""
        planned, advanced = sum(s.planned for s in shares), sum(s.advanced for s in shares)
        if planned > self._planned:
            progress.planned(planned - self._planned)
        for _ in range(advanced - self._advanced):
            progress.advanced()
        self._planned, self._advanced = max(planned, self._planned), max(advanced, self._advanced)


def _tell(shares: Sequence[Share], *, as_json: bool) -> None:
    results: list[dict[str, Any]] = [dict(share.result or {}) for share in shares]
    if as_json:
        facts = [result.get("facts") for result in results]
        show.as_json(facts[0] if len(facts) == 1 else facts)
        return
    for share, result in zip(shares, results, strict=True):
        if len(results) > 1:
            show.title(f"Shard {share.shard}")
        show.tell(str(result.get("text", "")).rstrip("\n"))
