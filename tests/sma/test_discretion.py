"""What is repeated of a server's words, and what is not."""

import pytest

from harvester.sma import discretion


def test_addresses_are_masked() -> None:
    """The first letter and the host are left."""
    assert discretion.masked("to owner@example.org, a@b.c") == "to o***@example.org, a***@b.c"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"message":"Not Found","code":"404"}', "Not Found"),
        (b'{"error":"x","error_description":"Bad  \\n  thing"}', "Bad thing"),
        (b'{"message":7}', ""),
        (b"<html>", ""),
        (b"\xff", ""),
        (b'{"message":"' + b"e" * 50 + b'"}', "[redacted]"),
        (b'{"message":"' + b"word " * 99 + b'"}', ("word " * 99)[:200]),
    ],
)
def test_the_words_of_the_server_are_kept_short(body: bytes, words: str) -> None:
    """An error body gives one masked line, or nothing."""
    assert discretion.said(body) == words


def test_a_careless_server_is_not_repeated() -> None:
    """What was shown is taken out of an answer as it is and percent-encoded; short secrets too."""
    body = b'{"message": "bad secret hunter/2, hunter%2F2 and nothing else"}'

    assert (
        discretion.without(body, ("hunter/2", ""))
        == b'{"message": "bad secret [redacted], [redacted] and nothing else"}'
    )


def test_hushed_words_hold_no_token_and_no_address() -> None:
    """Anything as long as a token is taken out, and addresses are masked."""
    assert discretion.hushed(f"no {'x' * 41} of ann@example.org") == "no [redacted] of a***@example.org"
