"""Who may write to a lake: one process, or several that take a share of its parts each."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harvester.errors import LakeError, Locked
from harvester.lake.layout import Places
from harvester.lake.lock import holders, writing
from harvester.model import Shard

NOW = datetime(2024, 6, 1, 12, 30, tzinfo=UTC)

HOLDER = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from harvester.lake.lock import writing
from harvester.model import Shard
from harvester.lake.layout import Places
shard = Shard.parse(sys.argv[3])
now = datetime(2024, 6, 1, 12, 30, tzinfo=UTC)
with writing(Places(Path(sys.argv[1])), command=sys.argv[2], now=now, shard=shard):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held(root: Path, command: str = "backfill", shard: str = "1/1") -> Iterator[subprocess.Popen[str]]:
    """Let another process hold the lock of the lake at *root*, or of a shard of it."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(root), command, shard],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": "."},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    """While another process holds the lock a writer is refused, naming command, process and since when."""
    with held(tmp_path) as process:
        with pytest.raises(Locked) as caught, writing(Places(tmp_path), command="run", now=NOW):
            pass

        assert caught.value.holder == f"`harvester backfill` (process {process.pid}, since 2024-06-01 12:30:00Z)"
        assert caught.value.holder in str(caught.value)
        assert caught.value.exit_code == 2
        assert process.poll() is None


@pytest.mark.parametrize("how", [signal.SIGKILL, None])
def test_the_lock_goes_with_its_holder(tmp_path: Path, how: signal.Signals | None) -> None:
    """When the holder is killed, or is done, the next writer takes the lock, whatever the file says."""
    with held(tmp_path) as process:
        if how:
            process.send_signal(how)
        else:
            process.communicate()
        process.wait(10)
        with writing(Places(tmp_path), command="run", now=NOW):
            content = Places(tmp_path).lock().read_text()

    assert json.loads(content) == {
        "command": "run",
        "process": os.getpid(),
        "since": "2024-06-01 12:30:00Z",
        "shard": "1/1",
    }
    assert Places(tmp_path).lock().read_text() == ""


def test_the_lock_is_given_back(tmp_path: Path) -> None:
    """After an error inside the lock is free again, and the error passes through."""
    with pytest.raises(ZeroDivisionError), writing(Places(tmp_path), command="run", now=NOW):
        raise ZeroDivisionError
    with writing(Places(tmp_path), command="run", now=NOW):
        taken = time.monotonic()

    assert taken


def test_a_second_lock_of_the_same_process(tmp_path: Path) -> None:
    """One process cannot hold the lock twice either."""
    with writing(Places(tmp_path), command="daemon", now=NOW):
        with pytest.raises(Locked, match="harvester daemon"), writing(Places(tmp_path), command="run", now=NOW):
            pass

        assert "daemon" in Places(tmp_path).lock().read_text()


def test_a_lock_on_a_full_disk(tmp_path: Path) -> None:
    """Where not even the holder's name can be written that is a clear refusal, and the lock is free again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with (
            pytest.raises(LakeError, match="lock: cannot be written"),
            writing(Places(tmp_path), command="run", now=NOW),
        ):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with writing(Places(tmp_path), command="run", now=NOW):
        assert '"run"' in Places(tmp_path).lock().read_text()


def refused(root: Path, command: str = "run", shard: str = "1/1") -> Locked:
    """Return how a writer is refused."""
    with pytest.raises(Locked) as caught, writing(Places(root), command=command, now=NOW, shard=Shard.parse(shard)):
        pass
    return caught.value


def test_a_file_in_the_place_of_a_lake(tmp_path: Path) -> None:
    """A file where the lake's folder belongs is refused."""
    root = tmp_path / "lake"
    root.write_bytes(b"a file")
    with pytest.raises(LakeError, match="cannot be written"), writing(Places(root), command="run", now=NOW):
        pass

    assert root.read_bytes() == b"a file"


def test_shards_stand_beside_each_other(tmp_path: Path) -> None:
    """Two shards write at once; each has a lock of its own, and whoever wants the whole is told of both."""
    with held(tmp_path, "daemon", "1/2"), held(tmp_path, "daemon", "2/2"):
        error = refused(tmp_path)

        assert error.daemons == ("1/2", "2/2")
        assert "--shard 1/2" in str(error)
        assert "--shard 2/2" in str(error)
        assert [holder.shard for holder in holders(Places(tmp_path))] == ["1/2", "2/2"]
    assert holders(Places(tmp_path)) == []


def test_a_shard_is_taken_once(tmp_path: Path) -> None:
    """The same shard again, a shard of another number and the whole are all refused, and tell who is there."""
    with held(tmp_path, "daemon", "2/3"):
        assert refused(tmp_path, "daemon", "2/3").daemons == ("2/3",)
        assert refused(tmp_path, "daemon", "1/2").daemons == ("2/3",)
        assert refused(tmp_path, "backfill").daemons == ("2/3",)
        with writing(Places(tmp_path), command="daemon", now=NOW, shard=Shard(1, 3)):
            assert len(holders(Places(tmp_path))) == 2


def test_a_whole_writer_shuts_shards_out(tmp_path: Path) -> None:
    """A command that writes everywhere takes no orders: nobody is told that it would."""
    with held(tmp_path):
        error = refused(tmp_path, "daemon", "1/2")

        assert error.daemons == ()
        assert "harvester backfill" in str(error)


def test_who_looks_is_in_nobodys_way(tmp_path: Path) -> None:
    """To ask who holds the lock takes nothing from anybody, and what an ended holder left says nothing."""
    with writing(Places(tmp_path), command="run", now=NOW):
        assert [holder.command for holder in holders(Places(tmp_path))] == ["run"]
    Places(tmp_path).lock().write_text("left behind")

    assert holders(Places(tmp_path)) == []


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/0", "a/b", "1/2/3", " 1/2", "-1/2"])
def test_what_is_no_shard(text: str) -> None:
    """A share that does not exist is refused, with the way to write one."""
    with pytest.raises(ValueError, match="write the second of three as 2/3"):
        Shard.parse(text)


def test_every_part_is_of_one_shard() -> None:
    """Together the shards take every part, each once."""
    for of in range(1, 6):
        shards = Shard(1, of).every()
        assert all(sum(shard.takes(part) for shard in shards) == 1 for part in range(40))
        assert [Shard.parse(str(shard)) for shard in shards] == shards
