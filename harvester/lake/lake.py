"""One lake: whose it is, and what is refused."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from harvester.errors import LakeError
from harvester.lake.atomic import refusal, replace_file
from harvester.lake.layout import Places
from harvester.lake.schema import FORMAT_VERSION


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes a lake the one it is; kept in ``_harvester/lake.json``."""

    format: int
    lake_id: str
    host: str
    """Host and port of the Monitoring API whose plants are in it."""
    plants_per_file: int
    created_at: str
    """UTC, ISO 8601."""


@dataclass(frozen=True, slots=True)
class Lake:
    """A lake that has been opened."""

    places: Places
    identity: Identity


def open_lake(root: Path, *, host: str, plants_per_file: int, now: datetime) -> Lake:
    """Open the lake at *root*; raise `LakeError` for one that is not to be used.

    Where there is none, nothing is written yet: see `establish`.
    """
    places = Places(root)
    if (identity := read_identity(places)) is None:
        identity = Identity(FORMAT_VERSION, str(uuid.uuid4()), host, plants_per_file, now.isoformat())
    if identity.host != host:
        raise LakeError(
            f"{root}: this lake holds the plants of {identity.host}, but the configuration names {host}. "
            "Ids of two hosts may collide: set lake.root to a folder of its own for each."
        )
    return Lake(places, identity)


def establish(lake: Lake) -> None:
    """Write down whose lake it is, before its first file; a lake of a cloud that was never reached stays nobody's."""
    if not lake.places.identity.exists():
        replace_file(lake.places.identity, json.dumps(asdict(lake.identity), indent=2).encode() + b"\n")


def read_identity(places: Places) -> Identity | None:
    """Return whose lake lies at *places*, None where there is none; raise `LakeError` for a newer or spoiled one."""
    path = places.identity
    try:
        content = msgspec.json.decode(path.read_bytes(), type=dict[str, object])
        version = content.get("format")
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise LakeError(
                f"{places.root}: this lake has format {version}, this harvester knows up to {FORMAT_VERSION}. "
                "Install a newer version; nothing was touched."
            )
        return msgspec.convert(content, Identity)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise refusal(path, error) from error
    except msgspec.MsgspecError as error:
        raise LakeError(f"{path}: not the identity of a lake ({error}). Restore it from a backup.") from error
