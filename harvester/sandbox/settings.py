"""What a local cloud is made of: one frozen value, all defaults."""

from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from harvester.sandbox.faults import Faults
from harvester.sandbox.zones import zone

DEVICES = range(1, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The plants, the clients, the limits and the faults of a local cloud."""

    seed: int = 7
    """Same seed, same plants and readings, in any process."""
    plants: int = 6
    """How many plants there are."""
    devices: int = 7
    """Devices of each plant, 1 to 99; the mix varies from plant to plant."""
    owners: tuple[str, ...] = ("owner@example.org",)
    """E-mail addresses of the owners; plants are dealt round robin."""
    zones: tuple[str, ...] = ("Europe/Berlin",)
    """IANA names; plants are dealt round robin and stand near the zone's chief town."""
    start: date = date(2024, 1, 1)
    """Plant-local start-up day of the oldest plant."""
    stagger_days: int = 0
    """Each further plant starts that many days later."""
    classic_every: int = 4
    """Every n-th plant is of the Classic kind: GUID ids, 15 minutes, later rows; 0: none."""

    client_id: str = "local-sandbox"
    """The client of the custom (back-channel) flow."""
    client_secret: str = "local-sandbox"  # noqa: S105 - opens nothing but this cloud
    """Its secret."""
    code_client_id: str = "local-code"
    """A client of the code flow, which client_credentials refuses."""
    code_client_secret: str = "local-code"  # noqa: S105 - likewise
    """Its secret."""
    token_seconds: int = 300
    """Life of an access token (captured: 300 s everywhere)."""
    refresh_seconds: int = 1800
    """Life of a refresh token (captured: 1800 s in the custom flow)."""

    grant: Literal["custom", "code"] = "custom"
    """Which grant `client_id` supports; `code_client_id` supports the code grant always."""
    password: str = "sandbox"  # noqa: S105 - ours; the word that SMA's sandbox page prints is not used here
    """What every owner logs in with, apiTestUser@apiSandbox.com too."""
    redirect_uris: tuple[str, ...] = ()
    """Where the code grant may send a browser, a trailing `*` is any ending; empty: to any loopback address."""
    code_seconds: float = 60
    """Life of an authorization code."""
    owner_refresh_seconds: int = 172_800
    """Life of an owner's refresh token (documented: about two days); with offline_access it does not end."""
    session_seconds: int = 2_592_000
    """How long refreshing prolongs an owner's session without offline_access (documented: about 30 days)."""
    reuse_ends_session: bool = True
    """An owner's refresh token that comes a second time ends the session, as Keycloak can."""
    discovery: bool = True
    """There is a /.well-known/openid-configuration."""
    pkce: bool = True
    """Challenges are announced there and checked; else they are ignored, as by a server that knows none."""

    requests: int | None = None
    """Monitoring requests per window and client; None: no limit."""
    window_seconds: float = 300
    """Length of the window of the limit, s."""
    window_mode: Literal["sliding", "fixed"] = "sliding"
    """Fixed windows begin with the cloud and follow each other without a gap."""
    retry_after: Literal["seconds", "date", "absent"] = "seconds"
    """How a 429 tells when to come back."""

    week: Literal["date", "monday", "sunday"] = "date"
    """Where the seven days of a Week begin: at Date, or on the Monday or Sunday on or before it."""
    autumn: Literal["twice", "merged"] = "twice"
    """The repeated hour comes twice with equal stamps, or its first pass alone."""
    delay_seconds: tuple[int, int] = (300, 10_800)
    """Shortest and longest delay between the end of an interval and its row, s; each device has its own."""
    classic_delay_seconds: tuple[int, int] = (900, 7_200)
    """The same for plants of the Classic kind."""
    late_rows: float = 0.0
    """Share of rows that come days late."""
    late_days: int = 2
    """By how many days."""
    migrated: int = 0
    """How many Classic plants have been migrated: their old ids answer 308."""
    hide_unconsented: bool = False
    """A plant without consent answers 404 instead of 403 (which one SMA sends is not documented)."""
    empty_401: bool = False
    """A refusal for want of a token has no body."""

    faults: Faults = field(default_factory=Faults)
    """What goes wrong: with the monitoring API, and with tokens and consents only where `everywhere` says so."""
    accept: bool = False
    """Consent requests are accepted at once, for a quick try."""
    lenient_status: bool = False
    """The owner's decision may also be the bare word that SMA's page shows."""
    consent_days: int = 7
    """Life of an unanswered consent request, days (assumption: the mail's link lives as long)."""
    profile: Literal["plants", "sma"] = "plants"
    """Full plants, or the starved content of SMA's own sandbox whatever plants, devices and owners say."""

    gzip: bool = True
    """Compress bodies for those who accept it."""
    latency_seconds: float = 0.0
    """Time that every monitoring answer takes, s."""
    cached_bytes: int = 64_000_000
    """Room for rendered bodies."""
    cached_days: int = 256
    """Room for simulated plant-days, about 40 kB each."""

    def __post_init__(self) -> None:
        if self.plants < 0 or self.devices not in DEVICES:
            raise ValueError(f"plants={self.plants}, devices={self.devices}: at least 0, and from 1 to 99")
        if not self.owners or not self.zones:
            raise ValueError("owners and zones: at least one of each")
        if self.window_seconds <= 0 or (self.requests is not None and self.requests < 1):
            raise ValueError(f"requests={self.requests} per {self.window_seconds} seconds: both must be positive")
        for name in self.zones:
            zone(name)
