"""What is wrong is said once, and once that it is over; and what requests tell of the contact with SMA."""

from datetime import timedelta

import pytest
from present import Present
from structlog.testing import capture_logs

from harvester.ops.conditions import Conditions
from harvester.ops.contact import Contact
from harvester.sma.tally import Call
from harvester.sma.wire import Kind


def test_a_trouble_is_logged_when_it_begins_and_when_it_is_over() -> None:
    """However often it is met between; and again when it comes again."""
    present = Present(2026, 5, 1)
    conditions = Conditions(present)
    with capture_logs() as lines:
        told = [conditions.began("disk", free=1), conditions.began("disk", free=0)]
        present.advance(minutes=5)
        told += [conditions.over("disk"), conditions.over("disk"), conditions.began("disk")]

    assert told == [True, False, True, False, True]
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("trouble.began", "warning"),
        ("trouble.over", "info"),
        ("trouble.began", "warning"),
    ]
    assert lines[0]["free"] == 1
    assert lines[1]["lasted_seconds"] == 300


def test_what_an_earlier_process_said_is_not_said_again() -> None:
    """Only its end is."""
    present = Present(2026, 5, 1)
    conditions = Conditions(present)
    with capture_logs() as lines:
        conditions.resume("disk", present() - timedelta(hours=1))
        conditions.began("disk")
        conditions.over("disk")

    assert [(line["event"], line["lasted_seconds"]) for line in lines] == [("trouble.over", 3600)]


def call(outcome: str, *, kind: Kind = Kind.VALUES, status: int | None = 200) -> Call:
    """Return a request that ended."""
    return Call(kind=kind, outcome=outcome, status=status, seconds=0.1, size=1)


@pytest.mark.parametrize(("outcome", "status"), [("Unreachable", None), ("TimedOut", None), ("ServerTrouble", 503)])
def test_silence_begins_with_the_first_request_that_is_not_answered(outcome: str, status: int | None) -> None:
    """And ends with any answer that makes sense, a refusal included."""
    present = Present(2026, 5, 1, 12)
    contact = Contact(present)
    contact.on_request(call("ok"))
    answered = present()
    for _ in range(3):
        present.advance(minutes=1)
        contact.on_request(call(outcome, status=status))

    assert contact.last_answer == answered
    assert contact.silent_since == answered + timedelta(minutes=1)
    contact.on_request(call("NotFound", status=404))
    assert (contact.last_answer, contact.silent_since) == (present(), None)


def test_a_token_is_had_until_it_is_refused() -> None:
    """A refusal of the token endpoint is a well-formed answer."""
    contact = Contact(Present(2026, 5, 1))
    contact.on_request(call("Unreachable", kind=Kind.TOKEN, status=None))
    assert (contact.token_had, contact.refused) == (False, False)
    contact.on_request(call("ok", kind=Kind.TOKEN, status=401))
    assert (contact.token_had, contact.refused) == (False, True)
    contact.on_request(call("Throttled", kind=Kind.TOKEN, status=429))
    assert contact.refused
    contact.on_request(call("ok", kind=Kind.TOKEN))
    assert (contact.token_had, contact.refused) == (True, False)
    contact.on_request(call("ok", kind=Kind.TOKEN, status=400))
    assert (contact.token_had, contact.refused) == (True, True)
