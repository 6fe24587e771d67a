"""The short way through the transform gives what scikit-learn gives, bit for bit."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OrdinalEncoder

from everloop.adapters.sklearn import transform
from everloop.adapters.sklearn.features import FEW_ROWS, Features, matrix
from everloop.core.errors import BadInput, Broken, NotFound

numbers = st.one_of(st.none(), st.floats(-1e6, 1e6, width=32))
whole = st.one_of(st.none(), st.integers(-1000, 1000))
truths = st.one_of(st.none(), st.booleans())
texts = st.one_of(st.none(), st.sampled_from(["a", "b", "", "(missing)", "nan", "None", "é", "long " * 5]), st.text(max_size=4))
SCHEMA = {"number": pl.Float64, "whole": pl.Int64, "truth": pl.Boolean}


@st.composite
def frames(draw: st.DrawFn, *, with_text: bool, most: int = 12) -> pl.DataFrame:
    n = draw(st.integers(1, most))
    columns = {
        "number": draw(st.lists(numbers, min_size=n, max_size=n)),
        "whole": draw(st.lists(whole, min_size=n, max_size=n)),
        "truth": draw(st.lists(truths, min_size=n, max_size=n)),
    }
    schema = dict(SCHEMA)
    if with_text:
        columns |= {name: draw(st.lists(texts, min_size=n, max_size=n)) for name in ("text", "word")}
        schema |= {"text": pl.String, "word": pl.String}
    return pl.DataFrame(columns, schema=schema)


def as_sklearn_sees_it(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col(name).cast(pl.Float64) for name in SCHEMA)


@settings(max_examples=40, deadline=None)
@given(frames(with_text=False), frames(with_text=False))
def test_numbers_as_scikit_learn(train: pl.DataFrame, rows: pl.DataFrame) -> None:
    fitted = transform.load(transform.fit(train))
    assert transform.wants(fitted) == "numeric"
    expected = fitted.transform(as_sklearn_sees_it(rows))
    np.testing.assert_array_equal(Features(fitted, rows.columns)(rows), expected)
    assert np.isfinite(expected).all()


@settings(max_examples=40, deadline=None)
@given(frames(with_text=True), frames(with_text=True))
def test_texts_as_scikit_learn(train: pl.DataFrame, rows: pl.DataFrame) -> None:
    fitted = transform.load(transform.fit(train))
    assert transform.wants(fitted) == "mixed"
    expected = fitted.transform(as_sklearn_sees_it(rows))
    featured = Features(fitted, rows.columns)
    np.testing.assert_array_equal(featured(rows), expected)
    one_by_one = np.vstack([featured(rows[at]) for at in range(rows.height)])
    np.testing.assert_array_equal(one_by_one, expected)


@settings(max_examples=25, deadline=None)
@given(frames(with_text=True), frames(with_text=True))
def test_a_pandas_frame_means_the_same(train: pl.DataFrame, rows: pl.DataFrame) -> None:
    fitted = transform.load(transform.fit(train))
    np.testing.assert_array_equal(fitted.transform(rows.to_pandas()), fitted.transform(as_sklearn_sees_it(rows)))


def test_many_values_and_many_rows() -> None:
    train = pl.DataFrame({"text": [f"v{min(i, 70)}" for i in range(300)], "x": np.arange(300.0)})
    rows = pl.DataFrame({"text": [f"v{i}" for i in range(200)] + [None] * 40, "x": np.arange(240.0)})
    fitted = transform.load(transform.fit(train))
    featured = Features(fitted, ["x", "text"])
    expected = fitted.transform(rows)
    # 70 values seen, of which the rarest share a column.
    assert expected.shape == (240, 1 + transform.MAX_CATEGORIES)
    assert rows.height > FEW_ROWS
    np.testing.assert_array_equal(featured(rows), expected)
    np.testing.assert_array_equal(np.vstack([featured(part) for part in (rows[:100], rows[100:200], rows[200:])]), expected)


def test_only_texts() -> None:
    train = pl.DataFrame({"text": ["a", "b", None]})
    fitted = transform.load(transform.fit(train))
    np.testing.assert_array_equal(Features(fitted, ["text"])(train), np.eye(3)[[1, 2, 0]])


def test_columns_are_found_by_name() -> None:
    train = pl.DataFrame({"a": [1.0, 2.0, 5.0], "b": [10, 20, 40]})
    featured = Features(transform.load(transform.fit(train)), train.columns)
    shuffled = train.select(pl.lit("x").alias("other"), "b", "a")
    np.testing.assert_array_equal(featured(shuffled), featured(train))
    with pytest.raises(BadInput, match="the columns 'b', which"):
        featured(train.drop("b"))


@pytest.mark.parametrize("rows", [1, 16, 17, 100])
def test_a_matrix_is_the_frame(rows: int) -> None:
    frame = pl.DataFrame({"a": np.arange(rows), "b": [None] + [True] * (rows - 1), "c": np.linspace(0, 1, rows, dtype=np.float32)})
    values = matrix(frame)
    assert values.dtype == np.float64
    assert values.flags.c_contiguous
    np.testing.assert_array_equal(values, frame.cast(pl.Float64).to_numpy())


def test_the_users_own_transformer_is_cloned_and_gets_pandas() -> None:
    own = ColumnTransformer([("n", MinMaxScaler(), ["a"]), ("t", OrdinalEncoder(), ["t"])])
    train = pl.DataFrame({"a": [1.0, 3.0], "t": ["x", "y"]})
    data = transform.fit(train, own)
    assert data == transform.fit(train, own)
    assert not hasattr(own, "transformers_")
    fitted = transform.load(data)
    np.testing.assert_array_equal(Features(fitted, train.columns)(train), [[0, 0], [1, 1]])


def test_a_transformer_with_code_travels_too() -> None:
    own = FunctionTransformer(lambda frame: frame[["a"]] * 2)
    train = pl.DataFrame({"a": [1.0, 3.0], "t": ["x", "y"]})
    fitted = transform.load(transform.fit(train, own))
    np.testing.assert_array_equal(np.asarray(Features(fitted, train.columns)(train)), [[2], [6]])


def test_what_cannot_be_transformed_is_refused() -> None:
    with pytest.raises(BadInput, match=r"'when' \(Date"):
        transform.fit(pl.DataFrame({"when": [date(2026, 1, 1)], "a": [1]}))
    with pytest.raises(BadInput, match="no feature column left"):
        transform.fit(pl.DataFrame())
    with pytest.raises(NotFound, match="Did you mean 'unscaled'"):
        transform.fit(pl.DataFrame({"a": [1]}), "scale")
    with pytest.raises(BadInput, match="got int"):
        transform.fit(pl.DataFrame({"a": [1]}), 3)
    with pytest.raises(BadInput, match=r"infinite.*'a'"):
        transform.fit(pl.DataFrame({"a": [1.0, np.inf]}))
    with pytest.raises(Broken):
        transform.load(b"something else")


def test_unscaled_numbers_stay_as_they_are() -> None:
    train = pl.DataFrame({"a": [1.0, 2.0, None, 4.0], "b": [10, 20, 30, 40], "t": ["x", "y", "x", None]})
    for frame, expected in ((train, [[2.0, 10.0], [2.0, 20.0]]), (train.drop("t"), [[2.0, 10.0], [2.0, 20.0]])):
        transformer = transform.load(transform.fit(frame, "unscaled"))
        rows = frame[:2].with_columns(a=pl.Series([None, 2.0]))
        assert Features(transformer, frame.columns)(rows)[:, :2].tolist() == expected
        assert np.asarray(transformer.transform(rows.with_columns(pl.col("b").cast(pl.Float64))))[:, :2].tolist() == expected
