"""A request and an answer as values, so that the cloud's rules need no socket."""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote

import orjson

JSON = "application/json; charset=utf-8"
Ending = Literal["whole", "hang", "reset", "stall", "drip", "endless", "bomb", "chunks"]


class Body:
    """Bytes of an answer, compressed at most once."""

    __slots__ = ("_packed", "plain")

    def __init__(self, plain: bytes = b"") -> None:
        self.plain = plain
        self._packed: bytes | None = None

    @property
    def packed(self) -> bytes:
        """Return the body compressed with gzip."""
        if self._packed is None:
            self._packed = gzip.compress(self.plain, compresslevel=1, mtime=0)
        return self._packed


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back."""

    status: int = 200
    body: Body = field(default_factory=Body)
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    ending: Ending = "whole"
    """How the connection treats it: sent, never sent, or one of the ways to spoil a body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What came in."""

    method: str
    origin: str
    """Scheme, host and port as the client wrote them."""
    raw_path: str
    """Path as sent, percent-encoded."""
    raw_query: str
    headers: Mapping[str, str]
    """Names without regard to case."""
    body: bytes = b""

    @property
    def segments(self) -> list[str]:
        """Return the decoded parts of the path."""
        return [unquote(part) for part in self.raw_path.split("/") if part]

    @property
    def url(self) -> str:
        """Return path and query as sent."""
        return f"{self.raw_path}?{self.raw_query}" if self.raw_query else self.raw_path

    def query(self) -> dict[str, str]:
        """Return the parameters; names in lower case, the last of equal names counts."""
        return {name.casefold(): value for name, value in parse_qsl(self.raw_query, keep_blank_values=True)}

    def media_type(self) -> str:
        """Return the content type without its parameters, in lower case."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().casefold()

    def form(self) -> dict[str, str]:
        """Return the fields of a form body."""
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


def json_answer(value: Any, status: int = 200, **headers: str) -> Answer:
    """Answer with a JSON value; header names are written with underscores."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(status=status, body=Body(orjson.dumps(value)), headers=named)


def refusal(status: int, message: str | None = None) -> Answer:
    """Answer with the error body of the resource APIs, whose code is a string (captured)."""
    return json_answer({"message": message or HTTPStatus(status).phrase, "code": str(status)}, status)
