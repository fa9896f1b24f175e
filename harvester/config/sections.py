"""The sections of the configuration: every key with its type, default, range and description.

Knows nothing of files, variables and flags. Whoever needs a setting is handed the section that holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    Strict,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from harvester.config.values import (
    SQLITE,
    Cadence,
    Since,
    email_address,
    local_folder,
    sqlite_address,
    web_address,
)
from harvester.errors import ConfigError

HOSTS: Mapping[str, Mapping[str, str]] = {
    "local": {
        "auth_url": "http://127.0.0.1:8642",
        "consent_url": "http://127.0.0.1:8642",
        "monitoring_url": "http://127.0.0.1:8642/monitoring/v1",
    },
    "sandbox": {
        "auth_url": "https://sandbox-auth.smaapis.de",
        "consent_url": "https://sandbox.smaapis.de",
        "monitoring_url": "https://sandbox.smaapis.de/monitoring/v1",
    },
    "production": {
        "auth_url": "https://auth.smaapis.de",
        "consent_url": "https://async-auth.smaapis.de",
        "monitoring_url": "https://monitoring.smaapis.de/v1",
    },
}
LOCAL_OWNER = "owner@example.org"
LOCAL_CREDENTIAL = "local-sandbox"
"""Client id and secret that the local sandbox takes."""


def _text(pattern: str) -> tuple[PlainSerializer, WithJsonSchema]:
    return PlainSerializer(str, return_type=str), WithJsonSchema({"type": "string", "pattern": pattern})


def _host(name: str) -> Callable[[dict[str, Any]], str]:
    return lambda given: HOSTS[given["environment"]][name]


Count: TypeAlias = Annotated[int, Strict()]
Flag: TypeAlias = Annotated[bool, Strict()]
Number: TypeAlias = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Name: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Url: TypeAlias = Annotated[str, AfterValidator(web_address)]
Email: TypeAlias = Annotated[str, AfterValidator(email_address)]
Secret: TypeAlias = Annotated[SecretStr, Field(min_length=1)]
Start: TypeAlias = Annotated[Since, PlainValidator(Since.parse), *_text(r"^(\d{1,4}d|\d{4}-\d\d-\d\d|start)$")]
When: TypeAlias = Annotated[Cadence, PlainValidator(Cadence.parse), *_text(r"^(\d+[smhd]|\S+( +\S+){4})$")]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the harvester shows the token endpoint; neither half is ever printed."""

    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)


class Section(BaseModel):
    """A frozen group of keys; the text under a key describes it to people and editors."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        validate_default=True,
    )


class Sma(Section):
    """Which cloud is asked, and as whom."""

    environment: Literal["local", "sandbox", "production"] = "local"
    """Sets the three URLs: the harvester's own sandbox on this machine, SMA's sandbox, or SMA's cloud."""
    allow_http: Flag = False
    """Let the three URLs be plain http beyond this machine too: who is on the way reads credentials and values."""
    auth_url: str = Field(default_factory=_host("auth_url"))
    """Host of the token endpoint, without /oauth2."""
    consent_url: str = Field(default_factory=_host("consent_url"))
    """Host of the owners' consent, without /oauth2."""
    monitoring_url: str = Field(default_factory=_host("monitoring_url"))
    """Base of the Monitoring API, with its /monitoring/v1 or /v1."""
    grant: Literal["custom", "code"] = "custom"
    """How owners consent: asked by the client (custom) or in a browser (code); a client has one of them."""
    owners: tuple[Email, ...] = ()
    """E-mail addresses of the owners to ask (custom grant)."""
    timeout_seconds: Number = Field(default=45.0, gt=0)
    """Longest wait for one whole answer, in seconds."""
    client_id: Secret | None = None
    """Client id; better in HARVESTER_SMA__CLIENT_ID, or in a file named by HARVESTER_SMA__CLIENT_ID_FILE."""
    client_secret: Secret | None = None
    """Client secret; better in HARVESTER_SMA__CLIENT_SECRET, or in a file named by the same with _FILE."""

    @field_validator("auth_url", "consent_url", "monitoring_url")
    @classmethod
    def _address(cls, url: str, info: ValidationInfo) -> str:
        return web_address(url, plain=info.data.get("allow_http", False))

    @field_validator("owners")
    @classmethod
    def _owner_of_the_local_sandbox(cls, owners: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        return owners or ((LOCAL_OWNER,) if info.data.get("environment") == "local" else ())

    def credentials(self) -> Credentials:
        """Return the client's credentials; raise `ConfigError` naming the variables that are missing."""
        default = SecretStr(LOCAL_CREDENTIAL) if self.environment == "local" else None
        client_id, client_secret = self.client_id or default, self.client_secret or default
        if client_id is None or client_secret is None:
            raise _no_credentials(self.environment, {"client_id": client_id, "client_secret": client_secret})
        return Credentials(client_id.get_secret_value(), client_secret.get_secret_value())


def _no_credentials(environment: str, values: Mapping[str, SecretStr | None]) -> ConfigError:
    names = [name for name, value in values.items() if value is None]
    missing = {f"sma.{name}": f"HARVESTER_SMA__{name.upper()}" for name in names}
    return ConfigError(
        f'environment "{environment}" needs a client: set {" and ".join(missing.values())},'
        " or the same with _FILE to name a file",
        problems={key: f"must be set in {name} or {name}_FILE" for key, name in missing.items()},
    )


class Rate(Section):
    """How fast SMA may be asked: one budget for each client id."""

    requests: Count | None = Field(default=None, ge=1)
    """Requests per window that the package allows; absent: learn it."""
    window_seconds: Number = Field(default=300.0, gt=0)
    """Length of the window in seconds."""
    concurrency: Count = Field(default=16, ge=1, le=256)
    """Requests in flight at most."""


class Lake(Section):
    """Where the data go."""

    root: Annotated[Path, BeforeValidator(local_folder)] = Path("../storage/data/lake")
    """Folder of the lake; relative to this file."""
    plants_per_file: Count = Field(default=100, ge=1, le=10_000)
    """Plants that share one file of a table and day; fixed once a lake exists."""
    publish_seconds: Number = Field(default=300.0, ge=1)
    """Files of the running day are written again after this many seconds at the earliest."""


class Raw(Section):
    """Answers as they came, below the lake's own folder: what `replay` makes tables of without asking again."""

    keep: Literal["settled", "none"] = "settled"
    """Which answers are kept, compressed: those that settled a day, or none."""


class Ledger(Section):
    """Where the harvester remembers what it asked and what came."""

    url: Annotated[str, AfterValidator(sqlite_address)] = f"{SQLITE}../storage/data/ledger.db"
    """sqlite:///FILE, relative to this file, or sqlite:////FILE from the root."""

    @property
    def path(self) -> Path:
        """The SQLite file."""
        return Path(self.url.removeprefix(SQLITE))


class Harvest(Section):
    """What is harvested, and how far back."""

    sets: tuple[Name, ...] = ()
    """Measurement sets to ask; empty: every one that the API offers."""
    exclude_sets: tuple[Name, ...] = ()
    """Measurement sets never to ask."""
    plants: tuple[Name, ...] = ()
    """Plant ids to ask; empty: every one that an owner shares."""
    exclude_plants: tuple[Name, ...] = ()
    """Plant ids never to ask."""
    since: Start = Since.parse("7d")
    """How far back run and daemon go by themselves: "7d", a date, or "start" (the plant's start-up)."""
    live_sets: tuple[Name, ...] = ("EnergyBalance",)
    """Measurement sets that are asked all day; the others once a day."""
    settle_days: Number = Field(default=3.0, ge=0)
    """A past day is settled once a read begun this many days after its local end succeeded."""


class Schedule(Section):
    """When the daemon does what: an interval ("5m", "2h", "1d") or a five-field cron in UTC."""

    live: When = Cadence.parse("5m")
    """Ask the running day of the live sets."""
    settle: When = Cadence.parse("1h")
    """Ask past days until they are settled."""
    backfill: When = Cadence.parse("1h")
    """Ask the days since `harvest.since` that were never asked."""
    discover: When = Cadence.parse("6h")
    """Look for new plants, devices and measurement sets."""
    consent: When = Cadence.parse("1h")
    """Read how the owners answered."""
    repair: When = Cadence.parse("6h")
    """Ask again what failed."""
    housekeeping: When = Cadence.parse("1d")
    """Tidy the ledger and the lake's own folder."""
