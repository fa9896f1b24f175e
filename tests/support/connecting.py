"""Owners who connect in the code grant: without a browser, by the sandbox's own forms."""

import base64
import html
import re
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
from running import configured

from harvester.compose import code_client_of
from harvester.config import Config
from harvester.sandbox import Running
from harvester.sma.code_client import CodeClient
from harvester.state.database import connect

KEY = base64.b64encode(bytes(range(32))).decode()
NOWHERE = "http://127.0.0.1:9/callback"
"""A redirect URI that nobody serves: the code is taken from the redirect itself."""


def code_configured(running: Running, folder: Path, **more: Any) -> Config:
    """Return the configuration of a code grant harvester, with an empty ledger in its place."""
    config = configured(running, folder, sma__grant="code", **{"vault__key": KEY, **more})
    connect(config.ledger.path).dispose()
    return config


async def signed_in(running: Running, address: str, owner: str, *, accept: bool = True) -> str:
    """Go to *address* at the sandbox as *owner* does, and return where the browser is sent in the end."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:

        async def send(page: str, fields: dict[str, str]) -> aiohttp.ClientResponse:
            action = re.search(r'<form[^>]* action="([^"]+)"', page)
            assert action is not None
            return await browser.post(running.url + html.unescape(action[1]), data=fields, allow_redirects=False)

        page = await (await browser.get(address)).text()
        answer = await send(page, {"username": owner, "password": running.cloud.settings.password})
        decided = await send(await answer.text(), {"accept": "yes"} if accept else {"cancel": "no"})
        return decided.headers["Location"]


def carried(address: str) -> dict[str, str]:
    """Return the query of an address."""
    return dict(parse_qsl(urlsplit(address).query))


async def admitted(client: CodeClient, running: Running, owner: str, label: str | None = None) -> str:
    """Let *owner* connect, and return the name under which the owner is known."""
    visit = await client.visit(NOWHERE)
    back = carried(await signed_in(running, client.address_of(visit), owner))
    assert back["state"] == visit.state
    return await client.admit(back["code"], visit, label)


async def connected(config: Config, running: Running, owners: Iterable[str]) -> None:
    """Let *owners* connect, each under the own address."""
    async with code_client_of(config) as client:
        for owner in owners:
            await admitted(client, running, owner, owner)


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
