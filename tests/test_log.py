"""Log lines: their two forms, their levels, and what libraries log."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.contextvars import bound_contextvars, clear_contextvars

from harvester import log
from harvester.errors import ConfigError


class Stream(io.TextIOWrapper):
    """What a process writes its log to; a terminal if it is told to be one."""

    def __init__(self, *, terminal: bool = False) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")
        self.terminal = terminal

    def isatty(self) -> bool:
        """Say whether a person reads this."""
        return self.terminal

    def text(self) -> str:
        """Return all that was written."""
        self.flush()
        self.seek(0)
        return self.read()

    def events(self) -> list[dict[str, Any]]:
        """Return the lines, each of which is JSON."""
        return [json.loads(line) for line in self.text().splitlines()]


@pytest.fixture(autouse=True)
def _undisturbed() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    clear_contextvars()


@pytest.fixture
def stream() -> Stream:
    """Collect JSON lines."""
    stream = Stream()
    log.configure(stream=stream)
    return stream


class TestForm:
    """Text at a terminal, JSON elsewhere."""

    def test_a_line_of_json_off_a_terminal(self, stream: Stream) -> None:
        """An event is its name and its facts, with level and UTC time."""
        structlog.get_logger().info("run.end", requests=3, seconds=0.5, late=None, done=True, sets=("a", "b"))

        (event,) = stream.events()
        stamp = datetime.fromisoformat(event.pop("timestamp"))
        assert stamp.utcoffset() == timedelta(0)
        assert datetime.now(UTC) - stamp < timedelta(minutes=1)
        assert event == {
            "event": "run.end",
            "level": "info",
            "requests": 3,
            "seconds": 0.5,
            "late": None,
            "done": True,
            "sets": ["a", "b"],
        }

    def test_text_at_a_terminal(self) -> None:
        """A person reads colours, and no JSON."""
        stream = Stream(terminal=True)
        log.configure(stream=stream)

        structlog.get_logger().info("run.end", owner="owner@example.org")

        assert "run.end" in stream.text()
        assert "o***@example.org" in stream.text()
        assert "\x1b[" in stream.text()
        assert '{"' not in stream.text()

    @pytest.mark.parametrize("terminal", [True, False])
    def test_either_form_can_be_asked_for(self, *, terminal: bool) -> None:
        """What a terminal gets by itself, a file may get too, and the other way round."""
        stream = Stream(terminal=terminal)
        log.configure(stream=stream, json=terminal)

        structlog.get_logger().info("run.end")

        assert stream.text().startswith("{") is terminal
        assert "\x1b[" not in stream.text()

    def test_standard_error_by_default(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Standard output is for results."""
        log.configure()

        structlog.get_logger().info("run.end")

        out, err = capsys.readouterr()
        assert not out
        assert json.loads(err)["event"] == "run.end"

    def test_what_is_bound_for_a_run_is_in_each_of_its_events(self, stream: Stream) -> None:
        """The id of a run need not be handed through every call."""
        with bound_contextvars(run="r1"):
            structlog.get_logger().info("inside")
            logging.getLogger("aiohttp").warning("inside too")
        structlog.get_logger().info("outside")

        assert [event.get("run") for event in stream.events()] == ["r1", "r1", None]

    def test_a_later_call_reaches_loggers_that_exist(self, stream: Stream) -> None:
        """A logger of a module is made before anybody has parsed an option."""
        logger = structlog.get_logger()
        logger.info("first")
        other = Stream()

        log.configure(stream=other)
        logger.info("second")

        assert [event["event"] for event in stream.events()] == ["first"]
        assert [event["event"] for event in other.events()] == ["second"]

    @pytest.mark.parametrize("json_lines", [True, False])
    def test_a_traceback_is_text_without_local_variables(self, *, json_lines: bool) -> None:
        """Where an error was raised is told, what the variables held is not."""
        stream = Stream()
        log.configure(stream=stream, json=json_lines)
        hidden = str(Path("local") / "variable")

        try:
            int("for owner@example.org" if hidden else "")
        except ValueError:
            structlog.get_logger().exception("run.failed")

        assert "Traceback (most recent call last)" in stream.text()
        assert "invalid literal for int() with base 10: 'for o***@example.org'" in stream.text()
        assert hidden not in stream.text()


class TestLevel:
    """What is heard."""

    def test_own_events_from_the_level_on(self) -> None:
        """What is below the level is not written."""
        stream = Stream()
        log.configure(stream=stream, level="warning")

        structlog.get_logger().info("low")
        structlog.get_logger().warning("high")

        assert [event["event"] for event in stream.events()] == ["high"]

    @pytest.mark.parametrize(("level", "heard"), [("info", ["w"]), ("debug", ["i", "w"]), ("error", [])])
    def test_libraries_from_warning_on(self, level: str, heard: list[str]) -> None:
        """The chatter of libraries is for debugging only."""
        stream = Stream()
        log.configure(stream=stream, level=level)

        logging.getLogger("apscheduler.scheduler").info("i")
        logging.getLogger("apscheduler.scheduler").warning("w")

        assert [event["event"] for event in stream.events()] == heard

    def test_an_unknown_level_is_refused(self) -> None:
        """The refusal lists the levels."""
        with pytest.raises(ConfigError, match="must be one of debug, info, warning, error, critical"):
            log.configure(level="loud")


class TestLibraries:
    """What goes through `logging` takes the same way."""

    @pytest.mark.parametrize("name", ["aiohttp", "alembic.runtime", "apscheduler.scheduler", "asyncio"])
    def test_same_form_with_the_name_of_the_logger(self, stream: Stream, name: str) -> None:
        """A collector needs no second parser."""
        logging.getLogger(name).error("cannot read %s", "owner@example.org")

        (event,) = stream.events()
        assert event["event"] == "cannot read o***@example.org"
        assert (event["logger"], event["level"]) == (name, "error")
        assert event["timestamp"].endswith("Z")

    def test_their_tracebacks_are_masked_as_well(self, stream: Stream) -> None:
        """An address in an error of a library does not pass."""
        error = OSError("no route to https://u:p@host/bc-authorize/owner%40example.org")
        logging.getLogger("asyncio").error("boom", exc_info=error)

        (event,) = stream.events()
        assert "https://***@host/bc-authorize/o***%40example.org" in event["exception"]
        assert "owner%40" not in stream.text()

    def test_no_line_comes_twice(self, stream: Stream) -> None:
        """A second set-up replaces the first one's handler."""
        log.configure(stream=stream)

        logging.getLogger("asyncio").error("once")

        assert len(stream.events()) == 1
