from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests_store_programs import lease_again_and_again, lease_and_fork, lease_for_ever

from everloop.core.errors import Broken, Busy
from everloop.store.leases import Leases
from everloop.store.workspace import Workspace


def where(workspace: Workspace) -> tuple[Path, str]:
    return workspace.home, workspace.database_url


def take_in_time(leases: Leases, key: str, timeout_s: float = 20) -> bool:
    deadline = time.monotonic() + timeout_s
    while not (taken := leases.take(key)) and time.monotonic() < deadline:
        time.sleep(0.005)
    return taken


def test_one_has_it_until_it_is_given_back(workspace: Workspace) -> None:
    first, second = Leases(workspace), Leases(workspace)
    assert first.take("a")
    assert first.take("b")
    assert not second.take("a")
    assert second.take("c")
    first.give("a")
    assert second.take("a")
    assert not first.take("a")
    first.close()
    assert second.take("b")
    second.close()
    assert list((workspace.home / "locks").glob("*")) == []


def test_closed_leases_can_be_taken_by_the_next(workspace: Workspace) -> None:
    for _ in range(3):
        leases = Leases(workspace)
        assert leases.take("a")
        leases.close()
        leases.close()


def test_to_take_what_is_ours_is_a_mistake(workspace: Workspace) -> None:
    leases = Leases(workspace)
    assert leases.take("a")
    with pytest.raises(RuntimeError, match="'a' is ours already"):
        leases.take("a")
    leases.give("a")
    with pytest.raises(KeyError):
        leases.give("a")
    leases.close()


def test_a_lease_ends_with_its_process(workspace: Workspace, spawn: Callable[..., Any]) -> None:
    leases = Leases(workspace)
    holder = spawn(lease_for_ever, *where(workspace), "a")
    assert holder.hear() is True
    assert not leases.take("a")
    holder.kill()
    assert take_in_time(leases, "a")
    leases.close()


def test_a_child_of_a_fork_does_not_keep_the_lease_of_its_dead_parent(workspace: Workspace, spawn: Callable[..., Any]) -> None:
    leases = Leases(workspace)
    parent = spawn(lease_and_fork, *where(workspace), "a")
    try:
        assert parent.hear() == "held"
        assert not leases.take("a")
        parent.kill()
        assert take_in_time(leases, "a")
    finally:
        (workspace.home / "over").touch()  # lets the child end
        leases.close()


def test_never_two_at_once(workspace: Workspace, tmp_path: Path, spawn: Callable[..., Any]) -> None:
    """The file goes away each time the lease is given back: who waits on a file that is gone must not believe that it has the lease."""
    processes = [spawn(lease_again_and_again, *where(workspace), "a", tmp_path / "inside", 150) for _ in range(4)]
    assert [process.hear() for process in processes] == [150] * 4


def test_a_folder_that_cannot_be_written_is_broken(tmp_path: Path) -> None:
    with Workspace(tmp_path) as workspace:
        (workspace.home / "locks").write_bytes(b"")
        with pytest.raises(Broken, match="locks cannot be written"):
            Leases(workspace).take("a")


def test_a_lost_connection_is_said_once_and_made_anew(workspace: Workspace) -> None:
    if workspace.database.is_sqlite:
        pytest.skip("a file needs no connection")
    leases, other = Leases(workspace), Leases(workspace)
    assert leases.take("a")
    with workspace.write() as tx:
        tx.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid() AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
    assert take_in_time(other, "a")
    with pytest.raises(Busy, match=r"connection to .* was lost"):
        leases.take("b")
    assert leases.take("b")
    leases.give("a")  # it is not ours any more, and stays with who has it
    third = Leases(workspace)
    assert not third.take("a")
    for each in (leases, other, third):
        each.close()
