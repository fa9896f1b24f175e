"""What is wrong with the rows themselves: gaps, spikes, empty arrays, channels of another set."""

from harvester.sandbox.chance import dice, roll
from harvester.sandbox.faults import Faults
from harvester.sandbox.scene import Row

SURPLUS = {"setPointFeedInPower": 5000.0, "setPointReactivePower": 0.0}
"""Channels that SMA's own sandbox sends where nobody asked for them (captured)."""


class Defects:
    """Turns flawless rows into those that the source keeps; the same for the same seed, series and day."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self._faults = faults
        self._seed = seed

    def applied(self, rows: list[Row], series: tuple[str, str], *, plant_level: bool, scale: int) -> list[Row]:
        """Return the rows of a series (its key) and day (ISO); `scale` turns Wh into the view's unit."""
        faults = self._faults
        rows = self._kept(rows, series, faults.missing_plant_rows if plant_level else faults.missing_rows)
        if not rows:
            return rows
        if series[0].endswith("EnergyAndPowerPv"):
            rows = self._wild_at_first(rows, series, scale)
        if faults.empty_arrays and any(row.arrays for row in rows):
            rows = self._hollow(rows, series)
        if roll(self._seed, "surplus", *series) < faults.surplus:
            rows = [row._replace(scalars={**row.scalars, **SURPLUS}) for row in rows]
        return rows

    def _kept(self, rows: list[Row], series: tuple[str, str], rate: float) -> list[Row]:
        """Return the rows that exist."""
        if not rate or not rows:
            return rows
        chance = dice(self._seed, "missing", *series).random
        # one number per interval, so that both views of a set lack the same rows
        gone = [chance() < rate for _ in range(rows[-1].slot + 1)]
        return [row for row in rows if not gone[row.slot]]

    def _wild_at_first(self, rows: list[Row], series: tuple[str, str], scale: int) -> list[Row]:
        """Return the rows with a counter-like or hugely negative first one, where the day has one."""
        rng = dice(self._seed, "spike", *series)
        luck, size = rng.random(), round(rng.uniform(1e5, 1e6)) * scale
        if luck >= self._faults.spikes + self._faults.negative_first:
            return rows
        wild = float(size if luck < self._faults.spikes else -size)
        return [rows[0]._replace(scalars={"pvGeneration": wild}), *rows[1:]]

    def _hollow(self, rows: list[Row], series: tuple[str, str]) -> list[Row]:
        """Return the rows, some with all arrays empty; those lack isolationResistance too (captured)."""
        chance = dice(self._seed, "arrays", *series).random
        return [
            Row(
                row.slot,
                {name: value for name, value in row.scalars.items() if name != "isolationResistance"},
                {name: {} for name in row.arrays},
            )
            if row.arrays and chance() < self._faults.empty_arrays
            else row
            for row in rows
        ]
