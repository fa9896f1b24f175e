"""What goes wrong is told in a sentence: what, where, what to do, and an exit code; never a traceback or a secret."""

import asyncio
import json
import logging
import os
import random
import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import structlog
from running import Command, accept_all, backfilled, command, configured, environment
from structlog.contextvars import clear_contextvars

from harvester.cli.app import main
from harvester.lake.layout import Places
from harvester.lake.lock import writing
from harvester.sandbox import Settings, serving

FIRST, LAST = date(2026, 10, 5), date(2026, 10, 6)
START = date(2026, 9, 1)
"""Young plants: the sums of their lives are soon made."""
BACKFILL = ("backfill", "--from", str(FIRST), "--to", str(LAST))
PLAN = ("plan", "--from", str(FIRST), "--to", str(LAST))
SECRET = "correct-horse-battery-staple"

Typed = Callable[..., Command]


@pytest.fixture(autouse=True)
def _undisturbed() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    clear_contextvars()


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Return what runs ``harvester`` with arguments and variables in this process, away from any terminal."""
    for name in [name for name in os.environ if name.startswith("HARVESTER_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str, **variables: str) -> Command:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "argv", ["harvester", *arguments])
            for name, value in variables.items():
                patched.setenv(name, value)
            capsys.readouterr()
            with pytest.raises(SystemExit) as ended:
                main()
        return Command(int(ended.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def harvest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a folder with lake and ledger of a plant, and the address of the cloud that it came from."""

    async def fill(folder: Path) -> str:
        async with serving(Settings(plants=1, devices=3, start=START)) as running:
            accept_all(running)
            await backfilled(configured(running, folder), FIRST, LAST)
            return running.url

    folder = tmp_path_factory.mktemp("harvest")
    return folder, asyncio.run(fill(folder))


class Copy:
    """A copy of the harvest that a test may spoil."""

    def __init__(self, folder: Path, url: str) -> None:
        self.lake, self.ledger = folder / "lake", folder / "ledger.db"
        self.variables = {
            "HARVESTER_SMA__AUTH_URL": url,
            "HARVESTER_SMA__CONSENT_URL": url,
            "HARVESTER_SMA__MONITORING_URL": f"{url}/monitoring/v1",
            "HARVESTER_LAKE__ROOT": str(self.lake),
            "HARVESTER_LEDGER__URL": f"sqlite:///{self.ledger}",
        }

    def identity(self, **changes: object) -> None:
        """Change what the lake says of itself."""
        file = self.lake / "_harvester" / "lake.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.fixture
def copy(harvest: tuple[Path, str], tmp_path: Path) -> Copy:
    """Return a copy of the harvest. Its cloud has ended: whatever asked it would fail otherwise than expected."""
    folder, url = harvest
    shutil.copytree(folder, tmp_path / "copy")
    return Copy(tmp_path / "copy", url)


class TestConfiguration:
    """Files and variables that are wrong: 2, the place, and what would be right."""

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ("[sma\n", ["is not TOML", "line 1"]),
            ('[sma]\nenviroment = "local"\n', ["sma.enviroment: unknown key", "did you mean environment?"]),
            ("[smaa]\ngrant = 1\n", ["smaa: unknown section", "did you mean sma?"]),
            ('[sma]\ntimeout_seconds = "45"\n', ["sma.timeout_seconds", 'given "45"', "number"]),
            ("[rate]\nconcurrency = 0\n", ["rate.concurrency", "given 0", "greater than or equal to 1"]),
            ('[sma]\nowners = "a@b.org"\n', ["sma.owners", '["...", "..."]']),
            ('[lake]\nroot = "s3://bucket/lake"\n', ["lake.root", "s3://bucket/lake"]),
            ('[harvest]\nsince = "yesterday"\n', ["harvest.since", '"7d"', '"start"']),
        ],
    )
    def test_a_file_is_refused_with_the_key_and_what_is_right(
        self, typed: Typed, tmp_path: Path, content: str, words: list[str]
    ) -> None:
        """Syntax, key, section, type and value."""
        file = tmp_path / "harvester.toml"
        file.write_text(content)
        told = typed("status", "--config", str(file))
        assert told.code == 2
        assert told.out == ""
        assert [word for word in [str(file), *words] if word not in told.err] == []

    def test_every_mistake_is_told_at_once(self, typed: Typed, tmp_path: Path) -> None:
        """Nobody has to come back for the second one."""
        file = tmp_path / "harvester.toml"
        file.write_text('[sma]\ngrant = "magic"\n[rate]\nrequests = true\n[schedule]\nlive = "5 minutes"\n')
        told = typed("status", "--config", str(file))
        assert [key for key in ("sma.grant", "rate.requests", "schedule.live") if key not in told.err] == []

    @pytest.mark.parametrize("name", ["missing.toml", "."])
    def test_a_file_that_cannot_be_read_is_named(self, typed: Typed, tmp_path: Path, name: str) -> None:
        """None there, or a folder."""
        told = typed("status", "--config", str(tmp_path / name))
        assert told.code == 2
        assert f"{tmp_path / name} cannot be read" in told.err

    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            ("HARVESTER_RATE__CONCURRENCY", "many", ["rate.concurrency", "integer"]),
            ("HARVESTER_RATE__CONCURENCY", "3", ["rate.concurency", "did you mean concurrency?"]),
            ("HARVESTER_SMA__OWNERS", "a@b.org", ["sma.owners", '["...", "..."]']),
            ("HARVESTER_SMA__CLIENT_SECRET_FILE", "/nowhere/secret", ["sma.client_secret", "No such file"]),
        ],
    )
    def test_a_variable_is_refused_by_its_name(self, typed: Typed, name: str, value: str, words: list[str]) -> None:
        """The variable is what a person looks for to change it."""
        told = typed("status", **{name: value})
        assert told.code == 2
        assert [word for word in [name, *words] if word not in told.err] == []

    def test_a_secret_given_twice_is_refused_and_not_shown(self, typed: Typed, tmp_path: Path) -> None:
        """Both places are named, neither value."""
        file = tmp_path / "secret"
        file.write_text(SECRET)
        told = typed("run", HARVESTER_SMA__CLIENT_SECRET=SECRET[::-1], HARVESTER_SMA__CLIENT_SECRET_FILE=str(file))
        assert told.code == 2
        assert "HARVESTER_SMA__CLIENT_SECRET and in HARVESTER_SMA__CLIENT_SECRET_FILE" in told.err
        assert SECRET not in told.err
        assert SECRET[::-1] not in told.err

    def test_a_cloud_of_sma_without_a_client_says_which_variables_to_set(self, typed: Typed, tmp_path: Path) -> None:
        """Before anything is asked."""
        kept = {"HARVESTER_LAKE__ROOT": str(tmp_path / "l"), "HARVESTER_LEDGER__URL": f"sqlite:///{tmp_path / 'd'}"}
        told = typed("run", HARVESTER_SMA__ENVIRONMENT="production", **kept)
        assert told.code == 2
        assert "HARVESTER_SMA__CLIENT_ID and HARVESTER_SMA__CLIENT_SECRET" in told.err

    def test_nobody_plays_an_owner_in_production(self, typed: Typed) -> None:
        """2, whatever else is set."""
        told = typed("consent", "simulate", "a@example.org", HARVESTER_SMA__ENVIRONMENT="production")
        assert told.code == 2
        assert "sandbox only" in told.err

    def test_consent_without_owners_or_by_e_mail_in_the_code_grant_is_refused(self, typed: Typed) -> None:
        """2, with the setting."""
        nobody = typed("consent", "request", HARVESTER_SMA__ENVIRONMENT="production")
        code = typed("consent", "simulate", HARVESTER_SMA__GRANT="code")
        assert nobody.code == code.code == 2
        assert "sma.owners" in nobody.err
        assert "sma.grant" in code.err


class TestCall:
    """Arguments that are wrong: 2 and the argument."""

    @pytest.mark.parametrize(
        ("arguments", "word"),
        [
            (["bogus"], "bogus"),
            (["run", "--bogus"], "--bogus"),
            (["backfill", "--from", "2026-10-05"], "--to"),
            ([*BACKFILL, "--level", "roof"], "'roof'"),
            (["--log-level", "loud", "status"], "'loud'"),
            (["consent", "simulate", "--state", "maybe"], "'maybe'"),
        ],
    )
    def test_a_wrong_argument_is_named(self, typed: Typed, arguments: list[str], word: str) -> None:
        """And nothing goes to stdout."""
        told = typed(*arguments)
        assert told.code == 2
        assert told.out == ""
        assert word in told.err

    @pytest.mark.parametrize(
        ("arguments", "word"),
        [
            (["--plants", "-1"], "plants=-1"),
            (["--devices", "0"], "devices=0"),
            (["--requests", "0"], "requests=0"),
            (["--zone", "Mars/Base"], "Mars/Base"),
            (["--start", "someday"], "someday"),
            (["--fault", "nonsense=1"], "nonsense"),
            (["--fault", "http_500=2"], "http_500=2"),
            (["--week", "nonsense"], "nonsense"),
            (["--profile", "nonsense"], "nonsense"),
            (["--port", "99999"], "65535"),
        ],
    )
    def test_a_sandbox_that_makes_no_sense_does_not_start(self, typed: Typed, arguments: list[str], word: str) -> None:
        """The option is named; the taken port keeps a sandbox that would start all the same from running on."""
        with closing(socket.socket()) as taken:
            # a port number too large may wrap around: its image is taken as well
            taken.bind(("127.0.0.1", 99999 - 65536 if "99999" in arguments else 0))
            taken.listen()
            port = [] if "--port" in arguments else ["--port", str(taken.getsockname()[1])]
            told = typed("sandbox", *port, *arguments)
        assert told.code == 2
        assert word in told.err

    def test_a_taken_port_is_named(self, typed: Typed) -> None:
        """With the option that takes another."""
        with closing(socket.socket()) as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            told = typed("sandbox", "--port", port)
        assert told.code == 2
        assert port in told.err
        assert "--port" in told.err


class TestClient:
    """Credentials that the cloud does not take, and clouds that are not there: 4, nothing could be asked."""

    async def test_refused_credentials_end_with_advice_and_without_the_secret(self, tmp_path: Path) -> None:
        """A wrong secret, with everything that debug logs; and a client of the other grant."""
        async with serving(Settings(plants=1, devices=1, start=START)) as running:
            accept_all(running)
            env = environment(running, tmp_path)
            wrong = {**env, "HARVESTER_SMA__CLIENT_SECRET": SECRET}
            refused = await command(wrong, "--log-level", "debug", "run")
            other = {**env, "HARVESTER_SMA__CLIENT_ID": "local-code", "HARVESTER_SMA__CLIENT_SECRET": "local-code"}
            code = await command(other, "run")

        assert refused.code == code.code == 4
        assert "client_secret" in refused.err
        assert "code grant" in code.err
        for told in (refused, code):
            assert told.out == ""
            assert "Traceback" not in told.err
        assert SECRET not in refused.err
        assert SECRET.encode() not in b"".join(f.read_bytes() for f in tmp_path.rglob("*") if f.is_file())

    async def test_a_cloud_that_is_not_there_is_named_with_what_to_do(self, tmp_path: Path) -> None:
        """4: nothing could be asked. The address, and the command that starts the local one; the lake stays free."""
        async with serving(Settings(plants=1, devices=1, start=START)) as running:
            accept_all(running)
            env = environment(running, tmp_path)
            with closing(socket.socket()) as nobody:
                nobody.bind(("127.0.0.1", 0))
                address = f"127.0.0.1:{nobody.getsockname()[1]}"
                gone = {
                    **env,
                    "HARVESTER_SMA__AUTH_URL": f"http://{address}",
                    "HARVESTER_SMA__CONSENT_URL": f"http://{address}",
                    "HARVESTER_SMA__MONITORING_URL": f"http://{address}/monitoring/v1",
                }
                told, asked = await asyncio.gather(
                    command(gone, *BACKFILL), command(gone, "consent", "request", "a@b.org")
                )
            corrected = await backfilled(configured(running, tmp_path), FIRST, LAST)

        for each in (told, asked):
            assert "Traceback" not in each.err
            assert address in each.err
            assert "harvester sandbox" in each.err
            assert each.code == 4
        assert corrected.exit_code == 0

    async def test_a_wrong_address_of_the_monitoring_api_is_told_by_its_key(self, tmp_path: Path) -> None:
        """Where the plant list answers 404 the address is wrong, and the key that holds it is named."""
        async with serving(Settings(plants=1, devices=1, start=START)) as running:
            accept_all(running)
            env = environment(running, tmp_path, HARVESTER_SMA__MONITORING_URL=f"{running.url}/nowhere")
            told = await command(env, *BACKFILL)

        assert told.code in {2, 4}
        assert "monitoring_url" in told.err


class TestPlaces:
    """Lake and ledger that cannot be used: 2, the path, the reason."""

    @pytest.mark.parametrize("arguments", [("run",), BACKFILL, ("discover",)])
    def test_a_lake_that_cannot_be_written_is_named(
        self, typed: Typed, tmp_path: Path, arguments: tuple[str, ...]
    ) -> None:
        """A file stands where the folder should be; the setting is named too."""
        (tmp_path / "lake").write_text("")
        kept = {
            "HARVESTER_LAKE__ROOT": str(tmp_path / "lake"),
            "HARVESTER_LEDGER__URL": f"sqlite:///{tmp_path / 'ledger.db'}",
        }
        told = typed(*arguments, **kept)
        assert told.code == 2
        assert str(tmp_path / "lake") in told.err
        assert "Not a directory" in told.err

    @pytest.mark.parametrize("arguments", [BACKFILL, ("status",), PLAN])
    def test_a_lake_of_a_newer_format_is_refused(self, typed: Typed, copy: Copy, arguments: tuple[str, ...]) -> None:
        """By everything that opens it, with what to install."""
        copy.identity(format=99)
        told = typed(*arguments, **copy.variables)
        assert told.code == 2
        assert "format 99" in told.err
        assert "Install" in told.err

    @pytest.mark.parametrize("arguments", [BACKFILL, ("status",), PLAN])
    def test_a_ledger_of_another_lake_is_refused(self, typed: Typed, copy: Copy, arguments: tuple[str, ...]) -> None:
        """By everything that reads the two together; both are named."""
        copy.identity(lake_id="00000000-0000-0000-0000-000000000000")
        told = typed(*arguments, **copy.variables)
        assert told.code == 2
        assert str(copy.ledger) in told.err
        assert str(copy.lake) in told.err

    @pytest.mark.parametrize("arguments", [BACKFILL, ("discover",)])
    def test_a_lake_of_another_cloud_is_refused(self, typed: Typed, copy: Copy, arguments: tuple[str, ...]) -> None:
        """Both hosts are named, and the setting."""
        copy.identity(host="monitoring.smaapis.de")
        told = typed(*arguments, **copy.variables)
        assert told.code == 2
        assert "monitoring.smaapis.de" in told.err
        assert "lake.root" in told.err

    def test_an_identity_that_is_spoiled_is_named(self, typed: Typed, copy: Copy) -> None:
        """The file, and that a backup has it."""
        (copy.lake / "_harvester" / "lake.json").write_text("{")
        told = typed("status", **copy.variables)
        assert told.code == 2
        assert "lake.json" in told.err
        assert "backup" in told.err

    @pytest.mark.parametrize("arguments", [BACKFILL, ("status",), PLAN])
    @pytest.mark.parametrize("damage", ["no database", "cut off", "pages overwritten"])
    def test_a_damaged_ledger_is_named_with_what_to_do(
        self, typed: Typed, copy: Copy, arguments: tuple[str, ...], damage: str
    ) -> None:
        """Whether it shows on opening or on the first question: 2, the file, and that the lake is whole."""
        with closing(sqlite3.connect(copy.ledger)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            db.execute("PRAGMA journal_mode=DELETE")
        content = copy.ledger.read_bytes()
        noise = random.Random(7).randbytes(len(content))  # noqa: S311 - the same noise each time
        copy.ledger.write_bytes(
            {
                "no database": b"This is a text.\n" * 300,
                "cut off": content[: len(content) // 3],
                "pages overwritten": content[:4096] + noise[4096:],
            }[damage]
        )
        told = typed(*arguments, **copy.variables)
        assert told.code == 2
        assert str(copy.ledger) in told.err
        assert "damaged" in told.err

    @pytest.mark.parametrize("arguments", [BACKFILL, ("status",)])
    def test_a_ledger_of_a_newer_version_is_refused(self, typed: Typed, copy: Copy, arguments: tuple[str, ...]) -> None:
        """Nothing is touched."""
        with closing(sqlite3.connect(copy.ledger)) as db, db:
            db.execute("UPDATE alembic_version SET version_num = 'v9999'")
        told = typed(*arguments, **copy.variables)
        assert told.code == 2
        assert "newer harvester" in told.err
        assert "v9999" in told.err

    def test_a_file_that_is_not_parquet_shows_in_the_status(self, typed: Typed, copy: Copy) -> None:
        """It is not silently left out of the sums."""
        file = next(copy.lake.glob("plant_energy_balance/*/part-00000.parquet"))
        file.write_bytes(b"PAR1 not quite PAR1")
        tables = typed("status", "--json", **copy.variables).json["tables"]
        assert {table["table"]: table["unreadable"] for table in tables if table["unreadable"]} == {
            "plant_energy_balance": 1
        }

    async def test_a_file_that_is_not_parquet_is_left_as_it_is(self, tmp_path: Path) -> None:
        """What cannot be merged is named and not overwritten: exit 2, no traceback."""
        async with serving(Settings(plants=1, devices=1, start=START)) as running:
            accept_all(running)
            env = environment(running, tmp_path)
            file = tmp_path / "lake" / "plant_energy_balance" / f"date={FIRST}" / "part-00000.parquet"
            file.parent.mkdir(parents=True)
            file.write_bytes(b"PAR1 not quite PAR1")
            told = await command(env, *BACKFILL, "--set", "EnergyBalance")

        assert told.code == 2
        assert str(file) in told.err
        assert "Traceback" not in told.err
        assert file.read_bytes() == b"PAR1 not quite PAR1"

    def test_a_second_writer_is_told_who_the_first_is_and_questions_are_answered(
        self, typed: Typed, copy: Copy
    ) -> None:
        """2 for run and discover, naming command and process; 0 for status and plan."""
        with writing(Places(copy.lake), command="backfill", now=datetime.now(UTC)):
            writers = [typed(name, **copy.variables) for name in ("run", "discover")]
            readers = [typed(*arguments, **copy.variables) for arguments in (("status",), PLAN)]
        assert [told.code for told in writers] == [2, 2]
        assert all(f"`harvester backfill` (process {os.getpid()}" in told.err for told in writers)
        assert [told.code for told in readers] == [0, 0]
