"""The webhook: told once, told when it is over, over restarts and failures, and never with a secret."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from present import Present
from structlog.testing import capture_logs

from harvester.errors import LedgerError
from harvester.ops.alerts import Alerts
from harvester.ops.attention import Alert
from harvester.ops.outbox import FACT, MOST
from harvester.state.database import connect
from harvester.state.ledger import Ledger

SECRET_PATH = "/hooks/T0/B1/abcdefSECRETabcdef"


@dataclass
class Receiver:
    """A webhook that notes what comes, and answers as told."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    """Statuses of the next answers; then 200."""
    headers: dict[str, str] = field(default_factory=dict)
    tries: int = 0
    came: list[dict[str, Any]] = field(default_factory=list)
    """What was taken."""

    async def take(self, request: web.Request) -> web.Response:
        """Answer one message."""
        self.tries += 1
        body = await request.json()
        status = self.answers.pop(0) if self.answers else 200
        if status == 200:
            self.came.append(body)
        return web.Response(status=status, headers=self.headers)

    @property
    def told(self) -> list[tuple[str, str]]:
        """Return state and key, or kind, of what came."""
        return [(body["state"], body.get("key", body.get("kind"))) for body in self.came]


@asynccontextmanager
async def receiving(port: int = 0) -> AsyncIterator[Receiver]:
    """Serve a webhook on loopback."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post(SECRET_PATH, receiver.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}{SECRET_PATH}"
        yield receiver
    finally:
        await runner.cleanup()
        await asyncio.sleep(0)


@pytest.fixture
def ledger(tmp_path: Any) -> Any:
    """Return a real ledger."""
    engine = connect(tmp_path / "ledger.db")
    yield Ledger(engine)
    engine.dispose()


class Notes(list[str]):
    """What became of messages."""

    def __call__(self, outcome: str) -> None:
        """Note one."""
        self.append(outcome)


def alert(key: str, *, kind: str = "stale", title: str = "", **facts: str | int) -> Alert:
    """Return something that needs a person."""
    return Alert(key=key, kind=kind, title=title or f"{key} is wrong", remedy=f"Mend {key}.", facts=facts)


@asynccontextmanager
async def alerting(
    url: str | None, ledger: Ledger, *, present: Present | None = None, notes: Notes | None = None
) -> AsyncIterator[Alerts]:
    """Open alerts that try again at once."""
    wall = present or Present(2026, 5, 1, 12)
    notified = notes if notes is not None else Notes()
    alerts = Alerts(url, ledger, host="box", wall=wall, notified=notified, pauses=(0.01,))
    try:
        yield alerts
    finally:
        await alerts.aclose()


async def until(receiver: Receiver, number: int) -> None:
    """Wait until so many messages were taken."""
    while len(receiver.came) < number:
        await asyncio.sleep(0.005)


async def test_told_once_when_it_begins_and_once_when_it_is_over(ledger: Ledger) -> None:
    """With a text for chat rooms and the same as fields."""
    present, notes = Present(2026, 5, 1, 12), Notes()
    async with receiving() as receiver, alerting(receiver.url, ledger, present=present, notes=notes) as alerts:
        for _ in range(3):
            alerts.keep([alert("disk", kind="disk", title="The disk is full", free_bytes=5)])
        await until(receiver, 1)
        present.advance(hours=2)
        alerts.keep([])
        alerts.keep([])
        await until(receiver, 2)

    assert receiver.told == [("firing", "disk"), ("resolved", "disk")]
    first, last = receiver.came
    assert first["text"] == "[firing] The disk is full\nMend disk.\n(sma-harvester on box)"
    assert (first["title"], first["remedy"], first["facts"]) == ("The disk is full", "Mend disk.", {"free_bytes": 5})
    assert (first["since"], first["until"], first["host"]) == ("2026-05-01T12:00:00+00:00", None, "box")
    assert (last["since"], last["until"]) == ("2026-05-01T12:00:00+00:00", "2026-05-01T14:00:00+00:00")
    assert notes == ["delivered", "delivered"]
    assert ledger.fact(FACT) == "[]"


async def test_a_restart_repeats_nothing_and_forgets_nothing(ledger: Ledger) -> None:
    """What was told is remembered in the ledger; what ends after the restart is told."""
    async with receiving() as receiver:
        async with alerting(receiver.url, ledger) as alerts:
            alerts.keep([alert("a"), alert("b")])
            await until(receiver, 2)
        with capture_logs() as lines:
            async with alerting(receiver.url, ledger) as alerts:
                assert alerts.keys == {"a", "b"}
                alerts.keep([alert("a")])
                await until(receiver, 3)

    assert receiver.told == [("firing", "a"), ("firing", "b"), ("resolved", "b")]
    assert [line["event"] for line in lines] == ["trouble.over"]


async def test_a_failing_receiver_is_tried_again(ledger: Ledger) -> None:
    """503 and 429 are for later; that is logged once, and once that it is over, without the address."""
    notes = Notes()
    with capture_logs() as lines:
        async with receiving() as receiver, alerting(receiver.url, ledger, notes=notes) as alerts:
            receiver.answers = [503, 429, 500]
            alerts.begin(alert("a"))
            await until(receiver, 1)

    assert (receiver.tries, receiver.told, notes) == (4, [("firing", "a")], ["delivered"])
    webhook = [line for line in lines if line["what"] == "alerts.webhook"]
    assert [line["event"] for line in webhook] == ["trouble.began", "trouble.over"]
    assert "SECRET" not in json.dumps(lines)


async def test_what_was_not_told_is_told_after_a_restart(ledger: Ledger) -> None:
    """Nobody listens at first; in the next process somebody does. What is over by then is told too."""
    async with receiving() as gone:
        dead = gone.url
    with capture_logs() as lines:
        async with alerting(dead, ledger) as alerts:
            alerts.begin(alert("a"), alert("b"))
            while not any(line["what"] == "alerts.webhook" for line in lines):
                await asyncio.sleep(0.005)
            alerts.over("a")
    assert "SECRET" not in json.dumps(lines)
    assert ledger.fact(FACT) is not None
    async with receiving() as receiver, alerting(receiver.url, ledger) as alerts:
        await until(receiver, 3)

    assert receiver.told == [("firing", "a"), ("resolved", "a"), ("firing", "b")]


async def test_a_message_that_is_refused_for_good_does_not_stop_the_others(ledger: Ledger) -> None:
    """A 400 is not tried again, and a redirect is not followed."""
    notes = Notes()
    async with receiving() as receiver, alerting(receiver.url, ledger, notes=notes) as alerts:
        receiver.answers, receiver.headers = [400, 302], {"Location": "/elsewhere"}
        alerts.begin(alert("a"), alert("b"), alert("c"))
        await until(receiver, 1)

    assert (receiver.tries, receiver.told) == (3, [("firing", "c")])
    assert notes == ["failed", "failed", "delivered"]


async def test_many_of_a_kind_come_in_one_message(ledger: Ledger) -> None:
    """Six stale plants are one message with six alerts; each of them ends by itself."""
    async with receiving() as receiver, alerting(receiver.url, ledger) as alerts:
        alerts.keep([*(alert(f"stale:{n}") for n in range(6)), alert("disk", kind="disk")])
        await until(receiver, 2)
        alerts.keep([*(alert(f"stale:{n}") for n in range(5)), alert("disk", kind="disk")])
        await until(receiver, 3)

    assert receiver.told == [("firing", "stale"), ("firing", "disk"), ("resolved", "stale:5")]
    assert [each["key"] for each in receiver.came[0]["alerts"]] == [f"stale:{n}" for n in range(6)]
    assert receiver.came[0]["text"].startswith("[firing] 6 things of kind stale\n- stale:0 is wrong\n")


async def test_what_comes_again_before_its_end_was_told_goes_on(ledger: Ledger) -> None:
    """While the receiver is away, an end and a new begin cancel each other out."""
    async with receiving() as receiver, alerting(receiver.url, ledger) as alerts:
        alerts.begin(alert("a"))
        await until(receiver, 1)
        alerts.over("a")
        alerts.begin(alert("a"))
        alerts.begin(alert("b"))
        await until(receiver, 2)

    assert receiver.told == [("firing", "a"), ("firing", "b")]


async def test_no_secret_and_no_command_reaches_a_chat_room(ledger: Ledger) -> None:
    """Names come from the API: what looks like a secret is masked, what calls everybody is escaped."""
    strange = alert("stale:1", title="Plant <!channel> & password=hunter2secret", name="Bearer abcdefgh12345678")
    async with receiving() as receiver, alerting(receiver.url, ledger) as alerts:
        alerts.begin(strange, alert("consent:ada@example.org:lost", kind="consent"))
        await until(receiver, 2)
    first, second = receiver.came

    assert first["text"].startswith("[firing] Plant &lt;!channel&gt; &amp; password=***\n")
    assert first["facts"] == {"name": "Bearer ***"}
    assert "hunter2secret" not in json.dumps(receiver.came)
    assert "ada@example.org" in second["text"]


async def test_without_a_webhook_it_is_logged_and_kept_for_one(ledger: Ledger) -> None:
    """Who sets an address later hears what still is wrong, and nothing of what is over."""
    with capture_logs() as lines:
        async with alerting(None, ledger) as alerts:
            alerts.keep([alert("a"), alert("b")])
            alerts.keep([alert("b")])
            assert (alerts.keys, alerts.by_kind) == ({"b"}, {"stale": 1})
    assert [(line["event"], line["what"]) for line in lines] == [
        ("trouble.began", "a"),
        ("trouble.began", "b"),
        ("trouble.over", "a"),
    ]
    async with receiving() as receiver, alerting(receiver.url, ledger):
        await until(receiver, 1)

    assert receiver.told == [("firing", "b")]


@pytest.mark.parametrize("remembered", ["{", '[{"alert": {}}]', '[{"alert": {"new_field": 1}, "since": "x"}]', "3"])
async def test_a_memory_that_cannot_be_read_is_begun_anew(ledger: Ledger, remembered: str) -> None:
    """A daemon starts all the same; what another version wrote costs a repetition at worst."""
    ledger.record(FACT, remembered)
    with capture_logs() as lines:
        async with receiving() as receiver, alerting(receiver.url, ledger) as alerts:
            alerts.begin(alert("a"))
            await until(receiver, 1)

    assert receiver.told == [("firing", "a")]
    assert lines[0]["event"] == "alerts.forgotten"


async def test_the_memory_is_bounded(ledger: Ledger) -> None:
    """What finds no room is counted and logged once, and taken in as soon as there is some."""
    notes = Notes()
    with capture_logs() as lines:
        async with alerting(None, ledger, notes=notes) as alerts:
            everything = [alert(f"stale:{n}") for n in range(MOST + 1)]
            alerts.keep(everything)
            alerts.keep(everything)
            assert len(alerts.firing) == MOST
            alerts.keep(everything[1:])
            assert alerts.keys == {each.key for each in everything[1:]}

    assert notes == ["dropped"]
    assert [line["event"] for line in lines if line["what"] == "alerts.too_many"] == ["trouble.began", "trouble.over"]


async def test_a_ledger_that_cannot_be_written_is_no_reason_to_be_silent() -> None:
    """It is told all the same; at worst it is told again after a restart."""

    class Broken:
        """A ledger on a full disk."""

        def fact(self, _key: str) -> str | None:
            """Know nothing."""
            return None

        def record(self, _key: str, _value: str) -> None:
            """Refuse."""
            raise LedgerError("no space is left for the ledger")

    with capture_logs() as lines:
        async with receiving() as receiver:
            alerts = Alerts(receiver.url, Broken(), host="box", wall=Present(2026, 5, 1), notified=Notes())
            alerts.begin(alert("a"))
            await until(receiver, 1)
            alerts.over("a")
            await until(receiver, 2)
            await alerts.aclose()

    assert receiver.told == [("firing", "a"), ("resolved", "a")]
    assert [line["event"] for line in lines if line["what"] == "alerts.memory"] == ["trouble.began"]
