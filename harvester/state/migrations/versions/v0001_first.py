"""The first ledger.

Revision ID: 0001
Revises: none
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of the first version, spelled out: `harvester.state.tables` moves on, this does not."""
    op.create_table(
        "meta",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("value", sa.String, nullable=False),
    )
    op.create_table(
        "plant",
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
    op.create_table(
        "device",
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
    op.create_table(
        "series",
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
        sa.UniqueConstraint("plant_id", "device_id", "set"),
    )
    op.create_table(
        "alias",
        sa.Column("level", sa.String, primary_key=True),
        sa.Column("old_id", sa.String, primary_key=True),
        sa.Column("new_id", sa.String, nullable=False),
        sa.Column("since", sa.Integer, nullable=False),
    )
    op.create_table(
        "month",
        sa.Column("series_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("month", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("days", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "open_day",
        sa.Column("series_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("failed", sa.Boolean, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("asked_at", sa.Integer, nullable=False),
        sa.Column("next_at", sa.Integer, nullable=False),
        sa.Column("reason", sa.String),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "period_read",
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
