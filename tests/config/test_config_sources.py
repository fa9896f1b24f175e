"""Secrets: given once, from a variable, a file or TOML; never shown."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from harvester.config import Config, load, show
from harvester.errors import ConfigError

HUSH = "hunter2-hunter2"

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a configuration file."""

    def _write(text: str) -> Path:
        path = tmp_path / "harvester.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return _write


def problems(
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> dict[str, str]:
    """Return what is wrong with a configuration that is refused."""
    with pytest.raises(ConfigError) as caught:
        load(path, environ=environ or {}, flags=flags or {})
    return caught.value.problems


class TestSecrets:
    """Given once, from a variable, a file or TOML; never shown."""

    def test_from_a_file_without_the_blanks_around_it(self, tmp_path: Path) -> None:
        """The newline at the end of a file is no part of a secret."""
        file = tmp_path / "secret"
        file.write_text(f" {HUSH}\n", encoding="utf-8")

        config = load(None, environ={"HARVESTER_SMA__CLIENT_SECRET_FILE": str(file)})

        assert config.sma.credentials().client_secret == HUSH

    @pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe"])
    def test_a_file_without_text_is_refused(self, tmp_path: Path, content: bytes) -> None:
        """A file that a secret was never written to is a mistake, not an empty secret."""
        file = tmp_path / "secret"
        file.write_bytes(content)

        found = problems(environ={"HARVESTER_SMA__CLIENT_SECRET_FILE": str(file)})

        assert found == {"sma.client_secret": "the file that HARVESTER_SMA__CLIENT_SECRET_FILE names must hold text"}

    def test_a_secret_in_place_of_its_file_is_not_shown(self) -> None:
        """A path that does not exist may be the secret, put into the wrong variable."""
        found = problems(environ={"HARVESTER_SMA__CLIENT_ID_FILE": HUSH})

        assert found == {
            "sma.client_id": "the file that HARVESTER_SMA__CLIENT_ID_FILE names cannot be read:"
            " No such file or directory"
        }

    @pytest.mark.parametrize("pair", [("toml", "env"), ("toml", "file"), ("env", "file"), ("flag", "env")])
    def test_given_twice_is_refused_with_both_places(self, write: Write, tmp_path: Path, pair: tuple[str, str]) -> None:
        """Two places for one secret leave open which one is meant."""
        (tmp_path / "secret").write_text(HUSH, encoding="utf-8")
        toml = write(f'[sma]\nclient_secret = "{HUSH}"')
        name = "HARVESTER_SMA__CLIENT_SECRET"
        environ = {"env": {name: HUSH}, "file": {f"{name}_FILE": str(tmp_path / "secret")}}
        places = {"toml": str(toml), "env": name, "file": f"{name}_FILE", "flag": "flag sma.client_secret"}

        found = problems(
            toml if "toml" in pair else None,
            {**environ.get(pair[0], {}), **environ.get(pair[1], {})},
            {"sma.client_secret": HUSH} if "flag" in pair else {},
        )

        assert list(found) == ["sma.client_secret"]
        assert all(places[each] in found["sma.client_secret"] for each in pair)
        assert HUSH not in str(found)

    def test_only_secrets_come_from_files(self) -> None:
        """There is no file variable for other keys."""
        found = problems(environ={"HARVESTER_LAKE__ROOT_FILE": "/run/root"})

        assert found == {"lake.root_file": "unknown key; did you mean root? (HARVESTER_LAKE__ROOT_FILE)"}

    def test_never_in_a_text_of_the_configuration(self) -> None:
        """repr, str, show and a dump mask them."""
        environ = {"HARVESTER_SMA__CLIENT_ID": HUSH, "HARVESTER_SMA__CLIENT_SECRET": HUSH}
        config = load(None, environ=environ)

        texts = [repr(config), str(config), str(show(config)), config.model_dump_json()]

        assert not any(HUSH in text for text in [*texts, repr(config.sma.credentials())])
        assert show(config)["sma"]["client_secret"] == "**********"

    @pytest.mark.parametrize(
        "toml",
        [
            f'[sma]\nclient_secert = "{HUSH}"',
            f'[sma]\nclient_secret = ["{HUSH}"]',
            f'[sma]\nclient_secret = {{x = "{HUSH}"}}',
            f'sma = "{HUSH}"',
            f'client_secret = "{HUSH}"',
            f'[sam]\nclient_secret = "{HUSH}"',
            f'[sma]\nauth_url = "https://user:{HUSH}@host"',
            f'[sma]\nauth_url = "https://user:{HUSH}/x@host"',
            f'[ledger]\nurl = "postgresql://user:{HUSH}@host/db"',
            f'[lake]\nroot = "s3://user:{HUSH}@bucket"',
            f'[sma]\nclient_secret = "{HUSH}"\nenvironment = 3',
        ],
    )
    def test_never_in_an_error(self, write: Write, toml: str) -> None:
        """Neither the text nor the chain of a refusal holds a secret, however it was misplaced."""
        with pytest.raises(ConfigError) as caught:
            load(write(toml), environ={})

        assert HUSH not in str(caught.value) + repr(caught.value.problems)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None

    def test_never_in_an_error_of_the_model(self) -> None:
        """Whoever builds a section directly is told the key, not the value."""
        with pytest.raises(ValidationError) as caught:
            Config.model_validate({"sma": {"client_secret": [HUSH]}})

        assert HUSH not in str(caught.value)

    @pytest.mark.parametrize("environment", ["sandbox", "production"])
    def test_missing_ones_are_named_when_they_are_needed(self, environment: str) -> None:
        """A configuration without credentials loads; asking for them names the variables."""
        environ = {"HARVESTER_SMA__ENVIRONMENT": environment, "HARVESTER_SMA__CLIENT_ID": "x"}
        sma = load(None, environ=environ).sma

        with pytest.raises(ConfigError, match="HARVESTER_SMA__CLIENT_SECRET") as caught:
            sma.credentials()

        assert list(caught.value.problems) == ["sma.client_secret"]

    def test_the_local_sandbox_has_its_own(self) -> None:
        """Nobody needs an account to try the harvester."""
        credentials = load(None, environ={}).sma.credentials()

        assert (credentials.client_id, credentials.client_secret) == ("local-sandbox", "local-sandbox")
