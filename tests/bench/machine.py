"""Whole commands on one core, the cloud on the other: what each used, as the system counts it.

Only the standard library is imported here: the system counts what a parent held when it started a process as that
process's own peak, so the parent has to be small.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from time import perf_counter

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FIRST = date(2026, 6, 3)
"""First day of every benchmark: all weeks lie within one summer, and it is no Monday."""


@dataclass(frozen=True, slots=True)
class Used:
    """What one process used, from its start to its end."""

    wall: float
    """Seconds."""
    cpu: float
    """User and system seconds of all its threads, and of the processes that it waited for."""
    peak: float
    """MiB held at most."""
    code: int
    said: str
    """Standard output."""


def run(command: Sequence[str], environment: Mapping[str, str] | None = None, codes: Sequence[int] = (0,)) -> Used:
    """Run *command* to its end; raises SystemExit with what it said where it does not end with one of *codes*."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begun = perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env={**os.environ, **(environment or {})}
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode not in codes:
            told = err.read().decode(errors="replace")[-4000:]
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{told}")
        scale = 2**20 if sys.platform == "darwin" else 2**10
        return Used(
            wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / scale, process.returncode, out.read().decode()
        )


@contextmanager
def cloud(plants: int, devices: int, weeks: int, first: date = FIRST, *, cold: bool = False) -> Iterator[str]:
    """Run the local cloud on the second core and yield its address; what is started meanwhile runs on the first.

    A *cold* one renders answers as they are asked for, so that it may be of many plants.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    _pin(cores[1:2])
    sys.stderr.write("starting the cloud ...\n" if cold else "rendering the answers ...\n")
    words = {"--plants": plants, "--devices": devices, "--weeks": weeks, "--first": first}
    command = [sys.executable, str(HERE / "clouds.py"), *(str(word) for pair in words.items() for word in pair)]
    command += ["--cold"] if cold else []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            if not url:
                raise SystemExit("the cloud did not start; what it said stands above")
            _pin(cores[:1] if len(cores) > 1 else [])
            yield url
        finally:
            process.stdin.close()
            _pin(cores)


def _pin(cores: Sequence[int]) -> None:
    """Stay on *cores* from now on, and with it every process started from now on."""
    if cores:
        os.sched_setaffinity(0, cores)


def backfill(url: str, folder: Path, first: date, days: int, *words: str) -> list[str]:
    """Return the product's own command for so many days into a lake in *folder*."""
    last = first + timedelta(days=days - 1)
    (folder / "harvester.toml").write_text(
        f'[sma]\nauth_url = "{url}"\nconsent_url = "{url}"\nmonitoring_url = "{url}/monitoring/v1"\n'
        f'[lake]\nroot = "lake"\n[ledger]\nurl = "sqlite:///ledger.db"\n'
    )
    command = [sys.executable, "-m", "harvester", "--config", str(folder / "harvester.toml"), "backfill"]
    return [*command, "--from", str(first), "--to", str(last), "--json", *words]


def environment() -> dict[str, str]:
    """Return what a command needs to find the package, and no setting of the machine's user."""
    return {"PYTHONPATH": str(ROOT)}


def rows_in(folder: Path) -> int:
    """Count the rows of values below *folder*, each once, whatever it was written by.

    Left out are rows that come out of others: arrays by index, sums by period, and what a tool keeps for itself.
    """
    used = run([sys.executable, str(HERE / "rows_in.py"), str(folder)])
    return sum(json.loads(used.said).values())
