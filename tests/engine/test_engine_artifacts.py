"""What a step returns comes back as it was, whatever its type."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import enum
import math
import os
import subprocess
import sys
import zoneinfo
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.errors import BadInput, Broken
from everloop.core.verdict import Verdict
from everloop.engine import artifacts, keys
from everloop.engine.artifacts import Artifact
from everloop.engine.formats.plain import decode, encode, is_plain
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


surrogates = st.text(st.characters(exclude_categories=()), max_size=6)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | surrogates
    | st.binary(max_size=4)
    | st.complex_numbers()
    | st.decimals()
    | st.uuids()
)
clocks = st.datetimes() | st.datetimes(timezones=st.just(datetime.UTC)) | st.times()
times = clocks.map(lambda time: time.replace(fold=0)) | st.dates() | st.timedeltas()
plain = st.recursive(
    leaves | times,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(surrogates | st.just("$tuple") | st.integers(), inner, max_size=3)
        | st.frozensets(st.integers() | surrogates, max_size=3)
        | st.sets(st.integers() | st.dates(), max_size=3)
    ),
    max_leaves=8,
)


def exactly(value: Any) -> Any:
    if isinstance(value, int) and abs(value) > 10**4000:
        return (int, hex(value))
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
    assert is_plain(value)
    assert exactly(decode(encode(value))) == exactly(value)


def test_plain_values_are_json(workspace: Workspace) -> None:
    for value in [None, 1, 1.0, "a", [1, (2, {3})], {"a": {1: b"x"}}, {"$tuple": [1]}, math.inf, 2**80, 10**5000, {}, []]:
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
        (np.float32(1.5), "json"),
        (np.datetime64("2026-01-01"), "json"),
        (np.str_("a\0"), "json"),
        (np.longdouble(1.5), "pickle"),
        (np.array([1, "a"], dtype=object), "pickle"),
        (np.array([(1, 2.0)], dtype=[("i", "i1"), ("x", "f8")]), "array"),
        (np.array([(1, 2.0)], dtype=np.dtype([("i", "i1"), ("x", "f8")], align=True)), "pickle"),
        (np.rec.array([(1, 2.0)], dtype=[("i", "i1"), ("x", "f8")]), "pickle"),
        (np.ma.array([1, 2], mask=[0, 1]), "pickle"),
        (np.array(["a", "bc"], dtype=np.dtypes.StringDType()), "pickle"),
        (np.array([1.5], dtype=">f8"), "array"),
        (np.arange(4)[::-2], "array"),
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


class Opaque:
    def __init__(self, **content: object) -> None:
        self.__dict__.update(content)


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Point:
    x: int


class Struct(msgspec.Struct):
    x: int


@pytest.mark.parametrize(
    "value",
    [
        Colour.RED,
        Point(1),
        Struct(1),
        datetime.datetime(2026, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
        datetime.datetime(2026, 10, 25, 2, 30, fold=1),
        pd.Timestamp("2026-01-01", tz="UTC"),
        pd.Index([1, 2], name="i"),
        bytearray(b"x"),
        range(3),
        collections.OrderedDict(a=1),
        collections.Counter("aab"),
        {(1, 2): pl.DataFrame({"a": [1]})},
        {Point: 1},
        pl.Series("s", [1, None]),
        pl.Series("c", ["b", "a"], dtype=pl.Categorical),
        pd.Series([1.5, None], name=("a", 1)),
        pd.Series(["x", None]),
        pd.Series([1], index=pd.Index([5], name="k")),
        pa.record_batch({"a": [1]}),
        pa.array([1, None]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_types_come_back_as_they_were(workspace: Workspace, value: Any) -> None:
    _, loaded = back(workspace, value)
    assert type(loaded) is type(value)
    assert keys.canonical(loaded) == keys.canonical(value)
    assert repr(loaded) == repr(value) or type(value).__module__ == "pyarrow.lib"


def test_a_plan_is_not_kept_but_its_table_is(workspace: Workspace) -> None:
    lazy = pl.DataFrame({"a": [1]}).lazy()
    for value in (lazy, [lazy]):
        with pytest.raises(BadInput, match=r"Return \.collect\(\) of it"):
            keep(workspace, value)
    assert back(workspace, lazy.collect())[0] == "table"


def test_lists_that_hold_themselves_and_very_deep_ones_are_pickled(workspace: Workspace) -> None:
    loop: list[Any] = [pl.DataFrame({"a": [1]})]
    loop.append(loop)
    kind, loaded = back(workspace, loop)
    assert kind == "pickle"
    assert loaded[1] is loaded
    deep: Any = 1
    for _ in range(150):
        deep = [deep]
    kind, loaded = back(workspace, deep)
    assert (kind, loaded) == ("pickle", deep)
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(BadInput, match="cannot be stored"):
        keep(workspace, deep)


def test_objects_that_know_each_other_stay_one_beside_a_table(workspace: Workspace) -> None:
    first = Opaque(n=1)
    value = {"tables": (pl.DataFrame({"a": [1]}), np.arange(2)), "first": first, "second": Opaque(before=first), "n": [1, {2}]}
    kind, loaded = back(workspace, value)
    assert kind == "bundle"
    assert loaded["second"].before is loaded["first"]
    assert list(loaded) == list(value)
    assert loaded["tables"][0].equals(value["tables"][0])
    assert np.array_equal(loaded["tables"][1], value["tables"][1])
    assert loaded["n"] == [1, {2}]
    assert back(workspace, [first, first])[0] == "pickle"
    assert artifacts.members(workspace.blobs, keep(workspace, value)) is None
    names = artifacts.members(workspace.blobs, keep(workspace, {"a": pl.DataFrame({"a": [1]}), 2: np.arange(2), "c": first}))
    assert isinstance(names, dict)
    assert [(name, member.type) for name, member in names.items()] == [("a", "table"), (2, "array"), ("c", "pickle")]


def test_what_an_artifact_reaches_is_all_that_it_needs(workspace: Workspace, tmp_path: Path) -> None:
    """Copied elsewhere, these names alone give the value again."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"1")
    verdict = Verdict(question="reached", about="")
    first = Opaque(n=1)
    value = [pl.DataFrame({"a": [1]}), {"x": (np.arange(3), tmp_path / "model")}, verdict, first, Opaque(before=first), "text"]
    artifact = keep(workspace, value)
    found = set(artifacts.reached(workspace.blobs, artifact))
    assert ("record", verdict.id) in found
    with Workspace(tmp_path / "other") as other:
        for kind, name in found:
            match kind:
                case "blob":
                    assert other.blobs.put(workspace.blobs.get(name)) == name
                case "tree":
                    assert other.blobs.put_tree(workspace.blobs.tree(name)) == name
                case "record":
                    with other.write() as tx:
                        records.keep(tx, verdict)
        with other.read() as tx:
            assert artifacts.present(tx, other.blobs, artifact)
            loaded: Any = artifacts.load(tx, other.blobs, artifact)
        assert loaded[4].before is loaded[3]
        assert (loaded[1]["x"][1] / "weights").read_bytes() == b"1"
        for kind, name in found - {("record", verdict.id)}:
            path = other.home / "blobs" / ("trees" if kind == "tree" else name[:2]) / name
            path.rename(path.with_name("aside"))
            with other.read() as tx:
                assert not artifacts.present(tx, other.blobs, artifact), f"present without {kind} {name}"
            path.with_name("aside").rename(path)


def test_a_format_that_is_not_installed_any_more(workspace: Workspace) -> None:
    artifact = Artifact("uninstalled.matrix", "0" * 64, "0" * 64)
    with workspace.read() as tx:
        assert not artifacts.present(tx, workspace.blobs, artifact)
        with pytest.raises(Broken, match="Install the package that offers it"):
            artifacts.load(tx, workspace.blobs, artifact)
    assert set(artifacts.reached(workspace.blobs, artifact)) == {("blob", "0" * 64), ("tree", "0" * 64)}


def test_sizes() -> None:
    assert artifacts.size_of(np.zeros(1000)) == 8000
    assert artifacts.size_of(pl.DataFrame({"a": np.zeros(1000)})) == 8000
    assert artifacts.size_of(pa.table({"a": np.zeros(1000)})) == 8000
    assert 8000 <= artifacts.size_of(pd.DataFrame({"a": np.zeros(1000)})) < 9000
    assert artifacts.size_of("x" * 1000) >= 1000
    assert artifacts.size_of([np.zeros(1000)] * 1000) >= 8_000_000
    assert artifacts.size_of({"a": ["x" * 100] * 10_000}) >= 1_000_000
    assert artifacts.size_of(None) < 100
    loop: list[Any] = [1]
    loop.append(loop)
    assert artifacts.size_of(loop) > 0


IDENTITIES = """
import sys, pathlib
import numpy, pandas, polars, pyarrow
from everloop.engine import artifacts
from everloop.store.blobs import Blobs

class Opaque:
    def __init__(self, **content):
        self.__dict__.update(content)

class Point: ...

blobs = Blobs(sys.argv[1], cache=pathlib.Path(sys.argv[1]))
words = {"red", "green", "blue", "white", "black"}
table = polars.DataFrame({"a": ["x", "y"], "b": [[1], []]})
for value in [
    words, {"k": frozenset(words)}, Opaque(words=words, name="red"), [Opaque(words={frozenset(words)}), Opaque(point=Point)],
    [Opaque(a=words), Opaque(b=1), table], table, table["a"].cast(polars.Categorical), pandas.DataFrame({"a": ["x", None]}),
    pyarrow.table({"a": ["x"]}), numpy.arange(3), Opaque(table=table, array=numpy.arange(3)), Opaque(code=lambda x: x + 1),
]:
    print(artifacts.save(blobs, value)[0].output)
"""


def test_equal_values_have_one_output_in_every_process(tmp_path: Path) -> None:
    found = {
        subprocess.run(
            [sys.executable, "-c", IDENTITIES, str(tmp_path / seed)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
    lines = next(iter(found)).split()
    assert len(set(lines)) == len(lines) == 12


def test_what_a_pickle_tells_apart_has_different_outputs(workspace: Workspace) -> None:
    shared: list[int] = []
    values = [
        *[Opaque(x=x) for x in (1, 1.0, True, "1", b"1", None, (1,), [1], {1}, frozenset({1}), {1: 1}, Path("1"), Path("./2"))],
        *[Opaque(x=x) for x in (0.0, -0.0, math.nan, Point(1), Struct(1), Colour.RED, Colour, np.array([1]), np.array([1.0]))],
        *[Opaque(x=x) for x in (np.array([1], object), np.array([1.0], object), pl.DataFrame({"a": [1]}), pl.DataFrame({"b": [1]}))],
        *[Opaque(x=x) for x in (lambda: 1, lambda: 2, [[], []], [shared, shared], {"a": 1, "b": 2}, {"b": 2, "a": 1})],
        Opaque(y=1),
        Point(1),
        Point(2),
    ]
    assert len({keep(workspace, value).output for value in values}) == len(values)


small = st.integers(-3, 3) | st.none()
frames = st.lists(st.tuples(small, st.lists(small, max_size=2) | st.none(), st.text("ab", max_size=2) | st.none()), max_size=6)
SCHEMA = {"i": pl.Int64, "l": pl.List(pl.Int64), "s": pl.Struct({"t": pl.String})}


def framed(rows: Any) -> pl.DataFrame:
    return pl.DataFrame(
        {"i": [i for i, _, _ in rows], "l": [items for _, items, _ in rows], "s": [{"t": text} for _, _, text in rows]}, schema=SCHEMA
    )


@settings(max_examples=60, deadline=None)
@given(frames, frames, st.integers(0, 6))
def test_outputs_of_tables_are_their_content(workspace: Workspace, one: Any, other: Any, cut: int) -> None:
    frame, padded = framed(one), framed([*other, *one, *other])
    sliced = padded.slice(len(other), len(one))
    pieces = pl.concat([frame[:cut], frame[cut:]], rechunk=False)
    for made in (list, lambda it: it.to_arrow(), lambda it: it.to_arrow().to_pandas(), lambda it: it.to_dicts()):
        of = (lambda it: it) if made is list else made
        assert keep(workspace, of(sliced)).output == keep(workspace, of(frame)).output == keep(workspace, of(pieces)).output
        assert (keep(workspace, of(frame)).output == keep(workspace, of(framed(other))).output) == (one == other)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=6),
    st.lists(st.integers(0, 3), min_size=1, max_size=6),
    st.sampled_from(["i1", "<i8", ">i8", "f4", "U1", "M8[s]"]),
)
def test_outputs_of_arrays_are_their_content(workspace: Workspace, one: list[int], other: list[int], dtype: str) -> None:
    def array(values: list[int]) -> Any:
        return np.array(values).astype(dtype)

    wide = np.stack([array(one), array(one)[::-1]], axis=1).astype(dtype)
    assert keep(workspace, wide[:, 0]).output == keep(workspace, array(one)).output
    assert keep(workspace, np.asfortranarray(wide)).output == keep(workspace, wide).output
    assert (keep(workspace, array(one)).output == keep(workspace, array(other)).output) == (one == other)
    assert keep(workspace, array(one)).output != keep(workspace, array(one).reshape(1, -1)).output


class Matrix:
    """A type that keeps itself."""

    def __init__(self, rows: list[list[float]]) -> None:
        self.rows = rows

    def __everloop_save__(self, folder: Path) -> None:
        (folder / "rows.txt").write_text("\n".join(" ".join(map(str, row)) for row in self.rows))

    @classmethod
    def __everloop_load__(cls, folder: Path) -> Matrix:
        return cls([list(map(float, line.split())) for line in (folder / "rows.txt").read_text().splitlines()])

    def __reduce__(self) -> Any:
        raise TypeError("not to be pickled")


def test_a_type_that_keeps_itself(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, loaded = back(workspace, Matrix([[1.5, 2.0]]))
    assert (kind, type(loaded), loaded.rows) == ("own", Matrix, [[1.5, 2.0]])
    kind, loaded = back(workspace, [Matrix([[1.0]]), "beside"])
    assert (kind, loaded[0].rows) == ("bundle", [[1.0]])
    output = keep(workspace, Matrix([[1.0]])).output
    assert output == keep(workspace, Matrix([[1.0]])).output != keep(workspace, Matrix([[2.0]])).output
    artifact = keep(workspace, Matrix([[1.0]]))
    monkeypatch.setattr(Matrix, "trace", lambda self: 1, raising=False)
    assert keep(workspace, Matrix([[1.0]])).output != output
    monkeypatch.delattr(Matrix, "__everloop_load__")
    with pytest.raises(BadInput, match="no class method __everloop_load__"):
        keep(workspace, Matrix([[1.0]]))
    with pytest.raises(Broken, match="Put the class back"), workspace.read() as tx:
        artifacts.load(tx, workspace.blobs, artifact)


def test_a_type_that_keeps_itself_in_the_script_that_runs(tmp_path: Path) -> None:
    (tmp_path / "project.py").write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from everloop.engine import artifacts\n"
        "from everloop.store.blobs import Blobs\n"
        "class Word:\n"
        "    def __init__(self, text): self.text = text\n"
        "    def __everloop_save__(self, folder): (folder / 'w').write_text(self.text)\n"
        "    @classmethod\n"
        "    def __everloop_load__(cls, folder): return cls((folder / 'w').read_text())\n"
        "if __name__ == '__main__':\n"
        "    blobs = Blobs(sys.argv[1], cache=Path(sys.argv[1]))\n"
        "    artifact, _ = artifacts.save(blobs, Word('here'))\n"
        "    assert type(artifacts.load(None, blobs, artifact)) is Word\n"
        "    print(*artifact)\n"
    )
    ran = subprocess.run([sys.executable, "project.py", "blobs"], cwd=tmp_path, capture_output=True, text=True, check=True)
    code = (
        "import sys, project; from pathlib import Path; from everloop.engine import artifacts; from everloop.store.blobs import Blobs\n"
        "blobs = Blobs('blobs', cache=Path('blobs')); artifact = artifacts.Artifact(*sys.argv[1:])\n"
        "loaded = artifacts.load(None, blobs, artifact); print(type(loaded) is project.Word, loaded.text)\n"
        "print(*artifacts.save(blobs, loaded)[0])\n"
    )
    read = subprocess.run([sys.executable, "-c", code, *ran.stdout.split()], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert read.stdout.splitlines() == ["True here", ran.stdout.strip()]


def test_keeping_plain_values_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from everloop.engine import artifacts; from everloop.store.blobs import Blobs\n"
        f"blobs = Blobs({str(tmp_path)!r}, cache=Path({str(tmp_path)!r}))\n"
        "artifact, _ = artifacts.save(blobs, {'a': [1, (2.5, 'x')]}); artifacts.load(None, blobs, artifact)\n"
        "heavy = {'numpy', 'polars', 'pyarrow', 'obstore', 'cloudpickle', 'sqlalchemy', 'importlib.metadata', 'tempfile', 'shutil'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


PEAK = """
import sys
from pathlib import Path
import numpy
from everloop.engine import artifacts
from everloop.store.blobs import Blobs

class Box:
    def __init__(self, array): self.array = array

def made(kind, count):
    numbers = numpy.random.default_rng(0).random(count)
    if kind == "array":
        return numbers
    if kind == "pickle":
        return Box(numbers)
    if kind == "table":
        import polars
        return polars.DataFrame({"a": numbers})
    import pyarrow
    return pyarrow.table({"a": numbers})

def growth(act):
    # The kernel forgets the peak so far.
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    made = act()
    return made, peak() - before

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) // 1024

blobs = Blobs(sys.argv[1], cache=Path(sys.argv[1]))
artifacts.load(None, blobs, artifacts.save(blobs, made(sys.argv[2], 150_000))[0])
value = made(sys.argv[2], 300_000_000 // 8)
(artifact, _), saving = growth(lambda: artifacts.save(blobs, value))
loaded, loading = growth(lambda: artifacts.load(None, blobs, artifact))
print(saving, loading)
"""


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="peaks of memory are read from /proc")
@pytest.mark.parametrize(
    ("kind", "loading_mb"),
    [
        ("arrow", 100),
        ("array", 30),
        pytest.param("table", 400, marks=pytest.mark.full),
        pytest.param("pickle", 400, marks=pytest.mark.full),
    ],
)
def test_a_large_value_is_not_in_memory_twice(tmp_path: Path, kind: str, loading_mb: int) -> None:
    """300 MB are kept with a few more; Arrow tables and arrays are mapped when they are loaded."""
    done = subprocess.run([sys.executable, "-c", PEAK, str(tmp_path), kind], capture_output=True, text=True, check=True)
    saving, loading = map(int, done.stdout.split())
    assert saving < 100
    assert loading < loading_mb


def test_a_mapped_array_is_written_to_by_one_alone(workspace: Workspace) -> None:
    value = np.arange(500_000)
    artifact = keep(workspace, value)
    with workspace.read() as tx:
        one: Any = artifacts.load(tx, workspace.blobs, artifact)
        other: Any = artifacts.load(tx, workspace.blobs, artifact)
    one += 1
    assert type(one) is np.ndarray
    assert one.flags.writeable
    assert np.array_equal(other, value)
    assert np.array_equal(one, value + 1)
    (workspace.home / "blobs" / artifact.blob[:2] / artifact.blob).unlink()
    assert int(other[-1]) == 499_999


PLUGIN = {
    "matrixlib.py": "class Matrix:\n    def __init__(self, text): self.text = text\n",
    "matrixlib_format.py": (
        "from everloop.core.artifacts import InBlob, Kept\n"
        "class MatrixFormat(InBlob):\n"
        "    def takes(self, value):\n        import matrixlib\n        return type(value) is matrixlib.Matrix\n"
        "    def save(self, blobs, value):\n        blob = blobs.put(value.text.encode())\n        return Kept(blob, blob)\n"
        "    def load(self, tx, blobs, artifact):\n        import matrixlib\n"
        "        return matrixlib.Matrix(blobs.get(artifact.blob).decode())\n"
    ),
    "matrixlib_format-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: matrixlib-format\nVersion: 1.0\n",
    "matrixlib_format-1.0.dist-info/entry_points.txt": "[everloop.formats]\nmatrixlib = matrixlib_format:MatrixFormat\n",
    "use.py": (
        "import sys, matrixlib; from pathlib import Path; from everloop.engine import artifacts; from everloop.store.blobs import Blobs\n"
        "blobs = Blobs('blobs', cache=Path('blobs'))\n"
        "class Own: pass\n"
        "class Derived(matrixlib.Matrix): pass\n"
        "kinds = [artifacts.save(blobs, value)[0].type for value in (1, Own(), [Own()])]\n"
        "print(*kinds, 'matrixlib_format' in sys.modules)\n"
        "kept = [artifacts.save(blobs, value)[0] for value in (matrixlib.Matrix('m'), {'a': matrixlib.Matrix('m')}, Derived('d'))]\n"
        "print(*[artifact.type for artifact in kept], artifacts.load(None, blobs, kept[0]).text)\n"
    ),
}


def test_a_package_offers_a_format_for_a_library(tmp_path: Path) -> None:
    for name, text in PLUGIN.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    done = subprocess.run([sys.executable, "use.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["json", "pickle", "pickle", "False", "matrixlib", "bundle", "pickle", "m"]
