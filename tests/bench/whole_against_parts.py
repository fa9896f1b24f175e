"""What a backfill costs against the sum of its parts, measured in one run on one machine.

A local cloud runs in a process of its own, on the second processor core where there are two; everything measured
runs on the first. In turn, each in a fresh process, over the same answers:

* the whole: a real backfill through HTTP into Parquet, with pace, token, ledger, quarantine and atomic publication;
  start-up and discovery are done before and not counted; once without the raw archive, which is compared with the
  parts, and once with it;
* bare read: the same answers with the same HTTP library, loop and number of connections, gzip as the product
  negotiates it, thrown away;
* decode: the product's own, from raw answers to the frames that are merged: exact, placed in time, with keys; beside
  it, and not in the sum, the least that gives frames at all, with nothing checked;
* Parquet write: the final rows, sorted as they are in the lake, zstd 2, one file per table and day, fsync.

Figures are processor time (user and system, all threads) per row that came over the wire. Machines are noisy:
compare the ratio, not the microseconds, and repeat.

    python tests/bench/whole_against_parts.py [--plants 20] [--devices 10] [--weeks 5] [--repeat 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import parts

FIRST = date(2026, 6, 3)
"""All weeks lie within one summer, as most weeks do. No Monday: the first answers then tell what a Week covers."""
PARTS = ("bare read", "decode", "Parquet write")
RUN_BY_RUN = ("ratio", "rows_per_second", "peak", "peak_archived")
GOALS = {"ratio": 1.3, "peak": 300}
BESIDE = ("_by_index", "_daily", "_monthly", "_yearly")
"""Tables whose rows are not counted: they come out of the same answers, or of a few others."""
LONGEST = 1800
"""Seconds that any one process may take."""

SPAWN = multiprocessing.get_context("spawn")


def main() -> int:
    """Measure, print, and return the exit code."""
    asked = _arguments()
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=asked.folder) as folder, _cloud(asked) as url:
        for number in range(asked.repeat):
            place = parts.Place(url, Path(folder, str(number)), FIRST, asked.weeks)
            place.folder.mkdir()
            runs.append(_run(place))
    result = {"options": vars(asked), "runs": runs, "median": _median(runs)}
    sys.stdout.write(_table(result["median"], runs))
    if asked.json:
        Path(asked.json).write_text(json.dumps(result, indent=2) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--plants", type=int, default=20)
    parser.add_argument("--devices", type=int, default=10, help="of each plant")
    parser.add_argument("--weeks", type=int, default=5, choices=range(1, 18), metavar="1..17")
    parser.add_argument("--repeat", type=int, default=3, help="runs; the table shows medians")
    parser.add_argument("--folder", help="where lakes are written for the moment; default: the system's own")
    parser.add_argument("--json", metavar="FILE", help="write all figures there, too")
    parser.add_argument("--quick", action="store_true", help="as small as it can be: does it work at all?")
    asked = parser.parse_args()
    if asked.quick:
        asked.plants, asked.devices, asked.weeks, asked.repeat = 2, 3, 1, 1
    return asked


@contextmanager
def _cloud(asked: argparse.Namespace) -> Iterator[str]:
    """Run the cloud on the second core, where there is one, and stay on the first."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    _pin(cores[1:2])
    sys.stderr.write("rendering the answers ...\n")
    with _started(parts.cloud, asked.plants, asked.devices, FIRST, asked.weeks) as pipe:
        _pin(cores[:1] if len(cores) > 1 else [])
        yield _received(pipe)


def _pin(cores: list[int]) -> None:
    """Stay on *cores* from now on, and with it every process started from now on."""
    if cores:
        os.sched_setaffinity(0, cores)


@contextmanager
def _started(work: Callable[..., None], *arguments: object) -> Iterator[Connection]:
    """Run *work* in a fresh process; it ends with the block, whatever becomes of it."""
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=work, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join(10)
        if process.is_alive():
            process.kill()
            process.join()


def _received(pipe: Connection) -> Any:
    if not pipe.poll(LONGEST):
        raise SystemExit(f"nothing came of a process within {LONGEST} seconds")
    try:
        return pipe.recv()
    except EOFError:
        raise SystemExit("a process failed; what it said stands above") from None


def _measured(work: Callable[..., None], *arguments: object) -> Any:
    with _started(work, *arguments) as pipe:
        return _received(pipe)


def _run(place: parts.Place) -> dict[str, Any]:
    """Measure the whole and each part once."""
    sys.stderr.write("measuring ...\n")
    whole, asked = _measured(parts.whole, place)
    archiving = replace(place, folder=place.folder / "archiving", archive=True)
    archiving.folder.mkdir()
    archived, _ = _measured(parts.whole, archiving)
    token, urls = f"{place.url}/oauth2/token", [url for _, _, url in asked]
    alone = (
        _measured(parts.read, urls, token),
        _measured(parts.decode, asked, token, place.folder),
        _measured(parts.write, place.folder / "lake", place.first, place.folder),
    )
    minimal = _measured(parts.decode_minimally, asked, token, place.folder)
    rows = sum(n for table, n in whole.facts["rows"].items() if not table.endswith(BESIDE))
    if alone[1].facts["rows"] != rows:
        raise SystemExit(f"the whole took {rows} rows in, the parts {alone[1].facts['rows']}: not the same answers")
    costs = {**dict(zip(PARTS, alone, strict=True)), "whole": whole, "archived": archived, "minimal": minimal}
    return {
        "bodies": len(urls),
        "bytes": alone[0].facts["bytes"],
        "rows": rows,
        "files": alone[2].facts["files"],
        "cpu": {name: cost.cpu / rows * 1e6 for name, cost in costs.items()},
        "wall": {name: cost.wall for name, cost in costs.items()},
        "ratio": whole.cpu / sum(cost.cpu for cost in alone),
        "rows_per_second": rows / whole.wall,
        "peak": whole.peak / 2**20,
        "peak_archived": archived.peak / 2**20,
        "whole": parts.plain(whole),
    }


def _median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    plain = {name: median(run[name] for run in runs) for name in RUN_BY_RUN}
    nested = {
        kind: {name: median(run[kind][name] for run in runs) for name in runs[0][kind]} for kind in ("cpu", "wall")
    }
    least = {name: min(run["cpu"][name] for run in runs) for name in nested["cpu"]}
    undisturbed = least["whole"] / sum(least[name] for name in PARTS)
    same = {name: runs[0][name] for name in ("bodies", "bytes", "rows", "files")}
    return {**same, **plain, **nested, "least": least, "least_ratio": undisturbed}


def _table(found: dict[str, Any], runs: list[dict[str, Any]]) -> str:
    cpu, wall = found["cpu"], found["wall"]
    figures = {
        **{name: (cpu[name], wall[name]) for name in PARTS},
        "sum of the parts": (sum(cpu[name] for name in PARTS), sum(wall[name] for name in PARTS)),
        "the whole": (cpu["whole"], wall["whole"]),
        "with raw archive": (cpu["archived"], wall["archived"]),
        "minimal decode": (cpu["minimal"], wall["minimal"]),
    }
    lines = [f"{'':<20}{'CPU us/row':>12}{'wall s':>10}"]
    lines += [f"{name:<20}{each:>12.3f}{seconds:>10.2f}" for name, (each, seconds) in figures.items()]
    spread = f"{min(run['ratio'] for run in runs):.2f} to {max(run['ratio'] for run in runs):.2f}"
    lines += [
        "",
        f"{'whole / sum, CPU':<20}{found['ratio']:>12.2f}   goal {GOALS['ratio']}; {len(runs)} runs: {spread}",
        f"{'least / least':<20}{found['least_ratio']:>12.2f}   of all runs, as others disturb them least",
        f"{'rows/s':<20}{found['rows_per_second']:>12,.0f}",
        f"{'peak memory, MiB':<20}{found['peak']:>12.0f}   goal {GOALS['peak']}",
        f"{'  with raw archive':<20}{found['peak_archived']:>12.0f}",
        f"{'bodies':<20}{found['bodies']:>12,}   {found['bytes'] / 1e6:,.0f} MB of JSON",
        f"{'rows':<20}{found['rows']:>12,}   {found['files']:,} files",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
