"""Each test of the store runs on SQLite and on PostgreSQL, on a fresh database of its own."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests_store_programs import Process

from everloop.store.database import Database
from everloop.store.workspace import Workspace

Spawn = Callable[..., Process]


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/everloop.db"
        return
    server = os.environ.get("EVERLOOP_TEST_POSTGRES")
    if not server:
        pytest.skip("EVERLOOP_TEST_POSTGRES names no server; tests/postgres.sh starts one")
    name = f"everloop_{secrets.token_hex(6)}"
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE template0")
    try:
        yield sa.make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        admin.dispose()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def workspace(tmp_path: Path, database_url: str) -> Iterator[Workspace]:
    with Workspace(tmp_path / "project", database_url=database_url, blobs=str(tmp_path / "blobs"), home=tmp_path / "home") as opened:
        yield opened


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Starts real processes that run a function of `tests_store_programs`; whatever is left of them ends with the test."""
    started: list[Process] = []

    def start(function: Callable[..., None], *arguments: object) -> Process:
        started.append(Process(function, *arguments))
        return started[-1]

    yield start
    for process in started:
        process.end()
