"""A change of what a step was given is noticed; use that changes nothing is not mistaken for one."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.engine import paths
from everloop.engine.code import Code
from everloop.engine.keys import key
from everloop.engine.surroundings import surroundings
from everloop.engine.watch import changed, watch

CODE = Code("", {})


class Model:
    def __init__(self) -> None:
        self.weights = [1.0]


class Handle:
    """Like a step's: its form is its output, which is not known before the step has run."""

    output = ""

    def __canonical__(self, inside_object: bool, form: object) -> object:
        assert self.output
        return ["input", self.output]


def after(params: dict[str, Any], action: Any) -> list[str]:
    watched = key("fit", CODE, params).watched
    assert changed(watched, params) == []
    action()
    return changed(watched, params)


def test_values_that_were_changed_in_place() -> None:
    rows, table, array, model, deep = [1, 2], pl.DataFrame({"a": [1]}), np.zeros(3), Model(), {"a": ({"b": [1]},)}
    params = {"rows": rows, "table": table, "array": array, "model": model, "deep": deep, "n": 3, "words": ("a", "b")}

    assert after(params, lambda: rows.append(3)) == ["parameter rows"]
    assert after(params, lambda: table.insert_column(0, pl.Series("b", [1]))) == ["parameter table"]
    assert after(params, lambda: array.__setitem__(0, 1.0)) == ["parameter array"]
    assert after(params, lambda: model.weights.append(2.0)) == ["parameter model"]
    assert after(params, lambda: deep["a"][0]["b"].append(2)) == ["parameter deep"]
    assert after(params, lambda: rows.append(threading_lock())) == ["parameter rows"]


def threading_lock() -> object:
    import threading

    return threading.Lock()


def test_what_cannot_change_is_not_looked_at_again() -> None:
    params = {"n": 1, "x": 1.5, "word": "a", "pair": (1, ("b", frozenset({2}))), "function": len, "none": None}
    watched = key("fit", CODE, params).watched
    assert watched.forms == {}
    assert watched.files == {}


def test_a_generator_of_random_numbers_that_was_used() -> None:
    chance = np.random.default_rng(1)
    assert after({"chance": chance}, chance.random) == ["parameter chance"]


def test_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    file, folder, absent = tmp_path / "a.csv", tmp_path / "data", tmp_path / "out.csv"
    file.write_text("1")
    (folder / "part").write_text("1")
    params: dict[str, Any] = {"path": file, "source": [folder], "out": absent, "settings": {"path": file, "n": 1}}

    assert after(params, lambda: file.write_text("2")) == [f"file {file}"]
    assert after(params, lambda: (folder / "new").write_text("1")) == [f"folder {folder}"]
    assert after(params, lambda: absent.write_text("1")) == [f"file {absent}"]
    assert after(params, file.unlink) == [f"file {file}"]
    assert after(params, lambda: params["settings"].update(n=2)) == ["parameter settings"]


def test_a_file_is_followed_when_the_body_changes_its_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_text("1")
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path)
    params = {"path": Path("a.csv"), "here": Path("."), "absent": Path("b.csv"), "listed": [Path("a.csv")]}
    watched = key("fit", CODE, params).watched
    monkeypatch.chdir(tmp_path / "else")
    assert changed(watched, params) == []
    (tmp_path / "a.csv").write_text("2")
    assert changed(watched, params) == ["file a.csv", "folder ."]


def test_declared_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text("1")
    watched = key("fit", CODE, {}, surroundings=surroundings(["*.yaml"], ["REGION"], tmp_path)).watched
    assert changed(watched, {}) == []
    (tmp_path / "b.yaml").write_text("1")
    monkeypatch.setenv("REGION", "south")
    assert sorted(changed(watched, {})) == ["environment REGION", "file b.yaml"]


def test_handles_need_not_be_done() -> None:
    """Between the call and the key the content of a handle becomes known: that is no change; another handle in the list is one."""
    one, other = Handle(), Handle()
    params: dict[str, Any] = {"scores": [one, other], "one": one, "rows": [1]}
    watched = watch(params)
    one.output, other.output = "a", "b"
    assert changed(watched, params) == []
    keyed = key("best", CODE, params).watched
    assert changed(keyed, params) == []
    params["scores"].append(other)
    assert changed(watched, params) == changed(keyed, params) == ["parameter scores"]
    params["rows"].append(1)
    assert changed(watched, params) == ["parameter scores", "parameter rows"]


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.integers() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
        max_leaves=8,
    ),
    st.data(),
)
def test_any_change_in_a_nested_value_is_noticed(value: Any, data: st.DataObject) -> None:
    params = {"value": [value]}
    watched = key("fit", CODE, params).watched
    places: list[Any] = []
    todo: list[Any] = [params["value"]]
    while todo:
        item = todo.pop()
        if isinstance(item, list | dict):
            places.append(item)
            todo += item if isinstance(item, list) else item.values()
    place = data.draw(st.sampled_from(range(len(places))))
    assert changed(watched, params) == []
    if isinstance(places[place], list):
        places[place].append("new")
    else:
        places[place]["new"] = 1
    assert changed(watched, params) == ["parameter value"]


def test_a_file_that_stayed_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(b"1" * 1000)
    read: list[str] = []
    real = paths.hashlib.file_digest
    monkeypatch.setattr(paths.hashlib, "file_digest", lambda file, kind: read.append(file.name) or real(file, kind))
    first = paths.file_digest(path)
    # It was written a moment ago, so that a second writing might not show in its times.
    assert paths.file_digest(path) == first
    assert len(read) == 2
    monkeypatch.setattr(paths, "_TICK_S", -3600.0)
    assert [paths.file_digest(path) for _ in range(3)] == [first] * 3
    assert len(read) == 3
    status = path.stat()
    path.write_bytes(b"2" * 1000)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    # Same size, and its time was set back: the time of that is on record too.
    assert paths.file_digest(path) != first


def test_writing_at_any_moment_is_noticed(tmp_path: Path) -> None:
    """Many writings of one length within the tick of a clock."""
    path = tmp_path / "a"
    chance = random.Random(1)
    for _ in range(300):
        content = f"{chance.randrange(1000):03}"
        path.write_text(content)
        watched = key("fit", CODE, {"path": path}).watched
        other = f"{chance.randrange(1000):03}"
        path.write_text(other)
        assert (changed(watched, {"path": path}) == []) == (other == content)


def test_immutable_tables_are_not_hashed_again() -> None:
    table = pa.table({"a": [1]})
    assert key("fit", CODE, {"table": table}).watched.forms == {}
