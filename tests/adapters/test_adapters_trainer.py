"""Estimators and training functions -> stored models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from everloop.adapters import function, pickle
from everloop.adapters.sklearn import baselines, model, trainer, transform
from everloop.core.errors import BadInput, Broken
from everloop.core.models import Candidate
from everloop.core.ports import Examples, Fitted
from everloop.core.tables import Column

FEATURES = (Column("x", "float"), Column("n", "int"), Column("t", "text"))


def examples(rows: int = 60, *, target: str = "text", seed: int = 0) -> Examples:
    generator = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {"x": generator.normal(size=rows), "n": generator.integers(0, 9, rows), "t": generator.choice(["a", "b", "c"], rows)}
    )
    positive = (frame["x"] + (frame["t"] == "a").cast(pl.Float64) > 0.3).alias("y")
    match target:
        case "text":
            return Examples(frame, pl.select(pl.when(positive).then(pl.lit("yes")).otherwise(pl.lit("no")).alias("y"))["y"])
        case "int":
            return Examples(frame, positive.cast(pl.Int64) * 8 + 2)  # 2 and 10: sorted as numbers, not as text
        case "bool":
            return Examples(frame, positive)
        case _:
            return Examples(frame, (3 * frame["x"] + frame["n"]).alias("y"))


def fit(
    what: Any, folder: Path, *, target: str = "text", params: dict[str, Any] | None = None, by: Any = None, seed: int = 7
) -> tuple[Fitted, Candidate]:
    train = examples(target=target)
    folder.mkdir(exist_ok=True)
    fitted = (by or (trainer.fit if hasattr(what, "get_params") else function.fit))(
        what,
        train,
        examples(20, target=target, seed=1),
        transform=transform.fit(train.frame),
        params=params or {},
        seed=seed,
        task="regression" if target == "float" else "classification",
        target=Column("y", target),  # pyright: ignore[reportArgumentType]
        features=FEATURES,
        folder=folder,
    )
    candidate = Candidate(
        prepared="prepared-1",
        model="0" * 64,
        signature=fitted.signature,
        flavor=fitted.flavor,
        trusted=fitted.trusted,
        estimator=fitted.estimator,
        params=fitted.params,
        seed=seed,
        environment={},
    )
    return fitted, candidate


@pytest.mark.parametrize(
    ("target", "classes", "kind"),
    [("text", ("no", "yes"), str), ("int", ("2", "10"), int), ("bool", ("false", "true"), bool)],
)
def test_labels_keep_their_type(tmp_path: Path, target: str, classes: tuple[str, ...], kind: type) -> None:
    fitted, candidate = fit(LogisticRegression(), tmp_path / "m", target=target)
    assert (fitted.flavor, fitted.trusted) == ("sklearn", True)
    assert fitted.signature.classes == classes
    part = examples(30, target=target, seed=2)
    outputs, probabilities = model.load(tmp_path / "m", candidate).predict(part.frame)
    assert {type(value) for value in outputs.tolist()} == {kind}
    assert probabilities is not None
    assert probabilities.shape == (30, 2)
    # The columns are in the order of the classes: the larger one is the answer.
    assert [classes[k] for k in probabilities.argmax(axis=1)] == pl.Series(outputs).cast(pl.String).to_list()
    assert np.mean(outputs == part.target.to_numpy()) > 0.7


def test_regression_answers_numbers(tmp_path: Path) -> None:
    fitted, candidate = fit(LinearRegression(), tmp_path / "m", target="float")
    assert fitted.signature.classes == ()
    outputs, probabilities = model.load(tmp_path / "m", candidate).predict(examples(5, target="float", seed=2).frame)
    assert probabilities is None
    np.testing.assert_allclose(outputs, examples(5, target="float", seed=2).target.to_numpy())


def test_no_rows_give_no_answers(tmp_path: Path) -> None:
    _, candidate = fit(LogisticRegression(), tmp_path / "m")
    outputs, probabilities = model.load(tmp_path / "m", candidate).predict(examples().frame.head(0))
    assert len(outputs) == 0
    assert probabilities is not None
    assert probabilities.shape == (0, 2)


def test_one_by_one_equals_at_once(tmp_path: Path) -> None:
    for at, estimator in enumerate(
        [LogisticRegression(), RandomForestClassifier(5, n_jobs=2), make_pipeline(PolynomialFeatures(), LogisticRegression())]
    ):
        _, candidate = fit(estimator, tmp_path / str(at))
        predictor = model.load(tmp_path / str(at), candidate)
        rows = examples(25, seed=3).frame
        outputs, probabilities = predictor.predict(rows)
        for row in range(rows.height):
            one = predictor.predict(rows[row])
            assert one.outputs[0] == outputs[row]
            np.testing.assert_allclose(one.probabilities, probabilities[row : row + 1], atol=1e-12)


def test_parameters_are_set_and_recorded(tmp_path: Path) -> None:
    own = LogisticRegression(max_iter=321)
    fitted, _ = fit(own, tmp_path / "m", params={"C": 0.5})
    assert fitted.params == {"C": 0.5, "max_iter": 321, "random_state": 7}
    assert fitted.estimator == "sklearn.LogisticRegression"
    assert own.C == 1.0
    assert not hasattr(own, "coef_")


def test_a_seed_of_the_users_stays_and_nested_ones_are_set(tmp_path: Path) -> None:
    fitted, _ = fit(RandomForestClassifier(3, random_state=99), tmp_path / "a")
    assert fitted.params["random_state"] == 99
    first, second = (fit(make_pipeline(PolynomialFeatures(), RandomForestClassifier(3)), tmp_path / name, seed=5) for name in "bc")
    assert (tmp_path / "b/model.skops").read_bytes() == (tmp_path / "c/model.skops").read_bytes()
    assert first[0] == second[0]


def test_an_unknown_parameter_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"LogisticRegression has no parameter 'max_iters'. Did you mean 'max_iter'"):
        fit(LogisticRegression(), tmp_path / "m", params={"max_iters": 3})


def test_a_model_of_the_other_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="RandomForestRegressor is a regression model"):
        fit(RandomForestRegressor(), tmp_path / "m")
    with pytest.raises(BadInput, match="LogisticRegression is a classification model"):
        fit(LogisticRegression(), tmp_path / "m", target="float")


# Training functions


def test_a_function_gets_what_its_signature_names(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def everything(train: Any, valid: Any, params: Any, run: Any) -> Any:
        seen.update(train=train, valid=valid, params=params, run=run)
        assert run.folder.is_dir()
        (run.folder / "scratch").write_text("x")
        return LogisticRegression(C=params["c"], random_state=run.seed).fit(train.features, train.target)

    fitted, candidate = fit(everything, tmp_path / "m", params={"c": 2.0})
    assert (fitted.flavor, fitted.trusted, fitted.params) == ("sklearn", True, {"c": 2.0})
    assert "everything -> LogisticRegression" in fitted.estimator
    assert seen["train"].frame.columns == ["x", "n", "t"]
    assert (seen["train"].rows, seen["valid"].rows) == (60, 20)
    assert seen["train"].features.shape == (60, 5)
    assert set(seen["train"].target) == {"yes", "no"}
    assert seen["run"].seed == 7
    assert not seen["run"].folder.exists()
    assert len(model.load(tmp_path / "m", candidate).predict(examples(3).frame).outputs) == 3


def test_fewer_arguments_and_other_names(tmp_path: Path) -> None:
    shapes = [
        lambda train: LogisticRegression().fit(train.features, train.target),
        lambda run, train: LogisticRegression(random_state=run.seed).fit(train.features, train.target),
        lambda data: LogisticRegression().fit(data.features, data.target),
        lambda data, more: LogisticRegression().fit(np.vstack([data.features, more.features]), np.r_[data.target, more.target]),
        lambda *all: LogisticRegression(random_state=all[3].seed).fit(all[0].features, all[0].target),
        lambda **all: LogisticRegression().fit(all["train"].features, all["train"].target),
        lambda train, extra=3, **rest: LogisticRegression(C=extra).fit(train.features, rest["valid"] and train.target),
    ]
    for at, shape in enumerate(shapes):
        assert fit(shape, tmp_path / str(at))[0].flavor == "sklearn"
    for wrong in (lambda train, epochs: None, lambda a, b, c, d, e: None, lambda train, *, epochs: None, lambda a, *, epochs: None):
        with pytest.raises(BadInput, match=r"asks for '(epochs|e)'. It is called with \(train, valid, params, run\)"):
            fit(wrong, tmp_path / "never")


def test_what_comes_back_must_predict(tmp_path: Path) -> None:
    def forgot(train: Any) -> None:
        LogisticRegression().fit(train.features, train.target)

    with pytest.raises(BadInput, match=r"forgot' returned None. It must return the fitted model"):
        fit(forgot, tmp_path / "a")
    with pytest.raises(BadInput, match="returned a dict, which has no predict"):
        fit(lambda train: {"model": 1}, tmp_path / "b")
    with pytest.raises(BadInput, match="cannot predict its own training rows"):
        fit(lambda train: LogisticRegression(), tmp_path / "c")
    with pytest.raises(BadInput, match="answers 'maybe', which is no label of 'y'"):
        fit(lambda train: types.SimpleNamespace(predict=lambda x: ["maybe"] * len(x)), tmp_path / "d")
    with pytest.raises(BadInput, match="1 answers for 8 rows"):
        fit(lambda train: types.SimpleNamespace(predict=lambda x: ["yes"]), tmp_path / "e")


def test_the_users_own_error_comes_out(tmp_path: Path) -> None:
    class Mine(Exception): ...

    def broken(train: Any) -> None:
        raise Mine("my own bug")

    with pytest.raises(Mine, match="my own bug"):
        fit(broken, tmp_path / "m")


def test_logged_metrics_are_kept_beside_the_model(tmp_path: Path) -> None:
    def logs(train: Any, run: Any) -> Any:
        for epoch in range(3):
            run.log_metric("loss", 1 / (epoch + 1), epoch)
        return LogisticRegression().fit(train.features, train.target)

    fit(logs, tmp_path / "m")
    assert json.loads((tmp_path / "m/history.json").read_text()) == [["loss", 1.0, 0], ["loss", 0.5, 1], ["loss", 1 / 3, 2]]


PROJECT = """
import numpy as np

class Rule:
    def __init__(self, limit): self.limit = limit
    def predict(self, features): return np.where(features[:, 0] > self.limit, "yes", "no")
    def predict_proba(self, features):
        p = 1 / (1 + np.exp(self.limit - features[:, 0]))
        return np.stack([1 - p, p], axis=1)

def train_rule(train):
    return Rule(0.25)
"""

OPEN = """
import sys, msgspec, polars as pl
from pathlib import Path
from everloop.adapters import pickle
from everloop.core.models import Candidate
candidate = msgspec.json.decode(sys.stdin.buffer.read(), type=Candidate)
rows = pl.DataFrame({"x": [-3.0, 3.0], "n": [1, 2], "t": ["a", "b"]})
answers = pickle.load(Path(sys.argv[1]), candidate).predict(rows)
assert "own_project" not in sys.modules
print(answers.outputs.tolist(), answers.probabilities.shape)
"""


def test_any_object_that_predicts_is_pickled_with_its_code_and_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import msgspec

    (tmp_path / "own_project.py").write_text(PROJECT)
    monkeypatch.syspath_prepend(str(tmp_path))
    import own_project  # pyright: ignore[reportMissingImports]

    fitted, candidate = fit(own_project.train_rule, tmp_path / "m")
    assert (fitted.flavor, fitted.trusted) == ("pickle", False)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    process = subprocess.run(
        [sys.executable, "-c", OPEN, str(tmp_path / "m")],
        input=msgspec.json.encode(candidate),
        capture_output=True,
        cwd="/",
        env=environment,
        check=False,
    )
    assert process.returncode == 0, process.stderr.decode()
    assert process.stdout.decode().strip() == "['no', 'yes'] (2, 2)"


class OwnEstimator(ClassifierMixin, BaseEstimator):
    """Like scikit-learn's, but not of it."""

    def fit(self, x: Any, y: Any) -> OwnEstimator:
        self.classes_ = np.unique(y)
        return self

    def predict(self, x: Any) -> Any:
        return self.classes_[(x[:, 0] > 0).astype(int)]


def test_an_estimator_that_skops_does_not_trust_is_a_marked_pickle(tmp_path: Path) -> None:
    fitted, candidate = fit(OwnEstimator(), tmp_path / "m")
    assert (fitted.flavor, fitted.trusted) == ("pickle", False)
    assert not (tmp_path / "m/model.skops").exists()
    assert set(pickle.load(tmp_path / "m", candidate).predict(examples(20).frame).outputs) == {"yes", "no"}


# Folders that are not what they should be


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return (os.mkdir, (self.path,))


def test_a_folder_that_asks_for_a_pickle_does_not_get_one(tmp_path: Path) -> None:
    import cloudpickle
    import yaml

    _, candidate = fit(LogisticRegression(), tmp_path / "m")
    marker = tmp_path / "marker"
    (tmp_path / "m/model.pkl").write_bytes(cloudpickle.dumps(Bomb(marker)))
    document = yaml.safe_load((tmp_path / "m/MLmodel").read_text())
    document["flavors"]["sklearn"] |= {"serialization_format": "cloudpickle", "pickled_model": "model.pkl"}
    (tmp_path / "m/MLmodel").write_text(yaml.safe_dump(document))
    assert len(model.load(tmp_path / "m", candidate).predict(examples(3).frame).outputs) == 3
    (tmp_path / "m/model.skops").write_bytes((tmp_path / "m/model.pkl").read_bytes())
    with pytest.raises(Broken, match="cannot be read"):
        model.load(tmp_path / "m", candidate)
    with pytest.raises(Broken, match="recorded as a sklearn model"):
        pickle.load(tmp_path / "m", candidate)
    assert not marker.exists()
    # The planted pickle is live: whoever opens it runs it.
    cloudpickle.loads((tmp_path / "m/model.pkl").read_bytes())
    assert marker.exists()


def test_a_list_of_trusted_types_in_the_folder_is_not_believed(tmp_path: Path) -> None:
    import skops.io
    import yaml

    _, candidate = fit(LogisticRegression(), tmp_path / "m")
    (tmp_path / "m/model.skops").write_bytes(skops.io.dumps(OwnEstimator()))
    document = yaml.safe_load((tmp_path / "m/MLmodel").read_text())
    document["flavors"]["sklearn"]["skops_trusted_types"] = [f"{__name__}.OwnEstimator"]
    (tmp_path / "m/MLmodel").write_text(yaml.safe_dump(document))
    with pytest.raises(Broken, match=r"not trusted: .*OwnEstimator"):
        model.load(tmp_path / "m", candidate)


def test_a_folder_without_its_model_is_broken(tmp_path: Path) -> None:
    _, candidate = fit(LogisticRegression(), tmp_path / "m")
    (tmp_path / "m/model.skops").unlink()
    with pytest.raises(Broken, match=r"has no model.skops"):
        model.load(tmp_path / "m", candidate)


def test_something_else_than_a_pipeline_is_broken(tmp_path: Path) -> None:
    import skops.io

    _, candidate = fit(LogisticRegression(), tmp_path / "m")
    (tmp_path / "m/model.skops").write_bytes(skops.io.dumps({"a": 1}))
    with pytest.raises(Broken, match="no pipeline"):
        model.load(tmp_path / "m", candidate)


@pytest.mark.parametrize("target", ["text", "int", "bool", "float"])
def test_baselines_answer_like_candidates(target: str) -> None:
    train = examples(target=target)
    fitted = baselines.fit(
        train,
        transform=transform.fit(train.frame),
        task="regression" if target == "float" else "classification",
        target=Column("y", target),  # pyright: ignore[reportArgumentType]
        features=FEATURES,
    )
    assert list(fitted) == ["dummy", "linear", "tree"]
    part = examples(200, target=target, seed=5)
    errors: dict[str, float] = {}
    for name, predictor in fitted.items():
        outputs = predictor.predict(part.frame).outputs
        truth = part.target.to_numpy()
        errors[name] = float(np.mean(np.abs(outputs - truth)) if target == "float" else np.mean(outputs != truth))
    assert errors["linear"] < errors["dummy"]
    assert errors["tree"] < errors["dummy"]


def test_baselines_are_cheap_on_many_rows() -> None:
    train = examples(50_000)
    fitted = baselines.fit(
        train, transform=transform.fit(train.frame), task="classification", target=Column("y", "text"), features=FEATURES, seed=3
    )
    assert fitted["tree"].model.tree_.n_node_samples[0] == baselines.MAX_ROWS
