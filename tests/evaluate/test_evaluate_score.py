"""Candidate -> evaluation, in a real workspace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from everloop.core.errors import BadInput, NotFound
from everloop.core.models import Candidate, Evaluation, Task
from everloop.core.tables import Chunk, Prepared, Snapshot
from everloop.data.kinds import columns_of
from everloop.data.prepare import prepare
from everloop.evaluate import gates
from everloop.evaluate.score import GOLDEN_ROWS, OUTPUT, score
from everloop.store import records
from everloop.store.models import open_model
from everloop.store.parts import load_part
from everloop.store.tables import content_digest, keep_table, load_table
from everloop.store.workspace import Workspace, using
from everloop.train.fit import fit


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace(tmp_path) as workspace, using(workspace):
        yield workspace


def candidate(workspace: Workspace, target: str, model: Any, rows: int = 600) -> tuple[Candidate, Prepared]:
    generator = np.random.default_rng(2)
    x = generator.normal(size=rows)
    frame = pl.DataFrame(
        {
            "x": x,
            "region": pl.Series(generator.choice(["north", "south"], rows).tolist()).set(pl.Series(np.arange(rows) % 50 == 0), None),
            "hour": generator.integers(0, 300, rows),
            target: x * 3 + generator.normal(size=rows)
            if target == "amount"
            else np.where(x + generator.normal(size=rows) / 2 > 0, "up", "down"),
        }
    )
    snapshot = Snapshot(
        dataset="d",
        content=content_digest(frame),
        chunks=(Chunk(blob=keep_table(workspace.blobs, frame), rows=frame.height, bytes=1, digest=""),),
        rows=rows,
        columns=columns_of(frame),
        source="test",
    )
    task: Task = "regression" if target == "amount" else "classification"
    with workspace.write() as tx:
        records.keep(tx, snapshot)
    # The region is no feature, and yet a slice.
    made = prepare(snapshot, target=target, drop=("region",), task=task)
    with workspace.write() as tx:
        records.keep(tx, made)
    return fit(made, model=model, params={}, seed=1, loop="d"), made


def test_an_evaluation_of_a_classifier(here: Workspace) -> None:
    fitted, prepared = candidate(here, "label", LogisticRegression())
    found = score(fitted, prepared, metrics=["accuracy", "log_loss"], slices=["region"])
    with here.read() as tx:
        assert records.load(tx, found.id, Evaluation) == found
    assert found.parents() == {"candidate": fitted.id, "data": prepared.id}
    features, truth = load_part(here, prepared, "test")
    answers = open_model(here, fitted).predict(features)

    accuracy = found.metric("accuracy")
    assert accuracy is not None
    assert accuracy.value == pytest.approx(float(np.mean(answers.outputs == truth.to_numpy())))
    assert accuracy.n == truth.len()
    assert accuracy.low is not None
    assert accuracy.low < accuracy.value < (accuracy.high or 0)
    assert sum(sum(line) for line in found.confusion) == truth.len()
    assert found.confusion[0][0] + found.confusion[1][1] == round(accuracy.value * truth.len())
    assert sum(found.confusion[0]) == (truth == "down").sum()

    slices = [m for m in found.metrics if m.slice]
    assert {m.slice for m in slices} == {"region=north", "region=south", "region=null"}
    assert sum(m.n for m in slices if m.name == "accuracy") == truth.len()
    assert set(found.baselines) == {"dummy", "linear", "tree"}
    assert all([m.name for m in metrics] == ["accuracy", "log_loss"] for metrics in found.baselines.values())
    assert found.calibration is not None
    assert np.mean(found.calibration.reference) == pytest.approx(accuracy.value, abs=0.03)

    golden = load_table(here.blobs, found.golden)
    assert golden.columns == ["x", "hour", OUTPUT, "__p0", "__p1"]
    assert golden.height == GOLDEN_ROWS
    again = open_model(here, fitted).predict(golden)
    assert again.outputs.tolist() == golden[OUTPUT].to_list()
    assert again.probabilities is not None
    np.testing.assert_allclose(again.probabilities, golden.select("__p0", "__p1").to_numpy(), atol=1e-12)

    assert score(fitted, prepared, metrics=["accuracy", "log_loss"], slices=["region"]).id == found.id
    assert gates.judge(found, None, [gates.every_slice("region", "accuracy", at_least=0.5)]).passed


def test_an_evaluation_of_a_regression(here: Workspace) -> None:
    fitted, prepared = candidate(here, "amount", LinearRegression())
    found = score(fitted, prepared, metrics=["mae", "r2"], baselines=False, part="valid")
    assert found.part == "valid"
    assert found.baselines == {}
    assert found.confusion == ()
    assert found.calibration is None
    mae = found.metric("mae")
    assert mae is not None
    # Noise of standard deviation 1: a mean absolute error of 0.8.
    assert mae.value == pytest.approx(0.8, abs=0.15)
    assert load_table(here.blobs, found.golden).columns == ["x", "hour", OUTPUT]


class Answering:
    """A model with one answer."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def predict(self, features: Any) -> Any:
        return np.full(len(features), self.answer)


def test_a_model_with_one_answer_is_judged_and_refused(here: Workspace) -> None:
    fitted, prepared = candidate(here, "label", lambda train: Answering("up"))
    found = score(fitted, prepared, metrics=["f1", "precision", "npv", "roc_auc", "log_loss"])
    assert [m.value is None for m in found.metrics] == [False, False, True, True, True]
    assert found.calibration is None
    assert not gates.judge(found, None, [gates.at_least("npv", 0.1)]).passed


def test_a_model_that_answers_nan_is_refused(here: Workspace) -> None:
    fitted, prepared = candidate(here, "amount", lambda train: Answering(np.nan))
    found = score(fitted, prepared, metrics=["mae", "rmse", "r2"])
    assert [m.value for m in found.metrics] == [None, None, None]
    verdict = gates.judge(found, None, [])
    assert not verdict.passed
    assert "undefined" in verdict.sentence()


def test_what_cannot_be_scored_is_said(here: Workspace) -> None:
    fitted, prepared = candidate(here, "label", LogisticRegression(), rows=400)
    with pytest.raises(NotFound, match="Did you mean 'accuracy'"):
        score(fitted, prepared, metrics=["acuracy"])
    with pytest.raises(BadInput, match="'mae' is a regression metric, but 'label' was prepared for classification"):
        score(fitted, prepared, metrics=["mae"])
    with pytest.raises(NotFound, match=r"Slice column 'regio' does not exist. Did you mean 'region'"):
        score(fitted, prepared, metrics=["f1"], slices=["regio"])
    with pytest.raises(BadInput, match="'x' is Float64 and cannot be sliced by"):
        score(fitted, prepared, metrics=["f1"], slices=["x"])
    with pytest.raises(BadInput, match=r"'hour' has \d+ values; at most 50"):
        score(fitted, prepared, metrics=["f1"], slices=["hour"])
