"""A real MLflow client opens what is stored, and gets the same answers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression

from everloop.adapters import function, pickle
from everloop.adapters.sklearn import model, trainer, transform
from everloop.core.models import Candidate, Task
from everloop.core.ports import Examples
from everloop.core.tables import Column, Kind

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

FEATURES = (Column("x", "float"), Column("n", "int"), Column("b", "bool"), Column("t", "text"), Column("gaps", "int"))


def examples(target: Kind) -> Examples:
    generator = np.random.default_rng(0)
    x = generator.normal(size=80)
    frame = pl.DataFrame(
        {
            "x": x,
            "n": generator.integers(0, 9, 80),
            "b": generator.integers(0, 2, 80).astype(bool),
            "t": [None if i % 9 == 0 else "abc"[i % 3] for i in range(80)],
            "gaps": [None if i % 7 == 0 else i for i in range(80)],
        }
    )
    values: dict[str, pl.Series] = {
        "float": pl.Series("y", x * 2),
        "int": pl.Series("y", np.where(x > 0, 10, 2)),
        "bool": pl.Series("y", x > 0),
        "text": pl.Series("y", np.where(x > 0, "yes", "no")),
    }
    return Examples(frame, values[target])


def stored(what: Any, target: Kind, folder: Path) -> tuple[Candidate, pl.DataFrame]:
    folder.mkdir()
    train = examples(target)
    task: Task = "regression" if target == "float" else "classification"
    fit = trainer.fit if hasattr(what, "get_params") else function.fit
    fitted = fit(
        what,
        train,
        train,
        transform=transform.fit(train.frame),
        params={},
        seed=1,
        task=task,
        target=Column("y", target),
        features=FEATURES,
        folder=folder,
    )
    candidate = Candidate(
        prepared="p",
        model="m",
        signature=fitted.signature,
        flavor=fitted.flavor,
        trusted=fitted.trusted,
        estimator="e",
        params={},
        seed=1,
        environment={},
    )
    return candidate, train.frame


@pytest.mark.parametrize(
    ("what", "target"),
    [
        (LinearRegression(), "float"),
        (LogisticRegression(), "int"),
        (LogisticRegression(), "bool"),
        (HistGradientBoostingClassifier(max_iter=3), "text"),
    ],
    ids=["float", "int", "bool", "text"],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_mlflow_opens_it_and_answers_the_same(what: Any, target: Kind, tmp_path: Path) -> None:
    import mlflow.models
    import mlflow.pyfunc
    import mlflow.sklearn

    folder = tmp_path / "m"
    candidate, rows = stored(what, target, folder)
    ours = model.load(folder, candidate).predict(rows)
    frame = rows.to_pandas()

    pipeline = mlflow.sklearn.load_model(str(folder))
    np.testing.assert_array_equal(pipeline.predict(frame), ours.outputs)
    if ours.probabilities is not None:
        np.testing.assert_allclose(pipeline.predict_proba(frame), ours.probabilities, atol=1e-12)

    served = mlflow.pyfunc.load_model(str(folder))
    # Columns in any order, with more than are needed: MLflow lines them up by the stored signature.
    np.testing.assert_array_equal(np.asarray(served.predict(frame.assign(more=1)[["t", "gaps", "x", "more", "b", "n"]])), ours.outputs)
    signature = served.metadata.signature
    assert [(c.name, c.type.name) for c in signature.inputs] == [
        ("x", "double"), ("n", "long"), ("b", "boolean"), ("t", "string"), ("gaps", "double"),
    ]  # fmt: skip
    assert [(c.name, c.type.name) for c in signature.outputs] == [
        ("y", {"float": "double", "int": "long", "bool": "boolean", "text": "string"}[target])
    ]
    with pytest.raises(mlflow.exceptions.MlflowException, match="missing inputs"):
        served.predict(frame.drop(columns="x"))
    assert mlflow.models.Model.load(str(folder)).flavors["sklearn"]["serialization_format"] == "skops"


class Constant:
    def predict(self, features: Any) -> Any:
        return np.full(len(features), "no")


def test_mlflow_opens_a_pickled_model_too(tmp_path: Path) -> None:
    import mlflow.pyfunc

    candidate, rows = stored(lambda train: Constant(), "text", tmp_path / "m")
    assert candidate.flavor == "pickle"
    assert pickle.load(tmp_path / "m", candidate).predict(rows).outputs.tolist() == ["no"] * 80
    assert list(mlflow.pyfunc.load_model(str(tmp_path / "m")).predict(rows.to_pandas())) == ["no"] * 80
