"""The row check of a server breaks on exactly the rows that the check of a table counts."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.errors import BadInput
from everloop.core.models import Signature
from everloop.core.rules.rows import Broken, compile_row
from everloop.core.schemas import OF_A_ROW, ColumnRule, RowRule, Schema
from everloop.core.tables import Column, Kind
from everloop.data.validate import Check
from everloop.serve.frame import Framer

VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    "int": st.none() | st.integers(-5, 5) | st.sampled_from([2**53 + 1, -(2**63)]),
    "float": st.none() | st.floats(-5, 5).map(lambda x: round(x, 1)) | st.sampled_from([float("nan"), float("inf"), float("-inf"), 1e300]),
    "bool": st.none() | st.booleans(),
    "text": st.none() | st.text("ab1é\n", max_size=3),
    "time": st.none() | st.datetimes().map(lambda t: t.isoformat()),
    "bytes": st.none() | st.sampled_from(["", "YQ==", "YWI=", "YWJj"]),
    "list": st.none() | st.lists(st.integers(0, 3), max_size=3).map(lambda v: msgspec.json.encode(v).decode()),
}


@st.composite
def rules(draw: st.DrawFn, at: int) -> tuple[ColumnRule, Kind]:
    """A column's rule, and the kind that the feature really has."""
    kind: Kind = draw(st.sampled_from(sorted(VALUES)))
    fields: dict[str, Any] = {"nullable": draw(st.booleans())}
    if kind in ("int", "float"):
        fields |= {"low": draw(st.none() | st.floats(-4, 0)), "high": draw(st.none() | st.floats(0, 4) | st.just(float(2**53)))}
    if kind == "int":
        fields["vocabulary"] = draw(st.none() | st.lists(st.integers(-5, 5), max_size=5).map(tuple))
    if kind == "text":
        fields["vocabulary"] = draw(st.none() | st.lists(st.text("ab1é\n", max_size=2), max_size=4).map(tuple))
        fields["pattern"] = draw(st.none() | st.sampled_from(["a+b?", r"\w*", "[^a]+", "a.1"]))
    if kind in ("text", "bytes", "list"):
        fields |= {"min_length": draw(st.none() | st.integers(0, 2)), "max_length": draw(st.none() | st.integers(2, 3))}
    real: Kind = {"int": "float", "float": "int"}.get(kind, kind) if draw(st.integers(0, 4)) == 0 else kind  # type: ignore[assignment]
    return ColumnRule(name=f"c{at}", kind=kind, **fields), real


RELATIONS = [
    'pl.col("c0") < pl.col("c1")',
    '(pl.col("c0") + pl.col("c1")).abs() <= 4',
    'pl.col("c0").is_null() | (pl.col("c1") / pl.col("c0") > 1)',
    'pl.col("c0").is_not_null()',
    'pl.col("c0").str.len_chars() >= pl.col("c1")',
    'pl.col("c0").dt.year() > 2000',
]


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Schema, list[Column], list[tuple[Any, ...]]]:
    drawn = [draw(rules(at)) for at in range(draw(st.integers(1, 4)))]
    columns = [rule for rule, _ in drawn]
    features = [Column(rule.name, kind) for rule, kind in drawn]
    row = st.tuples(*(VALUES[feature.kind] for feature in features))
    schema = Schema(dataset="d", columns=tuple(columns), rules=())
    kept: list[RowRule] = []
    for text in draw(st.lists(st.sampled_from(RELATIONS), max_size=2, unique=True)):
        try:
            compile_row(msgspec.structs.replace(schema, rules=(RowRule(check=text),)), features)
            kept.append(RowRule(check=text))
        except BadInput:  # of columns whose kinds it does not fit
            continue
    return msgspec.structs.replace(schema, rules=tuple(kept)), features, draw(st.lists(row, min_size=1, max_size=6))


@settings(max_examples=200, deadline=None)
@given(worlds())
def test_a_row_breaks_what_the_table_counts(world: tuple[Schema, list[Column], list[tuple[Any, ...]]]) -> None:
    schema, features, rows = world
    frame = Framer(Signature(inputs=tuple(features), output=Column("y", "float"), task="regression"))(rows)
    frame = frame.with_columns(pl.col(f.name).cast(pl.List(pl.Int64)) for f in features if f.kind == "list")
    check = compile_row(schema, features)
    by_row: Counter[tuple[str, str]] = Counter()
    for row in rows:
        found = check(row)
        assert len(set(found)) == len(found)
        assert set(found) <= set(check.possible)
        assert all(one.check in OF_A_ROW for one in found)
        by_row.update((one.check, one.subject) for one in found)
    counts = Check(schema, frame.schema)(frame)
    by_table = Counter({tuple(which): count for which, count in counts.broken.items()})
    by_table.update({("nulls", rule.name): counts.missing(rule.name) for rule in schema.columns if not rule.nullable})
    assert +by_row == +by_table


SCHEMA = Schema(
    dataset="d",
    columns=(
        ColumnRule(name="n", kind="int", low=0, high=10),
        ColumnRule(name="w", kind="text", vocabulary=("a", "b")),
        ColumnRule(name="t", kind="time", nullable=True),
        ColumnRule(name="u", kind="time", nullable=True),
        ColumnRule(name="y", kind="float", low=0, absent_in=("serving",)),
    ),
    rules=(
        RowRule(check='pl.col("u") >= pl.col("t")', name="ends later"),
        RowRule(check='pl.col("y") > pl.col("n")', name="of the target"),
    ),
)
FEATURES = [Column("n", "int"), Column("w", "text"), Column("t", "time"), Column("u", "time"), Column("new", "text")]


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ((1, "a", None, None, "x"), []),
        ((11, "a", None, None, "x"), [("range", "n")]),
        ((None, "c", None, None, None), [("nulls", "n"), ("categories", "w")]),
        ((1, "a", "2026-07-02", "2026-07-01T12:00:00", ""), [("rule", "ends later")]),
        ((1, "a", "2026-07-01T12:00:00+02:00", "2026-07-01T10:00:00", ""), []),
        (("1", "a", None, None, ""), [("kind", "n")]),
        ((1, "a", "yesterday", "2026-07-01", ""), [("kind", "t")]),
        ((1, ["a"], None, None, ""), [("kind", "w")]),
        ((1,), [("kind", "w"), ("kind", "t"), ("kind", "u")]),
    ],
)
def test_what_a_row_breaks(row: tuple[Any, ...], found: list[tuple[str, str]]) -> None:
    assert compile_row(SCHEMA, FEATURES)(row) == [Broken(*one) for one in found]


def test_the_target_is_not_asked_for_when_serving() -> None:
    check = compile_row(SCHEMA, FEATURES)
    assert check.skipped == {"of the target": "'y' is no feature"}
    assert Broken("range", "y") not in check.possible
    training = compile_row(SCHEMA, [*FEATURES, Column("y", "float")], stage="training")
    assert training((1, "a", None, None, "", -1.0)) == [Broken("range", "y"), Broken("rule", "of the target")]


def test_a_feature_of_another_kind_is_not_looked_at() -> None:
    assert compile_row(SCHEMA, [Column("n", "text"), Column("w", "text")])(("x", "a")) == []


def test_no_text_of_a_schema_gets_into_the_code() -> None:
    name = '"); raise SystemExit("'
    schema = Schema(dataset="d", columns=(ColumnRule(name=name, kind="text", vocabulary=("'''",), pattern='"+'),))
    check = compile_row(schema, [Column(name, "text")])
    assert "SystemExit" not in check.source
    assert check(("x",)) == [Broken("categories", name), Broken("pattern", name)]
