"""Owners on their way to SMA and back: each bound to one browser, good for one return, for ten minutes."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum

from harvester.sma.code_grant import Visit

GOOD_FOR = timedelta(minutes=10)
MOST_VISITS = 1_000
"""Under way at once; a further one drives out the oldest."""


class Wrong(Enum):
    """Why a return is not taken."""

    UNKNOWN = "unknown"
    """Never begun here, or so long ago that it is forgotten."""
    EXPIRED = "expired"
    USED = "used"
    FOREIGN = "foreign"
    """Begun in another browser."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    """One owner's way to SMA and back."""

    visit: Visit
    label: str | None
    """The name that the operator gave; None where the plants will tell."""
    cookie: str
    """The cookie's name."""
    browser: bytes = field(repr=False)
    """Hash of the cookie's value."""
    until: datetime
    used: bool = False


class Visits:
    """All that are under way; kept in memory only, so that a restart asks owners to begin again."""

    def __init__(self, wall: Callable[[], datetime], *, secure: bool) -> None:
        """*secure*: browsers are to send the cookie by https only."""
        self._wall = wall
        self._prefix = "__Host-connect-" if secure else "connect-"
        self._under_way: OrderedDict[bytes, UnderWay] = OrderedDict()

    def begin(self, visit: Visit, label: str | None) -> tuple[str, str]:
        """Remember *visit*; return name and value of the cookie that binds it to a browser.

        The name differs from visit to visit, so that two tabs do not disturb each other.
        """
        now = self._wall()
        while self._under_way and (len(self._under_way) >= MOST_VISITS or self._oldest().until + GOOD_FOR <= now):
            self._under_way.popitem(last=False)
        browser, key = secrets.token_urlsafe(32), _digest(visit.state)
        cookie = self._prefix + key.hex()[:12]
        self._under_way[key] = UnderWay(
            visit=visit, label=label, cookie=cookie, browser=_digest(browser), until=now + GOOD_FOR
        )
        return cookie, browser

    def finish(self, state: str, cookies: Mapping[str, str]) -> UnderWay | Wrong:
        """Return the visit that *state* belongs to and use it up, or say why not.

        What another browser brings uses nothing up: it must not be able to end somebody else's visit.
        """
        key = _digest(state)  # looked up by its hash, so the time it takes tells nothing about other states
        found = self._under_way.get(key)
        if found is None:
            return Wrong.UNKNOWN
        if found.used:
            return Wrong.USED
        if not hmac.compare_digest(_digest(cookies.get(found.cookie, "")), found.browser):
            return Wrong.FOREIGN
        if found.until <= self._wall():
            return Wrong.EXPIRED
        self._under_way[key] = replace(found, used=True)
        return found

    def _oldest(self) -> UnderWay:
        return next(iter(self._under_way.values()))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
