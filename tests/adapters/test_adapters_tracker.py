"""What we track is there for an unchanged MLflow client, which knows nothing of us."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

from everloop.adapters.mlflow.tracker import MlflowTracker
from everloop.adapters.sklearn import trainer, transform
from everloop.core.errors import Conflict
from everloop.core.models import Metric
from everloop.core.ports import Examples
from everloop.core.tables import Column

# Four processes, each opening the store for itself, all at once; forked only so that importing MLflow is paid once.
FIRST = """
import os, sys, threading
import mlflow
from everloop.adapters.mlflow.tracker import MlflowTracker
uri, artifacts = sys.argv[1:]
assert threading.active_count() == 1
children = []
for who in range(4):
    child = os.fork()
    if child == 0:
        try:
            tracker = MlflowTracker(uri, artifacts)
            id = tracker.log_run(loop="race", run=f"run-{who}", status="done", params={}, metrics=(), tags={}, started_at=1.0, ended_at=2.0)
            tracker.set_aliases(loop="race", aliases={"champion": None})
            os.write(1, f"{id}\\n".encode())
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
        os._exit(0)
    children.append(child)
sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""

STRANGER = """
import json, sys
import mlflow, pandas
from mlflow import MlflowClient
uri = sys.argv[1]
mlflow.set_tracking_uri(uri)
client = MlflowClient()
runs = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
model = client.get_registered_model("digits")
champion = client.get_model_version_by_alias("digits", "champion")
frame = pandas.DataFrame({"x": [-2.0, 2.0]})
predictions = mlflow.pyfunc.load_model("models:/digits@champion").predict(frame)
assert "everloop" not in sys.modules
print(json.dumps({
    "runs": [{"status": r.info.status, "params": r.data.params, "metrics": r.data.metrics, "tags": r.data.tags, "end": r.info.end_time} for r in runs],
    "aliases": model.aliases, "source": champion.source, "version": champion.version, "run": champion.run_id, "tags": champion.tags,
    "versions": sorted(int(v.version) for v in client.search_model_versions("name = 'digits'")),
    "predictions": list(predictions),
}))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A store that four processes opened at once while it did not exist."""
    folder = tmp_path_factory.mktemp("tracking")
    uri, artifacts = f"sqlite:///{folder / 'mlflow.db'}", (folder / "artifacts").as_uri()
    process = subprocess.run([sys.executable, "-c", FIRST, uri, artifacts], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert len(set(process.stdout.split())) == 4
    # Nothing is said on a stranger's standard error.
    assert "INFO" not in process.stderr
    return uri, artifacts


@pytest.fixture
def tracker(place: tuple[str, str]) -> MlflowTracker:
    return MlflowTracker(*place)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "m"
    folder.mkdir()
    frame = pl.DataFrame({"x": np.linspace(-1, 1, 40)})
    train = Examples(frame, pl.Series("y", np.where(frame["x"].to_numpy() > 0, "up", "down")))
    trainer.fit(
        LogisticRegression(), train, train, transform=transform.fit(frame), params={}, seed=0,
        task="classification", target=Column("y", "text"), features=(Column("x", "float"),), folder=folder,
    )  # fmt: skip
    return folder


def log(tracker: MlflowTracker, loop: str = "digits", run: str = "run-1", **changed: Any) -> str:
    given: dict[str, Any] = {
        "status": "done",
        "params": {"C": 1.0, "layers": [1, 2], "long": "x" * 10_000, "none": None},
        "metrics": (
            Metric(name="accuracy", value=0.9, n=100, low=0.85, high=0.95),
            Metric(name="accuracy", value=0.8, n=10, slice="season=1 & 2"),
            Metric(name="f1", value=None, n=0),
            Metric(name="r2", value=float("nan"), n=1),
        ),
        "tags": {"everloop.candidate": "candidate-1"},
        "started_at": 1000.0,
        "ended_at": 1001.5,
    }
    return tracker.log_run(loop=loop, run=run, **(given | changed))


def stranger(uri: str) -> dict[str, Any]:
    process = subprocess.run([sys.executable, "-c", STRANGER, uri], check=False, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


def test_a_client_sees_runs_versions_and_aliases(tracker: MlflowTracker, place: tuple[str, str], folder: Path) -> None:
    id = log(tracker, status="running", metrics=())
    # Again, by another process's tracker: the same run, brought up to date.
    again = MlflowTracker(*place)
    assert log(again) == id
    assert log(again) == id
    for number in (1, 2, 2):
        tracker.register(
            loop="digits", number=number, model_uri=folder.as_uri(), tracker_run=id, tags={"everloop.version": f"version-{number}"}
        )
    tracker.set_aliases(loop="digits", aliases={"champion": 1, "challenger": 2})
    tracker.set_aliases(loop="digits", aliases={"champion": 2, "challenger": None})
    tracker.set_aliases(loop="digits", aliases={"champion": 2, "challenger": None})

    seen = stranger(place[0])
    (run,) = seen["runs"]
    assert run["status"] == "FINISHED"
    assert run["end"] == 1_001_500
    assert run["params"]["C"] == "1.0"
    assert run["params"]["layers"] == "[1,2]"
    assert run["params"]["none"] == "null"
    assert set(run["params"]["long"]) == {"x"}
    assert run["metrics"] == {"accuracy": 0.9, "accuracy.low": 0.85, "accuracy.high": 0.95, "accuracy/season_1 _ 2": 0.8}
    assert run["tags"]["everloop.run"] == "run-1"
    assert run["tags"]["everloop.loop"] == "digits"
    assert run["tags"]["everloop.candidate"] == "candidate-1"
    assert seen["versions"] == [1, 2]
    assert seen["aliases"] == {"champion": "2"} or seen["aliases"] == {"champion": 2}
    assert int(seen["version"]) == 2
    assert seen["source"] == folder.as_uri()
    assert seen["run"] == id
    assert seen["tags"]["everloop.version"] == "version-2"
    assert seen["predictions"] == ["down", "up"]


def test_numbers_that_are_not_ours_are_a_conflict(tracker: MlflowTracker, folder: Path) -> None:
    with pytest.raises(Conflict, match="would number the next version of 'gap' 1, where 3 was expected"):
        tracker.register(loop="gap", number=3, model_uri=folder.as_uri(), tracker_run="", tags={})
    tracker.register(loop="gap", number=1, model_uri=folder.as_uri(), tracker_run="", tags={})
    with pytest.raises(Conflict, match="already has gap version 1"):
        tracker.register(loop="gap", number=1, model_uri="file:///elsewhere", tracker_run="", tags={})


def test_failures_and_many_values(tracker: MlflowTracker, place: tuple[str, str]) -> None:
    from mlflow import MlflowClient

    params = {f"p{i}": i for i in range(250)}
    metrics = tuple(Metric(name="mae", value=float(i), n=1, slice=f"s={i}") for i in range(250))
    id = log(tracker, loop="it's", run="run-'2'", status="crashed", params=params, metrics=metrics)
    assert log(tracker, loop="it's", run="run-'2'", status="crashed", params=params, metrics=metrics) == id
    run = MlflowClient(place[0]).get_run(id)
    assert run.info.status == "FAILED"
    assert len(run.data.params) == 250
    assert run.data.metrics["mae/s=249".replace("=", "_")] == 249.0
    tracker.register(loop="it's", number=1, model_uri="file:///x", tracker_run=id, tags={})
    tracker.set_aliases(loop="it's", aliases={"champion": 1})


def test_nothing_is_opened_before_it_is_used(tmp_path: Path) -> None:
    MlflowTracker(f"sqlite:///{tmp_path / 'mlflow.db'}", str(tmp_path))
    assert list(tmp_path.iterdir()) == []
