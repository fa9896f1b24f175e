"""The ledger's tables. Times are UTC in whole seconds since 1970, days are days since 1970-01-01.

Whole numbers keep 78 million series-days small and behave the same in every database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

import sqlalchemy as sa

Id = TypeVar("Id")

METADATA = sa.MetaData()

VERSION = "0002"
"""Of these tables: the migration that made them what they are."""

_VARIABLES = 10_000
"""Values bound in one statement; SQLite takes 32,766."""
_EPOCH = date(1970, 1, 1)

META = sa.Table(
    "meta",
    METADATA,
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("value", sa.String, nullable=False),
)
"""Facts about the ledger as a whole: the lake it belongs to, what was learned about the host."""

PLANT = sa.Table(
    "plant",
    METADATA,
    sa.Column("plant_id", sa.String, primary_key=True),
    sa.Column("ordinal", sa.Integer, nullable=False, unique=True),
    sa.Column("part", sa.Integer, nullable=False, index=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("timezone", sa.String, nullable=False),
    sa.Column("peak_power", sa.Float),
    sa.Column("start_up", sa.Integer),
    sa.Column("latitude", sa.Float),
    sa.Column("longitude", sa.Float),
    sa.Column("first_seen", sa.Integer, nullable=False),
    sa.Column("last_seen", sa.Integer, nullable=False),
    sa.Column("withdrawn_at", sa.Integer),
    sa.Column("explored_at", sa.Integer),
    sa.Column("missing_since", sa.Integer),
    sa.Column("missing_count", sa.Integer, nullable=False, server_default="0"),
    sa.Column("traced_at", sa.Integer),
    sa.Column("moved_to", sa.String),
)
"""Plants that were ever visible.

`explored_at`: when its devices and sets were last enumerated as a whole. `missing_since`, `missing_count`: since when,
and in how many plant lists in a row, it is not listed any more. `traced_at`: when it was last asked where it went;
`moved_to`: the id it went to.
"""
DEVICE = sa.Table(
    "device",
    METADATA,
    sa.Column("device_id", sa.String, primary_key=True),
    sa.Column("plant_id", sa.String, nullable=False, index=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("type", sa.String),
    sa.Column("product", sa.String),
    sa.Column("product_id", sa.Integer),
    sa.Column("vendor", sa.String),
    sa.Column("serial", sa.String),
    sa.Column("generator_power", sa.Float),
    sa.Column("is_active", sa.Boolean, nullable=False),
    sa.Column("deactivated_at", sa.String),
    sa.Column("first_seen", sa.Integer, nullable=False),
    sa.Column("last_seen", sa.Integer, nullable=False),
)
"""Devices that were ever listed. `deactivated_at` is plant-local, as delivered."""

SERIES = sa.Table(
    "series",
    METADATA,
    sa.Column("series_id", sa.Integer, primary_key=True),
    sa.Column("part", sa.Integer, nullable=False, index=True),
    sa.Column("plant_id", sa.String, nullable=False),
    sa.Column("device_id", sa.String, nullable=False),
    sa.Column("set", sa.String, nullable=False),
    sa.Column("first_seen", sa.Integer, nullable=False),
    sa.Column("gone_at", sa.Integer),
    sa.Column("minutes", sa.Integer),
    sa.Column("newest", sa.Integer),
    sa.Column("lag", sa.Integer),
    sa.Column("known_from", sa.Integer),
    sa.Column("known_until", sa.Integer),
    sa.UniqueConstraint("plant_id", "device_id", "set"),
    sa.Index("ix_series_known", "plant_id", "set", "known_until", "known_from", "gone_at", "device_id"),
)
"""Measurement sets that were ever offered; an empty `device_id` stands for the plant as a whole.

`minutes`: the interval of its rows; `newest`: the end of the newest row's interval; `lag`: seconds from then until
SMA serves the row, as learned by asking. `known_from`, `known_until`: days between which none is left unasked; null
while nobody has looked.
"""

ALIAS = sa.Table(
    "alias",
    METADATA,
    sa.Column("level", sa.String, primary_key=True),
    sa.Column("old_id", sa.String, primary_key=True),
    sa.Column("new_id", sa.String, nullable=False),
    sa.Column("since", sa.Integer, nullable=False),
)
"""Ids that SMA redirected to others."""

MONTH = sa.Table(
    "month",
    METADATA,
    sa.Column("series_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("month", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("days", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
"""Settled days, packed: `month` is 12 x year + month - 1, `days` as in `harvester.state.packed`."""

OPEN_DAY = sa.Table(
    "open_day",
    METADATA,
    sa.Column("series_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("failed", sa.Boolean, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("asked_at", sa.Integer, nullable=False),
    sa.Column("next_at", sa.Integer, nullable=False),
    sa.Column("reason", sa.String),
    sa.Column("part", sa.Integer, nullable=False, server_default="0"),
    sa.Index("ix_open_day_part_next_at", "part", "next_at"),
    sqlite_with_rowid=False,
)
"""Days that were asked and are not settled. `attempts` counts failures in a row, `reason` the last."""

PERIOD_READ = sa.Table(
    "period_read",
    METADATA,
    sa.Column("series_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("period", sa.String, primary_key=True),
    sa.Column("start", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("failed", sa.Boolean, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("asked_at", sa.Integer, nullable=False),
    sa.Column("next_at", sa.Integer),
    sa.Column("reason", sa.String),
    sqlite_with_rowid=False,
)
"""Month, Year and Total requests that were made. `start`: the first day, 0 of a Total; `next_at`: null once final."""

OWNER = sa.Table(
    "owner",
    METADATA,
    sa.Column("owner", sa.String, primary_key=True),
    sa.Column("grant", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("since", sa.Integer, nullable=False),
    sa.Column("requested_at", sa.Integer),
    sa.Column("seen_at", sa.Integer),
    sa.Column("look_at", sa.Integer),
    sa.Column("expires_at", sa.Integer),
    sa.Column("purged_at", sa.Integer),
    sa.Column("occasion", sa.Integer),
)
"""Plant owners: an e-mail address (custom grant) or a label (code grant), and where their consent stands.

`since`: when the state was first read; `requested_at`: when consent was last asked for; `seen_at`: when the state was
last read; `look_at`: when it may be read again; `purged_at`: when all that came with this owner was deleted;
`occasion`: a growing number where plants may have been released that no plant list has been held against yet.
"""

OWNER_PLANT = sa.Table(
    "owner_plant",
    METADATA,
    sa.Column("plant_id", sa.String, primary_key=True),
    sa.Column("owner", sa.String, primary_key=True),
    sa.Column("certain", sa.Boolean, nullable=False),
    sa.Column("since", sa.Integer, nullable=False),
)
"""Which owner a plant came with; several rows of a plant that are not `certain` are its candidates."""

SECRET = sa.Table(
    "secret",
    METADATA,
    sa.Column("owner", sa.String, primary_key=True),
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("sealed_at", sa.Integer, nullable=False),
)
"""Tokens, encrypted as `harvester.state.vault` does it."""

BUDGET = sa.Table(
    "budget",
    METADATA,
    sa.Column("credential", sa.String, primary_key=True),
    sa.Column("shard", sa.String, primary_key=True),
    sa.Column("learned", sa.Integer),
    sa.Column("spent", sa.String, nullable=False),
    sa.Column("saved_at", sa.Float, nullable=False),
)
"""What each process has spent of the present window. `credential`: a digest of the client id; `spent`: JSON."""

WORK_ORDER = sa.Table(
    "work_order",
    METADATA,
    sa.Column("order_id", sa.Integer, primary_key=True),
    sa.Column("command", sa.String, nullable=False),
    sa.Column("arguments", sa.String, nullable=False),
    sa.Column("placed_at", sa.Integer, nullable=False),
    sa.Column("placed_by", sa.String, nullable=False),
    sa.Column("withdrawn", sa.Boolean, nullable=False, server_default="0"),
)
"""Work that a command handed to a running daemon; `arguments` is JSON."""

ORDER_SHARE = sa.Table(
    "order_share",
    METADATA,
    sa.Column("order_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("shard", sa.String, primary_key=True),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("planned", sa.Integer, nullable=False, server_default="0"),
    sa.Column("advanced", sa.Integer, nullable=False, server_default="0"),
    sa.Column("exit_code", sa.Integer),
    sa.Column("result", sa.String),
    sa.Column("changed_at", sa.Integer, nullable=False),
)
"""What became of an order in each shard: placed, taken or done, slices planned and asked, its report as JSON."""

PURGE = sa.Table(
    "purge",
    METADATA,
    sa.Column("purge_id", sa.Integer, primary_key=True),
    sa.Column("owner", sa.String, nullable=False),
    sa.Column("plants", sa.String, nullable=False),
    sa.Column("begun_at", sa.Integer, nullable=False),
    sa.Column("done_at", sa.Integer),
    sa.Column("done", sa.String, nullable=False),
)
"""Deletions on an owner's wish: `plants` is a JSON list of ids, `done` one of the steps that are behind."""


def to_seconds(instant: datetime) -> int:
    """Return whole seconds since 1970 of the aware *instant*."""
    return int(instant.timestamp())


def from_seconds(seconds: int) -> datetime:
    """Return the aware UTC instant."""
    return datetime.fromtimestamp(seconds, UTC)


def to_number(day: date) -> int:
    """Return days since 1970-01-01."""
    return (day - _EPOCH).days


def from_number(number: int) -> date:
    """Return the day."""
    return _EPOCH + timedelta(days=number)


def portions(ids: Iterable[Id]) -> Iterator[list[Id]]:
    """Cut *ids* into lists that one statement can bind."""
    whole = list(ids)
    for at in range(0, len(whole), _VARIABLES):
        yield whole[at : at + _VARIABLES]
