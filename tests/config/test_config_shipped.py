"""The files under config/ say what the code says."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from harvester.config import KEYS, SECRETS, json_schema, load, show

SHIPPED = Path(__file__).parents[2] / "config"


class TestShipped:
    """The files under config/ say what the code says."""

    @pytest.mark.parametrize("name", ["harvester", "sma-sandbox", "production"])
    def test_each_loads_without_a_secret(self, name: str) -> None:
        """No shipped file holds a secret, and each is whole without one."""
        config = load(SHIPPED / f"{name}.toml", environ={})

        assert config.sma.client_id is None
        assert config.sma.client_secret is None

    def test_the_default_file_changes_nothing(self) -> None:
        """harvester.toml spells the defaults, and keeps lake and ledger in the checkout's storage."""
        config = load(SHIPPED / "harvester.toml", environ={})

        assert show(config) == {
            **show(load(None, environ={})),
            "lake": show(config)["lake"],
            "ledger": show(config)["ledger"],
        }
        assert config.lake.root == SHIPPED.parent / "storage/data/lake"
        assert config.ledger.path == SHIPPED.parent / "storage/data/ledger.db"

    def test_the_default_file_names_every_key_with_its_default(self) -> None:
        """A key without a plain default stands in a comment, an example of it."""
        text = (SHIPPED / "harvester.toml").read_text(encoding="utf-8")
        written = tomllib.loads(re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE))
        schema = json_schema()

        for section, keys in KEYS.items():
            declared = schema["$defs"][section.capitalize()]["properties"]
            assert set(written[section]) == set(keys) - {key for name, key in SECRETS if name == section}
            for key, value in tomllib.loads(text)[section].items():
                assert value == declared[key]["default"], key
        assert all(re.search(rf"^# .*\b{key}\b", text, re.MULTILINE) for _, key in SECRETS)

    def test_every_key_of_the_default_file_has_its_comment(self) -> None:
        """The line before a key, or before its commented example, says what it is."""
        lines = (SHIPPED / "harvester.toml").read_text(encoding="utf-8").splitlines()
        keys = [number for number, line in enumerate(lines) if re.match(r"(# )?\w+ = ", line)]

        assert all(re.match(r"# \S+ (?!= )", lines[number - 1]) for number in keys)

    def test_the_others_hold_only_differences(self) -> None:
        """SMA's clouds have a lake and a ledger of their own."""
        default = load(SHIPPED / "harvester.toml", environ={})
        sandbox = load(SHIPPED / "sma-sandbox.toml", environ={})
        production = load(SHIPPED / "production.toml", environ={})

        assert sandbox.sma.environment == "sandbox"
        assert sandbox.sma.owners == ("apiTestUser@apiSandbox.com",)
        assert sandbox.lake.root == SHIPPED.parent / "storage/data/sma-sandbox"
        assert production.sma.environment == "production"
        assert len({each.lake.root for each in (default, sandbox, production)}) == 3
        assert len({each.ledger.path for each in (default, sandbox, production)}) == 3
        assert default.harvest == sandbox.harvest == production.harvest

    def test_the_schema_is_what_the_code_prints(self) -> None:
        """Editors validate against the code's own rules."""
        printed = json.loads((SHIPPED / "harvester.schema.json").read_text(encoding="utf-8"))

        assert printed == json_schema()

    def test_the_schema_describes_every_key(self) -> None:
        """Each key has a description; sections take no others."""
        schema = json_schema()

        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert schema["$defs"]["Sma"]["properties"]["environment"]["enum"] == [
            "local",
            "sandbox",
            "production",
        ]
        assert schema["$defs"]["Harvest"]["properties"]["since"]["default"] == "7d"
        for section in schema["$defs"].values():
            assert section["additionalProperties"] is False
            assert all(key["description"] for key in section["properties"].values())

    def test_the_example_of_secrets_names_the_variables_and_holds_none(self) -> None:
        """The names in the example are the ones that are read, and have no values."""
        text = (SHIPPED / "secrets.env.example").read_text(encoding="utf-8")
        names = re.findall(r"^#? ?(HARVESTER_\w+)=(.*)$", text, flags=re.MULTILINE)

        assert {name for name, _ in names} == {
            f"HARVESTER_SMA__{key}{suffix}" for key in ("CLIENT_ID", "CLIENT_SECRET") for suffix in ("", "_FILE")
        }
        assert {value for _, value in names} == {""}
