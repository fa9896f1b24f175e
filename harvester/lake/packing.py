"""A body of the raw archive as it lies on the disk: as it came where it was sent as gzip, else compressed here."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa

from harvester.model import Payload

_LEVEL = 1
"""Bodies are sorted JSON of numbers: higher levels cost half as much again and save nothing."""
_WRAPPED_GZIP = 31
_FLAGS, _HAS_HEADER_SUM = 3, 0b10
_TIME = slice(4, 8)
"""Where the header of a gzip member tells its flags and when it was made (RFC 1952, section 2.3)."""


class Encoding(StrEnum):
    """How a stored body is compressed."""

    ZSTD = "zstd"
    GZIP = "gzip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A body on its way into the archive, packed as soon as it is decoded: it may have to wait for many others."""

    content: bytes
    encoding: Encoding
    sha256: bytes
    """Of `content` where it came as gzip, else of the body: a compression of our own may change with its library."""
    size: int
    """Bytes of the body."""


def packed(payload: Payload) -> Packed:
    """Return the body of *payload* as a pack holds it; what came as gzip is not compressed again."""
    if payload.gzip is None:
        return compressed(payload.body)
    content = _timeless(payload.gzip)
    sha256 = hashlib.sha256(content).digest()  # a tenth of what it would cost for the body
    return Packed(content=content, encoding=Encoding.GZIP, sha256=sha256, size=len(payload.body))


def compressed(body: bytes) -> Packed:
    """Compress *body*."""
    content = pa.Codec("zstd", compression_level=_LEVEL).compress(body, asbytes=True)
    return Packed(content=content, encoding=Encoding.ZSTD, sha256=hashlib.sha256(body).digest(), size=len(body))


def unpacked(stored: Packed) -> bytes:
    """Return the body; raise ValueError where it is not the one that was stored."""
    body = _decompressed(stored)
    told = stored.content if stored.encoding is Encoding.GZIP else body
    if len(body) != stored.size or hashlib.sha256(told).digest() != stored.sha256:
        raise ValueError("an archived answer is not what was stored")
    return body


def _timeless(gzip: bytes) -> bytes:
    """Return one member of gzip without the second it was made in, so that equal answers are equal."""
    if gzip[_FLAGS] & _HAS_HEADER_SUM:
        return gzip
    return gzip[: _TIME.start] + bytes(4) + gzip[_TIME.stop :]


def _decompressed(stored: Packed) -> bytes:
    try:
        if stored.encoding is Encoding.GZIP:
            return zlib.decompressobj(_WRAPPED_GZIP).decompress(stored.content, stored.size + 1)
        found: bytes = pa.Codec("zstd").decompress(stored.content, decompressed_size=stored.size, asbytes=True)
    except (zlib.error, pa.ArrowException, OSError) as error:
        raise ValueError(f"an archived answer cannot be decompressed ({error})") from error
    return found
