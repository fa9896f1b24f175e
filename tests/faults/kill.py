"""Kill the command N times and see whether lake, ledger, archive and budget bear it.

Children of the real command are ended with SIGKILL: at each named step (before and after every write, fsync, rename
and commit, and in the middle of every write) once, at the n-th of a step, at any step, and at random moments. They
work in small worlds of a local cloud. After each kill every file must be readable by pyarrow and DuckDB, hold each key
once and nothing but the truth, and hold in full what the ledger calls settled. Each world is worked on to its end,
where its lake must equal the truth.

    python tests/faults/kill.py [--kills 1000] [--seed 1] [--scene NAME ...] [--folder DIR] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import fields
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "support")]

from journeys import Scene, Stage, Tally, staged  # noqa: E402 - the path comes first
from scenes import SCENES  # noqa: E402

TWICE = 0.01
"""Share of all requests that may be spent on what the ledger had."""
MOST_TOLD = 50
HEADS = (
    *("scene", "steps", "kills", "worlds", "requests", "twice", "%", "lost a kill", "worst"),
    *("429", "again", "rows", "problems"),
)


def main() -> int:
    """Kill, print, and return the exit code: 1 where anything was amiss."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--kills", type=int, default=1000, help="of all scenes together")
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--scene", choices=list(SCENES), action="append", help="repeatable; default: all")
    words.add_argument("--folder", type=Path, help="where the worlds lie; those with a problem stay")
    words.add_argument("--json", type=Path, help="write the figures to this file as well")
    asked = words.parse_args()
    scenes = [kind for name, kind in SCENES.items() if not asked.scene or name in asked.scene]
    folder = Path(tempfile.mkdtemp(prefix="kill-", dir=asked.folder))
    tallies: dict[str, Tally] = {}
    for number, kind in enumerate(scenes):
        kills = asked.kills // len(scenes) + (number < asked.kills % len(scenes))
        tallies[kind.name] = Tally()
        chance = random.Random(f"{asked.seed} {kind.name}")  # noqa: S311 - a game, no secret
        asyncio.run(killed(kind, folder, kills, chance, tallies[kind.name]))
    if asked.json:
        asked.json.write_text(json.dumps(summary(tallies), indent=2))
    return told(tallies, folder)


async def killed(kind: type[Scene], folder: Path, kills: int, chance: random.Random, tally: Tally) -> None:
    """Kill the children of one scene: at each step once, as far as that goes, and then at random."""
    began = time.monotonic()
    try:
        async with staged(kind, folder, tally) as stage:
            steps = await stage.steps()
            say(f"{kind.name}: {len(steps)} named steps")
            some = sorted(chance.sample(steps, min(kills, len(steps))), key=steps.index)
            await stage.at_each(some, lambda: progress(stage, kills, began))
            while tally.kills.total() < kills:
                await stage.journey(
                    lambda: stage.at_random(steps, chance) if tally.kills.total() < kills else {},
                    lambda: progress(stage, kills, began),
                )
    except Exception as error:  # noqa: BLE001 - whatever it is, the others' figures are to be told
        tally.problems.append(f"{kind.name}: {type(error).__name__}: {error}")


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
    say("")
    for place, steps in by_place(tallies).items():
        say(f"  {sum(steps.values()):5} kills  {place}: {', '.join(f'{how} {n}' for how, n in sorted(steps.items()))}")
    say("")
    rows = [(name, *facts(tally)) for name, tally in tallies.items()]
    rows += [("all", *facts(together(tallies)))] if len(rows) > 1 else []
    widths = [max(len(str(row[n])) for row in [HEADS, *rows]) for n in range(len(HEADS))]
    for row in [HEADS, *rows]:
        say("  ".join(str(cell).rjust(width) for cell, width in zip(row, widths, strict=True)))
    say("twice: requests for what the ledger had; lost: answers a kill took that were not in the ledger yet;")
    say("again: owners who had to connect again, as a refresh token is good for one use and a kill took the new one")
    problems = together(tallies).problems
    for problem in problems[:MOST_TOLD]:
        say(f"PROBLEM {problem}")
    if problems:
        say(f"The worlds are kept in {folder}")
    return int(bool(problems) or any(tally.twice > TWICE or tally.limited for tally in tallies.values()))


def summary(tallies: dict[str, Tally]) -> dict[str, Any]:
    """Return the figures of each scene, and of all together, as plain values."""
    every = {**tallies, "all": together(tallies)}
    return {
        name: {**vars_of(tally), "twice": tally.twice, "total": tally.kills.total()} for name, tally in every.items()
    }


def vars_of(tally: Tally) -> dict[str, Any]:
    """Return what a tally holds, as plain values."""
    return {each.name: getattr(tally, each.name) for each in fields(tally)}


def together(tallies: dict[str, Tally]) -> Tally:
    """Add up the scenes."""
    every = Tally()
    for tally in tallies.values():
        every.kills.update(tally.kills)
        every.in_flight += tally.in_flight
        every.problems += tally.problems
        for name in ("worlds", "children", "requests", "needless", "limited", "reconnected", "rows"):
            setattr(every, name, getattr(every, name) + getattr(tally, name))
    return every


def by_place(tallies: dict[str, Tally]) -> dict[str, Counter[str]]:
    """Count the kills by what the step was about, and then by when and how."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for step, kills in together(tallies).kills.items():
        when, what, place = step.split(" ", 2)
        found[step if when == "at" else place]["any" if when == "at" else f"{when} {what}"] += kills
    return dict(sorted(found.items(), key=lambda each: -each[1].total()))


def facts(tally: Tally) -> tuple[Any, ...]:
    """Return one scene's figures."""
    lost = tally.in_flight
    return (
        len(tally.kills),
        tally.kills.total(),
        tally.worlds,
        tally.requests,
        tally.needless,
        f"{100 * tally.twice:.2f}",
        f"{sum(lost) / len(lost):.1f}" if lost else "-",
        max(lost, default=0),
        tally.limited,
        tally.reconnected,
        tally.rows,
        len(tally.problems),
    )


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)  # noqa: T201 - a report is printed


if __name__ == "__main__":
    sys.exit(main())
