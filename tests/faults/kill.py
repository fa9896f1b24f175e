"""Kill harvests N times and see whether lake, ledger and budget bear it.

Children of the real command are ended with SIGKILL: at each named step (before and after every write, fsync, rename
and commit, and in the middle of every write) once, at the n-th of a step, at any step, and at random moments. They
work in small worlds of a local cloud. After each kill, while nothing runs, every file must be readable by pyarrow and
DuckDB, hold each key once and nothing but the truth, and hold in full what the ledger calls settled. Each world is
harvested to its end, where its lake must equal the truth.

    python tests/faults/kill.py [--kills 1000] [--seed 1] [--only SCENE] [--folder DIR] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "support")]

from journeys import SCENES, Scene, Stage, Tally, at_random, staged  # noqa: E402 - the path comes first

TWICE = 0.01
"""Share of all requests that may be spent on what the ledger had."""


def main() -> int:
    """Kill, print, and return the exit code: 1 where anything was amiss."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--kills", type=int, default=1000)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--only", choices=[scene.name for scene in SCENES], action="append")
    words.add_argument("--folder", type=Path, help="where the worlds lie; those with a problem stay")
    words.add_argument("--json", type=Path)
    asked = words.parse_args()
    scenes = [scene for scene in SCENES if not asked.only or scene.name in asked.only]
    folder = Path(tempfile.mkdtemp(prefix="kill-", dir=asked.folder))
    tallies = {}
    for number, scene in enumerate(scenes):
        kills = asked.kills // len(scenes) + (number < asked.kills % len(scenes))
        tallies[scene.name] = asyncio.run(killed(scene, folder, kills, random.Random(asked.seed + number)))  # noqa: S311
    if asked.json:
        asked.json.write_text(json.dumps({name: asdict(tally) for name, tally in tallies.items()}, indent=2))
    return told(tallies, folder)


async def killed(scene: Scene, folder: Path, kills: int, chance: random.Random) -> Tally:
    """Kill the children of one scene: at each step once, as far as that goes, and then at random."""
    tally, began = Tally(), time.monotonic()
    async with staged(scene, folder, tally) as stage:
        steps = await stage.steps()
        say(f"{scene.name}: {len(steps)} named steps")
        await stage.at_each(steps[:kills], lambda: progress(stage, kills, began))
        while tally.kills.total() < kills:
            await stage.journey(
                lambda: at_random(steps, chance, stage.longest) if tally.kills.total() < kills else {},
                lambda: progress(stage, kills, began),
            )
    return tally


def progress(stage: Stage, kills: int, began: float) -> None:
    """Say now and then how far it is."""
    done = stage.tally.kills.total()
    if done % 25 == 0:
        say(
            f"{stage.scene.name}: {done}/{kills} kills, {stage.tally.worlds} worlds, "
            f"{len(stage.tally.problems)} problems, {time.monotonic() - began:.0f} s"
        )


def told(tallies: dict[str, Tally], folder: Path) -> int:
    """Print what came of it and return the exit code."""
    heads = (
        "scene",
        "steps",
        "kills",
        "worlds",
        "requests",
        "twice",
        "lost a kill",
        "worst",
        "429",
        "again",
        "rows",
        "wrong",
    )
    rows = [(name, *facts(tally)) for name, tally in tallies.items()]
    widths = [max(len(str(row[n])) for row in [heads, *rows]) for n in range(len(heads))]
    for row in [heads, *rows]:
        say("  ".join(str(cell).rjust(width) for cell, width in zip(row, widths, strict=True)))
    say("twice: requests for what the ledger had; lost: answers a kill took that were not in the ledger yet;")
    say("again: owners who had to connect again, as a refresh token is good for one use and a kill took the new one")
    everything = [step for tally in tallies.values() for step in tally.kills]
    for place, steps in groupby(sorted(everything, key=place_of), place_of):
        whole = sum(tally.kills[step] for step in set(steps) for tally in tallies.values())
        say(f"  {whole:5} kills  {place}")
    problems = [problem for tally in tallies.values() for problem in tally.problems]
    for problem in problems[:50]:
        say(f"PROBLEM {problem}")
    spent = any(tally.needless > TWICE * tally.requests for tally in tallies.values())
    if problems:
        say(f"The worlds are kept in {folder}")
    return int(bool(problems) or spent)


def facts(tally: Tally) -> tuple[Any, ...]:
    """Return one scene's figures."""
    lost = tally.in_flight
    return (
        len(tally.kills),
        tally.kills.total(),
        tally.worlds,
        tally.requests,
        tally.needless,
        f"{sum(lost) / len(lost):.1f}" if lost else "-",
        max(lost, default=0),
        tally.limited,
        tally.reconnected,
        tally.rows,
        len(tally.problems),
    )


def place_of(step: str) -> str:
    """Return what a step is about, without when and how."""
    return step if step.startswith("at ") else step.split(" ", 2)[2]


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)  # noqa: T201 - a report is printed


if __name__ == "__main__":
    sys.exit(main())
