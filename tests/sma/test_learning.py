"""What refusals teach."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.sma.learning import QUIET_WINDOWS, Lesson, of_one_bucket, refused


def after(lesson: Lesson, windows: int) -> Lesson:
    """Let so many windows pass in quiet."""
    for _ in range(windows):
        lesson = lesson.climbed()
    return lesson


def test_a_refusal_leaves_some_room() -> None:
    """The limit stays some 5 to 10 % below what was granted."""
    lesson = refused(1000, before=None)

    assert lesson is not None
    assert lesson.limit == 930


def test_a_refusal_of_the_very_first_request_teaches_nothing() -> None:
    """Somebody else has spent the window, so what was known stays."""
    before = Lesson(limit=5, granted=6)

    assert refused(0, before=before) is before
    assert refused(0, before=None) is None


def test_a_sure_limit_climbs_close_to_the_refusal_and_waits_there() -> None:
    """For three hours of quiet windows nothing is risked; then the limit is tried."""
    lesson = Lesson(limit=930, granted=1000)

    assert after(lesson, QUIET_WINDOWS).limit == 980
    assert after(lesson, QUIET_WINDOWS + 1).limit > 1000


@pytest.mark.parametrize(
    ("end", "oldest", "before", "fits"),
    [
        (1000.0, 700.4, None, True),  # the oldest request leaves a sliding window
        (1000.9, 700.0, None, True),  # told in whole seconds
        (1000.0, 900.0, None, False),  # a second's wait, though nothing leaves for long
        (1000.0, 900.0, 700.3, True),  # a fixed window after another one
        (1000.0, 900.0, 100.0, True),  # or some later
        (1000.0, 900.0, 999.5, True),  # the same one, told again
        (1000.0, 900.0, 995.0, False),  # two ends within one window
        (1000.0, 900.0, 850.0, False),
        (1000.0, None, None, False),
        (1000.0, None, 700.0, True),
    ],
)
def test_a_wait_that_no_bucket_would_name_teaches_nothing(
    end: float, oldest: float | None, before: float | None, *, fits: bool
) -> None:
    """What a refusal tells must be the end of a fixed window or the moment at which a sliding one renews."""
    assert of_one_bucket(end, window=300.0, oldest=oldest, before=before) is fits


@given(granted=st.integers(1, 10_000), windows=st.integers(0, 60))
def test_a_limit_never_sinks_in_quiet(granted: int, windows: int) -> None:
    """Quiet windows never lower a limit, and it is always positive."""
    lesson = refused(granted, before=None)

    assert lesson is not None
    assert 1 <= lesson.limit <= max(1, granted)
    assert after(lesson, windows).limit <= after(lesson, windows + 1).limit
