from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from tests_store_programs import write_in_a_fork

from everloop.core.errors import Broken
from everloop.store.database import Database, Transaction, insert_new, upsert
from everloop.store.postgres import driver_text
from everloop.store.schema import cursors

PUT = "INSERT INTO cursors (loop, name, body) VALUES (:loop, :name, :body)"
COUNT = "SELECT count(*) FROM cursors"


def row(name: str, body: str = "{}") -> dict[str, str]:
    return {"loop": "l", "name": name, "body": body}


def names(tx: Transaction) -> list[str]:
    return [name for (name,) in tx.sql("SELECT name FROM cursors ORDER BY name")]


def test_both_ways_see_what_the_other_wrote_and_commit_together(database: Database) -> None:
    with database.write() as tx:
        tx.sql(PUT, row("a"))
        assert tx.execute(sa.select(cursors.c.name)).scalars().all() == ["a"]
        tx.execute(sa.insert(cursors).values(row("b")))
        assert names(tx) == ["a", "b"]
        tx.sql(PUT, row("c"))
        assert insert_new(tx, cursors, [row("c"), row("d")]) == 1
    with database.read() as tx:
        assert names(tx) == ["a", "b", "c", "d"]
        assert tx.execute(sa.select(sa.func.count()).select_from(cursors)).scalar_one() == 4


@pytest.mark.parametrize("last", ["sql", "execute"])
def test_both_ways_roll_back_together(database: Database, last: str) -> None:
    def fail() -> None:
        with database.write() as tx:
            tx.sql(PUT, row("a"))
            tx.execute(sa.insert(cursors).values(row("b")))
            tx.sql(PUT, row("c"))
            if last == "sql":
                tx.sql("SELECT nothing FROM cursors")
            tx.execute(sa.text("SELECT nothing FROM cursors"))

    for _ in range(2):  # the second time on a connection that SQLAlchemy has seen
        with pytest.raises(Exception, match="nothing"):
            fail()
        with database.write() as tx:
            assert names(tx) == []
            assert tx.execute(sa.select(cursors)).all() == []


def test_a_savepoint_covers_both_ways(database: Database) -> None:
    with database.write() as tx:
        tx.sql(PUT, row("a"))
        savepoint = tx.connection.begin_nested()
        tx.sql(PUT, row("b"))
        tx.execute(sa.insert(cursors).values(row("c")))
        savepoint.rollback()
        with tx.connection.begin_nested():
            tx.sql(PUT, row("d"))
    with database.read() as tx:
        assert names(tx) == ["a", "d"]


def test_rows_and_how_many_changed(database: Database) -> None:
    with database.write() as tx:
        assert tx.sql(COUNT).value() == 0
        assert tx.sql("SELECT name, body FROM cursors").first() is None
        assert tx.sql("SELECT name, body FROM cursors").value() is None
        assert tx.sql(PUT, row("a")).changed == 1
        assert tx.sql(f"{PUT} ON CONFLICT DO NOTHING", row("a", "other")).changed == 0
        tx.many(PUT, [row("b"), row("c", "[1]")])
        tx.many(PUT, [])
        found = tx.sql("SELECT name, body FROM cursors WHERE loop = :loop ORDER BY name", {"loop": "l", "unused": 1})
        assert found == [("a", "{}"), ("b", "{}"), ("c", "[1]")]
        assert found.first() == ("a", "{}")
        assert tx.sql("UPDATE cursors SET body = '' WHERE name <> :name", {"name": "a"}).changed == 2
        assert tx.sql("DELETE FROM cursors WHERE name = :name", {"name": "z"}).changed == 0
        assert tx.sql("DELETE FROM cursors WHERE name = :name RETURNING body", {"name": "a"}) == [("{}",)]


def test_text_that_looks_like_a_parameter_is_text(database: Database) -> None:
    with database.write() as tx:
        tx.sql("INSERT INTO cursors (loop, name, body) VALUES ('100% :loop', ':it''s', :body)", {"body": "%(x)s :y"})
        assert tx.sql("SELECT loop, name, body FROM cursors WHERE body LIKE '%:y' AND 7 % 4 = :three", {"three": 3}) == [
            ("100% :loop", ":it's", "%(x)s :y")
        ]


def test_parameters_as_the_driver_writes_them() -> None:
    assert driver_text("SELECT :a, ':b', x::text, 5 % 2 AS \"c:d\"") == "SELECT %(a)s, ':b', x::text, 5 %% 2 AS \"c:d\""


def test_a_transaction_that_is_over_is_refused(database: Database) -> None:
    with database.write() as kept:
        kept.execute(sa.select(cursors))
    with database.read() as tx:
        assert names(tx) == []
        for use in (lambda: kept.sql(PUT, row("a")), lambda: kept.many(PUT, [row("a")]), lambda: kept.execute(sa.select(cursors))):
            with pytest.raises(RuntimeError, match="is over"):
                use()


# What makes a connection refuse a write, and what is said then.
REFUSALS = {"query_only=1": "cannot be written", "max_page_count=1": "no space left"}


@pytest.mark.parametrize("pragma", REFUSALS)
@pytest.mark.parametrize("way", ["sql", "many", "execute"])
def test_an_error_of_the_driver_is_told_the_same_in_both_ways(database: Database, pragma: str, way: str) -> None:
    if not database.is_sqlite:
        pytest.skip("pragmas are SQLite's")
    big = row("a", "x" * 100_000)

    def fail() -> None:
        with database.write() as tx:
            tx.sql(f"PRAGMA {pragma}")
            if way == "execute":
                upsert(tx, cursors, big)
            elif way == "many":
                tx.many(PUT, [big])
            else:
                tx.sql(PUT, big)

    with pytest.raises(Broken, match=REFUSALS[pragma]):
        fail()


def test_threads_share_a_database(database: Database) -> None:
    failed: list[BaseException] = []
    start = threading.Barrier(12)

    def work(thread: int) -> None:
        try:
            start.wait()
            for at in range(8):
                with database.write() as tx:
                    before = tx.sql(COUNT).value()
                    if (thread + at) % 2:
                        tx.execute(sa.insert(cursors).values(row(f"{thread}-{at}")))
                    else:
                        tx.sql(PUT, row(f"{thread}-{at}"))
                    if database.is_sqlite:
                        assert tx.sql(COUNT).value() == before + 1
                with database.read() as tx, database.read() as other:
                    assert tx.sql(COUNT).value() <= other.execute(sa.text(COUNT)).scalar_one()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(at,)) for at in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with database.read() as tx:
        assert tx.sql(COUNT).value() == 12 * 8


def test_a_child_of_a_fork_opens_its_own(database: Database, database_url: str, spawn: Callable[..., Any]) -> None:
    process = spawn(write_in_a_fork, database_url)
    assert process.hear() == ("child", []), "the child has the parent's connections"
    assert process.hear() == ("parent", ["before", "child", "parent"])
    with database.read() as tx:
        assert names(tx) == ["before", "child", "parent"]
    assert os.getpid() != process.pid
