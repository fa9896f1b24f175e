"""A cloud that names its plants, devices, sets and channels as it likes."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from aiohttp import web

ODD = (
    "../../../../tmp/evil",
    "..\\..\\evil",
    "/etc/passwd",
    "..",
    ".",
    "_harvester",
    "lock",
    "revisions",
    "plants",
    "CON",
    "nul\x00byte",
    "two\nlines\r\nX-Injected: yes",
    "tab\tand\x0bvertical",
    "\x1b]0;title\x07\x1b[31mred\x1b[0m\x1b[2J",
    "\x9b31mone byte",
    "\u202eright to left\u2066",
    "'; DROP TABLE plant; --",
    '" OR ""="',
    "${jndi:ldap://x}{{7*7}}%s%n{0}",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "[bold]mark[/bold][link=http://x]up[/link]",
    ":bomb:",
    "date=2026-01-01",
    "part-00000.parquet",
    "harvested_at",
    "x" * 10_000,
    "größe \u0130\u212a\N{PILE OF POO}",
)
"""Names that mean something to a file system, a database, a page, a terminal, a log, or to us."""

IDS = tuple(name for name in ODD if "\0" not in name)
"""A list with a NUL in an id is refused as a whole."""
Body = Callable[[str, str, str], Any]


@dataclass(slots=True)
class Rogue:
    """What it says; `seen` are the paths that it was asked, decoded."""

    url: str = ""
    plants: Sequence[dict[str, Any]] = ()
    devices: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    sets: dict[str, list[str]] = field(default_factory=dict)
    """Of a plant or a device by its id."""
    values: Body = lambda _id, _set, _period: {"set": []}
    """From the id, the set and the period to the answer."""
    seen: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        parts = [unquote(part) for part in request.rel_url.raw_path.split("/")[1:]]
        self.seen.append("/".join(parts))
        self.headers.append(dict(request.headers))
        said = self._said(parts)
        if said is None:
            return web.json_response({"message": "Not Found", "code": "404"}, status=404)
        return web.Response(body=said if isinstance(said, bytes) else json.dumps(said).encode())

    def _said(self, parts: list[str]) -> Any:
        """Return the body of an answer, None for an address that nobody has."""
        match parts:
            case ["oauth2", "token"]:
                return {"access_token": "rogue-token", "expires_in": 300}
            case ["v1", "plants"]:
                return {"plants": list(self.plants)}
            case ["v1", "plants", plant_id, "devices", *_]:
                return {"devices": self.devices.get(plant_id, [])}
            case ["v1", "plants" | "devices", name, "measurements", "sets"]:
                return {"sets": self.sets.get(name, [])}
            case ["v1", "plants" | "devices", name, "measurements", "sets", of, period]:
                return self.values(name, of, period)
        return None


@asynccontextmanager
async def rogue() -> AsyncIterator[Rogue]:
    """Serve one on loopback."""
    cloud = Rogue()
    app = web.Application(handler_args={"max_line_size": 200_000})
    app.router.add_route("*", "/{path:(?s:.*)}", cloud.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    cloud.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield cloud
    finally:
        await runner.cleanup()
        await asyncio.sleep(0)
