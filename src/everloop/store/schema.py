"""Our tables. Immutable records and their lineage in two; everything that changes has a table of its own.

Times are seconds since the epoch (UTC) as doubles; documents are JSON text, record bodies msgpack.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
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

datasets = Table(
    "datasets",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("project", Text, nullable=False),
    Column("owner", String(200), nullable=False),
    Column("description", Text, nullable=False),
    Column("created_at", Double, nullable=False),
)

takes = Table(
    "takes",
    metadata,
    Column("dataset", String(200), nullable=False),
    Column("number", Integer, nullable=False),
    Column("snapshot", String(80), nullable=False),
    Column("mode", String(16), nullable=False),
    Column("at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
    Column("by", String(200), nullable=False),
    Column("project", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("new_bytes", BigInteger, nullable=False),
    PrimaryKeyConstraint("dataset", "number"),
    Index("takes_by_snapshot", "snapshot"),
)

aliases = Table(
    "aliases",
    metadata,
    Column("dataset", String(200), nullable=False),
    Column("alias", String(80), nullable=False),
    Column("snapshot", String(80), nullable=False),
    Column("at", Double, nullable=False),
    Column("by", String(200), nullable=False),
    PrimaryKeyConstraint("dataset", "alias"),
)

queues = Table(
    "queues",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("snapshot", String(80), nullable=False),
    Column("body", Text, nullable=False),
)

queue_items = Table(
    "queue_items",
    metadata,
    Column("queue", String(200), nullable=False),
    Column("row", String(80), nullable=False),
    Column("position", BigInteger),
    Column("rank", BigInteger, nullable=False),
    Column("votes", Integer, nullable=False),
    Column("skips", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    PrimaryKeyConstraint("queue", "row"),
    Index("queue_items_by_rank", "queue", "state", "rank"),
)

queue_holds = Table(
    "queue_holds",
    metadata,
    Column("queue", String(200), nullable=False),
    Column("row", String(80), nullable=False),
    Column("person", String(200), nullable=False),
    Column("taken_at", Double, nullable=False),
    Column("until", Double, nullable=False),
    PrimaryKeyConstraint("queue", "row", "person"),
)

annotations = Table(
    "annotations",
    metadata,
    Column("queue", String(200), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("row", String(80), nullable=False),
    Column("person", String(200), nullable=False),
    Column("action", String(16), nullable=False),
    Column("value", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("seconds", Double),
    Column("at", Double, nullable=False),
    Column("token", String(80), nullable=False),
    Column("undoes", BigInteger),
    Column("origin", String(16), nullable=False),
    PrimaryKeyConstraint("queue", "seq"),
    UniqueConstraint("queue", "token"),
    Index("annotations_by_row", "queue", "row", "person"),
    Index("annotations_by_person", "queue", "person", "seq"),
    Index("annotations_by_undoes", "queue", "undoes"),
)
