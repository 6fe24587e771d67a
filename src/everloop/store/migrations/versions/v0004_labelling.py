"""Labelling: queues, the rows in them, who looks at which now, and what people said."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "queues",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("snapshot", sa.String(length=80), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "queue_items",
        sa.Column("queue", sa.String(length=200), nullable=False),
        sa.Column("row", sa.String(length=80), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.Column("rank", sa.BigInteger(), nullable=False),
        sa.Column("votes", sa.Integer(), nullable=False),
        sa.Column("skips", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("queue", "row"),
    )
    op.create_index("queue_items_by_rank", "queue_items", ["queue", "state", "rank"], unique=False)
    op.create_table(
        "queue_holds",
        sa.Column("queue", sa.String(length=200), nullable=False),
        sa.Column("row", sa.String(length=80), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("taken_at", sa.Double(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("queue", "row", "person"),
    )
    op.create_table(
        "annotations",
        sa.Column("queue", sa.String(length=200), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("row", sa.String(length=80), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("token", sa.String(length=80), nullable=False),
        sa.Column("undoes", sa.BigInteger(), nullable=True),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("queue", "seq"),
        sa.UniqueConstraint("queue", "token"),
    )
    op.create_index("annotations_by_row", "annotations", ["queue", "row", "person"], unique=False)
    op.create_index("annotations_by_person", "annotations", ["queue", "person", "seq"], unique=False)
    op.create_index("annotations_by_undoes", "annotations", ["queue", "undoes"], unique=False)


def downgrade() -> None:
    for index in ("annotations_by_undoes", "annotations_by_person", "annotations_by_row"):
        op.drop_index(index, table_name="annotations")
    op.drop_table("annotations")
    op.drop_table("queue_holds")
    op.drop_index("queue_items_by_rank", table_name="queue_items")
    op.drop_table("queue_items")
    op.drop_table("queues")
