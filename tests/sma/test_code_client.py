"""The client of many owners: whose token asks for what, and what one owner's trouble is to the others."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from connecting import NOWHERE, admitted, carried, code_configured, signed_in

from harvester.compose import code_client_of
from harvester.config import Config
from harvester.errors import (
    ConfigError,
    CredentialsRefused,
    Forbidden,
    NothingToAsk,
    OwnerRefused,
    Rejected,
    ServerTrouble,
    Unsealed,
)
from harvester.model import Period, Series, Slice
from harvester.sandbox import Running, Settings, serving
from harvester.sandbox.exchange import Answer, Call
from harvester.sma.consent import ConsentState
from harvester.state.database import connect
from harvester.state.inventory import Inventory
from harvester.state.owners import Owners

ANN, BOB = "ann@example.org", "bob@example.org"
DAY = date(2026, 5, 4)


def cloud(**more: Any) -> Settings:
    """Return a small cloud of two owners whose client has the code grant."""
    return Settings(
        **{"plants": 4, "devices": 3, "owners": (ANN, BOB), "start": date(2026, 5, 1), "grant": "code", **more}
    )


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    """Serve it."""
    async with serving(cloud()) as served:
        yield served


@pytest.fixture
def config(running: Running, tmp_path: Path) -> Config:
    """Configure a harvester of it."""
    return code_configured(running, tmp_path)


def ids(running: Running, *owners: str) -> set[str]:
    """Return the plants of *owners*."""
    return {plant.plant_id for plant in running.cloud.truth.plants() if plant.owner in owners}


def troubled(running: Running, monkeypatch: pytest.MonkeyPatch, owner: str, status: int = 503) -> None:
    """Let the token endpoint fail for *owner* alone."""
    answer, known = running.cloud.answer, running.cloud.tokens._refresh

    def failing(call: Call) -> Answer:
        grant = known.get(call.form().get("refresh_token", "")) if call.raw_path == "/oauth2/token" else None
        return Answer(status=status) if grant is not None and grant.owner == owner else answer(call)

    monkeypatch.setattr(running.cloud, "answer", failing)


async def test_two_owners_are_one_list_and_each_plant_is_asked_with_its_token(
    running: Running, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every method finds the right token, though no method of the client names an owner."""
    seen: list[tuple[str | None, str]] = []
    answer = running.cloud.answer

    def watching(call: Call) -> Answer:
        grant = running.cloud.tokens.bearer(call.headers.get("Authorization"))
        seen.append((grant.owner if grant else None, call.raw_path))
        return answer(call)

    monkeypatch.setattr(running.cloud, "answer", watching)
    async with code_client_of(config) as client:
        for owner in (ANN, BOB):
            await admitted(client, running, owner, owner)
        plants = await client.plants()
        assert {plant.plant_id for plant in plants} == ids(running, ANN, BOB)
        for plant in plants:
            owner = client.owner_of(plant.plant_id)
            assert plant.plant_id in ids(running, owner or "")
            seen.clear()
            device = (await client.devices(plant.plant_id))[0]
            await client.plant(plant.plant_id)
            await client.plant_sets(plant.plant_id)
            await client.device_sets(device.device_id)
            await client.device_now(device.device_id)
            await client.plant_now(plant.plant_id)
            series = Series(plant_id=plant.plant_id, set="EnergyBalance")
            await client.measurements(Slice(series=series, period=Period.DAY, date=DAY, days=(DAY,)))
            assert {who for who, path in seen if path.startswith("/monitoring")} == {owner}
        assert client.counts.requests


async def test_a_new_process_knows_whose_plant_it_is(running: Running, config: Config) -> None:
    """What the tokens listed is in the owner book, so a plant can be asked for before any list."""
    async with code_client_of(config) as client:
        await admitted(client, running, ANN, ANN)
    mine = min(ids(running, ANN))
    async with code_client_of(config) as client:
        assert client.owner_of(mine) == ANN
        assert client.owner_of("unheard-of") is None
        assert await client.plant_now(mine) == mine
        with pytest.raises(Forbidden, match="no owner who connected shares it"):
            await client.plant_now("unheard-of")


async def test_one_owners_trouble_makes_nobodys_plants_look_gone(
    running: Running, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Bob's token is not to be had, his plants stand in the list as known before; Ann's are asked."""
    async with code_client_of(config) as client:
        for owner in (ANN, BOB):
            await admitted(client, running, owner, owner)
    engine = connect(config.ledger.path)
    inventory = Inventory(engine, plants_per_file=100)
    async with code_client_of(config) as client:
        inventory.see_plants(await client.plants(), client._wall())
    before = {known.plant.plant_id: known for known in inventory.plants()}
    troubled(running, monkeypatch, BOB)
    async with code_client_of(config) as client:
        for exchange in map(client._of, (ANN, BOB)):
            exchange._draw = lambda: 0.0
        inventory.see_plants(await client.plants(), client._wall())
        after = {known.plant.plant_id: known for known in inventory.plants()}
        assert {client.owner_of(plant_id) for plant_id in ids(running, BOB)} == {BOB}
        with pytest.raises(ServerTrouble):
            await client.devices(min(ids(running, BOB)))
        assert await client.devices(min(ids(running, ANN)))
    engine.dispose()

    assert after.keys() == before.keys() == ids(running, ANN, BOB)
    assert all(known.missing_count == 0 for known in after.values())
    assert {p: (k.plant.name, k.plant.timezone) for p, k in after.items()} == {
        p: (k.plant.name, k.plant.timezone) for p, k in before.items()
    }


async def test_where_nobody_can_be_asked_the_trouble_is_told(
    running: Running, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outage is no list."""
    async with code_client_of(config) as client:
        await admitted(client, running, ANN, ANN)
    troubled(running, monkeypatch, ANN)
    async with code_client_of(config) as client:
        client._of(ANN)._draw = lambda: 0.0
        with pytest.raises(ServerTrouble):
            await client.plants()
        with pytest.raises(ServerTrouble):
            await client.consent_state(ANN)


async def test_an_ended_consent_takes_its_plants_and_no_others(running: Running, config: Config) -> None:
    """Bob withdraws: his plants leave the list, his state reads Revoked, Ann's go on."""
    async with code_client_of(config) as client:
        for owner in (ANN, BOB):
            await admitted(client, running, owner, owner)
        running.cloud.revoke(BOB)
        plants = await client.plants()
        with pytest.raises(OwnerRefused):
            await client.plant_now(min(ids(running, BOB)))
        states = {owner: (await client.consent_state(owner)).state for owner in (ANN, BOB, "eve@example.org")}
        await client.verify()
    engine = connect(config.ledger.path)
    book = {known.owner: known.state for known in Owners(engine).known()}
    engine.dispose()

    assert {plant.plant_id for plant in plants} == ids(running, ANN)
    assert states == {
        ANN: ConsentState.ACCEPTED,
        BOB: ConsentState.REVOKED,
        "eve@example.org": ConsentState.NOT_ASKED,
    }
    assert book == {ANN: "Accepted", BOB: "Revoked"}


async def test_an_owner_is_recognised_by_the_plants(running: Running, config: Config) -> None:
    """Whoever comes without a name is the owner of the same plants, or somebody new."""
    async with code_client_of(config) as client:
        first = await admitted(client, running, ANN)
        second = await admitted(client, running, BOB)
        assert await admitted(client, running, ANN) == first
        running.cloud.add_plant(ANN)
        assert await admitted(client, running, ANN) == first
        assert client._store.owners() == sorted([first, second])
        assert first.startswith("owner-")
        assert len(first) == len("owner-") + 8
        assert {plant.plant_id for plant in await client.plants()} == ids(running, ANN, BOB)


async def test_revoked_and_connected_again(running: Running, config: Config) -> None:
    """The same owner under the same name, with a new token; nothing is asked with the old one."""
    async with code_client_of(config) as client:
        first = await admitted(client, running, ANN)
        running.cloud.revoke(ANN)
        assert await client.plants() == []
        assert await admitted(client, running, ANN) == first
        assert {plant.plant_id for plant in await client.plants()} == ids(running, ANN)
        assert (await client.consent_state(first)).state is ConsentState.ACCEPTED


@pytest.mark.parametrize("more", [{}, {"pkce": False}, {"discovery": False}])
async def test_pkce_where_it_is_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, bool]) -> None:
    """The address carries a challenge exactly where the identity server offers S256, and the way works in any case."""
    async with serving(cloud(**more)) as running, code_client_of(code_configured(running, tmp_path)) as client:
        answer, asked = running.cloud.answer, []
        monkeypatch.setattr(running.cloud, "answer", lambda call: asked.append(call.raw_path) or answer(call))
        visit = await client.visit(NOWHERE)
        query = carried(client.address_of(visit))
        assert await admitted(client, running, ANN, ANN) == ANN
    digest = hashlib.sha256((visit.verifier or "").encode()).digest()

    assert asked.count("/.well-known/openid-configuration") == 1
    assert query["redirect_uri"] == NOWHERE
    assert query["scope"] == "offline_access monitoringApi:read"
    assert query["state"] == visit.state
    if more:
        assert visit.verifier is None
        assert "code_challenge" not in query
    else:
        assert query["code_challenge"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        assert query["code_challenge_method"] == "S256"


async def test_a_code_is_taken_once_and_with_its_own_proof(running: Running, config: Config) -> None:
    """An intercepted code is worth nothing without the verifier, and a used one nothing at all."""
    async with code_client_of(config) as client:
        visit, other = await client.visit(NOWHERE), await client.visit(NOWHERE)
        stolen = carried(await signed_in(running, client.address_of(visit), ANN))
        with pytest.raises(Rejected, match="PKCE verification failed"):
            await client.admit(stolen["code"], other, None)
        used = carried(await signed_in(running, client.address_of(visit), ANN))
        await client.admit(used["code"], visit, None)
        with pytest.raises(Rejected, match="does not take the code"):
            await client.admit(used["code"], visit, None)


async def test_a_wrong_secret_is_told_as_such(running: Running, tmp_path: Path) -> None:
    """The owner is not blamed for the client's credentials."""
    config = code_configured(running, tmp_path, sma__client_id="local-sandbox", sma__client_secret="wrong")
    async with code_client_of(config) as client:
        visit = await client.visit(NOWHERE)
        with pytest.raises(CredentialsRefused, match="check client_id and client_secret"):
            await client.admit("a-code", visit, None)
        assert client._store.owners() == []


async def test_before_anybody_connected_there_is_nothing_to_ask(running: Running, config: Config) -> None:
    """The error says how owners connect; consent by e-mail is the other grant's."""
    async with code_client_of(config) as client:
        for ask in (client.plants, client.verify):
            with pytest.raises(NothingToAsk, match="connect page"):
                await ask()
        with pytest.raises(ConfigError, match="connect page"):
            await client.consent_request(ANN)
        with pytest.raises(ConfigError, match="connect page"):
            await client.consent_simulate(ANN, ConsentState.ACCEPTED)
        with pytest.raises(Forbidden):
            await client._exchange.tokens.current()


async def test_a_lost_key_stops_with_what_to_do(running: Running, config: Config, tmp_path: Path) -> None:
    """Where no owner's token opens, the key is the matter and not the owners."""
    async with code_client_of(config) as client:
        await admitted(client, running, ANN, ANN)
    other = code_configured(running, tmp_path, vault__key=base64.b64encode(b"x" * 32).decode())
    async with code_client_of(other) as client:
        with pytest.raises(Unsealed, match="Put the old key behind the new one"):
            await client.plants()


async def test_the_token_in_the_vault_works_whenever_an_access_token_is_used(
    running: Running, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every single request the cloud finds the vault's refresh token good: a kill then loses nothing."""
    looks: list[bool] = []
    async with code_client_of(config) as client:
        await admitted(client, running, ANN, ANN)
        answer, good, store = running.cloud.answer, running.cloud.tokens, client._store

        def watching(call: Call) -> Answer:
            if call.raw_path.startswith("/monitoring"):
                looks.append(store.refresh_of(ANN) in good._refresh)
            return answer(call)

        monkeypatch.setattr(running.cloud, "answer", watching)
        mine = min(ids(running, ANN))
        for _ in range(5):
            client._tokens_of[ANN].drop(await client._tokens_of[ANN].current())
            await asyncio.gather(*(client.plant_now(mine) for _ in range(8)))

    assert looks == [True] * 40
    assert running.cloud.counts.stale_refreshes == 0
