from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.core.errors import BadInput, NotFound
from everloop.core.tables import ColumnRule, Schema
from everloop.data.profile import summarise
from everloop.data.schema import infer, load, save

RULES = st.builds(
    ColumnRule,
    name=st.text(min_size=1, max_size=8),
    kind=st.sampled_from(["int", "float", "bool", "text", "time", "bytes", "list"]),
    required=st.booleans(),
    nullable=st.booleans(),
    low=st.none() | st.floats(-1e9, 0),
    high=st.none() | st.floats(0, 1e9),
    vocabulary=st.none() | st.lists(st.text(max_size=5), max_size=4).map(tuple),
)
SCHEMAS = st.builds(
    Schema,
    dataset=st.text(max_size=8),
    columns=st.lists(RULES, min_size=1, max_size=6, unique_by=lambda rule: rule.name).map(tuple),
    extra_columns=st.sampled_from(["stop", "warn"]),
    min_rows=st.integers(0, 10**6),
)


@given(SCHEMAS)
def test_a_saved_schema_is_loaded_as_it_was(tmp_path_factory: pytest.TempPathFactory, schema: Schema) -> None:
    path = tmp_path_factory.mktemp("s") / "schema.json"
    save(schema, path)
    assert load(path) == schema
    assert load(path).id == schema.id
    lines = path.read_text(encoding="utf-8").split("\n")
    for rule in schema.columns:
        assert sum(line.startswith(f'    {{"name": {json.dumps(rule.name, ensure_ascii=False)}, ') for line in lines) == 1


def test_the_contract_is_what_was_seen() -> None:
    frame = pl.DataFrame(
        {
            "n": [3, 1, 2],
            "x": [0.5, None, 2.0],
            "q": [0.5, float("nan"), 2.0],
            "b": [True, False, True],
            "w": ["b", "a", "b"],
            "t": [date(2026, 1, 1)] * 3,
            "z": [None, None, None],
        }
    )
    schema = infer(summarise(frame, about="s"), dataset="d", target="n")
    assert schema.columns == (
        ColumnRule(name="n", kind="int", low=1.0, high=3.0),
        ColumnRule(name="x", kind="float", nullable=True, low=0.5, high=2.0),
        ColumnRule(name="q", kind="float", nullable=True, low=0.5, high=2.0),
        ColumnRule(name="b", kind="bool"),
        ColumnRule(name="w", kind="text", vocabulary=("a", "b")),
        ColumnRule(name="t", kind="time"),
        ColumnRule(name="z", kind="text", nullable=True, vocabulary=()),
    )


@pytest.mark.parametrize(("different", "closed"), [(50, True), (51, False)])
def test_only_short_vocabularies_are_closed(different: int, closed: bool) -> None:
    schema = infer(summarise(pl.DataFrame({"w": [f"w{at}" for at in range(different)]}), about=""), dataset="d", target="w")
    assert (schema.columns[0].vocabulary is not None) is closed


def test_a_target_that_is_not_there_is_refused() -> None:
    with pytest.raises(BadInput, match="Did you mean 'cnt'"):
        infer(summarise(pl.DataFrame({"cnt": [1]}), about=""), dataset="d", target="cmt")


def test_changing_one_column_changes_one_line(tmp_path: Path) -> None:
    before = infer(summarise(pl.DataFrame({"a": [1], "b": [1], "c": [1]}), about=""), dataset="d", target="a")
    after = infer(summarise(pl.DataFrame({"a": [1], "b": [2], "c": [1]}), about=""), dataset="d", target="a")
    save(before, tmp_path / "before")
    save(after, tmp_path / "after")
    old, new = (tmp_path / "before").read_text().split("\n"), (tmp_path / "after").read_text().split("\n")
    assert [at for at, (a, b) in enumerate(zip(old, new, strict=True)) if a != b] == [6]


GOOD = """{
  "dataset": "d",
  "extra_columns": "stop",
  "min_rows": 1,
  "columns": [
    {"name": "a", "kind": "int", "low": 1, "high": 2},
    {"name": "columns", "kind": "text"}
  ]
}
"""


@pytest.mark.parametrize(
    ("wrong", "right", "message"),
    [
        ('"nulable": true, "kind"', '"kind"', "line 6: field 'nulable' does not exist. Did you mean 'nullable'"),
        ('"kind": "integer", "low"', '"kind": "int", "low"', "line 6: kind 'integer' does not exist. Did you mean 'int'"),
        ('"kind": "txt"', '"kind": "text"', "line 7: kind 'txt' does not exist. Did you mean 'text'"),
        ('"low": "1"', '"low": 1', "line 6: 'low' is a number, not \"1\""),
        ('"low": true', '"low": 1', "line 6: 'low' is a number, not true"),
        ('"low": 3', '"low": 1', "line 6: column 'a' has low 3 above high 2"),
        ('"high": 2, "required": 1', '"high": 2', "line 6: 'required' is true or false, not 1"),
        ('"vocabulary": "x", "kind": "text"', '"kind": "text"', "line 7: 'vocabulary' is a list of texts"),
        ('{"name": "a"', '{"name": "columns"', "line 7: column 'a' is described twice"),
        ('{"kind": "text"}', '{"name": "columns", "kind": "text"}', "line 7: the field 'name' is missing"),
        ('"kind": "int", "kind": "int", "low"', '"kind": "int", "low"', "the field 'kind' is given twice for column 'a'"),
        ('"min_row"', '"min_rows"', "line 4: field 'min_row' does not exist. Did you mean 'min_rows'"),
        ('"min_rows": 1.5', '"min_rows": 1', "line 4: 'min_rows' is a whole number, not 1.5"),
        ('"stopp"', '"stop"', "line 3: value 'stopp' does not exist. Did you mean 'stop'"),
        ('"dataset": 3', '"dataset": "d"', "line 2: 'dataset' is text, not 3"),
        ('"high": 2}\n', '"high": 2},\n', "line 7: Expecting ',' delimiter"),
        ('"columns": []}', GOOD[GOOD.index('"columns"') :], "line 5: 'columns' is a list with one object a column"),
        ("[]", GOOD, r"line 1: a schema is an object"),
        ("{}", GOOD, "line 1: the field 'dataset' is missing"),
        ("", GOOD, "line 1: Expecting value"),
    ],
)
def test_a_mistyped_file_is_answered_with_the_line_and_the_closest_match(tmp_path: Path, wrong: str, right: str, message: str) -> None:
    path = tmp_path / "schema.json"
    path.write_text(GOOD)
    assert [rule.name for rule in load(path).columns] == ["a", "columns"]
    head, _, tail = GOOD.rpartition(right) if right == '{"name": "columns"' else GOOD.partition(right)
    path.write_text(head + wrong + tail)
    with pytest.raises(BadInput) as caught:
        load(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}, line ")


def test_no_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        load(tmp_path / "schema.json")
