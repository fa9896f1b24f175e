"""What of a server's words may be repeated: no secret, no token, no e-mail address as it is. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

import msgspec

# Possessive: a text of the network's making is scanned once, however long it is.
_LOCAL_PART = re.compile(r"([^\s@/\"'<>:]++)(@?)")
_TOKEN_LIKE = re.compile(r"[\w.~+/=-]{41,}")


def masked(text: str) -> str:
    """Return *text* with e-mail addresses reduced to ``o***@example.org``."""
    if "@" not in text and "%40" not in text:  # as nearly all, which are the paths of requests
        return text
    return _LOCAL_PART.sub(_masked_part, text)


def _masked_part(found: re.Match[str]) -> str:
    """Return the part of an address before its @, which may be percent-encoded, without all but its first letter."""
    part, at = found.groups()
    end = len(part) if at else part.rfind("%40")
    if end <= 0:
        return part
    return f"{part[0]}***@{part[end + len('%40') :]}"


def hushed(text: str) -> str:
    """Return the beginning of a server's *text* without e-mail addresses and without anything as long as a token."""
    return masked(_TOKEN_LIKE.sub("[redacted]", text))[:200]


class _Complaint(msgspec.Struct):
    """An error body: SMA's ``message``, Keycloak's ``error_description``."""

    message: str = ""
    error_description: str = ""


def without(body: bytes, secrets: Iterable[str]) -> bytes:
    """Return *body* without the *secrets* that a careless server repeats in it, as they are or percent-encoded."""
    for secret in filter(None, secrets):
        for form in {secret, quote(secret, safe="")}:
            body = body.replace(form.encode(), b"[redacted]")
    return body


def said(body: bytes) -> str:
    """Return the words of an error body, masked and cut to one line; empty when there are none."""
    try:
        complaint = msgspec.json.decode(body, type=_Complaint)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ""
    words = " ".join((complaint.message or complaint.error_description).split())
    return hushed(words)
