"""A connection to Kafka's brokers: where the partitions of a topic begin and end, and the messages in between."""

from __future__ import annotations

import time as clock
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from everloop.core.errors import BadInput, Busy, EverloopError, Missing, NotFound
from everloop.core.ports import Restart
from everloop.data.sources.secrets import named_in, resolved

if TYPE_CHECKING:
    from everloop.data.sources.kafka import Kafka

# Messages that are fetched before it is known how large they are, and at most.
_FIRST, _MOST = 16, 5000
_AT_ONCE_BYTES = 8 << 20


class Span(NamedTuple):
    """A partition's offsets: of the first message that is still there, and of the next one to come."""

    partition: int
    first: int
    end: int


class Broker:
    """A connection to the brokers; errors are sentences."""

    def __init__(self, source: Kafka) -> None:
        try:
            import confluent_kafka as kafka
        except ImportError:
            raise Missing("Kafka needs the library confluent-kafka. Install it: pip install 'everloop[kafka]'") from None
        self.kafka: Any = kafka
        self.source = source
        self.troubles: list[Any] = []
        of = source.describe()
        settings: dict[str, Any] = {name: resolved(value, of=of) for name, value in source.pairs()}
        ours: dict[str, Any] = {
            "bootstrap.servers": resolved(source.servers, of=of),
            # The library wants a name; nothing is kept under it.
            "group.id": "everloop",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "error_cb": self.troubles.append,
            "log_level": 0,
            "isolation.level": "read_committed",
            # At the end of one partition we go to the next one.
            "fetch.wait.max.ms": 20,
            "queued.max.messages.kbytes": 16384,
        }
        failed = ""
        try:
            self.consumer = kafka.Consumer({**settings, **ours})
        except (kafka.KafkaException, TypeError, ValueError) as error:
            failed = said_by(error)
        if failed:
            raise BadInput(f"{of}: the settings do not make a consumer ({failed}). Expected librdkafka's own.")

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, *_: object) -> None:
        self.consumer.close()

    def spans(self) -> list[Span]:
        """In order of the partitions. NotFound without the topic."""
        said, kafka = self.source.describe(), self.kafka
        with self._speaking():
            topic = self.consumer.list_topics(self.source.topic, timeout=self.source.timeout_s).topics[self.source.topic]
            if topic.error is not None and topic.error.code() == kafka.KafkaError.UNKNOWN_TOPIC_OR_PART:
                others = sorted(
                    name for name in self.consumer.list_topics(timeout=self.source.timeout_s).topics if not name.startswith("__")
                )
                there = f" There: {', '.join(others[:8])}." if others else ""
                raise NotFound(f"{said}: there is no topic {self.source.topic!r}.{there}")
            if topic.error is not None:
                raise kafka.KafkaException(topic.error)
            spans: list[Span] = []
            for partition in sorted(topic.partitions):
                first, end = self.consumer.get_watermark_offsets(
                    kafka.TopicPartition(self.source.topic, partition), timeout=self.source.timeout_s
                )
                spans.append(Span(partition, first, end))
            return spans

    def messages(self, span: Span) -> Generator[list[Any], None, int]:
        """The messages of a span, some at a time; returns the offset of the next one. Restart when the first ones were deleted meanwhile."""
        kafka, source = self.kafka, self.source
        at: int = span.first
        if at >= span.end:
            return at
        with self._speaking():
            self.consumer.assign([kafka.TopicPartition(source.topic, span.partition, at)])
        silent_since = clock.monotonic()
        ended, at_once = False, _FIRST
        while at < span.end and not ended:
            good: list[Any] = []
            with self._speaking():
                found = self.consumer.consume(min(at_once, span.end - at), timeout=min(0.5, source.timeout_s))
                for each in found:
                    message: Any = each
                    error = message.error()
                    if error is None:
                        at = message.offset() + 1
                        if message.offset() < span.end:
                            good.append(message)
                    elif error.code() == kafka.KafkaError._PARTITION_EOF:
                        # Behind the last message there may be offsets without one: of transactions, or of what was compacted.
                        at, ended = max(at, message.offset()), True
                    elif error.code() in (kafka.KafkaError._AUTO_OFFSET_RESET, kafka.KafkaError.OFFSET_OUT_OF_RANGE):
                        raise Restart
                    else:
                        raise kafka.KafkaException(error)
            if found:
                silent_since = clock.monotonic()
            elif clock.monotonic() - silent_since > source.timeout_s:
                raise Busy(self._silent())
            if good:
                # A message may have a megabyte or more.
                at_once = max(1, min(_MOST, _AT_ONCE_BYTES * len(good) // max(1, sum(len(message) for message in good))))
                yield good
        return min(at, span.end)

    @contextmanager
    def _speaking(self) -> Generator[None]:
        raised: EverloopError
        try:
            yield
            return
        except self.kafka.KafkaException as error:
            raised = self._error(error.args[0])
        raise raised

    def _error(self, error: Any) -> EverloopError:
        codes, said = self.kafka.KafkaError, self.source.describe()
        told = [error, *self.troubles]
        if any(one.code() in (codes._AUTHENTICATION, codes.SASL_AUTHENTICATION_FAILED, codes._SSL) for one in told):
            names = named_in(self.source.servers, *(value for _, value in self.source.pairs()))
            return BadInput(f"{said}: the brokers do not let us in. Look at {', '.join(names) or 'settings='}, and at security.protocol.")
        if error.code() in (codes.TOPIC_AUTHORIZATION_FAILED, codes.GROUP_AUTHORIZATION_FAILED, codes.CLUSTER_AUTHORIZATION_FAILED):
            return BadInput(f"{said}: we may not read this topic. Let an administrator give the right to read and describe it.")
        if (
            error.code() in (codes._TRANSPORT, codes._ALL_BROKERS_DOWN, codes._TIMED_OUT, codes._RESOLVE, codes._MSG_TIMED_OUT)
            or error.retriable()
        ):
            return Busy(self._silent())
        return BadInput(f"{said}: {said_by(error)}.")

    def _silent(self) -> str:
        return (
            f"{self.source.describe()}: no broker answered for {self.source.timeout_s:g} s. "
            "Check the addresses and whether they run, then run again."
        )


def said_by(error: Any) -> str:
    """In the library's words, which hold no values of settings."""
    inner = error.args[0] if getattr(error, "args", None) else error
    return (inner.str() if hasattr(inner, "str") else str(inner)).rstrip(". ")[:200]
