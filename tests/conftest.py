"""Shared by all tests: where the real data is, if it is anywhere, and a fresh database of each kind."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import settings

# Whether a change lands must not hang on what a search happens to find that day; everybody else's runs go on searching.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real data sets; the test is skipped where there is none."""
    folder = Path(os.environ.get("EVERLOOP_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; EVERLOOP_TEST_DATA can name another folder")
    return folder


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long stories first, so that the cores finish together."""
    long = ("test_ring_crash", "test_demo_story", "test_cli_newcomer", "test_server_scheduler")
    items.sort(key=lambda item: not item.nodeid.rpartition("/")[2].startswith(long))
