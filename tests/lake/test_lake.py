"""A lake as a whole: whose it is, who may write to it, and what is refused."""

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
from harvester.lake.lake import Lake, establish, open_lake, read_identity, writing
from harvester.lake.layout import Places
from harvester.lake.schema import FORMAT_VERSION

NOW = datetime(2024, 6, 1, 12, 30, tzinfo=UTC)
HOST = "monitoring.example.org:443"


def opened(root: Path, host: str = HOST) -> Lake:
    """Open the lake at *root*."""
    lake = open_lake(root, host=host, plants_per_file=100, now=NOW)
    establish(lake)
    return lake


def test_a_new_lake(tmp_path: Path) -> None:
    """Where no lake is, one is made: format, an id of its own, host, part rule."""
    lake, other = opened(tmp_path / "a" / "lake"), opened(tmp_path / "other")
    written = json.loads(lake.places.identity.read_bytes())

    assert written == {
        "format": FORMAT_VERSION,
        "lake_id": lake.identity.lake_id,
        "host": HOST,
        "plants_per_file": 100,
        "created_at": NOW.isoformat(),
    }
    assert lake.identity.lake_id != other.identity.lake_id


def test_a_lake_stays_itself(tmp_path: Path) -> None:
    """Opened again, a lake is the same; its part rule is the one it was made with."""
    first = opened(tmp_path)
    again = open_lake(tmp_path, host=HOST, plants_per_file=7, now=datetime(2025, 1, 1, tzinfo=UTC))

    assert again == first
    assert again.identity.plants_per_file == 100


def test_another_host_is_refused(tmp_path: Path) -> None:
    """A lake of another host is refused, naming both, and left as it is."""
    lake = opened(tmp_path)
    before = lake.places.identity.read_bytes()
    with pytest.raises(LakeError, match=r"monitoring\.example\.org:443.*sandbox\.example\.org") as caught:
        opened(tmp_path, "sandbox.example.org")

    assert caught.value.exit_code == 2
    assert lake.places.identity.read_bytes() == before


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    """A lake of a newer format is refused whatever else it says, and left as it is."""
    places = Places(tmp_path)
    places.own.mkdir()
    content = json.dumps({"format": FORMAT_VERSION + 1, "hosts": ["of a later version"]})
    places.identity.write_text(content)
    with pytest.raises(LakeError, match=rf"format {FORMAT_VERSION + 1}.*up to {FORMAT_VERSION}.*newer version"):
        opened(tmp_path)

    assert places.identity.read_text() == content


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"{}", b'{"format":1}', b'{"format":"1"}', b'{"format":1,"lake_id":5}'],
)
def test_a_spoiled_identity_is_refused(tmp_path: Path, content: bytes) -> None:
    """An identity that cannot be read is refused with what to do, never taken for a new lake."""
    places = Places(tmp_path)
    places.own.mkdir()
    places.identity.write_bytes(content)
    with pytest.raises(LakeError, match=r"lake\.json: not the identity of a lake.*backup"):
        opened(tmp_path)

    assert places.identity.read_bytes() == content


def test_no_lake(tmp_path: Path) -> None:
    """Where no lake is, none is found, and to look makes none."""
    assert read_identity(Places(tmp_path / "none")) is None
    assert not (tmp_path / "none").exists()


def test_a_file_in_the_place_of_a_lake(tmp_path: Path) -> None:
    """A file where the lake's folder belongs is refused, to open and to lock."""
    root = tmp_path / "lake"
    root.write_bytes(b"a file")
    with pytest.raises(LakeError, match="cannot be written"):
        opened(root)
    with pytest.raises(LakeError, match="cannot be written"), writing(Places(root), command="run", now=NOW):
        pass

    assert root.read_bytes() == b"a file"


HOLDER = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from harvester.lake.lake import writing
from harvester.lake.layout import Places
with writing(Places(Path(sys.argv[1])), command="backfill", now=datetime(2024, 6, 1, 12, 30, tzinfo=UTC)):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held(root: Path) -> Iterator[subprocess.Popen[str]]:
    """Let another process hold the lock of the lake at *root*."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(root)],
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
            content = Places(tmp_path).lock.read_text()

    assert content == f"`harvester run` (process {os.getpid()}, since 2024-06-01 12:30:00Z)"
    assert Places(tmp_path).lock.read_text() == ""


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

        assert "daemon" in Places(tmp_path).lock.read_text()


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
        assert "harvester run" in Places(tmp_path).lock.read_text()


def test_readers_need_no_lock(tmp_path: Path) -> None:
    """To see whose lake it is works while another process writes."""
    lake = opened(tmp_path)
    with held(tmp_path):
        assert read_identity(Places(tmp_path)) == lake.identity
