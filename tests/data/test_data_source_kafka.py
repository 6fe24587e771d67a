"""Topics of librdkafka's own mock cluster: real brokers' protocol on a loopback port, without their disks."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest

from everloop.core.errors import BadInput, Busy, Conflict, NotFound
from everloop.core.ports import Place, Restart, Source
from everloop.data.sources.kafka import Kafka
from everloop.data.sources.union import collect
from everloop.testing.sources import LARGE_BYTES, SourceSuite

kafka = pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed: pip install 'everloop[kafka]'")
SECRET = "kafka-s3cret-161803"


class Cluster:
    """Brokers that live as long as this does. Topics have four partitions."""

    def __init__(self) -> None:
        settings = {"bootstrap.servers": "ignored", "test.mock.num.brokers": 1, "compression.type": "zstd", "linger.ms": 0, "log_level": 0,
                    "message.max.bytes": 2_000_000}  # fmt: skip
        self.producer: Any = kafka.Producer(settings)
        self.servers = ",".join(f"{broker.host}:{broker.port}" for broker in self.producer.list_topics(timeout=10).brokers.values())

    def send(self, topic: str, *values: Any, partition: int = 0, key: str | None = None) -> None:
        for value in values:
            data = value if isinstance(value, bytes | None) else json.dumps(value).encode()
            self.producer.produce(topic, data, key=key, partition=partition, timestamp=1_767_225_600_123)
        assert self.producer.flush(10) == 0

    def stop(self) -> None:
        self.producer = None


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    running = Cluster()
    yield running
    running.stop()


def read(source: Source, place: Place) -> pl.DataFrame:
    return collect(source.read(place))


class TestKafka(SourceSuite):
    incremental = True
    secret = SECRET
    cluster: Cluster

    @pytest.fixture(autouse=True)
    def brokers(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        cluster = type(self).cluster = Cluster()
        monkeypatch.setenv("KAFKA_PASSWORD", SECRET)
        monkeypatch.setenv("KAFKA_SERVERS", cluster.servers)
        yield
        cluster.stop()

    def source(self, place: Place) -> Source:
        # The brokers ask for no password; the setting is of a transport that is not used.
        return Kafka(self.topic(place), servers="env:KAFKA_SERVERS", settings={"ssl.key.password": "env:KAFKA_PASSWORD"}, timeout_s=2)

    def topic(self, place: Place) -> str:
        return f"rides-{place.project.parent.name}"

    def begin(self, place: Place) -> None:
        self.cluster.send(self.topic(place), {"n": 1, "t": "a"}, {"n": 2})
        self.cluster.send(self.topic(place), {"n": 3, "t": None}, partition=2)

    def add(self, place: Place) -> None:
        self.cluster.send(self.topic(place), {"n": random.randrange(10**9), "t": "c"}, partition=random.randrange(4))

    def vanish(self, place: Place) -> None:
        self.cluster.stop()

    def enlarge(self, place: Place) -> None:
        for start in range(0, LARGE_BYTES // 99_999 + 1, 100):
            self.cluster.send(self.topic(place), *({"n": at, "t": str(at).rjust(99_999, "x")} for at in range(start, start + 100)))


def test_partition_by_partition_in_the_order_of_offsets(cluster: Cluster, place: Place) -> None:
    for at in range(12):
        cluster.send("t", {"n": at}, partition=at % 3, key=f"k{at}")
    source = Kafka("t", servers=cluster.servers, about=True)
    found = read(source, place)
    assert found["n"].to_list() == [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]
    assert found["_partition"].to_list() == [0] * 4 + [1] * 4 + [2] * 4
    assert found["_offset"].to_list() == [0, 1, 2, 3] * 3
    assert found["_key"][1] == "k3"
    assert str(found["_timestamp"][0]) == "2026-01-01 00:00:00.123000+00:00"
    assert found.equals(read(source, place))
    extract = source.read(place)
    collect(extract)
    assert [(origin["partition"], origin["offset"], origin["rows"]) for origin in extract.origins] == [
        (0, 4, 4),
        (1, 4, 4),
        (2, 4, 4),
        (3, 0, 0),
    ]


def test_messages_that_come_while_it_reads_are_of_the_next_reading(cluster: Cluster, place: Place) -> None:
    cluster.send("t", *({"n": at, "t": "x" * 100_000} for at in range(100)))
    extract = Kafka("t", servers=cluster.servers).read(place)
    batches = extract.batches()
    rows = next(batches).height
    cluster.send("t", {"n": 100})
    rows += sum(batch.height for batch in batches)
    assert rows == 100
    then = Kafka("t", servers=cluster.servers).read(place, since=tuple(extract.origins))
    assert collect(then)["n"].to_list() == [100]


@pytest.mark.parametrize(
    ("message", "said"), [(b"oops", "'oops'"), (b"[1]", "is no JSON object"), (b"\xff", "is no JSON object"), (None, "is empty")]
)
def test_a_message_that_is_no_object(message: bytes | None, said: str, cluster: Cluster, place: Place) -> None:
    cluster.send("t", {"n": 1}, message, {"n": 2}, partition=1)
    with pytest.raises(BadInput, match=rf"t, partition 1, offset 1: the message .*{said}.*skip_broken=True"):
        read(Kafka("t", servers=cluster.servers), place)
    extract = Kafka("t", servers=cluster.servers, skip_broken=True).read(place)
    assert collect(extract)["n"].to_list() == [1, 2]
    assert [origin.get("skipped", 0) for origin in extract.origins] == [0, 1, 0, 0]
    cluster.send("t", message, partition=1)
    then = Kafka("t", servers=cluster.servers, skip_broken=True).read(place, since=tuple(extract.origins))
    assert collect(then).height == 0
    assert then.origins[1]["skipped"] == 2
    assert then.origins[1]["rows"] == 2


def test_values_of_several_types_begin_again(cluster: Cluster, place: Place) -> None:
    cluster.send("t", *({"n": at, "t": "x" * 50_000} for at in range(100)))
    cluster.send("t", {"n": "many"}, partition=1)
    batches = (extract := Kafka("t", servers=cluster.servers).read(place)).batches()
    with pytest.raises(Restart):
        list(batches)
    found = collect(extract)
    assert found.dtypes[0] == pl.String
    assert found["n"].to_list() == [*map(str, range(100)), "many"]


def test_messages_that_were_deleted_before_they_were_read(cluster: Cluster, place: Place) -> None:
    """The brokers keep five megabytes of a partition."""
    cluster.send("t", {"n": 1})
    first = Kafka("t", servers=cluster.servers).read(place)
    collect(first)
    noise = random.Random(1)
    for at in range(10):
        cluster.send("t", {"n": at, "t": "".join(noise.choices(string.ascii_letters + string.digits, k=900_000))})
    with pytest.raises(Conflict, match=r"t, partition 0: the messages 1 to \d+ were deleted.*lost='go on'"):
        collect(Kafka("t", servers=cluster.servers).read(place, since=tuple(first.origins)))
    then = Kafka("t", servers=cluster.servers, lost="go on").read(place, since=tuple(first.origins))
    found = collect(then)
    assert found["n"].to_list() == list(range(10 - found.height, 10))
    assert not then.whole
    assert then.origins[0]["lost"] == 10 - found.height
    assert then.origins[0]["offset"] == 11
    # Whoever reads for the first time takes what is there.
    assert read(Kafka("t", servers=cluster.servers), place).height == found.height


def test_a_topic_made_anew_is_read_as_a_whole(cluster: Cluster, place: Place) -> None:
    cluster.send("t", {"n": 1}, {"n": 2}, {"n": 3})
    first = Kafka("t", servers=cluster.servers).read(place)
    collect(first)
    other = Cluster()
    other.send("t", {"n": 9})
    then = Kafka("t", servers=other.servers).read(place, since=tuple(first.origins))
    assert collect(then)["n"].to_list() == [9]
    assert then.whole
    other.stop()


def test_a_topic_that_is_not_there(cluster: Cluster, place: Place) -> None:
    cluster.send("rides", {"n": 1})
    with pytest.raises(NotFound, match=r"no topic 'ridez'.*There: rides"):
        read(Kafka("ridez", servers=cluster.servers), place)
    cluster.producer.list_topics("made", timeout=5)
    with pytest.raises((BadInput, NotFound), match=r"holds no messages|no topic"):
        read(Kafka("made", servers=cluster.servers), place)


def test_nobody_answers(place: Place) -> None:
    for ask in (
        lambda: Kafka("t", servers="127.0.0.1:1", timeout_s=0.3).stamp(place),
        lambda: read(Kafka("t", servers="127.0.0.1:1", timeout_s=0.3), place),
    ):
        with pytest.raises(Busy, match=r"no broker answered for 0.3 s"):
            ask()


def test_brokers_that_die_in_the_middle(cluster: Cluster, place: Place) -> None:
    for at in range(4):
        cluster.send("t", *({"n": number, "t": "x" * 100_000} for number in range(100)), partition=at)
    batches = (extract := Kafka("t", servers=cluster.servers, timeout_s=1).read(place)).batches()
    next(batches)
    cluster.stop()
    with pytest.raises(Busy, match="no broker answered"):
        list(batches)
    assert len(extract.origins) < 4


def test_settings_that_open_doors_are_named_not_written(place: Place) -> None:
    with pytest.raises(BadInput, match=r"sasl\.password opens doors") as raised:
        Kafka("t", servers="b:1", settings={"sasl.password": SECRET})
    assert SECRET not in str(raised.value)
    with pytest.raises(BadInput, match="do not make a consumer"):
        read(Kafka("t", servers="b:1", settings={"no.such.setting": "1"}), place)
    with pytest.raises(NotFound, match="NO_SUCH_SERVERS is not set"):
        read(Kafka("t", servers="env:NO_SUCH_SERVERS"), place)
