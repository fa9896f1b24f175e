"""`harvester init`: by options, at a terminal, and where it refuses; what it writes says what was answered."""

import asyncio
import os
import pty
import re
import select
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from running import Command, command

from harvester.config import KEYS, SECRETS, Config, json_schema, load
from harvester.ops.commented import commented
from harvester.ops.initial import initialise

OWNER = "anna@example.org"
PATIENCE = 30.0
"""Seconds that a command may take for its next word."""


def written(file: Path) -> Config:
    """Return the configuration that *file* makes by itself."""
    return load(file, environ={})


def active(file: Path) -> set[str]:
    """Return the keys that *file* sets."""
    document = tomllib.loads(file.read_text())
    return {f"{section}.{key}" for section, keys in document.items() for key in keys}


async def typed(folder: Path, *arguments: str) -> Command:
    """Run the command in *folder*, away from any terminal."""
    return await command({**bare(), "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(folder)}, *arguments)


def bare() -> dict[str, str]:
    """Return the environment without what configures a harvester."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HARVESTER_")}


class TestWithoutATerminal:
    """Options and defaults."""

    async def test_all_of_it_by_options(self, tmp_path: Path) -> None:
        """What was given is in force and active, nothing else is; the next steps are printed; no prompt."""
        file = tmp_path / "etc" / "harvester.toml"
        options = (
            *("--environment", "production", "--grant", "custom", "--owner", OWNER, "--since", "2025-01-31"),
            *("--requests", "900", "--lake", str(tmp_path / "data"), "--ledger", str(tmp_path / "etc" / "book.db")),
        )
        told = await typed(tmp_path, "init", str(file), *options)
        config = written(file)

        assert told.code == 0, told.err
        assert config.sma.environment == "production"
        assert config.sma.owners == (OWNER,)
        assert str(config.harvest.since) == "2025-01-31"
        assert config.rate.requests == 900
        assert config.lake.root == tmp_path / "data"
        assert config.ledger.path == tmp_path / "etc" / "book.db"
        assert active(file) == {
            *("sma.environment", "sma.owners", "harvest.since", "rate.requests", "lake.root", "ledger.url")
        }
        assert 'url = "sqlite:///book.db"' in file.read_text()
        assert "HARVESTER_SMA__CLIENT_SECRET" in told.out
        assert f"harvester --config {file} doctor" in told.out
        assert stat.S_IMODE(file.stat().st_mode) == 0o644
        assert [each.name for each in file.parent.iterdir()] == ["harvester.toml"]

    async def test_defaults_make_a_harvester_of_the_local_sandbox(self, tmp_path: Path) -> None:
        """No option at all is enough for it: lake and ledger lie beside the file."""
        told = await typed(tmp_path, "init", str(tmp_path / "mine.toml"))
        config = written(tmp_path / "mine.toml")

        assert told.code == 0, told.err
        assert config.sma == load(None, environ={}).sma
        assert (config.lake.root, config.ledger.path) == (tmp_path / "lake", tmp_path / "ledger.db")
        assert "harvester sandbox" in told.out

    async def test_what_has_no_default_is_named(self, tmp_path: Path) -> None:
        """2, the option, nothing written: owners of a production, the address of a page for owners."""
        file = tmp_path / "harvester.toml"
        owners, page = await asyncio.gather(
            typed(tmp_path, "init", str(file), "--environment", "production"),
            typed(tmp_path, "init", str(file), "--environment", "production", "--grant", "code", "--yes"),
        )

        assert (owners.code, page.code) == (2, 2)
        assert "--owner is missing" in owners.err
        assert "--public-url is missing" in page.err
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ({"sma.owners": "anna"}, "--owner: given .*must be an e-mail address"),
            ({"harvest.since": "yesterday"}, r'--since: given "yesterday"; must be a number of days \("7d"\)'),
            ({"rate.requests": "many"}, '--requests: given "many"; '),
            ({"rate.requests": "0"}, "--requests: given 0; "),
            ({"lake.root": "s3://bucket/lake"}, "--lake: .*not supported"),
            ({"ledger.url": "postgresql://host/db"}, "--ledger: .*SQLite is the only ledger"),
            ({"web.public_url": "https://x.example.org"}, "--public-url does not go with the other answers"),
            ({"sma.grant": "code", "web.public_url": "http://connect.example.org"}, "--public-url: .*https://"),
        ],
    )
    def test_a_wrong_answer_is_refused_with_what_would_be_right(
        self, tmp_path: Path, given: dict[str, str], words: str
    ) -> None:
        """The option, the settings model's own words, and nothing is written."""
        file = tmp_path / "harvester.toml"
        with pytest.raises(Exception, match=words) as refused:
            initialise(file, given, None, force=False)

        assert getattr(refused.value, "exit_code", None) == 2
        assert "flag" not in str(refused.value)
        assert list(tmp_path.iterdir()) == []

    def test_nothing_is_replaced_without_force(self, tmp_path: Path) -> None:
        """A file that is there stays to the byte; --force replaces it whole."""
        file = tmp_path / "harvester.toml"
        file.write_text("[sma]\ntimeout_seconds = 7\n")
        with pytest.raises(Exception, match=r"exists already.*--force"):
            initialise(file, {}, None, force=False)
        before = file.read_text()
        initialise(file, {"harvest.since": "30d"}, None, force=True)

        assert before == "[sma]\ntimeout_seconds = 7\n"
        assert active(file) == {"harvest.since", "lake.root", "ledger.url"}

    def test_where_nothing_can_be_written(self, tmp_path: Path) -> None:
        """A path below a file: 2, with the path and the system's reason, not a word of lakes."""
        (tmp_path / "file").write_text("")
        with pytest.raises(Exception, match=r"file/harvester.toml cannot be written: .*file is no folder") as refused:
            initialise(tmp_path / "file" / "harvester.toml", {}, None, force=False)

        assert getattr(refused.value, "exit_code", None) == 2

    def test_a_service_keeps_its_data_where_services_do(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A configuration of the system's has its lake below /var/lib; a person's has it beside itself."""
        monkeypatch.setattr("harvester.ops.interview.SYSTEM", tmp_path)
        file = tmp_path / "sma-harvester" / "harvester.toml"
        initialise(file, {}, None, force=False)

        assert written(file).lake.root == Path("/var/lib/harvester/lake")
        assert written(file).ledger.path == Path("/var/lib/harvester/ledger.db")


class TestComments:
    """What the file says beside its values."""

    def test_every_key_is_there_with_the_models_description(self) -> None:
        """Active or commented out, each below its description; secrets are named only."""
        text = commented({"harvest.since": "30d"})
        for section, keys in KEYS.items():
            declared = json_schema()["$defs"][section.capitalize()]["properties"]
            part = re.split(r"^\[", text.split(f"\n[{section}]\n")[1], flags=re.MULTILINE)[0]
            words = " ".join(part.replace("#", " ").split())
            for key in keys:
                told = " ".join(declared[key]["description"].split())
                assert (f"{key}: {told}" if (section, key) in SECRETS else f"{told} {key} = ") in words, (section, key)

    def test_what_is_commented_out_is_the_default(self) -> None:
        """With every comment sign before a value taken away, the file says the same as none at all."""
        text = commented({})
        opened = re.sub(r"^# (\w+ = (?!…).*)$", r"\1", text, flags=re.MULTILINE)
        document = tomllib.loads(opened)
        flags = {f"{section}.{key}": value for section, keys in document.items() for key, value in keys.items()}

        assert tomllib.loads(text) == {section: {} for section in KEYS}
        assert len(flags) > 30
        assert load(None, environ={}, flags=flags) == load(None, environ={})

    def test_the_urls_shown_are_those_of_the_environment(self) -> None:
        """Production's hosts, commented out."""
        assert '# auth_url = "https://auth.smaapis.de"' in commented({"sma.environment": "production"})


class Terminal:
    """A person's terminal: types an answer whenever one of the words it waits for has been shown."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        env = {**bare(), "PYTHONPATH": os.pathsep.join(sys.path), "TERM": "dumb", "COLUMNS": "200"}
        words = [sys.executable, "-m", "harvester", "init", *arguments]
        self._process = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, cwd=folder, env=env, start_new_session=True
        )
        os.close(slave)
        self.shown = ""

    def answer(self, *pairs: tuple[str, str]) -> int:
        """Wait for each text in turn, type the answer to it, and return the exit code; `shown` holds the rest."""
        seen = 0  # what is hidden is waited for to the blank that comes once the echo is off
        try:
            for words, text in pairs:
                while words not in self.shown[seen:]:
                    assert self._more(), f"waited for {words!r}, saw {self.shown[seen:]!r}"
                seen = len(self.shown)
                os.write(self._master, text.encode())
            while self._more():
                pass
            return self._process.wait(PATIENCE)
        finally:
            os.close(self._master)
            self._process.kill()
            self._process.wait()

    def _more(self) -> bool:
        assert select.select([self._master], [], [], PATIENCE)[0], f"nothing more came after {self.shown!r}"
        try:
            chunk = os.read(self._master, 4096)
        except OSError:  # the other end was closed
            return False
        self.shown += chunk.decode().replace("\r\n", "\n")
        return bool(chunk)


class TestAtATerminal:
    """A real one, of the system's own making."""

    def test_a_person_is_asked_and_corrected(self, tmp_path: Path) -> None:
        """Each question once, again where the answer was wrong; secrets unseen, in a file of mode 0600."""
        terminal = Terminal(tmp_path)
        code = terminal.answer(
            ("Which cloud", "prod\n"),
            ("Which cloud", "production\n"),
            ("How owners consent", "\n"),
            ("E-mail addresses", "\n"),
            ("E-mail addresses", "anna@example.org, bert@example.org\n"),
            ("Folder of the lake", "data/lake\n"),
            ("File of the ledger", "\n"),
            ("How far back", "start\n"),
            ("Requests that your package", "\n"),
            ("Keep client id and secret", "yes\n"),
            ("Client id (not shown): ", "my-app\n"),
            ("Client secret (not shown): ", "it's a $ecret\n"),
        )
        config, secrets = written(tmp_path / "harvester.toml"), tmp_path / "secrets.env"

        assert code == 0, terminal.shown
        assert "--environment: " in terminal.shown
        assert "--owner is missing" in terminal.shown
        assert config.sma.environment == "production"
        assert config.sma.owners == ("anna@example.org", "bert@example.org")
        assert (config.lake.root, config.ledger.path) == (tmp_path / "data/lake", tmp_path / "data/ledger.db")
        assert str(config.harvest.since) == "start"
        assert config.rate.requests is None
        assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
        assert sourced(secrets) == {
            "HARVESTER_SMA__CLIENT_ID": "my-app",
            "HARVESTER_SMA__CLIENT_SECRET": "it's a $ecret",
        }
        assert "my-app" not in terminal.shown
        assert "$ecret" not in terminal.shown
        assert "ecret" not in (tmp_path / "harvester.toml").read_text().replace("SECRET", "").replace("secret", "")
        assert "doctor" in terminal.shown

    def test_options_and_the_code_grant(self, tmp_path: Path) -> None:
        """What an option says is not asked; a browser's grant has a page and a key made for it."""
        terminal = Terminal(tmp_path, "x.toml", "--environment", "sandbox", "--grant", "code", "--lake", "lake")
        code = terminal.answer(
            ("Address under which", "https://connect.example.org\n"),
            ("HOST:PORT", "\n"),
            ("File of the ledger", "\n"),
            ("How far back", "\n"),
            ("Requests that your package", "1000\n"),
            ("Keep client id and secret", "yes\n"),
            ("Client id (not shown): ", "my-app\n"),
            ("Client secret (not shown): ", "hush\n"),
        )
        config = load(tmp_path / "x.toml", environ=sourced(tmp_path / "secrets.env"))

        assert code == 0, terminal.shown
        assert "Which cloud" not in terminal.shown
        assert config.sma.grant == "code"
        assert (config.web.public, config.web.public_url) == ("127.0.0.1:8650", "https://connect.example.org")
        assert config.rate.requests == 1000
        assert config.vault.key is not None
        assert len(config.vault.key.get_secret_value()) == 44
        assert "daemon" in terminal.shown

    def test_a_person_may_leave(self, tmp_path: Path) -> None:
        """Ctrl-D ends with 130 and leaves nothing behind."""
        terminal = Terminal(tmp_path)
        code = terminal.answer(("Which cloud", "\x04"))

        assert code == 130, terminal.shown
        assert list(tmp_path.iterdir()) == []

    def test_nobody_is_asked_who_says_yes(self, tmp_path: Path) -> None:
        """--yes takes the defaults, also at a terminal."""
        terminal = Terminal(tmp_path, "--yes", "--environment", "sandbox")

        assert terminal.answer() == 0, terminal.shown
        assert written(tmp_path / "harvester.toml").sma.owners == ("apiTestUser@apiSandbox.com",)


def sourced(file: Path) -> dict[str, str]:
    """Return what a shell makes of a file of variables."""
    script = f"set -a; . '{file}'; env -0"
    told: Any = subprocess.run(["/bin/sh", "-c", script], env={}, check=True, capture_output=True, text=True)
    pairs = (line.partition("=") for line in told.stdout.split("\0"))
    return {name: value for name, _, value in pairs if name.startswith("HARVESTER_")}
