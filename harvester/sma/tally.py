"""What a client has asked so far, as numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from harvester.sma.wire import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request that came to an end, for whoever shows progress."""

    kind: Kind
    outcome: str
    """``ok``, ``redirect``, or the name of the error."""
    status: int | None
    """None where no answer came."""
    seconds: float
    """From sending to the last byte, waiting for the budget not included."""
    size: int
    """Bytes of the decompressed body."""


OnRequest = Callable[[Call], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """A snapshot of what was asked."""

    requests: Mapping[Kind, int]
    """Requests that left, each try and each redirect on its own, by what they were for."""
    outcomes: Mapping[str, int]
    """The same requests by how they ended: ``ok``, ``redirect``, or the name of the error."""
    bytes_read: int
    """Decompressed."""
    retries: int
    """Requests that had to be repeated."""
    throttled: int
    """Requests that were refused with 429."""

    def since(self, earlier: Counts) -> Counts:
        """Return what was asked after *earlier*, a snapshot of the same client."""
        return Counts(
            requests=Counter(self.requests) - Counter(earlier.requests),
            outcomes=Counter(self.outcomes) - Counter(earlier.outcomes),
            bytes_read=self.bytes_read - earlier.bytes_read,
            retries=self.retries - earlier.retries,
            throttled=self.throttled - earlier.throttled,
        )


@dataclass(slots=True)
class Tally:
    """Counts as they grow."""

    on_request: OnRequest | None = None
    retries: int = 0
    _bytes: int = 0
    _requests: Counter[Kind] = field(default_factory=Counter)
    _outcomes: Counter[str] = field(default_factory=Counter)

    def add(self, call: Call) -> None:
        """Count one request and tell who listens."""
        self._requests[call.kind] += 1
        self._outcomes[call.outcome] += 1
        self._bytes += call.size
        if self.on_request is not None:
            self.on_request(call)

    def snapshot(self) -> Counts:
        """Return the counts as of now."""
        return Counts(
            requests=MappingProxyType(dict(self._requests)),
            outcomes=MappingProxyType(dict(self._outcomes)),
            bytes_read=self._bytes,
            retries=self.retries,
            throttled=self._outcomes["Throttled"],
        )
