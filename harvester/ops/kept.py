"""Things that take a while to make: made beside the loop, once for all who ask, and kept for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Generic, TypeVar

T = TypeVar("T")
_REST = 10.0
"""Something is kept for at least so many times as long as making it took: looking costs a tenth of one core at most."""


async def aside(make: Callable[[], T]) -> T:
    """Return what *make* returns, or raise what it raises, made in a thread that the end of the process does not await.

    A thread of the loop's own pool would be awaited, and a page in the making would hold up a daemon that is to stop.
    """
    loop = asyncio.get_running_loop()
    made: asyncio.Future[T] = loop.create_future()

    def give(result: T) -> None:
        if not made.done():
            made.set_result(result)

    def fail(error: BaseException) -> None:
        if not made.done():
            made.set_exception(error)

    def work() -> None:
        with suppress(RuntimeError):  # the loop is closed, so nobody waits any more
            try:
                result = make()
            except Exception as error:  # noqa: BLE001 - whoever waits is told, whatever it is
                loop.call_soon_threadsafe(fail, error)
            else:
                loop.call_soon_threadsafe(give, result)

    Thread(target=work, name="operator-page", daemon=True).start()
    return await made


class Kept(Generic[T]):
    """What *make* returns, kept for *seconds* or longer; whoever asks while it is made waits for the same."""

    def __init__(self, make: Callable[[], T], seconds: float) -> None:
        self._make = make
        self._seconds = seconds
        self._lock = asyncio.Lock()
        self._made: T | None = None
        self._until = 0.0

    async def get(self) -> T:
        """Return what was made, or make it."""
        loop = asyncio.get_running_loop()
        async with self._lock:
            if self._made is None or loop.time() >= self._until:
                began = loop.time()
                self._made = await aside(self._make)
                took = loop.time() - began
                self._until = loop.time() + max(self._seconds, _REST * took)
            return self._made
