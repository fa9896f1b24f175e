"""Items in, outcomes out: bounded workers over one iterator, with back-pressure. Knows no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from harvester.errors import AnswerError, Stop

Item = TypeVar("Item")
Answer = TypeVar("Answer")

GRACE_SECONDS = 4.0
"""How long requests in flight may go on after the word to stop."""


@dataclass(frozen=True, slots=True)
class Fetched(Generic[Item, Answer]):
    """What came of an item."""

    item: Item
    answer: Answer


@dataclass(frozen=True, slots=True)
class Failed(Generic[Item]):
    """Expected trouble with one item: a value, so that it costs the others nothing."""

    item: Item
    error: AnswerError


Outcome = Fetched[Item, Answer] | Failed[Item]


@asynccontextmanager
async def fetching(
    items: Iterable[Item],
    pull: Callable[[Item], Awaitable[Answer]],
    *,
    workers: int,
    stop: asyncio.Event,
) -> AsyncIterator[AsyncIterator[Outcome[Item, Answer]]]:
    """Pull *items* with at most *workers* in flight and hand out outcomes as they come.

    A slow consumer slows the pull. Once *stop* is set no new item is begun, and what is in flight is given up
    after `GRACE_SECONDS`. A `Stop` error does the same, and leaves at the end of the block: what was answered is handed
    out before. Any other error that is no `AnswerError` ends everything at once; both leave bare, not in a group.
    """
    stream = _Stream(iter(items), pull, stop, room=2 * workers)
    with _bare():
        async with asyncio.TaskGroup() as group:
            crew = [group.create_task(stream.work()) for _ in range(workers)]
            others = [group.create_task(stream.close(crew))]
            others += [group.create_task(_give_up(crew, event)) for event in (stop, stream.enough)]
            try:
                yield stream.outcomes()
            finally:
                for task in (*crew, *others):
                    task.cancel()
    if stream.ended:
        raise stream.ended


class _Stream(Generic[Item, Answer]):
    """What the workers share: the items, what came of them, and what has ended the run."""

    def __init__(
        self, todo: Iterator[Item], pull: Callable[[Item], Awaitable[Answer]], stop: asyncio.Event, *, room: int
    ) -> None:
        self._todo = todo  # one iterator, shared: no task per item
        self._pull = pull
        self._stop = stop
        self._done: asyncio.Queue[Outcome[Item, Answer] | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(room)  # not a bounded queue: what is answered must never wait to be put
        self.enough = asyncio.Event()
        """Set once an error has ended the run."""
        self.ended: Stop | None = None

    async def work(self) -> None:
        """Pull one item after the other."""
        await self._room.acquire()
        for item in self._todo:
            if self._stop.is_set() or self.enough.is_set():
                return
            try:
                self._done.put_nowait(await _outcome(item, self._pull))
            except Stop as error:
                self.ended = self.ended or error
                self.enough.set()
                return
            await self._room.acquire()

    async def close(self, crew: list[asyncio.Task[None]]) -> None:
        """Tell the consumer when all is handed out."""
        await asyncio.wait(crew)
        self._done.put_nowait(None)

    async def outcomes(self) -> AsyncIterator[Outcome[Item, Answer]]:
        """Hand out what came."""
        while (outcome := await self._done.get()) is not None:
            self._room.release()
            yield outcome


async def _outcome(item: Item, pull: Callable[[Item], Awaitable[Answer]]) -> Outcome[Item, Answer]:
    try:
        return Fetched(item, await pull(item))
    except AnswerError as error:
        return Failed(item, error)


async def _give_up(crew: list[asyncio.Task[None]], stop: asyncio.Event) -> None:
    await stop.wait()
    await asyncio.wait(crew, timeout=GRACE_SECONDS)
    for task in crew:
        task.cancel()


@contextmanager
def _bare() -> Iterator[None]:
    """Let the first error of a group leave as itself."""
    try:
        yield
    except BaseExceptionGroup as errors:
        first = _first(errors)
        raise first from first.__cause__


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group that has tasks of one job only: the others follow from it."""
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
