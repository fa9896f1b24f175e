"""The sections of the configuration that a daemon needs: what it shows, whom it calls, how it keeps secrets."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from harvester.config.sections import Count, Number, Secret, Section, Url
from harvester.config.values import listen_address, public_address, webhook_address

Listen = Annotated[str, AfterValidator(listen_address)]


class Web(Section):
    """Two listeners: one for plant owners, one for the operator; "off" or nothing opens none."""

    public: Listen = ""
    """HOST:PORT for plant owners (code grant): the Connect SMA button and SMA's way back, nothing else."""
    public_url: Annotated[Url, AfterValidator(public_address)] | None = None
    """Address under which owners reach it; SMA must know {public_url}/callback as the client's redirect URI."""
    operator: Listen = "127.0.0.1:8651"
    """HOST:PORT for the operator: metrics, health, coverage; shard 2/n takes the next port, and so on. Beyond this
    machine only with a password."""
    operator_password: Secret | None = None
    """Password of the user "operator"; better in HARVESTER_WEB__OPERATOR_PASSWORD, or the same with _FILE."""

    @model_validator(mode="after")
    def _protected(self) -> Web:
        if self.operator and not self.operator_is_local and self.operator_password is None:
            raise ValueError("operator: beyond this machine it needs HARVESTER_WEB__OPERATOR_PASSWORD")
        if self.public and self.public_url is None:
            raise ValueError("public_url: owners need the address under which they reach web.public")
        return self

    def operator_of(self, shard: int) -> str:
        """Return the operator's HOST:PORT of the *shard*-th of several daemons: one port after the other."""
        host, _, port = self.operator.rpartition(":")
        return f"{host}:{int(port) + shard - 1}" if port and int(port) else self.operator

    @property
    def operator_is_local(self) -> bool:
        """Whether only this machine reaches the operator's pages."""
        return self.operator.rpartition(":")[0] in {"127.0.0.1", "localhost", "[::1]"}


class Alerts(Section):
    """What needs a person is sent to a webhook, once when it begins and once when it is over."""

    webhook_url: Secret | None = None
    """Address that takes a JSON body by POST, https or on this machine; better in HARVESTER_ALERTS__WEBHOOK_URL, or
    the same with _FILE."""
    stale_hours: Number = Field(default=24.0, gt=0)
    """A plant whose newest row is older than this is stale."""
    pending_days: Number = Field(default=3.0, gt=0)
    """An owner who has not answered for so long is named."""
    disk_free_percent: Number = Field(default=10.0, gt=0, lt=100)
    """Less free space than this share of the lake's disk is too little."""
    silence_windows: Count = Field(default=3, ge=1)
    """So many budget windows without one answer from SMA mean that it cannot be reached."""

    @field_validator("webhook_url")
    @classmethod
    def _unseen(cls, url: SecretStr | None) -> SecretStr | None:
        return None if url is None else SecretStr(webhook_address(url.get_secret_value()))


class Vault(Section):
    """How tokens are kept at rest: AES-256-GCM, with a key that never lies beside them."""

    key: Secret | None = None
    """Keys of 32 bytes in base64, newest first, with commas; in HARVESTER_VAULT__KEY, or the same with _FILE."""
