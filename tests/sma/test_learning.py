"""What refusals teach."""

from hypothesis import given
from hypothesis import strategies as st

from harvester.sma.learning import CLIMB_IN_DOUBT, QUIET_WINDOWS, Lesson, refused


def after(lesson: Lesson, windows: int) -> Lesson:
    """Let so many windows pass in quiet."""
    for _ in range(windows):
        lesson = lesson.climbed()
    return lesson


def test_a_refusal_leaves_some_room() -> None:
    """The limit stays some 5 to 10 % below what was granted."""
    lesson = refused(1000, sure=True, before=None)

    assert lesson is not None
    assert lesson.limit == 930


def test_a_refusal_of_the_very_first_request_teaches_nothing() -> None:
    """Somebody else has spent the window, so what was known stays."""
    before = Lesson(limit=5, granted=6, sure=True)

    assert refused(0, sure=True, before=before) is before
    assert refused(0, sure=False, before=None) is None


def test_a_sure_limit_climbs_close_to_the_refusal_and_waits_there() -> None:
    """For three hours of quiet windows nothing is risked; then the limit is tried."""
    lesson = Lesson(limit=930, granted=1000, sure=True)

    assert after(lesson, QUIET_WINDOWS).limit == 980
    assert after(lesson, QUIET_WINDOWS + 1).limit > 1000


def test_a_doubtful_limit_climbs_fast() -> None:
    """A limit learned in a window that began before the process is soon corrected."""
    lesson = Lesson(limit=100, granted=107, sure=False)

    assert lesson.climbed().limit == 100 * CLIMB_IN_DOUBT


@given(granted=st.integers(1, 10_000), sure=st.booleans(), windows=st.integers(0, 60))
def test_a_limit_never_sinks_in_quiet(granted: int, *, sure: bool, windows: int) -> None:
    """Quiet windows never lower a limit, and it is always positive."""
    lesson = refused(granted, sure=sure, before=None)

    assert lesson is not None
    assert 1 <= lesson.limit <= max(1, granted)
    assert after(lesson, windows).limit <= after(lesson, windows + 1).limit
