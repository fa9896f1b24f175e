"""The configuration: one frozen value, made of flags, variables, secret files, a TOML file and defaults.

Sole importer of pydantic-settings. Nobody else reads a variable or a configuration file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from harvester.config import sources as sources
from harvester.config.daemon import Alerts, Vault, Web
from harvester.config.sections import (
    LOCAL_OWNER,
    Credentials,
    Harvest,
    Lake,
    Ledger,
    Rate,
    Raw,
    Schedule,
    Secret,
    Sma,
)
from harvester.config.sources import Key, Layer
from harvester.config.values import SQLITE, Cadence, Since

__all__ = [
    "LOCAL_OWNER",
    "Alerts",
    "Cadence",
    "Config",
    "Credentials",
    "Harvest",
    "Lake",
    "Ledger",
    "Rate",
    "Raw",
    "Schedule",
    "Since",
    "Sma",
    "Vault",
    "Web",
    "json_schema",
    "load",
    "show",
]

SECRETS: tuple[Key, ...] = (
    ("sma", "client_id"),
    ("sma", "client_secret"),
    ("web", "operator_password"),
    ("alerts", "webhook_url"),
    ("vault", "key"),
)


class Config(BaseSettings):
    """Every setting of one harvester."""

    model_config = SettingsConfigDict(
        env_prefix=sources.PREFIX,
        env_nested_delimiter=sources.DELIMITER,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    sma: Sma = Field(default_factory=Sma)
    rate: Rate = Field(default_factory=Rate)
    lake: Lake = Field(default_factory=Lake)
    raw: Raw = Field(default_factory=Raw)
    ledger: Ledger = Field(default_factory=Ledger)
    harvest: Harvest = Field(default_factory=Harvest)
    schedule: Schedule = Field(default_factory=Schedule)
    web: Web = Field(default_factory=Web)
    alerts: Alerts = Field(default_factory=Alerts)
    vault: Vault = Field(default_factory=Vault)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what is handed in and nothing else: `load` reads the sources."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


class _Environment(EnvSettingsSource):
    """Variables of a mapping that is handed in; all but text is written as JSON."""

    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__(Config)
        self.env_vars = {name.lower(): value for name, value in names.items()}

    def field_is_complex(self, field: FieldInfo) -> bool:
        return field.annotation not in (str, Path, SecretStr, Secret | None)

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Decode JSON; leave anything else to the validation, which names it together with other mistakes."""
        del field_name, field
        try:
            return json.loads(value)
        except ValueError:
            return value


KEYS: Mapping[str, tuple[str, ...]] = {name: tuple(type(each).model_fields) for name, each in Config()}
"""The keys of each section."""


def load(
    path: Path | None, *, environ: Mapping[str, str], flags: Mapping[str, object] = MappingProxyType({})
) -> Config:
    """Return the configuration of *path*, *environ* and *flags* (``{"harvest.since": "7d"}``).

    Strongest first: flags, variables, files of secrets, the TOML file at *path*, defaults.
    Raises `ConfigError` with every problem at once.
    """
    names = sources.variables(environ, KEYS)
    files, problems = sources.from_secret_files(names, SECRETS)
    plain = {name: value for name, value in names.items() if name not in sources.file_variables(SECRETS)}
    layers: list[Layer] = [
        sources.from_flags(flags),
        sources.from_environment(_Environment(plain)()),
        files,
        sources.from_toml(path) if path else {},
    ]
    problems |= sources.given_twice(layers, SECRETS)
    layer = sources.merged(layers)
    problems |= {key[:1]: sources.unknown(key[:1], KEYS) for key in layer if key[0] not in KEYS}
    config, errors = _validated(layer)
    texts = {sources.dotted(key): text for key, text in problems.items()}
    texts |= {sources.dotted(error["loc"]): _wording(error, layer) for error in errors}
    if config is None or texts:
        raise sources.refused(path, texts)
    return _anchored(config, path.absolute().parent if path else Path.cwd())


def _validated(layer: Layer) -> tuple[Config | None, list[ErrorDetails]]:
    given = {name: value for name, value in sources.sections_of(layer).items() if name in KEYS}
    # The error of pydantic holds every value, secrets too: it must not become the context of ours.
    try:
        return Config.model_validate(given), []
    except ValidationError as error:
        # A URL is missing only because the environment that decides it is wrong: that is one mistake.
        return None, [each for each in error.errors() if each["type"] != "default_factory_not_called"]


_WORDS = {
    "model_type": "must be a section of keys",
    "model_attributes_type": "must be a section of keys",
    "string_too_short": "must not be empty",
    "string_type": "must be text in quotes",
    "too_short": "must not be empty",
    "tuple_type": 'must be a list: ["...", "..."]',
}


def _wording(error: ErrorDetails, layer: Layer) -> str:
    """Tell a person what was given, where, and what would be right."""
    key = tuple(str(step) for step in error["loc"][:2])
    place = layer[key].place if key in layer else ""
    where = f" ({place})" if place.startswith(("flag ", sources.PREFIX)) else ""
    if error["type"] == "extra_forbidden":
        return sources.unknown(key, KEYS) + where
    message = error["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    right = _WORDS.get(error["type"], message)
    # A key's value where a section belongs may be a secret as well.
    hidden = key in SECRETS or len(key) == 1
    given = "" if hidden else f"given {_shown(error['input'])}; "
    return given + right + where


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return re.sub(r"//[^\s\"]*@", "//***@", text)[:80]


def _anchored(config: Config, folder: Path) -> Config:
    """Return *config* with its relative paths made absolute from *folder*."""
    # The folder is the one the file was named in: Kubernetes mounts a file as a link into a passing folder.
    root = (folder / config.lake.root).resolve()
    url = f"{SQLITE}{(folder / config.ledger.path).resolve()}"
    return config.model_copy(
        update={
            "lake": config.lake.model_copy(update={"root": root}),
            "ledger": config.ledger.model_copy(update={"url": url}),
        }
    )


def show(config: Config) -> Mapping[str, Mapping[str, object]]:
    """Return the settings in force as plain sections, secrets masked."""
    return config.model_dump(mode="json")


class _Schema(GenerateJsonSchema):
    """Defaults as a file spells them, and no titles: they repeat the keys."""

    def encode_default(self, dft: Any) -> Any:
        return str(dft) if isinstance(dft, Since | Cadence) else super().encode_default(dft)

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a configuration file."""
    schema = Config.model_json_schema(schema_generator=_Schema)
    return {"$schema": _Schema.schema_dialect, **schema}
