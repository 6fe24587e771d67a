"""Queries of real databases: SQLite files, and PostgreSQL and MariaDB where tests/postgres.sh and tests/mariadb.sh start them."""

from __future__ import annotations

import os
import secrets
import sqlite3
import subprocess
import sys
import time as clock
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everloop.core.errors import BadInput, Busy, NotFound
from everloop.core.ports import Place, Restart, Source
from everloop.data.sources import retry
from everloop.data.sources.sql import reading
from everloop.data.sources.sql import sqlite as module
from everloop.data.sources.sql.exact import fits, floats
from everloop.data.sources.sql.source import Sql
from everloop.data.sources.sql.statement import checked
from everloop.data.sources.union import collect
from everloop.testing.sources import LARGE_BYTES, SourceSuite

SECRET = "pg-s3cret-pass-2718"


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_S", 0.001)


class Database:
    """One to write to, and the URL under which it is read, with a password where the server knows such."""

    def __init__(self, engine: sa.Engine, url: str) -> None:
        self.engine, self.url = engine, url

    def run(self, *statements: str) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/rides.db", poolclass=sa.NullPool)
    yield Database(engine, f"sqlite:///{tmp_path}/rides.db")
    engine.dispose()


@pytest.fixture
def postgres() -> Iterator[Database]:
    server = os.environ.get("EVERLOOP_TEST_POSTGRES")
    if not server:
        pytest.skip("EVERLOOP_TEST_POSTGRES names no server; tests/postgres.sh starts one")
    name = f"sql_{secrets.token_hex(6)}"
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"create database {name} template template0")
        connection.exec_driver_sql(f"create role {name} login password '{SECRET}'")
    url = sa.make_url(server).set(database=name)
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    database = Database(engine, url.set(drivername="postgresql", username=name, password=SECRET).render_as_string(hide_password=False))
    database.run(
        f"grant all on schema public to {name}",
        f"alter default privileges grant all on tables to {name}",
        f"alter default privileges grant all on sequences to {name}",
    )
    yield database
    engine.dispose()
    with admin.connect() as connection:
        connection.exec_driver_sql(f"drop database {name} with (force)")
        connection.exec_driver_sql(f"drop role {name}")
    admin.dispose()


@pytest.fixture
def mariadb() -> Iterator[Database]:
    server = os.environ.get("EVERLOOP_TEST_MARIADB")
    if not server:
        pytest.skip("EVERLOOP_TEST_MARIADB names no server; tests/mariadb.sh starts one")
    name = f"sql_{secrets.token_hex(6)}"
    url = sa.make_url(server).set(drivername="mysql+pymysql")
    admin = sa.create_engine(url, poolclass=sa.NullPool)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"create database {name}")
        connection.exec_driver_sql(f"create user {name}@'127.0.0.1' identified by '{SECRET}'")
        connection.exec_driver_sql(f"grant all on {name}.* to {name}@'127.0.0.1'")
    engine = sa.create_engine(url.set(database=name), poolclass=sa.NullPool)
    yield Database(engine, url.set(drivername="mysql", database=name, username=name, password=SECRET).render_as_string(hide_password=False))
    engine.dispose()
    with admin.connect() as connection:
        connection.exec_driver_sql(f"drop database {name}")
        connection.exec_driver_sql(f"drop user {name}@'127.0.0.1'")
    admin.dispose()


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Database:
    found: Database = request.getfixturevalue(request.param)
    monkeypatch.setenv("WAREHOUSE_URL", found.url)
    return found


def read(source: Source, place: Place) -> pl.DataFrame:
    return collect(source.read(place))


class WholeSuite(SourceSuite):
    """A table without a column that tells what is new."""

    kind = "sqlite"
    secret = ""
    cursor: ClassVar[str | None] = None
    database: Database

    @pytest.fixture(autouse=True)
    def server(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        type(self).database = request.getfixturevalue(self.kind)
        monkeypatch.setenv("WAREHOUSE_URL", self.database.url)

    def source(self, place: Place) -> Source:
        return Sql.table("rides", url="env:WAREHOUSE_URL", cursor=self.cursor)

    def begin(self, place: Place) -> None:
        text = "text" if self.kind != "mariadb" else "mediumtext"
        self.database.run(
            "drop table if exists rides",
            f"create table rides (n integer, at integer, t {text})",
            "insert into rides values (1, 10, 'a'), (2, 20, 'b'), (3, 20, null)",
        )

    def add(self, place: Place) -> None:
        """A new value, and one more row with the last one."""
        with self.database.engine.begin() as connection:
            count, last = connection.exec_driver_sql("select count(*), max(at) from rides").one()
            connection.exec_driver_sql(f"insert into rides values ({count + 1}, {last}, 'c'), ({count + 2}, {last + 10}, 'd')")

    def vanish(self, place: Place) -> None:
        self.database.run("drop table rides")

    def enlarge(self, place: Place) -> None:
        with self.database.engine.begin() as connection:
            for start in range(0, LARGE_BYTES // 99_999 + 1, 200):
                rows = [{"n": at, "t": str(at).rjust(99_999, "x")} for at in range(start, start + 200)]
                connection.execute(sa.text("insert into rides values (:n, 30, :t)"), rows)


class TestSqlite(WholeSuite):
    def change(self, place: Place) -> None:
        self.database.run("update rides set t = 'z' where n = 1")

    def remove(self, place: Place) -> None:
        self.database.run("delete from rides where n = 2")


class TestPostgres(TestSqlite):
    kind = "postgres"
    secret = SECRET


class TestMariadb(TestSqlite):
    kind = "mariadb"
    secret = SECRET


class TestSqliteByCursor(WholeSuite):
    cursor = "at"
    incremental = True


class TestPostgresByCursor(TestSqliteByCursor):
    kind = "postgres"
    secret = SECRET


class TestMariadbByCursor(TestSqliteByCursor):
    kind = "mariadb"
    secret = SECRET


class TestSqliteRowByRow(TestSqliteByCursor):
    """As without ADBC: a column of numbers and texts."""

    def begin(self, place: Place) -> None:
        super().begin(place)
        self.database.run("insert into rides values (4, 20, 1.25)", "insert into rides values (5, 20, x'00ff')")


_STEPS = st.lists(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("ab")), max_size=6), min_size=1, max_size=5)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS, most=st.sampled_from([0, 1, 1000]))
def test_rows_of_one_moment_are_read_once_each(steps: list[list[tuple[int, str]]], most: int, tmp_path: Path) -> None:
    """However many rows share the last value, are equal to others, and come in several goes."""
    place = Place("demand", tmp_path, tmp_path)
    path = tmp_path / f"{secrets.token_hex(4)}.db"
    source = Sql("select * from t", url=f"sqlite:///{path.name}", cursor="at")
    now, rows, past = 0, list[tuple[Any, ...]](), ()
    with closing(sqlite3.connect(path)) as connection, pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_TIES", most)
        connection.execute("create table t (at integer, t text)")
        for step in [[(1, "a")], *steps]:
            for later, text in step:
                now += later > 1
                connection.execute("insert into t values (?, ?)", (now, text))
            connection.commit()
            extract = source.read(place, since=past)
            new = collect(extract).rows()
            rows = new if extract.whole else rows + new
            assert sorted(rows) == sorted(connection.execute("select * from t").fetchall())
            past = tuple(extract.origins)
            assert past[0]["rows"] == len(rows)
    path.unlink()


def test_a_row_that_moved_up_comes_again(database: Database, place: Place) -> None:
    """As rows with a time of change do: whoever keeps them by a key replaces the old one."""
    database.run("create table t (n integer, at integer)", "insert into t values (1, 1), (2, 2), (3, 2)")
    source = Sql("select * from t", url="env:WAREHOUSE_URL", cursor="at")
    first = source.read(place)
    assert collect(first).height == 3
    database.run("update t set at = 3 where n = 2", "insert into t values (4, 2)")
    then = source.read(place, since=tuple(first.origins))
    assert sorted(collect(then).rows()) == [(2, 3), (4, 2)]
    assert not then.whole


@pytest.mark.parametrize(("kind", "earlier", "later"), [
    ("timestamp", "'2026-01-01 10:00:00.000001'", "'2026-01-01 10:00:00.000002'"),
    ("date", "'2026-01-01'", "'2026-01-02'"),
    ("numeric(30, 10)", "12345678901234567890.0000000001", "12345678901234567890.0000000002"),
    ("double precision", "0.1", "0.30000000000000004"),
    ("varchar(20)", "'a''b'", "'b\"c'"),
    ("timestamptz", "'2026-01-01 10:00:00.000001+02'", "'2026-01-01 10:00:00.000002+02'"),
])  # fmt: skip
def test_cursors_of_any_type(kind: str, earlier: str, later: str, database: Database, place: Place) -> None:
    mysql = database.engine.dialect.name == "mysql"
    if kind == "timestamptz" and database.engine.dialect.name != "postgresql":
        pytest.skip("only PostgreSQL has this type")
    if kind.startswith("numeric") and database.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no decimal numbers")
    kind = "datetime(6)" if mysql and kind == "timestamp" else kind
    database.run(f"create table t (n integer, at {kind})", f"insert into t values (1, {earlier}), (2, {earlier})")
    source = Sql("select * from t", url="env:WAREHOUSE_URL", cursor="at")
    first = source.read(place)
    assert collect(first)["n"].to_list() == [1, 2]
    stamp = source.stamp(place)
    assert source.stamp(place) == stamp
    database.run(f"insert into t values (3, {earlier})", f"insert into t values (4, {later})")
    assert source.stamp(place) != stamp
    second = source.read(place, since=tuple(first.origins))
    assert collect(second)["n"].to_list() == [3, 4]
    third = source.read(place, since=tuple(second.origins))
    assert collect(third).height == 0
    assert third.origins[0]["rows"] == 4


def test_postgres_types_lose_nothing(postgres: Database, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_URL", postgres.url)
    query = """
        select 7::int2 as i2, 9223372036854775807 as i8, 0.1::float4 as f4, 0.1::float8 as f8, true as b, 'ä; -- x' as t, '\\x00ff'::bytea as by,
          12.50::numeric as money, 1234567890.123456789012::numeric as long, 'NaN'::numeric as nan, null::numeric as no,
          '0188a3b5-9b1e-7c4d-8000-000000000001'::uuid as u, '{"a": [1, 2.50]}'::jsonb as j, '{"a":1}'::json as js,
          '2026-01-01 10:00:00.123456+02'::timestamptz as tz, '2026-01-01 10:00:00'::timestamp as ts, '2026-01-01'::date as d, '10:20:30.5'::time as tm,
          array[1, null, 3] as ai, array['x', 'y'] as at, array[1.50, 2]::numeric[] as an, '1 day 02:03:04'::interval as iv, '10.0.0.1/8'::inet as ip,
          point(1, 2) as p, 4294967295::oid as o, row(1, 'x') as r"""
    found = read(Sql(query, url="env:WAREHOUSE_URL"), place)
    assert found.row(0, named=True) == {
        "i2": 7, "i8": 9223372036854775807, "f4": pytest.approx(0.1), "f8": 0.1, "b": True, "t": "ä; -- x", "by": b"\x00\xff",
        "money": 12.5, "long": "1234567890.123456789012", "nan": pytest.approx(float("nan"), nan_ok=True), "no": None,
        "u": "0188a3b5-9b1e-7c4d-8000-000000000001", "j": '{"a": [1, 2.50]}', "js": '{"a":1}',
        "tz": datetime(2026, 1, 1, 8, 0, 0, 123456, UTC), "ts": datetime(2026, 1, 1, 10), "d": date(2026, 1, 1), "tm": time(10, 20, 30, 500000),
        "ai": [1, None, 3], "at": ["x", "y"], "an": ["1.50", "2"], "iv": "1 day 02:03:04", "ip": "10.0.0.1/8",
        "p": "(1,2)", "o": "4294967295", "r": "(1,x)",
    }  # fmt: skip


def test_mariadb_types_lose_nothing(mariadb: Database, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_URL", mariadb.url)
    mariadb.run(
        "create table t (n int, u bigint unsigned, m decimal(10, 2), l decimal(40, 20), d double, dt datetime(6), ts timestamp(6), da date, tm time, j json, "
        "by_ varbinary(10), b bit(3), e enum('x', 'y'), tx text character set utf8mb4)",
        "set time_zone = '+02:00'",
        "insert into t values (1, 18446744073709551615, 12.50, 12345678901234567890.12345678901234567890, 0.1, '2026-01-01 10:00:00.000001', "
        "'2026-01-01 10:00:00.5', '2026-01-01', '-25:00:01', '{\"a\": 1.50}', x'00ff', b'101', 'y', 'ä: 100%% ''x''')",
    )
    found = read(Sql("select t.*, ':n 50%' as literal from t", url="env:WAREHOUSE_URL"), place)
    assert found.row(0, named=True) == {
        "n": 1, "u": 18446744073709551615, "m": 12.5, "l": "12345678901234567890.12345678901234567890", "d": 0.1,
        "dt": datetime(2026, 1, 1, 10, 0, 0, 1), "ts": datetime(2026, 1, 1, 8, 0, 0, 500000), "da": date(2026, 1, 1), "tm": "-25:00:01",
        "j": '{"a": 1.50}', "by_": b"\x00\xff", "b": b"\x05", "e": "y", "tx": "ä: 100% 'x'", "literal": ":n 50%",
    }  # fmt: skip


def test_sqlite_values_of_any_type_in_any_column(sqlite: Database, place: Place) -> None:
    """ADBC would write six digits of the numbers that stand among texts."""
    sqlite.run("create table t (a, b, c, d)")
    with sqlite.engine.begin() as connection:
        connection.exec_driver_sql("insert into t values (?, ?, ?, ?)", [(1, "x", None, b"\xff")] * 3000)
        connection.exec_driver_sql("insert into t values (?, ?, ?, ?)", (0.1 + 0.2, 1 / 3, "late", b"t"))
    found = read(Sql("select * from t", url=sqlite.url), place)
    assert found.row(-1) == (0.1 + 0.2, "0.3333333333333333", "late", b"t")
    assert found.row(0) == (1.0, "x", None, b"\xff")
    assert found.height == 3001


def test_a_decimal_that_no_float_holds_makes_the_column_text(postgres: Database, place: Place) -> None:
    """Also when it comes after millions that fit."""
    query = "select i::numeric / 4 as n from generate_series(1, 300000) i union all select 0.12345678901234567"
    found = read(Sql(query, url=os.environ.setdefault("WAREHOUSE", postgres.url) and "env:WAREHOUSE"), place)
    assert found.dtypes == [pl.String]
    assert found["n"][-1] == "0.12345678901234567"


@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_what_fits_a_float_is_the_same_number(numbers: list[Any]) -> None:
    column = pl.Series("n", [f"{number:f}" for number in numbers], dtype=pl.String)
    if fits(column):
        from decimal import Decimal

        assert [Decimal(repr(number)) for number in floats(column)] == numbers


def test_one_moment_is_seen(database: Database, place: Place) -> None:
    """What is written while the rows pass by is of the next reading."""
    if database.engine.dialect.name == "sqlite":
        database.run("pragma journal_mode = wal")
    database.run("create table t (n integer, t varchar(4000))")
    with database.engine.begin() as connection:
        connection.execute(sa.text("insert into t values (:n, :t)"), [{"n": at, "t": "x" * 4000} for at in range(6000)])
    batches = Sql("select * from t", url="env:WAREHOUSE_URL").read(place).batches()
    rows = next(batches).height
    database.run("insert into t values (-1, 'late')", "update t set t = 'late'")
    for batch in batches:
        rows += batch.height
        assert "late" not in batch["t"]
    assert rows == 6000


@pytest.mark.parametrize(("query", "said"), [
    ("delete from t", "begins with 'delete'"),
    ("select 1; drop table t", "more than one statement"),
    ("/* select */ drop table t", "begins with 'drop'"),
    ("-- select\nupdate t set n = 1", "begins with 'update'"),
    ("", "begins with 'nothing'"),
    ("pragma user_version = 7", "begins with 'pragma'"),
])  # fmt: skip
def test_only_what_reads_is_a_query(query: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Sql(query, url="sqlite:///t.db")


def test_semicolons_and_comments_where_they_may_be() -> None:
    assert checked("select ';' as \";\" -- ; x\n ; ", of="") == "select ';' as \";\" -- ; x"
    assert checked("select $a$ ; $a$; /* ; */", of="") == "select $a$ ; $a$"
    assert checked("(with a as (select 1) select * from a)", of="")


def test_a_query_that_writes_all_the_same_writes_nothing(postgres: Database, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_URL", postgres.url)
    postgres.run(
        "create table t (n integer)",
        "create function f() returns int language sql as 'insert into t values (1) returning n'",
        "create sequence s",
    )
    for query in ("with gone as (insert into t values (1) returning n) select * from gone", "select f() as n", "select nextval('s') as n"):
        with pytest.raises(BadInput, match=r"the query writes|read-only|data-modifying"):
            read(Sql(query, url="env:WAREHOUSE_URL"), place)
    with postgres.engine.connect() as connection:
        assert connection.exec_driver_sql("select count(*) from t").scalar() == 0


def test_queries_end_as_they_may(database: Database, place: Place) -> None:
    database.run("create table t (n integer)", "insert into t values (1), (2)")
    for query in (
        "select n from t where n > 0 -- all of them",
        "with a as (select n from t) select n from a;",
        "select n from t order by n /* : % */",
    ):
        assert sorted(read(Sql(query, url="env:WAREHOUSE_URL", cursor="n"), place)["n"]) == [1, 2]
        assert sorted(read(Sql(query, url="env:WAREHOUSE_URL"), place)["n"]) == [1, 2]
        Sql(query, url="env:WAREHOUSE_URL").stamp(place)


def test_names_as_they_are_written(database: Database, place: Place) -> None:
    mysql = database.engine.dialect.name == "mysql"
    name, column = 'Odd "Rides" `x`', "From: To %"
    mark = "`" if mysql else '"'
    odd = name.replace(mark, mark * 2)
    database.run(
        f"create table {mark}{odd}{mark} ({mark}{column}{'' if database.engine.dialect.name == 'sqlite' else '%'}{mark} integer, at integer)"
    )
    database.run(f"insert into {mark}{odd}{mark} values (7, 1)")
    for cursor in (None, "at", column):
        source = Sql.table(name, url="env:WAREHOUSE_URL", cursor=cursor)
        assert read(source, place).to_dict(as_series=False) == {column: [7], "at": [1]}
        assert source.stamp(place) == source.stamp(place)


def test_what_is_wrong_with_a_query_is_a_sentence(database: Database, place: Place) -> None:
    database.run("create table rides (n integer)", "insert into rides values (1), (null)")
    url = "env:WAREHOUSE_URL"
    for query, error, said in (
        ("select * from ridez", NotFound, "ridez"),
        ("select m from rides", NotFound, "m"),
        ("select * frm rides", BadInput, "syntax|frm"),
        ("select n, n from rides", BadInput, "columns named 'n'|Name each one apart|Duplicate"),
        ("select n from rides where 1 = 0", BadInput, "gives no rows"),
    ):
        with pytest.raises(error, match=said) as raised:
            read(Sql(query, url=url), place)
        assert SECRET not in str(raised.value)
        assert "\n" not in str(raised.value)
    with pytest.raises(BadInput, match="1 rows have no n"):
        read(Sql("select * from rides", url=url, cursor="n"), place)
    with pytest.raises(NotFound, match="m"):
        read(Sql("select * from rides", url=url, cursor="m"), place)


def test_a_stamp_query_decides(database: Database, place: Place) -> None:
    database.run("create table t (n integer)", "insert into t values (1)")
    source = Sql("select * from t", url="env:WAREHOUSE_URL", stamp_query="select max(n) from t")
    before = source.stamp(place)
    database.run("insert into t values (0)")
    assert source.stamp(place) == before
    database.run("insert into t values (2)")
    assert source.stamp(place) != before


def test_a_new_column_is_read_for_old_rows_too(database: Database, place: Place) -> None:
    database.run("create table t (n integer)", "insert into t values (1)")
    source = Sql("select * from t", url="env:WAREHOUSE_URL", cursor="n")
    first = source.read(place)
    collect(first)
    database.run("alter table t add column m integer default 5", "insert into t values (2, 6)")
    second = source.read(place, since=tuple(first.origins))
    assert collect(second).to_dict(as_series=False) == {"n": [1, 2], "m": [5, 6]}
    assert second.whole


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_servers_that_do_not_let_us_in(kind: str, request: pytest.FixtureRequest, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    database: Database = request.getfixturevalue(kind)
    url = sa.make_url(database.url)
    monkeypatch.setattr(retry, "TRIES", 2)
    for wrong, error, said in (
        (url.set(database="no_such_db", username=url.username), (NotFound, BadInput), "no_such_db"),
        (url.set(port=1), Busy, r"does not answer as it should .*\(2 tries\)"),
        (url.set(username="no_such_user"), BadInput, "does not let us in"),
        (url.set(password="wrong-" + SECRET), BadInput, "does not let us in"),
    ):
        if kind == "postgres" and wrong.password != SECRET:
            continue  # the throw-away server trusts everybody
        monkeypatch.setenv("WAREHOUSE_URL", wrong.render_as_string(hide_password=False))
        for ask in (
            lambda: Sql.table("t", url="env:WAREHOUSE_URL").stamp(place),
            lambda: read(Sql.table("t", url="env:WAREHOUSE_URL"), place),
        ):
            with pytest.raises(error, match=said) as raised:
                ask()
            assert SECRET not in str(raised.value)


@contextmanager
def strict_about(user: str | None, server: sa.Engine) -> Iterator[None]:
    """The throw-away server trusts everybody, until its own settings say otherwise of this user."""
    with server.connect() as connection:
        file, text = connection.exec_driver_sql("select current_setting('hba_file'), pg_read_file(current_setting('hba_file'))").one()

    def write(*more: str) -> None:
        rows = [*more, *(line for line in text.splitlines() if line and not line.startswith("#"))]
        values = ", ".join(f"({at}, '{row}')" for at, row in enumerate(rows))
        with server.connect() as connection:
            before = connection.exec_driver_sql("select pg_conf_load_time()").scalar()
            connection.exec_driver_sql(f"copy (select r from (values {values}) v(i, r) order by i) to '{file}'")
            connection.exec_driver_sql("select pg_reload_conf()")
        for _ in range(500):
            with server.connect() as connection:
                if connection.exec_driver_sql("select pg_conf_load_time()").scalar() != before:
                    return
            clock.sleep(0.01)
        raise AssertionError("the server does not take its new settings")

    write(f"host all {user} 127.0.0.1/32 scram-sha-256")
    try:
        yield
    finally:
        write()


def test_a_wrong_password_of_postgres(postgres: Database, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    url = sa.make_url(postgres.url)
    server = sa.create_engine(os.environ["EVERLOOP_TEST_POSTGRES"], isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    postgres.run("create table t (n integer)", "insert into t values (1)")
    source = Sql.table("t", url="env:WAREHOUSE_URL")
    with strict_about(url.username, server):
        monkeypatch.setenv("WAREHOUSE_URL", url.render_as_string(hide_password=False))
        assert read(source, place).height == 1
        for password in ("wrong-" + SECRET, None):
            monkeypatch.setenv("WAREHOUSE_URL", url._replace(password=password).render_as_string(hide_password=False))
            for ask in (source.stamp, lambda place: read(source, place)):
                with pytest.raises(BadInput, match=r"does not let us in .*PGPASSWORD") as raised:
                    ask(place)
                assert SECRET not in str(raised.value)
        monkeypatch.setenv("PGPASSWORD", SECRET)
        monkeypatch.setenv("WAREHOUSE_URL", url._replace(password=None).render_as_string(hide_password=False))
        assert read(source, place).height == 1


def _killer(database: Database) -> Callable[[], None]:
    if database.engine.dialect.name == "postgresql":
        return lambda: database.run(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()"
        )

    def kill() -> None:
        with database.engine.connect() as connection:
            for row in connection.exec_driver_sql("show processlist").fetchall():
                if row[3] == database.engine.url.database and row[0] != connection.exec_driver_sql("select connection_id()").scalar():
                    connection.exec_driver_sql(f"kill {row[0]}")

    return kill


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_a_connection_killed_in_the_middle(
    kind: str, request: pytest.FixtureRequest, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing half: whoever reads is asked to begin again, and told after some times that it is no use."""
    database: Database = request.getfixturevalue(kind)
    monkeypatch.setenv("WAREHOUSE_URL", database.url)
    text = "text" if kind == "postgres" else "mediumtext"
    database.run(f"create table t (n integer, t {text})")
    with database.engine.begin() as connection:
        connection.execute(sa.text("insert into t values (:n, :t)"), [{"n": at, "t": secrets.token_hex(20_000)} for at in range(2500)])
    kill = _killer(database)
    extract = Sql("select * from t", url="env:WAREHOUSE_URL").read(place)
    for at in range(reading._TRIES):
        batches = extract.batches()
        next(batches)
        kill()
        with pytest.raises(Restart if at + 1 < reading._TRIES else Busy) as raised:
            list(batches)
        assert extract.origins == []
        assert SECRET not in str(raised.value)
    assert sum(batch.height for batch in extract.batches()) == 2500


def test_infinite_times_are_refused(postgres: Database, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_URL", postgres.url)
    for kind in ("timestamp", "date", "timestamptz"):
        with pytest.raises(BadInput, match=r"'at' has a time .* infinite|out of range|overflow"):
            read(Sql(f"select 'infinity'::{kind} as at", url="env:WAREHOUSE_URL"), place)


def test_files_that_are_no_databases(place: Place) -> None:
    (place.project / "notes.db").write_text("no database " * 100)
    with pytest.raises(BadInput, match="no sound SQLite database"):
        read(Sql.table("t", url="sqlite:///notes.db"), place)
    with pytest.raises(NotFound, match=r"no file .*Did you mean 'notes.db'"):
        read(Sql.table("t", url="sqlite:///note.db"), place)
    with pytest.raises(BadInput, match="in memory"):
        read(Sql.table("t", url="sqlite://"), place)


def test_a_locked_database_is_waited_for(sqlite: Database, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """By another process: within one, two copies of SQLite do not see each other's locks."""
    sqlite.run("create table t (n integer)", "insert into t values (1)")
    monkeypatch.setattr(retry, "TRIES", 2)
    monkeypatch.setattr(module, "_LOCKED_S", 0.01)
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('begin exclusive'); print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, sqlite.url.removeprefix("sqlite:///")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(Busy, match="locked"):
            read(Sql.table("t", url=sqlite.url), place)
        other.communicate()
    assert read(Sql.table("t", url=sqlite.url), place).height == 1


@pytest.mark.parametrize(
    "url", [f"postgresql://me:{SECRET}@host/db", f"mysql://host/db?password={SECRET}", f"postgresql://host/db?sslpassword={SECRET}"]
)
def test_a_password_is_named_not_written(url: str) -> None:
    with pytest.raises(BadInput, match="env:NAME") as raised:
        Sql.table("t", url=url)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("url", ["oracle+nosuch://h/d", "nosuch://host/db", "rides.db"])
def test_urls_nobody_knows(url: str, place: Place) -> None:
    with pytest.raises(Exception, match=r"no dialect|no scheme|Install") as raised:
        read(Sql.table("t", url=url), place)
    assert type(raised.value).__module__ == "everloop.core.errors"
