"""No secret in anything that runs leave behind: standard streams, the process list, and every byte of every file."""

import asyncio
import base64
import gzip
import lzma
import os
import re
import stat
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import aiohttp
import orjson
import pytest
from connecting import carried, code_configured, free_port, signed_in
from running import Command, accept_all, environment, started

from harvester.compose import code_client_of, keyring_of, utc_now
from harvester.ops.connect import serving_connect
from harvester.ops.connect_link import connect_link
from harvester.sandbox import Faults, Running, Settings, serving
from harvester.sandbox.exchange import Answer, Call, json_answer
from harvester.state.database import connect

OWNER = "ann@example.org"
CLIENT_SECRET = "7d1f-client-hunter2-secret-0b55"
KEY_BYTES = bytes(range(100, 132))
KEY = base64.b64encode(KEY_BYTES).decode()
TODAY = utc_now().date()


@dataclass
class Traces:
    """What must not be found, and where it is looked for."""

    folder: Path
    """Everything that the harvester writes lies below it; files of the operator's own do not."""
    secrets: dict[str, str] = field(default_factory=dict)
    """Secret to what it is."""
    said: list[bytes] = field(default_factory=list)
    """Output of commands, and command lines."""

    def issued(self, call: Call, answer: Answer) -> None:
        """Remember what a token endpoint gave and what it was shown."""
        if call.raw_path == "/oauth2/token" and answer.status == 200:
            body = orjson.loads(answer.body.plain)
            self.secrets |= {body["access_token"]: "access token", body["refresh_token"]: "refresh token"}

    def heard(self, done: Command) -> int:
        """Take what a command said, and return its exit code."""
        self.said += [done.out.encode(), done.err.encode()]
        return done.code

    def places(self) -> dict[str, bytes]:
        """Return everything left behind, and what is packed in it."""
        found = {f"output {number}": text for number, text in enumerate(self.said)}
        for file in sorted(self.folder.rglob("*")):
            found[f"name of {file}"] = str(file).encode()
            if file.is_file():
                found[str(file)] = file.read_bytes()
        return found | {f"{name}, unpacked": text for name, raw in found.items() for text in _unpacked(raw)}

    def found(self) -> list[str]:
        """Return which secret was found where, in any spelling."""
        spelt = {form: what for secret, what in self.secrets.items() for form in _spellings(secret)}
        spelt |= {KEY_BYTES: "vault key"}
        any_of = re.compile(b"|".join(re.escape(form) for form in spelt))
        return [f"{spelt[hit[0]]} in {name}" for name, text in self.places().items() for hit in any_of.finditer(text)]


def _spellings(secret: str) -> set[bytes]:
    raw = secret.encode()
    return {raw, quote(secret, safe="").encode(), base64.b64encode(raw), raw.hex().encode(), raw[::-1]}


def _unpacked(raw: bytes) -> list[bytes]:
    found = []
    for unpack in (gzip.decompress, zlib.decompress, lzma.decompress):
        try:
            found.append(unpack(raw))
        except (OSError, EOFError, zlib.error, lzma.LZMAError):
            continue
    return found


def echoing(running: Running, traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the cloud repeat every secret it is shown in its refusals, as careless servers do."""
    answer = running.cloud.answer

    def careless(call: Call) -> Answer:
        shown = " ".join([call.headers.get("Authorization", ""), *call.form().values()])
        given = answer(call)
        traces.issued(call, given)
        if given.status >= 400 and given.status != 429 and call.raw_path.startswith("/monitoring"):
            return json_answer({"message": f"no way with {shown}", "code": str(given.status)}, given.status)
        if given.status >= 400 and call.raw_path == "/oauth2/token":
            body = orjson.loads(given.body.plain)
            return json_answer({**body, "error_description": f"{body['error_description']}: {shown}"}, given.status)
        return given

    monkeypatch.setattr(running.cloud, "answer", careless)


@asynccontextmanager
async def scene(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grant: str
) -> AsyncIterator[tuple[Running, Traces, dict[str, str]]]:
    """Serve a careless and faulty cloud; hand out the variables of a harvester that reads its secrets from files."""
    faults = Faults(
        http_401=0.1, http_500=0.05, cut_json=0.05, failing=("PowerAc:404", "EnergyBalance:403"), surplus=0.5
    )
    settings = Settings(
        plants=1,
        devices=3,
        owners=(OWNER,),
        start=TODAY - timedelta(days=3),
        grant=grant,  # type: ignore[arg-type]
        client_secret=CLIENT_SECRET,
        token_seconds=2,
        faults=faults,
    )
    async with serving(settings) as running:
        accept_all(running)
        traces = Traces(tmp_path / "kept", {CLIENT_SECRET: "client secret", KEY: "vault key"})
        for name, secret in (("secret", CLIENT_SECRET), ("key", KEY)):
            (tmp_path / name).write_text(secret)
            (tmp_path / name).chmod(0o600)
        echoing(running, traces, monkeypatch)
        env = environment(
            running,
            traces.folder,
            HARVESTER_SMA__GRANT=grant,
            HARVESTER_SMA__CLIENT_ID="local-sandbox",
            HARVESTER_SMA__CLIENT_SECRET_FILE=str(tmp_path / "secret"),
            HARVESTER_VAULT__KEY_FILE=str(tmp_path / "key"),
            HARVESTER_HARVEST__SINCE="2d",
        )
        yield running, traces, env


async def watched(traces: Traces, env: dict[str, str], *arguments: str) -> int:
    """Run a command, look at its line in the process list meanwhile, and return its exit code."""
    process = await started(env, *arguments)
    traces.said.append(Path(f"/proc/{process.pid}/cmdline").read_bytes() if Path("/proc").is_dir() else b"")
    out, err = await process.communicate()
    return traces.heard(Command(process.returncode or 0, out.decode(), err.decode()))


async def connected(running: Running, traces: Traces) -> None:
    """Let the owner connect through the pages, with everything that goes wrong on the way first."""
    more = {"sma__client_id": "local-sandbox", "sma__client_secret": CLIENT_SECRET}
    config = code_configured(running, traces.folder, **more, vault__key=KEY)
    port = free_port()
    running.cloud.faults = Faults()
    async with (
        code_client_of(config) as client,
        serving_connect(
            f"127.0.0.1:{port}",
            client,
            public_url=f"http://127.0.0.1:{port}",
            keyring=keyring_of(config),
            wall=utc_now,
            on_connected=lambda _owner: None,
        ) as url,
    ):
        await _through_the_pages(running, traces, connect_link(url, keyring_of(config), OWNER))


async def _through_the_pages(running: Running, traces: Traces, link: str) -> None:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        for spoil in (lambda text: f"{text}x", lambda text: text):
            sent = await browser.post(link, allow_redirects=False)
            back = await signed_in(running, sent.headers["Location"], OWNER)
            query = carried(back)
            traces.secrets |= {query["code"]: "authorization code", query["state"]: "state"}
            answer = await browser.get(back.replace(query["code"], spoil(query["code"])))
            traces.said.append(await answer.read())
    assert b"Thank you" in traces.said[-1]


@pytest.mark.parametrize("grant", ["custom", "code"])
async def test_nothing_that_runs_leave_behind_holds_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grant: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Good and refused tokens, quarantine, failures whose words repeat the token, at the lowest log level."""
    async with scene(tmp_path, monkeypatch, grant) as (running, traces, env):
        if grant == "code":
            faults = running.cloud.faults
            await connected(running, traces)
            running.cloud.faults = faults
        first = await watched(traces, env, "--log-level", "debug", "run", "--json")
        running.cloud.faults = replace(running.cloud.faults, html=1.0)
        span = ("--from", str(TODAY - timedelta(days=1)), "--to", str(TODAY))
        await watched(traces, env, "--log-level", "debug", "repair", *span, "--force", "--json")
        for question in ("status", "gaps"):
            await watched(traces, env, question, "--json")
        running.cloud.tokens.revoke(OWNER)
        (tmp_path / "secret").write_text(f"{CLIENT_SECRET}-wrong")
        traces.secrets[f"{CLIENT_SECRET}-wrong"] = "wrong client secret"
        refused = await watched(traces, env, "--log-level", "debug", "run")
        traces.said += [part.encode() for part in capfd.readouterr()]

    kinds = set(traces.secrets.values())
    assert {"access token", "refresh token", "client secret"} < kinds
    assert (grant == "code") == ("authorization code" in kinds)
    assert first == 3
    assert refused == 4
    assert b"[redacted]" in b"".join(traces.said), "the cloud's words did not come through: nothing was tried"
    assert traces.found() == []


async def test_nothing_that_a_daemon_shows_holds_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its log, its metrics and pages, with the password and without, and its call to a webhook that nobody answers."""
    async with scene(tmp_path, monkeypatch, "custom") as (running, traces, env):
        port, password = free_port(), "operator-hunter2-secret"
        hook = f"http://127.0.0.1:{free_port()}/hook/s3cret-of-the-hook"
        traces.secrets |= {password: "password", hook: "webhook"}
        env |= {
            "HARVESTER_WEB__OPERATOR": f"127.0.0.1:{port}",
            "HARVESTER_WEB__OPERATOR_PASSWORD": password,
            "HARVESTER_ALERTS__WEBHOOK_URL": hook,
            "HARVESTER_SCHEDULE__DISCOVER": "3s",
            "HARVESTER_SMA__OWNERS": f'["{OWNER}"]',
        }
        process = await started(env, "--log-level", "debug", "daemon")
        traces.said.append(Path(f"/proc/{process.pid}/cmdline").read_bytes())
        address = f"http://127.0.0.1:{port}"
        try:
            incomplete = b'sma_harvester_runs_total{outcome="incomplete"'
            await _look_at_pages(address, password, traces, until=incomplete)
            (tmp_path / "secret").write_text(f"{CLIENT_SECRET}-wrong")
            running.cloud.revoke(OWNER)
            firing = b'sma_harvester_alerts_firing{kind="consent"} 1'
            await _look_at_pages(address, password, traces, until=firing)
        finally:
            process.terminate()
            out, err = await process.communicate()
        traces.said += [out, err]

    assert b"sma_harvester_rows_total" in b"".join(traces.said)
    assert b"consent" in err
    assert traces.found() == []


async def _look_at_pages(url: str, password: str, traces: Traces, *, until: bytes) -> None:
    """Take every page once the metrics tell *until*."""
    auth, wrong = ({"Authorization": aiohttp.encode_basic_auth("operator", word)} for word in (password, "wrong"))
    async with aiohttp.ClientSession() as browser, asyncio.timeout(60):
        while True:
            with suppress(aiohttp.ClientError):
                answer = await browser.get(f"{url}/metrics", headers=auth)
                if until in await answer.read():
                    break
            await asyncio.sleep(0.2)
        for page in ("/", "/status.json", "/metrics", "/coverage", "/healthz", "/readyz"):
            for shown in (auth, {}, wrong if page == "/" else auth):
                answer = await browser.get(url + page, headers=shown)
                traces.said += [await answer.read(), str(answer.headers).encode()]


async def test_the_search_would_find_one(tmp_path: Path) -> None:
    """In a name, in a file, in a packed file, percent-encoded, in hexadecimal: each is seen."""
    traces = Traces(tmp_path, {"s3cret/s3cret": "a token"})
    (tmp_path / "a").write_bytes(b"x" + b"s3cret/s3cret" + b"y")
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"s3cret%2Fs3cret"))
    (tmp_path / "c").write_bytes(b"s3cret/s3cret".hex().encode())
    (tmp_path / "d").write_bytes(KEY_BYTES)
    traces.said.append(b"s3cret/s3cret")

    assert len(traces.found()) == 5


async def test_what_holds_sealed_tokens_is_its_owners_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file below the harvester's folders in which a sealed token lies has mode 0600; so have raw answers."""
    before = os.umask(0)
    try:
        async with scene(tmp_path, monkeypatch, "code") as (running, traces, env):
            faults = running.cloud.faults
            await connected(running, traces)
            running.cloud.faults = replace(faults, html=1.0)
            await watched(traces, env, "run")
            reader = connect(traces.folder / "ledger.db", create=False)
            with reader.connect() as db:
                sealed = bytes(db.exec_driver_sql("SELECT sealed FROM secret").scalar_one())
                holding = [f for f in traces.folder.rglob("*") if f.is_file() and sealed in f.read_bytes()]
                beside = list(traces.folder.glob("ledger.db*"))
            reader.dispose()
    finally:
        os.umask(before)
    private = [f for f in traces.folder.rglob("*") if f.is_file() and {"quarantine", "raw"} & set(f.parts)]
    modes = {f.name: stat.S_IMODE(f.stat().st_mode) for f in {*holding, *beside, *private} if f.exists()}

    assert holding
    assert {f.name for f in holding} & {"ledger.db", "ledger.db-wal"}
    assert set(modes.values()) == {0o600}
