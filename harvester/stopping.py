"""The operating system's word to stop, heard by a running loop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE = 7.0
"""Seconds after which work that has not heeded a signal is cancelled; ten is the promise."""


class Stop:
    """The operating system's word to stop: the first signal asks, the second ends the process at once."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.signal: int | None = None

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as shells have it."""
        return 128 + (self.signal or 0)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen for SIGINT and SIGTERM on the running loop.

        Work that heeds the event ends by itself; what waits for one slow answer is cancelled after `PATIENCE`.
        """
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._hear, number, task)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _hear(self, number: int, task: asyncio.Task[object] | None) -> None:
        loop = asyncio.get_running_loop()
        self.signal = number
        self.event.set()
        loop.remove_signal_handler(number)
        if task is not None:
            loop.call_later(PATIENCE, task.cancel)
