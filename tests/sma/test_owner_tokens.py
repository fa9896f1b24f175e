"""One owner's tokens: what is on the disk before what, who is to blame for a refusal, what is never lost."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from sqlalchemy.engine import Engine

from harvester.errors import CredentialsRefused, LedgerError, OwnerRefused, ServerTrouble, Skip
from harvester.sma.owner_tokens import REFUSED_SECONDS, TROUBLE_SECONDS, OwnerTokens
from harvester.sma.settings import Credentials
from harvester.sma.tokens import Denial, Grant
from harvester.sma.wire import Request
from harvester.state.connections import Connections
from harvester.state.database import connect
from harvester.state.owners import Owners
from harvester.state.vault import Keyring, Vault

OWNER = "ann@example.org"
ENDED = Denial(status=400, error="invalid_grant", description="Offline user session not found")
NOW = datetime(2026, 5, 1, tzinfo=UTC)


class Endpoint:
    """A token endpoint that rotates as Keycloak does, and fails when told."""

    def __init__(self, store: Connections) -> None:
        self.store = store
        self.good = "refresh-0"
        self.shown: list[str] = []
        self.kept: list[str | None] = []
        self.outcomes: list[Any] = []
        self.number = 0

    async def ask(self, request: Request[Any]) -> Any:
        """Answer one request."""
        assert request.body is not None
        fields = dict(parse_qsl(request.body.decode()))
        self.shown.append(fields["refresh_token"])
        self.kept.append(self.store.refresh_of(OWNER))
        await asyncio.sleep(0)
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if isinstance(outcome, Denial):
            return outcome
        if outcome == "lost":
            self._rotate()
            raise ServerTrouble("the answer was lost", status=502)
        if isinstance(outcome, Exception):
            raise outcome
        if fields["refresh_token"] != self.good:
            return Denial(status=400, error="invalid_grant", description="Maximum allowed refresh token reuse exceeded")
        self._rotate()
        return Grant(value=f"token-{self.number}", lifetime=100.0, refresh=self.good)

    def _rotate(self) -> None:
        self.number += 1
        self.good = f"refresh-{self.number}"


class Scene:
    """A store on a disk, an endpoint, a clock, and what is tested."""

    def __init__(self, engine: Engine) -> None:
        self.now = 0.0
        self.engine = engine
        self.store = Connections(engine, Vault(engine, Keyring([bytes(32)]), lambda: NOW), lambda: NOW)
        self.store.connected(OWNER, "refresh-0")
        self.endpoint = Endpoint(self.store)
        self.tokens = self.fresh()

    def fresh(self) -> OwnerTokens:
        """Return what a new process would have."""
        return OwnerTokens(
            self.endpoint.ask,
            owner=OWNER,
            store=self.store,
            auth_url="https://auth",
            credentials=Credentials(client_id="local", client_secret="very-secret"),
            clock=lambda: self.now,
        )

    @property
    def state(self) -> str | None:
        """What the owner book says."""
        known = Owners(self.engine).find(OWNER)
        return known.state if known else None


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Build one."""
    engine = connect(tmp_path / "ledger.db")
    yield Scene(engine)
    engine.dispose()


async def test_a_rotated_token_is_on_the_disk_before_the_new_one_is_used(scene: Scene) -> None:
    """Whoever holds an access token finds its refresh token in the vault, renewal after renewal."""
    for number in range(1, 4):
        token = await scene.tokens.current()
        assert token.value == f"token-{number}"
        assert scene.store.refresh_of(OWNER) == f"refresh-{number}" == scene.endpoint.good
        scene.now += 81

    assert scene.endpoint.shown == scene.endpoint.kept == ["refresh-0", "refresh-1", "refresh-2"]
    assert scene.state == "Accepted"


async def test_a_new_process_goes_on_from_the_disk(scene: Scene) -> None:
    """Killed after any renewal, the next process shows the token that works."""
    await scene.tokens.current()
    token = await scene.fresh().current()

    assert token.value == "token-2"


async def test_all_who_wait_share_one_renewal(scene: Scene) -> None:
    """A token that works once is shown once, however many want it; and again after four fifths of its life."""
    await asyncio.gather(*(scene.tokens.current() for _ in range(50)))
    scene.now = 79
    await scene.tokens.current()
    assert scene.endpoint.shown == ["refresh-0"]
    scene.now = 81
    await asyncio.gather(*(scene.tokens.current() for _ in range(50)))

    assert scene.endpoint.shown == ["refresh-0", "refresh-1"]


async def test_a_consent_that_has_ended_is_remembered_and_not_asked_again(scene: Scene) -> None:
    """The refusal is the owner's alone, is told with what to do, and costs one request an hour."""
    scene.endpoint.outcomes = [ENDED]
    for _ in range(3):
        with pytest.raises(OwnerRefused, match=r"a\*\*\*@example.org has ended.*connect again"):
            await scene.tokens.current()

    assert scene.endpoint.shown == ["refresh-0"]
    assert scene.state == "Revoked"
    scene.now = REFUSED_SECONDS + 1
    assert (await scene.tokens.current()).value == "token-1"
    assert scene.state == "Accepted"


async def test_an_owner_who_connects_again_is_asked_at_once(scene: Scene) -> None:
    """A new refresh token is tried although the old one was refused a moment ago."""
    scene.endpoint.outcomes = [ENDED]
    with pytest.raises(OwnerRefused):
        await scene.tokens.current()
    scene.store.connected(OWNER, "refresh-7")
    scene.endpoint.good = "refresh-7"

    assert (await scene.tokens.current()).value == "token-1"


async def test_trouble_loses_nothing_and_is_told_to_all_at_once(scene: Scene) -> None:
    """The endpoint's 5xx leaves the refresh token as it is; it is asked again after a while."""
    scene.endpoint.outcomes = [ServerTrouble("POST /oauth2/token: 503", status=503)]
    for _ in range(3):
        with pytest.raises(ServerTrouble):
            await scene.tokens.current()
    assert scene.endpoint.shown == ["refresh-0"]
    scene.now = TROUBLE_SECONDS + 1

    assert (await scene.tokens.current()).value == "token-1"
    assert scene.endpoint.shown == ["refresh-0", "refresh-0"]


async def test_an_answer_lost_after_the_rotation_ends_in_a_clear_word(scene: Scene) -> None:
    """The old token is shown again; where it is not taken, only the owner can help, and the reason is told."""
    scene.endpoint.outcomes = ["lost"]
    with pytest.raises(ServerTrouble):
        await scene.tokens.current()
    scene.now = TROUBLE_SECONDS + 1
    with pytest.raises(OwnerRefused, match=r"reuse exceeded.*Only the owner can connect again"):
        await scene.tokens.current()

    assert scene.endpoint.shown == ["refresh-0", "refresh-0"]


@pytest.mark.parametrize(("status", "error"), [(401, "unauthorized_client"), (403, ""), (400, "invalid_client")])
async def test_a_refused_client_is_nobodys_consent(scene: Scene, status: int, error: str) -> None:
    """A wrong secret stops the run and says nothing about the owner."""
    scene.endpoint.outcomes = [Denial(status=status, error=error, description="")]
    with pytest.raises(CredentialsRefused):
        await scene.tokens.current()

    assert scene.state is None
    assert (await scene.tokens.current()).value == "token-1"


async def test_another_process_that_was_faster_wins(scene: Scene) -> None:
    """A refresh token that somebody else exchanged meanwhile is no ended consent: the one kept since is shown."""
    other = scene.fresh()
    await other.current()
    scene.endpoint.outcomes = [Denial(status=400, error="invalid_grant", description="reuse")]

    class Late:
        """A store whose first reading is out of date."""

        def __init__(self, store: Connections) -> None:
            self.store, self.first = store, "refresh-0"

        def refresh_of(self, owner: str) -> str | None:
            """Answer what was there a moment ago, once."""
            found, self.first = self.first or self.store.refresh_of(owner), ""
            return found

        def __getattr__(self, name: str) -> Any:
            return getattr(self.store, name)

    scene.tokens._store = Late(scene.store)

    assert (await scene.tokens.current()).value == "token-2"
    assert scene.endpoint.shown == ["refresh-0", "refresh-0", "refresh-1"]


async def test_a_disk_that_refuses_keeps_the_access_token_unused(scene: Scene) -> None:
    """What could not be written is not used, is held, and is written first next time: nothing is lost."""
    keep, tries = scene.store.keep, []

    def full(owner: str, refresh: str, *, instead_of: str) -> bool:
        tries.append(refresh)
        if len(tries) == 1:
            raise LedgerError("no space is left for the ledger")
        return keep(owner, refresh, instead_of=instead_of)

    scene.store.keep = full  # type: ignore[method-assign]
    with pytest.raises(LedgerError):
        await scene.tokens.current()
    assert scene.tokens._token is None

    assert (await scene.tokens.current()).value == "token-2"
    assert tries == ["refresh-1", "refresh-1", "refresh-2"]
    assert scene.store.refresh_of(OWNER) == scene.endpoint.good


async def test_closing_waits_for_the_answer_that_is_on_its_way(scene: Scene) -> None:
    """A client that closes in the middle of a renewal does not throw the new token away."""
    waiter = asyncio.create_task(scene.tokens.current())
    while not scene.endpoint.shown:
        await asyncio.sleep(0)
    waiter.cancel()
    await scene.tokens.aclose()
    await asyncio.gather(waiter, return_exceptions=True)

    assert scene.store.refresh_of(OWNER) == scene.endpoint.good == "refresh-1"


async def test_an_owner_connecting_anew_during_a_renewal_keeps_the_new_token(scene: Scene) -> None:
    """What a renewal of the old session brings is not written over what the owner has just given."""

    async def meanwhile(request: Request[Any]) -> Any:
        answer = await ask(request)
        if len(scene.endpoint.shown) == 1:
            scene.store.connected(OWNER, "refresh-7")
            scene.endpoint.good = "refresh-7"
        return answer

    ask, scene.tokens._ask = scene.endpoint.ask, meanwhile

    assert (await scene.tokens.current()).value == "token-2"
    assert scene.endpoint.shown == ["refresh-0", "refresh-7"]
    assert scene.store.refresh_of(OWNER) == "refresh-2"


async def test_a_row_that_does_not_open_is_one_owners_trouble(scene: Scene) -> None:
    """The others go on: it is no reason to end a run."""
    scene.tokens._store = Connections(
        scene.engine, Vault(scene.engine, Keyring([bytes(31) + b"x"]), lambda: NOW), lambda: NOW
    )

    with pytest.raises(Skip, match=r"a\*\*\*@example.org does not open"):
        await scene.tokens.current()


async def test_an_owner_who_never_connected_is_sent_to_the_page(scene: Scene) -> None:
    """Without a refresh token nothing is asked."""
    scene.store._vault.forget(OWNER)
    with pytest.raises(OwnerRefused, match="connect page"):
        await scene.tokens.current()

    assert scene.endpoint.shown == []


async def test_logging_out_leaves_the_owners_session_alone(scene: Scene) -> None:
    """The refresh token stays: nobody but the owner ends the consent."""
    await scene.tokens.current()
    await scene.tokens.logout()

    assert scene.endpoint.shown == ["refresh-0"]
    assert scene.store.refresh_of(OWNER) == "refresh-1"
