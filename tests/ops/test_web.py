"""The operator's listener over real HTTP: who is let in, what is answered, and that nothing strange gets through."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from shown import EVIL, Shown
from structlog.testing import capture_logs

from harvester.errors import ConfigError, LedgerError
from harvester.ops.web import TRIES, serving_operator

PASSWORD = "grüner Strom"


@asynccontextmanager
async def visiting(
    shown: Shown, *, password: str | None = None, address: str = "127.0.0.1:0"
) -> AsyncIterator[aiohttp.ClientSession]:
    """Serve the pages and open a session there."""
    async with (
        serving_operator(address, shown, password=password) as url,
        aiohttp.ClientSession(url) as session,
    ):
        yield session


class Tags(HTMLParser):
    """The tags of a page, its texts, and whether all that was opened is closed."""

    VOID = frozenset({"meta", "link", "br", "!doctype"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        assert not any(name.startswith("on") for name, _ in attrs)
        self.seen.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the tag that was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.texts.append(data)


async def test_every_page_is_served_with_strict_headers() -> None:
    """And none of them asks for anything else, so that no network is needed."""
    kinds = {"/": "text/html", "/coverage": "text/html", "/metrics": "text/plain", "/status.json": "application/json"}
    async with visiting(Shown()) as session:
        for path, kind in kinds.items():
            async with session.get(path) as answer:
                text = await answer.text()
                assert (answer.status, answer.content_type) == (200, kind)
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Cache-Control"] == "no-store"
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "frame-ancestors 'none'" in policy
                assert ("script-src 'none'" in policy) == (path != "/coverage")
                assert "http://" not in text.replace("http://127.0.0.1", "")
            async with session.head(path) as answer:
                assert (answer.status, await answer.read()) == (200, b"")


async def test_names_from_the_api_are_text_and_secrets_are_masked() -> None:
    """A plant named `<script>` is shown with that name and runs nothing."""
    async with visiting(Shown()) as session:
        overview = await (await session.get("/")).text()
        coverage = await (await session.get("/coverage")).text()
        facts = await (await session.get("/status.json")).json()

    for text in (overview, coverage):
        assert EVIL not in text
        assert EVIL in "".join(Tags(text).texts)
    tags = Tags(overview)
    assert tags.open == []
    assert not {"script", "link", "img", "iframe", "form"} & set(tags.seen)
    assert facts["fleet"]["stalest"][1]["name"] == EVIL
    for text in (overview, json.dumps(facts)):
        assert "hunter2secret" not in text
        assert "password=***" in text


async def test_the_overview_says_how_everything_stands() -> None:
    """Plants, freshness, coverage, budget, disk, consents, what is done now and next, what was done, what is wrong."""
    async with visiting(Shown()) as session:
        text = " ".join("".join(Tags(await (await session.get("/")).text()).texts).split())

    for words in (
        "1 needs a person",
        "1 stale, 1 without rows (limit 24 h)",
        "the oldest 30 h 00 min",
        "92.8 %",
        "130 of 140 series-days",
        "412 of 1,000 requests",
        "40 GB free",
        "92 % of 500 GB is in use",
        "12 accepted1 Revoked",
        "rests",
        "due now",
        "in 4 min",
        "something failed: 1",
        "12,345",
        "running for 3 days",
    ):
        assert words in text


async def test_metrics_are_what_prometheus_reads() -> None:
    """With the content type that names the format's version."""
    shown = Shown()
    shown.numbers.broke("live")
    async with visiting(shown) as session, session.get("/metrics") as answer:
        assert "version=" in answer.headers["Content-Type"]
        found = {f.name: f for f in text_string_to_metric_families(await answer.text())}
    broken = [s.value for s in found["sma_harvester_runs"].samples if s.labels.get("outcome") == "broken"]
    assert sum(broken) == 1


async def test_checks_answer_503_with_the_reasons() -> None:
    """As JSON, for a person who asks why."""
    shown = Shown()
    async with visiting(shown) as session:
        async with session.get("/healthz") as answer:
            assert (answer.status, await answer.json()) == (200, {"status": "ok", "reasons": []})
        async with session.get("/readyz") as answer:
            assert answer.status == 503
            assert await answer.json() == {"status": "failing", "reasons": ["SMA has not given a token yet."]}
        shown.reasons = ("The worker has not turned for 300 seconds.",)
        async with session.get("/healthz") as answer:
            assert (answer.status, (await answer.json())["reasons"]) == (503, list(shown.reasons))


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("localhost", 200),
        ("localhost:9999", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8651", 200),
        ("LOCALHOST", 200),
        ("evil.example.org", 403),
        ("localhost.evil.example.org", 403),
        ("evil.example.org:8651", 403),
        ("127.0.0.1.nip.io", 403),
        ("[::1", 403),
        ("", 403),
        ("operator@evil.example.org", 403),
    ],
)
async def test_a_page_of_somebody_else_cannot_reach_it_by_name(host: str, code: int) -> None:
    """DNS rebinding: only names of this machine are answered, on every path."""
    async with visiting(Shown()) as session:
        for path in ("/", "/metrics", "/healthz"):
            async with session.get(path, headers={"Host": host}) as answer:
                assert answer.status == code
                assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_nothing_can_be_changed(method: str) -> None:
    """GET and HEAD only, on known and unknown paths."""
    async with visiting(Shown()) as session:
        for path in ("/", "/nowhere"):
            async with session.request(method, path) as answer:
                assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
        async with session.get("/nowhere") as answer:
            assert (answer.status, answer.headers["X-Frame-Options"]) == (404, "DENY")


async def test_a_password_is_asked_for_everything_but_the_checks() -> None:
    """The user is operator; orchestrators have no password; a name is as good as another then."""
    right = f"Basic {b64encode(f'operator:{PASSWORD}'.encode()).decode()}"
    async with visiting(Shown(), password=PASSWORD) as session:
        for path in ("/", "/metrics", "/coverage", "/status.json", "/nowhere"):
            async with session.get(path) as answer:
                assert answer.status == 401
                assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
                assert PASSWORD not in await answer.text()
        for path, code in (("/", 200), ("/metrics", 200), ("/nowhere", 404)):
            async with session.get(path, headers={"Authorization": right, "Host": "solar.example.org"}) as answer:
                assert answer.status == code
        for path, code in (("/healthz", 200), ("/readyz", 503)):
            async with session.get(path) as answer:
                assert answer.status == code


@pytest.mark.parametrize(
    "given",
    ["operator:wrong", "admin:grüner Strom", "operator:", ":grüner Strom", "operator", "", "operator:grüner Strom2"],
)
async def test_nothing_but_the_password_opens(given: str) -> None:
    """Nor another scheme, nor what is no base64."""
    packed = b64encode(given.encode()).decode()
    async with visiting(Shown(), password=PASSWORD) as session:
        for header in (f"Basic {packed}", f"Bearer {packed}", "Basic ****", "Basic"):
            async with session.get("/", headers={"Authorization": header}) as answer:
                assert answer.status == 401


async def test_who_guesses_has_to_wait() -> None:
    """After five wrong passwords even the right one is not looked at for a while; checks and others are."""
    right = f"Basic {b64encode(f'operator:{PASSWORD}'.encode()).decode()}"
    async with visiting(Shown(), password=PASSWORD) as session:
        for _ in range(TRIES):
            async with session.get("/", headers={"Authorization": "Basic d3Jvbmc="}) as answer:
                assert answer.status == 401
        for header in ("Basic d3Jvbmc=", right):
            async with session.get("/", headers={"Authorization": header}) as answer:
                assert answer.status == 429
                assert 0 < int(answer.headers["Retry-After"]) <= 61
        async with session.get("/healthz") as answer:
            assert answer.status == 200


async def test_a_page_that_cannot_be_made_tells_nothing_of_its_inside() -> None:
    """One of our errors says what to do, with secrets masked; any other is in the log only."""
    shown = Shown()
    async with visiting(shown) as session:
        shown.error = LedgerError("ledger.db: no space is left, token=abcdefgh12345678 of ada@example.org")
        async with session.get("/") as answer:
            assert (answer.status, await answer.text()) == (
                503,
                "ledger.db: no space is left, token=*** of a***@example.org\n",
            )
        shown.error = KeyError("internal")
        with capture_logs() as lines:
            async with session.get("/status.json") as answer:
                assert answer.status == 500
                assert "internal" not in await answer.text()
    assert [line["event"] for line in lines] == ["web.failed"]


async def test_the_coverage_is_made_once_for_many_visitors() -> None:
    """And kept for a minute."""
    shown = Shown()
    async with visiting(shown) as session:
        answers = [await session.get("/coverage") for _ in range(5)]
        texts = {await answer.text() for answer in answers}

    assert (len(texts), shown.pages_made) == (1, 1)


async def test_where_nothing_can_listen(tmp_path: Path) -> None:
    """A port that is taken, and an address that others reach without a password."""
    shown = Shown()
    async with serving_operator("localhost:0", shown, password=None) as url:
        port = url.rpartition(":")[2]
        with pytest.raises(ConfigError, match=rf"web\.operator: nothing can listen on localhost:{port}"):
            async with serving_operator(f"localhost:{port}", shown, password=None):
                pass
    with pytest.raises(ConfigError, match="HARVESTER_WEB__OPERATOR_PASSWORD"):
        async with serving_operator("0.0.0.0:0", shown, password=None):
            pass
    async with visiting(shown, address="0.0.0.0:0", password="x") as session, session.get("/healthz") as answer:
        assert answer.status == 200
