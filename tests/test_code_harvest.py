"""Harvests in the code grant: many owners and many tokens, one lake; through the command a person types."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from connecting import KEY, carried, code_configured, connected
from running import backfilled, command, configured, environment, started
from truth_frames import days, differences, lake_tables, truth_tables

from harvester.compose import client_of, keyring_of
from harvester.config import Config
from harvester.errors import ConfigError, LedgerError
from harvester.owners import consenting
from harvester.sandbox import Running, Settings, serving
from harvester.sandbox.exchange import Answer, Call
from harvester.state.database import connect
from harvester.state.inventory import Inventory
from harvester.state.vault import Keyring, Vault

ANN, BOB = "ann@example.org", "bob@example.org"
FIRST, LAST = date(2026, 5, 4), date(2026, 5, 6)
Tables = dict[str, pl.DataFrame]


def cloud(plants: int = 4, **more: object) -> Settings:
    """Return a small cloud of two owners whose client has the code grant."""
    return Settings(plants=plants, devices=3, owners=(ANN, BOB), start=date(2026, 5, 1), grant="code", **more)  # type: ignore[arg-type]


def owned(running: Running, owner: str) -> set[str]:
    """Return the plants of *owner*."""
    return {plant.plant_id for plant in running.cloud.truth.plants() if plant.owner == owner}


def refresh_of(config: Config, owner: str) -> str | None:
    """Return what the vault holds."""
    engine = connect(config.ledger.path, create=False)
    try:
        return Vault(engine, Keyring.parse(KEY), running_now).get(owner, "refresh token")
    finally:
        engine.dispose()


def running_now() -> object:
    """Never asked: nothing is sealed again."""
    raise AssertionError


def amiss(lake: Tables, truth: Tables, plants: set[str] | None = None) -> list[str]:
    """Return how the *lake* differs from the *truth* on the days of the truth; more days may be there."""
    found = []
    for table, want in truth.items():
        have = lake[table].filter(pl.col("local_time").dt.date().is_in(want["local_time"].dt.date().unique().to_list()))
        have = have.filter(pl.col("plant_id").is_in(list(plants))) if plants else have
        found += differences({table: have}, {table: want})
    return found


async def test_two_owners_two_tokens_one_lake(tmp_path: Path) -> None:
    """The lake equals the truth about all plants, through token after token."""
    async with serving(cloud(token_seconds=1)) as running:
        config = code_configured(running, tmp_path)
        await connected(config, running, (ANN, BOB))
        report = await backfilled(config, FIRST, LAST)
        lake, truth = lake_tables(config.lake.root), truth_tables(running.cloud, days(FIRST, LAST))
        stale = running.cloud.counts.stale_refreshes

    assert report.exit_code == 0
    assert report.plants == 4
    assert amiss(lake, truth) == []
    assert report.requests["token"] > 2
    assert stale == 0


async def test_the_command_needs_nothing_but_variables(tmp_path: Path) -> None:
    """`harvester run` after two owners have connected: exit code 0 and rows of both."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    settings = replace(cloud(plants=2), start=yesterday - timedelta(days=1))
    async with serving(settings) as running:
        config = code_configured(running, tmp_path)
        await connected(config, running, (ANN, BOB))
        more = {"HARVESTER_SMA__GRANT": "code", "HARVESTER_VAULT__KEY": KEY, "HARVESTER_HARVEST__SINCE": "1d"}
        done = await command(environment(running, tmp_path, **more), "run", "--json")
        lake = lake_tables(config.lake.root)
        plants = {plant.plant_id for plant in running.cloud.truth.plants()}

    assert done.code == 0, done.err
    assert done.json["plants"] == 2
    assert set(lake["plant_energy_balance"]["plant_id"].unique()) == plants


async def test_one_owner_withdraws_and_the_others_go_on(tmp_path: Path) -> None:
    """Exit code 0 with a warning; only the one's plants are suspended, and their rows stay."""
    later = LAST + timedelta(days=2)
    async with serving(cloud()) as running:
        config = code_configured(running, tmp_path)
        await connected(config, running, (ANN, BOB))
        await backfilled(config, FIRST, LAST)
        running.cloud.revoke(BOB)
        report = await backfilled(config, FIRST, later)
        lake = lake_tables(config.lake.root)
        hers = truth_tables(running.cloud, days(FIRST, later), plants=owned(running, ANN))
        his = truth_tables(running.cloud, days(FIRST, LAST), plants=owned(running, BOB))
        engine = connect(config.ledger.path)
        missing = {k.plant.plant_id for k in Inventory(engine, plants_per_file=100).plants() if k.missing_count}
        engine.dispose()
        theirs = owned(running, BOB)

    assert report.exit_code == 0
    assert report.misses == []
    assert report.plants == len(owned(running, ANN))
    assert missing == theirs
    assert len(report.warnings) >= len(theirs)
    assert amiss(lake, hers, owned(running, ANN)) == []
    assert amiss(lake, his, theirs) == []


async def test_a_run_killed_right_after_a_rotation_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL at the first use of a new access token: its refresh token is on the disk, and the next run works."""
    async with serving(cloud(plants=2)) as running:
        config = code_configured(running, tmp_path)
        await connected(config, running, (ANN,))  # of two, the other's answer could be lost on its way
        before = refresh_of(config, ANN)
        env = environment(running, tmp_path, HARVESTER_SMA__GRANT="code", HARVESTER_VAULT__KEY=KEY)
        span = ("backfill", "--from", str(FIRST), "--to", str(LAST))
        answer, process, kept = running.cloud.answer, await started(env, *span), []

        def killing(call: Call) -> Answer:
            grant = running.cloud.tokens.bearer(call.headers.get("Authorization"))
            if grant is not None and not kept:
                process.kill()
                kept.append(refresh_of(config, ANN))
            return answer(call)

        monkeypatch.setattr(running.cloud, "answer", killing)
        await process.communicate()
        works = kept[0] in running.cloud.tokens._refresh
        second = await command(env, *span)
        lake, truth = (
            lake_tables(config.lake.root),
            truth_tables(running.cloud, days(FIRST, LAST), plants=owned(running, ANN)),
        )
        stale = running.cloud.counts.stale_refreshes

    assert process.returncode == -9
    assert kept[0] != before
    assert works
    assert second.code == 0
    assert stale == 0
    assert amiss(lake, truth) == []


async def test_nobody_connected_or_everybody_gone_is_told(tmp_path: Path) -> None:
    """Exit code 4 with the way to the connect page, before and after."""
    async with serving(cloud()) as running:
        config = code_configured(running, tmp_path)
        env = environment(running, tmp_path, HARVESTER_SMA__GRANT="code", HARVESTER_VAULT__KEY=KEY)
        nobody = await command(env, "run")
        await connected(config, running, (ANN,))
        running.cloud.revoke(ANN)
        gone = await command(env, "run")

    assert nobody.code == 4
    assert "connect page" in nobody.err
    assert gone.code == 4


@pytest.mark.parametrize("key", [{}, {"HARVESTER_VAULT__KEY": "hunter2hunter2"}])
async def test_a_key_that_is_missing_or_wrong_is_a_matter_of_configuration(tmp_path: Path, key: dict[str, str]) -> None:
    """Exit code 2, the variable, how to make one; and not the key itself."""
    async with serving(cloud()) as running:
        found = await command(environment(running, tmp_path, HARVESTER_SMA__GRANT="code", **key), "run")

    assert found.code == 2
    assert "openssl rand -base64 32" in found.err.replace("\n", " ")
    assert "hunter2" not in found.err


async def test_without_a_ledger_there_are_no_tokens(tmp_path: Path) -> None:
    """Asked before anything is there, the client says so and makes nothing."""
    async with serving(cloud()) as running:
        config = configured(running, tmp_path, sma__grant="code", vault__key=KEY)
        with pytest.raises(LedgerError, match="no ledger yet"):
            client_of(config)
        with pytest.raises(ConfigError, match=r"vault\.key"):
            client_of(configured(running, tmp_path, sma__grant="code"))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("as_json", [True, False])
async def test_the_operator_gets_a_link_for_each_owner(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, as_json: bool
) -> None:
    """`consent request EMAIL` prints the owner's own link, whole and with a mark that the pages take."""
    async with serving(cloud()) as running:
        public = "https://connect.solar-operations.example.org"
        config = code_configured(running, tmp_path, web__public_url=public)
        code = await consenting.request(config, ["Ann@example.org"], file=None, again=False, as_json=as_json)
    out = capsys.readouterr().out
    link = json.loads(out)[0]["connect_url"] if as_json else out.split()[-1]
    query = carried(link)

    assert code == 0
    assert link.startswith(f"{public}/connect?")
    assert query["owner"] == ANN
    assert keyring_of(config).marked("connect link", ANN, query["mark"])
