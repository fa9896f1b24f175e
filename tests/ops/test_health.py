"""Whether a daemon turns and can work."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from harvester.ops.health import Readiness, ready, turning

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
PATIENCE = timedelta(minutes=2)
WELL = Readiness(lake_open=True, ledger_open=True, token_had=True, last_answer=NOW, silent_since=None, pause_left=0.0)


@pytest.mark.parametrize(
    ("ago", "reasons"),
    [
        (None, ("The worker has not begun to turn.",)),
        (120, ()),
        (121, ("The worker has not turned for 121 seconds.",)),
    ],
)
def test_a_worker_turns(ago: int | None, reasons: tuple[str, ...]) -> None:
    """While its last tick is young enough."""
    last = None if ago is None else NOW - timedelta(seconds=ago)
    health = turning(last, NOW, patience=PATIENCE)

    assert (health.reasons, health.ok) == (reasons, not reasons)


def test_a_daemon_is_ready_with_stores_a_token_and_contact() -> None:
    """Each that it lacks is a reason."""
    assert ready(WELL, NOW, patience=PATIENCE).ok
    nothing = replace(WELL, lake_open=False, ledger_open=False, token_had=False, last_answer=None)
    assert len(ready(nothing, NOW, patience=PATIENCE).reasons) == 3


def test_silence_counts_after_a_while_and_not_during_a_pause() -> None:
    """Who is asked to wait does not ask."""
    silent = replace(WELL, silent_since=NOW - timedelta(minutes=3), last_answer=NOW - timedelta(minutes=4))

    assert ready(silent, NOW, patience=PATIENCE).reasons == (
        "SMA has not answered for 180 seconds; the last answer: 2026-05-01 11:56 UTC.",
    )
    assert ready(replace(silent, pause_left=5.0), NOW, patience=PATIENCE).ok
    assert ready(silent, NOW, patience=timedelta(minutes=5)).ok
    assert "never" in ready(replace(silent, last_answer=None), NOW, patience=PATIENCE).reasons[0]
