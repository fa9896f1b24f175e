"""The pace in virtual time, against servers that count."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.sma.pace import CAUTIOUS, Pace
from tests.sma.conftest import Clock, Virtually

WINDOW = 10.0


@dataclass
class Server:
    """A budget as SMA might keep it; answers None, or the seconds to wait."""

    limit: int
    clock: Clock
    window: float = WINDOW
    fixed: bool = False
    tells: bool = True
    granted: list[float] = field(default_factory=list)
    refused: int = 0
    _recent: deque[float] = field(default_factory=deque)

    def ask(self) -> bool | float | None:
        """Count one request: True, or the Retry-After of a refusal."""
        now = self.clock()
        start = now - now % self.window if self.fixed else now - self.window
        while self._recent and (self._recent[0] < start if self.fixed else self._recent[0] <= start):
            self._recent.popleft()
        if len(self._recent) < self.limit:
            self._recent.append(now)
            self.granted.append(now)
            return True
        self.refused += 1
        end = start + self.window if self.fixed else self._recent[0] + self.window
        return float(-(-(end - now) // 1)) if self.tells else None

    def busiest(self) -> int:
        """Return the most requests that any window of the server's length held."""
        held: deque[float] = deque()
        most = 0
        for moment in self.granted:
            held.append(moment)
            while moment - held[0] >= self.window:
                held.popleft()
            most = max(most, len(held))
        return most


async def ask(pace: Pace, server: Server, before: float = 0.0, after: float = 0.0) -> None:
    """Ask once, with so long a way there and back."""
    async with pace.permit() as permit:
        await asyncio.sleep(before)
        answer = server.ask()
        await asyncio.sleep(after)
        if answer is not True:
            permit.spent = False
            pace.penalise(answer)


async def busy(pace: Pace, server: Server, until: float, *, workers: int = 8, way: float = 0.02) -> None:
    """Let some workers ask without a rest."""

    async def work() -> None:
        while server.clock() < until:
            await ask(pace, server, way, way)

    await asyncio.gather(*(work() for _ in range(workers)))


@settings(max_examples=15, deadline=None)
@given(
    limit=st.integers(1, 40),
    ways=st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3)), min_size=1, max_size=5),
    fixed=st.booleans(),
)
def test_no_window_of_the_server_is_exceeded(
    virtually: Virtually, limit: int, ways: list[tuple[float, float]], *, fixed: bool
) -> None:
    """With a known limit nothing is ever refused, however long the requests are on their way."""

    async def scene(clock: Clock) -> Any:
        server = Server(limit, clock, fixed=fixed)
        pace = Pace(requests=limit, window_seconds=WINDOW, clock=clock)
        asked = (ask(pace, server, *ways[number % len(ways)]) for number in range(3 * limit))
        await asyncio.gather(*asked)
        return server

    server = virtually(scene)

    assert server.refused == 0
    assert len(server.granted) == 3 * limit
    assert server.busiest() <= limit


def test_a_known_limit_is_used(virtually: Virtually) -> None:
    """At least 99 % of the budget of a five-minute window is spent, and none of it refused."""

    async def scene(clock: Clock) -> Any:
        server = Server(1000, clock, window=300.0)
        pace = Pace(requests=1000, window_seconds=300.0, clock=clock)
        await busy(pace, server, until=1500.0)
        return server

    server = virtually(scene)

    assert server.refused == 0
    assert len(server.granted) >= 0.99 * 5 * 1000


def test_a_window_is_not_burst(virtually: Virtually) -> None:
    """A tenth of the window gets about a tenth of the budget, and a job of that size does not wait."""

    async def scene(clock: Clock) -> Any:
        server = Server(100, clock)
        pace = Pace(requests=100, window_seconds=WINDOW, clock=clock)
        await asyncio.gather(*(ask(pace, server) for _ in range(50)))
        return server.granted

    granted = virtually(scene)

    assert granted[9] == 0.0
    assert [sum(moment < end for moment in granted) for end in (1.0, 2.0, 3.0)] == [11, 22, 33]


def test_what_a_busy_machine_takes_away_is_made_up_for(virtually: Virtually) -> None:
    """A process that stands still for half of the time uses nearly all of its budget, and exceeds no window."""

    async def scene(clock: Clock) -> Any:
        server = Server(100, clock)
        pace = Pace(requests=100, window_seconds=WINDOW, clock=clock)
        loop: Any = asyncio.get_running_loop()

        async def stall() -> None:
            while clock() < 12 * WINDOW:
                await asyncio.sleep(2.5)
                loop.now += 2.5

        await asyncio.gather(stall(), busy(pace, server, until=12 * WINDOW))
        return server

    server = virtually(scene)

    assert server.refused == 0
    assert server.busiest() <= 100
    assert len(server.granted) >= 0.9 * 12 * 100


def test_a_rest_is_not_made_up_for(virtually: Virtually) -> None:
    """Who has asked for nothing for two windows does not burst after that."""

    async def scene(clock: Clock) -> Any:
        server = Server(100, clock)
        pace = Pace(requests=100, window_seconds=WINDOW, clock=clock)
        await asyncio.gather(*(ask(pace, server) for _ in range(20)))
        await asyncio.sleep(2 * WINDOW)
        began = clock()
        await asyncio.gather(*(ask(pace, server) for _ in range(50)))
        return [moment - began for moment in server.granted[20:]]

    granted = virtually(scene)

    assert [sum(moment < end for moment in granted) for end in (1.0, 2.0, 3.0)] == [11, 22, 33]


@settings(max_examples=15, deadline=None)
@given(pauses=st.lists(st.floats(0, 2), min_size=2, max_size=30), limit=st.integers(1, 5))
def test_who_comes_first_is_served_first(virtually: Virtually, pauses: list[float], limit: int) -> None:
    """Permits are given in the order in which they were asked for."""

    async def scene(clock: Clock) -> Any:
        pace = Pace(requests=limit, window_seconds=WINDOW, clock=clock)
        order: list[int] = []

        async def work(number: int) -> None:
            async with pace.permit():
                order.append(number)

        async with asyncio.TaskGroup() as group:
            for number, pause in enumerate(pauses):
                group.create_task(work(number))
                await asyncio.sleep(pause)
        return order

    assert virtually(scene) == list(range(len(pauses)))


def test_a_cancelled_waiter_takes_no_permit(virtually: Virtually) -> None:
    """Who gives up while waiting leaves the budget as it was."""

    async def scene(clock: Clock) -> Any:
        pace = Pace(requests=1, window_seconds=WINDOW, clock=clock)
        server = Server(1, clock)
        await ask(pace, server)
        waiting = [asyncio.create_task(ask(pace, server)) for _ in range(3)]
        await asyncio.sleep(1.0)
        for task in waiting[:2]:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return server.granted, pace.spent

    granted, spent = virtually(scene)

    assert len(granted) == 2
    assert granted[1] == pytest.approx(WINDOW, abs=0.1)
    assert spent == 1


@settings(max_examples=6, deadline=None)
@given(
    limit=st.integers(40, 100),
    window=st.sampled_from([3.0, 300.0]),
    offset=st.floats(0, 1),
    shards=st.integers(1, 2),
    fixed=st.booleans(),
    tells=st.booleans(),
)
def test_few_are_refused_after_the_first_window(
    virtually: Virtually, *, limit: int, window: float, offset: float, shards: int, fixed: bool, tells: bool
) -> None:
    """At most 5 % of the calls, by processes that share a bucket and know neither it nor each other."""

    async def scene(clock: Clock) -> Any:
        await asyncio.sleep(offset * window)
        began = clock()
        server = Server(limit, clock, window=window, fixed=fixed, tells=tells)
        paces = [Pace(requests=None, window_seconds=window, clock=clock) for _ in range(shards)]
        await asyncio.gather(*(busy(pace, server, until=began + window, workers=16) for pace in paces))
        first, granted = server.refused, len(server.granted)
        await asyncio.gather(*(busy(pace, server, until=began + 12 * window, workers=16) for pace in paces))
        return server.refused - first, len(server.granted) - granted

    refused, granted = virtually(scene)

    assert granted > 0.6 * 11 * limit
    assert refused <= 0.05 * (refused + granted)


@pytest.mark.parametrize(
    ("fixed", "tells", "share"),
    [(False, True, 0.9), (True, True, 0.9), (False, False, 0.85), (True, False, 0.85)],
)
def test_an_unknown_limit_is_learned(virtually: Virtually, *, fixed: bool, tells: bool, share: float) -> None:
    """Less than 1 % is refused while the limit is learned, and most of it is used.

    Without Retry-After each refusal costs the rest of a window, which is why that is tried so seldom.
    """

    async def scene(clock: Clock) -> Any:
        server = Server(500, clock, window=60.0, fixed=fixed, tells=tells)
        pace = Pace(requests=None, window_seconds=60.0, clock=clock)
        await busy(pace, server, until=1200.0)
        return server, pace.learned

    server, learned = virtually(scene)

    assert 460 <= learned <= 500
    assert server.refused < 0.01 * len(server.granted)
    assert len(server.granted) > share * 20 * 500


def test_a_configured_limit_that_is_too_high_is_corrected(virtually: Virtually) -> None:
    """What the server refuses counts for more than what the configuration hopes."""

    async def scene(clock: Clock) -> Any:
        server = Server(50, clock)
        pace = Pace(requests=500, window_seconds=WINDOW, clock=clock)
        await busy(pace, server, until=100.0)
        return server, pace.limit

    server, limit = virtually(scene)

    assert 40 <= limit <= 50
    assert server.refused < 60


@pytest.mark.parametrize("requests", [None, 1000])
def test_a_mishap_teaches_nothing(virtually: Virtually, requests: int | None) -> None:
    """A gateway that refuses one request in fifty for a second, far from any limit, is waited for and no more."""

    async def scene(clock: Clock) -> Any:
        server, refused = Server(1000, clock, window=300.0), 0
        pace = Pace(requests=requests, window_seconds=300.0, clock=clock)
        pace.resume([])

        async def work(number: int) -> None:
            nonlocal refused
            async with pace.permit() as permit:
                await asyncio.sleep(0.05)
                if number % 50 == 30:
                    permit.spent = False
                    refused += 1
                    pace.penalise(1.0)
                else:
                    server.ask()

        for number in range(0, 500, 10):
            await asyncio.gather(*(work(number + n) for n in range(10)))
        return pace.learned, refused, server.refused, len(server.granted)

    assert virtually(scene) == (None, 10, 0, 490)


def test_a_single_refusal_far_below_what_is_known_is_doubted(virtually: Virtually) -> None:
    """Somebody else's spending in one window does not cost the next ones; a second refusal is believed."""

    async def scene(clock: Clock) -> Any:
        pace = Pace(requests=100, window_seconds=WINDOW, clock=clock)
        limits = []
        for pause in (0.0, 5 * WINDOW, WINDOW / 2):
            await asyncio.sleep(pause + WINDOW)
            for _ in range(9):
                async with pace.permit():
                    pass
            pace.penalise(None)
            limits.append(pace.limit)
        return limits

    assert virtually(scene) == [100, 100, 8]


def test_after_a_refusal_few_are_in_flight_until_the_limit_is_known(virtually: Virtually) -> None:
    """A window that has been watched only in part teaches nothing, and the next refusal meets few requests."""

    async def scene(clock: Clock) -> Any:
        await asyncio.sleep(WINDOW / 2)
        server = Server(50, clock, fixed=True)
        pace = Pace(requests=None, window_seconds=WINDOW, clock=clock)
        await busy(pace, server, until=WINDOW, workers=16)
        first, limit = server.refused, pace.limit
        await busy(pace, server, until=2 * WINDOW, workers=16)
        return first, limit, server.refused, pace.limit

    first, limit, refused, learned = virtually(scene)

    assert first > CAUTIOUS
    assert limit is None
    assert refused - first <= CAUTIOUS
    assert learned == 46


def test_a_refusal_pauses_everybody(virtually: Virtually) -> None:
    """Nobody asks before the wait is over, and then not all at once."""

    async def scene(clock: Clock) -> Any:
        server = Server(100, clock)
        pace = Pace(requests=None, window_seconds=WINDOW, clock=clock)
        await busy(pace, server, until=0.5, workers=100)
        pace.pause(20.0)
        paused_until, before = pace.paused_until, len(server.granted)
        await asyncio.gather(*(ask(pace, server) for _ in range(50)))
        return paused_until, server.granted[before:]

    paused_until, later = virtually(scene)

    assert later[0] >= paused_until > 20.0
    assert sum(moment < paused_until + 0.5 for moment in later) <= 12  # the head of the queue and a part


def test_a_wait_of_nothing_is_still_a_breath(virtually: Virtually) -> None:
    """``Retry-After: 0`` does not make the pace ask in a tight loop."""

    async def scene(clock: Clock) -> Any:
        pace = Pace(requests=None, window_seconds=300.0, clock=clock)
        pace.penalise(0.0)
        await pace.resumed()
        return clock(), pace.learned, pace.paused_until

    assert virtually(scene) == (1.0, None, None)


def test_requests_of_an_earlier_process_count(virtually: Virtually) -> None:
    """After a restart the window is not spent a second time."""

    async def scene(clock: Clock) -> Any:
        first = Pace(requests=10, window_seconds=WINDOW, clock=clock)
        server = Server(10, clock)
        await busy(first, server, until=5.0)
        second = Pace(requests=10, window_seconds=WINDOW, clock=clock)
        second.resume(first.ages())
        spent = second.spent
        await busy(second, server, until=30.0)
        return spent, server

    spent, server = virtually(scene)

    assert spent > 0
    assert server.refused == 0


def test_what_was_learned_before_is_used_from_the_start(virtually: Virtually) -> None:
    """A restart with a learned limit does not run into it again."""

    async def scene(clock: Clock) -> Any:
        server = Server(100, clock)
        pace = Pace(requests=None, window_seconds=WINDOW, learned=93, clock=clock)
        await busy(pace, server, until=100.0)
        return server.refused, pace.limit

    assert virtually(scene) == (0, 93)


def test_a_request_that_was_not_sent_costs_nothing(virtually: Virtually) -> None:
    """A permit that is handed back frees its place."""

    async def scene(clock: Clock) -> Any:
        pace = Pace(requests=1, window_seconds=WINDOW, clock=clock)
        async with pace.permit() as permit:
            held = pace.spent
            permit.spent = False
        return held, pace.spent

    assert virtually(scene) == (1, 0)
