"""The audit trail: appended, private, and readable though a full disk cut a line off."""

import os
import stat
from pathlib import Path

import pytest

from harvester.errors import Full
from harvester.lake import audit
from harvester.lake.layout import Places


def test_entries_come_back_in_order_and_are_private(tmp_path: Path) -> None:
    """One line each, mode 0600, older lines untouched."""
    places = Places(tmp_path)
    none = list(audit.entries(places))
    audit.record(places, {"what": "one", "who": "ü"})
    first = places.audit.read_bytes()
    audit.record(places, {"what": "two"})

    assert none == []
    assert [entry["what"] for entry in audit.entries(places)] == ["one", "two"]
    assert places.audit.read_bytes().startswith(first)
    assert stat.S_IMODE(places.audit.stat().st_mode) == 0o600


@pytest.mark.parametrize("torn", [b'{"what": "tor', b'["no", "entry"]\n', b"\xff\xfe"])
def test_a_line_that_was_cut_off_costs_no_other(tmp_path: Path, torn: bytes) -> None:
    """It stays where it is and tells nothing; the next one begins on a line of its own."""
    places = Places(tmp_path)
    audit.record(places, {"what": "one"})
    with places.audit.open("ab") as file:
        file.write(torn)
    audit.record(places, {"what": "two"})

    assert [entry["what"] for entry in audit.entries(places)] == ["one", "two"]
    assert torn in places.audit.read_bytes()


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not in the trail for sure must not go on."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Full):
        audit.record(Places(tmp_path), {"what": "one"})
