"""The first hour of a new user, with the real commands in an empty folder: init, edit, run, up, predict, label, break a column, why."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

PATIENCE_S = 120.0
Everloop = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("newcomer")


@pytest.fixture(scope="module")
def everloop(folder: Path) -> Everloop:
    def call(*words: str, cwd: str = "cells") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "everloop", *words]
        return subprocess.run(command, cwd=folder / cwd, capture_output=True, text=True, check=False, timeout=PATIENCE_S)

    return call


@pytest.fixture(scope="module")
def project(folder: Path, everloop: Everloop) -> Path:
    """A project as init wrote it, the model replaced by another, one cycle run."""
    made = everloop("init", "cells", cwd=".")
    assert made.returncode == 0, made.stderr
    path = folder / "cells" / "loop.py"
    text = path.read_text()
    edited = text.replace(
        "from sklearn.linear_model import LogisticRegression", "from sklearn.ensemble import HistGradientBoostingClassifier"
    )
    edited = edited.replace("LogisticRegression(max_iter=1000)", "HistGradientBoostingClassifier()").replace(
        '{"C": 1.0}', '{"max_iter": 60}'
    )
    assert edited.count("HistGradientBoostingClassifier") == 2
    path.write_text(edited)
    ran = everloop("run")
    assert ran.returncode == 0, ran.stderr
    assert "cells/1" in ran.stdout
    return folder / "cells"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(what: str, look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    pytest.fail(f"waited {PATIENCE_S:g} s for {what}, in vain")


@pytest.fixture(scope="module")
def up(project: Path) -> Iterator[tuple[str, str]]:
    """`everloop up`: the addresses of the data plane and of the pages."""
    port, pages = free_port(), free_port()
    command = [sys.executable, "-m", "everloop", "up", "--port", str(port), "--control-port", str(pages), "--tick", "0.2"]
    with (project / "up.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=project, stdout=log, stderr=log)
    data, control = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{pages}"
    until("the data plane", lambda: answers(f"{data}/readyz") and process.poll() is None)
    until("the pages", lambda: answers(f"{control}/healthz") and process.poll() is None)
    yield data, control
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def a_row(project: Path) -> tuple[dict[str, float], str]:
    with (project / "data" / "cells.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    truth = row.pop("diagnosis")
    return {name: float(value) for name, value in row.items()}, truth


def test_what_init_wrote_has_a_test_that_passes(project: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=project, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout
    assert "6 passed" in result.stdout


def test_a_prediction_its_label_and_why(project: Path, up: tuple[str, str], everloop: Everloop) -> None:
    data, pages = up
    row, truth = a_row(project)
    answer = httpx.post(f"{data}/predict/cells", json={"rows": [row]})
    assert answer.status_code == 200, answer.text
    prediction = answer.json()["predictions"][0]
    assert prediction["version"] == 1
    assert prediction["output"] in ("benign", "malignant")

    labelled = everloop("label", "cells", f"{prediction['id']}={truth}")
    assert (labelled.returncode, labelled.stdout.strip()) == (0, "1 new, 0 known already")

    why = everloop("why", prediction["id"], "--replay", "--json")
    assert why.returncode == 0, why.stderr
    told = json.loads(why.stdout)
    assert told["replay"]["equal"]
    assert told["ledger"]["sound"]
    assert [link["kind"] for link in told["explanation"]["chain"]][-1] == "source"
    assert {"register", "promote", "start_run"} <= {decision["action"] for decision in told["explanation"]["decisions"]}
    assert prediction["id"] in httpx.get(f"{pages}/why/{prediction['id']}").text
    assert "cells/1" in httpx.get(pages).text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda row: {**row, "mean_radius": "wide"}, "mean_radius"),
        (lambda row: {name: value for name, value in row.items() if name != "mean_radius"}, "mean_radius"),
        (lambda row: {**row, "mean_radios": 1.0}, "mean_radios"),
    ],
)
def test_a_bad_request_is_told_which_feature(
    project: Path, up: tuple[str, str], change: Callable[[dict[str, Any]], Any], says: str
) -> None:
    row, _ = a_row(project)
    answer = httpx.post(f"{up[0]}/predict/cells", json={"rows": [change(row)]})
    assert answer.status_code == 422
    assert says in answer.json()["error"]


def test_an_unchanged_mlflow_client_sees_it(project: Path, up: tuple[str, str]) -> None:
    """A process that knows nothing of everloop, with MLflow's own client on the same store."""
    code = (
        "import json, sys, pandas as pd, mlflow\n"
        "from mlflow import MlflowClient\n"
        "mlflow.set_tracking_uri(sys.argv[1]); mlflow.set_registry_uri(sys.argv[1])\n"
        "client = MlflowClient()\n"
        "version = client.get_model_version_by_alias('cells', 'champion')\n"
        "run = client.get_run(version.run_id)\n"
        "model = mlflow.pyfunc.load_model('models:/cells@champion')\n"
        "answer = model.predict(pd.DataFrame([json.loads(sys.argv[2])]))\n"
        "print(json.dumps([version.version, run.data.metrics['roc_auc'], str(list(answer)[0])]))\n"
    )
    row, _ = a_row(project)
    uri = f"sqlite:///{project / '.everloop' / 'mlflow.db'}"
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    result = subprocess.run(
        [sys.executable, "-c", code, uri, json.dumps(row)], capture_output=True, text=True, check=False, env=environment, cwd=project.parent
    )
    assert result.returncode == 0, result.stderr
    version, roc_auc, answer = json.loads(result.stdout.splitlines()[-1])
    assert str(version) == "1"
    assert 0.9 < roc_auc <= 1
    online = httpx.post(f"{up[0]}/predict/cells", json={"rows": [row]}).json()["predictions"][0]["output"]
    assert answer == online


def test_a_broken_column_stops_the_run_and_the_champion_answers_on(project: Path, up: tuple[str, str], everloop: Everloop) -> None:
    path = project / "data" / "cells.csv"
    sound = path.read_text()
    path.write_text(sound.replace("mean_radius", "mean_rdius", 1))
    try:
        stopped = everloop("run")
        assert stopped.returncode == 20
        assert "mean_rdius" in stopped.stdout
        verdict = re.search(r"everloop why (verdict-\w+)", stopped.stderr)
        assert verdict is not None, stopped.stderr
        told = everloop("why", verdict[1])
        assert "mean_radius" in told.stdout
        assert "page" in told.stdout
        until(
            "the page",
            lambda: (
                "mean_rdius" in (project / ".everloop" / "pages.jsonl").read_text()
                if (project / ".everloop" / "pages.jsonl").exists()
                else ""
            ),
        )
        row, _ = a_row_of(sound)
        assert httpx.post(f"{up[0]}/predict/cells", json={"rows": [row]}).status_code == 200
    finally:
        path.write_text(sound)


def a_row_of(text: str) -> tuple[dict[str, float], str]:
    row = next(csv.DictReader(text.splitlines()))
    truth = row.pop("diagnosis")
    return {name: float(value) for name, value in row.items()}, truth


def test_killed_servers_come_back(project: Path, up: tuple[str, str]) -> None:
    """`kill -9` of the data plane: it is started again and answers."""
    import psutil

    data, _ = up
    tree = [process for process in psutil.process_iter(["cmdline"]) if str(data.rpartition(":")[2]) in (process.info["cmdline"] or [])]
    serving = [process for process in tree if "serve" in process.info["cmdline"]]
    assert serving
    serving[0].kill()
    until("the old process to be gone", lambda: not serving[0].is_running() or serving[0].status() == "zombie")
    until("the data plane again", lambda: answers(f"{data}/readyz"))
    row, _ = a_row(project)
    assert httpx.post(f"{data}/predict/cells", json={"rows": [row]}).status_code == 200


def test_up_ends_with_the_users_traceback_when_loop_py_does_not_import(folder: Path, everloop: Everloop) -> None:
    (folder / "broken").mkdir()
    (folder / "broken" / "loop.py").write_text("1 / 0\n")
    ended = everloop("up", "--port", str(free_port()), "--control-port", str(free_port()), cwd="broken")
    assert ended.returncode == 4
    assert "ZeroDivisionError" in ended.stderr
    assert "everloop/project.py" not in ended.stderr
