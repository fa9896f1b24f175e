"""Whether memory is flat: the peak of whole `harvester backfill` commands, for longer periods and for more plants.

The cloud is on the other core; what the system says was held at most is compared with 300 MiB + 0.5 KB per series,
and flat means that a longer period holds no more than a week does, by more than a tenth.

    python tests/bench/flat_memory.py [--days 1 7 30 60] [--plants 6] [--fleets 100 1000 10000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from machine import FIRST, backfill, cloud, environment, run

WEEK, GIVE = 7, 1.1


def allowed(series: int) -> float:
    """Return the MiB that so many series may need."""
    return 300 + series * 500 / 2**20


def measured(url: str, days: int, folder: str | None, *words: str) -> dict[str, float]:
    """Backfill so many days into a lake of its own, and say what that came to."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        used = run(backfill(url, Path(place), FIRST, days, *words), environment())
    report = json.loads(used.said)
    return {
        "plants": report["plants"],
        "series": report["series"],
        "days": days,
        "rows": sum(report["rows"].values()),
        "peak": used.peak,
        "allowed": allowed(report["series"]),
    }


def line(found: dict[str, float]) -> str:
    """Return the row of the table."""
    good = "good" if found["peak"] <= found["allowed"] else "MISSED"
    return (
        f"{found['plants']:>8,}{found['series']:>9,}{found['days']:>7}{found['rows']:>13,}"
        f"{found['peak']:>10.0f}{found['allowed']:>10.0f}   {good}\n"
    )


def flat(found: list[dict[str, float]]) -> bool:
    """Tell whether no period longer than a week holds more than a week does, by more than `GIVE`."""
    weeks = [each["peak"] for each in found if each["days"] == WEEK]
    return all(each["peak"] <= max(weeks) * GIVE for each in found if weeks and each["days"] > WEEK)


def main() -> int:
    """Measure, print, and return the exit code: 1 where a peak is beyond its bound, or rises with the period."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--days", type=int, nargs="*", default=[1, 7, 30, 60])
    parser.add_argument("--plants", type=int, default=6, help="for the longer periods")
    parser.add_argument("--devices", type=int, default=7, help="of each plant")
    parser.add_argument(
        "--fleets", type=int, nargs="*", default=[100, 1000, 10000], help="plants, one device each, one day"
    )
    parser.add_argument("--folder", help="where lakes are written for the moment; default: the system's own")
    parser.add_argument("--json", metavar="FILE", help="write all figures there, too")
    asked = parser.parse_args()
    found = []
    sys.stdout.write(f"{'plants':>8}{'series':>9}{'days':>7}{'rows':>13}{'peak MiB':>10}{'at most':>10}\n")
    if asked.days:
        with cloud(asked.plants, asked.devices, -(-max(asked.days) // 7)) as url:
            for days in asked.days:
                found.append(measured(url, days, asked.folder))
                sys.stdout.write(line(found[-1]))
    for plants in asked.fleets:
        with cloud(plants, 1, 1, cold=True) as url:
            found.append(measured(url, 1, asked.folder, "--set", "EnergyBalance"))
            sys.stdout.write(line(found[-1]))
    if asked.json:
        Path(asked.json).write_text(json.dumps(found, indent=2) + "\n")
    good = all(each["peak"] <= each["allowed"] for each in found)
    sys.stdout.write(f"flat: {'yes' if flat(found) else 'NO'}; within the bound: {'yes' if good else 'NO'}\n")
    return 0 if good and flat(found) else 1


if __name__ == "__main__":
    sys.exit(main())
