"""Owners: asking them, reading their answers, and what a harvest does with each of them."""

import asyncio
import os
from datetime import date
from pathlib import Path
from typing import Any

from running import accept_all, backfilled, command, configured, environment

from harvester.sandbox import Running, Settings, serving

CONFIG = Path(__file__).parents[1] / "config"
ONE, TWO, THREE = "anna+pv@example.org", "bert@example.org", "carla@example.org"
START = date(2026, 9, 1)
"""Young plants: the sums of their lives are soon made."""
DAY = date(2026, 10, 6)


def owned(running: Running, folder: Path, *owners: str) -> dict[str, str]:
    """Return the variables of a harvester that asks these owners."""
    listed = "[" + ", ".join(f'"{owner}"' for owner in owners) + "]"
    return environment(running, folder, HARVESTER_SMA__OWNERS=listed)


def states(told: list[dict[str, Any]]) -> dict[str, str]:
    """Return the state of each owner."""
    return {each["owner"]: each["state"] for each in told}


class TestAsking:
    """`consent request`, `status`, `simulate`."""

    async def test_all_configured_owners_are_asked_and_nobody_waits(self, tmp_path: Path) -> None:
        """Without names: every owner Pending, at once; an address with a plus stays what it is."""
        async with serving(Settings(plants=2, devices=1, start=START, owners=(ONE, TWO))) as running:
            env = owned(running, tmp_path, ONE, TWO)
            async with asyncio.timeout(30):
                asked = await command(env, "consent", "request", "--json")
            played = await command(env, "consent", "simulate", ONE)
            status = await command(env, "consent", "status", "--json")
            accepted = {owner for owner in (ONE, TWO) if running.cloud.consents.accepted(owner)}

        assert asked.code == played.code == status.code == 0
        assert states(asked.json) == {ONE: "Pending", TWO: "Pending"}
        assert states(status.json) == {ONE: "Accepted", TWO: "Pending"}
        assert accepted == {ONE}
        assert ONE in played.out
        assert TWO not in played.out

    async def test_an_owner_nobody_asked_is_told_apart_and_costs_the_others_nothing(self, tmp_path: Path) -> None:
        """`simulate` answers for those who were asked, names the other with what to do, and ends with 3."""
        async with serving(Settings(plants=2, devices=1, start=START, owners=(ONE, TWO))) as running:
            env = owned(running, tmp_path, ONE, TWO)
            running.cloud.consents.decide(TWO, "Pending")
            played = await command(env, "consent", "simulate", "--json")

        assert played.code == 3
        assert states(played.json) == {ONE: None, TWO: "Accepted"}
        assert "request consent first" in next(each["error"] for each in played.json if each["owner"] == ONE)

    async def test_what_is_no_address_is_refused_before_anybody_is_asked(self, tmp_path: Path) -> None:
        """2 for a bad e-mail among good ones; no owner gets a mail."""
        async with serving(Settings(plants=1, devices=1, start=START)) as running:
            told = await command(environment(running, tmp_path), "consent", "request", TWO, "not-an-address")
            requests = running.cloud.counts.as_dict()["requests"]

        assert told.code == 2
        assert "not-an-address" in told.err
        assert "consent" not in requests


class TestFile:
    """`consent request --file` as a person types it."""

    async def test_a_list_is_asked_and_a_bad_one_is_refused_with_its_lines(self, tmp_path: Path) -> None:
        """2 and nobody asked; then 0, every owner in full on stdout and none of them in the log."""
        bad, good = tmp_path / "bad.csv", tmp_path / "good.csv"
        bad.write_text(f"{ONE}\nnobody\n{TWO}\nno one\n")
        good.write_text(f"Owner;Town\n{ONE};Kassel\n{TWO};Bonn\n")
        async with serving(Settings(plants=1, devices=1, start=START, owners=(ONE, TWO))) as running:
            env = owned(running, tmp_path, THREE)
            refused = await command(env, "consent", "request", "--file", str(bad))
            before = running.cloud.counts.as_dict()["requests"].get("consent", 0)
            asked = await command(env, "consent", "request", "--file", str(good), "--json")

        assert (refused.code, before, asked.code) == (2, 0, 0)
        assert "line 2: 'nobody'" in refused.err
        assert "line 4: 'no one'" in refused.err
        assert states(asked.json) == {ONE: "Pending", TWO: "Pending"}
        assert "a***@example.org" in asked.err
        assert ONE not in asked.err


class TestHarvesting:
    """`run`, `backfill` and `discover` where owners have or have not agreed."""

    async def test_without_any_consent_each_owner_is_named_with_the_reason(self, tmp_path: Path) -> None:
        """4 from run and from discover, before anything is asked, pending and rejected; nothing on stdout but JSON."""
        async with serving(Settings(plants=3, devices=1, start=START, owners=(ONE, TWO, THREE))) as running:
            env = owned(running, tmp_path, ONE, TWO, THREE)
            running.cloud.consents.decide(TWO, "Pending")
            running.cloud.consents.decide(THREE, "Rejected")
            run = await command(env, "run", "--json")
            found = await command(env, "discover")

        assert run.code == found.code == 4
        for done in (run, found):
            assert "Traceback" not in done.err
            for owner, state in ((ONE, "NotAsked"), (TWO, "Pending"), (THREE, "Rejected")):
                assert f"{owner}: {state}" in done.err
            assert "harvester consent request" in done.err
        assert run.out == "" or isinstance(run.json, dict)

    async def test_one_withdrawn_owner_among_several_is_a_warning(self, tmp_path: Path) -> None:
        """0, warnings name the plants that are gone, the other owner's are harvested; with both gone 4."""
        async with serving(Settings(plants=4, devices=1, start=START, owners=(ONE, TWO))) as running:
            accept_all(running)
            env = owned(running, tmp_path, ONE, TWO)
            whole = await backfilled(configured(running, tmp_path), DAY, DAY, sets=frozenset({"EnergyBalance"}))
            running.cloud.revoke(TWO)
            gone = [plant.plant_id for plant in running.cloud.world.plants() if plant.owner == TWO]
            part = await command(env, "backfill", "--from", str(DAY), "--to", str(DAY))
            running.cloud.revoke(ONE)
            none = await command(env, "run")

        assert (whole.exit_code, whole.plants, whole.warnings) == (0, 4, [])
        assert part.code == 0
        assert len(gone) == 2
        assert "Warning" in part.out
        assert [plant for plant in gone if plant not in part.out] == []
        assert "\n2 plants, " in part.out
        assert none.code == 4
        assert f"{ONE}: Revoked" in none.err
        assert f"{TWO}: Revoked" in none.err


class TestShipped:
    """config/sma-sandbox.toml, with id and secret set and nothing else."""

    async def test_the_starved_sandbox_is_harvested_with_the_shipped_file(self, tmp_path: Path) -> None:
        """Consent, its simulation and a run end with 0, and what is empty is called empty, not failed."""
        folder = tmp_path / "config"
        folder.mkdir()
        (folder / "sma-sandbox.toml").write_text((CONFIG / "sma-sandbox.toml").read_text())
        async with serving(
            Settings(profile="sma", start=START, client_id="my-app", client_secret="my-secret")
        ) as running:
            env = {
                **{name: value for name, value in os.environ.items() if not name.startswith("HARVESTER_")},
                "HARVESTER_CONFIG": str(folder / "sma-sandbox.toml"),
                "HARVESTER_SMA__CLIENT_ID": "my-app",
                "HARVESTER_SMA__CLIENT_SECRET": "my-secret",
                "HARVESTER_SMA__AUTH_URL": running.url,
                "HARVESTER_SMA__CONSENT_URL": running.url,
                "HARVESTER_SMA__MONITORING_URL": f"{running.url}/monitoring/v1",
            }
            asked = await command(env, "consent", "request", "--json")
            played = await command(env, "consent", "simulate", "--json")
            done = await command(env, "run", "--json")

        assert [asked.code, played.code, done.code] == [0, 0, 0]
        assert states(asked.json) == {"apiTestUser@apiSandbox.com": "Pending"}
        assert states(played.json) == {"apiTestUser@apiSandbox.com": "Accepted"}
        assert done.json["failed"] == []
        assert done.json["slices"]["empty"] > 100
        assert done.json["rows"]["plant_energy_balance"] > 0
        assert (tmp_path / "storage" / "data" / "sma-sandbox" / "plant_energy_balance").is_dir()
        assert "my-secret" not in "".join(each.out + each.err for each in (asked, played, done))
