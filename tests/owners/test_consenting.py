"""The consent commands, in this process: files of owners, what is printed, what is remembered."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from running import configured

from harvester.compose import writable
from harvester.config import Config
from harvester.errors import ConfigError
from harvester.owners import consenting
from harvester.sandbox import Running, Settings, serving
from harvester.sma.consent import ConsentState
from harvester.state.database import connect
from harvester.state.owners import CODE, Owners, Seen
from harvester.state.tables import OWNER, to_seconds

ANN, BOB = "ann@example.org", "bob@example.org"
SETTINGS = Settings(plants=1, devices=1, start=date(2026, 9, 1), owners=(ANN, BOB))
Capture = pytest.CaptureFixture[str]


def set_up(running: Running, folder: Path, **more: Any) -> Config:
    """Return the configuration of a harvester that asks two owners."""
    return configured(running, folder, **{"sma__owners": [ANN, BOB], **more})


@contextmanager
def book(config: Config) -> Iterator[Owners]:
    """Open the owners' book."""
    engine = connect(config.ledger.path)
    try:
        yield Owners(engine)
    finally:
        engine.dispose()


def told(capsys: Capture) -> list[dict[str, Any]]:
    """Return what was printed as JSON, below the lines of a log that nobody has set up."""
    return listed(capsys.readouterr().out)


def listed(out: str) -> list[dict[str, Any]]:
    """Return the JSON at the end of *out*."""
    found: list[dict[str, Any]] = json.loads(out if out.startswith("[\n") else out[out.index("\n[\n") :])
    return found


def nowhere() -> str:
    """Return an address where nobody listens."""
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{nobody.getsockname()[1]}"


class TestFile:
    """`consent request --file`."""

    async def test_three_hundred_owners_are_asked_once(self, tmp_path: Path, capsys: Capture) -> None:
        """Who was asked or has accepted is left out by the next file, but for --again; the ledger is made."""
        names = [f"owner{number}@example.org" for number in range(300)]
        file = tmp_path / "owners.csv"
        file.write_text("name;E-Mail\n" + "".join(f"Owner;{name}\n" for name in [*names, names[0].upper()]))
        async with serving(SETTINGS) as running:
            config = set_up(running, tmp_path)
            code = await consenting.request(config, (), file=file, again=False, as_json=True)
            first = told(capsys)
            once = running.cloud.counts.as_dict()["requests"]["consent"]
            running.cloud.accept(names[7])
            await consenting.status(config, [names[7]], asking=True, as_json=True)
            capsys.readouterr()
            with file.open("a") as more:
                more.write("Owner;late@example.org\n")
            await consenting.request(config, (), file=file, again=False, as_json=True)
            second = told(capsys)
            await consenting.request(config, (), file=file, again=True, as_json=True)
            third = told(capsys)

        assert code == 0
        assert sorted(each["owner"] for each in first) == sorted(names)
        assert {each["state"] for each in first} == {"Pending"}
        assert once == 300
        assert [each["owner"] for each in second if each["asked"]] == ["late@example.org"]
        assert "has accepted" in next(each["reason"] for each in second if each["owner"] == names[7])
        assert "was asked at" in next(each["reason"] for each in second if each["owner"] == names[8])
        assert len([each for each in third if each["asked"]]) == 301

    async def test_one_that_fails_is_named_and_the_others_are_asked(self, tmp_path: Path, capsys: Capture) -> None:
        """3, and the next request asks nobody else again; the words for a person say the same."""
        async with serving(SETTINGS) as running:
            config = set_up(running, tmp_path)
            running.cloud.consents.decide(BOB, "Pending")
            code = await consenting.simulate(config, (), ConsentState.ACCEPTED, as_json=False)
            said = capsys.readouterr()

        assert code == 3
        assert f"{ANN}: no pending request" in said.err
        assert BOB in said.out

    async def test_a_bad_file_asks_nobody(self, tmp_path: Path) -> None:
        """And so does a call with both names and a file."""
        file = tmp_path / "owners.csv"
        file.write_text(f"{ANN}\nnobody\n")
        async with serving(SETTINGS) as running:
            config = set_up(running, tmp_path)
            with pytest.raises(ConfigError, match="line 2: 'nobody'"):
                await consenting.request(config, (), file=file, again=False, as_json=True)
            with pytest.raises(ConfigError, match="not both"):
                await consenting.request(config, [ANN], file=file, again=False, as_json=True)
            assert "consent" not in running.cloud.counts.as_dict()["requests"]


class TestStatus:
    """`consent status`."""

    async def test_it_tells_plants_times_and_what_is_stuck(self, tmp_path: Path, capsys: Capture) -> None:
        """Who has not answered for days is named with what to do; plants are certain or possible."""
        async with serving(SETTINGS) as running:
            config = set_up(running, tmp_path)
            await consenting.request(config, (), file=None, again=False, as_json=True)
            capsys.readouterr()
            with book(config) as owners:
                owners.attribute({"1": frozenset({ANN}), "2": frozenset({ANN, BOB})}, datetime.now(UTC))
                owners.record(Seen(owner=BOB, state="Unknown"), datetime.now(UTC) - timedelta(days=6))
                owners.record(Seen(owner=BOB, state="Pending"), datetime.now(UTC) - timedelta(days=5))
            running.cloud.accept(ANN)
            code = await consenting.status(config, (), asking=True, as_json=True)
            ann, bob = told(capsys)
            await consenting.status(config, (), asking=False, as_json=False)
            page = capsys.readouterr().out

        assert code == 0
        assert (ann["owner"], ann["state"], ann["attention"]) == (ANN, "Accepted", None)
        assert ann["plants"] == {"certain": ["1"], "possible": ["2"]}
        assert datetime.fromisoformat(ann["next_look"]) - datetime.fromisoformat(ann["seen_at"]) == timedelta(days=1)
        assert bob["plants"] == {"certain": [], "possible": ["2"]}
        assert "no answer for 5 days" in bob["attention"]
        assert "1 + 1 possible" in page
        assert f"{BOB}: no answer for 5 days" in page

    async def test_an_unreachable_service_leaves_what_was_known(self, tmp_path: Path, capsys: Capture) -> None:
        """3 and a note."""
        async with serving(SETTINGS) as running:
            config = set_up(running, tmp_path)
            await consenting.request(config, (), file=None, again=False, as_json=True)
            gone = configured(running, tmp_path, sma__owners=[ANN, BOB], sma__consent_url=nowhere())
            capsys.readouterr()
            code = await consenting.status(gone, (), asking=True, as_json=True)
            said = capsys.readouterr()

        assert code == 3
        assert [each["state"] for each in listed(said.out)] == ["Pending", "Pending"]
        assert "cannot be reached" in said.err

    async def test_a_stranger_is_told_and_not_remembered(self, tmp_path: Path, capsys: Capture) -> None:
        """A mistyped address must not be looked for every day."""
        async with serving(SETTINGS) as running:
            config = set_up(running, tmp_path)
            await consenting.status(config, ["cat@example.org"], asking=True, as_json=True)
            state = told(capsys)[0]["state"]
            await consenting.status(config, (), asking=True, as_json=True)
            owners = [each["owner"] for each in told(capsys)]

        assert state == "NotAsked"
        assert owners == [ANN, BOB]

    async def test_it_works_beside_a_writer(self, tmp_path: Path, capsys: Capture) -> None:
        """The lake's lock is somebody else's."""
        async with serving(SETTINGS) as running:
            config = set_up(running, tmp_path)
            with writable(config, "daemon"):
                code = await consenting.request(config, [ANN], file=None, again=False, as_json=True)

        assert code == 0
        assert told(capsys)[0]["asked"]


class TestPurged:
    """An owner whose data was deleted."""

    async def test_only_a_request_by_name_revives_one(self, tmp_path: Path, capsys: Capture) -> None:
        """Not the configuration, not a file, not a look."""
        file = tmp_path / "owners.csv"
        file.write_text(f"{ANN}\n")
        async with serving(SETTINGS) as running:
            config = set_up(running, tmp_path)
            with book(config) as owners:
                owners.record(Seen(owner=ANN, state="Accepted"), datetime.now(UTC))
            engine = connect(config.ledger.path)
            with engine.begin() as db:
                db.execute(sa.update(OWNER).values(purged_at=to_seconds(datetime.now(UTC))))
            engine.dispose()
            await consenting.request(config, (), file=None, again=False, as_json=True)
            whole = {each["owner"]: each["asked"] for each in told(capsys)}
            await consenting.request(config, (), file=file, again=True, as_json=True)
            filed = told(capsys)
            await consenting.status(config, [ANN], asking=True, as_json=True)
            looked = told(capsys)
            await consenting.request(config, [ANN], file=None, again=False, as_json=True)
            named = told(capsys)

        assert whole == {BOB: True, ANN: False}
        assert [each["asked"] for each in filed] == [False]
        assert "was deleted on" in filed[0]["reason"]
        assert looked[0]["purged_at"] is not None
        assert [(each["asked"], each["purged_at"]) for each in named] == [(True, None)]


class TestCode:
    """The other grant, where owners log in themselves."""

    async def test_the_address_for_owners_is_printed_and_the_book_is_shown(
        self, tmp_path: Path, capsys: Capture
    ) -> None:
        """Nobody is asked; without an address it is a mistake of the configuration."""
        async with serving(SETTINGS) as running:
            unset = configured(running, tmp_path, sma__grant="code")
            with pytest.raises(ConfigError, match=r"web\.public_url"):
                await consenting.request(unset, (), file=None, again=False, as_json=False)
            config = configured(running, tmp_path, sma__grant="code", web__public_url="https://sun.example.org/")
            with book(config) as owners:
                owners.record(Seen(owner="roof-1", state="Accepted", grant=CODE), datetime.now(UTC))
            codes = [await consenting.request(config, (), file=None, again=False, as_json=False)]
            page = capsys.readouterr().out
            codes.append(await consenting.status(config, (), asking=True, as_json=True))

        assert codes == [0, 0]
        assert "https://sun.example.org/connect" in page
        assert [(each["owner"], each["state"]) for each in told(capsys)] == [("roof-1", "Accepted")]
