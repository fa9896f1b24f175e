"""Who may write to a lake: one process, or several daemons that take a share of its parts each.

The locks are the operating system's, so they go with the process, whatever becomes of it. What a lock's file says is
for those who find it held.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from harvester.errors import Locked
from harvester.lake.atomic import refusal
from harvester.lake.layout import Places
from harvester.model import WHOLE, Shard

_LOOK_SECONDS = 0.02
DAEMON = "daemon"
"""The command that takes orders from others."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that writes to a lake."""

    command: str
    process: int
    since: str
    """UTC, to the second."""
    shard: str

    def __str__(self) -> str:
        share = "" if self.shard == str(WHOLE) else f" --shard {self.shard}"
        return f"`harvester {self.command}{share}` (process {self.process}, since {self.since})"


@contextmanager
def writing(places: Places, *, command: str, now: datetime, shard: Shard = WHOLE) -> Iterator[None]:
    """Hold the lake's write lock, or that of one *shard* of it; raise `Locked` naming the holder.

    Whoever takes the whole shuts out everybody. Shards shut out each other's double, and shards of another number.
    """
    holder = Holder(command, os.getpid(), f"{now:%Y-%m-%d %H:%M:%SZ}", str(shard))
    try:
        places.own.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refusal(places.lock(), error) from error
    with _open(places, WHOLE) as gate:
        if not _taken(gate, fcntl.LOCK_EX if shard.whole else fcntl.LOCK_SH):
            raise _locked(places)
        if shard.whole:
            with _signed(places, shard, gate, holder):
                yield
            return
        with _open(places, shard) as own:
            others = [file for file in places.shard_locks() if not file.name.endswith(f"-of-{shard.of}")]
            if not _taken(own, fcntl.LOCK_EX) or any(_is_held(file) for file in others):
                raise _locked(places)
            with _signed(places, shard, own, holder):
                yield


def holders(places: Places) -> list[Holder]:
    """Return who writes to the lake now, by their own word."""
    held = (file for file in [places.lock(), *places.shard_locks()] if _is_held(file))
    return [holder for file in held if (holder := _read(file))]


def _is_held(file: Path) -> bool:
    """Tell whether somebody holds the lock *file* for himself."""
    try:
        descriptor = os.open(file, os.O_RDWR)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise refusal(file, error) from error
    try:
        return not _taken(descriptor, fcntl.LOCK_SH, tries=1)
    finally:
        os.close(descriptor)


@contextmanager
def _open(places: Places, shard: Shard) -> Iterator[int]:
    file = places.lock(shard)
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise refusal(file, error) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _taken(descriptor: int, how: int, *, tries: int = 3) -> bool:
    """Take a lock, if it is free; more than one of the *tries* is for those who only look whether it is held."""
    for left in reversed(range(tries)):
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if left:
                time.sleep(_LOOK_SECONDS)
        else:
            return True
    return False


@contextmanager
def _signed(places: Places, shard: Shard, descriptor: int, holder: Holder) -> Iterator[None]:
    """Say in the lock's file who holds it, as long as that is so."""
    words = {"command": holder.command, "process": holder.process, "since": holder.since, "shard": holder.shard}
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(words).encode(), 0)
    except OSError as error:
        raise refusal(places.lock(shard), error) from error
    yield
    os.ftruncate(descriptor, 0)


def _read(file: Path) -> Holder | None:
    try:
        said = json.loads(file.read_bytes())
        return Holder(str(said["command"]), int(said["process"]), str(said["since"]), str(Shard.parse(said["shard"])))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _locked(places: Places) -> Locked:
    found = [holder for holder in holders(places) if holder.process != os.getpid()] or holders(places)
    names = " and ".join(str(holder) for holder in found) or "another process"
    daemons = tuple(holder.shard for holder in found if holder.command == DAEMON)
    return Locked(
        f"{places.root}: {names} {'write' if len(found) > 1 else 'writes'} to this lake. Wait until that is done; "
        "nothing was changed.",
        holder=names,
        daemons=daemons,
    )
