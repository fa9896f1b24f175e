"""`make test-tools`: installs what is missing, and only that."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci/test-tools"
RECORD = '#!/bin/sh\necho "$(basename "$0") $*" >> "$RECORD"\n'


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """Return the folder of programs of a machine that has nothing but what the script itself is written with."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "sh", "basename", "dirname", "grep", "id", "env"):
        (programs / name).symlink_to(shutil.which(name) or name)
    (tmp_path / ".ci").mkdir()
    shutil.copy(SCRIPT, tmp_path / ".ci")
    return programs


def present(tools: Path, *names: str) -> None:
    """Put programs there that write down how they are called."""
    for name in names:
        (tools / name).write_text(RECORD)
        (tools / name).chmod(0o755)


def ran(tools: Path) -> tuple[int, str, list[str]]:
    """Run the script; return its exit code, what it says, and the calls it made."""
    record = tools.parent / "record"
    environment = {"PATH": str(tools), "RECORD": str(record)}
    done = subprocess.run(
        [tools.parent / ".ci/test-tools"], env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr, record.read_text().splitlines() if record.exists() else []


def test_nothing_is_done_where_all_is_there(tools: Path) -> None:
    """Neither apt nor npm is called."""
    present(tools, "chromium", "newman", "systemd-analyze", "gcc", "apt-get", "npm")

    assert ran(tools) == (0, "", [])


def test_what_is_missing_is_installed(tools: Path) -> None:
    """Browser, systemd and compiler come from the distribution, newman of a pinned version from npm, into here."""
    present(tools, "apt-get", "npm")
    (tools / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (tools / "sudo").chmod(0o755)
    code, _, calls = ran(tools)

    assert code == 0
    assert calls[0].startswith("apt-get update")
    assert calls[1].endswith(" chromium systemd gcc libc6-dev")
    assert calls[2].startswith("npm install --prefix . --no-save --no-package-lock")
    assert "newman@6." in calls[2]


def test_a_machine_without_apt_is_told_what_is_needed(tools: Path) -> None:
    """The text names the programs, and nothing is installed by half."""
    code, said, calls = ran(tools)

    assert (code, calls) == (1, [])
    assert "needed for the tests: chromium npm systemd gcc" in said
