"""Which requests count now: asyncio-throttle's exact sliding window, as `Pace` uses it."""

from __future__ import annotations

from collections.abc import Callable

from asyncio_throttle.throttler import Throttler


class Window(Throttler):
    """asyncio-throttle's sliding window on another clock, with a limit that is asked for on each look."""

    def __init__(self, period: float, *, look: float, room: Callable[[], int], clock: Callable[[], float]) -> None:
        super().__init__(0, period, retry_interval=look)
        self._room = room
        self._clock = clock

    def flush(self) -> None:
        """Forget what left the window; the library calls this before each look at the limit."""
        now = self._clock()
        while self._task_logs and now - self._task_logs[0] > self.period:
            self._task_logs.popleft()
        self.rate_limit = self._room()

    async def acquire(self) -> None:
        """Wait for room and take it."""
        await super().acquire()  # type: ignore[no-untyped-call]  # asyncio-throttle has no types here
        self._task_logs[-1] = self._clock()

    def take_back(self) -> None:
        """Forget the newest stamp."""
        self._task_logs.pop()

    def stamp(self, moment: float) -> None:
        """Count a request of *moment*, which is not before any other."""
        self._task_logs.append(moment)

    def since(self, start: float) -> list[float]:
        """Return the stamps that still count and are not older than *start*, oldest first."""
        self.flush()
        return [stamp for stamp in self._task_logs if stamp >= start]

    @property
    def held(self) -> int:
        """How many stamps there are, without a look at the clock."""
        return len(self._task_logs)

    def __len__(self) -> int:
        self.flush()
        return len(self._task_logs)
