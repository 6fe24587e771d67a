"""Recipes: what each step makes of values, the same for one row as for many, stored without code."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer

from everloop.adapters.sklearn import transform
from everloop.adapters.sklearn.features import Features
from everloop.core.errors import BadInput, EverloopError, NotFound
from everloop.core.recipes import Recipe, Step
from everloop.data import recipe

PIL_Image = pytest.importorskip("PIL.Image")
soundfile = pytest.importorskip("soundfile")

ROWS = 60


def png(at: int, *, size: tuple[int, int] = (8, 6), mode: str = "L") -> bytes:
    rng = np.random.default_rng(at)
    shape = (size[1], size[0]) + ((3,) if mode == "RGB" else ())
    buffer = io.BytesIO()
    PIL_Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def wav(at: int, *, rate: int = 8000, seconds: float = 0.1, hertz: float | None = None, channels: int = 1) -> bytes:
    time = np.arange(int(rate * seconds)) / rate
    samples = 0.5 * np.sin(2 * np.pi * (hertz or 200.0 + 50 * at) * time)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.repeat(samples[:, None], channels, axis=1), rate, format="WAV")
    return buffer.getvalue()


def table(rows: int = ROWS, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    words = ["free", "call", "now", "hello", "meet", "you", "tomorrow", "win"]

    def gaps(values: list[Any]) -> list[Any]:
        return [None if rng.random() < 0.1 else value for value in values]

    return pl.DataFrame(
        {
            "temp": gaps(rng.normal(10, 5, rows).tolist()),
            "rides": gaps(rng.integers(0, 100, rows).tolist()),
            "holiday": gaps((rng.random(rows) < 0.3).tolist()),
            "city": gaps([["Ulm", "Bonn", "Kiel", "Jena"][at] for at in rng.choice(4, rows, p=[0.5, 0.3, 0.15, 0.05])]),
            "note": gaps([" ".join(words[at] for at in rng.integers(0, len(words), rng.integers(0, 7))) for _ in range(rows)]),
            "when": gaps([datetime(2026, 1, 1) + timedelta(minutes=int(at)) for at in rng.integers(0, 500_000, rows)]),
            "picture": gaps([png(at) for at in range(rows)]),
            "sound": gaps([wav(at) for at in range(rows)]),
            "embedding": gaps(rng.normal(size=(rows, 3)).tolist()),
            "tags": gaps([[words[at] for at in rng.integers(0, 4, 2)] for _ in range(rows)]),
        },
        schema_overrides={"when": pl.Datetime("us"), "picture": pl.Binary, "sound": pl.Binary},
    )


def twice(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(double=pl.col("temp") * 2, late=pl.col("when").dt.hour() > 17)


STEPS: dict[str, tuple[Step, ...]] = {
    "impute": (recipe.impute("temp", "city", flag=True), recipe.one_hot("city")),
    "impute mean": (recipe.impute("temp", "rides", how="mean"),),
    "scale": (recipe.scale("temp", "rides"),),
    "scale min_max": (recipe.scale("temp", how="min_max"),),
    "scale robust": (recipe.scale("temp", how="robust"),),
    "scale log": (recipe.scale("temp", "holiday", how="log"),),
    "keep": (recipe.keep(recipe.of_kind("int", "float", "bool")),),
    "one_hot": (recipe.one_hot("city", "rides", "holiday", max_categories=5),),
    "ordinal": (recipe.ordinal("city", "rides"),),
    "ordinal in order": (recipe.ordinal("city", order=["Kiel", "Ulm"]),),
    "hashed": (recipe.hashed("city", "rides", buckets=6),),
    "bucket": (recipe.bucket("temp", bins=4), recipe.bucket("rides", bins=[10, 50], one_hot=False)),
    "bucket by width": (recipe.bucket("temp", bins=4, how="width", one_hot=False),),
    "text": (recipe.text("note"),),
    "text hashed": (recipe.text("note", how="hashed", of="chars", ngrams=(2, 3), max_features=40),),
    "text sparse": (recipe.text("note", sparse=True), recipe.scale("temp")),
    "two texts": (recipe.text("note"), recipe.text("note", of="chars", ngrams=(1, 2))),
    "dates": (recipe.dates("when", parts=["year", "month", "day", "day_of_year", "weekday", "hour", "minute", "days"]),),
    "dates plain": (
        recipe.dates("when", parts=["hour", "days"], cyclic=False, since="2025-12-31T12:00"),
        recipe.bucket("when.hour", bins=3),
    ),
    "image": (recipe.image("picture", size=(4, 5)),),
    "image rgb": (recipe.image("picture", size=(3, 2), mode="rgb"),),
    "image in its shape": (recipe.image("picture", size=(8, 6), flatten=False),),
    "audio": (recipe.audio("sound", rate=6000, mels=10),),
    "flatten": (recipe.flatten("embedding"),),
    "multi_hot": (recipe.multi_hot("tags"),),
    "transformer": (recipe.impute("temp", "rides"), recipe.transformer(PCA(2), "temp", "rides")),
    "custom": (recipe.impute("temp"), recipe.custom(twice, "temp", "when", names=["double", "late"]), recipe.scale("double")),
}


@pytest.fixture(scope="module")
def training() -> pl.DataFrame:
    return table()


@pytest.fixture(scope="module")
def others() -> pl.DataFrame:
    """Rows with values that training did not have."""
    return table(40, seed=1).with_columns(city=pl.when(pl.int_range(pl.len()) % 7 == 0).then(pl.lit("Rom")).otherwise("city"))


def dense(features: Any) -> np.ndarray[Any, Any]:
    return features.toarray() if sparse.issparse(features) else np.asarray(features)


def fitted(training: pl.DataFrame, what: Recipe) -> Any:
    columns = [column.name for column in what.features(columns_of(training))]
    return transform.load(transform.fit(training.select(columns), what)), columns


def columns_of(frame: pl.DataFrame) -> Any:
    from everloop.data.kinds import columns_of

    return columns_of(frame)


@pytest.mark.parametrize("name", STEPS)
def test_a_batch_is_its_rows_one_by_one(name: str, training: pl.DataFrame, others: pl.DataFrame) -> None:
    transformer, columns = fitted(training, Recipe(*STEPS[name], rest="drop"))
    featured = Features(transformer, columns)
    whole = dense(featured(others))
    assert len(whole) == others.height
    one_by_one = np.concatenate([dense(featured(others[at])) for at in range(others.height)])
    np.testing.assert_array_equal(one_by_one, whole)
    np.testing.assert_array_equal(dense(featured(others[::-1]))[::-1], whole)
    assert np.isfinite(whole).all()
    labels = transformer.get_feature_names_out()
    assert len(labels) == len(set(labels)) == whole.reshape(others.height, -1).shape[1]


ODD = st.one_of(
    st.none(), st.sampled_from(["", " ", "a", "A b", "nan", "(missing)", "é é", "1", "\x00", "long " * 9]), st.text(max_size=12)
)
NUMBER = st.one_of(st.none(), st.floats(-1e9, 1e9), st.sampled_from([0.0, -0.0, 1e-300, float("nan")]))
MOMENT = st.one_of(st.none(), st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)))
TAGS = st.one_of(st.none(), st.lists(st.one_of(st.none(), st.sampled_from(["x", "y", "é"])), max_size=4))
ROW = st.tuples(NUMBER, st.none() | st.integers(-(2**60), 2**60), st.none() | st.booleans(), ODD, ODD, MOMENT, TAGS)
SCHEMA = {
    "temp": pl.Float64,
    "rides": pl.Int64,
    "holiday": pl.Boolean,
    "city": pl.String,
    "note": pl.String,
    "when": pl.Datetime("us"),
    "tags": pl.List(pl.String),
}
ALL_AT_ONCE = Recipe(
    recipe.impute("temp", flag=True),
    recipe.scale("temp", how="robust"),
    recipe.bucket("rides", bins=3),
    recipe.ordinal("holiday"),
    recipe.one_hot("city", max_categories=3),
    recipe.hashed("city", buckets=4),
    recipe.text("note", how="hashed", of="chars", ngrams=(1, 2), max_features=16),
    recipe.dates("when", parts=["year", "month", "day", "weekday", "hour", "days"]),
    recipe.multi_hot("tags"),
)


@given(st.lists(ROW, min_size=1, max_size=30), st.lists(ROW, min_size=1, max_size=25))
@settings(max_examples=25, deadline=None)
def test_whatever_the_rows_hold_a_batch_is_its_rows(train: list[Any], rows: list[Any]) -> None:
    known, asked = (pl.DataFrame(given, schema=SCHEMA, orient="row") for given in (train, rows))
    transformer, columns = fitted(known, ALL_AT_ONCE)
    featured = Features(transformer, columns)
    whole = featured(asked)
    assert np.isfinite(whole).all()
    np.testing.assert_array_equal(np.concatenate([featured(asked[at]) for at in range(asked.height)]), whole)
    assert featured(known).shape[1] == whole.shape[1] == len(transformer.get_feature_names_out())


@pytest.mark.parametrize("name", [name for name in STEPS if name != "custom"])
def test_a_stored_recipe_holds_no_code_and_is_stored_the_same_again(name: str, training: pl.DataFrame, others: pl.DataFrame) -> None:
    what = Recipe(*STEPS[name], rest="drop" if name == "image in its shape" else "standard")
    train = training.select([column.name for column in what.features(columns_of(training))])
    data = transform.fit(train, what)
    assert data.startswith(b"PK")
    assert transform.fit(train, what) == data
    again = transform.load(transform.load(data) and data)
    np.testing.assert_array_equal(dense(again.transform(others)), dense(transform.load(data).transform(others)))


@pytest.mark.parametrize("name", STEPS)
def test_a_pandas_frame_means_the_same(name: str, training: pl.DataFrame, others: pl.DataFrame) -> None:
    """As MLflow's clients send it: lists as JSON text, integers with gaps as floats."""
    transformer, columns = fitted(training, Recipe(*STEPS[name], rest="drop"))
    rows = others.select(columns)
    lists = [column for column in columns if column in ("embedding", "tags")]
    sent = rows.with_columns(
        pl.Series(column, [None if row is None else json.dumps(row) for row in rows[column].to_list()], pl.String) for column in lists
    )
    np.testing.assert_array_equal(dense(transformer.transform(sent.to_pandas())), dense(transformer.transform(rows)))


def test_another_process_makes_the_same_bytes(tmp_path: Path, training: pl.DataFrame) -> None:
    train = training.select("temp", "rides", "holiday", "city", "note", "when")
    train.write_parquet(tmp_path / "train.parquet")
    code = (
        "import sys, polars as pl\nfrom everloop import Recipe, recipe\nfrom everloop.adapters.sklearn import transform\nfrom everloop.core.digest import digest\n"
        "what = Recipe(recipe.text('note'), recipe.dates('when'), recipe.hashed('city'), recipe.multi_hot)\n"
    ).replace(", recipe.multi_hot", "")
    code += "import hashlib; print(hashlib.sha256(transform.fit(pl.read_parquet(sys.argv[1]), what)).hexdigest())"
    found = {
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "train.parquet")],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


def test_tf_idf_is_scikit_learns(training: pl.DataFrame, others: pl.DataFrame) -> None:
    transformer, columns = fitted(training, Recipe(recipe.text("note", ngrams=(1, 2), min_rows=3), rest="drop"))
    reference = TfidfVectorizer(ngram_range=(1, 2), min_df=3).fit(training["note"].fill_null("").to_list())
    expected = reference.transform(others["note"].fill_null("").to_list()).toarray()
    assert [label.removeprefix("note:") for label in transformer.get_feature_names_out()] == list(reference.get_feature_names_out())
    np.testing.assert_allclose(transformer.transform(others.select(columns)), expected, atol=1e-12)


def test_only_the_most_frequent_words_stay_and_wide_texts_are_sparse() -> None:
    words = [f"word{at}" for at in range(400)]
    train = pl.DataFrame({"t": [" ".join(words[: 400 - at]) for at in range(30)], "x": range(30)})
    few, _ = fitted(train, Recipe(recipe.text("t", max_features=3)))
    assert [label for label in few.get_feature_names_out() if label.startswith("t:")] == ["t:word0", "t:word1", "t:word10"]
    wide, _ = fitted(train, Recipe(recipe.text("t")))
    features = wide.transform(train)
    assert sparse.issparse(features)
    assert features.shape == (30, 400)
    assert isinstance(fitted(train, Recipe(recipe.text("t", sparse=False)))[0].transform(train), np.ndarray)


def test_what_no_step_takes_is_as_without_a_recipe(training: pl.DataFrame, others: pl.DataFrame) -> None:
    plain = ["temp", "rides", "holiday", "city"]
    standard = transform.load(transform.fit(training.select(plain)))
    expected = Features(standard, plain)(others)
    transformer, columns = fitted(training.select(plain), Recipe())
    assert columns == plain
    found = transformer.transform(others.select(plain))
    np.testing.assert_allclose(found[:, :3], expected[:, :3], atol=1e-12)
    assert list(transformer.get_feature_names_out()[3:]) == ["city=Bonn", "city=Jena", "city=Kiel", "city=Ulm", "city=(missing)"]
    unscaled, _ = fitted(training.select(plain), Recipe(rest="unscaled"))
    there = others["temp"].is_not_null().to_numpy()
    np.testing.assert_array_equal(unscaled.transform(others.select(plain))[there, 0], others["temp"].drop_nulls())


def test_the_values_of_numbers() -> None:
    train = pl.DataFrame({"x": [1.0, 2.0, 3.0, None, 6.0], "k": [5.0, 5.0, 5.0, 5.0, 5.0]})
    rows = pl.DataFrame({"x": [None, 4.0], "k": [None, 7.0]})

    def made(*steps: Step, **options: Any) -> list[list[float]]:
        return fitted(train, Recipe(*steps, rest="drop", **options))[0].transform(rows).tolist()

    assert made(recipe.impute("x")) == [[2.5], [4.0]]
    assert made(recipe.impute("x", how=-1.0, flag=True)) == [[-1.0, 1.0], [4.0, 0.0]]
    assert made(recipe.keep("x")) == [[2.5], [4.0]]
    assert made(recipe.keep("x"), missing="keep")[1] == [4.0]
    assert np.isnan(made(recipe.keep("x"), missing="keep")[0][0])
    assert made(recipe.scale("x", how="min_max")) == [[0.30000000000000004], [0.6]] or made(recipe.scale("x", how="min_max"))[1] == [0.6]
    # What does not vary is centred only.
    assert made(recipe.scale("k")) == [[0.0], [2.0]]
    assert made(recipe.bucket("x", bins=[2, 4], one_hot=False), missing="keep")[1] == [2.0]
    assert made(recipe.bucket("x", bins=[2, 4])) == [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]


def test_the_values_of_categories() -> None:
    train = pl.DataFrame({"c": ["b"] * 3 + ["a"] * 3 + ["z", None]})
    rows = pl.DataFrame({"c": ["a", "z", "new", None]})
    transformer, _ = fitted(train, Recipe(recipe.one_hot("c", max_categories=2)))
    assert list(transformer.get_feature_names_out()) == ["c=a", "c=b", "c=(other)", "c=(missing)"]
    assert transformer.transform(rows).argmax(axis=1).tolist() == [0, 2, 2, 3]
    complete, _ = fitted(train[:6], Recipe(recipe.one_hot("c")))
    assert complete.transform(rows).tolist() == [[1, 0], [0, 0], [0, 0], [0, 0]]
    places, _ = fitted(train, Recipe(recipe.ordinal("c", order=["z", "a"]), missing="keep"))
    assert places.transform(rows[:3]).tolist() == [[1], [0], [-1]]


@given(st.lists(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)), min_size=1, max_size=20))
@settings(max_examples=40, deadline=None)
def test_parts_of_dates_are_pythons(moments: list[datetime]) -> None:
    rows = pl.DataFrame({"t": moments}, schema={"t": pl.Datetime("us")})
    parts = ["year", "month", "day", "day_of_year", "weekday", "hour", "minute"]
    transformer, _ = fitted(rows, Recipe(recipe.dates("t", parts=parts, cyclic=False)))  # type: ignore[arg-type]
    expected = [[t.year, t.month, t.day, t.timetuple().tm_yday, t.weekday(), t.hour, t.minute] for t in moments]
    assert np.floor(transformer.transform(rows)).tolist() == expected


def test_the_hour_before_midnight_is_next_to_the_hour_after() -> None:
    rows = pl.DataFrame({"t": [datetime(2026, 1, 1, hour) for hour in (23, 0, 1, 12)]})
    transformer, _ = fitted(rows, Recipe(recipe.dates("t", parts=["hour"])))
    assert list(transformer.get_feature_names_out()) == ["t.hour.sin", "t.hour.cos"]
    points = transformer.transform(rows)
    away = np.linalg.norm(points - points[1], axis=1)
    assert away[0] == pytest.approx(away[2])
    assert away[3] == pytest.approx(2)


def test_a_date_and_a_time_of_the_same_moment_are_equal() -> None:
    """What a snapshot holds as a date comes as a time when serving."""
    rows = pl.DataFrame({"t": [datetime(2026, 3, 1), datetime(2026, 5, 7)] * 20})
    as_dates = rows.cast(pl.Date)
    transformer, _ = fitted(as_dates, Recipe(recipe.dates("t")))
    np.testing.assert_array_equal(transformer.transform(as_dates), transformer.transform(rows))
    np.testing.assert_array_equal(transformer.transform(as_dates[:2]), transformer.transform(rows.cast(pl.Datetime("ns")))[:2])


def test_pixels_are_pillows() -> None:
    rows = pl.DataFrame({"p": [png(1), png(2)]})
    transformer, _ = fitted(rows, Recipe(recipe.image("p", size=(8, 6))))
    expected = np.asarray(PIL_Image.open(io.BytesIO(rows["p"][0])), dtype=float).reshape(-1) / 255
    np.testing.assert_array_equal(transformer.transform(rows)[0], expected)
    shaped, _ = fitted(rows, Recipe(recipe.image("p", size=(8, 6), mode="rgb", flatten=False)))
    assert shaped.transform(rows).shape == (2, 6, 8, 3)


def test_sixteen_bits_are_scaled_down_and_not_cut_off() -> None:
    buffer = io.BytesIO()
    PIL_Image.fromarray(np.array([[0, 32768], [65535, 257]], dtype=np.uint16)).save(buffer, "PNG")
    rows = pl.DataFrame({"p": [buffer.getvalue()]})
    transformer, _ = fitted(rows, Recipe(recipe.image("p", size=(2, 2))))
    np.testing.assert_allclose(transformer.transform(rows)[0], [0, 0.5, 1, 1 / 255], atol=0.003)


def test_a_tone_is_in_its_band_whatever_the_rate_and_channels() -> None:
    from everloop.adapters.sklearn.recipe.sounds import filters

    tones = [wav(0, hertz=1000, seconds=0.4), wav(0, hertz=1000, rate=16_000, channels=2, seconds=0.4), wav(0, hertz=2500, seconds=0.4)]
    rows = pl.DataFrame({"s": tones})
    transformer, _ = fitted(rows, Recipe(recipe.audio("s", rate=8000, mels=20)))
    loudest = transformer.transform(rows)[:, :20].argmax(axis=1)
    bands = filters(8000, 256, 20)
    hertz = np.linspace(0, 4000, bands.shape[1])
    assert loudest.tolist() == [bands[:, np.abs(hertz - tone).argmin()].argmax() for tone in (1000, 1000, 2500)]


def test_damaged_files_are_named() -> None:
    for step, data in ((recipe.image("f"), png(0)), (recipe.audio("f"), wav(0))):
        with pytest.raises(BadInput, match=rf"Recipe step '{step.does}': row 1, column 'f': 7 bytes are no"):
            fitted(pl.DataFrame({"f": [data, b"damaged"]}), Recipe(step))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_huge_image_in_a_small_file_is_not_unpacked() -> None:
    buffer = io.BytesIO()
    PIL_Image.new("1", (12_000, 10_000)).save(buffer, "PNG")
    assert len(buffer.getvalue()) < 100_000
    with pytest.raises(BadInput, match=r"12000 x 10000 pixels"):
        fitted(pl.DataFrame({"f": [buffer.getvalue()]}), Recipe(recipe.image("f")))


def test_a_users_function_travels_by_value_and_its_edit_is_another_transform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    train = pl.DataFrame({"x": [1.0, 2.0]})
    made: list[bytes] = []
    for factor in (2, 3):
        (tmp_path / "helper_of_mine.py").write_text(f"def times(x):\n    return x * {factor}\n")
        (tmp_path / "mine.py").write_text("import helper_of_mine\n\ndef more(frame):\n    return helper_of_mine.times(frame['x'])\n")
        for name in ("mine", "helper_of_mine"):
            sys.modules.pop(name, None)
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
        import mine  # type: ignore[import-not-found]

        sys.dont_write_bytecode = before
        made.append(transform.fit(train, Recipe(recipe.custom(mine.more, "x"))))
    assert made[0] != made[1]
    for name in ("mine", "helper_of_mine"):
        sys.modules.pop(name, None)
    (tmp_path / "mine.py").unlink()
    (tmp_path / "helper_of_mine.py").unlink()
    assert [transform.load(data).transform(train).tolist() for data in made] == [[[2.0], [4.0]], [[3.0], [6.0]]]


def test_a_transformer_with_a_function_is_a_pickle_and_one_without_is_not(training: pl.DataFrame) -> None:
    train = training.select("temp").drop_nulls()
    assert transform.fit(train, Recipe(recipe.transformer(KBinsDiscretizer(3), "temp"))).startswith(b"PK")
    assert not transform.fit(train, Recipe(recipe.transformer(FunctionTransformer(lambda x: x), "temp"))).startswith(b"PK")


def test_later_steps_take_what_earlier_ones_made() -> None:
    rows = pl.DataFrame({"t": [datetime(2026, 1, 1, hour) for hour in range(24)], "a": [1.0, 2.0] * 12})
    what = Recipe(recipe.dates("t", parts=["hour"], cyclic=False), recipe.bucket("t.hour", bins=[6, 12, 18]), recipe.drop("a"))
    transformer, columns = fitted(rows, what)
    assert columns == ["t"]
    assert transformer.transform(rows).argmax(axis=1).tolist() == [at // 6 for at in range(24)]


def test_what_a_recipe_takes(training: pl.DataFrame) -> None:
    def names(*steps: Step, **options: Any) -> list[str]:
        return [column.name for column in Recipe(*steps, **options).features(columns_of(training))]

    assert names() == ["temp", "rides", "holiday", "city", "note"]
    assert names(recipe.dates("when"), recipe.drop("note")) == ["temp", "rides", "holiday", "city", "when"]
    assert names(recipe.scale(recipe.of_kind("float", "int", but=["rides"])), rest="drop") == ["temp"]
    with pytest.raises(BadInput, match=r"'scale': Column 'tmp' does not exist. Did you mean 'temp'"):
        names(recipe.scale("tmp"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (recipe.scale, "names no column"),
        (lambda: recipe.scale("a", how="standart"), "Did you mean 'standard'"),
        (lambda: recipe.dates("a", parts=["hours"]), "Did you mean 'hour'"),
        (lambda: recipe.dates("a", since="yesterday"), "no date in ISO 8601"),
        (lambda: recipe.dates("a", parts="hour"), "must be a list"),
        (lambda: recipe.bucket("a", bins=[3, 1]), "must rise"),
        (lambda: recipe.text("a", ngrams=(2, 1)), "shortest, longest"),
        (lambda: recipe.one_hot("a", max_categories=0), "at least 1"),
        (lambda: recipe.of_kind("number"), "Kind 'number' does not exist"),
        (lambda: recipe.custom(3, "a"), "must be a function"),
        (lambda: recipe.transformer(PCA, "a"), "an instance of"),
        (lambda: Recipe("scale"), "not a str"),
        (lambda: Recipe(rest="all"), "does not exist"),
        (lambda: recipe.scale(3), "columns are names"),
    ],
)
def test_wrong_words_are_answered_when_they_are_written(make: Any, message: str) -> None:
    with pytest.raises(EverloopError, match=message):
        make()


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (recipe.scale("note"), r"Recipe step 'scale': Column 'note' is String; a step that takes numbers"),
        (recipe.text("temp"), r"'temp' is Float64; a step that takes texts"),
        (recipe.dates("note"), r"'note' is String, not a date or time.*Files\(\.\.\., time='note'\)"),
        (recipe.image("note"), r"'note' is String; a step that takes the bytes"),
        (recipe.flatten("temp"), "a step that takes lists"),
        (recipe.impute("note", how=3.0), "is text and cannot be filled with 3.0"),
        (recipe.impute("temp", how="none"), "holds numbers and cannot be filled with 'none'"),
        (recipe.text("city", min_rows=1000), "no word of 'city' occurs in 1000 training rows"),
        (recipe.custom(lambda frame: frame["temp"][:3], "temp"), r"gave an array of shape \(3,\) for 60 rows"),
        (recipe.image("picture", flatten=False), "must be the only feature"),
    ],
)
def test_what_a_step_cannot_take_is_answered_with_its_name(step: Step, message: str, training: pl.DataFrame) -> None:
    with pytest.raises(BadInput, match=message):
        fitted(training, Recipe(step))


def test_a_text_that_nothing_encodes_is_pointed_out(training: pl.DataFrame) -> None:
    with pytest.raises(BadInput, match="'city' is still text"):
        fitted(training, Recipe(recipe.impute("city"), rest="drop"))
    assert fitted(training.select("city"), Recipe(recipe.impute("city")))[0].transform(training).shape == (60, 4)


def test_infinite_numbers_are_refused(training: pl.DataFrame) -> None:
    with pytest.raises(BadInput, match=r"infinite.*'temp'"):
        fitted(training.with_columns(temp=pl.lit(np.inf)), Recipe())


def test_a_missing_column_is_named(training: pl.DataFrame) -> None:
    transformer, _ = fitted(training, Recipe(recipe.scale("temp"), rest="drop"))
    with pytest.raises(BadInput, match="needs the column 'temp'"):
        transformer.transform(pd.DataFrame({"other": [1.0]}))


def test_an_unknown_transform_is_answered() -> None:
    with pytest.raises(NotFound, match="Did you mean 'unscaled'"):
        transform.fit(pl.DataFrame({"a": [1]}), "unscald")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_an_mlflow_client_opens_a_model_with_a_recipe(tmp_path: Path, training: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow.pyfunc
    from sklearn.linear_model import LogisticRegression

    from everloop.adapters.sklearn import model, trainer
    from everloop.core.models import Candidate
    from everloop.core.ports import Examples
    from everloop.core.tables import Column

    what = Recipe(
        recipe.text("note"),
        recipe.dates("when"),
        recipe.image("picture", size=(4, 4)),
        recipe.audio("sound", mels=8),
        recipe.flatten("embedding"),
    )
    features = what.features(columns_of(training))
    frame = training.select([column.name for column in features])
    train = Examples(frame, pl.Series("y", ["yes", "no"] * (ROWS // 2)))
    fitted_ = trainer.fit(
        LogisticRegression(), train, train, transform=transform.fit(frame, what), params={}, seed=0, task="classification", target=Column("y", "text"),
        features=features, folder=tmp_path,
    )  # fmt: skip
    assert (fitted_.flavor, fitted_.trusted) == ("sklearn", True)
    assert {"everloop", "polars", "pillow", "soundfile"} <= set(fitted_.libraries)
    candidate = Candidate(
        prepared="p", model="m", signature=fitted_.signature, flavor="sklearn", trusted=True, estimator="e", params={}, seed=0, environment={}
    )  # fmt: skip
    ours = model.load(tmp_path, candidate).predict(frame)
    sent = frame.with_columns(
        embedding=pl.Series([None if row is None else json.dumps(row) for row in frame["embedding"].to_list()], dtype=pl.String)
    ).to_pandas()
    assert list(mlflow.pyfunc.load_model(str(tmp_path)).predict(sent)) == ours.outputs.tolist()
    required = (tmp_path / "requirements.txt").read_text()
    assert "everloop==" in required
    assert "soundfile==" in required
