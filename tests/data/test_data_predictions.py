from __future__ import annotations

from contextlib import closing
from typing import Any

import polars as pl
import pytest
from captured import AT, answer, label, release
from test_data_feedback import Answers

from everloop.core.errors import BadInput, NotFound
from everloop.core.ports import Place, Source
from everloop.core.tables import Column
from everloop.data.sources.predictions import Predictions
from everloop.data.sources.union import collect
from everloop.store import captures
from everloop.store.workspace import Workspace, current

LOOP = "demand"
X, Y = (Column("x", "float"),), Column("y", "int")


class TestPredictions(Answers):
    def source(self, place: Place) -> Source:
        return Predictions(place.loop)

    def begin(self, place: Place) -> None:
        super().begin(place)
        with closing(captures.Writer(current().predictions, place.loop)) as writer:
            self.late = answer(writer, 1, [0.5, "late"], loop=place.loop)

    def change(self, place: Place) -> None:
        label(current(), self.late, 7, at=1e9, loop=place.loop)

    def remove(self, place: Place) -> None:
        sorted(current().predictions.rglob("*.seg"))[0].unlink()

    def vanish(self, place: Place) -> None:
        current().predictions.rename(place.home / "elsewhere")


class TestLabelledPredictions(TestPredictions):
    def source(self, place: Place) -> Source:
        return Predictions(place.loop, labelled="only")


class TestUnlabelledPredictions(TestPredictions):
    def source(self, place: Place) -> Source:
        return Predictions(place.loop, labelled="ignored", roles=("champion",))

    def change(self, place: Place) -> None:
        """One segment in the place of another: shorter than what was read."""
        path = sorted(current().predictions.rglob("*.seg"))[0]
        (other := path.with_suffix(".new")).write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        other.replace(path)


def test_everything_that_is_known_about_an_answer(workspace: Workspace, place: Place) -> None:
    first = release(workspace, X, Column("y", "text"), task="classification")
    second = release(workspace, (Column("w", "text"), *X), Column("y", "text"), task="classification")
    with closing(captures.Writer(workspace.predictions, LOOP)) as writer:
        a = answer(writer, first, [1], output="yes", probabilities=[0.25, 0.75], request="r1")
        answer(writer, second, ["w", 2.5], "shadow", output="no", probabilities=[0.5, 0.5], request="r1")
        c = answer(writer, second, ["w", 2.5], "canary", output=1, at=AT + 60, probabilities=[0.9, 0.1])
        answer(writer, first, ["too", "many"])
    label(workspace, c, True, at=1.0)
    table = collect(Predictions().read(place))
    assert table.drop("at").to_dicts() == [
        {"x": 1.0, "w": None, "id": a, "output": "yes", "probabilities": [0.25, 0.75], "version": 1, "role": "champion", "request": "r1", "label": None},
        {"x": 2.5, "w": "w", "id": c, "output": "1", "probabilities": [0.9, 0.1], "version": 2, "role": "canary", "request": None, "label": "true"},
    ]  # fmt: skip
    assert table["at"].dt.timestamp("us").to_list() == [round(AT * 1e6), round((AT + 60) * 1e6)]
    assert collect(Predictions(roles="shadow").read(place)).select("output", "request").rows() == [("no", "r1")]  # type: ignore[arg-type]
    assert collect(Predictions(labelled="only").read(place))["id"].to_list() == [c]
    assert "label" not in collect(Predictions(labelled="ignored").read(place)).columns
    assert collect(Predictions(since="2023-11-14 22:14:00").read(place))["id"].to_list() == [c]
    assert collect(Predictions(since="2023-11-14T23:14:00+01:00").read(place))["id"].to_list() == [c]
    assert collect(Predictions(since="2030-01-01").read(place)).height == 0


def test_a_regression_has_no_probabilities(workspace: Workspace, place: Place) -> None:
    number = release(workspace, X, Y)
    with closing(captures.Writer(workspace.predictions, LOOP)) as writer:
        answer(writer, number, [1.0], output=3.0)
    table = collect(Predictions().read(place))
    assert table.columns == ["x", "id", "output", "version", "role", "at", "request", "label"]
    assert table.schema["output"] == pl.Int64


def test_a_feature_with_a_name_of_ours_asks_for_a_prefix(workspace: Workspace, place: Place) -> None:
    number = release(workspace, (Column("version", "text"),), Y)
    with closing(captures.Writer(workspace.predictions, LOOP)) as writer:
        answer(writer, number, ["v"])
    with pytest.raises(BadInput, match=r"'version' is a feature and .* Predictions\('', prefix='_'\)"):
        collect(Predictions().read(place))
    assert collect(Predictions(prefix="_").read(place)).select("version", "_version").rows() == [("v", 1)]


def test_what_cannot_be_asked(workspace: Workspace, place: Place) -> None:
    faults: list[tuple[dict[str, Any], str]] = [
        ({"roles": ("champ",)}, "Role 'champ' does not exist. Did you mean 'champion'"),
        ({"labelled": "yes"}, "labelled 'yes' does not exist"),
        ({"since": "yesterday"}, "since='yesterday' is no time"),
    ]
    for arguments, said in faults:
        with pytest.raises(BadInput, match=said):
            Predictions(**arguments)
    captures.Writer(workspace.predictions, LOOP).close()
    with pytest.raises(NotFound, match=r"Loop with captured predictions 'demnd' does not exist. Did you mean 'demand'"):
        Predictions("demnd").read(place)
    assert collect(Predictions().read(place._replace(loop="new"))).shape == (0, 0)


def test_labels_of_new_rows_do_not_make_old_ones_new(workspace: Workspace, place: Place) -> None:
    """Also when both lie in one segment, that is still written to."""
    number = release(workspace, X, Y)
    with closing(captures.Writer(workspace.predictions, LOOP)) as writer:
        old = answer(writer, number, [1.0])
        first = Predictions().read(place)
        collect(first)
        label(workspace, answer(writer, number, [2.0]), 2, at=1.0)
        later = Predictions().read(place, since=first.origins)
        assert (collect(later).select("x", "label").rows(), later.whole) == ([(2.0, 2)], False)
        label(workspace, old, 1, at=2.0)
        whole = Predictions().read(place, since=later.origins)
        assert (collect(whole).select("x", "label").rows(), whole.whole) == ([(1.0, 1), (2.0, 2)], True)
