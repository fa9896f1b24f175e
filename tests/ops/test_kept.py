"""What takes a while is made once for all who ask, and holds nobody up."""

import asyncio
from threading import Event

import pytest

from harvester.ops.kept import Kept, aside


async def test_who_asks_at_once_gets_the_same() -> None:
    """It is made once, however many wait for it."""
    made: list[int] = []

    def make() -> int:
        made.append(1)
        return len(made)

    kept = Kept(make, 60)
    assert await asyncio.gather(*(kept.get() for _ in range(20))) == [1] * 20
    assert await Kept(make, 0).get() == 2


async def test_what_is_too_old_is_made_anew() -> None:
    """After its time."""
    made: list[int] = []

    def make() -> int:
        made.append(1)
        return len(made)

    kept = Kept(make, 0)
    first = await kept.get()
    while (found := await kept.get()) == first:
        await asyncio.sleep(0)
    assert found == 2


async def test_what_goes_wrong_is_told_and_not_kept() -> None:
    """The next one who asks gets another try."""
    tries: list[int] = []

    def make() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise KeyError("first")
        return "made"

    kept = Kept(make, 60)
    with pytest.raises(KeyError, match="first"):
        await kept.get()
    assert await kept.get() == "made"


def test_the_end_of_a_loop_does_not_wait_for_it() -> None:
    """A page in the making does not hold up a daemon that is to stop."""
    begun, go, ended = Event(), Event(), Event()

    def make() -> None:
        begun.set()
        go.wait(60)
        ended.set()

    async def visit() -> None:
        task = asyncio.create_task(aside(make))
        await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(visit())
    assert not ended.is_set()
    go.set()
    assert ended.wait(60)
