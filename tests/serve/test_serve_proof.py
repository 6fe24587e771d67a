"""Real scikit-learn models, from the registry through the server, back from the captures, and in batches: always the same answers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
import tiny_model
from stand import ROW, captured, deploy, digits, fitted, serving, tiny

from everloop.core.errors import BadInput, Broken
from everloop.core.live import Prediction
from everloop.core.models import Evaluation, Version
from everloop.serve.batch import score_frame
from everloop.serve.proof import prove
from everloop.serve.replay import replay
from everloop.store import captures, records, registry, tables
from everloop.store.registry import Registered
from everloop.store.workspace import Workspace

Made = tuple[Registered, Evaluation, pl.DataFrame]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Workspace(tmp_path_factory.mktemp("project")) as opened:
        yield opened


@pytest.fixture(scope="module")
def read(project: Workspace) -> Made:
    from sklearn.linear_model import LogisticRegression

    frame, target = digits(600)
    return (*fitted(project, "digits", LogisticRegression(max_iter=300), frame, target), frame)


@pytest.fixture(scope="module")
def priced(project: Workspace) -> Made:
    """A regression over texts, whole numbers and missing values."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    rng = np.random.default_rng(3)
    size = rng.normal(80, 20, 400)
    frame = pl.DataFrame(
        {
            "size": [None if at % 17 == 0 else float(value) for at, value in enumerate(size)],
            "rooms": rng.integers(1, 6, 400),
            "town": rng.choice(["Ulm", "Köln", "Bonn"], 400).tolist(),
        }
    )
    target = pl.Series("price", size * 3000 + rng.normal(0, 100, 400))
    return (*fitted(project, "prices", HistGradientBoostingRegressor(max_iter=20), frame, target), frame)


@pytest.mark.parametrize("made", ["read", "priced"])
def test_a_version_answers_through_the_app_as_in_its_evaluation(project: Workspace, made: str, request: pytest.FixtureRequest) -> None:
    registered, evaluation, _ = request.getfixturevalue(made)
    proven = prove(project, registered, evaluation)
    assert proven.passed, proven.sentence()
    assert (proven.question, proven.about) == ("parity", registered.version)
    assert [finding.check for finding in proven.findings] == ["answered", "outputs", "probabilities"]
    assert proven.findings[0].observed == 220
    assert prove(project, registered, evaluation).id == proven.id
    assert not project.predictions.exists() or not list(project.predictions.glob("*/*.seg"))


def planted(project: Workspace, evaluation: Evaluation, **columns: pl.Expr) -> Evaluation:
    frame = tables.load_table(project.blobs, evaluation.golden).with_columns(**columns)
    return msgspec.structs.replace(evaluation, golden=tables.keep_table(project.blobs, frame))


def test_planted_differences_turn_the_proof_red(project: Workspace, read: Made, priced: Made) -> None:
    registered, evaluation, _ = read
    third = pl.int_range(pl.len()) == 3
    faults = {
        "outputs": {"__output": pl.when(third).then((pl.col("__output") + 1) % 10).otherwise(pl.col("__output"))},
        "probabilities": {"__p4": pl.when(third).then(pl.col("__p4") + 1e-4).otherwise(pl.col("__p4"))},
    }
    for check, columns in faults.items():
        proven = prove(project, registered, planted(project, evaluation, **columns))
        assert [finding.check for finding in proven.failures] == [check]
        assert "row 3" in proven.failures[0].message
    assert not prove(project, priced[0], planted(project, priced[1], __output=pl.col("__output") * 1.001)).passed
    assert prove(project, priced[0], planted(project, priced[1], __output=pl.col("__output") * (1 + 1e-9))).passed


def test_rows_that_the_server_refuses_are_no_proof(project: Workspace, read: Made) -> None:
    registered, evaluation, _ = read
    proven = prove(project, registered, planted(project, evaluation, p7=pl.lit("seven")))
    assert [finding.check for finding in proven.failures] == ["answered"]
    assert "row 0: feature 'p7' is" in proven.failures[0].message


def test_without_golden_rows_nothing_is_proven(project: Workspace, read: Made) -> None:
    assert not prove(project, read[0], msgspec.structs.replace(read[1], golden="")).passed


def test_a_model_that_cannot_answer_its_golden_rows_any_more_is_not_proven(project: Workspace) -> None:
    golden = pl.DataFrame([ROW] * 3)
    number = tiny(project, golden=golden)
    with project.read() as tx:
        registered = registry.get(tx, "tiny", number)
        evaluation = records.load(tx, records.load(tx, registered.version, Version).evaluation, Evaluation)
    assert prove(project, registered, evaluation).passed
    original = tiny_model.Tiny.predict

    def ailing(self: tiny_model.Tiny, rows: pl.DataFrame) -> Any:
        del self, rows
        raise ImportError("planted: a library is gone")

    try:
        tiny_model.Tiny.predict = ailing  # type: ignore[method-assign]
        proven = prove(project, registered, evaluation)
    finally:
        tiny_model.Tiny.predict = original  # type: ignore[method-assign]
    assert [finding.check for finding in proven.failures] == ["answered"]
    assert "planted: a library is gone" in proven.failures[0].message


def test_infinities_are_left_out_and_said_to_be(project: Workspace, read: Made) -> None:
    first = pl.int_range(pl.len()) == 0
    proven = prove(project, read[0], planted(project, read[1], p0=pl.when(first).then(float("inf")).otherwise(pl.col("p0"))))
    assert proven.passed
    assert [finding.check for finding in proven.warnings] == ["sendable"]


def test_online_batch_and_replayed_answers_are_one(project: Workspace, read: Made, priced: Made) -> None:
    for registered, _, _ in (read, priced):
        deploy(project, registered.loop, champion=registered.number)
    with serving(project) as server:
        for registered, _, frame in (read, priced):
            part = frame.head(50)
            answers = [
                found
                for row in part.to_dicts()[:10]
                for found in server.predict([row], registered.loop).raise_for_status().json()["predictions"]
            ]
            answers += server.predict(part.to_dicts()[10:], registered.loop).json()["predictions"]
            scored = score_frame(project, registered, part.with_columns(extra=1))
            assert scored.columns[: part.width + 2] == [*part.columns, "extra", "prediction"]
            assert scored["prediction"].to_list() == pytest.approx([found["output"] for found in answers], rel=1e-12)
            if answers[0]["probabilities"] is not None:
                for label in answers[0]["probabilities"]:
                    assert scored[f"probability_{label}"].to_list() == pytest.approx([found["probabilities"][label] for found in answers])
            for found in answers[:12]:
                again = replay(project, captures.find(project.predictions, found["id"]))
                assert again.equal
                assert again.recorded.output == found["output"]
        assert server.stop() == 0
    kept: Prediction = next(iter(captured(project, "digits").values()))
    assert not replay(project, msgspec.structs.replace(kept, output=(kept.output + 1) % 10)).equal  # type: ignore[operator]
    changed = [kept.features[0], 16.0, *kept.features[2:]]
    assert not replay(project, msgspec.structs.replace(kept, features=changed)).equal


def test_batch_scoring_names_the_column_that_does_not_fit(project: Workspace, priced: Made, read: Made) -> None:
    registered, _, frame = priced
    with pytest.raises(BadInput, match=r"needs the column 'rooms'.*'room'"):
        score_frame(project, registered, frame.rename({"rooms": "room"}))
    with pytest.raises(BadInput, match="column 'size' to be float"):
        score_frame(project, registered, frame.with_columns(size=pl.lit("big")))
    with pytest.raises(BadInput, match="column 'rooms' to be int"):
        score_frame(project, registered, frame.with_columns(rooms=pl.lit(2.5)))
    with pytest.raises(BadInput, match="already has a column 'prediction'"):
        score_frame(project, registered, frame.with_columns(prediction=1))
    # What loses nothing is converted.
    fine = frame.with_columns(pl.col("rooms").cast(pl.Float32), pl.col("town").cast(pl.Categorical), pl.lit(3).alias("size"))
    assert score_frame(project, registered, fine).height == 400
    empty = score_frame(project, read[0], read[2].head(0))
    assert empty.height == 0
    assert empty.schema["prediction"] == pl.Int64
    assert empty.columns[-1] == "probability_9"


def test_a_version_whose_files_were_changed_is_neither_proven_nor_replayed_nor_scored(
    tmp_path: Path, project: Workspace, read: Made
) -> None:
    registered, evaluation, frame = read
    folder = project.blobs.tree(registered.model)
    shutil.copytree(folder, tmp_path / "copy")
    kept = Prediction(id="p-1-1", loop="digits", version=1, role="champion", at=0, features=[0.0] * 64, output=0)
    file = next(path for path in folder.rglob("*") if path.suffix == ".skops")
    try:
        file.write_bytes(file.read_bytes() + b" ")
        for act in (
            lambda: prove(project, registered, evaluation),
            lambda: replay(project, kept),
            lambda: score_frame(project, registered, frame),
        ):
            with pytest.raises(Broken, match="was changed"):
                act()
    finally:
        shutil.copy(tmp_path / "copy" / file.name, file)
