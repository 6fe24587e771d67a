"""What a step returns comes back as it was, whatever its type."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.errors import BadInput, Broken
from everloop.core.verdict import Verdict
from everloop.engine import artifacts
from everloop.engine.artifacts import Artifact
from everloop.engine.formats.plain import from_json, to_json
from everloop.store import records
from everloop.store.workspace import Workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with Workspace(tmp_path_factory.mktemp("artifacts")) as opened:
        yield opened


def keep(workspace: Workspace, value: object) -> Artifact:
    artifact, kept = artifacts.save(workspace.blobs, value)
    with workspace.write() as tx:
        records.keep(tx, *kept)
        assert artifacts.present(tx, workspace.blobs, artifact)
    return artifact


def back(workspace: Workspace, value: object) -> tuple[str, Any]:
    artifact = keep(workspace, value)
    with workspace.read() as tx:
        return artifact.type, artifacts.load(tx, workspace.blobs, artifact)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=4) | st.just("$tuple") | st.integers(), inner, max_size=3)
        | st.frozensets(st.integers() | st.text(max_size=3), max_size=3)
        | st.sets(st.integers(), max_size=3)
    ),
    max_leaves=8,
)


def exactly(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return (type(value), [exactly(item) for item in value])
    if isinstance(value, dict):
        return (dict, [(exactly(name), exactly(item)) for name, item in value.items()])
    if isinstance(value, set | frozenset):
        return (type(value), value)
    return (type(value), repr(value))


@settings(max_examples=300, deadline=None)
@given(plain)
def test_plain_values_keep_their_exact_types(value: object) -> None:
    import json

    text = json.dumps(to_json(value), allow_nan=False)
    assert exactly(from_json(json.loads(text))) == exactly(value)


def test_plain_values_are_json(workspace: Workspace) -> None:
    for value in [None, 1, 1.0, "a", [1, (2, {3})], {"a": {1: b"x"}}, {"$tuple": [1]}, math.inf, 2**80, {}, []]:
        kind, loaded = back(workspace, value)
        assert (kind, exactly(loaded)) == ("json", exactly(value))


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame({"a": [1, None], "b": ["x", "é"], "c": [1.5, float("nan")]}),
        pl.DataFrame({"a": [[1, 2], None], "s": [{"x": 1}, {"x": 2}]}),
        pl.DataFrame({"c": ["a", "b"]}, schema={"c": pl.Categorical}),
        pl.DataFrame({"c": ["a", "b"]}, schema={"c": pl.Enum(["b", "a"])}),
        pl.DataFrame({"t": [datetime.datetime(2026, 1, 1)], "d": [datetime.date(2026, 1, 1)], "e": [datetime.timedelta(1)]}),
        pl.DataFrame({"n": [None, None]}),
        pl.DataFrame({"a": []}, schema={"a": pl.Int8}),
        pl.DataFrame(),
        pl.DataFrame({"i": [1]}, schema={"i": pl.Decimal(10, 2)}),
    ],
)
def test_polars(workspace: Workspace, frame: pl.DataFrame) -> None:
    kind, loaded = back(workspace, frame)
    assert kind in ("table", "pickle")
    assert loaded.schema == frame.schema
    assert loaded.equals(frame, null_equal=True)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": [1, 2], "b": ["x", None]}),
        pd.DataFrame({"a": [1.0, 2.0]}, index=pd.Index(["p", "q"], name="key")),
        pd.DataFrame({"c": pd.Categorical(["a", "b"], ordered=True), "t": pd.to_datetime(["2026-01-01", None])}),
        pd.DataFrame([[1, 2], [3, 4]]),
        pd.DataFrame({"mixed": [1, "a"]}),
        pd.DataFrame({("a", "b"): [1]}),
        pd.DataFrame({"a": [1]}).rename_axis(columns="names"),
        pd.DataFrame({"a": [(1, 2)]}),
    ],
)
def test_pandas(workspace: Workspace, frame: pd.DataFrame) -> None:
    kind, loaded = back(workspace, frame)
    assert kind in ("pandas", "pickle")
    pd.testing.assert_frame_equal(loaded, frame)
    assert [list(map(type, loaded[name])) for name in loaded] == [list(map(type, frame[name])) for name in frame]


def test_common_frames_are_no_pickles(workspace: Workspace) -> None:
    assert back(workspace, pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}))[0] == "pandas"
    assert back(workspace, pl.DataFrame({"a": [1], "b": ["x"]}))[0] == "table"


def test_arrow(workspace: Workspace) -> None:
    table = pa.table({"a": pa.array([1, None], pa.int8()), "b": ["x", "y"]}).replace_schema_metadata({"k": "v"})
    kind, loaded = back(workspace, table)
    assert kind == "arrow"
    assert loaded.equals(table, check_metadata=True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.arange(6).reshape(2, 3), "array"),
        (np.asfortranarray(np.arange(6.0).reshape(2, 3)), "array"),
        (np.array(5, dtype=np.int16), "array"),
        (np.array(["a", "bc"]), "array"),
        (np.array([], dtype=np.float32), "array"),
        (np.float32(1.5), "scalar"),
        (np.datetime64("2026-01-01"), "scalar"),
        (np.array([1, "a"], dtype=object), "pickle"),
        (np.array([(1, 2.0)], dtype=[("i", "i1"), ("x", "f8")]), "pickle"),
    ],
)
def test_numpy(workspace: Workspace, value: Any, expected: str) -> None:
    kind, loaded = back(workspace, value)
    assert kind == expected
    assert type(loaded) is type(value)
    assert loaded.dtype == value.dtype
    assert np.array_equal(loaded, value)


def test_record(workspace: Workspace) -> None:
    verdict = Verdict(question="q", about="")
    artifact = keep(workspace, verdict)
    assert artifact == Artifact("record", verdict.id, "")
    assert back(workspace, verdict) == ("record", verdict)


def test_members_of_a_bundle_are_kept_by_their_own_type(workspace: Workspace) -> None:
    verdict = Verdict(question="in a bundle", about="")
    value = {"verdict": verdict, "tables": (pl.DataFrame({"a": [1]}), np.arange(2)), "n": [1, (2,)]}
    artifact = keep(workspace, value)
    kind, loaded = back(workspace, value)
    assert kind == "bundle"
    assert loaded["verdict"] == verdict
    assert isinstance(loaded["tables"], tuple)
    assert loaded["tables"][0].equals(value["tables"][0])
    assert loaded["n"] == [1, (2,)]
    with workspace.read() as tx:
        assert records.load(tx, verdict.id, Verdict) == verdict
    (workspace.home / "blobs" / artifact.blob[:2] / artifact.blob).unlink()
    with workspace.read() as tx:
        assert not artifacts.present(tx, workspace.blobs, artifact)


def test_file_and_folder(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "model" / "deep").mkdir(parents=True)
    (tmp_path / "model" / "deep" / "weights.bin").write_bytes(b"\x00\x01")
    kind, folder = back(workspace, tmp_path / "model")
    assert kind == "folder"
    assert (folder / "deep" / "weights.bin").read_bytes() == b"\x00\x01"
    kind, file = back(workspace, tmp_path / "model" / "deep" / "weights.bin")
    assert kind == "file"
    assert (file.name, file.read_bytes()) == ("weights.bin", b"\x00\x01")
    assert workspace.home in file.parents
    with pytest.raises(BadInput, match="does not exist"):
        keep(workspace, tmp_path / "nothing")


class Thing:
    def __init__(self, content: object) -> None:
        self.content = content

    def method(self) -> object:
        return self.content


def test_anything_else_is_a_pickle_bound_to_the_code_of_its_classes(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = keep(workspace, Thing(3))
    kind, loaded = back(workspace, Thing(3))
    assert (kind, loaded.method()) == ("pickle", 3)
    assert keep(workspace, Thing(3)).output == artifact.output
    monkeypatch.setattr(Thing, "method", lambda self: "changed")
    changed = keep(workspace, Thing(3))
    assert changed.blob == artifact.blob
    assert changed.output != artifact.output


def test_a_changed_pickle_is_not_read(workspace: Workspace) -> None:
    artifact = keep(workspace, Thing("precious"))
    path = workspace.home / "blobs" / artifact.blob[:2] / artifact.blob
    path.write_bytes(path.read_bytes().replace(b"precious", b"poisoned"))
    with pytest.raises(Broken, match="changed after it was written"), workspace.read() as tx:
        artifacts.load(tx, workspace.blobs, artifact)


def test_what_cannot_be_kept(workspace: Workspace) -> None:
    for value in [(x for x in [1]), [1, (x for x in [1])]]:
        with pytest.raises(BadInput, match=r"builtins\.generator cannot be stored"):
            keep(workspace, value)


def test_content_names_the_output_not_the_bytes(workspace: Workspace) -> None:
    frame = pl.DataFrame({"a": [1, 2, 3]})
    assert keep(workspace, pl.concat([frame[:1], frame[1:]], rechunk=False)).output == keep(workspace, frame).output
    square = np.arange(6).reshape(2, 3)
    assert keep(workspace, np.asfortranarray(square)).output == keep(workspace, square).output
    outputs = {keep(workspace, value).output for value in ([1], (1,), [1.0], [True], ["1"], [[1]], {"0": 1}, np.array([1]))}
    assert len(outputs) == 8
