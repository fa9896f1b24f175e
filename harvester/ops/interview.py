"""What `harvester init` must know: asked at a terminal, else taken from options and defaults, checked at once.

A text is judged by the settings model itself; nothing here knows what an address or a span looks like.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harvester import config as settings
from harvester import show
from harvester.config.values import SQLITE
from harvester.errors import ConfigError

SYSTEM = Path("/etc")
"""A configuration below it is a service's, which keeps its data in `STATE`."""
STATE = Path("/var/lib/harvester")
_TEST_OWNER = "apiTestUser@apiSandbox.com"
"""The owner that SMA provides in its sandbox."""

Values = dict[str, object]
"""Answers by the dotted keys of the configuration."""


class Person(Protocol):
    """Somebody at a terminal."""

    def ask(self, question: str, default: str) -> str:
        """Return what was typed, or *default* where nothing was."""
        ...

    def whisper(self, question: str) -> str:
        """Return what was typed without showing it; empty where nothing was."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to know."""

    key: str
    option: str
    text: str
    default: Callable[[Values], str | None]
    """What an empty answer stands for, given the answers before; None where there must be one."""
    read: Callable[[str], object] = str
    """From text to a value of the configuration; None leaves the key as it is by default."""
    when: Callable[[Values], bool] = lambda _: True
    """Whether it matters, given the answers before."""


def answers(file: Path, given: Mapping[str, str], person: Person | None) -> Values:
    """Return the values of a configuration at *file*; *given* are options by their key.

    Raises `ConfigError` naming the option where a text is wrong and, without a *person*, where one is missing.
    """
    values: Values = {}
    for question in _questions(file):
        if not question.when(values):
            if question.key in given:
                raise ConfigError(f"{question.option} does not go with the other answers: leave it out")
            continue
        value = _answer(question, values, given.get(question.key), person)
        if value is not None:
            values[question.key] = value
    return values


def _answer(question: Question, values: Values, given: str | None, person: Person | None) -> object:
    default = question.default(values)
    if given is not None or person is None:
        text = default if given is None else given
        if text is None:
            raise ConfigError(f"{question.option} is missing: {question.text}")
        return _checked(question, values, text)
    while True:
        try:
            return _checked(question, values, person.ask(question.text, default or "").strip())
        except ConfigError as error:
            show.say(str(error))


def _checked(question: Question, values: Values, text: str) -> object:
    """Return the value of *text*, as the settings model takes it."""
    value = question.read(text)
    if value in ([], "") and question.default(values) is None:
        raise ConfigError(f"{question.option} is missing: {question.text}")
    if value is None:
        return None
    try:
        settings.load(None, environ={}, flags={**values, question.key: value})
    except ConfigError as error:
        why = next(iter(error.problems.values()))
        raise ConfigError(f"{question.option}: {re.sub(r' [(]flag [^)]*[)]$', '', why)}") from None
    return value


def _questions(file: Path) -> Iterator[Question]:
    """Yield what to ask, each question after those that decide whether and with which default it is asked."""
    yield Question("sma.environment", "--environment", "Which cloud: local, sandbox or production", lambda _: "local")
    yield Question(
        "sma.grant",
        "--grant",
        "How owners consent: custom (asked by e-mail) or code (in a browser)",
        lambda _: "custom",
    )
    yield Question(
        "sma.owners",
        "--owner",
        "E-mail addresses of the plant owners, with commas",
        lambda values: _OWNERS.get(str(values["sma.environment"])),
        read=lambda text: re.split(r"[\s,;]+", text) if text else [],
        when=lambda values: values["sma.grant"] == "custom",
    )
    yield Question(
        "web.public_url",
        "--public-url",
        "Address under which owners reach the Connect SMA button, like https://connect.example.org",
        lambda _: None,
        when=_by_browser,
    )
    yield Question(
        "web.public",
        "--public",
        "HOST:PORT on which that page is served to a proxy",
        lambda _: "127.0.0.1:8650",
        when=_by_browser,
    )
    yield from _questions_of_place(file)
    yield Question("harvest.since", "--since", 'How far back: "7d", a date, or "start"', lambda _: "7d")
    yield Question(
        "rate.requests",
        "--requests",
        "Requests that your package allows in 5 minutes (empty: learn it)",
        lambda _: "",
        read=_number,
    )


_OWNERS = {"local": settings.LOCAL_OWNER, "sandbox": _TEST_OWNER}


def _questions_of_place(file: Path) -> Iterator[Question]:
    state = STATE if SYSTEM in file.absolute().parents else file.absolute().parent
    yield Question(
        "lake.root",
        "--lake",
        "Folder of the lake",
        lambda _: _beside(file, state / "lake"),
        read=lambda text: _placed(file, text),
    )
    yield Question(
        "ledger.url",
        "--ledger",
        "File of the ledger, on a local disk",
        lambda values: _beside(file, Path(file.absolute().parent, str(values["lake.root"])).parent / "ledger.db"),
        read=lambda text: _address(file, text),
    )


def _by_browser(values: Values) -> bool:
    return values["sma.grant"] == "code"


def _number(text: str) -> object:
    """Read digits as a number; the settings model says what is wrong with anything else."""
    return int(text) if text.isdecimal() else text or None


def _beside(file: Path, path: Path) -> str:
    """Spell a default for a person, who thinks from the current folder."""
    return os.path.relpath(path) if Path.cwd() in path.parents and Path.cwd() in file.absolute().parents else str(path)


def _address(file: Path, text: str) -> str:
    """Spell the ledger's file as the address that the configuration takes."""
    path = text.removeprefix(SQLITE)
    # an address of anything else is for the settings model to refuse
    return SQLITE + _placed(file, path) if path and "://" not in path else text


def _placed(file: Path, text: str) -> str:
    """Spell a path, typed from the current folder, as the file has it: from the file's own folder."""
    if "://" in text or text.startswith("~") or not text.strip():
        return text  # for the settings model to judge
    folder, path = file.absolute().parent, Path(os.path.normpath(Path(text).absolute()))
    return str(path.relative_to(folder)) if folder in path.parents else str(path)
