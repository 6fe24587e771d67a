"""The messages of a Kafka topic up to now -> one table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from everloop.core.digest import digest
from everloop.core.errors import BadInput, Busy, Conflict
from everloop.core.ports import BATCH_BYTES, Extract, Place, Restart, Source
from everloop.core.tables import Origin
from everloop.data.sources.chain import Chain
from everloop.data.sources.secrets import is_secret, named_in

if TYPE_CHECKING:
    import polars as pl

    from everloop.data.sources.broker import Broker, Span
    from everloop.data.sources.json import Kinds

_BATCH_BYTES = BATCH_BYTES // 4
_SURPRISES = 4


class _Topic(msgspec.Struct, frozen=True):
    topic: str


class Kafka(_Topic, frozen=True, kw_only=True):
    """Messages of a topic, each a JSON object, a column a key: from the first that is still there to the last that is there when reading begins.
    Needs `everloop[kafka]`.

    `servers` are `host:port, host:port`, or `"env:NAME"`. `settings` are librdkafka's, and name the environment where they open doors:
    `{"security.protocol": "SASL_SSL", "sasl.mechanisms": "PLAIN", "sasl.username": "env:KAFKA_USER", "sasl.password": "env:KAFKA_PASSWORD"}`.
    Rows come partition by partition, in the order of offsets; `about=True` adds the columns `_partition`, `_offset`, `_timestamp` and `_key`.
    A message that is no JSON object stops the reading; with `skip_broken=True` it is left out, and counted in the snapshot's provenance.
    When the broker has deleted messages that a later reading should have begun with, `lost="stop"` says so and `lost="go on"` reads what is left.
    `timeout_s` is how long a broker may be silent. No consumer group is used and nothing is committed: the snapshot knows where it ended.
    """

    servers: str
    settings: tuple[tuple[str, str], ...] | Mapping[str, str] = ()
    time: str | None = None
    about: bool = False
    skip_broken: bool = False
    lost: Literal["stop", "go on"] = "stop"
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        given = self.settings
        pairs = given.items() if isinstance(given, Mapping) else given
        msgspec.structs.force_setattr(self, "settings", tuple(sorted((str(name), str(value)) for name, value in pairs)))
        for name, value in self.pairs():
            if is_secret(name.rpartition(".")[2]) and not name.endswith((".location", ".url")) and not named_in(value):
                raise BadInput(
                    f"Kafka({self.topic!r}): the setting {name} opens doors, and what a source is declared with is kept and shown. "
                    f"Put it into an environment variable, and name that: settings={{{name!r}: 'env:NAME'}}."
                )
        if self.lost not in ("stop", "go on"):
            raise BadInput(f"lost={self.lost!r} is not known. Expected 'stop' or 'go on'.")
        if not self.topic or not self.servers:
            raise BadInput("Kafka needs a topic and servers, such as Kafka('rides', servers='broker:9092').")

    def __add__(self, other: Source) -> Chain:
        return Chain((self,)) + other

    def describe(self) -> str:
        return f"kafka {self.topic} at {self.servers}"

    def pairs(self) -> tuple[tuple[str, str], ...]:
        return self.settings  # type: ignore[return-value]  # made so in __post_init__

    def stamp(self, place: Place) -> str:
        """The first and the last offset of each partition."""
        from everloop.data.sources.broker import Broker

        with Broker(self) as broker:
            return digest([[span.partition, span.first, span.end] for span in broker.spans()])

    def read(self, place: Place, *, since: Sequence[Origin] = ()) -> Extract:
        """With `since`: the messages behind those that were read. Everything when the topic was made anew meanwhile; Conflict, unless
        `lost="go on"`, when messages are gone that were not read yet."""
        return _Reading(self, since).extract


class _Reading:
    def __init__(self, source: Kafka, since: Sequence[Origin]) -> None:
        from everloop.data.sources.broker import Broker
        from everloop.data.sources.json import Kinds

        self.source = source
        self.kinds: Kinds = Kinds()
        self.surprises = 0
        with Broker(source) as broker:
            spans = broker.spans()
        self.old = {int(origin["partition"]): origin for origin in since if origin.get("topic") == source.topic}
        self.way = digest([source.about, source.skip_broken, source.time])[:16]
        there = {span.partition: span for span in spans}
        known = self.old and len(self.old) == len(since) and all(origin.get("way") == self.way for origin in since)
        # Fewer partitions, or fewer messages than were read: it is another topic of that name.
        if not known or any(number not in there or int(old["offset"]) > there[number].end for number, old in self.old.items()):
            self.old = {}
        self.extract = Extract(self.batches, whole=not self.old)

    def batches(self) -> Iterator[pl.DataFrame]:
        from everloop.data.sources.broker import Broker
        from everloop.data.sources.times import TimeColumn

        source = self.source
        self.extract.origins.clear()
        self.kinds.begin()
        wrong = False
        time = TimeColumn(source.time) if source.time is not None else None
        with Broker(source) as broker:
            spans = broker.spans()
            for span in spans:
                partition = _Partition(source, span, self.old.get(span.partition), self.way)
                row = 1
                for rows in _batched(partition.rows(broker)):
                    table = _table(rows, self.kinds, source.about)
                    wrong = wrong or not self.kinds.sound()
                    first_row, row = row, row + table.height
                    if not wrong:
                        yield time.parse(table, where=partition.name, first_row=first_row) if time is not None else table
                self.extract.origins.append(partition.origin())
        if wrong:
            self._again()
        if self.extract.whole and not any(origin["rows"] for origin in self.extract.origins):
            raise BadInput(f"{source.describe()} holds no messages.")

    def _again(self) -> None:
        self.surprises += 1
        if self.surprises >= _SURPRISES:
            raise Busy(f"Keys in messages of {self.source.describe()} had values of other types at each reading. Run again later.")
        raise Restart


class _Partition:
    """What is read of one partition."""

    def __init__(self, source: Kafka, span: Span, old: Origin | None, way: str) -> None:
        self.source, self.old, self.way = source, old, way
        self.name = f"{source.topic}, partition {span.partition}"
        self.count = int(old["rows"]) if old else 0
        self.skipped = int(old.get("skipped", 0)) if old else 0
        self.lost = int(old.get("lost", 0)) if old else 0
        self.next = int(old["offset"]) if old else span.first
        self.sink = hashlib.sha256(str(old["sha256"]).encode() if old and self.next < span.end else b"")
        self.span = span._replace(first=max(self.next, span.first))
        if old and span.first > self.next:
            if source.lost == "stop":
                raise Conflict(
                    f"{self.name}: the messages {self.next} to {span.first - 1} were deleted by the broker before they were read. "
                    "Say lost='go on' to take those that are left, or read the whole topic as a new dataset; let the topic keep its messages for longer."
                )
            self.lost += span.first - self.next

    def rows(self, broker: Broker) -> Iterator[tuple[dict[str, Any], int]]:
        """Each message as a row, with what it takes in bytes."""
        messages = broker.messages(self.span)
        while True:
            try:
                found = next(messages)
            except StopIteration as ended:
                self.next = ended.value if isinstance(ended.value, int) else self.next
                return
            for message in found:
                value = message.value()
                key = message.key()
                self.sink.update(digest(value, key, message.offset()).encode())
                row = self._row(value, message.offset())
                if row is None:
                    self.skipped += 1
                    continue
                self.count += 1
                if self.source.about:
                    row = {**row, **self._about(message, key)}
                yield row, 200 + 4 * len(value)

    def _row(self, value: bytes | None, offset: int) -> dict[str, Any] | None:
        problem = "is empty, as messages are that delete a key"
        if value is not None:
            try:
                return msgspec.json.decode(value, type=dict[str, Any])
            except (msgspec.DecodeError, UnicodeDecodeError):
                shown = repr(value[:60].decode("utf-8", "replace"))
                problem = f"is no JSON object: {shown}"
        if self.source.skip_broken:
            return None
        raise BadInput(
            f"{self.name}, offset {offset}: the message {problem}. Expected one key a column; skip_broken=True leaves such ones out."
        )

    def _about(self, message: Any, key: bytes | None) -> dict[str, Any]:
        kind, ms = message.timestamp()
        return {
            "_partition": message.partition(),
            "_offset": message.offset(),
            "_timestamp": ms if kind else None,
            "_key": key.decode("utf-8", "backslashreplace") if isinstance(key, bytes) else key,
        }

    def origin(self) -> Origin:
        told = {name: count for name, count in (("skipped", self.skipped), ("lost", self.lost)) if count}
        untouched = self.old is not None and self.next == self.old["offset"]
        return {
            "locator": f"{self.source.topic}/{self.span.partition}",
            "sha256": str(self.old["sha256"]) if untouched and self.old else self.sink.hexdigest(),
            "rows": self.count,
            "topic": self.source.topic,
            "partition": self.span.partition,
            "offset": self.next,
            "way": self.way,
            **told,
        }


def _batched(rows: Iterator[tuple[dict[str, Any], int]]) -> Iterator[list[dict[str, Any]]]:
    held: list[dict[str, Any]] = []
    size = 0
    for row, bytes_ in rows:
        held.append(row)
        size += bytes_
        if size >= _BATCH_BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held


def _table(rows: list[dict[str, Any]], kinds: Kinds, about: bool) -> pl.DataFrame:
    import polars as pl

    from everloop.data.sources.json import table

    found = table(rows, kinds)
    if kinds.sound():
        kinds.give(found.columns)
    if about:
        found = found.with_columns(pl.col("_timestamp").cast(pl.Datetime("ms", "UTC")))
    return found
