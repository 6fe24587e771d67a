"""Prepared -> candidate, in a real workspace."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from everloop.core.errors import BadInput, Broken
from everloop.core.models import Candidate, Task
from everloop.core.tables import Chunk, Column, Prepared, Snapshot
from everloop.data.kinds import columns_of
from everloop.data.prepare import prepare
from everloop.store import records
from everloop.store.models import open_model
from everloop.store.parts import load_part
from everloop.store.tables import content_digest, keep_table
from everloop.store.workspace import Workspace, using
from everloop.train.fit import fit, target_kind, trainer_of
from everloop.train.history import Logged, history


def table(rows: int = 400) -> pl.DataFrame:
    generator = np.random.default_rng(4)
    x = generator.normal(size=rows)
    word = generator.choice(["low", "high", None], rows)
    return pl.DataFrame(
        {
            "x": x,
            "n": pl.Series([None if i % 11 == 0 else i % 5 for i in range(rows)]),
            "flag": generator.integers(0, 2, rows).astype(bool),
            "word": pl.Series(word.tolist(), dtype=pl.String),
            "amount": 2 * x + generator.normal(size=rows) / 10,
            "label": np.where(x + generator.normal(size=rows) / 3 > 0, "good", "bad"),
            "digit": (np.abs(x) * 4).astype(int) % 3,
            "yes": x > 0,
        }
    )


def prepared(workspace: Workspace, target: str, frame: pl.DataFrame | None = None) -> Prepared:
    frame = table() if frame is None else frame
    frame = frame.select(name for name in frame.columns if name in {"x", "n", "flag", "word", target})
    snapshot = Snapshot(
        dataset="d", content=content_digest(frame), chunks=(Chunk(blob=keep_table(workspace.blobs, frame), rows=frame.height, bytes=1, digest=""),), rows=frame.height,
        columns=columns_of(frame), source="test",
    )  # fmt: skip
    task: Task = "regression" if target == "amount" else "classification"
    with workspace.write() as tx:
        records.keep(tx, snapshot)
    made = prepare(snapshot, target=target, task=task)
    with workspace.write() as tx:
        records.keep(tx, made)
    return made


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace(tmp_path) as workspace, using(workspace):
        yield workspace


@pytest.mark.parametrize(
    ("target", "model", "classes", "kind"),
    [
        ("label", LogisticRegression(), ("bad", "good"), "text"),
        ("digit", RandomForestClassifier(30), ("0", "1", "2"), "int"),
        ("yes", LogisticRegression(), ("false", "true"), "bool"),
        ("amount", HistGradientBoostingRegressor(max_iter=5), (), "float"),
    ],
)
def test_a_candidate_is_kept_and_opens(here: Workspace, target: str, model: Any, classes: tuple[str, ...], kind: str) -> None:
    source = prepared(here, target)
    candidate = fit(source, model=model, params={}, seed=3, loop="d")
    with here.read() as tx:
        assert records.load(tx, candidate.id, Candidate) == candidate
    assert candidate.parents() == {"prepared": source.id}
    assert candidate.signature.classes == classes
    assert candidate.signature.output == Column(target, kind)  # pyright: ignore[reportArgumentType]
    assert [column.name for column in candidate.signature.inputs] == ["x", "n", "flag", "word"]
    assert (candidate.flavor, candidate.trusted) == ("sklearn", True)
    assert {"python", "scikit-learn", "numpy"} <= set(candidate.environment)
    features, truth = load_part(here, source, "test")
    outputs = open_model(here, candidate).predict(features).outputs
    if target == "amount":
        assert np.corrcoef(outputs, truth.to_numpy())[0, 1] > 0.9
    else:
        assert target_kind(pl.Series(outputs)) == kind
        assert np.mean(outputs == truth.to_numpy()) > 0.55


def test_the_same_work_is_the_same_candidate(here: Workspace) -> None:
    source = prepared(here, "label")
    first = fit(source, model=RandomForestClassifier(5), params={"max_depth": 3}, seed=3, loop="d")
    assert fit(source, model=RandomForestClassifier(5), params={"max_depth": 3}, seed=3, loop="other") == first
    assert fit(source, model=RandomForestClassifier(5), params={"max_depth": 3}, seed=4, loop="d").model != first.model
    assert fit(source, model=RandomForestClassifier(5), params={"max_depth": 2}, seed=3, loop="d").model != first.model


ANOTHER = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_train_fit import Workspace, using, work
with Workspace(Path(sys.argv[1])) as workspace, using(workspace):
    print(work(workspace))
assert "mlflow" not in sys.modules
"""


def work(workspace: Workspace) -> str:
    """Ids of candidates, and digests of what else is stored: memory addresses, hash seeds and clocks must not show in them."""
    from everloop.adapters.sklearn import archive

    label, amount = prepared(workspace, "label"), prepared(workspace, "amount")
    classifier = fit(label, model=RandomForestClassifier(5), params={}, seed=3, loop="d")
    regression = fit(amount, model=HistGradientBoostingRegressor(max_iter=5), params={}, seed=3, loop="d")
    open_model(workspace, classifier)
    other = archive.dump({"set": {"b", "a", "c", "dd", "e"}, "bytes": [b"x", b"y"]})[0]
    return f"{label.id} {label.transform} {classifier.id} {classifier.model} {regression.id} {hashlib.sha256(other).hexdigest()}"


def test_another_process_makes_the_same_bytes_without_mlflow(here: Workspace, tmp_path: Path) -> None:
    ours = work(here)
    command = [sys.executable, "-c", ANOTHER, str(tmp_path / "elsewhere"), str(Path(__file__).parent)]
    environment = os.environ | {"PYTHONHASHSEED": "12345"}
    there = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    assert there.strip() == ours


@pytest.mark.parametrize("name", ["model.skops", "MLmodel", "requirements.txt"])
def test_a_changed_folder_is_not_loaded(here: Workspace, name: str) -> None:
    candidate = fit(prepared(here, "label"), model=LogisticRegression(), params={}, seed=3, loop="d")
    path = here.blobs.tree(candidate.model) / name
    path.write_bytes(path.read_bytes() + b"#")
    with pytest.raises(Broken, match="changed after it was written"):
        open_model(here, candidate)


def test_a_swapped_folder_is_not_loaded(here: Workspace) -> None:
    source = prepared(here, "label")
    one, other = (fit(source, model=LogisticRegression(C=c), params={}, seed=3, loop="d") for c in (1.0, 0.001))
    folder = here.blobs.tree(one.model)
    shutil.rmtree(folder)
    shutil.copytree(here.blobs.tree(other.model), folder)
    with pytest.raises(Broken):
        open_model(here, one)


def test_a_function_is_trained_and_its_numbers_kept(here: Workspace) -> None:
    def train(train: Any, valid: Any, params: Any, run: Any) -> Any:
        model = LogisticRegression(C=params["C"]).fit(train.features, train.target)
        run.log_metric("valid_accuracy", float(np.mean(model.predict(valid.features) == valid.target)), 1)
        return model

    candidate = fit(prepared(here, "label"), model=train, params={"C": 3.0}, seed=3, loop="d")
    (logged,) = history(here, candidate)
    assert isinstance(logged, Logged)
    assert (logged.name, logged.step) == ("valid_accuracy", 1)
    assert logged.value > 0.6
    assert candidate.params == {"C": 3.0}
    assert history(here, fit(prepared(here, "label"), model=LogisticRegression(), params={}, seed=3, loop="d")) == []


def test_what_model_may_be() -> None:
    assert trainer_of(LogisticRegression()) == "sklearn"
    assert trainer_of(lambda train: None) == "function"
    with pytest.raises(BadInput, match=r"is the class LogisticRegression. Give an instance: model=LogisticRegression\(\)"):
        trainer_of(LogisticRegression)
    with pytest.raises(BadInput, match=r"model= is a str .*scikit-learn-compatible estimator.*training function"):
        trainer_of("logistic")


def test_parameters_reach_the_record_as_plain_values(here: Workspace) -> None:
    candidate = fit(prepared(here, "label"), model=RandomForestClassifier(np.int64(4)), params={"max_depth": np.int32(3)}, seed=3, loop="d")
    assert json.loads(json.dumps(dict(candidate.params))) == {"max_depth": 3, "n_estimators": 4, "random_state": 3}
