"""Golden samples of a project's own: a sound project passes, and each planted fault is found by the check that is there for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from everloop.core.tables import Prepared
from everloop.core.verdict import Verdict
from everloop.testing import GoldenSample, rehearse
from everloop.testing.golden import Sample, fitted_on_training_rows, nothing_leaks, offline_equals_online, rows_conserved, sample_of
from everloop.testing.rehearsal import Rehearsal, open_rehearsed

LOOP_PY = """
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from everloop import Loop, Recipe, Split, gates, recipe
from everloop.core.ports import Extract


class Table:
    def describe(self):
        return "table.parquet"

    def stamp(self, place):
        return "1"

    def read(self, place, *, since=()):
        return Extract(lambda: iter([pl.read_parquet(place.project / "table.parquet")]))


def centred(frame):
    '''Forgets that it is asked about one row at a time.'''
    return frame["size"] - frame["size"].mean()


def other_when_alone(frame):
    return frame["size"] * (2 if frame.height == 1 else 1)


def sound(frame):
    return frame["size"] ** 2


class Counting(TransformerMixin, BaseEstimator):
    '''Remembers how often it was asked.'''

    def fit(self, X, y=None):
        self.calls_ = 0
        return self

    def transform(self, X):
        self.calls_ += 1
        return X.to_numpy(dtype=float) + self.calls_


loop = Loop(
    "cells",
    source=Table(),
    target="kind",
    model=LogisticRegression(max_iter=200),
    metrics=["accuracy"],
    gates=[gates.at_least("accuracy", 0.6)],
    transform=Recipe(recipe.scale("size", "shape"), recipe.dates("seen", parts=["hour"]), recipe.one_hot("place") @EXTRA@),
    @SPLIT@
)
"""
SOUND = ", recipe.custom(sound, 'size')"


def table(rows: int = 400) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, rows)
    return pl.DataFrame(
        {
            "size": np.round(rng.normal(2.0 * kind, 1.0), 4),
            "shape": np.round(rng.normal(-1.0 * kind, 1.0), 4),
            "place": np.array(["north", "south", "west"])[rng.integers(0, 3, rows)],
            "seen": pl.Series(rng.integers(0, 10**15, rows)).cast(pl.Datetime("us")),
            "kind": [None if at % 50 == 0 else ("benign", "malign")[k] for at, k in enumerate(kind)],
        }
    )


def project(folder: Path, extra: str = SOUND, *, split: str = "", frame: pl.DataFrame | None = None) -> Path:
    folder.mkdir()
    (table() if frame is None else frame).write_parquet(folder / "table.parquet")
    (folder / "loop.py").write_text(LOOP_PY.replace("@EXTRA@", extra).replace("@SPLIT@", split))
    return folder


@contextmanager
def sampled(folder: Path, home: Path, rehearsal: Rehearsal | None = None) -> Iterator[Sample]:
    rehearsal = rehearsal or rehearse(folder, home=home)
    with open_rehearsed(folder, home=home) as (workspace, loop):
        yield sample_of(workspace, loop, rehearsal)


def failed(verdict: Verdict) -> list[str]:
    return [finding.check for finding in verdict.failures]


class TestASoundProject(GoldenSample):
    """The inherited tests themselves, on a sound project."""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _project(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        cls.project = project(tmp_path_factory.mktemp("sound") / "project")


@pytest.mark.parametrize(
    "split", ["split=Split(how='stratified')", "split=Split(how='time', by='seen', gap_s=86400.0)", "split=Split(how='group', by='place')"]
)
def test_a_sound_project_passes_however_it_is_split(split: str, tmp_path: Path) -> None:
    with sampled(project(tmp_path / "project", split=split), tmp_path / "home") as sample:
        for check in (offline_equals_online, rows_conserved, nothing_leaks, fitted_on_training_rows):
            verdict = check(sample)
            assert verdict.passed, verdict.sentence()
            assert verdict.findings


@pytest.mark.parametrize(
    "fault",
    [", recipe.custom(centred, 'size')", ", recipe.custom(other_when_alone, 'size')", ", recipe.transformer(Counting(), 'shape')"],
    ids=["depends on the batch", "another when alone", "keeps a state"],
)
def test_a_transform_that_answers_otherwise_when_serving_is_found(fault: str, tmp_path: Path) -> None:
    folder, home = project(tmp_path / "project", fault), tmp_path / "home"
    rehearsal = rehearse(folder, home=home)
    # The cycle's own proof does not let it out either.
    assert rehearsal.run.status == "refused"
    with sampled(folder, home, rehearsal) as sample:
        verdict = offline_equals_online(sample)
        assert "probabilities" in failed(verdict)
        assert "in the evaluation" in verdict.sentence()


def test_a_transform_fitted_on_other_rows_too_is_found(tmp_path: Path) -> None:
    from everloop.adapters.sklearn import transform

    for extra in ("", SOUND):
        folder = tmp_path / f"with{len(extra)}"
        with sampled(project(folder, extra), folder / "home") as sample:
            assert fitted_on_training_rows(sample).passed
            names = [column.name for column in sample.prepared.features]
            everything = transform.fit(pl.read_parquet(folder / "table.parquet").select(names), sample.loop.transform)
            planted = tampered(sample, transform=sample.workspace.blobs.put(everything))
            assert failed(fitted_on_training_rows(planted)) == ["transform"]


def test_lost_and_doubled_rows_are_found(tmp_path: Path) -> None:
    folder = project(tmp_path / "project", "")
    with sampled(folder, tmp_path / "home") as sample:
        assert rows_conserved(sample).passed
        parts = sample.parts.copy()
        parts[np.flatnonzero(parts == 2)[0]] = 255
        verdict = rows_conserved(tampered(sample, split=sample.workspace.blobs.put(parts.tobytes())))
        assert failed(verdict) == ["parts", "left out"]


def test_equal_rows_in_two_parts_are_found(tmp_path: Path) -> None:
    frame = pl.concat([table(), table()])
    folder = project(tmp_path / "project", "", frame=frame)
    with sampled(folder, tmp_path / "home") as sample:
        assert nothing_leaks(sample).passed
        parts = sample.parts.copy()
        parts[:400][parts[:400] == 2] = 0
        verdict = nothing_leaks(tampered(sample, split=sample.workspace.blobs.put(parts.tobytes())))
        assert failed(verdict) == ["equal rows"]


def test_a_split_by_time_with_the_future_in_training_is_found(tmp_path: Path) -> None:
    folder = project(tmp_path / "project", "", split="split=Split(how='time', by='seen')")
    with sampled(folder, tmp_path / "home") as sample:
        parts = sample.parts.copy()
        parts[np.flatnonzero(parts == 2)[-1]] = 0
        verdict = nothing_leaks(tampered(sample, split=sample.workspace.blobs.put(parts.tobytes())))
        assert set(failed(verdict)) == {"future rows"}


def test_a_recipe_is_remembered_and_an_edit_of_its_function_is_noticed(tmp_path: Path) -> None:
    folder, home = project(tmp_path / "project"), tmp_path / "home"
    first = rehearse(folder, home=home)
    assert {"prepare", "fit"} <= set(first.executed)
    again = rehearse(folder, home=home)
    assert not {"prepare", "fit", "score"} & set(again.executed)
    path = folder / "loop.py"
    path.write_text(path.read_text().replace('frame["size"] ** 2', 'frame["size"] ** 3'))
    edited = rehearse(folder, home=home)
    assert {"prepare", "fit"} <= set(edited.executed)
    assert first.candidate is not None
    assert edited.candidate is not None
    assert edited.candidate.model != first.candidate.model


def test_a_cycle_without_a_candidate_says_why(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    class Case(GoldenSample):
        project = tmp_path / "project"

    project(tmp_path / "project", ", recipe.one_hot('plce')")
    with pytest.raises(Exception, match="Did you mean 'place'"):
        Case().test_no_row_is_lost(tmp_path_factory)


def tampered(sample: Sample, **changes: Any) -> Sample:
    prepared: Prepared = msgspec.structs.replace(sample.prepared, **changes)
    return Sample(sample.workspace, sample.loop, sample.snapshot, prepared, sample.candidate)
