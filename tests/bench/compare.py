"""Whole commands on the same answers in one run: bare aiohttp, an afternoon's script, dlt, and ours.

The local cloud runs on the second processor core with every `Week` rendered before; each command is a process of its
own on the first, and the system says what it used. What a command needs to start is measured as the same command on
a cloud without plants, and taken off. Every second round goes the other way round: a processor that has been at work
for minutes is slower, and none is to have that for itself. The table shows medians, and the spread of the time.

* bare: aiohttp asks for everything and throws it away: nobody with this HTTP library can be faster;
* script: aiohttp, json, polars, one file per table and day (`rivals/script.py`);
* dlt: REST client, resources in parallel, filesystem destination, Parquet (`rivals/with_dlt.py`); a second line, with
  rows handed over as Arrow, which leaves the work to the user's own polars;
* ours: `harvester backfill` as installed: ledger, quarantine, raw archive, revisions, atomic publication, sums by
  month, year and in total, which none of the others asks for.

Every tool has to end with the same number of rows. The budget is off. dlt is left out, and it is said so, where the
Python given by `--dlt-python` does not have it.

    python tests/bench/compare.py [--rounds 3] [--large] [--dlt-python FILE] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from machine import FIRST, HERE, Used, backfill, cloud, environment, rows_in, run

RIVALS = HERE / "rivals"
OURS = "ours"
TOOLS = ("bare", "script", "dlt", "dlt, Arrow", OURS)
GOALS = {"script": 5.0, "dlt": 15.0}
"""How many times our time each should need at least."""
ROWS_PER_SECOND = 300_000
NOTHING = 4
"""Exit code of the harvester where there is no plant to be asked."""


def main() -> int:
    """Measure, print, and return the exit code."""
    asked = _arguments()
    tools = [tool for tool in asked.only or TOOLS if not tool.startswith("dlt") or _has_dlt(asked.dlt_python)]
    runs: dict[str, list[dict[str, float]]] = {tool: [] for tool in tools}
    with tempfile.TemporaryDirectory(prefix="compare-", dir=asked.folder) as folder, cloud(0, 1, 1) as empty:
        starts = _starts(tools, empty, asked, Path(folder))
        with cloud(asked.plants, asked.devices, asked.weeks) as url:
            for number in range(asked.rounds):
                for tool in tools if number % 2 == 0 else tools[::-1]:
                    sys.stderr.write(f"round {number + 1}: {tool} ...\n")
                    runs[tool].append(_once(tool, url, asked, Path(folder), starts[tool]))
    _same_rows(runs)
    found = {tool: _summary(each, starts[tool]) for tool, each in runs.items()}
    sys.stdout.write(_table(found, asked))
    if asked.json:
        Path(asked.json).write_text(
            json.dumps({"options": vars(asked), "runs": runs, "median": found}, indent=2) + "\n"
        )
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--plants", type=int, default=8)
    parser.add_argument("--devices", type=int, default=10, help="of each plant")
    parser.add_argument("--weeks", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", action="store_true", help="20 plants, 5 weeks: minutes per round")
    parser.add_argument("--quick", action="store_true", help="as small as it can be: does it work at all?")
    parser.add_argument("--only", action="append", choices=TOOLS, help="may be given several times")
    parser.add_argument(
        "--dlt-python", default=sys.executable, metavar="FILE", help="a Python that has dlt[filesystem]"
    )
    parser.add_argument("--folder", help="where lakes are written for the moment; default: the system's own")
    parser.add_argument("--json", metavar="FILE", help="write all figures there, too")
    asked = parser.parse_args()
    if asked.large:
        asked.plants, asked.devices, asked.weeks = 20, 10, 5
    if asked.quick:
        asked.plants, asked.devices, asked.weeks, asked.rounds = 1, 3, 1, 1
    return asked


def _has_dlt(python: str) -> bool:
    """Tell whether *python* can run the comparison with dlt; say so where it cannot."""
    probe = [python, "-c", "import dlt.destinations.impl.filesystem.filesystem, polars"]
    if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
        return True
    sys.stderr.write(f"{python} has no dlt and is left out of it: pip install 'dlt[filesystem,parquet]' polars\n")
    return False


def _command(tool: str, url: str, asked: argparse.Namespace, folder: Path) -> list[str]:
    what = [url, str(FIRST), str(asked.weeks)]
    match tool:
        case "bare":
            return [sys.executable, str(RIVALS / "bare.py"), *what]
        case "script":
            return [sys.executable, str(RIVALS / "script.py"), *what, str(folder)]
        case "dlt":
            return [asked.dlt_python, str(RIVALS / "with_dlt.py"), *what, str(folder)]
        case "dlt, Arrow":
            return [asked.dlt_python, str(RIVALS / "with_dlt.py"), *what, str(folder), "--arrow"]
    return backfill(url, folder, FIRST, 7 * asked.weeks)


def _starts(tools: Sequence[str], url: str, asked: argparse.Namespace, folder: Path) -> dict[str, dict[str, float]]:
    """Return what each tool needs where there is nothing to do: the median of as many runs as there are rounds.

    The first run of each is thrown away: it compiles and fills the caches of the system.
    """
    found = {}
    for tool in tools:
        used: list[Used] = []
        for _ in range(asked.rounds + 1):
            codes = (0, NOTHING) if tool == OURS else (0,)
            used.append(run(_command(tool, url, asked, _place(folder)), environment(), codes))
        found[tool] = {"wall": median(u.wall for u in used[1:]), "cpu": median(u.cpu for u in used[1:])}
    return found


def _place(folder: Path) -> Path:
    """Return an empty folder for one run, with nothing of an earlier one on its way to the disk.

    Whatever a tool has written stays to the end: a file system takes seconds to forget files that were just deleted,
    and whoever makes new ones meanwhile would pay for that.
    """
    os.sync()
    return Path(tempfile.mkdtemp(dir=folder))


def _once(tool: str, url: str, asked: argparse.Namespace, folder: Path, start: dict[str, float]) -> dict[str, float]:
    place = _place(folder)
    used = run(_command(tool, url, asked, place), environment())
    rows = 0 if tool == "bare" else rows_in(place)
    return {"wall": used.wall - start["wall"], "cpu": used.cpu - start["cpu"], "peak": used.peak, "rows": rows}


def _same_rows(runs: dict[str, list[dict[str, float]]]) -> None:
    rows = {tool: {run["rows"] for run in each} for tool, each in runs.items() if tool != "bare"}
    if len(set().union(*rows.values())) > 1:
        raise SystemExit(f"not the same rows: {rows}")
    for run_of_bare in runs.get("bare", ()):
        run_of_bare["rows"] = max(set().union(*rows.values()), default=0)


def _summary(runs: list[dict[str, float]], start: dict[str, float]) -> dict[str, Any]:
    middle = {name: median(one[name] for one in runs) for name in runs[0]}
    walls = [one["wall"] for one in runs]
    return {**middle, "least": min(walls), "most": max(walls), "start": start["wall"]}


def _table(found: dict[str, dict[str, Any]], asked: argparse.Namespace) -> str:
    rows = int(max(each["rows"] for each in found.values()))
    ours = found.get(OURS)
    fleet = f"{asked.plants} plants, {asked.devices} devices each, {asked.weeks} weeks"
    heads = f"{'s':>8}{'least..most':>16}{'CPU us/row':>12}{'rows/s':>10}{'peak MiB':>10}{'start s':>9}{'x ours':>8}"
    lines = [f"{fleet}: {rows:,} rows; medians of {asked.rounds} rounds, start-up apart", f"{'':<12}{heads}"]
    for tool, each in found.items():
        times = each["wall"] / ours["wall"] if ours else 0
        goal = f"   goal: at least {GOALS[tool]:g} x" if tool in GOALS else ""
        if tool == OURS:
            goal = f"   goal: at least {ROWS_PER_SECOND:,} rows/s"
        spread = f"{each['least']:.2f}..{each['most']:.2f}"
        lines.append(
            f"{tool:<12}{each['wall']:>8.2f}{spread:>16}{1e6 * each['cpu'] / max(rows, 1):>12.2f}"
            f"{rows / each['wall']:>10,.0f}{each['peak']:>10.0f}{each['start']:>9.2f}{times:>8.2f}{goal}"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
