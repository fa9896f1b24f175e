"""Tells a webhook what needs a person: once when it begins, once when it is over, over restarts too.

Sending goes on in the background and is never in the way of work. The webhook's address is a secret: it is in no log
line, so that what fails is told by its kind and its status only.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from itertools import chain, repeat
from typing import Any

import aiohttp
import structlog

from harvester.errors import LedgerError
from harvester.log import mask_secrets
from harvester.ops.attention import Alert
from harvester.ops.conditions import Conditions
from harvester.ops.outbox import Entry, Facts, Outbox

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0)
"""Seconds between tries; the last one again and again."""
TOGETHER = 5
"""More than so many of one kind are told in one message."""
_NAMED = 20
_TIMEOUT = aiohttp.ClientTimeout(total=15)
_FAREWELL = 2.0
"""Seconds that the end of the process waits for what is still to be said; the rest is said after the next start."""
_LONGEST_WAIT = 3_600.0
_LATER = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
_WEBHOOK, _MEMORY = "alerts.webhook", "alerts.memory"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What a receiver made of a message."""

    reason: str | None = None
    """Why it did not take it; None where it did."""
    again: bool = False
    """Whether the same message may be taken later."""
    wait: float = 0.0
    """Seconds that it asked for."""


class Alerts:
    """What needs a person, said through *url* (None: only logged) and remembered in *facts*.

    *host* names this machine in messages, *wall* answers aware UTC, *notified* is told delivered, failed or dropped.
    To be made and closed on the loop that sends.
    """

    def __init__(
        self,
        url: str | None,
        facts: Facts,
        *,
        host: str,
        wall: Callable[[], datetime],
        notified: Callable[[str], None],
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self._url = url
        self._host = host
        self._wall = wall
        self._notified = notified
        self._pauses = pauses
        self._outbox = Outbox(facts)
        self._conditions = Conditions(wall)
        self._news, self._idle = asyncio.Event(), asyncio.Event()
        for key, entry in self._outbox.firing.items():
            self._conditions.resume(key, entry.since)
        self._task = asyncio.create_task(self._send(url)) if url else None
        if self._task is not None:
            self._task.add_done_callback(_mourn)

    @property
    def firing(self) -> tuple[Entry, ...]:
        """What needs a person now, in the order in which it began."""
        return tuple(self._outbox.firing.values())

    def read_again(self) -> None:
        """Forget what a purge has deleted of what was said."""
        self._outbox.read_again()

    @property
    def keys(self) -> frozenset[str]:
        """The keys of what needs a person now."""
        return frozenset(self._outbox.firing)

    @property
    def by_kind(self) -> Counter[str]:
        """How much of each kind needs a person now."""
        return Counter(entry.alert.kind for entry in self.firing)

    def keep(self, alerts: Sequence[Alert]) -> None:
        """Take *alerts* for all that needs a person now: what is new begins, what is not among them is over."""
        self.over(*sorted(self.keys - {alert.key for alert in alerts}))
        self.begin(*alerts)

    def begin(self, *alerts: Alert) -> None:
        """Note that *alerts* need a person, and say so unless that was said."""
        with self._remembering():
            begun, dropped = self._outbox.begin(alerts, self._wall())
            for alert in begun:
                self._conditions.began(alert.key, title=alert.title, remedy=alert.remedy)
            if dropped and self._conditions.began("alerts.too_many", dropped=dropped):
                self._notified("dropped")
        self._wake()

    def over(self, *keys: str) -> None:
        """Note that *keys* are over, and say so of those that were on."""
        with self._remembering():
            for entry in self._outbox.end(keys, self._wall()):
                self._conditions.over(entry.alert.key, title=entry.alert.title)
                self._conditions.over("alerts.too_many")
            if self._url is None:
                self._outbox.forget_ended()
        self._wake()

    async def aclose(self) -> None:
        """Say what can be said within two seconds, then end; the rest is said after the next start."""
        if self._task is None:
            return
        if not self._conditions.holds(_WEBHOOK):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), _FAREWELL)
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def _wake(self) -> None:
        self._idle.clear()
        self._news.set()

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        """Go on with what is known in memory where the ledger cannot be written: at worst something is said twice."""
        try:
            yield
        except LedgerError as error:
            self._conditions.began(_MEMORY, reason=str(error))
        else:
            self._conditions.over(_MEMORY)

    async def _send(self, url: str) -> None:
        pauses = chain(self._pauses, repeat(self._pauses[-1]))
        async with aiohttp.ClientSession(timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()) as session:
            while True:
                entries = self._outbox.next(TOGETHER)
                if not entries:
                    self._idle.set()
                    await self._news.wait()
                    self._news.clear()
                    continue
                verdict = await _post(session, url, message(entries, host=self._host))
                if verdict.reason:
                    advice = "it is tried again" if verdict.again else "check alerts.webhook_url"
                    self._conditions.began(_WEBHOOK, reason=verdict.reason, advice=advice)
                if verdict.again:
                    await asyncio.sleep(max(next(pauses), verdict.wait))
                    continue
                pauses = chain(self._pauses, repeat(self._pauses[-1]))
                if not verdict.reason:
                    self._conditions.over(_WEBHOOK)
                self._notified("failed" if verdict.reason else "delivered")
                with self._remembering():
                    self._outbox.said(entries)


def _mourn(task: asyncio.Task[None]) -> None:
    """Log a mistake of ours that ended the sending: who waits for alerts would take its silence for good news."""
    if not task.cancelled() and (error := task.exception()):
        log.error("alerts.stopped", reason=f"{type(error).__name__}")


async def _post(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> _Verdict:
    """Hand *body* over and return what became of it."""
    try:
        async with session.post(url, json=body, allow_redirects=False) as answer:
            status, wait = answer.status, answer.headers.get("Retry-After", "")
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, ValueError):
        return _Verdict("its address is none that can be sent to")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return _Verdict(type(error).__name__, again=True)
    if status in _LATER or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _Verdict(
            f"status {status}", again=True, wait=min(float(wait), _LONGEST_WAIT) if wait.isdecimal() else 0.0
        )
    return _Verdict() if status < HTTPStatus.MULTIPLE_CHOICES else _Verdict(f"status {status}")


def message(entries: Sequence[Entry], *, host: str) -> dict[str, Any]:
    """Return the body for *entries*, all of one kind and state: a text for chat rooms, and the same as fields."""
    state = entries[0].state
    each = [_fields(entry) for entry in entries]
    if len(each) == 1:
        title, remedy = each[0]["title"], each[0]["remedy"]
    else:
        title = f"{len(each):,} things of kind {entries[0].alert.kind}"
        remedy = "\n".join(f"- {one['title']}" for one in each[:_NAMED])
    body = remedy if len(each) > 1 or state == "firing" else ""
    text = "\n".join(part for part in (f"[{state}] {title}", body, f"(sma-harvester on {host})") if part)
    common = {"text": _chat(text), "state": state, "title": title, "host": host, "source": "sma-harvester"}
    return {**common, **each[0]} if len(each) == 1 else {**common, "kind": entries[0].alert.kind, "alerts": each}


def _fields(entry: Entry) -> dict[str, Any]:
    alert = entry.alert
    return {
        "key": mask_secrets(alert.key),
        "kind": alert.kind,
        "state": entry.state,
        "title": mask_secrets(alert.title),
        "remedy": mask_secrets(alert.remedy),
        "facts": {name: mask_secrets(v) if isinstance(v, str) else v for name, v in alert.facts.items()},
        "since": entry.since.isoformat(timespec="seconds"),
        "until": entry.over.isoformat(timespec="seconds") if entry.state == "resolved" and entry.over else None,
    }


def _chat(text: str) -> str:
    """Escape what chat rooms take for a command: a plant named `<!channel>` calls nobody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
