"""The frozen values that a client is built from."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """Where SMA answers; its hosts have moved more than once, so none is written into the code."""

    auth_url: str
    """``{auth_url}/oauth2/token`` gives tokens."""
    consent_url: str
    """``{consent_url}/oauth2/v2/bc-authorize`` keeps the owners' consents."""
    monitoring_url: str
    """``{monitoring_url}/plants``; ends in ``/v1``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What SMA hands to a client of its API."""

    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is asked at once, how long is waited, how often is tried."""

    timeout_seconds: float = 45
    """Silence of the server that ends a try; a try as a whole may last four times as long."""
    concurrency: int = 16
    """Requests in flight at once; 4 to 16 connections reach the highest rate."""
    requests: int | None = None
    """Requests per window and credential; None where it is not known and has to be learned."""
    window_seconds: float = 300
    """SMA renews the budget of a credential every five minutes."""
    attempts: int = 5
    """Tries of one request, 429 not counted."""
    max_body: int = 32 * 1024 * 1024
    """Bytes of one decompressed body."""
