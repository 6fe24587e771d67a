from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from everloop.core.errors import BadInput
from everloop.data.sources import json_array, json_lines
from everloop.data.sources.json import Kinds, table
from everloop.data.sources.union import union

WHOLE = 1 << 30
SIZES = st.one_of(st.integers(1, 12), st.just(WHOLE))
INTS = st.integers(-(2**70), 2**70)
PLAIN = st.one_of(
    st.none(), INTS, st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.text(st.characters(codec="utf-8"), max_size=5)
)
VALUES = st.one_of(
    PLAIN, st.lists(st.integers(0, 9), max_size=3), st.lists(PLAIN, max_size=3), st.lists(st.lists(st.integers(0, 3), max_size=2), max_size=2),
    st.dictionaries(st.sampled_from('ab"\\{['), PLAIN, max_size=2),
)  # fmt: skip
ROWS = st.lists(st.dictionaries(st.sampled_from(["a", "b", 'c"\\]}']), VALUES, max_size=3), min_size=1, max_size=6)

Reader = Callable[..., Iterator[pl.DataFrame]]


def taken(reader: Reader, data: bytes, size: int = WHOLE, **how: Any) -> pl.DataFrame:
    kinds = Kinds()
    blocks = [data[at : at + size] for at in range(0, len(data), size)]
    for _ in range(3):
        found = list(reader(blocks, name="t.json", kinds=kinds, **how))
        if kinds.sound():
            return union(found)
    raise AssertionError("a third reading knows no more than the second")


@settings(max_examples=150, deadline=None)
@given(ROWS, SIZES, st.sampled_from([None, 1]))
@example([{"a": [1]}, {"a": [0.5]}], 1, None)
@example([{"a": []}, {"a": [1]}], 1, None)
@example([{"a": 2**70}, {"a": 0.5}], 1, None)
@example([{"a": 1}, {"a": "1"}, {"a": [1]}], 1, None)
def test_the_size_of_blocks_changes_nothing_and_no_value_is_lost(rows: list[dict[str, Any]], size: int, indent: int | None) -> None:
    whole = table(rows)
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    array = json.dumps(rows, indent=indent, ensure_ascii=indent is None).encode()
    for found in (taken(json_lines.read, lines, size), taken(json_array.read, array, size)):
        if whole.width:
            assert found.height == len(rows)
        for name in whole.columns:
            given_cells, cells = [row.get(name) for row in rows], found[name].to_list()
            if any(cell is not None for cell in given_cells):
                assert found[name].dtype == whole[name].dtype
            assert cells == whole[name].to_list()
            for given_cell, cell in zip(given_cells, cells, strict=True):
                if isinstance(cell, str) and not isinstance(given_cell, str):
                    assert json.loads(cell) == given_cell
                elif isinstance(cell, float):
                    assert cell == float(given_cell)
                else:
                    assert cell == given_cell


@pytest.mark.parametrize("size", [1, 3, WHOLE])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'[{"a":1},{"a":]', "t.json, behind row 1, is not JSON|t.json, behind row 0, is not JSON"),
        (b'[{"a":1}', "it ends behind row 1"),
        (b'[{"a":1} {"a":2}]', "expected ',' before the next object|is not JSON"),
        (b'[{"a":1},]', "nothing follows the last ','|is not JSON"),
        (b'[{"a":1}]\n{"a":2}', "follows the end of the array"),
        (b'[{"a":1},3]', "row 2 is an int"),
        (b"[[1,2],[3]]", "row 1 is a list"),
        (b"3", "one int"),
        (b'{"a":[1],"b":[1,2]}', "equally long arrays"),
        (b'{"a":1}', "equally long arrays"),
        (b'[{"a":NaN}]', "JSON has no NaN"),
    ],
)
def test_what_is_no_array_of_objects(data: bytes, message: str, size: int) -> None:
    with pytest.raises(BadInput, match=message):
        taken(json_array.read, data, size)


@pytest.mark.parametrize("size", [1, 3, WHOLE])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a":1}\n\n{"a":\n', "t.json, line 3 is not JSON"),
        (b'{"a":1}\n[1]\n', "t.json, line 2 is a list"),
        (b'{"a":1},{"a":2}\n', "t.json, line 1 is not JSON"),
        (b'{"a":1}{"a":2}\n', "t.json, line 1 is not JSON"),
        (b'{"a":NaN}\n', "JSON has no NaN"),
        (b"null\n", "line 1 is null"),
    ],
)
def test_what_is_no_line_of_json(data: bytes, message: str, size: int) -> None:
    with pytest.raises(BadInput, match=message):
        taken(json_lines.read, data, size)


@pytest.mark.parametrize("size", [1, WHOLE])
def test_marks_encodings_and_nothing(size: int) -> None:
    for reader, data in ((json_lines.read, '{"a":"é"}\r\n'), (json_array.read, '\n [{"a":"é"}]\n'), (json_array.read, '{"a":["é"]}')):
        for encoding in ("utf-8", "utf-8-sig", "utf-16"):
            assert taken(reader, data.encode(encoding), size).rows() == [("é",)]
    assert taken(json_array.read, b"[]", size).height == taken(json_lines.read, b"\n", size).height == 0


def test_what_has_no_end_is_refused_before_memory_is_full() -> None:
    endless = (b"x" * 1000 for _ in range(10**9))
    with pytest.raises(BadInput, match="a line has more than 1 MB"):
        list(json_lines.read(endless, name="t", kinds=Kinds(), record_bytes=1_000_000))
    one = (b'[{"a":"' if not at else b"x" * 1000 for at in range(10**9))
    with pytest.raises(BadInput, match="row 1: one element has more than 1 MB"):
        list(json_array.read(one, name="t", kinds=Kinds(), record_bytes=1_000_000))
    wide = (b'{"a":[' if not at else b"1," * 1000 for at in range(10**9))
    with pytest.raises(BadInput, match="one JSON value of more than 1 MB"):
        list(json_array.read(wide, name="t", kinds=Kinds(), record_bytes=1_000_000))
