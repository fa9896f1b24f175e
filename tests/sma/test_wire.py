"""What a request is and what an answer means."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.errors import (
    AnswerError,
    BadBody,
    Forbidden,
    Moved,
    NotFound,
    Rejected,
    ServerTrouble,
    Throttled,
)
from harvester.sma import wire
from harvester.sma.wire import Elsewhere, Good, Kind, Request, Response

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
HERE = "https://monitoring.example/v1/plants/7?Date=2026-03-28"


def request(method: str = "GET", url: str = HERE, read: Callable[[Response], Any] = repr, **more: Any) -> Request[Any]:
    """Build a request whose value is whatever *read* makes of the answer."""
    return Request(method=method, url=url, kind=Kind.VALUES, read=read, **more)


def response(status: int = 200, body: bytes = b"{}", **headers: str) -> Response:
    """Build an answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(method="GET", url=HERE, status=status, headers=named, body=body, asked_at=NOON)


def as_header(raw: bytes) -> str:
    """Decode what a server wrote the way HTTP libraries do, which leaves half characters behind."""
    return raw.decode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (204, BadBody),
        (400, Rejected),
        (401, Rejected),
        (403, Forbidden),
        (404, NotFound),
        (408, ServerTrouble),
        (410, Rejected),
        (425, ServerTrouble),
        (429, Throttled),
        (500, ServerTrouble),
        (501, Rejected),
        (503, ServerTrouble),
        (304, Moved),
        (308, Moved),
        (100, BadBody),
        (999, BadBody),
    ],
)
def test_each_status_has_its_error(status: int, error: type[AnswerError]) -> None:
    """The table of statuses, one by one."""
    verdict = wire.judge(request(), response(status))

    assert isinstance(verdict, AnswerError)
    assert type(verdict) is error
    assert verdict.status == status


def test_a_value_is_read_where_the_status_is_accepted() -> None:
    """What a request accepts is read by the request."""
    verdict = wire.judge(request(read=lambda answer: answer.body, accepts=frozenset({201})), response(201, b"x"))

    assert verdict == Good(b"x")


@given(status=st.integers(100, 999), body=st.binary(max_size=60), location=st.text(max_size=20))
def test_every_answer_has_a_verdict(status: int, body: bytes, location: str) -> None:
    """Whatever comes back is a value, another address, or one of our errors."""
    verdict = wire.judge(request(read=wire.whole_object), response(status, body, location=location))

    assert isinstance(verdict, Good | Elsewhere | AnswerError)


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        ("7", 7.0),
        (" 1.5 ", 1.5),
        ("0", 0.0),
        ("-3", 0.0),
        ("999999999", wire.LONGEST_WAIT),
        ("Sun, 29 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 29 Mar 2026 11:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("Sun, 99 Mar 2026 12:00:30 GMT", None),
        ("Sun, 29 Mar 2026 12:00:30", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(raw: str, seconds: float | None) -> None:
    """Both forms of the header are read, and nonsense is as good as none."""
    verdict = wire.judge(request(), response(429, b"", retry_after=raw))

    assert isinstance(verdict, Throttled)
    assert verdict.retry_after == seconds


def test_a_date_is_compared_with_the_clock_of_the_server() -> None:
    """A wrong clock on our side does not change the wait."""
    answer = response(429, retry_after="Sun, 29 Mar 2026 15:00:30 GMT", date="Sun, 29 Mar 2026 15:00:00 GMT")

    assert wire.retry_after(answer) == 30.0


@given(st.text(max_size=40) | st.binary(max_size=20).map(as_header), st.text(max_size=40))
def test_no_header_breaks_the_wait(raw: str, date: str) -> None:
    """Whatever the headers hold, the wait is None or a number within bounds."""
    seconds = wire.retry_after(response(429, retry_after=raw, date=date))

    assert seconds is None or 0 <= seconds <= wire.LONGEST_WAIT


@pytest.mark.parametrize("body", [b"{}", b' \r\n{"a":1}\n', b'{"cut":}'])
def test_the_cheap_check_looks_at_both_ends(body: bytes) -> None:
    """A body that begins and ends like an object passes, whatever is between."""
    assert wire.whole_object(response(body=body)) == body.strip()


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"", "an empty body"),
        (b"<html>", "HTML"),
        (b'{"a":', "cut JSON"),
        (b"[{}]", "something else"),
        (b"{", "cut"),
    ],
)
def test_the_cheap_check_names_what_it_found(body: bytes, found: str) -> None:
    """A body that is no object is told by its kind."""
    with pytest.raises(BadBody, match=found) as caught:
        wire.whole_object(response(body=body))

    assert caught.value.status == 200


@given(name=st.text())
def test_any_name_becomes_one_segment_or_is_refused(name: str) -> None:
    """No name, wherever it comes from, changes the shape of an address."""
    try:
        segment = wire.segment(name)
    except Rejected:
        assert name in {"", ".", ".."} or not name.isprintable()
        return

    assert segment.isascii()
    assert not set(segment) & set("/?#&; \\\r\n\0")
    assert wire.named_in(f"https://host/v1/plants/{segment}/devices", "plants") == name


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://monitoring.example/v1/plants/8?Date=1", "https://monitoring.example/v1/plants/8?Date=1"),
        ("https://MONITORING.example:443/a", "https://monitoring.example/a"),
        ("/v2/plants/8", "https://monitoring.example/v2/plants/8"),
        ("8?x=%2F#part", "https://monitoring.example/v1/plants/8?x=%2F"),
        ("/a b/é", "https://monitoring.example/a%20b/%C3%A9"),
    ],
)
def test_the_same_host_is_followed(location: str, target: str) -> None:
    """Absolute and relative addresses of the same host keep the host that was configured."""
    assert wire.follow(request(), location, [HERE]).url == target


@pytest.mark.parametrize(
    "location",
    [
        "http://monitoring.example/a",
        "https://monitoring.example:8443/a",
        "https://user@monitoring.example/a",
        "https://monitoring.example@evil.example/a",
        "https://monitoring.example.evil.example/a",
        "//evil.example/a",
        "javascript:alert(1)",
        "https://[::1/a",
        "\\\\evil.example\\a:b@https://evil.example",
    ],
)
def test_no_other_host_is_followed(location: str) -> None:
    """Scheme, host and port have to be those of the request; in doubt the host stays ours."""
    try:
        followed = wire.follow(request(), location, [HERE]).url
    except Moved:
        followed = "https://monitoring.example/"

    assert followed.startswith("https://monitoring.example/")


@given(location=st.text(max_size=60) | st.binary(max_size=20).map(as_header))
def test_a_token_stays_at_home(location: str) -> None:
    """Whatever a Location holds, the next request goes to the host of the first, or nowhere."""
    try:
        followed = wire.follow(request(), location, [])
    except Moved:
        return

    assert followed.url.startswith("https://monitoring.example/")
    assert followed.url.isascii()


def test_only_get_is_redirected() -> None:
    """A POST is not sent twice."""
    answer = response(308, location="/elsewhere")

    assert wire.judge(request(), answer) == Elsewhere("/elsewhere")
    assert isinstance(wire.judge(request("POST"), answer), Moved)


def test_texts_mask_addresses_and_hide_the_query() -> None:
    """A label holds method and path, and an e-mail address only in part."""
    label = request(url="https://h/oauth2/v2/bc-authorize/first.last%40example.org/status?secret=1").label

    assert label == "GET /oauth2/v2/bc-authorize/f***@example.org/status"


def test_values_show_no_secret() -> None:
    """Neither a request nor an answer shows its body."""
    asked = request(url="https://h/owner@example.org", body=b"client_secret=very-secret")
    answered = response(body=b'{"access_token":"secret-token"}')

    assert "very-secret" not in repr(asked)
    assert "owner" not in repr(asked)
    assert "secret-token" not in repr(answered)


@given(st.binary(max_size=200))
def test_decoding_raises_our_errors_only(body: bytes) -> None:
    """Bytes are what was promised or BadBody."""
    verdict = wire.judge(request(read=lambda answer: wire.decode(answer, dict)), response(body=body))

    assert isinstance(verdict, BadBody) or (isinstance(verdict, Good) and isinstance(verdict.value, dict))


def test_deep_nesting_is_a_bad_body() -> None:
    """A body that nests without end does not end the process."""
    with pytest.raises(BadBody, match="not the JSON"):
        wire.decode(response(body=b'{"a":' * 100_000 + b"1" + b"}" * 100_000), dict)
