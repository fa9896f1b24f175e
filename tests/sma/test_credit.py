"""Requests leave on credit: so many, so long, and those who come too late wait for more."""

import asyncio
import math

from hypothesis import given
from hypothesis import strategies as st

from harvester.sma.credit import Credit


class Time:
    """A clock that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        """Return seconds."""
        return self.now


def test_there_is_no_end_of_it_until_somebody_gives_less() -> None:
    """Where nobody keeps a record, nobody waits."""
    credit = Credit(Time())

    assert all(credit.take() for _ in range(1000))


@given(given_=st.integers(0, 20), before=st.integers(0, 5), since=st.integers(0, 5), wanted=st.integers(0, 30))
def test_no_more_leave_than_were_given(given_: int, before: int, since: int, wanted: int) -> None:
    """What has left since the record was begun is a part of it; what left before is not."""
    credit = Credit(Time())
    taken = [credit.take() for _ in range(before)]
    mark = credit.mark()
    taken += [credit.take() for _ in range(since)]
    credit.give(mark, given_, math.inf)

    assert sum(taken) + sum(credit.take() for _ in range(wanted)) == before + max(since, min(since + wanted, given_))


def test_it_ends_with_its_time() -> None:
    """Seconds count from when the record was begun, not from when it was written."""
    time = Time()
    credit = Credit(time)
    mark = credit.mark()
    time.now = 1.5
    credit.give(mark, 10, 2.0)

    assert credit.take()
    time.now = 2.1
    assert not credit.take()


async def test_who_waits_says_so_and_goes_on() -> None:
    """The one who keeps the record is called at once, and whoever waits is woken by what is given."""
    credit, told = Credit(Time()), []
    credit.on_want = lambda: told.append(credit.wanted)
    credit.give(credit.mark(), 0, math.inf)
    waiting = asyncio.create_task(credit.more())
    await asyncio.sleep(0)

    assert (told, waiting.done()) == ([True], False)
    credit.give(credit.mark(), 1, math.inf)
    await waiting
    assert (credit.wanted, credit.take(), credit.take()) == (False, True, False)
