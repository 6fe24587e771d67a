from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests_store_programs import hold_the_lock, make_and_use, open_fresh

from everloop.core.errors import BadInput, Broken, Busy, EverloopError
from everloop.store import database as module
from everloop.store import migrations, runs
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
        context = MigrationContext.configure(tx.connection)
        assert compare_metadata(context, metadata) == []


def layout(path: Path) -> dict[str, Any]:
    """Tables with their columns, and indexes with theirs, however their statements are written."""
    with sqlite3.connect(path) as raw:
        tables = [name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found: dict[str, Any] = {name: raw.execute(f"PRAGMA table_xinfo({name})").fetchall() for name in tables}
        for table in tables:
            for _, index, unique, origin, partial in raw.execute(f"PRAGMA index_list({table})").fetchall():
                found[index] = (table, unique, origin, partial, raw.execute(f"PRAGMA index_xinfo({index})").fetchall())
    raw.close()
    return found


def migrated(path: Path, revision: str) -> None:
    """A file as the release of that revision left it."""
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        migrations.upgrade(connection, revision)
    engine.dispose()


def test_a_fresh_file_has_what_the_migrations_make(tmp_path: Path) -> None:
    migrated(tmp_path / "migrated.db", "head")
    Database(f"sqlite:///{tmp_path}/fresh.db").close()
    fresh = layout(tmp_path / "fresh.db")
    assert fresh == layout(tmp_path / "migrated.db"), "write into store/schema.sql what the newest migration does"
    assert {*metadata.tables, "cache_by_step", "sqlite_autoindex_decisions_1"} <= fresh.keys()
    with sqlite3.connect(tmp_path / "fresh.db") as raw:
        assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    raw.close()


def test_a_file_of_an_older_release_is_migrated_with_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "everloop.db"
    migrated(path, "0001")
    with sqlite3.connect(path) as raw:
        raw.execute("INSERT INTO runs VALUES ('run-1', 'l', 'p', 'queued', '', '{\"a\":1}', 1.5, NULL, NULL, '', '', '{}')")
        raw.execute("INSERT INTO steps VALUES ('run-1', 1, 'fit', 'k', 'done', 'inline', 2.0, 3.0, 'o', '{}', '', '')")
        raw.execute("INSERT INTO cache VALUES ('k', 'fit', 'record', 'o', 'b', 'c', '{}', 'run-1', 3.0)")
    raw.close()
    opened = Database(f"sqlite:///{path}")
    with opened.write() as tx:
        assert (runs.get(tx, "run-1").options, runs.get(tx, "run-1").cancelled_by) == ({"a": 1}, "")
        assert [(step.output, step.attempts, step.worker) for step in runs.steps_of(tx, "run-1")] == [("o", 0, "")]
        assert runs.last_cached(tx, "fit") == runs.cached(tx, "k") is not None
        assert runs.cancel(tx, "run-1", "me").status == "cancelled"
    opened.close()
    Database(f"sqlite:///{tmp_path}/fresh.db").close()
    assert layout(path) == layout(tmp_path / "fresh.db")


def test_a_file_without_tables_is_filled(tmp_path: Path) -> None:
    (tmp_path / "everloop.db").touch()
    Database(f"sqlite:///{tmp_path}/everloop.db").close()
    Database(f"sqlite:///{tmp_path}/fresh.db").close()
    assert layout(tmp_path / "everloop.db") == layout(tmp_path / "fresh.db")


def test_what_outlived_a_deleted_file_does_not_get_into_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "everloop.db"
    opened = Database(f"sqlite:///{path}")
    with opened.write() as tx:
        upsert(tx, cursors, {"loop": "a", "name": "n", "body": "{}"})
    log = path.with_name("everloop.db-wal").read_bytes()
    opened.close()
    path.unlink()
    assert log
    path.with_name("everloop.db-wal").write_bytes(log)
    path.with_name("everloop.db.new").write_bytes(b"half of a file")
    opened = Database(f"sqlite:///{path}")
    with opened.read() as tx:
        assert tx.sql("SELECT count(*) FROM cursors").value() == 0
        assert tx.sql("PRAGMA integrity_check").value() == "ok"
    opened.close()


def test_a_process_killed_while_it_makes_the_file_leaves_none_or_a_whole_one(tmp_path: Path, spawn: Callable[..., Any]) -> None:
    path = tmp_path / "everloop.db"
    for at in range(12):
        process = spawn(make_and_use, f"sqlite:///{path}")
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob("everloop.db*")) and time.monotonic() < deadline:
            pass
        time.sleep(at * 0.0005)  # so that it dies at another moment each time
        process.kill()
        process.rest()
        if path.exists():
            assert layout(path).keys() >= metadata.tables.keys()
        opened = Database(f"sqlite:///{path}")
        with opened.write() as tx:
            runs.queue(tx, "l", "p", decision="")
        opened.close()
        for left in tmp_path.glob("everloop.db*"):
            left.unlink()


def test_a_file_that_was_deleted_meanwhile_is_missed(tmp_path: Path) -> None:
    opened = Database(f"sqlite:///{tmp_path}/everloop.db")
    opened.close()
    (tmp_path / "everloop.db").unlink()

    def use() -> None:
        with opened.read():
            pass

    with pytest.raises(Broken, match=r"everloop\.db cannot be written \(unable to open"):
        use()
    assert not (tmp_path / "everloop.db").exists()


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(Broken, match="its folder is not there"):
        Database(f"sqlite:///{tmp_path}/nowhere/everloop.db")


IMPORTS = """
import sys
from everloop.store import database, records, runs, workspace
with workspace.Workspace(sys.argv[1]) as opened, opened.write() as tx:
    run = runs.claim(tx, runs.queue(tx, "l", "p", decision="").id)
    runs.put_step(tx, runs.Step(run=run.id, seq=1, name="s", key="k", status="done"))
    runs.finish(tx, run.id, "done")
print(*sorted(sys.modules.keys() & {"sqlalchemy", "alembic", "psutil", "numpy", "polars"}))
"""


def test_the_engines_path_loads_neither_sqlalchemy_nor_alembic(tmp_path: Path) -> None:
    for _ in range(2):  # a fresh workspace, and one that is there
        done = subprocess.run([sys.executable, "-c", IMPORTS, tmp_path], capture_output=True, text=True, check=True)
        assert done.stdout == "\n"


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


def test_a_workspace_opens_its_database_when_it_is_asked(tmp_path: Path) -> None:
    with Workspace(tmp_path / "never", lazily=True) as workspace:
        assert not (workspace.home / "everloop.db").exists()
    with Workspace(tmp_path / "p", lazily=True) as workspace:
        with workspace.read() as tx:
            assert runs.find(tx) == []
        assert workspace.database is workspace.database
        assert workspace.database.address == workspace.database_url
        assert (workspace.home / "everloop.db").exists()


def test_a_workspace_may_be_anywhere(tmp_path: Path) -> None:
    project = tmp_path / "50%41 of #1? ü"
    with Workspace(project) as workspace:
        assert workspace.database.is_sqlite
        assert workspace.database.url.database == str(project / ".everloop" / "everloop.db")
    assert (project / ".everloop" / "everloop.db").is_file()


def test_a_workspace_leaves_what_a_person_wrote(tmp_path: Path) -> None:
    Workspace(tmp_path).close()
    ignored = tmp_path / ".everloop" / ".gitignore"
    assert ignored.read_text() == "*\n"
    ignored.write_text("mine\n")
    Workspace(tmp_path).close()
    assert ignored.read_text() == "mine\n"


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
