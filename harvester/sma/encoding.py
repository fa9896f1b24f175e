"""What a body was before it was compressed for its way. Pure; as fast as the machine has a library for.

Only what is asked for is undone, gzip and deflate, and never beyond a bound: a small body may stand for a huge one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_library: Any
try:  # ISA-L needs less than half the time
    from isal import isal_zlib as _library
except ImportError:
    import zlib as _library

_GZIP = frozenset({"gzip", "x-gzip"})
_MAGIC = b"\x1f\x8b"
_WRAPPED_GZIP, _WRAPPED, _BARE = 31, 15, -15
_MEMBERS = 100
"""Of gzip in one body; servers send one, and each costs a copy of what is left."""
_DEFLATED = 8
"""Low half of the first byte of what is wrapped as RFC 1950 says; some servers send deflate bare."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A body, and how it came."""

    body: bytes
    gzip: bytes | None = None
    """As it came, where that was one gzip member and nothing else."""


def unpack(content: bytes, encoding: str, most: int) -> Unpacked:
    """Undo *encoding* (the header Content-Encoding) of *content*, to *most* bytes at the most.

    Raises ValueError for more than that, and for what is cut short, broken, or of an encoding that nobody asked for.
    """
    encoding = encoding.strip().lower()
    if encoding in {"", "identity"} or not content:
        return Unpacked(_within(content, most))
    if encoding in _GZIP:
        return _of_gzip(content, most)
    if encoding == "deflate":
        return Unpacked(_member(content, _WRAPPED if content[0] & 0xF == _DEFLATED else _BARE, most)[0])
    raise ValueError(f"encoded as {encoding:.20}, which was not asked for")


def _of_gzip(content: bytes, most: int) -> Unpacked:
    """Undo gzip; a body may be of several members, and of padding that means nothing."""
    body, rest = _member(content, _WRAPPED_GZIP, most)
    if not rest:
        return Unpacked(body, content)
    members = [body]
    while rest.startswith(_MAGIC):
        if len(members) == _MEMBERS:
            raise ValueError(f"more than {_MEMBERS} members of gzip")
        more, rest = _member(rest, _WRAPPED_GZIP, most)
        members.append(more)
        if sum(map(len, members)) > most:
            raise ValueError(f"more than {most} bytes")
    return Unpacked(b"".join(members))


def _member(content: bytes, wrapping: int, most: int) -> tuple[bytes, bytes]:
    """Return what one compressed stream stands for, and what comes behind it."""
    stream = _library.decompressobj(wrapping)
    try:
        found = _within(stream.decompress(content, most + 1), most)
    except _library.error as error:
        raise ValueError("it cannot be decompressed") from error
    if not stream.eof:
        raise ValueError("it ends too soon")
    return found, stream.unused_data


def _within(content: bytes, most: int) -> bytes:
    if len(content) > most:
        raise ValueError(f"more than {most} bytes")
    return content
