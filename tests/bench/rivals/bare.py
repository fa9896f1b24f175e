"""The least: ask for everything with bare aiohttp, read it, throw it away.

python tests/bench/rivals/bare.py URL FIRST WEEKS
"""

from __future__ import annotations

import asyncio
import sys
from datetime import date, timedelta

import aiohttp

try:
    from uvloop import run
except ImportError:
    from asyncio import run


async def main(url: str, first: date, weeks: int) -> None:
    """Read all weeks of all sets of all plants and devices with sixteen connections."""
    form = {"grant_type": "client_credentials", "client_id": "local-sandbox", "client_secret": "local-sandbox"}
    async with aiohttp.ClientSession() as session, session.post(f"{url}/oauth2/token", data=form) as answer:
        token = (await answer.json())["access_token"]
    size = 0
    connector = aiohttp.TCPConnector(limit=16)
    async with aiohttp.ClientSession(
        f"{url}/monitoring/v1/", connector=connector, headers={"Authorization": f"Bearer {token}"}
    ) as session:

        async def ask(path: str) -> dict:
            async with session.get(path) as answer:
                return await answer.json()

        places = [f"plants/{plant['plantId']}" for plant in (await ask("plants"))["plants"]]
        devices = await asyncio.gather(*(ask(f"{plant}/devices") for plant in places))
        places += [f"devices/{device['deviceId']}" for found in devices for device in found["devices"]]
        sets = await asyncio.gather(*(ask(f"{place}/measurements/sets") for place in places))
        todo = iter(
            [
                f"{place}/measurements/sets/{name}/Week?Date={first + timedelta(days=7 * week)}"
                for week in range(weeks)
                for place, found in zip(places, sets, strict=True)
                for name in found["sets"]
            ]
        )

        async def work() -> None:
            nonlocal size
            for path in todo:
                async with session.get(path) as answer:
                    body = await answer.read()
                size += len(body)

        await asyncio.gather(*(work() for _ in range(16)))
    print(size)


if __name__ == "__main__":
    run(main(sys.argv[1], date.fromisoformat(sys.argv[2]), int(sys.argv[3])))
