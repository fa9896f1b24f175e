"""What a request to SMA is and what an answer means, without a socket.

Every status rule stands in the tables of this file. It knows no endpoint (see ``monitoring``, ``tokens``,
``consent``) and never raises anything but the errors of ``harvester.errors``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import lru_cache
from http import HTTPStatus
from typing import Generic, TypeVar
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

import msgspec

from harvester.errors import (
    AnswerError,
    BadBody,
    Forbidden,
    HarvestError,
    Moved,
    NotFound,
    Rejected,
    Retry,
    ServerTrouble,
    Throttled,
)
from harvester.sma.discretion import masked, said

T = TypeVar("T")


class Kind(StrEnum):
    """What a request is for; the key under which requests are counted."""

    TOKEN = "token"  # noqa: S105  # the name of a kind, not a secret
    CONSENT = "consent"
    PLANTS = "plants"
    DEVICES = "devices"
    SETS = "sets"
    VALUES = "values"


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One answer, read to its end."""

    method: str
    url: str = field(repr=False)
    """The address that answered; after a redirect not the one first asked."""
    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""
    body: bytes = field(repr=False)
    """Decompressed."""
    asked_at: datetime
    """When the request was sent, aware UTC."""
    gzip: bytes | None = field(default=None, repr=False)
    """The body as it was sent, where that was one gzip member."""

    @property
    def label(self) -> str:
        """What was asked, as the label of a `Request`."""
        return _label(self.method, self.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[T]):
    """One request, and how its answer is read.

    ``read`` gets an answer whose status is in ``accepts`` and raises BadBody when the body is not what was
    promised.
    """

    method: str
    url: str = field(repr=False)
    kind: Kind
    read: Callable[[Response], T] = field(repr=False)
    accepts: frozenset[int] = frozenset({200})
    body: bytes | None = field(default=None, repr=False)
    content_type: str | None = None
    needs_token: bool = True
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What it shows and nobody may repeat."""

    @property
    def label(self) -> str:
        """Method and path for messages and logs: no host, no query, e-mail addresses masked."""
        return _label(self.method, self.url)


def _label(method: str, url: str) -> str:
    return f"{method} {masked(urlsplit(url).path)}"


@dataclass(frozen=True, slots=True)
class Good(Generic[T]):
    """The request succeeded."""

    value: T


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The server names another address for what was asked."""

    location: str


REDIRECTS = frozenset({301, 302, 307, 308})
MAX_REDIRECTS = 5
LONGEST_WAIT = 86_400.0
"""Seconds; a Retry-After beyond a day is taken for a mistake."""

_MEANING: Mapping[int, type[AnswerError]] = {
    403: Forbidden,
    404: NotFound,
    408: ServerTrouble,
    425: ServerTrouble,
    429: Throttled,
    501: Rejected,  # says never, not later
}
_MEANING_OF_CLASS: Mapping[int, type[AnswerError]] = {2: BadBody, 3: Moved, 4: Rejected, 5: ServerTrouble}

_ADVICE: Mapping[int, str] = {
    401: "the token was not accepted, although it is new",
    403: "the owner has not consented, or the credentials lack the right for this API",
    404: "unknown here",
    429: "the request budget of these credentials is spent",
}


def headers(request: Request[T], token: str | None) -> dict[str, str]:
    """Return the headers of *request*, with *token* where it needs one."""
    # Without br and zstd, which would need packages that are not installed.
    named = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate"}
    if request.content_type is not None:
        named["Content-Type"] = request.content_type
    if token is not None:
        named["Authorization"] = f"Bearer {token}"
    return named


def judge(request: Request[T], response: Response) -> Good[T] | Elsewhere | HarvestError:
    """Say what *response* means: a value, another address, or the error that fits."""
    if response.status in request.accepts:
        try:
            return Good(request.read(response))
        except HarvestError as error:
            return error
    location = response.headers.get("location")
    # Whatever is not a GET carries a body or an intent that is not to be sent twice.
    if response.status in REDIRECTS and location and request.method == "GET":
        return Elsewhere(location)
    return refusal(response)


def refusal(response: Response) -> AnswerError:
    """Return the error that the status of *response* stands for."""
    status = response.status
    text = f"{response.label}: {status}"
    if advice := _ADVICE.get(status):
        text += f", {advice}"
    if words := said(response.body):
        text += f' (the server says "{words}")'
    meaning = _MEANING.get(status) or _MEANING_OF_CLASS.get(status // 100, BadBody)
    if issubclass(meaning, Retry):
        return meaning(text, status=status, retry_after=retry_after(response))
    return meaning(text, status=status)


def token_refused(verdict: object) -> bool:
    """Say whether *verdict* is the refusal of a token."""
    return isinstance(verdict, AnswerError) and verdict.status == HTTPStatus.UNAUTHORIZED


def retry_after(response: Response) -> float | None:
    """Return the seconds that the server asked to wait, None if it named none that can be read.

    A date is compared with the server's own ``Date``, so that a wrong clock on either side does no harm.
    """
    raw = response.headers.get("retry-after", "").strip()
    try:
        seconds = float(raw)
    except ValueError:
        then, now = http_date(raw), http_date(response.headers.get("date", "")) or response.asked_at
        if then is None:
            return None
        seconds = (then - now).total_seconds()
    return min(max(seconds, 0.0), LONGEST_WAIT) if math.isfinite(seconds) else None


def http_date(raw: str) -> datetime | None:
    """Read an HTTP date; None if *raw* is none or lacks its zone."""
    try:
        moment = parsedate_to_datetime(raw)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else None


def whole_object(response: Response) -> bytes:
    """Return the body without blanks around it, if it looks like one JSON object; raises BadBody.

    Nothing is parsed: this is cheap enough for every body of measurements.
    """
    body = response.body.strip()
    if body.startswith(b"{") and body.endswith(b"}"):
        return body
    if not body:
        found = "an empty body"
    elif body.startswith(b"<"):
        found = "HTML"
    else:
        found = "cut JSON" if body.startswith(b"{") else "something else"
    raise BadBody(f"{response.label}: {found} instead of a JSON object", status=response.status)


def decode(response: Response, shape: type[T]) -> T:
    """Return the body as *shape*; raises BadBody."""
    try:
        return msgspec.json.decode(whole_object(response), type=shape)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        # No cause: a UnicodeDecodeError holds the whole body, which may be a token.
        found = str(error) if isinstance(error, msgspec.MsgspecError) else type(error).__name__
        text = f"{response.label}: not the JSON that was promised ({found})"
        raise BadBody(text, status=response.status) from None


@lru_cache(maxsize=4096)  # the same few names, in each of many requests
def segment(name: str) -> str:
    """Return *name*, which may come from the network, as one encoded path segment; raises Rejected."""
    try:
        encoded = quote(name, safe="")
    except UnicodeError:
        encoded = ""
    # Dots are not encoded, and servers read them as the way up.
    if encoded in {"", ".", ".."}:
        raise Rejected(f"{name!r} cannot be a part of an address, so it was not asked")
    return encoded


def named_in(url: str, collection: str) -> str | None:
    """Return the id that follows *collection* in the path of *url*: "7" for "plants" in ``.../plants/7``."""
    parts = urlsplit(url).path.split("/")
    following = dict(zip(reversed(parts[:-1]), reversed(parts[1:]), strict=True))
    return unquote(following[collection]) if collection in following else None


def follow(request: Request[T], location: str, visited: Sequence[str]) -> Request[T]:
    """Return *request* at *location*; raises Moved where that is another host, a circle, or too long a way.

    The host of the result is always the one of *request*: a token cannot reach another one.
    """
    try:
        target, here = urlsplit(urljoin(request.url, location)), urlsplit(request.url)
        same = _origin(target.scheme, target.netloc) == _origin(here.scheme, here.netloc)
        path, query = quote(target.path, safe=_KEPT), quote(target.query, safe=_KEPT + "?")
    except ValueError as error:
        raise Moved(f"{request.label}: redirected to an address that cannot be read") from error
    if not same:
        raise Moved(f"{request.label}: redirected to another host, which is not followed")
    url = urlunsplit((here.scheme, here.netloc, path, query, ""))
    if url in visited:
        raise Moved(f"{request.label}: redirected in a circle")
    if len(visited) > MAX_REDIRECTS:
        raise Moved(f"{request.label}: redirected more than {MAX_REDIRECTS} times")
    return replace(request, url=url)


def _origin(scheme: str, netloc: str) -> tuple[str, str]:
    """Return scheme and network location without the default port; a user name stays and never matches."""
    port = {"http": ":80", "https": ":443"}.get(scheme, "")
    return scheme, netloc.lower().removesuffix(port) if port else netloc.lower()


_KEPT = "/%:@!$&'()*+,;=~"
"""What a path may hold as it stands."""
