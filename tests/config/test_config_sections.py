"""The sections: clouds, owners and credentials, lake and ledger."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from harvester.config import KEYS, Config, load
from harvester.errors import ConfigError

Write = Callable[[str], Path]

WEBHOOK = "alerts.webhook_url"
URLS = ("sma.auth_url", "sma.consent_url", "sma.monitoring_url", "web.public_url", WEBHOOK)
"""Every address that a configuration holds."""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a configuration file."""

    def _write(text: str) -> Path:
        path = tmp_path / "harvester.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return _write


def value(config: Config, key: str) -> str:
    """Return a URL of *config*, a secret one in the clear."""
    section, _, name = key.partition(".")
    found = getattr(getattr(config, section), name)
    return found.get_secret_value() if isinstance(found, SecretStr) else found


def problems(flags: Mapping[str, object]) -> dict[str, str]:
    """Return what is wrong with flags that are refused."""
    with pytest.raises(ConfigError) as caught:
        load(None, environ={}, flags=flags)
    return caught.value.problems


def test_every_address_is_looked_at() -> None:
    """A URL that is added to the configuration has to keep the rule of the others."""
    keys = {f"{section}.{key}" for section, names in KEYS.items() for key in names if key.endswith("_url")}

    assert keys == set(URLS)


class TestSma:
    """The URLs and the owners."""

    @pytest.mark.parametrize(
        ("environment", "auth", "consent", "monitoring"),
        [
            (
                "local",
                "http://127.0.0.1:8642",
                "http://127.0.0.1:8642",
                "http://127.0.0.1:8642/monitoring/v1",
            ),
            (
                "sandbox",
                "https://sandbox-auth.smaapis.de",
                "https://sandbox.smaapis.de",
                "https://sandbox.smaapis.de/monitoring/v1",
            ),
            (
                "production",
                "https://auth.smaapis.de",
                "https://async-auth.smaapis.de",
                "https://monitoring.smaapis.de/v1",
            ),
        ],
    )
    def test_the_environment_sets_them(self, environment: str, auth: str, consent: str, monitoring: str) -> None:
        """One word chooses the cloud."""
        sma = load(None, environ={}, flags={"sma.environment": environment}).sma

        assert (sma.auth_url, sma.consent_url, sma.monitoring_url) == (auth, consent, monitoring)

    def test_each_may_be_overridden_alone(self) -> None:
        """An override loses its trailing slash and leaves the others."""
        flags = {"sma.environment": "sandbox", "sma.monitoring_url": "http://localhost:9/v1/"}

        sma = load(None, environ={}, flags=flags).sma

        assert sma.monitoring_url == "http://localhost:9/v1"
        assert sma.auth_url == "https://sandbox-auth.smaapis.de"

    @pytest.mark.parametrize("key", URLS)
    @pytest.mark.parametrize("url", ["http://127.0.0.7:1", "http://localhost", "http://[::1]:80", "https://a.b"])
    def test_plain_http_within_this_machine(self, key: str, url: str) -> None:
        """What never leaves the machine needs no TLS."""
        assert value(load(None, environ={}, flags={key: url}), key) == url

    @pytest.mark.parametrize("key", URLS)
    @pytest.mark.parametrize(
        ("url", "right"),
        [
            ("http://sma.example", "plain http would show"),
            ("http://10.0.0.1", "plain http would show"),
            ("http://0.0.0.0", "plain http would show"),
            ("http://127.0.0.1.example.org", "plain http would show"),
            ("http://localhost.example.org/x", "plain http would show"),
            ("ftp://host", "must be a URL that begins with https://"),
            ("auth.smaapis.de", "must be a URL that begins with https://"),
            ("https://", "must be a URL that begins with https://"),
            ("https://[::1", "must be a URL like https://host/path"),
            ("https://host:port", "must be a URL like https://host/path"),
            ("https://user@host", "must be a plain URL"),
            ("https://host#x", "must be a plain URL"),
            ("https://host/a b", "must be a plain URL"),
        ],
    )
    def test_other_urls_are_refused(self, key: str, url: str, right: str) -> None:
        """Every URL is https, or http on this machine, and nothing but host and path."""
        assert right in problems({key: url})[key]

    @pytest.mark.parametrize("key", [key for key in URLS if key != WEBHOOK])
    def test_a_query_is_refused(self, key: str) -> None:
        """What is asked is appended to a base."""
        assert "no query" in problems({key: "https://host?x=1"})[key]

    @pytest.mark.parametrize("key", [key for key in URLS if key.startswith("sma.")])
    def test_plain_http_beyond_this_machine_has_to_be_allowed(self, key: str) -> None:
        """By a switch of its own, which says what it costs; everything else stays as strict as it was."""
        url = "http://sma.internal:8642"
        allowed = load(None, environ={"HARVESTER_SMA__ALLOW_HTTP": "true"}, flags={key: url})

        assert value(allowed, key) == url
        assert list(problems({key: url, "sma.allow_http": False})) == [key]
        assert list(problems({key: "http://user@sma.internal", "sma.allow_http": True})) == [key]
        assert "boolean" in problems({"sma.allow_http": "yes"})["sma.allow_http"]

    @pytest.mark.parametrize("key", [key for key in URLS if not key.startswith("sma.")])
    def test_the_switch_is_for_sma_alone(self, key: str) -> None:
        """Neither the webhook's secret nor an owner's browser goes through the network in the clear."""
        found = problems({key: "http://host.internal/t0ken", "sma.allow_http": True})

        assert list(found) == [key]
        assert "t0ken" not in found[key] or key != WEBHOOK

    def test_a_webhook_may_have_a_query_and_stays_as_it_is(self) -> None:
        """Some services keep their secret there; a slash at the end belongs to it as well."""
        url = "https://hooks.example.org/a/?key=t0ken&x=/"

        assert value(load(None, environ={}, flags={WEBHOOK: url}), WEBHOOK) == url

    def test_owners_only_the_local_sandbox_knows(self) -> None:
        """The invented owner is asked nowhere else, and not beside real ones."""
        assert load(None, environ={}).sma.owners == ("owner@example.org",)
        assert load(None, environ={}, flags={"sma.owners": ["a@b.org"]}).sma.owners == ("a@b.org",)
        assert load(None, environ={}, flags={"sma.environment": "production"}).sma.owners == ()


class TestPaths:
    """Lake and ledger: where, and relative to what."""

    def test_relative_to_the_file(self, write: Write, tmp_path: Path) -> None:
        """A configuration means the same from every working folder."""
        path = write('[lake]\nroot = "../lake"\n[ledger]\nurl = "sqlite:///state/l.db"')

        config = load(path, environ={})

        assert config.lake.root == tmp_path.parent / "lake"
        assert config.ledger.url == f"sqlite:///{tmp_path}/state/l.db"
        assert config.ledger.path == tmp_path / "state/l.db"

    def test_relative_to_the_folder_of_the_link(self, tmp_path: Path) -> None:
        """A mounted file may be a link into a folder that passes; the folder of the link stays."""
        (tmp_path / "..data").mkdir()
        (tmp_path / "..data/h.toml").write_text('[lake]\nroot = "lake"', encoding="utf-8")
        (tmp_path / "h.toml").symlink_to("..data/h.toml")

        assert load(tmp_path / "h.toml", environ={}).lake.root == tmp_path / "lake"

    def test_relative_to_the_current_folder_without_a_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without a file the working folder is all there is."""
        monkeypatch.chdir(tmp_path)

        assert load(None, environ={"HARVESTER_LAKE__ROOT": "lake"}).lake.root == tmp_path / "lake"

    def test_absolute_ones_stay(self, write: Write) -> None:
        """An absolute path is taken as it stands, a file URL as the path it names."""
        path = write('[lake]\nroot = "file:///srv/my%20lake"\n[ledger]\nurl = "sqlite:////srv/l.db"')

        config = load(path, environ={})

        assert config.lake.root == Path("/srv/my lake")
        assert config.ledger.path == Path("/srv/l.db")

    @pytest.mark.parametrize(
        "root",
        [
            "s3://bucket/lake",
            "gs://x",
            "file://host/x",
            "file://",
            Path("s3://x"),
            "~/lake",
            "",
            3,
            "a\0",
            "\ud800",
            "file:///a%00b",
        ],
    )
    def test_other_storage_is_refused(self, root: object) -> None:
        """A lake is a folder of this machine."""
        assert "must be" in problems({"lake.root": root})["lake.root"]

    @pytest.mark.parametrize(
        "url",
        [
            "postgresql://h/db",
            "sqlite://",
            "sqlite:///",
            "sqlite:///:memory:",
            "sqlite:///l.db?mode=ro",
            "l.db",
        ],
    )
    def test_other_ledgers_are_refused(self, url: str) -> None:
        """A ledger is an SQLite file: it must survive a restart."""
        assert "sqlite:///" in problems({"ledger.url": url})["ledger.url"]
