"""Results kept in memory stay within a limit, and are never what somebody could have changed."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.engine import artifacts
from everloop.engine.artifacts import Artifact
from everloop.engine.memory import Memory
from everloop.store.blobs import Blobs


def kept(folder: Path, value: object) -> Artifact:
    return artifacts.save(Blobs(str(folder), cache=folder / "cache"), value)[0]


def test_what_was_used_last_stays(tmp_path: Path) -> None:
    tables = [pl.DataFrame({"x": range(1000 * number, 1000 * number + 1000)}) for number in range(4)]
    found = [kept(tmp_path, table) for table in tables]
    memory = Memory(limit_bytes=3 * artifacts.size_of(tables[0]))
    for artifact, table in zip(found[:3], tables[:3], strict=True):
        memory.put(artifact, table)
    assert memory.get(found[0]) is not None
    memory.put(found[3], tables[3])
    assert memory.get(found[1]) is None
    assert [memory.get(artifact) is not None for artifact in found] == [True, False, True, True]


def test_too_large_for_it_is_not_kept(tmp_path: Path) -> None:
    table = pl.DataFrame({"x": range(1000)})
    memory = Memory(limit_bytes=artifacts.size_of(table) - 1)
    artifact = kept(tmp_path, table)
    memory.put(artifact, table)
    assert memory.get(artifact) is None


def test_a_list_that_its_maker_may_still_change_is_loaded_anew(tmp_path: Path) -> None:
    values = [1, 2]
    memory = Memory()
    artifact = kept(tmp_path, values)
    memory.put(artifact, values)
    assert memory.get(artifact) is None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 50)), max_size=60))
@settings(deadline=None)
def test_never_above_the_limit(puts: list[tuple[int, int]]) -> None:
    memory = Memory(limit_bytes=300)
    for name, length in puts:
        memory.put(Artifact("json", str(name), ""), "x" * length)
        assert sum(size for _, size in memory._values.values()) == memory._bytes <= 300
