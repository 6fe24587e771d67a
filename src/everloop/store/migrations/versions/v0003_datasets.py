"""Datasets: who owns them, what was taken of them and when, and names for some of their snapshots."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "datasets",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "takes",
        sa.Column("dataset", sa.String(length=200), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("snapshot", sa.String(length=80), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("new_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("dataset", "number"),
    )
    op.create_index("takes_by_snapshot", "takes", ["snapshot"], unique=False)
    op.create_table(
        "aliases",
        sa.Column("dataset", sa.String(length=200), nullable=False),
        sa.Column("alias", sa.String(length=80), nullable=False),
        sa.Column("snapshot", sa.String(length=80), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("dataset", "alias"),
    )


def downgrade() -> None:
    op.drop_table("aliases")
    op.drop_index("takes_by_snapshot", table_name="takes")
    op.drop_table("takes")
    op.drop_table("datasets")
