"""Bounded workers over one iterator: outcomes come as values, what ends the stream ends it whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester import fetch
from harvester.errors import AnswerError, CredentialsRefused, NotFound, TimedOut
from harvester.fetch import Failed, Fetched, fetching


class Source:
    """Numbers to pull, and what became of them."""

    def __init__(self, size: int | None = None, *, pauses: int = 1) -> None:
        self.size = size
        self.pauses = pauses
        self.taken = 0
        self.begun = 0
        self.ended = 0
        self.flying = 0
        self.most = 0

    def __iter__(self) -> Iterator[int]:
        for number in count() if self.size is None else range(self.size):
            self.taken += 1
            yield number

    async def pull(self, number: int) -> int:
        """Answer with the square, after some turns of the loop."""
        self.begun += 1
        self.flying += 1
        self.most = max(self.most, self.flying)
        try:
            for _ in range(self.pauses):
                await asyncio.sleep(0)
            self.ended += 1
            return number * number
        finally:
            self.flying -= 1


@pytest.fixture(autouse=True)
async def tidy() -> AsyncIterator[None]:
    """Fail a test that leaves a task behind."""
    before = asyncio.all_tasks()
    yield
    assert asyncio.all_tasks() <= before | {asyncio.current_task()}


def others() -> set[asyncio.Task[object]]:
    """Return all tasks but the one that asks."""
    return asyncio.all_tasks() - {asyncio.current_task()}


async def turns(number: int = 50) -> None:
    """Let everybody else go on."""
    for _ in range(number):
        await asyncio.sleep(0)


async def drained(items: Iterable[int], pull: Callable[[int], Awaitable[int]], workers: int = 3) -> list[object]:
    """Consume everything."""
    async with fetching(items, pull, workers=workers, stop=asyncio.Event()) as outcomes:
        return [outcome async for outcome in outcomes]


async def until_stuck(source: Source) -> None:
    """Wait until no more is pulled."""
    before = -1
    while before != source.begun:
        before = source.begun
        await turns()


@pytest.mark.parametrize("workers", [1, 2, 7, 50])
@pytest.mark.parametrize("size", [0, 1, 6, 200])
async def test_every_item_comes_out_once(workers: int, size: int) -> None:
    """All items are pulled and handed out once, with their answers, never more in flight than allowed."""
    source = Source(size)
    async with fetching(source, source.pull, workers=workers, stop=asyncio.Event()) as outcomes:
        found = [outcome async for outcome in outcomes]

    assert sorted(o.item for o in found) == list(range(size))
    assert all(isinstance(o, Fetched) and o.answer == o.item**2 for o in found)
    assert source.most == min(workers, size)
    assert not others()


@settings(deadline=None, derandomize=True, max_examples=50)
@given(
    pauses=st.lists(st.integers(0, 5), max_size=40),
    broken=st.sets(st.integers(0, 39)),
    workers=st.integers(1, 9),
    slow=st.integers(0, 4),
)
def test_any_pace_and_any_failures(pauses: list[int], broken: set[int], workers: int, slow: int) -> None:
    """Whatever takes however long and whatever fails, every item has exactly its own outcome."""

    async def pull(number: int) -> str:
        await turns(pauses[number])
        if number in broken:
            raise NotFound(f"no {number}", status=404)
        return str(number)

    async def scene() -> dict[int, str]:
        told = {}
        async with fetching(range(len(pauses)), pull, workers=workers, stop=asyncio.Event()) as outcomes:
            async for outcome in outcomes:
                await turns(slow)
                assert outcome.item not in told
                told[outcome.item] = str(outcome.error) if isinstance(outcome, Failed) else outcome.answer
        return told

    expected = {n: f"no {n}" if n in broken else str(n) for n in range(len(pauses))}
    assert asyncio.run(scene()) == expected


async def test_failing_items_are_values() -> None:
    """Expected trouble with an item comes out as a value and costs the others nothing."""
    error = TimedOut("too slow")

    async def pull(number: int) -> int:
        if number == 3:
            raise error
        return number

    async with fetching(range(6), pull, workers=2, stop=asyncio.Event()) as outcomes:
        found = [outcome async for outcome in outcomes]

    assert [o for o in found if isinstance(o, Failed)] == [Failed(3, error)]
    assert {o.item for o in found if isinstance(o, Fetched)} == {0, 1, 2, 4, 5}


async def test_a_slow_consumer_slows_the_pull() -> None:
    """Of endless items no more are pulled ahead of the consumer than twice the workers."""
    source = Source()
    async with fetching(source, source.pull, workers=3, stop=asyncio.Event()) as outcomes:
        for handed_out in range(1, 5):
            await anext(outcomes)
            await until_stuck(source)
            assert source.begun == handed_out + 6

    assert source.taken <= 10
    assert not others()


async def test_leaving_early_ends_everything() -> None:
    """A consumer that has enough leaves: what is in flight is cancelled, nothing more is begun."""
    source = Source(pauses=3)
    async with fetching(source, source.pull, workers=4, stop=asyncio.Event()) as outcomes:
        async for _ in outcomes:
            break
    begun = source.begun
    await turns()

    assert source.begun == begun <= 9
    assert source.flying == 0
    assert not others()


async def test_never_looking_ends_everything() -> None:
    """Leaving without asking for one outcome leaves nothing behind."""
    source = Source()
    async with fetching(source, source.pull, workers=4, stop=asyncio.Event()):
        await turns(3)

    assert source.flying == 0
    assert not others()


async def test_a_programming_error_surfaces_bare() -> None:
    """An error that is no trouble with one item ends the stream as itself, in no group, its own cause kept."""
    cause = KeyError("plantId")

    async def pull(number: int) -> int:
        if number == 5:
            raise ZeroDivisionError("a mistake") from cause
        await turns(number)
        return number

    with pytest.raises(ZeroDivisionError, match="a mistake") as caught:
        await drained(count(), pull)

    assert caught.value.__cause__ is cause
    assert not others()


async def test_a_stop_error_surfaces_bare() -> None:
    """An error that ends the run is not taken for trouble with one item."""

    async def pull(_: int) -> int:
        raise CredentialsRefused("the token endpoint does not take the client")

    with pytest.raises(CredentialsRefused) as caught:
        await drained(range(9), pull)

    assert caught.value.__cause__ is None
    assert not others()


async def test_what_was_answered_is_handed_out_before_the_run_ends() -> None:
    """Items in flight beside the one that ends the run come to their end, none is begun, and then the error leaves."""
    begun: list[int] = []
    found: list[int] = []

    async def pull(number: int) -> int:
        begun.append(number)
        await turns(3)
        if number == 5:
            raise CredentialsRefused("the token endpoint does not take the client")
        await turns(3)
        return number

    with pytest.raises(CredentialsRefused) as caught:
        async with fetching(count(), pull, workers=4, stop=asyncio.Event()) as outcomes:
            found.extend([outcome.item async for outcome in outcomes])

    assert caught.value.__cause__ is None
    assert sorted(found) == [number for number in begun if number != 5]
    assert 5 in begun
    assert len(begun) < 12
    assert not others()


async def test_an_error_of_the_items_surfaces_bare() -> None:
    """An iterator that breaks ends the stream with its own error."""

    def items() -> Iterator[int]:
        yield 1
        raise LookupError("no more plans")

    source = Source()
    with pytest.raises(LookupError, match="no more plans"):
        await drained(items(), source.pull)

    assert not others()


@pytest.mark.parametrize("error", [OSError("disk"), NotFound("odd"), KeyboardInterrupt()])
async def test_a_raising_consumer_surfaces_bare(error: BaseException) -> None:
    """What the consumer raises comes out as it is, also an error that would be a value from a pull."""
    source = Source()

    async def consume() -> None:
        async with fetching(source, source.pull, workers=3, stop=asyncio.Event()) as outcomes:
            async for _ in outcomes:
                raise error

    with pytest.raises(type(error)) as caught:
        await consume()

    assert caught.value is error
    assert source.flying == 0
    assert not others()


async def test_cancellation_from_outside() -> None:
    """A cancelled consumer is cancelled, and all its workers with it."""
    source = Source(pauses=10_000)

    task = asyncio.create_task(drained(source, source.pull))
    await turns()
    assert source.flying == 3
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert source.flying == 0
    assert not others()


async def test_no_item_is_begun_after_the_word_to_stop() -> None:
    """Once told to stop, what is in flight is finished and handed out, and nothing else is begun."""
    stop, source = asyncio.Event(), Source(pauses=5)
    async with fetching(source, source.pull, workers=3, stop=stop) as outcomes:
        found = [await anext(outcomes)]
        stop.set()
        begun = source.begun
        found += [outcome async for outcome in outcomes]

    assert source.begun == begun
    assert len(found) == source.ended == begun
    assert not others()


async def test_stopped_before_it_began() -> None:
    """Told to stop beforehand, nothing is asked."""
    stop, source = asyncio.Event(), Source()
    stop.set()
    async with fetching(source, source.pull, workers=3, stop=stop) as outcomes:
        found = [outcome async for outcome in outcomes]

    assert (found, source.begun) == ([], 0)
    assert not others()


async def test_what_hangs_is_given_up_after_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not finish within the grace is cancelled; what did finish is handed out."""
    monkeypatch.setattr(fetch, "GRACE_SECONDS", 0.05)
    stop, given_up = asyncio.Event(), []

    async def pull(number: int) -> int:
        if number % 2 == 0:
            return number
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            given_up.append(number)
            raise
        return number

    async with asyncio.timeout(2), fetching(range(4), pull, workers=4, stop=stop) as outcomes:
        found = [await anext(outcomes), await anext(outcomes)]
        stop.set()
        found += [outcome async for outcome in outcomes]

    assert {outcome.item for outcome in found} == {0, 2}
    assert sorted(given_up) == [1, 3]
    assert not others()


async def test_the_grace_is_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What finishes within the grace after the word to stop is handed out."""
    monkeypatch.setattr(fetch, "GRACE_SECONDS", 2)
    stop = asyncio.Event()

    async def pull(number: int) -> int:
        await asyncio.sleep(0.05)
        return number

    async with fetching(range(99), pull, workers=3, stop=stop) as outcomes:
        await turns()
        stop.set()
        found = [outcome.item async for outcome in outcomes]

    assert sorted(found) == [0, 1, 2]
    assert not others()


async def test_what_is_answered_survives_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer busy for longer than the grace still gets every answer that came."""
    monkeypatch.setattr(fetch, "GRACE_SECONDS", 0.01)
    stop, source = asyncio.Event(), Source()
    async with fetching(source, source.pull, workers=3, stop=stop) as outcomes:
        found = [await anext(outcomes)]
        await until_stuck(source)
        stop.set()
        await asyncio.sleep(0.05)  # publishing, say
        found += [outcome async for outcome in outcomes]

    assert len(found) == source.ended == 7
    assert not others()


async def test_errors_of_one_request_share_a_class() -> None:
    """Every error that becomes a value is an `AnswerError`, and carries its status."""
    error = NotFound("unknown plant", status=404)

    assert isinstance(error, AnswerError)
    assert (error.status, TimedOut("late").status) == (404, None)
