"""The same with dlt and its filesystem destination: one resource per table, Parquet files.

As dlt's own pages on performance advise: whole answers are yielded as lists of rows, the requests of a table run in
parallel in dlt's thread pool, one session with one token is shared, buffers are large, and there is one normalizing
process per core (there is one core). Arrays become tables of their own, which is what dlt does with them by itself.
With `--arrow` rows are handed over as Arrow tables, which dlt then writes as they are: the fastest way its pages
name, with polars doing the work in between, and arrays left as they are.

    python tests/bench/rivals/with_dlt.py URL FIRST WEEKS FOLDER [--arrow]
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

SETTINGS = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
    "EXTRACT__WORKERS": "16",
    "EXTRACT__MAX_PARALLEL_ITEMS": "32",
    "DATA_WRITER__BUFFER_MAX_ITEMS": "20000",
    "NORMALIZE__WORKERS": "1",
    "LOAD__WORKERS": "4",
}
os.environ.update(SETTINGS)

import dlt  # noqa: E402 - it reads its settings from the environment
import polars as pl  # noqa: E402
from dlt.sources.helpers.rest_client import RESTClient  # noqa: E402
from dlt.sources.helpers.rest_client.auth import OAuth2ClientCredentials  # noqa: E402

HINTS = {"time": {"data_type": "timestamp", "timezone": False}}


@dlt.source(max_table_nesting=2)
def monitoring(url: str, first: date, weeks: int, *, arrow: bool) -> Iterator[Any]:
    """One resource per table, whose requests run in parallel."""
    auth = OAuth2ClientCredentials(
        access_token_url=f"{url}/oauth2/token", client_id="local-sandbox", client_secret="local-sandbox"
    )
    client = RESTClient(base_url=f"{url}/monitoring/v1", auth=auth)

    def get(path: str) -> Any:
        answer = client.get(path)
        answer.raise_for_status()
        return answer.json()

    def rows(path: str) -> Any:
        answer = get(path)
        keys = {"plant_id": answer["plant"]["plantId"], "timezone": answer["plant"]["timezone"]}
        if "device" in answer:
            keys["device_id"] = answer["device"]["deviceId"]
        if not arrow:
            return [keys | row for row in answer["set"]]
        if not answer["set"]:
            return None
        named = [pl.lit(value).alias(name) for name, value in keys.items()]
        frame = pl.DataFrame(answer["set"], infer_schema_length=None).with_columns(*named)
        return frame.with_columns(pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M:%S")).to_arrow()

    for table, paths in tables(get).items():
        asked = [f"{path}/Week?Date={first + timedelta(days=7 * w)}" for w in range(weeks) for path in paths]
        urls = dlt.resource(asked, name=f"{table}_urls", selected=False)
        yield urls | dlt.transformer(
            rows, name=table, parallelized=True, columns=HINTS, write_disposition="append", file_format="parquet"
        )


def tables(get: Any) -> dict[str, list[str]]:
    """Return the paths of all measurement sets by the table that they belong into."""
    plants = [f"plants/{plant['plantId']}" for plant in get("plants")["plants"]]
    devices = [f"devices/{d['deviceId']}" for plant in plants for d in get(f"{plant}/devices")["devices"]]
    found = defaultdict(list)
    for place in plants + devices:
        for name in get(f"{place}/measurements/sets")["sets"]:
            found[f"{place.partition('s/')[0]}_{name}"].append(f"{place}/measurements/sets/{name}")
    return found


def main() -> None:
    """Run the pipeline once."""
    url, first, weeks, folder = sys.argv[1], date.fromisoformat(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    pipeline = dlt.pipeline(
        "monitoring",
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.filesystem(bucket_url=(folder / "lake").as_uri()),
        dataset_name="sma",
    )
    pipeline.run(monitoring(url, first, weeks, arrow="--arrow" in sys.argv), loader_file_format="parquet")


if __name__ == "__main__":
    main()
