"""SMA's cloud as a caller sees it, and the one place that opens a socket.

Every foreign exception becomes one of ``harvester.errors`` in ``_speaking``; cancellation passes.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

import harvester
from harvester.errors import BadBody, Forbidden, NotFound, TimedOut, Unreachable, Untrusted
from harvester.model import Device, Plant, Slice
from harvester.sma import answers, consent, encoding, monitoring, wire
from harvester.sma.consent import Consent, ConsentState
from harvester.sma.exchange import Exchange
from harvester.sma.monitoring import Answer
from harvester.sma.pace import Pace
from harvester.sma.retry import Patience
from harvester.sma.settings import Credentials, Hosts, Limits
from harvester.sma.tally import Counts, OnRequest, Tally
from harvester.sma.tokens import Ask, Tokens, TokenSource
from harvester.sma.wire import Request, Response

USER_AGENT = f"sma-harvester/{harvester.__version__}"
CHUNK = 64 * 1024
"""Bytes read at once."""
DRIP = 4
"""A try may last so many times the time-out, so that a body that trickles ends as well."""


def utc_now() -> datetime:
    """Read the wall clock, aware UTC."""
    return datetime.now(UTC)


class Client:
    """SMA's consent service and Monitoring API with one set of credentials; an async context manager.

    Its methods raise the errors of ``harvester.errors`` and no others: Retry errors after all tries, Skip
    errors at once, CredentialsRefused where no token is to be had.
    """

    def __init__(  # three values and three seams
        self,
        hosts: Hosts,
        credentials: Credentials,
        limits: Limits | None = None,
        *,
        pace: Pace | None = None,
        wall: Callable[[], datetime] = utc_now,
        on_request: OnRequest | None = None,
    ) -> None:
        """*pace* is given where a budget outlives the client; *wall* answers aware UTC."""
        self._hosts = hosts
        self._limits = limits or Limits()
        self._wall = wall
        self._tally = Tally(on_request)
        self._lean: bool | None = None  # whether the lean device list is served; None while nobody knows
        self._session: aiohttp.ClientSession | None = None
        self._dated: tuple[str, datetime] | None = None  # the Date of the last answer, and when it was here
        self.pace = pace or Pace(requests=self._limits.requests, window_seconds=self._limits.window_seconds)
        self._credentials = credentials
        self._slots = asyncio.Semaphore(self._limits.concurrency)
        self._exchange = self._exchange_with(self._tokens)

    async def __aenter__(self) -> Self:
        """Open the session; nothing is asked yet."""
        quiet = self._limits.timeout_seconds
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                # Room beside the workers for the one call that fetches a token.
                limit=self._limits.concurrency + 2,
                # aiohttp may hand out a dead connection that has idled for as long as sock_read.
                keepalive_timeout=min(15.0, quiet / 2),
            ),
            # No total: it would count the wait for a free connection.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=quiet, sock_read=quiet),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Bodies are wanted as they come, too, and are decompressed in one go.
            auto_decompress=False,
            headers={"User-Agent": USER_AGENT},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the session and all connections."""
        await self._close_tokens()
        if self._session is not None:
            await self._session.close()

    @property
    def address(self) -> str:
        """The base of the Monitoring API, for messages."""
        return self._hosts.monitoring_url

    @property
    def counts(self) -> Counts:
        """Everything that was asked so far."""
        return self._tally.snapshot()

    @property
    def clock_ahead(self) -> timedelta | None:
        """How far this machine's clock is ahead of the server's, by the last answer's Date; None where none had one.

        Right to about a second: that is the resolution of the header.
        """
        if self._dated is None or (told := wire.http_date(self._dated[0])) is None:
            return None
        return self._dated[1] - told

    async def verify(self) -> None:
        """Get a token and nothing else; raises CredentialsRefused."""
        await self._exchange.tokens.current()

    async def logout(self) -> None:
        """End the session at SMA, if there is one."""
        await self._exchange.tokens.logout()

    async def consent_request(self, owner: str) -> Consent:
        """Ask the owner with this e-mail address for consent."""
        return await consent.request(self._exchange.ask, self._hosts.consent_url, owner)

    async def consent_state(self, owner: str) -> Consent:
        """Tell where the consent of *owner* stands."""
        return await consent.state(self._exchange.ask, self._hosts.consent_url, owner)

    async def consent_simulate(self, owner: str, answer: ConsentState) -> Consent:
        """Answer in place of *owner*, which only a sandbox lets one do."""
        return await consent.simulate(self._exchange.ask, self._hosts.consent_url, owner, answer)

    async def plants(self) -> list[Plant]:
        """List the plants of all owners who have accepted; an empty list is a success."""
        return await self._exchange.ask(monitoring.plants(self._hosts.monitoring_url))

    async def plant(self, plant_id: str) -> Plant:
        """Describe one plant, with installation and location where they are served: three requests."""
        base, ask = self._hosts.monitoring_url, await self._ask_for_plant(plant_id)
        plant = await ask(monitoring.plant(base, plant_id))
        try:
            installation = await ask(monitoring.installation(base, plant_id))
            plant = answers.with_installation(plant, installation)
            location = await ask(monitoring.location(base, plant_id))
        except (NotFound, Forbidden):
            return plant
        return answers.with_location(plant, location)

    async def devices(self, plant_id: str) -> list[Device]:
        """List the devices of a plant, those out of service included."""
        base, ask = self._hosts.monitoring_url, await self._ask_for_plant(plant_id)
        if self._lean is not False:
            try:
                found = await ask(monitoring.devices(base, plant_id, lean=True))
            except NotFound:
                # Either the form or the plant is unknown. Once the form has answered, it is the plant.
                if self._lean:
                    raise
            else:
                self._lean = True
                return found
        found = await ask(monitoring.devices(base, plant_id, lean=False))
        self._lean = False
        return found

    async def plant_sets(self, plant_id: str) -> list[str]:
        """List the measurement sets of a plant as a whole."""
        ask = await self._ask_for_plant(plant_id)
        return await ask(monitoring.plant_sets(self._hosts.monitoring_url, plant_id))

    async def device_sets(self, device_id: str) -> list[str]:
        """List the measurement sets of a device."""
        ask = await self._ask_for_device(device_id)
        return await ask(monitoring.device_sets(self._hosts.monitoring_url, device_id))

    async def plant_now(self, plant_id: str) -> str | None:
        """Tell under which id a plant that was listed once answers now; NotFound or Forbidden where it does not."""
        ask = await self._ask_for_plant(plant_id)
        return await ask(monitoring.plant_now(self._hosts.monitoring_url, plant_id))

    async def device_now(self, device_id: str) -> str | None:
        """Tell under which id a device that was listed once answers now; NotFound or Forbidden where it does not."""
        ask = await self._ask_for_device(device_id)
        return await ask(monitoring.device_now(self._hosts.monitoring_url, device_id))

    async def measurements(self, wanted: Slice) -> Answer:
        """Fetch the undecoded values of one slice."""
        ask = await self._ask_for_plant(wanted.series.plant_id)
        return await ask(monitoring.values(self._hosts.monitoring_url, wanted))

    def owner_of(self, plant_id: str) -> str | None:  # noqa: ARG002  # a seam: one token tells no owner
        """Return whose token lists the plant; None in the custom grant, where one token speaks for all owners."""
        return None

    async def _ask_for_plant(self, plant_id: str) -> Ask:  # noqa: ARG002  # a seam: one token speaks for all plants
        """Return what asks with a token that may see the plant."""
        return self._exchange.ask

    async def _ask_for_device(self, device_id: str) -> Ask:  # noqa: ARG002  # likewise
        """Return what asks with a token that may see the device."""
        return self._exchange.ask

    def _tokens(self, ask: Ask) -> TokenSource:
        """Return where the client's own requests get their token from."""
        return Tokens(ask, auth_url=self._hosts.auth_url, credentials=self._credentials)

    def _exchange_with(self, tokens: Callable[[Ask], TokenSource]) -> Exchange:
        """Return an exchange of this client's session, budget and counts."""
        return Exchange(
            self._send,
            tokens=tokens,
            pace=self.pace,
            patience=Patience(attempts=self._limits.attempts),
            slots=self._slots,
            tally=self._tally,
        )

    async def _close_tokens(self) -> None:
        """End renewals that are under way."""
        await self._exchange.tokens.aclose()

    async def _send(self, request: Request[Any], /, *, token: str | None) -> Response:
        """Put *request* on the wire and read the answer to its end, once; raises Retry errors only."""
        if self._session is None:
            raise RuntimeError("the client is used outside of its context")
        asked_at = self._wall()
        with _speaking(request):
            async with (
                asyncio.timeout(DRIP * self._limits.timeout_seconds),
                self._session.request(
                    request.method,
                    # As it stands: what wire has encoded must not be read and encoded again.
                    URL(request.url, encoded=True),
                    headers=wire.headers(request, token),
                    data=request.body,
                    allow_redirects=False,
                ) as answer,
            ):
                self._dated = (answer.headers.get("Date", ""), self._wall())
                found = self._unpacked(answer, await self._read(answer, request), request)
                return Response(
                    method=request.method,
                    url=request.url,
                    status=answer.status,
                    headers={name.lower(): value for name, value in answer.headers.items()},
                    body=found.body,
                    gzip=found.gzip,
                    asked_at=asked_at,
                )

    async def _read(self, answer: aiohttp.ClientResponse, request: Request[Any]) -> bytes:
        """Return the body as it comes if it is not too large; what Content-Length says plays no part."""
        chunks, size = [], 0
        async for chunk in answer.content.iter_chunked(CHUNK):
            chunks.append(chunk)
            size += len(chunk)
            if size > self._limits.max_body:
                answer.close()
                raise BadBody(f"{request.label}: more than {self._limits.max_body} bytes", status=answer.status)
        return b"".join(chunks)

    def _unpacked(self, answer: aiohttp.ClientResponse, content: bytes, request: Request[Any]) -> encoding.Unpacked:
        """Return the decompressed body, if it is not too large either."""
        try:
            return encoding.unpack(content, answer.headers.get("Content-Encoding", ""), self._limits.max_body)
        except ValueError as error:
            raise BadBody(f"{request.label}: a body that cannot be used: {error}", status=answer.status) from error


@contextmanager
def _speaking(request: Request[Any]) -> Iterator[None]:
    """Turn whatever goes wrong on the wire into one of our errors; the texts name neither host nor header."""
    try:
        yield
    except TimeoutError as error:
        raise TimedOut(f"{request.label}: no whole answer in time") from error
    except aiohttp.ClientResponseError as error:
        # It carries the headers of the request, and so the token, wherever its repr goes.
        error.request_info, error.args = None, ()  # type: ignore[assignment]
        raise BadBody(f"{request.label}: the answer is not what HTTP or its encoding promise") from error
    except aiohttp.ClientPayloadError as error:
        raise BadBody(f"{request.label}: the body broke off") from error
    except aiohttp.ClientConnectorCertificateError as error:
        raise Untrusted(
            f"{request.label}: the server's certificate is not trusted, so nothing was sent. Check the address and "
            "this machine's clock; `harvester doctor` says what is wrong with the certificate"
        ) from error
    except (aiohttp.ClientError, OSError, ssl.SSLError, ValueError) as error:
        raise Unreachable(f"{request.label}: no answer ({_reason(error)})") from error


def _reason(error: BaseException) -> str:
    """Name the kind of a failure and, where it is the system's, its reason; strerror would name the host."""
    code = getattr(error, "errno", None)
    # Codes of TLS and name resolution are not the system's: they are 1 and negative.
    return f"{type(error).__name__}: {os.strerror(code)}" if code and code > 1 else type(error).__name__
