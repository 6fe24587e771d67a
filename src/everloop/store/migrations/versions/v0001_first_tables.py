"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "cache",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("step", sa.String(length=200), nullable=False),
        sa.Column("type", sa.String(length=40), nullable=False),
        sa.Column("output", sa.String(length=80), nullable=False),
        sa.Column("blob", sa.String(length=64), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("run", sa.String(length=80), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index(op.f("ix_cache_step"), "cache", ["step"], unique=False)
    op.create_table(
        "cursors",
        sa.Column("loop", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("loop", "name"),
    )
    op.create_table(
        "decisions",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("loop", sa.String(length=200), nullable=False),
        sa.Column("rule", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("hash"),
    )
    op.create_index("decisions_by_rule", "decisions", ["loop", "rule", "seq"], unique=False)
    op.create_table(
        "deployments",
        sa.Column("loop", sa.String(length=200), nullable=False),
        sa.Column("champion", sa.Integer(), nullable=True),
        sa.Column("previous", sa.Integer(), nullable=True),
        sa.Column("challenger", sa.Integer(), nullable=True),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("champion_since", sa.Double(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("loop"),
    )
    op.create_table(
        "labels",
        sa.Column("prediction", sa.String(length=80), nullable=False),
        sa.Column("loop", sa.String(length=200), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("prediction"),
    )
    op.create_index("labels_by_loop", "labels", ["loop", "at"], unique=False)
    op.create_table(
        "links",
        sa.Column("child", sa.String(length=80), nullable=False),
        sa.Column("role", sa.String(length=40), nullable=False),
        sa.Column("parent", sa.String(length=80), nullable=False),
        sa.PrimaryKeyConstraint("child", "role", "parent"),
    )
    op.create_index(op.f("ix_links_parent"), "links", ["parent"], unique=False)
    op.create_table(
        "mentions",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("about", sa.String(length=120), nullable=False),
        sa.PrimaryKeyConstraint("about", "seq"),
    )
    op.create_table(
        "pages",
        sa.Column("decision", sa.String(length=80), nullable=False),
        sa.Column("sink", sa.String(length=80), nullable=False),
        sa.Column("loop", sa.String(length=200), nullable=False),
        sa.Column("delivered_at", sa.Double(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("decision", "sink"),
    )
    op.create_table(
        "records",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_records_kind"), "records", ["kind"], unique=False)
    op.create_table(
        "runs",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("loop", sa.String(length=200), nullable=False),
        sa.Column("pipeline", sa.String(length=200), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("decision", sa.String(length=80), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("queued_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("process", sa.String(length=200), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("runs_by_loop", "runs", ["loop", "queued_at"], unique=False)
    op.create_index("runs_by_status", "runs", ["status"], unique=False)
    op.create_table(
        "steps",
        sa.Column("run", sa.String(length=80), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("executor", sa.String(length=24), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("output", sa.String(length=80), nullable=False),
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run", "seq"),
    )
    op.create_index("steps_by_name", "steps", ["name"], unique=False)
    op.create_index("steps_by_output", "steps", ["output"], unique=False)
    op.create_table(
        "versions",
        sa.Column("loop", sa.String(length=200), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(length=80), nullable=False),
        sa.Column("candidate", sa.String(length=80), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=80), nullable=False),
        sa.Column("tracker_run", sa.String(length=80), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("loop", "number"),
        sa.UniqueConstraint("loop", "version"),
    )


def downgrade() -> None:
    op.drop_table("versions")
    op.drop_index("steps_by_output", table_name="steps")
    op.drop_index("steps_by_name", table_name="steps")
    op.drop_table("steps")
    op.drop_index("runs_by_status", table_name="runs")
    op.drop_index("runs_by_loop", table_name="runs")
    op.drop_table("runs")
    op.drop_index(op.f("ix_records_kind"), table_name="records")
    op.drop_table("records")
    op.drop_table("pages")
    op.drop_table("mentions")
    op.drop_index(op.f("ix_links_parent"), table_name="links")
    op.drop_table("links")
    op.drop_index("labels_by_loop", table_name="labels")
    op.drop_table("labels")
    op.drop_table("deployments")
    op.drop_index("decisions_by_rule", table_name="decisions")
    op.drop_table("decisions")
    op.drop_table("cursors")
    op.drop_index(op.f("ix_cache_step"), table_name="cache")
    op.drop_table("cache")
