"""Runs whose steps are executed elsewhere: artifacts by step, approvals, slots, pins, known files."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("runs", sa.Column("cancelled_by", sa.String(length=200), server_default="", nullable=False))
    op.add_column("steps", sa.Column("type", sa.String(length=40), server_default="", nullable=False))
    op.add_column("steps", sa.Column("blob", sa.String(length=64), server_default="", nullable=False))
    op.add_column("steps", sa.Column("attempts", sa.Integer(), server_default="0", nullable=False))
    op.add_column("steps", sa.Column("worker", sa.String(length=200), server_default="", nullable=False))
    op.drop_index("ix_cache_step", table_name="cache")
    op.create_index("cache_by_step", "cache", ["step", "created_at"], unique=False)
    op.create_table(
        "approvals",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("loop", sa.String(length=200), nullable=False),
        sa.Column("pipeline", sa.String(length=200), nullable=False),
        sa.Column("run", sa.String(length=80), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.Double(), nullable=False),
        sa.Column("deadline", sa.Double(), nullable=True),
        sa.Column("policy", sa.String(length=16), nullable=False),
        sa.Column("answer", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("answered_at", sa.Double(), nullable=True),
        sa.Column("decision", sa.String(length=80), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("approvals_by_answer", "approvals", ["answer"], unique=False)
    op.create_table(
        "slots",
        sa.Column("ticket", sa.String(length=80), nullable=False),
        sa.Column("machine", sa.String(length=200), nullable=False),
        sa.Column("run", sa.String(length=80), nullable=False),
        sa.Column("process", sa.String(length=200), nullable=False),
        sa.Column("cpus", sa.Double(), nullable=False),
        sa.Column("gpus", sa.Double(), nullable=False),
        sa.Column("memory_mb", sa.Double(), nullable=False),
        sa.Column("asked_at", sa.Double(), nullable=False),
        sa.Column("granted_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("ticket"),
    )
    op.create_index("slots_by_machine", "slots", ["machine"], unique=False)
    op.create_table(
        "pins",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "stamps",
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("stamp", sa.String(length=120), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("path"),
    )


def downgrade() -> None:
    for table in ("stamps", "pins"):
        op.drop_table(table)
    op.drop_index("slots_by_machine", table_name="slots")
    op.drop_table("slots")
    op.drop_index("approvals_by_answer", table_name="approvals")
    op.drop_table("approvals")
    op.drop_index("cache_by_step", table_name="cache")
    op.create_index("ix_cache_step", "cache", ["step"], unique=False)
    with op.batch_alter_table("steps") as steps:
        for column in ("worker", "attempts", "blob", "type"):
            steps.drop_column(column)
    with op.batch_alter_table("runs") as runs:
        runs.drop_column("cancelled_by")
