"""How often one address may ask: a bucket for each, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from ipaddress import IPv6Address, IPv6Network, ip_address
from math import ceil

PER_MINUTE = 30
"""Connecting takes three requests."""
MOST_ADDRESSES = 10_000


class RateLimit:
    """A bucket of `PER_MINUTE` requests for each address, refilled within a minute."""

    def __init__(self, wall: Callable[[], datetime]) -> None:
        self._wall = wall
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, remote: str) -> int:
        """Take one request of *remote* and return 0, or the seconds until there is one to take."""
        who, now = _whole(remote), self._wall().timestamp()
        left, seen = self._buckets.pop(who, (float(PER_MINUTE), now))
        left = min(float(PER_MINUTE), left + max(0.0, now - seen) * PER_MINUTE / 60)
        self._buckets[who] = (left - 1 if left >= 1 else left, now)
        if len(self._buckets) > MOST_ADDRESSES:
            self._buckets.popitem(last=False)
        return 0 if left >= 1 else ceil((1 - left) * 60 / PER_MINUTE)


def visitor(peer: str | None, forwarded: str) -> str:
    """Return the address to count: the peer's, or the one that a reverse proxy on this machine names last.

    What others claim in X-Forwarded-For is not believed; only a local process connects from a loopback address.
    """
    last = forwarded.rpartition(",")[2].strip()
    return last if last and _is_loopback(peer or "") and _is_address(last) else peer or ""


def _whole(remote: str) -> str:
    """Return the network that one visitor has to himself: of IPv6, a /64."""
    address = ip_address(remote) if _is_address(remote) else None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(IPv6Network((int(address), 64), strict=False))
    return remote


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_loopback(text: str) -> bool:
    return _is_address(text) and ip_address(text).is_loopback
