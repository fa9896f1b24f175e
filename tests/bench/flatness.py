"""What is sampled of a daemon during a long run, and whether it stayed flat: by eighths, by quarters, as a slope.

The first quarter warms caches and fills what is bounded; the median of the last quarter is held against that of the
second one. A sample is a plain mapping: the key of what was measured, and its value, absent where there was none.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from itertools import pairwise
from pathlib import Path
from statistics import linear_regression, mean, median
from urllib.parse import urlsplit

Samples = Sequence[Mapping[str, float]]
HOUR = "hour"
"""Key of the hours since the run began."""
PARTS = 8
MIB = 2**20
PATIENCE = 60.0
"""Seconds that a page may take."""
PAGES = {"health": ("/healthz", 9), "metrics": ("/metrics", 3), "status": ("/", 1), "coverage": ("/coverage", 1)}
"""Each with how often it is asked for a sample."""
_VALUES = {"kind": "values"}
_COUNTED = {
    "requests": ("requests_total", {}),
    "answers": ("request_duration_seconds_count", _VALUES),
    "answer_seconds": ("request_duration_seconds_sum", _VALUES),
    "rows": ("rows_total", {}),
    "files_written": ("files_written_total", {}),
    "failed": ("slices_total", {"outcome": "failed"}),
    "broken": ("runs_total", {"outcome": "broken"}),
    "age": ("age_seconds", {"quantile": "0.5"}),
}
"""What is read of /metrics: name and labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table: the median of a key, or where `per` is given what came of it for each one of that.

    Of what comes and goes with the work, as connections do, the least is compared: a leak raises that, too.
    """

    name: str
    key: str
    per: str | None = None
    """Key that counts, as `key` does then: the figure is a ratio of what was added to both."""
    take: Callable[[list[float]], float] = median
    """What of the samples' values is taken, unless `per` is given."""
    times: float = 1.0
    allowed: tuple[float, float] | None = None
    """By what share it may rise, and by how much in any case; None: nothing is asked of it."""

    def value(self, samples: Samples, begin: int, end: int) -> float | None:
        """Return what the samples from *begin* up to *end* come to; None where there is nothing."""
        if self.per is None:
            found = [self.times * one[self.key] for one in samples[begin:end] if self.key in one]
            return self.take(found) if found else None
        told = [one for one in samples[max(begin - 1, 0) : end] if self.key in one and self.per in one]
        per = told[-1][self.per] - told[0][self.per] if told else 0
        return self.times * (told[-1][self.key] - told[0][self.key]) / per if per else None

    def slope(self, samples: Samples) -> float | None:
        """Return by how much it rises in an hour, over the last three quarters; None where that cannot be told."""
        bounds = [(begin, end) for begin, end in eighths(len(samples))[PARTS // 4 :] if end > begin]
        if self.per is None and bounds:
            bounds = [(number, number + 1) for number in range(bounds[0][0], bounds[-1][1])]
        points = [
            (mean(one[HOUR] for one in samples[begin:end]), value)
            for begin, end in bounds
            if (value := self.value(samples, begin, end)) is not None
        ]
        if len({hour for hour, _ in points}) < 2:
            return None
        return linear_regression(*zip(*points, strict=True)).slope


_MEMORY, _LATENCY, _COUNT = (0.03, 8.0), (0.25, 5.0), (0.0, 1.0)
_FILES = (0.0, 6.0)
"""The ledger keeps up to five connections of two files each; with how many a run begins is left to chance."""
FIGURES = (
    Figure(name="memory, MiB", key="rss", allowed=_MEMORY),
    Figure(name="of it anonymous, MiB", key="anonymous", allowed=_MEMORY),
    Figure(name="open files", key="files"),
    Figure(name="open files, at least", key="files", take=min, allowed=_FILES),
    Figure(name="threads", key="threads"),
    Figure(name="threads, at least", key="threads", take=min, allowed=_COUNT),
    Figure(name="health page, ms", key="health", times=1e3, allowed=_LATENCY),
    Figure(name="the slowest of nine, ms", key="health_slowest", times=1e3),
    Figure(name="metrics, ms", key="metrics", times=1e3, allowed=_LATENCY),
    Figure(name="status page, ms", key="status", times=1e3, allowed=_LATENCY),
    Figure(name="request, mean ms", key="answer_seconds", per="answers", times=1e3, allowed=_LATENCY),
    Figure(name="order, mean s", key="order_seconds", per="orders", allowed=(0.25, 1.0)),
    Figure(name="age of newest rows, s", key="age"),
    Figure(name="CPU, % of one core", key="cpu", per=HOUR, times=1 / 36),
    Figure(name="requests/min", key="requests", per=HOUR, times=1 / 60),
    Figure(name="rows/min", key="rows", per=HOUR, times=1 / 60),
    Figure(name="files written/min", key="files_written", per=HOUR, times=1 / 60),
    Figure(name="slices failed", key="failed"),
    Figure(name="work broken", key="broken"),
    Figure(name="ledger, MiB", key="ledger"),
    Figure(name="its log (WAL), MiB", key="wal"),
    Figure(name="lake, MiB", key="lake"),
    Figure(name="files of the lake", key="lake_files"),
    Figure(name="temporary files", key="leftovers"),
    Figure(name="the cloud's memory, MiB", key="cloud"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a figure came to."""

    name: str
    eighths: tuple[float | None, ...]
    before: float | None
    """In the second quarter."""
    after: float | None
    """In the last one."""
    slope: float | None
    """For each hour."""
    flat: bool | None
    """None where nothing is asked of it, or where there was nothing to compare."""


def eighths(samples: int) -> list[tuple[int, int]]:
    """Return the bounds of eight parts of so many samples, as even as can be."""
    return list(pairwise(round(samples * part / PARTS) for part in range(PARTS + 1)))


def told(figure: Figure, samples: Samples) -> Told:
    """Sum a figure up."""
    bounds, quarter = eighths(len(samples)), PARTS // 4
    before = figure.value(samples, bounds[quarter][0], bounds[2 * quarter - 1][1])
    after = figure.value(samples, bounds[-quarter][0], bounds[-1][1])
    flat = None
    if figure.allowed is not None and before is not None and after is not None:
        share, more = figure.allowed
        flat = after <= before + max(before * share, more)
    return Told(
        name=figure.name,
        eighths=tuple(figure.value(samples, begin, end) for begin, end in bounds),
        before=before,
        after=after,
        slope=figure.slope(samples),
        flat=flat,
    )


def table(lines: Sequence[Told]) -> str:
    """Return the table for people."""
    heads = [*(f"{part + 1}/{PARTS}" for part in range(PARTS)), "2nd quarter", "last", "slope/h"]
    rows = [f"{'':<26}" + "".join(f"{head:>12}" if head == "2nd quarter" else f"{head:>10}" for head in heads)]
    for line in lines:
        verdict = {None: "", True: "flat", False: "RISES"}[line.flat]
        cells = "".join(f"{_cell(value):>10}" for value in line.eighths)
        rows.append(
            f"{line.name:<26}{cells}{_cell(line.before):>12}{_cell(line.after):>10}{_cell(line.slope):>10}   {verdict}"
        )
    return "\n".join(row.rstrip() for row in rows) + "\n"


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:,.2f}"


def process_facts(pid: int) -> dict[str, float]:
    """Return what the system says of a process: MiB, numbers, seconds of CPU; raises OSError where it is gone."""
    proc = Path("/proc") / str(pid)
    kilobytes = dict(re.findall(r"^(\w+): +(\d+) kB", (proc / "smaps_rollup").read_text(), re.MULTILINE))
    words = (proc / "stat").read_text().rpartition(")")[2].split()  # from the third one on, see proc(5)
    return {
        "rss": int(kilobytes["Rss"]) / 1024,
        "anonymous": int(kilobytes["Anonymous"]) / 1024,
        "files": len(list((proc / "fd").iterdir())),
        "threads": int(words[17]),
        "cpu": (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK"),
    }


def pages(url: str) -> dict[str, float]:
    """Return how many seconds pages take, and what the metrics say; raises OSError, HTTPException."""
    found: dict[str, float] = {}
    text = ""
    for name, (path, times) in PAGES.items():
        took = []
        for _ in range(times):
            began = time.perf_counter()
            status, body = _got(url, path)
            took.append(time.perf_counter() - began)
            if status != 200:
                raise HTTPException(f"{path} answers {status}: {body[:300]}")
            text = body if name == "metrics" else text
        found |= {name: median(took), f"{name}_slowest": max(took)}
    return found | counted(text)


def _got(url: str, path: str) -> tuple[int, str]:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def counted(text: str) -> dict[str, float]:
    """Return the figures of /metrics, each the sum over all labels that are not asked for; absent where none is."""
    found: dict[str, float] = {}
    for name, labels, value in re.findall(r"^sma_harvester_(\w+)(?:\{(.*)\})? (\S+)$", text, re.MULTILINE):
        given = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        for key, (wanted, asked) in _COUNTED.items():
            if name == wanted and asked.items() <= given.items():
                found[key] = found.get(key, 0.0) + float(value)
    return found


def disk(folder: Path) -> dict[str, float]:
    """Return what lies on the disk, MiB and numbers of files."""
    files = [Path(place) / name for place, _, names in os.walk(folder / "lake") for name in names]
    return {
        "ledger": _size(folder / "ledger.db"),
        "wal": _size(folder / "ledger.db-wal"),
        "lake": sum(map(_size, files)),
        "lake_files": len(files),
        "leftovers": sum(file.suffix == ".tmp" for file in files),
    }


def _size(file: Path) -> float:
    try:
        return file.stat().st_size / MIB
    except OSError:  # replaced or removed meanwhile
        return 0.0
