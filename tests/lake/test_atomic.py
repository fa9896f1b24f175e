"""Replacing a file: the old one or the new one, and an error that says what to do."""

import errno
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from nobody import unprivileged

from harvester.errors import Full, LakeError
from harvester.lake.atomic import TEMPORARY, forget_unfinished, refusal, replace_file, replace_with


@contextmanager
def file_size(limit: int) -> Iterator[None]:
    """Let no file grow beyond *limit* bytes: what a full disk is to a writer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def names(folder: Path) -> list[str]:
    """Return what lies in *folder*."""
    return sorted(entry.name for entry in folder.iterdir())


def test_makes_and_replaces(tmp_path: Path) -> None:
    """A file is made with its folders, then replaced, and nothing else is left."""
    path = tmp_path / "a" / "b" / "file"
    replace_file(path, b"one")
    replace_file(path, b"two")

    assert path.read_bytes() == b"two"
    assert names(path.parent) == ["file"]


def test_an_open_reader_keeps_the_old_file(tmp_path: Path) -> None:
    """Who has the old file open reads it to its end."""
    path = tmp_path / "file"
    replace_file(path, b"old")
    with path.open("rb") as reader:
        replace_file(path, b"new and longer")

        assert reader.read() == b"old"
    assert path.read_bytes() == b"new and longer"


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_mode(tmp_path: Path, mode: int) -> None:
    """The file has the mode asked for, whatever the umask."""
    before = os.umask(0o077)
    try:
        replace_file(tmp_path / "file", b"x", mode=mode)
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_nobody_else_may_read_the_unfinished_file(tmp_path: Path) -> None:
    """While it is written the temporary file is its owner's alone and matches no data pattern."""
    seen: list[tuple[int, str]] = []

    def write(temporary: Path) -> None:
        temporary.write_bytes(b"secret")
        seen.append((stat.S_IMODE(temporary.stat().st_mode), temporary.name))

    replace_with(tmp_path / "part-00000.parquet", write)

    assert [mode for mode, _ in seen] == [0o600]
    assert all(name.endswith(TEMPORARY) and not name.endswith(".parquet") for _, name in seen)


def test_no_space(tmp_path: Path) -> None:
    """A disk without space is told as such; the old file stays, no temporary one does."""
    path = tmp_path / "file"
    replace_file(path, b"old")
    with pytest.raises(Full, match=r"no space is left.*make room") as caught:
        replace_with(path, lambda _: Path("/dev/full").write_bytes(b"x" * 9999))

    assert caught.value.exit_code == 1
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_write_cut_short(tmp_path: Path) -> None:
    """A write that the system stops half-way leaves the old file and nothing else."""
    path = tmp_path / "file"
    replace_file(path, b"old")
    with file_size(1000), pytest.raises(LakeError, match="cannot be written: File too large"):
        replace_file(path, b"x" * 5000)

    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    """A folder without the right to write is told with what to check; the old file stays."""
    path = tmp_path / "file"
    replace_file(path, b"old")
    tmp_path.chmod(0o555)
    try:
        with unprivileged(), pytest.raises(LakeError, match=r"not writable.*owner and mode"):
            replace_file(path, b"new")
    finally:
        tmp_path.chmod(0o755)

    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    """A file in the place of a folder is a `LakeError`, not a bare error of the system."""
    (tmp_path / "lake").write_bytes(b"a file")
    for path in (tmp_path / "lake" / "x", tmp_path / "lake" / "y" / "x"):
        with pytest.raises(LakeError, match="cannot be written"):
            replace_file(path, b"new")

    assert (tmp_path / "lake").read_bytes() == b"a file"


def test_any_other_error_leaves_nothing(tmp_path: Path) -> None:
    """An error in what writes passes through and leaves no temporary file."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_with(tmp_path / "file", write)

    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOSPC, Full, "no space is left"),
        (errno.EDQUOT, Full, "no space is left"),
        (errno.EACCES, LakeError, "not writable"),
        (errno.EROFS, LakeError, "not writable"),
        (errno.EIO, LakeError, "cannot be written"),
    ],
)
def test_refusals_name_the_path(number: int, kind: type[LakeError], words: str) -> None:
    """Each refusal names the path and what is wrong with it."""
    error = refusal(Path("/lake/x"), OSError(number, os.strerror(number)))

    assert type(error) is kind
    assert str(error).startswith("/lake/x: ")
    assert words in str(error)


def test_what_killed_writers_left_is_forgotten(tmp_path: Path) -> None:
    """Half-written files that nobody has touched for a while go; fresh ones, and whole ones of any age, stay."""
    old, fresh, whole = (
        tmp_path / "table" / name for name in (f".a.1{TEMPORARY}", f".b.2{TEMPORARY}", "part-00000.parquet")
    )
    old.parent.mkdir()
    for file in (old, fresh, whole):
        file.write_bytes(b"x")
    for file in (old, whole):
        os.utime(file, (0, 0))

    assert forget_unfinished(tmp_path, datetime(2026, 1, 1, tzinfo=UTC)) == 1
    assert (old.exists(), fresh.exists(), whole.exists()) == (False, True, True)
