"""Equal values, equal forms; different values, different forms; what has no form is refused with a cure."""

from __future__ import annotations

import collections
import copy
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import itertools
import math
import re
import threading
import uuid
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

from everloop.core.digest import digest
from everloop.core.errors import BadInput
from everloop.core.verdict import Verdict
from everloop.engine.code import Code, code_digest
from everloop.engine.keys import because, canonical, key

NOTHING = Code("", {})


def of(value: object) -> str:
    return digest(canonical(value))


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass(frozen=True)
class Point:
    x: object
    y: object = 0


class Shape(msgspec.Struct):
    sides: int


class OtherShape(msgspec.Struct):
    sides: int


class Plain:
    def __init__(self, **content: object) -> None:
        self.__dict__.update(content)


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a: object) -> None:
        self.a = a


class MyInt(int): ...


class MyList(list[int]): ...


Pair = collections.namedtuple("Pair", "x y")

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.sampled_from(list(Colour))
    | st.decimals(allow_nan=False)
    | st.datetimes()
    | st.complex_numbers(allow_nan=False)
)
hashable = st.recursive(scalars, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=6)
values = st.recursive(
    hashable,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(hashable, inner, max_size=3)
        | st.sets(hashable, max_size=3)
        | st.builds(Point, inner, inner)
    ),
    max_leaves=10,
)


def identity(value: Any) -> Any:
    """What the value is, types and order included, written down without the code under test."""
    kind = type(value).__name__
    if isinstance(value, list | tuple):
        return (kind, tuple(map(identity, value)))
    if isinstance(value, set | frozenset):
        return (kind, frozenset(map(identity, value)))
    if isinstance(value, dict):
        return (kind, tuple((identity(name), identity(item)) for name, item in value.items()))
    if isinstance(value, Point):
        return (kind, identity(value.x), identity(value.y))
    return (kind, repr(value))


@settings(max_examples=150, deadline=None)
@given(values, values)
def test_forms_are_equal_exactly_when_the_values_are(one: object, other: object) -> None:
    assert (of(one) == of(other)) == (identity(one) == identity(other))


@settings(max_examples=100, deadline=None)
@given(values)
def test_a_copy_has_the_same_form(value: object) -> None:
    assert of(copy.deepcopy(value)) == of(value)


def arrays() -> list[object]:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    return [
        np.arange(4),
        np.arange(4.0),
        np.arange(4, dtype=np.int32),
        np.arange(4).reshape(2, 2),
        np.array([1, "a", None], dtype=object),
        np.array([1, "a", 2], dtype=object),
        np.array([(1, 2.0)], dtype=[("i", "i1"), ("x", "f8")]),
        np.float64(1.0),
        np.float32(1.0),
        np.datetime64("2026-01-01"),
        pl.DataFrame({"a": [1, 2]}),
        pl.DataFrame({"b": [1, 2]}),
        pl.DataFrame({"a": [2, 1]}),
        pl.DataFrame({"a": [1, None]}),
        pl.DataFrame({"a": [1.0, 2.0]}),
        pl.Series("a", [1, 2]),
        frame,
        frame.rename(columns={"a": "c"}),
        frame.set_index("a"),
        frame[["b", "a"]],
        frame.astype({"a": float}),
        frame.assign(b=["x", None]),
        frame["a"],
        frame.index,
        pa.table({"a": [1, 2]}),
        pa.table({"a": [1, None]}),
        pa.table({"a": pa.array([1, 2], pa.int32())}),
    ]


def objects() -> list[object]:
    return [
        Colour.RED,
        Colour.BLUE,
        Level.LOW,
        1,
        True,
        1.0,
        "1",
        b"1",
        0.0,
        -0.0,
        math.nan,
        math.inf,
        1j,
        None,
        ...,
        [],
        (),
        {},
        set(),
        frozenset(),
        [[]],
        [1, 2],
        [2, 1],
        (1, 2),
        {"a": 1, "b": 2},
        {"b": 2, "a": 1},
        {1: "a"},
        collections.OrderedDict(a=1, b=2),
        collections.Counter(a=1, b=2),
        collections.deque([1, 2]),
        collections.defaultdict(list, a=1),
        range(3),
        range(4),
        slice(1, 2),
        datetime.date(2026, 1, 1),
        datetime.datetime(2026, 1, 1),
        datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        datetime.timedelta(1),
        decimal.Decimal("1.0"),
        decimal.Decimal("1.00"),
        fractions.Fraction(1, 2),
        uuid.UUID(int=1),
        re.compile("a"),
        re.compile("a", re.IGNORECASE),
        bytearray(b"1"),
        Point(1),
        Point(2),
        Point([1, 2]),
        Shape(3),
        Shape(4),
        OtherShape(3),
        Plain(a=1),
        Plain(a=2),
        Plain(b=1),
        Slotted(1),
        Slotted(2),
        MyInt(1),
        MyList([1, 2]),
        Pair(1, 2),
        Pair,
        len,
        sorted,
        np.add,
        np.multiply,
        [].append,
        [1].append,
        functools.partial(pow, 2),
        functools.partial(pow, 3),
        lambda x: x,
        lambda x: x + 1,
        list[int],
        list[str],
        int | str,
        threading.Thread,
        Verdict(question="a", about=""),
        Verdict(question="b", about=""),
        np.random.default_rng(1),
        np.random.default_rng(2),
        np.random.RandomState(1),
    ]


def test_different_objects_have_different_forms() -> None:
    everything = objects() + arrays()
    found = {of(value) for value in everything}
    assert len(found) == len(everything)


def test_equal_objects_made_twice_have_equal_forms() -> None:
    for one, other in zip(objects() + arrays(), objects() + arrays(), strict=True):
        assert of(one) == of(other), one


def test_what_a_table_is_stored_in_does_not_count() -> None:
    frame = pl.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"]})
    assert of(pl.concat([frame[:1], frame[1:]], rechunk=False)) == of(frame)
    table = pa.table({"a": [1, None, 3]})
    assert of(pa.concat_tables([table.slice(0, 1), table.slice(1)])) == of(table)
    square = np.arange(6).reshape(2, 3)
    assert of(np.asfortranarray(square)) == of(square)
    assert of(np.arange(12)[::2]) == of(np.array([0, 2, 4, 6, 8, 10]))


def test_order_of_attributes_does_not_count() -> None:
    assert of(Plain(a=1, b=2)) == of(Plain(b=2, a=1))


def test_shared_and_copied_parts_count_alike_and_cycles_end() -> None:
    part = Plain(a=[1])
    assert of([part, part]) == of([Plain(a=[1]), Plain(a=[1])])
    ring = Plain(name="ring")
    ring.self = ring
    other = Plain(name="ring")
    other.self = other
    assert of(ring) == of(other)
    deep = shared = Plain()
    for _ in range(60):
        shared = Plain(left=shared, right=shared)
    assert of(shared) != of(deep)


def test_a_path_counts_by_content_and_name(tmp_path: Path) -> None:
    for folder in ("one", "two", "three"):
        (tmp_path / folder / "data").mkdir(parents=True)
        (tmp_path / folder / "data" / "a.csv").write_text("1")
    (tmp_path / "three" / "data" / "a.csv").write_text("2")
    one, two, three = (tmp_path / folder / "data" for folder in ("one", "two", "three"))
    assert of(one) == of(two) != of(three)
    assert of(one / "a.csv") == of(two / "a.csv") != of(three / "a.csv")
    (one / "b.csv").write_text("1")
    assert of(one) != of(two)
    assert of(one / "b.csv") != of(one / "a.csv")
    (two / "a.csv").rename(two / "b.csv")
    assert of(tmp_path / "absent") != of(tmp_path / "gone")


def test_unfitted_estimators_count_by_their_parameters() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    pipeline = pytest.importorskip("sklearn.pipeline")
    preprocessing = pytest.importorskip("sklearn.preprocessing")

    def make(alpha: float) -> object:
        return pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.Ridge(alpha=alpha))

    assert of(make(1.0)) == of(make(1.0)) != of(make(2.0))
    assert of(linear_model.Ridge()) != of(linear_model.Lasso())
    fitted = linear_model.Ridge().fit([[1.0], [2.0]], [1.0, 2.0])
    assert of(fitted) != of(linear_model.Ridge())
    assert of(fitted) == of(linear_model.Ridge().fit([[1.0], [2.0]], [1.0, 2.0]))


def test_nesting_beyond_the_stack_is_refused() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(BadInput, match="nested too deeply"):
        canonical(value)
    while value:  # freed one by one, not by recursion
        value = value.pop()


def test_key_depends_on_each_of_its_parts() -> None:
    code = Code("abc", {"m.f": "1" * 64})
    keys = {
        key("a", code, {"x": 1}).digest,
        key("b", code, {"x": 1}).digest,
        key("a", Code("abd", {}), {"x": 1}).digest,
        key("a", code, {"x": 2}).digest,
        key("a", code, {"y": 1}).digest,
        key("a", code, {}).digest,
        key("a", code, {"x": 1}, version="1").digest,
    }
    assert len(keys) == 7
    assert key("a", code, {"x": 1}).digest in keys


def test_code_seen_twice_is_looked_at_again() -> None:
    """The digest is remembered; what was rebound or changed in place since is noticed."""
    world: dict[str, Any] = {"__name__": "notebook_cell"}
    exec("TABLE = {'a': 1}\ndef helper(): return 1\ndef main(): return helper() + TABLE['a']", world)
    first = code_digest(world["main"])
    assert code_digest(world["main"]) is first
    world["TABLE"]["a"] = 2
    second = code_digest(world["main"])
    assert second.digest != first.digest
    exec("def helper(): return 2", world)
    third = code_digest(world["main"])
    assert len({first.digest, second.digest, third.digest}) == 3
    assert {name for name in third.parts if third.parts[name] != second.parts[name]} == {"notebook_cell.helper"}
    world["main"].__defaults__ = ()
    assert code_digest(world["main"]).digest != third.digest
    world["TABLE"]["a"] = 1
    exec("def helper(): return 1", world)
    world["main"].__defaults__ = None
    assert code_digest(world["main"]).digest == first.digest


def test_patched_method_is_noticed() -> None:
    world: dict[str, Any] = {"__name__": "notebook_cell"}
    exec("class A:\n    def f(self): return 1\ndef main(): return A().f()", world)
    first = code_digest(world["main"])
    world["A"].f = lambda self: 2
    assert code_digest(world["main"]).digest != first.digest


def test_recursion_among_functions_ends() -> None:
    world: dict[str, Any] = {"__name__": "notebook_cell"}
    exec("def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != 0 and even(n - 1)\nFUNCTIONS = [even, odd]", world)
    assert code_digest(world["even"]).digest != code_digest(world["odd"]).digest
    assert set(code_digest(world["even"]).parts) == {"notebook_cell.even", "notebook_cell.odd"}


def test_locks_and_connections_among_the_globals_count_by_class_and_functions_beside_them_by_code() -> None:
    source = (
        "import threading\nLOCK = threading.Lock()\nclass C: pass\nc = C(); c.lock = LOCK; c.f = lambda: {0}\ndef main(): return LOCK, c"
    )
    digests: list[str] = []
    for number in (1, 1, 2):
        world: dict[str, Any] = {"__name__": "notebook_cell"}
        exec(source.format(number), world)
        digests.append(code_digest(world["main"]).digest)
    assert digests[0] == digests[1] != digests[2]


def test_libraries_count_by_version() -> None:
    world: dict[str, Any] = {"__name__": "notebook_cell", "np": np}
    exec("def main(): return np.mean([1])", world)
    assert code_digest(world["main"]).libraries["numpy"] == np.__version__


def test_reasons_name_a_new_library_version_and_what_was_lost() -> None:
    code = {"m.f": "1" * 64}
    before = key("a", Code("1", code, {"numpy": "2.0"}), {}).detail
    now = key("a", Code("2", code, {"numpy": "2.1"}), {}).detail
    assert because(now, before) == "numpy 2.0 -> 2.1"
    assert because(now, now) == "its stored result is gone"
    assert because(now, None) == "first run"
    assert because(now, {**now, "schema": "everloop-key-1"}) == "another version of everloop makes its keys differently"
    assert because(now, {**now, "libraries": {}}) == "numpy is new"


def test_reasons_stay_short() -> None:
    many = {f"m.f{number}": str(number) * 64 for number in range(9)}
    before, now = key("a", Code("1", many), {}).detail, key("a", Code("1", dict.fromkeys(many, "a" * 64)), {}).detail
    assert because(now, before).endswith("m.f3 changed; and 5 more")


def test_every_instruction_of_large_functions_is_read() -> None:
    """More than 256 constants and names need extended arguments; jumps across them must still compare equal when lines move."""
    body = "".join(f"    if x == {number}:\n        y = {number}.5\n" for number in range(400))
    digests: list[str] = []
    for source in (f"def f(x, y=0):\n{body}    return y", f'def f(x, y=0):\n    """A docstring."""\n\n{body}    return y'):
        world: dict[str, Any] = {"__name__": "notebook_cell"}
        exec(source, world)
        digests.append(code_digest(world["f"]).digest)
    world = {"__name__": "notebook_cell"}
    exec(f"def f(x, y=0):\n{body.replace('399.5', '399.25')}    return y", world)
    assert digests[0] == digests[1] != code_digest(world["f"]).digest


def test_try_blocks_count() -> None:
    template = "def f(x):\n    {}\n    {}\n    except {}:\n        return 0\n    return 1"
    digests: list[str] = []
    for parts in (("try:", "    x()", "ValueError"), ("try:", "    x()", "TypeError"), ("try:", "    x(); x()", "ValueError")):
        world: dict[str, Any] = {"__name__": "notebook_cell"}
        exec(template.format(*parts), world)
        digests.append(code_digest(world["f"]).digest)
    world = {"__name__": "notebook_cell"}
    exec("def f(x):\n    try: x()\n    except ValueError: return 0\n    return 1", world)
    assert len(set(digests)) == 3
    assert code_digest(world["f"]).digest == digests[0]
    assert list(itertools.islice(iter(digests), 1))


def test_a_tangle_of_a_library_counts_by_class_and_is_walked_once() -> None:
    """An SQL table hangs together with thousands of objects; to walk them at each call would cost more than most steps."""
    from everloop.engine.canonical import _tangled
    from everloop.store.schema import versions

    world: dict[str, Any] = {"__name__": "notebook_cell", "TABLE": versions}
    exec("def main(): return TABLE", world)
    first = code_digest(world["main"])
    assert "sqlalchemy" in first.libraries
    assert _tangled[id(versions)] is versions
    assert code_digest(world["main"]) is first


def test_of_a_class_of_many_parts_the_detail_tells_modules() -> None:
    """The detail is stored with every result; the key itself is made of all parts."""
    many = {f"{module}.f{number}": str(number) * 64 for module in ("json", "json.decoder") for number in range(100)}
    before = key("a", Code("large 1", many), {})
    now = key("a", Code("large 2", many | {"json.decoder.f7": "x"}), {})
    assert because(now.detail, before.detail) == "module json.decoder changed"
    assert len(msgspec.json.encode(now.detail)) < 500
    few = dict(itertools.islice(many.items(), 100))
    assert len(key("a", Code("small", few), {}).detail["code"]) == 100  # type: ignore[arg-type]


def test_a_remembered_property_does_not_change_an_object() -> None:
    class Config:
        def __init__(self, rate: float) -> None:
            self.rate = rate

        @functools.cached_property
        def double(self) -> float:
            return self.rate * 2

    used, fresh = Config(0.5), Config(0.5)
    assert used.double == 1.0
    assert of(used) == of(fresh) != of(Config(0.6))


def test_settings_beside_a_lock_count_and_what_a_client_holds_open_does_not() -> None:
    source = (
        "import threading\nclass Client:\n    def __init__(self, **settings):\n        self.lock = threading.Lock()\n"
        "        self.open = None\n        self.__dict__.update(settings)\n"
        "client = Client(model={!r}, retries={})\ndef main(): return client"
    )

    def made(model: str, retries: int) -> tuple[dict[str, Any], str]:
        world: dict[str, Any] = {"__name__": "notebook_cell"}
        exec(source.format(model, retries), world)
        return world, code_digest(world["main"]).digest

    world, one = made("small", 2)
    assert len({one, made("large", 2)[1], made("small", 3)[1]}) == 3
    assert made("small", 2)[1] == one
    world["client"].lock = threading.Lock()
    assert code_digest(world["main"]).digest == one


def test_what_a_library_decorates_counts_with_its_annotations() -> None:
    pytest.importorskip("pydantic")
    source = "import pydantic\n@pydantic.validate_call\ndef scale(x: {}) -> int:\n    return x + {}\ndef main(): return scale(1)"
    digests: list[str] = []
    for annotation, number in (("int", 1), ("int", 1), ("str", 1), ("int", 2)):
        world: dict[str, Any] = {"__name__": "notebook_cell"}
        exec(source.format(annotation, number), world)
        digests.append(code_digest(world["main"]).digest)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
