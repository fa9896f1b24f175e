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

SETTLED = timedelta(days=7)
"""How long after the last day the cloud's clock stands: every row has come."""


async def serve(plants: int, devices: int, first: date, weeks: int) -> None:
    """Serve that many *weeks* from *first* on, nothing before and nothing refused."""
    settings = Settings(
        plants=plants,
        devices=devices,
        start=first,
        accept=True,
        token_seconds=7200,
        cached_bytes=1 << 40,
        cached_days=1 << 20,
    )
    last = first + timedelta(days=7 * weeks - 1)
    now = datetime.combine(last + SETTLED, time(), UTC)
    async with serving(settings, now=lambda: now) as running:
        running.cloud.accept(settings.owners[0])
        running.cloud.warm(first, last, period="Week")
        sys.stdout.write(f"{running.url}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--plants", type=int, required=True)
    parser.add_argument("--devices", type=int, default=10, help="of each plant")
    parser.add_argument("--first", type=date.fromisoformat, required=True)
    parser.add_argument("--weeks", type=int, required=True)
    asked = parser.parse_args()
    asyncio.run(serve(asked.plants, asked.devices, asked.first, asked.weeks))


if __name__ == "__main__":
    main()
