"""A client of the code grant: many owners, each with an own token, behind the methods that one token has.

Budget, session and counts are one, since SMA counts requests by client id. A plant is asked for with the token that
lists it.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NoReturn

import structlog

from harvester.errors import (
    AnswerError,
    ConfigError,
    CredentialsRefused,
    Forbidden,
    NothingToAsk,
    OwnerRefused,
    Rejected,
    Unsealed,
)
from harvester.model import Device, Plant
from harvester.sma import code_grant, monitoring
from harvester.sma.client import Client
from harvester.sma.code_grant import OwnerStore, Visit
from harvester.sma.consent import Consent, ConsentState
from harvester.sma.discretion import hushed
from harvester.sma.exchange import Exchange
from harvester.sma.owner_tokens import OwnerTokens
from harvester.sma.pace import Pace
from harvester.sma.settings import Credentials, Hosts, Limits
from harvester.sma.tally import OnRequest
from harvester.sma.tokens import Ask, Denial, Grant, Token, TokenSource, explain

HURRY_SECONDS = 10.0
"""A person looks at a browser: what is not essential may take so long."""
UNKNOWN_SECONDS = 300.0
"""So long after the identity server did not tell whether it offers PKCE it is not asked again."""

log = structlog.get_logger(__name__)


class NobodysTokens:
    """Where the client has no token of its own: every request must be one owner's."""

    async def current(self) -> Token:  # the protocol's shape
        """Raise Forbidden."""
        raise Forbidden("in the code grant only an owner's token opens anything")

    def drop(self, token: Token) -> None:
        """Have nothing to drop."""

    async def logout(self) -> None:
        """Have no session to end."""

    async def aclose(self) -> None:
        """Have nothing under way."""


class CodeClient(Client):
    """SMA's Monitoring API with a token for each owner who connected; an async context manager."""

    def __init__(
        self,
        hosts: Hosts,
        credentials: Credentials,
        limits: Limits | None = None,
        *,
        store: OwnerStore,
        pace: Pace | None = None,
        wall: Callable[[], datetime],
        on_request: OnRequest | None = None,
    ) -> None:
        """*store* is closed with the client; the other arguments are those of `Client`."""
        super().__init__(hosts, credentials, limits, pace=pace, wall=wall, on_request=on_request)
        self._store: Final = store
        self._owners: dict[str, Exchange] = {}
        self._tokens_of: dict[str, OwnerTokens] = {}
        self._listed: dict[str, list[Plant]] = {}
        self._whose: dict[str, str] = {}
        self._plant_of: dict[str, str] = {}
        self._pkce = (False, -math.inf)  # whether it is offered, and until when that is taken for sure
        self._asking_pkce = asyncio.Lock()

    async def verify(self) -> None:
        """Get a token of each owner; one who withdrew is no error. Raises CredentialsRefused, NothingToAsk."""
        for owner in await self._everybody():
            try:
                await self._of(owner).tokens.current()
            except OwnerRefused:
                continue

    async def consent_request(self, owner: str) -> NoReturn:  # noqa: ARG002  # the other grant's
        """Refuse: here the owner comes to the connect page."""
        raise ConfigError("consent is not asked for by e-mail in the code grant: send the owner to the connect page")

    async def consent_simulate(self, owner: str, answer: ConsentState) -> NoReturn:  # noqa: ARG002
        """Refuse: only the custom grant's sandbox lets one play the owner."""
        raise ConfigError("in the code grant nobody can answer for an owner: open the connect page and log in")

    async def consent_state(self, owner: str) -> Consent:
        """Tell whether the refresh token of *owner* is taken; raises a Retry error where that cannot be told."""
        if owner not in await asyncio.to_thread(self._store.owners):
            return Consent(owner=owner, state=ConsentState.NOT_ASKED)
        try:
            await self._of(owner).tokens.current()
        except OwnerRefused:
            return Consent(owner=owner, state=ConsentState.REVOKED)
        return Consent(owner=owner, state=ConsentState.ACCEPTED)

    async def plants(self) -> list[Plant]:
        """List the plants of all owners, each plant once.

        Where one owner cannot be asked just now, the plants that were listed before stand in, so that nobody takes
        them for gone; where a consent has ended they do not. Raises NothingToAsk where nobody has connected, and the
        first error where no owner could be asked.
        """
        owners = await self._everybody()
        outcomes = await self._each(self._plants_of(owner) for owner in owners)
        troubles = [o for o in outcomes if isinstance(o, AnswerError) and not isinstance(o, OwnerRefused)]
        if len(troubles) == len(owners):
            raise troubles[0].__cause__ if isinstance(troubles[0].__cause__, Unsealed) else troubles[0]
        found: dict[str, Plant] = {}
        whose: dict[str, str] = {}
        spare: list[tuple[str, Plant]] = []
        for owner, outcome in zip(owners, outcomes, strict=True):
            if isinstance(outcome, list):
                whose |= {plant.plant_id: owner for plant in outcome if plant.plant_id not in found}
                found = {plant.plant_id: plant for plant in outcome} | found
            elif not isinstance(outcome, OwnerRefused):
                log.warning("sma.owner_not_asked", owner=owner, reason=str(outcome))
                spare += [(owner, plant) for plant in await self._remembered(owner)]
        for owner, plant in spare:
            if found.setdefault(plant.plant_id, plant) is plant:
                whose[plant.plant_id] = owner
        self._whose = whose
        return list(found.values())

    async def devices(self, plant_id: str) -> list[Device]:
        """List the devices of a plant, and remember whose they are."""
        found = await super().devices(plant_id)
        self._plant_of |= {device.device_id: plant_id for device in found}
        return found

    def owner_of(self, plant_id: str) -> str | None:
        """Return whose token listed the plant last."""
        return self._whose.get(plant_id) or self._store.owner_of_plant(plant_id)

    async def visit(self, redirect_uri: str) -> Visit:
        """Prepare an owner's way to SMA; with PKCE where it is offered."""
        offered = await self._offers_pkce()
        secret = code_grant.verifier() if offered else None
        return Visit(redirect_uri=redirect_uri, state=secrets.token_urlsafe(32), verifier=secret)

    def address_of(self, visit: Visit) -> str:
        """Return where the owner's browser is sent."""
        return code_grant.authorization_address(self._hosts.auth_url, self._credentials.client_id, visit)

    async def admit(self, code: str, visit: Visit, label: str | None) -> str:
        """Exchange what an owner brought back, keep the refresh token, and return the owner's name.

        That is *label* if there is one; else the name under which these plants are known; else a new one. Raises
        Rejected where the code is not taken, CredentialsRefused where the client is not, and Retry errors.
        """
        started = time.monotonic()
        grant = await self._exchange.ask(code_grant.code_request(self._hosts.auth_url, self._credentials, code, visit))
        if isinstance(grant, Denial):
            if grant.error == code_grant.CONSENT_OVER:
                raise Rejected(f"SMA does not take the code: {hushed(grant.description)}", status=grant.status)
            raise CredentialsRefused(explain(grant))
        if grant.refresh is None:
            raise Rejected("SMA gave no refresh token: the client needs the right to offline_access")
        owner = label or f"owner-{secrets.token_hex(4)}"
        await asyncio.to_thread(self._store.connected, owner, grant.refresh)
        self._begin(owner, grant, started)
        owner = await self._recognised(owner, grant, started, named=label is not None)
        await asyncio.to_thread(self._store.welcomed, owner)
        return owner

    async def _recognised(self, owner: str, grant: Grant, started: float, *, named: bool) -> str:
        """List the plants of an owner who has just connected; return the name under which they are known, if any."""
        try:
            async with asyncio.timeout(HURRY_SECONDS):
                plants = await self._of(owner).ask(monitoring.plants(self._hosts.monitoring_url))
        except (AnswerError, TimeoutError) as error:
            log.warning("sma.connected_without_plants", owner=owner, reason=str(error) or "it took too long")
            return owner
        ids = [plant.plant_id for plant in plants]
        known = None if named else await asyncio.to_thread(self._store.owner_with, ids)
        if known is not None and known != owner:
            await asyncio.to_thread(self._store.renamed, owner, known)
            del self._owners[owner], self._tokens_of[owner]
            owner = known
            self._begin(owner, grant, started)
        await asyncio.to_thread(self._store.saw, owner, ids)
        return owner

    async def _everybody(self) -> list[str]:
        owners = await asyncio.to_thread(self._store.owners)
        if not owners:
            raise NothingToAsk(
                "No owner has connected yet. `harvester daemon` serves the connect page at web.public: send owners "
                "to {web.public_url}/connect"
            )
        return owners

    async def _plants_of(self, owner: str) -> list[Plant]:
        plants = await self._of(owner).ask(monitoring.plants(self._hosts.monitoring_url))
        if [plant.plant_id for plant in plants] != [plant.plant_id for plant in self._listed.get(owner, ())]:
            await asyncio.to_thread(self._store.saw, owner, [plant.plant_id for plant in plants])
        self._listed[owner] = plants
        return plants

    async def _remembered(self, owner: str) -> list[Plant]:
        """Return what was listed for *owner* before, by this process or as far as the disk knows: ids only."""
        if owner in self._listed:
            return self._listed[owner]
        ids = await asyncio.to_thread(self._store.listed, owner)
        return [Plant(plant_id=plant_id, name="", timezone="") for plant_id in ids]

    async def _each(self, calls: Iterable[Coroutine[Any, Any, list[Plant]]]) -> Sequence[list[Plant] | AnswerError]:
        """Await *calls*, a bounded number at once; errors about one of them are outcomes, others end all."""
        room = asyncio.Semaphore(self._limits.concurrency)

        async def one(call: Coroutine[Any, Any, list[Plant]]) -> list[Plant] | AnswerError:
            async with room:
                try:
                    return await call
                except AnswerError as error:
                    return error

        tasks = [asyncio.create_task(one(call)) for call in calls]
        try:
            return [await task for task in tasks]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _offers_pkce(self) -> bool:
        """Tell whether PKCE is offered; where nobody tells, a visit goes without, as SMA documents it.

        Asked by one visit for all, and seldom: what visitors do must not become requests to SMA.
        """
        async with self._asking_pkce:
            if time.monotonic() < self._pkce[1]:
                return self._pkce[0]
            try:
                async with asyncio.timeout(HURRY_SECONDS):
                    offered = await self._exchange.ask(code_grant.pkce_request(self._hosts.auth_url))
                self._pkce = (offered, math.inf)
            except (AnswerError, TimeoutError) as error:
                log.info("sma.pkce_unknown", reason=str(error) or "it took too long")
                self._pkce = (False, time.monotonic() + UNKNOWN_SECONDS)
            return self._pkce[0]

    def _of(self, owner: str) -> Exchange:
        """Return what asks with the token of *owner*."""
        if owner not in self._owners:

            def source(ask: Ask) -> TokenSource:
                self._tokens_of[owner] = OwnerTokens(
                    ask,
                    owner=owner,
                    store=self._store,
                    auth_url=self._hosts.auth_url,
                    credentials=self._credentials,
                )
                return self._tokens_of[owner]

            self._owners[owner] = self._exchange_with(source)
        return self._owners[owner]

    def _begin(self, owner: str, grant: Grant, started: float) -> None:
        """Begin anew with *owner*, who has just connected."""
        self._of(owner)
        self._tokens_of[owner].begin(grant, started)
        self._listed.pop(owner, None)

    async def _ask_for_plant(self, plant_id: str) -> Ask:
        owner = self._whose.get(plant_id) or await asyncio.to_thread(self._store.owner_of_plant, plant_id)
        return self._ask_of(owner, f"plant {plant_id}")

    async def _ask_for_device(self, device_id: str) -> Ask:
        if device_id in self._plant_of:
            return await self._ask_for_plant(self._plant_of[device_id])
        owner = await asyncio.to_thread(self._store.owner_of_device, device_id)
        return self._ask_of(owner, f"device {device_id}")

    def _ask_of(self, owner: str | None, what: str) -> Ask:
        if owner is None:
            raise Forbidden(f"{what} was not asked for: no owner who connected shares it")
        return self._of(owner).ask

    def _tokens(self, ask: Ask) -> TokenSource:  # noqa: ARG002  # the seam's shape
        return NobodysTokens()

    async def _close_tokens(self) -> None:
        await asyncio.gather(*(tokens.aclose() for tokens in self._tokens_of.values()))
        await asyncio.to_thread(self._store.close)
