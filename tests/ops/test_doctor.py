"""`harvester doctor` in worlds that are whole and in worlds that are broken in one place each."""

import asyncio
import base64
import json
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from running import accept_all, backfilled, command, configured, environment

from harvester.compose import utc_now
from harvester.config import Config, load
from harvester.lake.layout import Places
from harvester.lake.lock import writing
from harvester.model import WHOLE
from harvester.ops import machine
from harvester.ops.doctor import examine
from harvester.ops.finding import Finding
from harvester.ops.reach import reachable
from harvester.sandbox import Faults, Running, Settings, serving
from harvester.state.budget import BudgetBook, Spending
from harvester.state.database import connect
from harvester.state.owners import Owners, Seen

ONE, TWO = "anna@example.org", "bert@example.org"
START = date(2026, 9, 1)
"""Young plants: the sums of their lives are soon made."""
SMALL = Settings(plants=2, devices=1, start=START, owners=(ONE, TWO))
NAMES = {
    *("configuration", "credentials", "consent", "clock skew", "disk", "permissions", "budget", "reachability"),
    *("time zones", "reader", "secret files", "lake and ledger", "vault"),
}


async def examined(
    config: Config, *, environ: Mapping[str, str] | None = None, ahead: timedelta = timedelta()
) -> dict[str, Finding]:
    """Return what every check finds, on a machine whose clock is *ahead*."""
    found = await examine(lambda: config, file=None, environ=environ or {}, wall=lambda: utc_now() + ahead)
    return {finding.name: finding for finding in found}


def owned(running: Running, folder: Path, **more: Any) -> Config:
    """Return the configuration of a harvester that both owners are asked by."""
    return configured(running, folder, **{"sma__owners": [ONE, TWO], **more})


@pytest.mark.usefixtures("gcc")
class TestWhole:
    """Nothing is wrong."""

    async def test_every_check_is_well_and_few_requests_are_spent(self, tmp_path: Path) -> None:
        """One token, one list of plants, one look at each owner's consent; nothing is left behind on the disk."""
        async with serving(SMALL) as running:
            accept_all(running)
            found = await examined(owned(running, tmp_path))
            requests = running.cloud.counts.as_dict()["requests"]

        assert found.keys() == NAMES
        assert {name: f for name, f in found.items() if f.state != "ok" and name != "disk"} == {}
        assert {name: f.remedy for name, f in found.items() if f.remedy and name != "disk"} == {}
        assert requests == {"token": 1, "plants": 1, "consent": 2}
        assert "2 plants are visible" in found["consent"].found
        assert list(tmp_path.iterdir()) == []

    async def test_the_command_prints_the_checks_as_json_and_as_a_table(self, tmp_path: Path) -> None:
        """An array of objects; a table that names each check; both end with 0, also with --check."""
        async with serving(Settings(plants=1, devices=1, start=START)) as running:
            accept_all(running)
            env = environment(running, tmp_path)
            told, shown = await asyncio.gather(command(env, "doctor", "--json", "--check"), command(env, "doctor"))

        assert (told.code, shown.code) == (0, 0)
        assert {each["name"] for each in told.json} == NAMES
        assert {tuple(each) for each in told.json} == {("name", "state", "found", "remedy")}
        assert [name for name in NAMES if name not in shown.out] == []

    def test_a_reader_that_is_not_compiled_is_a_warning(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """All works, more slowly; what to install is said."""
        monkeypatch.setattr(machine, "COMPILED", False)

        assert machine.reader().state == "warning"
        assert "gcc" in machine.reader().remedy


class TestConfiguration:
    """Keys, credentials, files with secrets."""

    @pytest.mark.usefixtures("gcc")
    async def test_what_cannot_be_loaded_is_a_finding_and_the_rest_is_not_checked(self, tmp_path: Path) -> None:
        """The mistake with its place; what needs no configuration is checked all the same."""
        file = tmp_path / "harvester.toml"
        file.write_text("[rate]\nconcurency = 3\n")
        env = {**os.environ, "HARVESTER_CONFIG": str(file)}

        told, easy = await asyncio.gather(command(env, "doctor", "--json", "--check"), command(env, "doctor", "--json"))
        found = {each["name"]: each for each in told.json}

        assert (told.code, easy.code) == (3, 0)
        assert found["configuration"]["state"] == "wrong"
        assert "did you mean concurrency?" in found["configuration"]["found"]
        assert "harvester schema config" in found["configuration"]["remedy"]
        assert found["time zones"]["state"] == found["reader"]["state"] == "ok"
        without = found.keys() - {"configuration", "time zones", "reader"}
        assert {found[name]["state"] for name in without} == {"not checked"}
        assert found.keys() == NAMES

    async def test_plain_http_that_is_allowed_is_warned_of(self, tmp_path: Path) -> None:
        """The switch, what it costs, and that nothing else is wrong."""
        async with serving(SMALL) as running:
            accept_all(running)
            strict = await examined(owned(running, tmp_path))
            found = await examined(owned(running, tmp_path, sma__allow_http=True))

        assert strict["configuration"].state == "ok"
        assert found["configuration"].state == "warning"
        assert "sma.allow_http is on" in found["configuration"].found
        assert "reads credentials and values" in found["configuration"].remedy
        assert found["credentials"].state == "ok"

    async def test_missing_credentials_are_named_and_nobody_is_asked(self, tmp_path: Path) -> None:
        """The variables that are missing; the hosts are still looked at."""
        async with serving(SMALL) as running:
            config = owned(running, tmp_path, sma__environment="production", sma__client_id="mine")
            found = await examined(config)
            requests = running.cloud.counts.as_dict()["requests"]

        assert found["credentials"].state == "wrong"
        assert "HARVESTER_SMA__CLIENT_SECRET" in found["credentials"].found
        assert "HARVESTER_SMA__CLIENT_ID" not in found["credentials"].found
        assert found["consent"].state == found["clock skew"].state == "not checked"
        assert found["reachability"].state == "ok"
        assert requests == {}

    async def test_a_wrong_secret_is_told_without_telling_it(self, tmp_path: Path) -> None:
        """SMA's reason and which half to look at; the refusal is good for the clock, though."""
        async with serving(SMALL) as running:
            found = await examined(
                owned(running, tmp_path, sma__client_secret="sesame", sma__client_id="local-sandbox")
            )

        assert found["credentials"].state == "wrong"
        assert "client_secret" in found["credentials"].found
        assert found["credentials"].remedy
        assert found["consent"].state == "not checked"
        assert found["clock skew"].state == "ok"
        assert "sesame" not in repr(found)

    @pytest.mark.parametrize(("mode", "state"), [(0o600, "ok"), (0o440, "ok"), (0o644, "warning")])
    async def test_files_with_secrets_are_closed_to_others(self, tmp_path: Path, mode: int, state: str) -> None:
        """The mode decides; a group, as container schedulers set it, is let in."""
        secret = tmp_path / "secret"
        secret.write_text("local-sandbox")
        secret.chmod(mode)
        async with serving(SMALL) as running:
            config = owned(running, tmp_path / "home")
            found = await examined(config, environ={"HARVESTER_SMA__CLIENT_SECRET_FILE": str(secret)})

        assert found["secret files"].state == state
        assert ("chmod 600" in found["secret files"].remedy) == (state == "warning")

    async def test_a_secret_in_an_open_configuration_is_seen(self, tmp_path: Path) -> None:
        """A TOML file with a client secret in it is a file with a secret."""
        file = tmp_path / "harvester.toml"
        file.write_text('[sma]\nclient_id = "a"\nclient_secret = "b"\n')
        file.chmod(0o644)
        config = load(file, environ={}, flags={"sma.auth_url": "http://127.0.0.1:9"})
        found = await examine(lambda: config, file=file, environ={}, wall=utc_now)

        [secrets] = [each for each in found if each.name == "secret files"]
        assert secrets.state == "warning"
        assert str(file) in secrets.found

    async def test_the_code_grant_needs_a_key_and_a_page(self, tmp_path: Path) -> None:
        """No key is wrong, a short one too; one of 32 bytes is right. Its tokens are not the doctor's to ask with."""
        key = base64.b64encode(bytes(32)).decode()
        page = {"web__public": "127.0.0.1:0", "web__public_url": "https://connect.example.org"}
        async with serving(SMALL) as running:
            none = await examined(owned(running, tmp_path, sma__grant="code"))
            short = await examined(owned(running, tmp_path, sma__grant="code", vault__key="c2hvcnQ=", **page))
            good = await examined(owned(running, tmp_path, sma__grant="code", vault__key=f"{key},{key}", **page))
            requests = running.cloud.counts.as_dict()["requests"]

        assert [each["vault"].state for each in (none, short, good)] == ["wrong", "wrong", "ok"]
        assert "HARVESTER_VAULT__KEY" in none["vault"].remedy
        assert [each["configuration"].state for each in (none, good)] == ["warning", "ok"]
        assert good["credentials"].state == "not checked"
        assert requests == {}


class TestOwners:
    """Consent."""

    async def test_nobody_has_accepted(self, tmp_path: Path) -> None:
        """Wrong: no plant; each owner with where it stands, and what to do for each of these."""
        async with serving(SMALL) as running:
            running.cloud.consents.decide(TWO, "Pending")
            found = await examined(owned(running, tmp_path))

        assert found["consent"].state == "wrong"
        assert f"{ONE}: NotAsked" in found["consent"].found
        assert f"{TWO}: Pending" in found["consent"].found
        assert "harvester consent request" in found["consent"].remedy

    async def test_one_of_two_has_revoked(self, tmp_path: Path) -> None:
        """A warning: the other's plants are harvested."""
        async with serving(SMALL) as running:
            accept_all(running)
            running.cloud.revoke(TWO)
            found = await examined(owned(running, tmp_path))

        assert found["consent"].state == "warning"
        assert "1 plants are visible" in found["consent"].found
        assert f"{TWO}: Revoked" in found["consent"].found

    async def test_a_budget_that_another_spends_is_left_to_it(self, tmp_path: Path) -> None:
        """While somebody writes to the lake no request of the window is taken, and the holder is named."""
        async with serving(SMALL) as running:
            accept_all(running)
            config = owned(running, tmp_path)
            await backfilled(config, START, START)
            running.cloud.reset_counts()
            with writing(Places(config.lake.root), command="daemon", now=utc_now()):
                found = await examined(config)
                for owner in (ONE, TWO):
                    running.cloud.revoke(owner)
                alone = await examined(config)
            requests = running.cloud.counts.as_dict()["requests"]

        assert alone["consent"].state == "wrong"
        assert "no owner has accepted" in alone["consent"].found
        assert "plants" not in requests
        assert "harvester daemon" in found["consent"].found
        assert found["consent"].state == "ok"
        assert "harvester daemon" in found["lake and ledger"].found
        assert "2 plants known" in found["lake and ledger"].found

    async def test_a_spent_window_is_told(self, tmp_path: Path) -> None:
        """429 makes a warning about the budget, which all with this client id share."""
        limited = Settings(plants=1, devices=1, start=START, owners=(ONE,), requests=1, window_seconds=2)
        async with serving(limited) as running:
            accept_all(running)
            config = configured(running, tmp_path, sma__owners=[ONE], rate__window_seconds=2.0)
            await examined(config)
            found = await examined(config)

        assert found["budget"].state == "warning"
        assert "429" in found["budget"].found
        assert found["consent"].state == "ok"

    async def test_a_window_that_is_known_to_be_spent_is_not_overdrawn(self, tmp_path: Path) -> None:
        """What a run has recorded counts: no request more, a warning, and how long until there is room."""
        async with serving(SMALL) as running:
            accept_all(running)
            config = owned(running, tmp_path, rate__requests=3)
            spent = Spending(ages=(100.0, 50.0, 10.0), known=True)
            engine = connect(config.ledger.path)
            BudgetBook(engine, config.sma.credentials().client_id, 300.0).save(WHOLE, spent, utc_now())
            engine.dispose()
            full = await examined(config)
            requests = running.cloud.counts.as_dict()["requests"]
            roomy = await examined(owned(running, tmp_path, rate__requests=9))

        assert full["budget"].state == "warning"
        assert "3 of 3 requests spent" in full["budget"].found
        assert "plants" not in requests
        assert roomy["budget"].state == "ok"
        assert "3 of 9 requests spent" in roomy["budget"].found

    async def test_owners_who_connected_in_a_browser(self, tmp_path: Path) -> None:
        """Nobody yet is wrong, with the address to send them to; one who has left is a warning."""
        page = {"web__public": "127.0.0.1:0", "web__public_url": "https://connect.example.org"}
        async with serving(SMALL) as running:
            config = owned(running, tmp_path, sma__grant="code", **page)
            early = await examined(config)
            engine = connect(config.ledger.path)
            nobody = await examined(config)
            for owner, state in (("roof", "Accepted"), ("barn", "Revoked")):
                Owners(engine).record(Seen(owner=owner, state=state, grant="code"), utc_now())
            some = await examined(config)
            engine.dispose()

        assert [each["consent"].state for each in (early, nobody, some)] == ["not checked", "wrong", "warning"]
        assert "https://connect.example.org" in nobody["consent"].remedy
        assert "roof: Accepted" in some["consent"].found
        assert "barn: Revoked" in some["consent"].found

    async def test_an_api_that_says_nothing_does_not_hold_it_up(self, tmp_path: Path) -> None:
        """A list of plants that never comes is a warning; owners are asked for all the same."""
        async with serving(SMALL) as running:
            accept_all(running)
            running.cloud.faults = Faults.parse(["hang=1"])
            found = await examined(owned(running, tmp_path, sma__timeout_seconds=0.3))

        assert found["consent"].state == "warning"
        assert f"{ONE}: Accepted" in found["consent"].found
        assert found["credentials"].state == "ok"


class TestMachine:
    """Clock, rights, lake and ledger."""

    @pytest.mark.parametrize(
        ("ahead", "state", "words"),
        [
            (timedelta(minutes=10), "wrong", "600 s ahead of"),
            (timedelta(seconds=-90), "warning", "s behind"),
            (timedelta(seconds=10), "ok", "s ahead of"),
        ],
    )
    async def test_a_clock_that_goes_wrong(self, tmp_path: Path, ahead: timedelta, state: str, words: str) -> None:
        """Beyond five minutes wrong, beyond half a minute a warning, with which way it is off."""
        async with serving(SMALL) as running:
            accept_all(running)
            found = await examined(owned(running, tmp_path), ahead=ahead)

        assert found["clock skew"].state == state
        assert words in found["clock skew"].found.replace("601", "600")
        assert bool(found["clock skew"].remedy) == (state != "ok")

    async def test_where_nothing_can_be_written(self, tmp_path: Path) -> None:
        """A lake below a file and a ledger in a folder of the kernel's: wrong, each with its place."""
        (tmp_path / "file").write_text("")
        async with serving(SMALL) as running:
            accept_all(running)
            config = owned(
                running, tmp_path, lake__root=str(tmp_path / "file" / "lake"), ledger__url="sqlite:////proc/ledger.db"
            )
            found = await examined(config)

        assert found["permissions"].state == "wrong"
        assert f"lake: nothing can be written to {tmp_path / 'file'}" in found["permissions"].found
        assert "ledger: nothing can be written to /proc" in found["permissions"].found
        assert found["credentials"].state == "ok"

    async def test_a_disk_without_room_to_spare(self, tmp_path: Path) -> None:
        """Less than the configured share is a warning that names the folder."""
        async with serving(SMALL) as running:
            found = await examined(owned(running, tmp_path, alerts__disk_free_percent=99.9999))

        assert found["disk"].state == "warning"
        assert str(tmp_path) in found["disk"].remedy

    async def test_lake_and_ledger_that_are_no_pair(self, tmp_path: Path) -> None:
        """A ledger of another lake and another cloud's lake are wrong; a ledger that is gone is a warning."""
        async with serving(SMALL) as running:
            accept_all(running)
            mine, other = (owned(running, tmp_path / name) for name in ("mine", "other"))
            for config in (mine, other):
                await backfilled(config, START, START)
            pair = await examined(mine)
            crossed = await examined(
                owned(running, tmp_path / "mine", ledger__url=f"sqlite:///{tmp_path / 'other' / 'ledger.db'}")
            )
            identity = Places(other.lake.root).identity
            identity.write_text(json.dumps({**json.loads(identity.read_text()), "host": "elsewhere.example.org"}))
            moved = await examined(other)
            for file in (tmp_path / "mine").glob("ledger.db*"):
                file.unlink()
            lost = await examined(mine)

        assert [each["lake and ledger"].state for each in (pair, crossed, moved, lost)] == [
            "ok",
            "wrong",
            "wrong",
            "warning",
        ]
        assert "elsewhere.example.org" in moved["lake and ledger"].found
        assert "harvester ledger rebuild" in lost["lake and ledger"].remedy


def certificate(folder: Path) -> ssl.SSLContext:
    """Return the context of a server whose certificate nobody has signed but itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()) + made.public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem")
    return context


@asynccontextmanager
async def listening(context: ssl.SSLContext | None = None, greeting: bytes = b"") -> AsyncIterator[int]:
    """Listen on loopback, say *greeting* to whoever comes, and yield the port."""
    came: list[asyncio.StreamWriter] = []

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(writer)
        writer.write(greeting)

    server = await asyncio.start_server(greet, "localhost", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        for writer in came:
            writer.transport.abort()
        server.close()
        await asyncio.sleep(0.05)  # an aborted transport leaves its socket in the loop's next turns


class TestReachability:
    """Name, connection, TLS: which of them fails."""

    async def test_a_port_that_nobody_listens_on(self, tmp_path: Path) -> None:
        """Refused; credentials, clock and consent are not checked for that, and nothing else suffers."""
        async with serving(SMALL) as running:
            config = owned(running, tmp_path)
        found = await examined(config)

        assert found["reachability"].state == "wrong"
        assert "connection refused" in found["reachability"].found
        assert {found[name].state for name in ("credentials", "clock skew", "consent")} == {"not checked"}
        assert found["permissions"].state == "ok"

    async def test_a_name_that_does_not_exist(self) -> None:
        """The name and the name server are what to look at; a proxy that is not used is mentioned."""
        found = await reachable(["https://sma.invalid/v1"], {"HTTPS_PROXY": "http://proxy:3128"})

        assert found.state == "wrong"
        assert "sma.invalid: the name cannot be resolved" in found.found
        assert "HTTPS_PROXY is set" in found.remedy

    async def test_a_certificate_that_nobody_vouches_for(self, tmp_path: Path) -> None:
        """TLS is told apart from the network, with the verifier's own reason."""
        async with listening(certificate(tmp_path)) as port:
            found = await reachable([f"https://localhost:{port}"], {})

        assert found.state == "wrong"
        assert "certificate is not trusted (self-signed certificate" in found.found
        assert "SSL_CERT_FILE" in found.remedy

    async def test_something_that_speaks_no_tls(self) -> None:
        """Plain text where TLS belongs, as from a proxy or a wrong port."""
        async with listening(greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
            found = await reachable([f"https://localhost:{port}"], {})

        assert found.state == "wrong"
        assert "no TLS there" in found.found

    async def test_a_host_that_says_nothing(self) -> None:
        """Silence ends: two hosts are tried side by side, and the finding holds both."""
        async with listening() as port:
            found = await reachable([f"https://localhost:{port}/a", f"http://localhost:{port}"], {}, patience=0.5)

        assert found.state == "wrong"
        assert f"localhost:{port}: no connection (no answer in time)" in found.found
        assert f"localhost:{port} answers" in found.found
