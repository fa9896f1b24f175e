"""Kill the command N times and see whether lake, ledger, archive and budget bear it.

Children of the real command are ended with SIGKILL: at each named step (before and after every write, fsync, rename
and commit, and in the middle of every write) once, as far as N goes; and then at the n-th of a step, at any step, and
at random moments. They work in small worlds of a local cloud. After each kill every file must be readable by pyarrow
and DuckDB, hold each key once and nothing but the truth, and hold in full what the ledger calls settled; no more has to
be asked again than the batches that were open. Each world is worked on to its end, where its lake must equal the truth.
A step that no child came by is a problem like any other. What is left to chance is the same for the same seed.

    python tests/faults/kill.py [--kills 1000] [--seed NUMBER] [--scene NAME ...] [--folder DIR] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shlex
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "support")]

from journeys import Scene, Stage, Tally, staged  # noqa: E402 - the path comes first
from quotas import Quota, quotas  # noqa: E402
from scenes import SCENES  # noqa: E402

TWICE = 0.01
"""Share of all requests that may be spent on what the ledger had."""
MOST_TOLD = 50
SEEDS = 1_000_000
HEADS = (
    *("scene", "steps", "killed at", "kills", "worlds", "requests", "twice", "%", "lost a kill", "worst", "of"),
    *("429", "again", "rows", "problems"),
)
LEGEND = (
    "steps: those that a child comes by which is not disturbed, and at how many of them one was killed;",
    "twice: requests for what the ledger had; lost: answers that a kill took which were not in the ledger yet;",
    "worst of: the most that one has taken, of as many as it may: those of the batches that can be open at a time;",
    "again: owners who had to connect again, as a refresh token is good for one use and a kill took the new one",
)
SUMS = ("named", "killed_at", "worlds", "children", "requests", "needless", "limited", "reconnected", "rows")
"""Figures of a tally that are added up."""


def main() -> int:
    """Kill, print, and return the exit code: 1 where anything was amiss."""
    asked = arguments()
    say(repeating(asked))
    scenes = [kind for name, kind in SCENES.items() if not asked.scene or name in asked.scene]
    folder = Path(tempfile.mkdtemp(prefix="kill-", dir=asked.folder))
    tallies = {kind.name: Tally() for kind in scenes}
    steps = {kind.name: asyncio.run(surveyed(kind, folder, tallies[kind.name])) for kind in scenes}
    dealt = quotas({name: tally.named for name, tally in tallies.items()}, asked.kills)
    say(enough(dealt, tallies))
    for kind in scenes:
        chance = random.Random(f"{asked.seed} {kind.name}")  # noqa: S311 - a game, no secret
        if named := steps[kind.name]:
            asyncio.run(killed(kind, folder, named, dealt[kind.name], chance, tallies[kind.name]))
    if asked.json:
        asked.json.write_text(json.dumps({"seed": asked.seed, **summary(tallies)}, indent=2))
    code = told(tallies, folder)
    say(repeating(asked))
    return code


def arguments() -> argparse.Namespace:
    """Read what was asked for; a seed of its own where none was given."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--kills", type=int, default=1000, help="of all scenes together")
    words.add_argument("--seed", type=int, default=random.SystemRandom().randrange(SEEDS), help="default: any")
    words.add_argument("--scene", choices=list(SCENES), action="append", help="repeatable; default: all")
    words.add_argument("--folder", type=Path, help="where the worlds lie; those with a problem stay")
    words.add_argument("--json", type=Path, help="write the figures to this file as well")
    return words.parse_args()


def repeating(asked: argparse.Namespace) -> str:
    """Say how to leave the same to chance again."""
    scenes = "".join(f" --scene {shlex.quote(name)}" for name in asked.scene or ())
    again = f"python tests/faults/kill.py --kills {asked.kills} --seed {asked.seed}{scenes}"
    return f"The same again: {again if scenes else f'make kill N={asked.kills} SEED={asked.seed}'}"


async def surveyed(kind: type[Scene], folder: Path, tally: Tally) -> list[str]:
    """Let a child of one scene live undisturbed, and return by which steps it comes; none where it fails."""
    try:
        async with staged(kind, folder, tally) as stage:
            steps = await stage.steps()
            tally.named = len(steps)
            say(f"{kind.name}: {tally.named} named steps")
            return steps
    except Exception as error:  # noqa: BLE001 - whatever it is, the others' figures are to be told
        tally.problems.append(f"{kind.name}: {type(error).__name__}: {error}")
        return []


def enough(dealt: Mapping[str, Quota], tallies: Mapping[str, Tally]) -> str:
    """Say what the kills are enough for."""
    at_steps, by_chance = (sum(quota[n] for quota in dealt.values()) for n in range(2))
    named = sum(tally.named for tally in tallies.values())
    return f"{at_steps} of {named} named steps are to be killed at, and {by_chance} kills are left to chance"


async def killed(
    kind: type[Scene], folder: Path, steps: Sequence[str], quota: Quota, chance: random.Random, tally: Tally
) -> None:
    """Kill the children of one scene: at each step once, as far as that goes, and then at random."""
    began, kills = time.monotonic(), sum(quota)
    some = sorted(chance.sample(steps, quota.at_steps), key=steps.index)
    try:
        async with staged(kind, folder, tally) as stage:
            await stage.steps()  # an undisturbed world is what some scenes hold the others against
            left = await stage.at_each(some, lambda: progress(stage, kills, began))
            tally.problems.extend(f"{kind.name}: no child came by the step {step!r}" for step in left)
            end = tally.kills.total() + quota.at_random
            while tally.kills.total() < end:
                await stage.journey(
                    lambda: stage.at_random(chance) if tally.kills.total() < end else {},
                    lambda: progress(stage, kills, began),
                )
    except Exception as error:  # noqa: BLE001 - whatever it is, the others' figures are to be told
        tally.problems.append(f"{kind.name}: {type(error).__name__}: {error}")
    tally.killed_at = sum(step in tally.kills for step in steps)


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
    for line in LEGEND:
        say(line)
    problems = together(tallies).problems
    for problem in problems[:MOST_TOLD]:
        say(f"PROBLEM {problem}")
    if problems:
        say(f"The worlds are kept in {folder}")
    else:
        shutil.rmtree(folder)
    return int(bool(problems) or any(t.twice > TWICE or t.limited or t.dear for t in tallies.values()))


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
        every.costs += tally.costs
        every.problems += tally.problems
        for name in SUMS:
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
    lost, (worst, most) = [cost.lost for cost in tally.costs], max(tally.costs, default=("-", "-"))
    return (
        tally.named,
        tally.killed_at,
        tally.kills.total(),
        tally.worlds,
        tally.requests,
        tally.needless,
        f"{100 * tally.twice:.2f}",
        f"{sum(lost) / len(lost):.1f}" if lost else "-",
        worst,
        most,
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
