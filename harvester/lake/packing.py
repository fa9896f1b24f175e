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
    """Of the body before compression, as `size` is."""
    size: int


def packed(payload: Payload) -> Packed:
    """Return the body of *payload* as a pack holds it; what came as gzip is not compressed again."""
    if payload.gzip is None:
        return compressed(payload.body)
    sha256 = hashlib.sha256(payload.body).digest()
    return Packed(content=payload.gzip, encoding=Encoding.GZIP, sha256=sha256, size=len(payload.body))


def compressed(body: bytes) -> Packed:
    """Compress *body*."""
    content = pa.Codec("zstd", compression_level=_LEVEL).compress(body, asbytes=True)
    return Packed(content=content, encoding=Encoding.ZSTD, sha256=hashlib.sha256(body).digest(), size=len(body))


def unpacked(stored: Packed) -> bytes:
    """Return the body; raise ValueError where it is not the one that was stored."""
    body = _decompressed(stored)
    if len(body) != stored.size or hashlib.sha256(body).digest() != stored.sha256:
        raise ValueError("an archived answer is not what was stored")
    return body


def _decompressed(stored: Packed) -> bytes:
    try:
        if stored.encoding is Encoding.GZIP:
            return zlib.decompressobj(_WRAPPED_GZIP).decompress(stored.content, stored.size + 1)
        found: bytes = pa.Codec("zstd").decompress(stored.content, decompressed_size=stored.size, asbytes=True)
    except (zlib.error, pa.ArrowException, OSError) as error:
        raise ValueError(f"an archived answer cannot be decompressed ({error})") from error
    return found
