"""The local cloud of a benchmark as a process of its own, with every answer that will be asked rendered before.

Prints its address and goes on until its standard input is closed.

    python tests/bench/clouds.py --plants 10 --devices 10 --first 2026-06-03 --weeks 2
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from harvester.sandbox import Settings, serving
from harvester.sandbox.cloud import Cloud
from harvester.sandbox.exchange import Body
from harvester.sandbox.question import Question, read_question
from harvester.sandbox.sets import SETS

SETTLED = timedelta(days=7)
"""How long after the last day the cloud's clock stands: every row has come."""
SUMS = ("month", "year", "total")


async def serve(plants: int, devices: int, first: date, weeks: int, *, cold: bool) -> None:
    """Serve that many *weeks* from *first* on, nothing before and nothing refused; *cold*: rendered as it is asked."""
    settings = Settings(
        plants=plants,
        devices=devices,
        start=first,
        accept=True,
        token_seconds=7200,
        cached_bytes=1 << (26 if cold else 40),
        cached_days=1 << (10 if cold else 20),
    )
    last = first + timedelta(days=7 * weeks - 1)
    now = datetime.combine(last + SETTLED, time(), UTC)
    async with serving(settings, now=lambda: now) as running:
        running.cloud.accept(settings.owners[0])
        if not cold:
            running.cloud.warm(first, last, period="Week")
            _keep_sums(running.cloud, first, last)
        sys.stdout.write(f"{running.url}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


def _keep_sums(cloud: Cloud, first: date, last: date) -> None:
    """Render Month, Year and Total once: the cloud's clock stands, so they never change."""
    render, kept = cloud._render, {}

    def rendered(question: Question, drop: tuple[str, ...] = ()) -> Body:
        if question.period not in SUMS:
            return render(question, drop)
        if question not in kept:
            kept[question] = render(question, drop)
            _ = kept[question].packed
        return kept[question]

    cloud._render = rendered
    dates = {"month": sorted({f"{day:%Y-%m}" for day in (first, last)}), "year": [f"{first:%Y}"], "total": [""]}
    for source in cloud.world.sources():
        if SETS[source.set].summed and source.device is None:
            for period, words in dates.items():
                for word in words:
                    rendered(read_question(source, period, {"date": word}))


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--plants", type=int, required=True)
    parser.add_argument("--devices", type=int, default=10, help="of each plant")
    parser.add_argument("--first", type=date.fromisoformat, required=True)
    parser.add_argument("--weeks", type=int, required=True)
    parser.add_argument("--cold", action="store_true", help="render nothing before: slower, and smaller")
    asked = parser.parse_args()
    asyncio.run(serve(asked.plants, asked.devices, asked.first, asked.weeks, cold=asked.cold))


if __name__ == "__main__":
    main()
