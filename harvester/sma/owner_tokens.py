"""The tokens of one owner who connected: each refresh token works once, so the next one is on the disk first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from harvester.errors import AnswerError, CredentialsRefused, OwnerRefused, Retry, Skip, Unsealed
from harvester.sma.code_grant import CONSENT_OVER, OwnerStore
from harvester.sma.discretion import hushed, masked
from harvester.sma.settings import Credentials
from harvester.sma.tokens import Ask, Denial, Grant, Token, Tokens, explain

TROUBLE_SECONDS = 30.0
"""So long after the token endpoint did not answer, those who wait for this owner's token are told so at once."""
REFUSED_SECONDS = 3600.0
"""So long a refresh token that was refused is not shown again."""
GRACE_SECONDS = 4.0
"""So long a renewal may go on when the client closes: an answer that nobody reads is a token lost."""

log = structlog.get_logger(__name__)


class OwnerTokens(Tokens):
    """The access token of one owner, renewed by one call for all who wait."""

    def __init__(
        self,
        ask: Ask,
        *,
        owner: str,
        store: OwnerStore,
        auth_url: str,
        credentials: Credentials,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(ask, auth_url=auth_url, credentials=credentials, clock=clock)
        self._owner = owner
        self._store = store
        self._rest: tuple[float, AnswerError] | None = None
        self._refused: str | None = None
        self._unkept: tuple[str, str] | None = None  # a new token that the disk did not take, and the one before

    def begin(self, grant: Grant, started: float) -> None:
        """Use the token of *grant*, whose refresh token is kept already; *started* is when it was asked for."""
        self._rest = self._refused = self._unkept = None
        self._token = Token(value=grant.value, issued=started, expires=started + grant.lifetime)

    async def logout(self) -> None:
        """Forget the access token; the session is the owner's to end, and nobody else's."""
        self._token = None

    async def aclose(self) -> None:
        """Let a renewal that is under way come to its end, for a while."""
        if self._renewal is not None:
            await asyncio.wait({self._renewal}, timeout=GRACE_SECONDS)
        await super().aclose()

    async def _renew(self) -> Token:
        """Exchange the refresh token; raises OwnerRefused, CredentialsRefused, LedgerError, or a Retry error."""
        refresh = await self._kept()
        self._raise_known(refresh)
        started = self._clock()
        try:
            answer = await self._answer(refresh)
        except Retry as error:
            # Nothing is lost: the same refresh token is shown next time.
            self._rest = (self._clock() + TROUBLE_SECONDS, error)
            raise
        if isinstance(answer, Denial):
            return await self._denied(answer, refresh)
        if answer.refresh is not None and not await self._keep(answer.refresh, refresh):
            return await self._renew()  # the owner has connected anew meanwhile, and that token counts
        await asyncio.to_thread(self._store.accepted, self._owner)
        self.begin(answer, started)
        assert self._token is not None  # noqa: S101  # what begin is for
        return self._token

    async def _kept(self) -> str:
        """Return the refresh token to show."""
        if self._unkept is not None:
            new, old = self._unkept
            await self._keep(new, old)
        try:
            refresh = await asyncio.to_thread(self._store.refresh_of, self._owner)
        except Unsealed as error:
            raise Skip(str(error)) from error
        if refresh is None:
            raise OwnerRefused(
                f"{masked(self._owner)} has not connected to SMA: the connect page is where that is done"
            )
        return refresh

    async def _keep(self, new: str, old: str) -> bool:
        """Have *new* on the disk, and in memory for as long as the disk does not take it; tell whether it was kept."""
        self._unkept = (new, old)
        # A thread goes on where its waiter is cancelled.
        kept = await asyncio.to_thread(self._store.keep, self._owner, new, instead_of=old)
        self._unkept = None
        return kept

    def _raise_known(self, refresh: str) -> None:
        """Raise what was found not long ago, without asking again."""
        if self._rest is None or self._clock() >= self._rest[0]:
            return
        error = self._rest[1]
        if isinstance(error, OwnerRefused) and refresh != self._refused:
            return
        raise type(error)(str(error), status=error.status)

    async def _denied(self, denial: Denial, refresh: str) -> Token:
        """Say whose fault a refusal is, once it is sure that the newest refresh token was shown."""
        if denial.error != CONSENT_OVER:
            raise CredentialsRefused(explain(denial))
        if await self._kept() != refresh:
            return await self._renew()
        error = OwnerRefused(
            f"the consent of {masked(self._owner)} has ended: SMA does not take the refresh token any more "
            f'("{hushed(denial.description)}"). Only the owner can connect again, on the connect page',
            status=denial.status,
        )
        self._refused, self._rest = refresh, (self._clock() + REFUSED_SECONDS, error)
        await asyncio.to_thread(self._store.refused, self._owner)
        log.warning("sma.owner_refused", owner=self._owner, reason=hushed(denial.description))
        raise error
