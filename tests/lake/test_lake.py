"""A lake as a whole: whose it is, and what is refused."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harvester.errors import LakeError
from harvester.lake.lake import Lake, establish, open_lake, read_identity
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
    """A file where the lake's folder belongs is refused."""
    root = tmp_path / "lake"
    root.write_bytes(b"a file")
    with pytest.raises(LakeError, match="cannot be written"):
        opened(root)

    assert root.read_bytes() == b"a file"
