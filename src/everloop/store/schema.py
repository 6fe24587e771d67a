"""Our tables. Immutable records and their lineage in two; everything that changes has a table of its own.

Times are seconds since the epoch (UTC) as doubles; documents are JSON text, record bodies msgpack.
"""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

records = Table(
    "records",
    metadata,
    Column("id", String(80), primary_key=True),
    Column("kind", String(24), nullable=False, index=True),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", Double, nullable=False),
)

links = Table(
    "links",
    metadata,
    Column("child", String(80), nullable=False),
    Column("role", String(40), nullable=False),
    Column("parent", String(80), nullable=False, index=True),
    PrimaryKeyConstraint("child", "role", "parent"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(80), primary_key=True),
    Column("loop", String(200), nullable=False),
    Column("pipeline", String(200), nullable=False),
    Column("status", String(16), nullable=False),
    Column("decision", String(80), nullable=False),
    Column("options", Text, nullable=False),
    Column("queued_at", Double, nullable=False),
    Column("started_at", Double),
    Column("ended_at", Double),
    Column("process", String(200), nullable=False),
    Column("error", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("cancelled_by", String(200), nullable=False, server_default=""),
    Index("runs_by_loop", "loop", "queued_at"),
    Index("runs_by_status", "status"),
)

steps = Table(
    "steps",
    metadata,
    Column("run", String(80), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("name", String(200), nullable=False),
    Column("key", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("executor", String(24), nullable=False),
    Column("started_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("output", String(80), nullable=False),
    Column("inputs", Text, nullable=False),
    Column("because", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("type", String(40), nullable=False, server_default=""),
    Column("blob", String(64), nullable=False, server_default=""),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("worker", String(200), nullable=False, server_default=""),
    PrimaryKeyConstraint("run", "seq"),
    Index("steps_by_name", "name"),
    Index("steps_by_output", "output"),
)

cache = Table(
    "cache",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("step", String(200), nullable=False),
    Column("type", String(40), nullable=False),
    Column("output", String(80), nullable=False),
    Column("blob", String(64), nullable=False),
    Column("code", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Column("run", String(80), nullable=False),
    Column("created_at", Double, nullable=False),
    Index("cache_by_step", "step", "created_at"),
)

approvals = Table(
    "approvals",
    metadata,
    Column("id", String(80), primary_key=True),
    Column("loop", String(200), nullable=False),
    Column("pipeline", String(200), nullable=False),
    Column("run", String(80), nullable=False),
    Column("question", Text, nullable=False),
    Column("about", Text, nullable=False),
    Column("asked_at", Double, nullable=False),
    Column("deadline", Double),
    Column("policy", String(16), nullable=False),
    Column("answer", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("by", String(200), nullable=False),
    Column("answered_at", Double),
    Column("decision", String(80), nullable=False),
    Index("approvals_by_answer", "answer"),
)

slots = Table(
    "slots",
    metadata,
    Column("ticket", String(80), primary_key=True),
    Column("machine", String(200), nullable=False),
    Column("run", String(80), nullable=False),
    Column("process", String(200), nullable=False),
    Column("cpus", Double, nullable=False),
    Column("gpus", Double, nullable=False),
    Column("memory_mb", Double, nullable=False),
    Column("asked_at", Double, nullable=False),
    Column("granted_at", Double),
    Index("slots_by_machine", "machine"),
)

pins = Table(
    "pins",
    metadata,
    Column("id", String(80), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("by", String(200), nullable=False),
    Column("at", Double, nullable=False),
)

stamps = Table(
    "stamps",
    metadata,
    Column("path", Text, primary_key=True),
    Column("stamp", String(120), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("seen_at", Double, nullable=False),
)

versions = Table(
    "versions",
    metadata,
    Column("loop", String(200), nullable=False),
    Column("number", Integer, nullable=False),
    Column("version", String(80), nullable=False),
    Column("candidate", String(80), nullable=False),
    Column("model", String(64), nullable=False),
    Column("run", String(80), nullable=False),
    Column("tracker_run", String(80), nullable=False),
    Column("created_at", Double, nullable=False),
    PrimaryKeyConstraint("loop", "number"),
    UniqueConstraint("loop", "version"),
)

deployments = Table(
    "deployments",
    metadata,
    Column("loop", String(200), primary_key=True),
    Column("champion", Integer),
    Column("previous", Integer),
    Column("challenger", Integer),
    Column("stage", String(16), nullable=False),
    Column("share", Double, nullable=False),
    Column("since", Double, nullable=False),
    Column("champion_since", Double, nullable=False),
    Column("revision", Integer, nullable=False),
)

decisions = Table(
    "decisions",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("loop", String(200), nullable=False),
    Column("rule", String(200), nullable=False),
    Column("action", String(40), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("about", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Index("decisions_by_rule", "loop", "rule", "seq"),
)

mentions = Table(
    "mentions",
    metadata,
    Column("seq", Integer, nullable=False),
    Column("about", String(120), nullable=False),
    PrimaryKeyConstraint("about", "seq"),
)

labels = Table(
    "labels",
    metadata,
    Column("prediction", String(80), primary_key=True),
    Column("loop", String(200), nullable=False),
    Column("value", Text, nullable=False),
    Column("at", Double, nullable=False),
    Index("labels_by_loop", "loop", "at"),
)

cursors = Table(
    "cursors",
    metadata,
    Column("loop", String(200), nullable=False),
    Column("name", String(200), nullable=False),
    Column("body", Text, nullable=False),
    PrimaryKeyConstraint("loop", "name"),
)

pages = Table(
    "pages",
    metadata,
    Column("decision", String(80), nullable=False),
    Column("sink", String(80), nullable=False),
    Column("loop", String(200), nullable=False),
    Column("delivered_at", Double),
    Column("tries", Integer, nullable=False),
    Column("error", Text, nullable=False),
    PrimaryKeyConstraint("decision", "sink"),
)
