from __future__ import annotations

import msgspec
import pytest
import sqlalchemy as sa

from everloop.core.errors import BadInput, Broken, NotFound
from everloop.core.live import Window
from everloop.core.profiles import Profile
from everloop.core.record import Record
from everloop.core.schemas import Schema
from everloop.core.tables import Chunk, Prepared, Snapshot
from everloop.core.verdict import Finding, Verdict
from everloop.store import records as store
from everloop.store.database import Database
from everloop.store.schema import links
from everloop.store.schema import records as table

SNAPSHOT = Snapshot(
    dataset="d",
    content="c",
    chunks=(Chunk(blob="t", rows=1, bytes=1, digest="d"),),
    rows=1,
    columns=(),
    source="s",
    origins=({"locator": "a", "rows": 1},),
)
PREPARED = Prepared(snapshot=SNAPSHOT.id, target="y", features=(), task="regression", split="p", transform="t", rows={"train": 1})
PROFILE = Profile(about=SNAPSHOT.id, rows=1, columns=())
VERDICT = Verdict(
    question="data", about=SNAPSHOT.id, findings=(Finding(check="rows", passed=True, message="1 row", evidence={"a": [1, 2.5]}),)
)
ALL: tuple[Record, ...] = (SNAPSHOT, PREPARED, PROFILE, VERDICT, Schema(dataset="d", columns=()))


def test_records_are_kept_once_and_read_back(database: Database) -> None:
    for _ in range(2):
        with database.write() as tx:
            store.keep(tx, *ALL)
    with database.read() as tx:
        assert [store.load(tx, record.id, type(record)) for record in ALL] == list(ALL)
        assert tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == len(ALL)
        assert tx.execute(sa.select(sa.func.count()).select_from(links)).scalar_one() == 3


def test_what_describes_may_differ_but_the_first_stays(database: Database) -> None:
    twin = msgspec.structs.replace(SNAPSHOT, source="elsewhere")
    assert twin.id == SNAPSHOT.id
    with database.write() as tx:
        store.keep(tx, SNAPSHOT)
        store.keep(tx, twin)
        assert store.load(tx, SNAPSHOT.id, Snapshot).source == "s"


def test_lineage_goes_up_and_down(database: Database) -> None:
    with database.write() as tx:
        store.keep(tx, PREPARED)
        assert store.dangling(tx) == [(PREPARED.id, "snapshot", SNAPSHOT.id)]
        store.keep(tx, *ALL)
        assert store.dangling(tx) == []
        assert store.parents(tx, PREPARED.id) == [("snapshot", SNAPSHOT.id)]
        assert {child for _, child in store.children(tx, SNAPSHOT.id)} == {PREPARED.id, PROFILE.id, VERDICT.id}
        assert list(store.ancestry(tx, PREPARED.id)) == [(PREPARED.id, "snapshot", SNAPSHOT.id)]


def test_a_unique_beginning_is_enough(database: Database) -> None:
    snapshots = [msgspec.structs.replace(SNAPSHOT, content=f"{at}") for at in range(5)]
    with database.write() as tx:
        store.keep(tx, PREPARED, *snapshots)
        assert store.resolve(tx, "prep") == PREPARED.id
        for snapshot in snapshots:
            assert store.resolve(tx, snapshot.id) == snapshot.id
        with pytest.raises(BadInput, match="the beginning of several ids"):
            store.resolve(tx, "snapshot-")
        for absent in ("snapshot-zzz", "snap%", "snapshot_", "\\"):
            with pytest.raises(NotFound):
                store.resolve(tx, absent)


@pytest.mark.parametrize(
    "body",
    [store.encode(msgspec.structs.replace(SNAPSHOT, content="forged")), store.encode(PROFILE), b"", b"\xc1 not msgpack", msgspec.msgpack.encode({"kind": "snapshot"}), msgspec.msgpack.encode({"kind": "nothing"})],
    ids=["forged", "another kind", "empty", "garbage", "fields missing", "unknown kind"],
)  # fmt: skip
def test_a_changed_record_is_refused(database: Database, body: bytes) -> None:
    with database.write() as tx:
        store.keep(tx, SNAPSHOT)
        tx.execute(sa.update(table).where(table.c.id == SNAPSHOT.id).values(body=body))
    with database.read() as tx, pytest.raises(Broken, match=SNAPSHOT.id):
        store.load(tx, SNAPSHOT.id, Snapshot)


def test_an_id_that_does_not_exist(database: Database) -> None:
    with database.read() as tx, pytest.raises(NotFound, match="'window-0' does not exist"):
        store.load(tx, "window-0", Window)
