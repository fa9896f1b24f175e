"""What fleets of 10, 1,000 and 100,000 plants cost, asked of `harvester plan` before a request is spent.

For each a ledger is made with the inventory that discovery would have left (eleven measurement sets a plant), and the
product's own command is asked for a year of history, and for the freshness of live data at each budget. The largest
inventory's history is asked of some of its plants, which are all alike, and multiplied; memory is what the command for
live data, which looks at all plants, held at most.

What a plan cannot know is given: the budget, the rows a second that one core takes in (`make bench`), the disk. The
limit that binds first is the slower one of budget and processor; disk and memory are named where they do not suffice.
Prints a Markdown table.

    python tests/bench/scale_on_paper.py [--plants 10 1000 100000] [--budgets 1000 10000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from machine import ROOT, environment, run

sys.path.insert(0, str(ROOT))

FIRST, LAST = date(2025, 1, 1), date(2025, 12, 31)
PLANTS_PER_FILE = 100
SETS_OF_A_PLANT = {
    None: ("EnergyBalance", "GridSettings"),
    0: ("EnergyAndPowerPv", "PowerAc", "PowerDc"),
    1: ("EnergyAndPowerPv", "PowerAc", "PowerDc"),
    2: ("EnergyAndPowerBattery", "PowerAc"),
    3: ("EnergyAndPowerInOut",),
}
"""By device: two inverters, a battery, a meter; None is the plant as a whole."""
SERIES_OF_A_PLANT = sum(len(sets) for sets in SETS_OF_A_PLANT.values())
ASKED_AT_MOST = 1_000
"""Plants whose history is planned; those of a larger fleet are as many times as much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """One row of the table."""

    plants: int
    budget: int
    """Requests per five minutes."""
    series: int
    requests: int
    """For a year of history."""
    hours: float
    """That the budget needs for it."""
    rows: int
    cpu_hours: float
    bytes: int
    peak: float
    """MiB that planning held at most."""
    live_share: float
    """Of the budget, for live data once all history is there; above one it takes turns."""
    live_p95_minutes: float
    binds: str


def fill(file: Path, plants: int) -> None:
    """Make a ledger with the inventory of so many plants, of which nothing was asked yet."""
    import sqlalchemy as sa  # noqa: PLC0415 - in a process of its own: see `machine`

    from harvester.state.database import connect  # noqa: PLC0415
    from harvester.state.tables import DEVICE, PLANT, SERIES, to_seconds  # noqa: PLC0415

    now = to_seconds(datetime.now(UTC))
    seen = {"first_seen": 0, "last_seen": now}
    engine = connect(file)
    for start in range(0, plants, 10 * PLANTS_PER_FILE):
        numbers = range(start, min(start + 10 * PLANTS_PER_FILE, plants))
        facts = {"name": "x", "timezone": "Europe/Berlin", "start_up": 0, "explored_at": now, **seen}
        names = [(n, n // PLANTS_PER_FILE, d) for n in numbers for d in SETS_OF_A_PLANT]
        with engine.begin() as db:
            db.execute(
                sa.insert(PLANT),
                [{"plant_id": str(n), "ordinal": n, "part": n // PLANTS_PER_FILE, **facts} for n in numbers],
            )
            devices = [{"device_id": f"{n}-{d}", "plant_id": str(n)} for n, _, d in names if d is not None]
            db.execute(sa.insert(DEVICE), [{**each, "name": "x", "is_active": True, **seen} for each in devices])
            keys = [{"part": p, "plant_id": str(n), "device_id": "" if d is None else f"{n}-{d}"} for n, p, d in names]
            rows = zip(keys, (d for _, _, d in names), strict=True)
            db.execute(
                sa.insert(SERIES), [{**key, "set": s, "first_seen": 0} for key, d in rows for s in SETS_OF_A_PLANT[d]]
            )
    engine.dispose()


def papers(plants: int, asked: argparse.Namespace, folder: Path) -> list[Paper]:
    """Ask `harvester plan` about a fleet under each budget."""
    run([sys.executable, __file__, "--fill", str(folder / "ledger.db"), str(plants)], environment())
    some = min(plants, ASKED_AT_MOST)
    scope = [word for n in range(some) for word in ("--plant", str(n))] if some < plants else []
    history = _plan(folder, asked.budgets[0], "--from", str(FIRST), "--to", str(LAST), *scope)[0]
    times = plants / some
    requests, rows, size = (round(times * history[name]) for name in ("requests", "rows", "bytes"))
    found = []
    for budget in asked.budgets:
        live, peak = _plan(folder, budget, "--live")
        hours, cpu = requests / budget / 12, rows / asked.rows_per_second / 3600
        found.append(
            Paper(
                plants=plants,
                budget=budget,
                series=plants * SERIES_OF_A_PLANT,
                requests=requests,
                hours=round(hours, 2),
                rows=rows,
                cpu_hours=round(cpu, 2),
                bytes=size,
                peak=round(peak),
                live_share=live["share"],
                live_p95_minutes=round(live["p95_seconds"] / 60, 1),
                binds=binding(hours, cpu, size / asked.disk_gb / 1e9, peak / asked.memory_mib),
            )
        )
    return found


def binding(hours: float, cpu_hours: float, disk: float, memory: float) -> str:
    """Name the limit that binds a backfill first: what does not suffice at all, else what takes longest."""
    short = [name for name, share in (("disk", disk), ("memory", memory)) if share > 1]
    return ", then ".join([*short, "budget" if hours >= cpu_hours else "processor"])


def _plan(folder: Path, budget: int, *words: str) -> tuple[dict, float]:
    config = folder / f"{budget}.toml"
    config.write_text(f'[rate]\nrequests = {budget}\n[lake]\nroot = "lake"\n[ledger]\nurl = "sqlite:///ledger.db"\n')
    used = run([sys.executable, "-m", "harvester", "--config", str(config), "plan", "--json", *words], environment())
    return json.loads(used.said), used.peak


def table(found: list[Paper], asked: argparse.Namespace) -> str:
    """Return the rows as Markdown."""
    heads = ("plants", "series", "budget / 5 min", "requests", "hours", "rows", "processor h", "lake", "planning MiB")
    heads += ("live: of budget", "95 % fresher than", "binds first")
    lines = [f"| {' | '.join(heads)} |", "| " + " | ".join(["---:"] * (len(heads) - 1) + ["---"]) + " |"]
    for p in found:
        cells = [f"{p.plants:,}", f"{p.series:,}", f"{p.budget:,}", f"{p.requests:,}", f"{p.hours:,.1f}"]
        cells += [f"{p.rows / 1e6:,.0f} M", f"{p.cpu_hours:,.1f}", f"{p.bytes / 1e9:,.1f} GB", f"{p.peak:,.0f}"]
        # beyond the whole budget the sets that are asked once a day leave nothing to the live ones
        fresh = "never" if p.live_share > 1 else f"{p.live_p95_minutes:,.0f} min"
        cells += [f"{p.live_share:.0%}", fresh, p.binds]
        lines.append(f"| {' | '.join(cells)} |")
    told = (
        f"A year of history; {asked.rows_per_second:,} rows/s, {asked.disk_gb:,} GB of disk, {asked.memory_mib:,} MiB."
    )
    return "\n".join([told, "", *lines]) + "\n"


def main() -> int:
    """Make the ledgers, ask, print."""
    if sys.argv[1:2] == ["--fill"]:
        fill(Path(sys.argv[2]), int(sys.argv[3]))
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--plants", type=int, nargs="+", default=[10, 1_000, 100_000])
    parser.add_argument("--budgets", type=int, nargs="+", default=[1_000, 10_000], help="requests per five minutes")
    parser.add_argument("--rows-per-second", type=int, default=200_000, help="as `make bench` found on this machine")
    parser.add_argument("--disk-gb", type=int, default=4_000)
    parser.add_argument("--memory-mib", type=int, default=4_096)
    parser.add_argument("--folder", help="where ledgers are for the moment; default: the system's own")
    parser.add_argument("--json", metavar="FILE", help="write all figures there, too")
    asked = parser.parse_args()
    found = []
    for plants in asked.plants:
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            found.extend(papers(plants, asked, Path(folder)))
    sys.stdout.write(table(found, asked))
    if asked.json:
        Path(asked.json).write_text(json.dumps([asdict(each) for each in found], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
