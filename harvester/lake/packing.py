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
_FLAGS, _TIME = 3, slice(4, 8)
"""Where the header of a gzip member tells its flags and when it was made (RFC 1952, section 2.3)."""
_ODD_FLAGS = 0b11100010
"""A sum over the header, and what is reserved: libraries differ in what they make of these."""


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
    """Return the body of *payload* as a pack holds it; what came as gzip is not compressed again, but for odd one."""
    if payload.gzip is None or payload.gzip[_FLAGS] & _ODD_FLAGS:
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
    if len(body) != stored.size or not _is_known(stored, body):
        raise ValueError("an archived answer is not what was stored")
    return body


def _is_known(stored: Packed, body: bytes) -> bool:
    """Tell whether a stored body has its hash; that of gzip was of its content before packs had format 3."""
    if stored.encoding is Encoding.GZIP and hashlib.sha256(stored.content).digest() == stored.sha256:
        return True
    return hashlib.sha256(body).digest() == stored.sha256


def _timeless(gzip: bytes) -> bytes:
    """Return one member of gzip without the second it was made in, so that equal answers are equal."""
    return gzip[: _TIME.start] + bytes(4) + gzip[_TIME.stop :]


def _decompressed(stored: Packed) -> bytes:
    try:
        if stored.encoding is Encoding.GZIP:
            return zlib.decompressobj(_WRAPPED_GZIP).decompress(stored.content, stored.size + 1)
        found: bytes = pa.Codec("zstd").decompress(stored.content, decompressed_size=stored.size, asbytes=True)
    except (zlib.error, pa.ArrowException, OSError) as error:
        raise ValueError(f"an archived answer cannot be decompressed ({error})") from error
    return found
