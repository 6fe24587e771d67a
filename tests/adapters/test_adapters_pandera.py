"""Contracts written for Pandera are taken as they are, or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa
import pandera.polars as pp
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.errors import BadInput, NotFound
from everloop.core.schemas import ColumnRule, Key, RowRule
from everloop.data.kinds import columns_of, normalise
from everloop.data.schema import accept, load, save
from everloop.data.validate import validate

SCHEMA = pp.DataFrameSchema(
    {
        "n": pp.Column(int, [pp.Check.gt(0), pp.Check.in_range(-5, 5, include_max=False)]),
        "x": pp.Column(float, pp.Check.lt(2.5), nullable=True),
        "w": pp.Column(str, [pp.Check.isin(["b", "a"]), pp.Check.str_length(1, 3)]),
        "code": pp.Column(str, [pp.Check.str_matches(r"^[A-Z]\d$"), pp.Check.str_startswith("A")], unique=True),
        "t": pp.Column(pl.Datetime, required=False),
        "b": pp.Column(pl.Boolean, pp.Check.eq(True, raise_warning=True)),
    },
    strict=True,
    unique=["n", "w"],
)


def test_every_check_becomes_a_rule(tmp_path: Path) -> None:
    schema = accept(SCHEMA, dataset="d")
    assert schema.columns == (
        ColumnRule(name="n", kind="int", low=1.0, high=4.0, severity={"nulls": "stop", "range": "stop"}, tolerance=0.0),
        ColumnRule(name="x", kind="float", nullable=True),
        ColumnRule(
            name="w",
            kind="text",
            vocabulary=("a", "b"),
            min_length=1,
            max_length=3,
            severity={"nulls": "stop", "categories": "stop", "lengths": "stop"},
        ),
        ColumnRule(
            name="code", kind="text", pattern=r"^[A-Z]\d$", unique=True, severity={"nulls": "stop", "pattern": "stop", "unique": "stop"}
        ),
        ColumnRule(name="t", kind="time", required=False, severity={"nulls": "stop"}),
        ColumnRule(name="b", kind="bool", severity={"nulls": "stop"}),
    )
    assert schema.rules == (
        RowRule(check="pl.col('x') < 2.5", severity="stop"),
        RowRule(check="pl.col('code').str.starts_with('A')", severity="stop"),
        RowRule(check="pl.col('b') == True", severity="warn"),
    )
    assert (schema.extra_columns, schema.keys) == ("stop", (Key(columns=("n", "w"), severity="stop"),))
    save(schema, tmp_path / "s.json")
    assert load(tmp_path / "s.json") == schema


class Trip(pa.DataFrameModel):
    n: int = pa.Field(ge=0, le=9)
    w: str = pa.Field(isin=["a", "b"], nullable=True)
    x: float = pa.Field(gt=-1, ne=3.0)


def test_a_model_of_pandas_and_a_yaml_file_say_the_same(tmp_path: Path) -> None:
    schema = accept(Trip, dataset="d")
    assert [rule.kind for rule in schema.columns] == ["int", "text", "float"]
    assert {rule.check for rule in schema.rules} == {"pl.col('x') > -1", "pl.col('x') != 3.0"}
    assert schema.extra_columns == "warn"
    Trip.to_schema().to_yaml(tmp_path / "trip.yaml")
    (tmp_path / "orders.yaml").write_text(str(SCHEMA.to_yaml()))
    assert accept(tmp_path / "trip.yaml", dataset="d").columns == schema.columns
    assert accept(str(tmp_path / "orders.yaml"), dataset="d").columns == accept(SCHEMA, dataset="d").columns
    (tmp_path / "odd.yaml").write_text("a: [")
    with pytest.raises(BadInput, match="no schema that Pandera can read"):
        accept(tmp_path / "odd.yaml", dataset="d")
    with pytest.raises(NotFound):
        accept(tmp_path / "none.yaml", dataset="d")


ROWS = st.tuples(st.integers(-2, 11), st.sampled_from(["a", "b", "c", None]), st.floats(-3, 4) | st.sampled_from([3.0, -1.0]))


@settings(deadline=None, max_examples=40)
@given(st.lists(ROWS, min_size=1, max_size=6))
def test_both_say_the_same_of_a_table(rows: list[tuple[Any, ...]]) -> None:
    frame = pd.DataFrame(rows, columns=["n", "w", "x"])
    try:
        Trip.validate(frame, lazy=True)
        fits = True
    except pa.errors.SchemaErrors:
        fits = False
    table = normalise(pl.DataFrame(rows, schema=["n", "w", "x"], orient="row").cast({"w": pl.String}))
    schema = accept(Trip, dataset="d")
    verdict = validate(None, columns_of(table), schema, about="s", frame=table)
    if all(row[1] is None for row in rows):
        # Pandera lets a nullable column be empty; here a column that must be there must have a value somewhere.
        assert {finding.check for finding in verdict.failures} >= {"empty_column"}
    else:
        assert verdict.passed == fits


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        (pp.DataFrameSchema({"a": pp.Column(int, pp.Check(lambda data: True, name="magic"))}), "the check 'magic' of column 'a'"),
        (pa.DataFrameSchema({"a": pa.Column(int, pa.Check(lambda s: s > 0))}), "of column 'a'"),
        (pa.DataFrameSchema({"a": pa.Column(int)}, checks=pa.Check(lambda df: True, name="sums")), "the check 'sums' of the whole table"),
        (pa.DataFrameSchema({"a": pa.Column(int, pa.Check.unique_values_eq([1]))}), "the check 'unique_values_eq' of column 'a'"),
        (pa.DataFrameSchema({"a": pa.Column(str, pa.Check.str_matches("(?i)x"))}), "the check 'str_matches' of column 'a' (The rule"),
        (pa.DataFrameSchema({"x_.*": pa.Column(int, regex=True)}), "the columns that match 'x_.*'"),
        (pa.DataFrameSchema({"a": pa.Column(int)}, index=pa.Index(int)), "the index"),
        (pa.DataFrameSchema({"a": pa.Column(int)}, strict="filter"), "strict='filter'"),
        (pa.DataFrameSchema({"a": pa.Column(int)}, ordered=True), "ordered"),
        (pa.DataFrameSchema({"a": pa.Column(int, default=3)}), "default of column 'a'"),
        (pa.DataFrameSchema({"a": pa.Column(None)}), "the type None of column 'a'"),
        (
            pa.DataFrameSchema({"a": pa.Column(int, [pa.Check.ge(0), pa.Check.le(3, raise_warning=True)])}),
            "the check 'less_than_or_equal_to'",
        ),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(schema: object, named: str) -> None:
    with pytest.raises(BadInput) as caught:
        accept(schema, dataset="d")
    assert named in str(caught.value)
