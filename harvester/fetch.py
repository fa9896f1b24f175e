"""Items in, outcomes out: bounded workers over one iterator, with back-pressure. Knows no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from harvester.errors import AnswerError

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
    after `GRACE_SECONDS`. An error that is no `AnswerError` ends everything; it leaves bare, not in a group.
    """
    todo = iter(items)
    done: asyncio.Queue[Outcome[Item, Answer] | None] = asyncio.Queue()
    room = asyncio.Semaphore(2 * workers)  # not a bounded queue: what is answered must never wait to be put

    async def work() -> None:
        await room.acquire()
        for item in todo:  # one iterator, shared: no task per item
            if stop.is_set():
                return
            done.put_nowait(await _outcome(item, pull))
            await room.acquire()

    async def close(crew: list[asyncio.Task[None]]) -> None:
        await asyncio.wait(crew)
        done.put_nowait(None)

    async def drain() -> AsyncIterator[Outcome[Item, Answer]]:
        while (outcome := await done.get()) is not None:
            room.release()
            yield outcome

    try:
        async with asyncio.TaskGroup() as group:
            crew = [group.create_task(work()) for _ in range(workers)]
            others = [group.create_task(close(crew)), group.create_task(_give_up(crew, stop))]
            try:
                yield drain()
            finally:
                for task in (*crew, *others):
                    task.cancel()
    except BaseExceptionGroup as errors:
        first = _first(errors)
        raise first from first.__cause__


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


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group that has tasks of one job only: the others follow from it."""
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
