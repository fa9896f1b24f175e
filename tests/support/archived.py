"""What the raw archive and the quarantine hold, read without the product's own readers."""

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Name = tuple[str, str, str]
"""Plant, device (empty for the plant as a whole), set."""
Rows = list[dict[str, Any]]
WRAPPED_GZIP = 31


def wrong_packs(root: Path, settled: Mapping[Name, Collection[date]]) -> Iterator[str]:
    """Look for packs that cannot be read, bodies that are not there or there twice, and *settled* days without one."""
    claimed: set[tuple[Name, date]] = set()
    files = sorted((root / "_harvester" / "raw").glob("*/*/*.pack"))
    for folder, packs in groupby(files, key=lambda file: file.parent):
        rows: Rows = []
        for pack in packs:
            try:
                rows += whole(pack)
            except (OSError, ValueError, KeyError, zlib.error) as error:
                yield f"{pack}: {error}"
        claimed |= set(claims(rows))
        yield from (f"{folder.relative_to(root)}: {problem}" for problem in uneven(rows))
    unclaimed = sorted({(name, day) for name, days in settled.items() for day in days} - claimed)
    if unclaimed:
        yield f"{len(unclaimed)} settled days are in no pack, such as {unclaimed[0]}"


def whole(pack: Path) -> Rows:
    """Return what *pack* holds; raises ValueError where a body is not what its index says."""
    with pq.ParquetFile(pack) as file:
        rows: Rows = file.read().to_pylist()
    for row in rows:
        if row["body"] is not None:
            body = plain(row)
            told = row["body"] if row["encoding"] == "gzip" else body
            if (len(body), hashlib.sha256(told).digest()) != (row["size"], row["sha256"]):
                raise ValueError(f"the body of {row['plant_id']} {row['date']} is another one")
    return rows


def plain(row: Mapping[str, Any]) -> bytes:
    """Return a body as it was before it was compressed."""
    if row["encoding"] == "gzip":
        return zlib.decompress(row["body"], WRAPPED_GZIP)
    body: bytes = pa.Codec("zstd").decompress(row["body"], decompressed_size=row["size"], asbytes=True)
    return body


def claims(rows: Rows) -> Iterator[tuple[Name, date]]:
    """Yield the series and days that the answers in some packs have settled."""
    for row in rows:
        for day in row["settled"]:
            yield (row["plant_id"], row["device_id"] or "", row["set"]), day


def uneven(rows: Rows) -> Iterator[str]:
    """Look for bodies that are there twice in one folder, and for some that are not there at all."""
    stored = Counter(row["sha256"] for row in rows if row["body"] is not None)
    if twice := [digest for digest, times in stored.items() if times > 1]:
        yield f"{len(twice)} bodies are stored twice"
    if missing := {row["sha256"] for row in rows} - stored.keys():
        yield f"{len(missing)} bodies are named and not there"


def wrong_quarantine(root: Path) -> Iterator[str]:
    """Look for facts without their body, and for pairs that do not belong together."""
    for file in sorted(quarantine(root).glob("*.json")):
        body = file.with_suffix(".body")
        if not body.is_file():
            yield f"{file} has no body"
            continue
        try:
            facts = json.loads(file.read_bytes())
            told = hashlib.sha256(f"{facts['slice']}\n".encode() + body.read_bytes()).hexdigest()
        except (ValueError, KeyError) as error:
            yield f"{file}: {error}"
            continue
        if facts["body"] != body.name or file.stem.rpartition("-")[2] != told[:16]:
            yield f"{file} does not tell of {body.name}"


def lone_bodies(root: Path) -> frozenset[str]:
    """Return the quarantined bodies without facts: what a kill leaves that comes between the two."""
    folder = quarantine(root)
    return frozenset(file.name for file in folder.glob("*.body") if not file.with_suffix(".json").exists())


def quarantine(root: Path) -> Path:
    """Return where answers lie that could not be read."""
    return root / "_harvester" / "quarantine"
