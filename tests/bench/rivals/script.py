"""An afternoon's script: aiohttp, json and polars; everything of some weeks as one Parquet file per table and day.

As a careful person would write it who wants the data and no product: bounded requests, errors that end it, instants
in UTC, rows sorted and without doubles, one table and week in memory at a time. It knows no late rows, no budget, no
new channels of another kind, and begins again from the start when it is ended.

    python tests/bench/rivals/script.py URL FIRST WEEKS FOLDER
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import polars as pl

MINUTES = {"OneMinute": 1, "FiveMinutes": 5, "FifteenMinutes": 15, "OneHour": 60}


async def token(url: str) -> str:
    """Return an access token for the client."""
    form = {"grant_type": "client_credentials", "client_id": "local-sandbox", "client_secret": "local-sandbox"}
    async with aiohttp.ClientSession() as session, session.post(f"{url}/oauth2/token", data=form) as answer:
        answer.raise_for_status()
        return (await answer.json())["access_token"]


class Api:
    """The Monitoring API, sixteen requests at a time."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.places = asyncio.Semaphore(16)

    async def get(self, path: str) -> Any:
        """Return one answer."""
        async with self.places, self.session.get(path) as answer:
            answer.raise_for_status()
            return json.loads(await answer.read())

    async def tables(self) -> dict[str, list[str]]:
        """Return the paths of all measurement sets by the table that they belong into."""
        plants = [f"plants/{plant['plantId']}" for plant in (await self.get("plants"))["plants"]]
        found = await asyncio.gather(*(self.get(f"{plant}/devices") for plant in plants))
        devices = [f"devices/{device['deviceId']}" for answer in found for device in answer["devices"]]
        sets = await asyncio.gather(*(self.get(f"{place}/measurements/sets") for place in plants + devices))
        tables = defaultdict(list)
        for place, answer in zip(plants + devices, sets, strict=True):
            for name in answer["sets"]:
                tables[f"{place.partition('s/')[0]}_{name}"].append(f"{place}/measurements/sets/{name}")
        return tables

    async def frame(self, path: str) -> pl.DataFrame:
        """Return the rows of one answer with the instants at which their intervals begin."""
        answer = await self.get(path)
        rows, plant, device = answer["set"], answer["plant"], answer.get("device", {})
        if not rows:
            return pl.DataFrame()
        stamp = pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M:%S")
        stamp -= timedelta(minutes=MINUTES.get(answer.get("resolution"), 5))
        instant = stamp.dt.replace_time_zone(plant["timezone"], ambiguous="earliest", non_existent="null")
        return pl.DataFrame(rows, infer_schema_length=None).select(
            pl.lit(plant["plantId"]).alias("plant_id"),
            pl.lit(device.get("deviceId"), dtype=pl.String).alias("device_id"),
            instant.dt.convert_time_zone("UTC").alias("time"),
            stamp.alias("local_time"),
            pl.exclude("time"),
        )


async def main(url: str, first: date, weeks: int, folder: Path) -> None:
    """Fetch and write table by table, week by week."""
    headers = {"Authorization": f"Bearer {await token(url)}"}
    async with aiohttp.ClientSession(f"{url}/monitoring/v1/", headers=headers) as session:
        api = Api(session)
        for table, paths in (await api.tables()).items():
            for week in range(weeks):
                day = first + timedelta(days=7 * week)
                frames = await asyncio.gather(*(api.frame(f"{path}/Week?Date={day}") for path in paths))
                frames = [frame for frame in frames if frame.height]
                if not frames:
                    continue
                whole = pl.concat(frames, how="diagonal_relaxed").unique(["plant_id", "device_id", "time"])
                for (day,), rows in whole.group_by(pl.col("local_time").dt.date()):
                    target = folder / table / f"date={day}"
                    target.mkdir(parents=True, exist_ok=True)
                    rows.sort("plant_id", "device_id", "time").write_parquet(target / "data.parquet")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], date.fromisoformat(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])))
