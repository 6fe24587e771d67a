from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.errors import BadInput, NotFound
from everloop.core.schemas import OF_A_COLUMN, TOLERANT, ColumnRule, Freshness, Key, RowRule, Schema
from everloop.core.tables import Kind
from everloop.data.profile import summarise
from everloop.data.schema import accept, difference, infer, load, save
from everloop.store import records

NAMES = st.text(min_size=1, max_size=8)
SHARES = st.floats(0, 1)
WEIGHTS = st.sampled_from(["stop", "warn"])


@st.composite
def rules(draw: st.DrawFn) -> ColumnRule:
    kind: Kind = draw(st.sampled_from(["int", "float", "bool", "text", "time", "bytes", "list"]))
    fields: dict[str, Any] = {}
    if kind in ("int", "float"):
        fields |= {"low": draw(st.none() | st.floats(-1e9, 0)), "high": draw(st.none() | st.floats(0, 1e9))}
    if kind == "int":
        fields["vocabulary"] = draw(st.none() | st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4).map(tuple))
    if kind == "text":
        fields["vocabulary"] = draw(st.none() | st.lists(st.text(max_size=5), max_size=4).map(tuple))
        fields["pattern"] = draw(st.none() | st.just('[a-z"]+'))
    if kind in ("text", "bytes", "list"):
        fields |= {"min_length": draw(st.none() | st.integers(0, 3)), "max_length": draw(st.none() | st.integers(3, 9))}
    nullable = draw(st.booleans())
    return ColumnRule(
        name=draw(NAMES),
        kind=kind,
        required=draw(st.booleans()),
        nullable=nullable,
        max_null_share=draw(st.none() | SHARES) if nullable else None,
        unique=draw(st.booleans()),
        severity=draw(st.none() | WEIGHTS | st.dictionaries(st.sampled_from(OF_A_COLUMN), WEIGHTS, min_size=1)),
        tolerance=draw(st.none() | SHARES | st.dictionaries(st.sampled_from(TOLERANT), SHARES, min_size=1)),
        absent_in=tuple(draw(st.sets(st.sampled_from(["training", "evaluation", "serving"])))),
        **fields,
    )


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    columns = tuple(draw(st.lists(rules(), min_size=1, max_size=6, unique_by=lambda rule: rule.name)))
    names = [rule.name for rule in columns]
    times = [rule.name for rule in columns if rule.kind == "time"]
    low = draw(st.integers(0, 10**6))
    return Schema(
        dataset=draw(st.text(max_size=8)),
        columns=columns,
        extra_columns=draw(WEIGHTS),
        min_rows=low,
        max_rows=draw(st.none() | st.integers(low, 10**7)),
        keys=tuple(
            draw(st.lists(st.builds(Key, columns=st.lists(st.sampled_from(names), min_size=1).map(tuple), severity=WEIGHTS), max_size=2))
        ),
        freshness=draw(st.builds(Freshness, column=st.sampled_from(times), within=st.just("7d"), severity=WEIGHTS)) if times else None,
        rules=tuple(
            RowRule(check=f"pl.col({name!r}).is_not_null()", name=draw(st.text(max_size=4)), severity=draw(WEIGHTS), tolerance=draw(SHARES))
            for name in (rule.name for rule in columns if rule.kind in ("int", "text"))
        ),
    )


@settings(deadline=None, max_examples=60)
@given(schemas())
def test_a_saved_schema_is_loaded_as_it_was(tmp_path_factory: pytest.TempPathFactory, schema: Schema) -> None:
    path = tmp_path_factory.mktemp("s") / "schema.json"
    save(schema, path)
    assert load(path) == schema
    assert load(path).id == schema.id == records.decode(records.encode(schema)).id
    assert difference(load(path), schema) == []
    lines = path.read_text(encoding="utf-8").split("\n")
    for rule in schema.columns:
        assert sum(line.startswith(f'    {{"name": {json.dumps(rule.name, ensure_ascii=False)}, ') for line in lines) == 1


def test_the_contract_is_what_was_seen() -> None:
    rows = 2000
    frame = pl.DataFrame(
        {
            "n": [3, 1, 2, 1] * 500,
            "x": [0.5, None, 2.0, 1.0] * 500,
            "q": [0.5, float("nan"), 2.0, 1.0] * 500,
            "b": [True, False] * 1000,
            "w": ["b", "a"] * 1000,
            "rare": ["b", "a"] * 999 + ["once", "a"],
            "t": [date(2026, 1, 1)] * rows,
            "z": [None] * rows,
            "number": range(rows),
            "code": [f"{at:04}-AB" for at in range(rows)],
            "note": [f"note {at * 7919 % 1000}" for at in range(rows)],
        }
    )
    schema = infer(summarise(frame, about="s"), dataset="d", target="n")
    assert schema.columns == (
        ColumnRule(name="n", kind="int", low=1.0, high=3.0, absent_in=("serving",)),
        ColumnRule(name="x", kind="float", nullable=True, max_null_share=0.54, low=0.5, high=2.0),
        ColumnRule(name="q", kind="float", nullable=True, max_null_share=0.54, low=0.5, high=2.0),
        ColumnRule(name="b", kind="bool"),
        ColumnRule(name="w", kind="text", vocabulary=("a", "b")),
        ColumnRule(name="rare", kind="text", vocabulary=("a", "b", "once"), tolerance={"categories": 0.01}),
        ColumnRule(name="t", kind="time"),
        ColumnRule(name="z", kind="text", nullable=True, vocabulary=()),
        ColumnRule(name="number", kind="int", unique=True),
        ColumnRule(name="code", kind="text", pattern="[0-9]{4}-[A-Z]{2}", unique=True),
        ColumnRule(name="note", kind="text", min_length=1),
    )


@pytest.mark.parametrize(("different", "closed"), [(50, True), (51, False)])
def test_only_short_vocabularies_are_closed(different: int, closed: bool) -> None:
    frame = pl.DataFrame({"w": [f"w{at}" for at in range(different)] * 2})
    schema = infer(summarise(frame, about=""), dataset="d", target="w")
    assert (schema.columns[0].vocabulary is not None) is closed


def test_words_seen_once_make_no_vocabulary() -> None:
    schema = infer(summarise(pl.DataFrame({"w": [f"w{at}" for at in range(20)]}), about=""), dataset="d", target="w")
    assert schema.columns[0].vocabulary is None


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
FULL = """{
  "dataset": "d",
  "max_rows": 10,
  "freshness": {"column": "at", "within": "7d"},
  "keys": [
    ["a", "at"],
    {"columns": ["b"], "severity": "stop"}
  ],
  "columns": [
    {"name": "a", "kind": "int", "nullable": true, "max_null_share": 0.1, "severity": {"range": "stop"}},
    {"name": "b", "kind": "text", "pattern": "[a-z]+", "min_length": 1, "max_length": 5, "tolerance": 0.01},
    {"name": "at", "kind": "time", "absent_in": ["serving"]}
  ],
  "rules": [
    "pl.col(\\"a\\") > 1",
    {"name": "short", "check": "pl.col(\\"b\\").str.len_chars() < pl.col(\\"a\\")", "severity": "stop"}
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


def test_all_that_a_file_may_say(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text(FULL)
    schema = load(path)
    assert schema.keys == (Key(columns=("a", "at")), Key(columns=("b",), severity="stop"))
    assert schema.rules[1] == RowRule(name="short", check='pl.col("b").str.len_chars() < pl.col("a")', severity="stop")
    assert (schema.freshness, schema.timely) == (Freshness(column="at", within="7d"), True)
    save(schema, path)
    assert load(path) == schema


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ('"max_null_share": 0.1', '"max_null_share": 10', "line 10: 'max_null_share' is a share between 0 and 1, not 10"),
        ('"nullable": true, ', "", "line 10: column 'a' has a max_null_share, but is not nullable"),
        ('"range": "stop"', '"rnage": "stop"', "line 10: check 'rnage' does not exist. Did you mean 'range'"),
        ('"range": "stop"', '"range": "stopp"', 'line 10: \'severity\' is "stop" or "warn"'),
        ('"tolerance": 0.01', '"tolerance": {"nulls": 0.1}', "line 11: check 'nulls' does not exist"),
        ('"[a-z]+"', '"[a-z+"', "line 11: The pattern '[a-z+', character 1: '[' is not closed"),
        ('"[a-z]+"', '"(a+)+"', "line 11: The pattern '(a+)+' can take for ever"),
        ('"kind": "text", "pattern"', '"kind": "int", "pattern"', "line 11: 'pattern' is a form of texts, and column 'b' is int"),
        ('"min_length": 1', '"min_length": 6', "line 11: column 'b' has min_length 6 above max_length 5"),
        ('"absent_in": ["serving"]', '"absent_in": ["servnig"]', "line 12: stage 'servnig' does not exist. Did you mean 'serving'"),
        ('"within": "7d"', '"within": "7 days"', "line 4: 'within' is a time such as 90m"),
        ('"column": "at"', '"column": "b"', "line 4: column 'b' is text, not time"),
        ('["a", "at"]', '["a", "aat"]', "line 6: column 'aat' does not exist. Did you mean 'at'"),
        ('"columns": ["b"]', '"columns": []', "line 7: a key is a list of column names"),
        (
            '"pl.col(\\"a\\") > 1"',
            '"pl.col(\\"aa\\") > 1"',
            "line 15: The rule 'pl.col(\"aa\") > 1', character 1: column 'aa' is not in the schema. Did you mean 'a'?",
        ),
        (".str.len_chars()", ".str.len()", "line 16: The rule"),
        ('"severity": "stop"}\n  ]\n}', '"severity": "halt"}\n  ]\n}', "line 16: severity 'halt' does not exist"),
        ('"max_rows": 10', '"max_rows": 0', "line 3: min_rows 1 is above max_rows 0"),
        ('"max_null_share": 0.1', '"low": NaN', "line 10: NaN is no number here"),
        (
            '"range": "stop"}',
            '"range": "stop"}, "vocabulary": [9223372036854775808]',
            "line 10: 'vocabulary' is a list of texts, or of whole numbers",
        ),
        ('"name": "short", ', '"nam": "short", ', "line 16: field 'nam' does not exist. Did you mean 'name'"),
    ],
)
def test_a_slip_in_any_rule_is_answered_with_its_line(tmp_path: Path, right: str, wrong: str, message: str) -> None:
    path = tmp_path / "schema.json"
    assert right in FULL
    path.write_text(FULL.replace(right, wrong, 1))
    with pytest.raises(BadInput) as caught:
        load(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}, line ")


def test_the_difference_of_two_schemas_is_said_in_sentences() -> None:
    old = Schema(
        dataset="d",
        columns=(
            ColumnRule(name="gone", kind="int"),
            ColumnRule(name="a", kind="int", low=0, high=5),
            ColumnRule(name="w", kind="text", vocabulary=("x", "y")),
        ),
        keys=(Key(columns=("a",)),),
        rules=(RowRule(check='pl.col("a") > 1', name="r"), RowRule(check='pl.col("a") > 2')),
    )
    new = Schema(
        dataset="d",
        columns=(
            ColumnRule(name="a", kind="float", low=0, nullable=True, max_null_share=0.1, unique=True),
            ColumnRule(name="w", kind="text", vocabulary=("x", "z"), pattern="[a-z]", min_length=1),
            ColumnRule(name="new", kind="bool"),
        ),
        extra_columns="warn",
        max_rows=9,
        rules=(RowRule(check='pl.col("a") > 1', name="r", severity="stop"),),
    )
    assert difference(old, new) == [
        "column 'gone' (int) is gone",
        "column 'a' is float, was int",
        "column 'a' may be null now",
        "column 'a' ranges from 0, was from 0 to 5",
        "column 'a' must be unique now",
        "the largest share of nulls of column 'a' is 0.1, was none",
        "column 'w' is from 1 long, was anywhere",
        "column 'w' may be 'z' now",
        "column 'w' may not be 'y' any more",
        "the pattern of column 'w' is '[a-z]', was none",
        "column 'new' (bool) is new",
        "columns that are not in the schema only warn now",
        "the largest number of rows is 9, was none",
        "'a' need not be a key any more",
        "rule 'pl.col(\"a\") > 2' is gone",
        "rule 'r' has changed: severity is 'stop'",
    ]
    assert difference(old, old) == []
    assert difference(new, old) != []


@settings(deadline=None, max_examples=30)
@given(schemas(), schemas())
def test_schemas_that_differ_have_a_difference(a: Schema, b: Schema) -> None:
    assert (difference(a, b) == []) == (a == b)


def test_what_is_no_schema_is_not_accepted(tmp_path: Path) -> None:
    schema = Schema(dataset="d", columns=(ColumnRule(name="a", kind="int"),))
    save(schema, tmp_path / "s.json")
    assert accept(schema, dataset="d") is schema
    assert accept(tmp_path / "s.json", dataset="d") == schema
    with pytest.raises(BadInput, match="dict is no schema"):
        accept({"a": "int"}, dataset="d")


def test_the_example_of_the_documentation_is_a_schema(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "schema.md").read_text()
    path = tmp_path / "bike-demand.json"
    path.write_text(text.partition("```json\n")[2].partition("```")[0])
    schema = load(path)
    assert schema.rules[0].title == "parts add up"
    save(schema, path)
    assert load(path) == schema
