"""Owners and their plants, secrets, the budget, orders, purges; and the next due day of a part at one look.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Spelled out: `harvester.state.tables` moves on, this does not."""
    _index_due_days()
    _make_owners()
    _make_orders()


def _index_due_days() -> None:
    op.add_column("series", sa.Column("known_from", sa.Integer))
    op.add_column("series", sa.Column("known_until", sa.Integer))
    known = ["plant_id", "set", "known_until", "known_from", "gone_at", "device_id"]
    op.create_index("ix_series_known", "series", known)
    op.add_column("open_day", sa.Column("part", sa.Integer, nullable=False, server_default="0"))
    op.execute("UPDATE open_day SET part = (SELECT part FROM series WHERE series.series_id = open_day.series_id)")
    op.create_index("ix_open_day_part_next_at", "open_day", ["part", "next_at"])


def _make_owners() -> None:
    op.create_table(
        "owner",
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
    op.create_table(
        "owner_plant",
        sa.Column("plant_id", sa.String, primary_key=True),
        sa.Column("owner", sa.String, primary_key=True),
        sa.Column("certain", sa.Boolean, nullable=False),
        sa.Column("since", sa.Integer, nullable=False),
    )
    op.create_table(
        "secret",
        sa.Column("owner", sa.String, primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("sealed_at", sa.Integer, nullable=False),
    )
    op.create_table(
        "purge",
        sa.Column("purge_id", sa.Integer, primary_key=True),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("plants", sa.String, nullable=False),
        sa.Column("begun_at", sa.Integer, nullable=False),
        sa.Column("done_at", sa.Integer),
        sa.Column("done", sa.String, nullable=False),
    )


def _make_orders() -> None:
    op.create_table(
        "budget",
        sa.Column("credential", sa.String, primary_key=True),
        sa.Column("shard", sa.String, primary_key=True),
        sa.Column("learned", sa.Integer),
        sa.Column("spent", sa.String, nullable=False),
        sa.Column("saved_at", sa.Float, nullable=False),
    )
    op.create_table(
        "work_order",
        sa.Column("order_id", sa.Integer, primary_key=True),
        sa.Column("command", sa.String, nullable=False),
        sa.Column("arguments", sa.String, nullable=False),
        sa.Column("placed_at", sa.Integer, nullable=False),
        sa.Column("placed_by", sa.String, nullable=False),
        sa.Column("withdrawn", sa.Boolean, nullable=False, server_default="0"),
    )
    op.create_table(
        "order_share",
        sa.Column("order_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("shard", sa.String, primary_key=True),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("planned", sa.Integer, nullable=False, server_default="0"),
        sa.Column("advanced", sa.Integer, nullable=False, server_default="0"),
        sa.Column("exit_code", sa.Integer),
        sa.Column("result", sa.String),
        sa.Column("changed_at", sa.Integer, nullable=False),
    )
