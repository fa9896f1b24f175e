"""The rate limit: requests per window and client (SMA's announcement names the window, not the number)."""

import time
from collections import defaultdict, deque
from collections.abc import Callable
from datetime import datetime
from typing import Literal


class Elapsed:
    """Seconds since the beginning, by the real clock or the handed-in one, whichever ran further.

    So a limit renews and a token ages under a frozen clock as well as under one that leaps.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._begun = now(), time.monotonic()

    def __call__(self) -> float:
        """Return the seconds."""
        began, ticks = self._begun
        return max((self._now() - began).total_seconds(), time.monotonic() - ticks)


class Bucket:
    """Tokens per client; refused requests cost nothing."""

    def __init__(self, requests: int | None, seconds: float, mode: Literal["sliding", "fixed"]) -> None:
        self._requests = requests
        self._seconds = seconds
        self._mode = mode
        self._taken: dict[str, deque[float]] = defaultdict(deque)

    def take(self, client: str, instant: float) -> float | None:
        """Take one token; None when there was one, else the seconds until there is one."""
        if self._requests is None:
            return None
        taken = self._taken[client]
        window = instant // self._seconds * self._seconds
        since = window if self._mode == "fixed" else instant - self._seconds
        while taken and (taken[0] < since or (self._mode == "sliding" and taken[0] == since)):
            taken.popleft()
        if len(taken) < self._requests:
            taken.append(instant)
            return None
        return (window if self._mode == "fixed" else taken[0]) + self._seconds - instant
