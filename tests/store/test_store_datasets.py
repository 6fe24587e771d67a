"""What was taken of a dataset is found again by its number, its day, its name."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from everloop.core.errors import BadInput, NotFound
from everloop.core.tables import Chunk, Column, Snapshot
from everloop.store import datasets, ledger, records
from everloop.store.workspace import Workspace

DAY = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
HOUR = 3600.0


@pytest.fixture
def workspace(database_url: str, tmp_path: Path) -> Iterator[Workspace]:
    with Workspace(tmp_path, database_url=database_url) as opened:
        yield opened


def snapshot(content: str, *, dataset: str = "bike", blobs: tuple[str, ...] = ("a",)) -> Snapshot:
    chunks = tuple(Chunk(blob=blob, rows=5, bytes=100, digest=blob) for blob in blobs)
    return Snapshot(
        dataset=dataset, content=content, rows=5 * len(blobs), columns=(Column("n", "int"),), chunks=chunks, source="files x.csv"
    )


def note(workspace: Workspace, taken: Snapshot, at: float, mode: datasets.Mode = "full") -> datasets.Take:
    with workspace.write() as tx:
        records.keep(tx, taken)
        return datasets.note(tx, taken, mode=mode, by="run-1", project="/home/bike", at=at)


@pytest.fixture
def three(workspace: Workspace) -> list[Snapshot]:
    """Of the 20th at 10 h, the 20th at 12 h and the 22nd at 9 h."""
    found = [snapshot("1"), snapshot("2", blobs=("a", "b")), snapshot("3", blobs=("a", "b", "c"))]
    for taken, at in zip(found, (DAY + 10 * HOUR, DAY + 12 * HOUR, DAY + 57 * HOUR), strict=True):
        note(workspace, taken, at)
    return found


def resolved(workspace: Workspace, text: str) -> str:
    with workspace.read() as tx:
        return datasets.resolve(tx, text).content


def test_versions_are_numbered_and_say_what_they_brought(workspace: Workspace, three: list[Snapshot]) -> None:
    with workspace.read() as tx:
        takes = datasets.takes(tx, "bike")
    assert [(take.number, take.rows, take.bytes, take.new_bytes) for take in takes] == [
        (1, 5, 100, 100),
        (2, 10, 200, 100),
        (3, 15, 300, 100),
    ]
    assert {take.by for take in takes} == {"run-1"}


def test_the_same_again_is_no_new_version(workspace: Workspace, three: list[Snapshot]) -> None:
    again = note(workspace, three[2], DAY + 80 * HOUR)
    assert (again.number, again.at, again.seen_at) == (3, DAY + 57 * HOUR, DAY + 80 * HOUR)
    with workspace.read() as tx:
        assert datasets.takes(tx, "bike")[-1] == again
    assert note(workspace, three[0], DAY + 81 * HOUR).number == 4


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("bike", "3"), ("bike@latest", "3"), ("bike@1", "1"), ("bike@2", "2"), ("bike@2026-11-20", "2"), ("bike@2026-11-21", "2"), ("bike@2026-11-22", "3"),
        ("bike@2026-11-20T11:00", "1"), ("bike@2026-11-20T12:00:00", "2"), ("bike@2026-11-20T12:30+01:00", "1"),
    ],
)  # fmt: skip
def test_a_version_by_number_and_by_time(workspace: Workspace, three: list[Snapshot], text: str, content: str) -> None:
    assert resolved(workspace, text) == content


def test_a_version_by_its_id(workspace: Workspace, three: list[Snapshot]) -> None:
    assert resolved(workspace, three[1].id) == "2"
    assert resolved(workspace, three[1].id[:20]) == "2"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bkie", "Did you mean 'bike'"),
        ("bike@goldne", "Did you mean 'golden'"),
        ("bike@9", "its versions are 1 to 3"),
        ("bike@2026-11-19", "did not exist on 2026-11-19: the first version is of 2026-11-20 10:00 UTC"),
        ("snapshot-0000", "No record's id begins"),
    ],
)
def test_what_does_not_exist_is_told_with_what_does(workspace: Workspace, three: list[Snapshot], text: str, message: str) -> None:
    with workspace.write() as tx:
        datasets.call(tx, three[0], "golden", by="ann")
    with workspace.read() as tx, pytest.raises(NotFound, match=message):
        datasets.resolve(tx, text)


def test_an_alias_moves_and_is_in_the_ledger(workspace: Workspace, three: list[Snapshot]) -> None:
    with workspace.write() as tx:
        datasets.call(tx, three[0], "golden", by="ann")
    assert resolved(workspace, "bike@golden") == "1"
    with workspace.write() as tx:
        datasets.call(tx, three[1], "golden", by="ann")
    assert resolved(workspace, "bike@golden") == "2"
    with workspace.read() as tx:
        assert [decision.action for decision in ledger.find(tx, about=three[1].id)] == ["alias"]
        assert datasets.aliases(tx) == {"bike": {"golden": three[1].id}}


@pytest.mark.parametrize("alias", ["latest", "3", "Golden", "", "a" * 64, "2026-11-20", "x@y"])
def test_an_alias_cannot_be_taken_for_something_else(workspace: Workspace, three: list[Snapshot], alias: str) -> None:
    with workspace.write() as tx, pytest.raises(BadInput, match="cannot be an alias"):
        datasets.call(tx, three[0], alias, by="ann")


def test_forgetting(workspace: Workspace, three: list[Snapshot]) -> None:
    with workspace.write() as tx:
        datasets.call(tx, three[0], "golden", by="ann")
        with pytest.raises(BadInput, match="called bike@golden"):
            datasets.forget(tx, "bike@1", by="ann")
        datasets.forget(tx, "bike@golden", by="ann")
        datasets.forget(tx, "bike@1", by="ann")
        assert [take.number for take in datasets.takes(tx, "bike")] == [2, 3]
        with pytest.raises(NotFound, match="no version"):
            datasets.forget(tx, three[0].id, by="ann")
        datasets.forget(tx, "bike", by="ann")
        with pytest.raises(NotFound, match="'bike'"):
            datasets.resolve(tx, "bike")
        assert len(ledger.find(tx, action="forget")) == 3


def test_owner_and_description(workspace: Workspace, three: list[Snapshot]) -> None:
    note(workspace, snapshot("x", dataset="churn"), DAY)
    with workspace.write() as tx:
        datasets.describe(tx, "bike", owner="ann")
        datasets.describe(tx, "bike", description="Hourly rentals.")
        found = datasets.every(tx)
    assert [(dataset.name, dataset.owner, dataset.description, dataset.project) for dataset in found] == [
        ("bike", "ann", "Hourly rentals.", "/home/bike"),
        ("churn", "", "", "/home/bike"),
    ]
    assert datasets.newest is not None
    with workspace.read() as tx:
        newest = datasets.newest(tx, "bike")
        assert newest is not None
        assert newest.content == "3"
        assert datasets.newest(tx, "unheard") is None
