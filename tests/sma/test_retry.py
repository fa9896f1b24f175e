"""When a request is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.errors import (
    AnswerError,
    BadBody,
    CredentialsRefused,
    HarvestError,
    NotFound,
    ServerTrouble,
    Throttled,
    TimedOut,
    Unreachable,
    Untrusted,
)
from harvester.sma.retry import Patience

PATIENCE = Patience()


@pytest.mark.parametrize("error", [BadBody("?"), ServerTrouble("?"), TimedOut("?"), Unreachable("?")])
def test_waits_double(error: AnswerError) -> None:
    """The span doubles from one second on, and the fifth failure is the last."""
    waits = [PATIENCE.delay(error, attempt, 1.0) for attempt in range(1, 6)]

    assert waits == [1.0, 2.0, 4.0, 8.0, None]


def test_a_certificate_that_is_not_trusted_is_not_met_again() -> None:
    """The next try would meet the same certificate."""
    assert PATIENCE.delay(Untrusted("?"), 1, 0.5) is None


@given(attempt=st.integers(1, 10_000), draw=st.floats(0, 1, exclude_max=True))
def test_waits_are_bounded_and_spread(attempt: int, draw: float) -> None:
    """No wait is longer than a minute, and a small draw makes it short."""
    wait = Patience(attempts=100_000).delay(ServerTrouble("?"), attempt, draw)

    assert wait is not None
    assert 0 <= wait <= 60 * draw


@given(asked=st.floats(0, 500), draw=st.floats(0, 1, exclude_max=True))
def test_a_server_in_trouble_names_its_wait(asked: float, draw: float) -> None:
    """Retry-After of a 503 is the least wait, up to a minute."""
    wait = PATIENCE.delay(ServerTrouble("?", retry_after=asked), 1, draw)

    assert wait is not None
    assert min(asked, 60) <= wait <= max(min(asked, 60), 1)


def test_429_has_its_own_patience_and_no_wait_here() -> None:
    """The pace waits for all, so a refused request is only counted."""
    waits = [PATIENCE.delay(Throttled("?", retry_after=7), attempt, 0.5) for attempt in (1, 11, 12)]

    assert waits == [0.0, 0.0, None]


@pytest.mark.parametrize("error", [NotFound("?"), CredentialsRefused("?")])
def test_what_will_not_change_is_not_tried_again(error: HarvestError) -> None:
    """Skip and Stop errors end at once."""
    assert PATIENCE.delay(error, 1, 0.5) is None
