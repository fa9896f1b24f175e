"""Seeded chance: the same parts give the same numbers in every process and on every machine."""

import random
from hashlib import blake2b


def digest(*parts: object) -> int:
    """Return 64 bits that depend on the text of the parts alone."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def roll(*parts: object) -> float:
    """Return a number in [0, 1) that depends on the text of the parts alone."""
    return digest(*parts) / 2**64


def dice(*parts: object) -> random.Random:
    """Return a generator whose whole sequence depends on the text of the parts alone."""
    return random.Random(digest(*parts))  # noqa: S311 - readings, not secrets
