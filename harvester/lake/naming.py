"""How SMA's names become names of tables and columns. Pure, and stable for ever: SQL is written against it."""

from __future__ import annotations

import hashlib
import re
from types import MappingProxyType

from harvester.model import Level, Period

KEY_COLUMNS = (
    *("plant_id", "device_id", "time", "local_time", "interval_minutes", "index", "period_start"),
    *("date", "year"),
)
"""What identifies and places a row, in the file or in its path; a channel never takes one of these names."""
CLOSING_COLUMNS = ("provisional", "other", "harvested_at")
"""What follows the channels."""
ROWS_OF = MappingProxyType({Period.MONTH: "daily", Period.YEAR: "monthly", Period.TOTAL: "yearly"})
"""How the tables of the period views end: a Month has a row for each day."""

_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_PLAIN = re.compile(r"[a-z][a-z0-9_]{0,63}")
_TAKEN = re.compile(r".*_(by_index|daily|monthly|yearly)")


def snake(name: str) -> str:
    """Put an underscore between a lower-case letter and a capital, then lower the case: `voltagePhaseA2B`."""
    return _HUMP.sub("_", name).lower()


def plain(name: str) -> str:
    """Return *name* in snake case, or ``x_<hash>`` where the result would not be a plain identifier."""
    column = snake(name)
    return column if _PLAIN.fullmatch(column) else hashed(name)


def hashed(name: str) -> str:
    """Return the name that stands for one that cannot be used itself."""
    return f"x_{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def channel_column(channel: str) -> str:
    """Return the column of *channel*; one that would collide with a column of our own gets ``_value``."""
    column = plain(channel)
    return f"{column}_value" if column in {*KEY_COLUMNS, *CLOSING_COLUMNS} else column


def table_name(level: Level, measurement_set: str) -> str:
    """Return the table of *measurement_set* at *level*: `device_power_ac`."""
    name = plain(measurement_set)
    if _TAKEN.fullmatch(name):
        name = hashed(measurement_set)
    return f"{level.value}_{name}"


def by_index(table: str) -> str:
    """Return the name of the table that holds the array channels of *table*."""
    return f"{table}_by_index"


def by_period(table: str, period: Period) -> str:
    """Return the name of the table that holds the *period* view of *table*: `plant_energy_balance_daily`."""
    return f"{table}_{ROWS_OF[period]}"
