"""Each test of the store runs on SQLite and on PostgreSQL, on a fresh database of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests_store_programs import Process

from everloop.store.database import Database
from everloop.store.workspace import Workspace

Spawn = Callable[..., Process]


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
