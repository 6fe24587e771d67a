from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests_store_programs import deploy, register

from everloop.core.errors import Conflict, NotFound
from everloop.core.live import Deployment
from everloop.core.models import Version
from everloop.store import registry
from everloop.store.database import Database


def version(loop: str, name: str) -> Version:
    return Version(loop=loop, candidate=f"candidate-{name}", evaluation="e", verdict="v")


def test_versions_are_numbered_by_loop_and_registered_once(database: Database) -> None:
    with database.write() as tx:
        first = registry.register(tx, version("a", "1"), model="m", run="r")
        second = registry.register(tx, version("a", "2"), model="m", run="r")
        other = registry.register(tx, version("b", "1"), model="m", run="r")
        again = registry.register(tx, version("a", "1"), model="m", run="later")
    assert (first.number, second.number, other.number) == (1, 2, 1)
    assert again == first
    with database.write() as tx:
        registry.note_tracker_run(tx, "a", 1, "t")
        assert registry.get(tx, "a", 1).tracker_run == "t"
        assert [entry.name for entry in registry.find(tx)] == ["a/1", "a/2", "b/1"]
        assert [entry.name for entry in registry.find(tx, loop="a", candidate="candidate-2")] == ["a/2"]


def test_processes_that_register_at_once_get_numbers_without_gaps(database_url: str, database: Database, spawn: Callable[..., Any]) -> None:
    for process in [spawn(register, database_url, name) for name in "abc"]:
        process.done()
    with database.read() as tx:
        assert [entry.number for entry in registry.find(tx, loop="a")] == list(range(1, 41))


def test_a_deployment_replaces_only_the_one_that_was_seen(database: Database) -> None:
    with database.write() as tx:
        empty = registry.deployment(tx, "a")
        assert empty == Deployment(loop="a")
        first = registry.deploy(tx, Deployment(loop="a", champion=1, since=1.5), replacing=empty)
    assert (first.revision, first.champion) == (1, 1)
    with database.write() as tx:
        with pytest.raises(Conflict, match=r"revision 1, not 0"):
            registry.deploy(tx, Deployment(loop="a", champion=2), replacing=empty)
        second = registry.deploy(tx, msgspec.structs.replace(first, challenger=2, stage="canary", share=0.1), replacing=first)
    with database.read() as tx:
        assert registry.deployment(tx, "a") == second
        assert registry.loops(tx) == ["a"]


def test_of_processes_that_deploy_at_once_one_wins_each_revision(database_url: str, database: Database, spawn: Callable[..., Any]) -> None:
    processes = [spawn(deploy, database_url) for _ in range(3)]
    won = sum(process.hear() for process in processes)
    with database.read() as tx:
        assert registry.deployment(tx, "a").revision == won > 0


def test_aliases_and_numbers(database: Database) -> None:
    with database.write() as tx:
        with pytest.raises(NotFound, match="Model 'a' does not exist"):
            registry.by_alias(tx, "a", "champion")
        one, two = (registry.register(tx, version("a", name), model="m", run="r") for name in "12")
        with pytest.raises(NotFound, match="has no champion now"):
            registry.by_alias(tx, "a", "champion")
        registry.deploy(tx, Deployment(loop="a", champion=1, challenger=2), replacing=Deployment(loop="a"))
        assert registry.by_alias(tx, "a", "champion") == registry.by_alias(tx, "a", "1") == one
        assert registry.by_alias(tx, "a", "challenger") == two
        with pytest.raises(NotFound, match="Did you mean 'champion'"):
            registry.by_alias(tx, "a", "champoin")
        for absent in ("3", "0", "9" * 30, "²", "-1", ""):
            with pytest.raises(NotFound):
                registry.by_alias(tx, "a", absent)


def test_cursors_move_on(database: Database) -> None:
    with database.write() as tx:
        assert registry.cursor(tx, "a", "windows") == {}
        registry.put_cursor(tx, "a", "windows", {"s": 1})
        registry.put_cursor(tx, "a", "windows", {"s": 2, "t": {"u": [1]}})
        registry.put_cursor(tx, "a", "other", {"s": 9})
        assert registry.cursor(tx, "a", "windows") == {"s": 2, "t": {"u": [1]}}
