from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests_store_programs import hold_the_lock, open_fresh

from everloop.core.errors import BadInput, Broken, Busy, EverloopError
from everloop.store import database as module
from everloop.store import migrations
from everloop.store.database import HEAD, Database, insert_new, upsert
from everloop.store.schema import cursors, metadata
from everloop.store.workspace import Workspace, current, using


def test_the_newest_migration_is_the_one_that_the_code_knows() -> None:
    versions = sorted(path.stem for path in (Path(migrations.__file__).parent / "versions").glob("v*.py"))
    assert versions[-1].startswith(f"v{HEAD}_")


def test_a_migrated_database_has_exactly_the_tables_of_the_schema(database: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with database.read() as tx:
        context = MigrationContext.configure(tx)
        assert compare_metadata(context, metadata) == []


def test_eight_processes_open_a_fresh_database_at_once(database_url: str, tmp_path: Path, spawn: Callable[..., Any]) -> None:
    gate = tmp_path / "gate"
    processes = [spawn(open_fresh, database_url, gate) for _ in range(8)]
    assert [process.hear() for process in processes] == ["ready"] * 8
    gate.touch()
    for process in processes:
        process.done()
    opened = Database(database_url)
    with opened.read() as tx:
        assert tx.execute(sa.text("SELECT count(*) FROM decisions")).scalar() == 8
        assert tx.execute(sa.text("SELECT version_num FROM alembic_version")).scalars().all() == [HEAD]
    opened.close()


def test_a_database_that_stays_locked_is_busy(database_url: str, monkeypatch: pytest.MonkeyPatch, spawn: Callable[..., Any]) -> None:
    Database(database_url).close()
    assert spawn(hold_the_lock, database_url).hear() == "held"
    monkeypatch.setattr(module, "LOCK_TIMEOUT_S", 1)
    waiting = Database(database_url)

    def write() -> None:
        with waiting.write() as tx:
            module.serialise(tx)

    with pytest.raises(Busy, match="stayed locked for 1 s"):
        write()
    waiting.close()


def test_a_write_that_fails_leaves_nothing_and_the_database_usable(database: Database) -> None:
    row = {"loop": "a", "name": "n", "body": "{}"}

    def fail() -> None:
        with database.write() as tx:
            upsert(tx, cursors, row)
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    with database.write() as tx:
        assert insert_new(tx, cursors, [row, row]) == 1
        assert insert_new(tx, cursors, [row]) == 0
        upsert(tx, cursors, row | {"body": "[]"})
        assert tx.execute(sa.select(cursors.c.body)).scalars().all() == ["[]"]


def test_a_newer_schema_is_left_alone(database_url: str) -> None:
    opened = Database(database_url)
    with opened.write() as tx:
        tx.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    opened.close()
    with pytest.raises(Broken, match=rf"schema 9999, newer than the {HEAD}"):
        Database(database_url)


def test_reading_and_writing_at_the_same_time(database: Database) -> None:
    with database.read() as reader:
        assert reader.execute(sa.select(cursors)).all() == []
        with database.write() as tx:
            upsert(tx, cursors, {"loop": "a", "name": "n", "body": "{}"})
    with database.read() as reader:
        assert len(reader.execute(sa.select(cursors)).all()) == 1


@pytest.mark.parametrize(
    "content", [b"not a database at all" * 500, b"SQLite format 3\x00" + b"\xff" * 8000], ids=["text", "broken header"]
)
def test_a_file_that_is_no_database_is_broken(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "everloop.db"
    path.write_bytes(content)
    with pytest.raises(Broken, match="damaged"):
        Database(f"sqlite:///{path}")
    assert path.read_bytes() == content


def test_damaged_pages_are_broken(tmp_path: Path) -> None:
    path = tmp_path / "everloop.db"
    opened = Database(f"sqlite:///{path}")
    with opened.write() as tx:
        for at in range(200):
            upsert(tx, cursors, {"loop": f"l{at}", "name": "n", "body": "x" * 500})
    opened.close()
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        raw.execute("PRAGMA journal_mode=DELETE")
    raw.close()
    data = bytearray(path.read_bytes())
    data[8192:] = os.urandom(len(data) - 8192)
    path.write_bytes(data)

    def use() -> None:
        damaged = Database(f"sqlite:///{path}")
        try:
            with damaged.write() as tx:
                tx.execute(sa.select(cursors)).all()
                upsert(tx, cursors, {"loop": "l1", "name": "n", "body": ""})
        finally:
            damaged.close()

    with pytest.raises(Broken, match="damaged"):
        use()


def test_a_place_that_cannot_be_written_is_broken(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Broken, match="cannot be written"):
        Database(f"sqlite:///{tmp_path}/file/everloop.db")
    with pytest.raises(Broken, match=r"cannot be written .*EVERLOOP_HOME"):
        Workspace(tmp_path / "file" / "project")


def test_a_server_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(Busy, match="could not be reached") as caught:
        Database("postgresql+psycopg://somebody:secret@127.0.0.1:9/nothing")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["nonsense", "mysql://x/y", "sqlite+nothing:///x"])
def test_a_url_of_another_kind_is_bad_input_or_missing(url: str) -> None:
    with pytest.raises(EverloopError, match="EVERLOOP_DATABASE_URL"):
        Database(url)


def test_a_workspace_is_current_only_inside(workspace: Workspace) -> None:
    with pytest.raises(BadInput, match="No workspace is open"):
        current()
    with using(workspace):
        assert current() is workspace
    with pytest.raises(BadInput):
        current()


def test_the_environment_moves_a_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERLOOP_HOME", str(tmp_path / "h"))
    monkeypatch.setenv("EVERLOOP_DATABASE_URL", f"sqlite:///{tmp_path}/x.db")
    monkeypatch.setenv("EVERLOOP_BLOBS", str(tmp_path / "b"))
    with Workspace(tmp_path / "p") as workspace:
        assert (workspace.home, workspace.blobs.folder) == (tmp_path / "h", tmp_path / "b")
        assert workspace.predictions == tmp_path / "h" / "predictions"
    assert (tmp_path / "x.db").is_file()
    assert not (tmp_path / "h" / "everloop.db").exists()
