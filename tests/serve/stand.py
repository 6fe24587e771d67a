"""What the tests of the data plane stand on: registered versions of real models, and real servers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import polars as pl

from everloop.core import plugins
from everloop.core.live import Deployment
from everloop.core.models import Candidate, Evaluation, Signature, Version
from everloop.core.ports import Examples, Trainer
from everloop.core.tables import Column
from everloop.store import captures, records, registry, tables
from everloop.store.models import open_model
from everloop.store.registry import Registered
from everloop.store.workspace import Workspace

HERE = Path(__file__).parent

TINY = Signature(
    inputs=(Column("x0", "float"), Column("x1", "float"), Column("n", "int"), Column("colour", "text")),
    output=Column("y", "int"),
    task="classification",
    classes=("0", "1"),
)
ROW: dict[str, Any] = {"x0": 1.5, "x1": -0.25, "n": 2, "colour": "red"}


def eventually(condition: Callable[[], Any], *, within_s: float = 20.0) -> Any:
    """What the condition gives once it is true."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)
    return found


def offer_tiny(folder: Path) -> None:
    """Make the `tiny` predictor an installed one, here and in processes that are started from here."""
    info = folder / "tiny_model-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-model\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[everloop.predictors]\ntiny = tiny_model:load\n")
    sys.path.append(str(folder))
    plugins._group.cache_clear()
    # Servers that are started later find the bytecode of those before.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), str(HERE), os.environ.get("PYTHONPATH", "")])


def register(
    workspace: Workspace, loop: str, signature: Signature, folder: Path, *, flavor: str, golden: pl.DataFrame | None = None
) -> tuple[Registered, Evaluation]:
    """Keep a model folder as a registered version; with `golden` rows the model's own answers are kept as its evaluation's."""
    model = workspace.blobs.put_tree(folder)
    candidate = Candidate(
        prepared="prepared-0",
        model=model,
        signature=signature,
        flavor=flavor,
        trusted=True,
        estimator=flavor,
        params={},
        seed=0,
        environment={},
    )
    blob = ""
    if golden is not None:
        outputs, probabilities = open_model(workspace, candidate).predict(golden)
        columns = [pl.Series("__output", outputs)]
        if probabilities is not None:
            columns += [pl.Series(f"__p{at}", probabilities[:, at]) for at in range(probabilities.shape[1])]
        blob = tables.keep_table(workspace.blobs, golden.with_columns(columns))
    evaluation = Evaluation(candidate=candidate.id, prepared="prepared-0", part="test", metrics=(), golden=blob)
    version = Version(loop=loop, candidate=candidate.id, evaluation=evaluation.id, verdict="verdict-0")
    with workspace.write() as tx:
        records.keep(tx, candidate, evaluation, version)
        return registry.register(tx, version, model=model, run=""), evaluation


def tiny(workspace: Workspace, loop: str = "tiny", *, golden: pl.DataFrame | None = None, **behaviour: Any) -> int:
    """A registered version of the tiny model; its number."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "model.json").write_text(json.dumps(behaviour))
        return register(workspace, loop, TINY, Path(folder), flavor="tiny", golden=golden)[0].number


def fitted(workspace: Workspace, loop: str, estimator: Any, frame: pl.DataFrame, target: pl.Series) -> tuple[Registered, Evaluation]:
    """A registered version of a scikit-learn estimator, fitted here; its golden rows are the first 200."""
    from typing import cast

    fit_transform: Any = plugins.find("transforms", "sklearn")
    trainer = cast("Trainer", plugins.find("trainers", "sklearn"))
    columns = tuple(Column(name, {pl.Float64: "float", pl.Int64: "int"}.get(dtype, "text")) for name, dtype in frame.schema.items())  # type: ignore[arg-type]
    task = "regression" if target.dtype.is_float() else "classification"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        folder.mkdir()
        done = trainer(
            estimator,
            Examples(frame, target),
            Examples(frame.head(0), target.head(0)),
            transform=fit_transform(frame),
            params={},
            seed=0,
            task=task,
            target=Column(target.name, "float" if task == "regression" else "int" if target.dtype.is_integer() else "text"),
            features=columns,
            folder=folder,
        )
        return register(workspace, loop, done.signature, folder, flavor=done.flavor, golden=frame.head(200))


def deploy(workspace: Workspace, loop: str = "tiny", **changes: Any) -> Deployment:
    with workspace.write() as tx:
        current = registry.deployment(tx, loop)
        return registry.deploy(tx, msgspec.structs.replace(current, **changes), replacing=current)


def captured(workspace: Workspace, loop: str = "tiny") -> dict[str, Any]:
    """All captured predictions of a loop by id."""
    return {prediction.id: prediction for prediction in captures.stream(workspace.predictions, loop)[0]}


class Server:
    """A running server process."""

    def __init__(self, process: subprocess.Popen[str], url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self.log = log
        self.client = httpx.Client(base_url=url, timeout=20)

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    def predict(self, rows: Any, model: str = "tiny", headers: dict[str, str] | None = None) -> httpx.Response:
        return self.client.post(f"/predict/{model}", json={"rows": rows}, headers=headers)

    def version(self, model: str = "tiny") -> int:
        return self.predict([ROW], model).json()["predictions"][0]["version"]

    def stop(self) -> int:
        """Its exit status after a polite stop."""
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)


@contextmanager
def serving(workspace: Workspace, *, workers: int = 1, prelude: str = "") -> Iterator[Server]:
    """A server over the workspace in a process of its own. `prelude` is run in it before."""
    code = (
        "import sys, logging; from everloop.serve.server import run; from everloop.store.workspace import Workspace\n"
        "logging.basicConfig(level=logging.INFO)\n"
        f"{prelude}\n"
        f"with Workspace({str(workspace.project)!r}) as w: run(w, port=0, workers={workers}, ready=lambda url: print(url, flush=True))\n"
    )
    log = Path(tempfile.mkstemp(suffix=".log", dir=workspace.project)[1])
    with log.open("w") as stderr:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=stderr, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url, f"the server did not start: {log.read_text()}"
        server = Server(process, url, log)
        yield server
        server.client.close()
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()


def digits(rows: int, seed: int = 0) -> tuple[pl.DataFrame, pl.Series]:
    """The 8x8 digits that scikit-learn carries, shuffled."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))[:rows]
    return pl.DataFrame(images[order], schema=[f"p{at}" for at in range(64)]), pl.Series("digit", labels[order]).cast(pl.Int64)
