"""The small values a configuration is written in, and the rules its texts obey.

Knows neither where a text came from nor what is done with it. A broken rule raises `ValueError` with what
would be right; the text that broke it is never repeated, since it may hold a password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self
from urllib.parse import SplitResult, unquote, urlsplit

EARLIEST = date(2000, 1, 1)
"""No plant was connected before this day: a start-up like 0001-01-01 stands for one that nobody entered."""

SQLITE = "sqlite:///"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
_LAST_PORT = 65_535
_EMAIL = re.compile(r"[^@\s,;]+@[^@\s,;]+\.[^@\s.,;]+")


@dataclass(frozen=True, slots=True)
class Since:
    """How far back the harvester goes by itself."""

    text: str
    """As configured: ``7d``, ``2024-01-31`` or ``start``."""
    days: int | None = None
    day: date | None = None

    @classmethod
    def parse(cls, given: object) -> Self:
        """Read a number of days, an ISO date (TOML has a type for it) or the word ``start``."""
        if isinstance(given, cls):
            return given
        text = given.isoformat() if type(given) is date else given
        if text == "start":
            return cls("start")
        if isinstance(text, str) and re.fullmatch(r"[0-9]{1,4}d", text):
            return cls(text, days=int(text[:-1]))
        if isinstance(text, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            try:
                return cls(text, day=date.fromisoformat(text))
            except ValueError:
                raise ValueError("must be a day that the calendar has") from None
        raise ValueError('must be a number of days ("7d"), a date ("2024-01-31") or "start"')

    def first_day(self, today: date, start_up: date | None) -> date:
        """Return the first plant-local day to harvest, at the latest *today*.

        Nothing is asked from before *start_up*, the plant's own first day. Where the configuration says
        ``start``, a plant that does not tell it counts as started seven days ago, the default.
        """
        known = start_up if start_up is not None and start_up >= EARLIEST else None
        if self.days is not None:
            wanted = today - timedelta(days=self.days)
        else:
            wanted = self.day or known or today - timedelta(days=7)
        return min(max(wanted, known or EARLIEST), today)

    def __str__(self) -> str:
        return self.text


_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_LONGEST = timedelta(days=366)
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LAST_DAY = dict(zip(range(1, 13), (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), strict=True))
_PART = re.compile(r"(?:\*|(\w{1,3})(?:-(\w{1,3}))?)(?:/(\d{1,2}))?", re.ASCII)
_CADENCE = 'must be an interval ("5m", "2h", "1d") or a five-field cron in UTC ("15 3 * * mon-fri")'


@dataclass(frozen=True, slots=True)
class Cadence:
    """When one kind of work is due: an interval or a cron expression, exactly one of them."""

    text: str
    """As configured."""
    every: timedelta | None = None
    cron: str | None = None
    """Five fields in UTC. Days of the week are spelt as names: programs number them differently."""

    @classmethod
    def parse(cls, given: object) -> Self:
        """Read ``5m``, ``2h``, ``1d`` or a five-field cron."""
        if isinstance(given, cls):
            return given
        text = given.strip().lower() if isinstance(given, str) else ""
        if len(text.split()) == len(_CRON):
            return cls(text, cron=_cron(text))
        if not re.fullmatch(r"[0-9]{1,8}[smhd]", text):
            raise ValueError(_CADENCE)
        every = timedelta(seconds=int(text[:-1]) * _UNITS[text[-1]])
        if not timedelta(0) < every <= _LONGEST:
            raise ValueError("must be more than nothing and at most 366d")
        return cls(text, every=every)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of a cron expression: its range, both ends included, and the names of its numbers."""

    name: str
    low: int
    high: int
    names: Mapping[str, int]


_CRON = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of the month", 1, 31, {}),
    _Field("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, start=1)}),
    _Field("day of the week", 0, 7, {name: number for number, name in enumerate(_WEEKDAYS)}),
)


def _cron(text: str) -> str:
    fields = text.split()
    _, _, days, months, weekdays = (_members(part, field) for part, field in zip(fields, _CRON, strict=True))
    if min(days) > max(_LAST_DAY[month] for month in months):
        raise ValueError("must name a day that the month has")
    if not fields[2].startswith("*") and not fields[4].startswith("*"):
        raise ValueError("must restrict the day of the month or the day of the week, not both")
    named = sorted({day % 7 for day in weekdays})
    fields[4] = "*" if len(named) == len(_WEEKDAYS) else ",".join(_WEEKDAYS[day] for day in named)
    return " ".join(fields)


def _members(text: str, field: _Field) -> set[int]:
    """Return the numbers that one cron field, ``*/5`` or ``mon-fri`` or ``1,15``, stands for."""
    members: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None or (match[3] and match[1] and not match[2]):
            raise ValueError(f"{field.name}: must be *, a number, a range, or one of both with /step")
        low = _number(match[1], field) if match[1] else field.low
        high = _number(match[2], field) if match[2] else low if match[1] else field.high
        step = int(match[3] or 1)
        if not (field.low <= low <= high <= field.high and step):
            raise ValueError(f"{field.name}: must be within {field.low}-{field.high}, ranges ascending")
        members.update(range(low, high + 1, step))
    return members


def _number(text: str, field: _Field) -> int:
    return int(text) if text.isdecimal() else field.names.get(text, -1)


def web_address(text: str, *, plain: bool = False) -> str:
    """Return an http(s) URL without its trailing slash; http only to this machine, or anywhere where it may be *plain*.

    It holds a host and a path and nothing else.
    """
    parts = _web(text, plain=plain, shown="the credentials")
    if parts.query:
        raise ValueError("must be a plain URL: no query")
    return text.strip().rstrip("/")


def webhook_address(text: str) -> str:
    """Return an http(s) URL as it is, with its query; http only to this machine: such an address is a secret."""
    _web(text, plain=False, shown="this address, which is a secret,")
    return text.strip()


def _web(text: str, *, plain: bool, shown: str) -> SplitResult:
    try:
        parts = urlsplit(text.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("must be a URL like https://host/path") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError("must be a URL that begins with https:// (or http:// on this machine)")
    if "@" in parts.netloc or parts.fragment or re.search(r"\s", text.strip()):
        raise ValueError("must be a plain URL: no user, password, fragment or blank")
    if parts.scheme == "http" and not plain and not _loopback(host):
        raise ValueError(f"must begin with https:// : plain http would show {shown} to the network")
    return parts


def public_address(text: str) -> str:
    """Return an address of this program's own pages, which have no path of their own."""
    if urlsplit(text).path.strip("/"):
        raise ValueError("must be a bare address without a path, like https://connect.example.org")
    return text


def listen_address(text: str) -> str:
    """Return HOST:PORT, or nothing for no listener (``off`` in a variable); port 0 takes a free one."""
    if text.strip() in {"", "off"}:
        return ""
    host, _, port = text.strip().rpartition(":")
    if not host or not port.isdecimal() or int(port) > _LAST_PORT or re.search(r"[\s/@]", host):
        raise ValueError('must be HOST:PORT like "127.0.0.1:8651", or "off"')
    return text.strip()


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def email_address(text: str) -> str:
    """Return *text* if it looks like an e-mail address."""
    if not _EMAIL.fullmatch(text):
        raise ValueError("must be an e-mail address like owner@example.org")
    return text


def local_folder(given: object) -> Path:
    """Return the folder that a path or a ``file://`` URL names."""
    text = str(given) if isinstance(given, str | Path) else ""
    if _SCHEME.match(text):
        parts = urlsplit(text)
        if parts.scheme != "file" or parts.netloc not in {"", "localhost"}:
            raise ValueError("must be a folder of this machine: s3://, gs:// and the like are not supported")
        text = unquote(parts.path)
    if not text.strip() or not text.isprintable():
        raise ValueError("must be the path of a folder")
    if text.startswith("~"):
        raise ValueError("must be written out: ~ means something to a shell only")
    return Path(text)


def sqlite_address(text: str) -> str:
    """Return *text* if it names an SQLite file."""
    name = text.removeprefix(SQLITE)
    if name == text:
        raise ValueError("must be sqlite:///FILE: SQLite is the only ledger that is supported")
    if not name.strip("/ ") or name.startswith(":") or "?" in name or not name.isprintable():
        raise ValueError("must name a file, without options: sqlite:///relative.db or sqlite:////absolute.db")
    return text
