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
    todo = iter(items)
    done: asyncio.Queue[Outcome[Item, Answer] | None] = asyncio.Queue()
    room = asyncio.Semaphore(2 * workers)  # not a bounded queue: what is answered must never wait to be put

    enough, ended = asyncio.Event(), list[Stop]()

    async def work() -> None:
        await room.acquire()
        for item in todo:  # one iterator, shared: no task per item
            if stop.is_set() or ended:
                return
            try:
                done.put_nowait(await _outcome(item, pull))
            except Stop as error:
                ended.append(error)
                enough.set()
                return
            await room.acquire()

    async def close(crew: list[asyncio.Task[None]]) -> None:
        await asyncio.wait(crew)
        done.put_nowait(None)

    async def drain() -> AsyncIterator[Outcome[Item, Answer]]:
        while (outcome := await done.get()) is not None:
            room.release()
            yield outcome

    with _bare():
        async with asyncio.TaskGroup() as group:
            crew = [group.create_task(work()) for _ in range(workers)]
            others = [group.create_task(close(crew)), *(group.create_task(_give_up(crew, e)) for e in (stop, enough))]
            try:
                yield drain()
            finally:
                for task in (*crew, *others):
                    task.cancel()
    if ended:
        raise ended[0]


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
