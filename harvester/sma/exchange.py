"""One request from the wait for the budget to its value: pace, authorise, send, judge, follow, try again.

Knows no socket: it is handed the function that sends. What a status means is ``wire``'s to say, when to try
again ``retry``'s, how fast ``pace``'s; here they meet.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

import structlog

from harvester.errors import HarvestError, Retry, Throttled
from harvester.sma import discretion, wire
from harvester.sma.pace import Pace
from harvester.sma.retry import Patience
from harvester.sma.tally import Call, Tally
from harvester.sma.tokens import Ask, TokenSource
from harvester.sma.wire import Elsewhere, Good, Request, Response

T = TypeVar("T")
Verdict = Good[T] | Elsewhere | HarvestError

log = structlog.get_logger(__name__)


class Send(Protocol):
    """Puts a request on the wire and reads the answer to its end, once."""

    def __call__(self, request: Request[Any], /, *, token: str | None) -> Awaitable[Response]:
        """Return the answer, whatever its status; raises Retry errors only."""
        ...


class Exchange:
    """Asks SMA with the tokens of one source; several share *slots*, *pace* and *tally*."""

    def __init__(  # the parts that meet here, and the seams for a test
        self,
        send: Send,
        *,
        tokens: Callable[[Ask], TokenSource],
        pace: Pace,
        patience: Patience,
        slots: asyncio.Semaphore,
        tally: Tally,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._send = send
        self._pace = pace
        self._patience = patience
        self._tally = tally
        self._sleep = sleep
        self._draw = draw
        self._slots = slots
        self.tokens = tokens(self.ask)

    async def ask(self, request: Request[T]) -> T:
        """Return what *request* asks for.

        Raises the error of the last try once patience has ended, a Skip error at once, and whatever keeps a
        token away.
        """
        attempts: Counter[str] = Counter()
        visited = [request.url]
        while True:
            verdict = await self._once(request)
            if isinstance(verdict, Good):
                return verdict.value
            if isinstance(verdict, Elsewhere):
                request = wire.follow(request, verdict.location, visited)
                visited.append(request.url)
            elif isinstance(verdict, Retry):
                await self._back_off(request, verdict, attempts)
            # SMA may end a token early: the first refusal has thrown it away, the next try brings a new one.
            elif wire.token_refused(verdict) and request.needs_token and not attempts["token"]:
                attempts["token"] += 1
                self._tally.retries += 1
            else:
                raise verdict

    async def _back_off(self, request: Request[T], error: Retry, attempts: Counter[str]) -> None:
        """Wait until *request* may be tried again; raises *error* when it has been tried often enough."""
        sort = "refused" if isinstance(error, Throttled) else "failed"
        attempts[sort] += 1
        delay = self._patience.delay(error, attempts[sort], self._draw())
        facts = {"request": request.label, "error": type(error).__name__, "status": error.status}
        if delay is None:
            log.warning("sma.gave_up", attempts=attempts[sort], **facts)
            raise error
        log.debug("sma.retry", attempt=attempts[sort], delay=round(delay, 2), **facts)
        self._tally.retries += 1
        await self._sleep(delay)

    async def _once(self, request: Request[T]) -> Verdict[T]:
        """Try *request* once, within the budget if it counts against it."""
        if not request.needs_token:
            return await self._unpaced(request)
        await self.tokens.current()  # before anything is taken: an owner without a token must not hold up others
        # The slot comes first: who waits for a connection must not hold a permit, which others could use.
        async with self._slots, self._pace.permit() as permit:
            permit.spent = False
            token = await self.tokens.current()
            permit.spent = True
            verdict = await self._judged(request, token.value)
            if isinstance(verdict, Throttled):
                permit.spent = False
                waiting = self._pace.paused_until is not None
                self._pace.penalise(verdict.retry_after)
                if not waiting:
                    log.warning("sma.budget_spent", going_on_in_seconds=round(self._pace.pause_left))
            elif wire.token_refused(verdict):
                self.tokens.drop(token)
            return verdict

    async def _unpaced(self, request: Request[T]) -> Verdict[T]:
        """Try a request for a token: those who hold permits wait for it, so it cannot wait for one itself."""
        await self._pace.resumed()
        verdict = await self._judged(request, None)
        if isinstance(verdict, Throttled):
            self._pace.pause(verdict.retry_after)
        return verdict

    async def _judged(self, request: Request[T], token: str | None) -> Verdict[T]:
        """Send *request*, judge the answer, count both."""
        started, response = time.monotonic(), None
        verdict: Verdict[T]
        try:
            response = await self._send(request, token=token)
            if response.status >= HTTPStatus.BAD_REQUEST:
                response = replace(response, body=discretion.without(response.body, (token or "", *request.secrets)))
            verdict = wire.judge(request, response)
        except Retry as error:
            verdict = error
        self._tally.add(
            Call(
                kind=request.kind,
                outcome=_outcome(verdict),
                status=response.status if response else None,
                seconds=time.monotonic() - started,
                size=len(response.body) if response else 0,
            )
        )
        return verdict


def _outcome(verdict: Verdict[T]) -> str:
    """Return the key under which a verdict is counted."""
    if isinstance(verdict, HarvestError):
        return type(verdict).__name__
    return "ok" if isinstance(verdict, Good) else "redirect"
