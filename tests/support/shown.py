"""Pages of a daemon that stands as told, with strange names in them."""

import time
from datetime import UTC, datetime, timedelta

from harvester.ops.health import Health
from harvester.ops.metrics import Metrics
from harvester.ops.standing import Budget, Fleet, Lane, Run, Status, Trouble
from harvester.questions.ages import PlantAge
from harvester.questions.coverage import Cell, PlantRow
from harvester.questions.coverage_page import page
from harvester.questions.standing import Share
from harvester.report import Miss, Report

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
EVIL = '<script>alert("x")</script>'


def age(plant_id: str, name: str, hours: float | None) -> PlantAge:
    """Return a plant whose newest row is so old."""
    newest = None if hours is None else NOW - timedelta(hours=hours)
    return PlantAge(plant_id, name, newest, None if hours is None else int(hours * 3600))


def status(*, troubles: tuple[Trouble, ...] = ()) -> Status:
    """Return how a fleet stands whose plants have strange names."""
    ages = [age("9", "New", None), age("1", EVIL, 30), *(age(f"{n}", f"Dach {n}", n / 10) for n in range(2, 9))]
    incomplete = Report("settle", NOW - timedelta(minutes=9), ended_at=NOW - timedelta(minutes=3))
    incomplete.misses.append(Miss("x", 1, "404"))
    incomplete.rows["plant_energy_balance"] = 12_345
    return Status(
        at=NOW,
        began_at=NOW - timedelta(days=3),
        version="1.2.3",
        lake="/srv/lake",
        fleet=Fleet.of(ages, [Share("1", 70, 60), Share("2", 70, 70)], stale_seconds=86_400),
        budget=Budget(limit=1_000, spent=412, window_seconds=300, pause_left=0),
        lanes=[
            Lane(work="live", now=f"asks {EVIL}", next_at=NOW + timedelta(minutes=4)),
            Lane(work="settle", next_at=NOW - timedelta(seconds=1)),
            Lane(work="orders"),
        ],
        runs=[
            Run.of("settle", incomplete),
            Run(work="live", ended_at=NOW, seconds=3, exit_code=0, rows=24),
            Run(work="repair", ended_at=NOW, seconds=3, exit_code=1, error="password=hunter2secret"),
        ],
        consents={"Accepted": 12, "Revoked": 1},
        disk_free=40_000_000_000,
        disk_total=500_000_000_000,
        troubles=troubles,
    )


class Shown:
    """Pages of a daemon that stands as told."""

    def __init__(self) -> None:
        self.reasons: tuple[str, ...] = ()
        self.error: Exception | None = None
        self.pages_made = 0
        self.numbers = Metrics()

    def metrics(self) -> tuple[bytes, str]:
        """Return the metrics."""
        return self.numbers.render()

    def health(self) -> Health:
        """Tell whether it turns."""
        return Health(self.reasons)

    def ready(self) -> Health:
        """Tell whether it can work."""
        return Health((*self.reasons, "SMA has not given a token yet."))

    def coverage(self) -> str:
        """Return the real page about a plant with a strange name."""
        self.pages_made += 1
        time.sleep(0.01)  # long enough for visitors to meet
        cells = {NOW.date(): Cell(applicable=1, covered=1, settled=1)}
        return page([PlantRow("1", EVIL, cells)], now=NOW)

    def status(self) -> Status:
        """Return how everything stands."""
        if self.error:
            raise self.error
        return status(troubles=(Trouble(title=f"{EVIL} is stale", remedy="Look at it.", since=NOW),))
