"""Rules on evaluations."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from everloop.core.digest import digest
from everloop.core.errors import BadInput, NotFound
from everloop.core.models import Evaluation, Metric
from everloop.evaluate import gates


def evaluation(
    values: Mapping[str, float | None],
    *,
    dummy: Mapping[str, float | None] | None = None,
    slices: tuple[Metric, ...] = (),
    prepared: str = "prepared-1",
) -> Evaluation:
    def metrics(numbers: Mapping[str, float | None]) -> tuple[Metric, ...]:
        return tuple(Metric(name=name, value=value, n=100, low=value, high=value) for name, value in numbers.items())

    return Evaluation(
        candidate="candidate-1",
        prepared=prepared,
        part="test",
        metrics=(*metrics(values), *slices),
        baselines={"dummy": metrics(dummy or {})},
    )


@pytest.mark.parametrize(
    ("gate", "values", "passed"),
    [
        (gates.at_most("mae", 60), {"mae": 60.0}, True),
        (gates.at_most("mae", 60), {"mae": 60.1}, False),
        (gates.at_most("mae", 60), {"mae": None}, False),
        (gates.at_most("mae", 60), {}, False),
        (gates.at_least("accuracy", 0.9), {"accuracy": 0.9}, True),
        (gates.at_least("accuracy", 0.9), {"accuracy": 0.89}, False),
        (gates.at_least("accuracy", 0.9), {"accuracy": None}, False),
    ],
)
def test_limits(gate: gates.Gate, values: Mapping[str, float | None], passed: bool) -> None:
    found = gates.judge(evaluation(values), None, [gate])
    assert found.passed is passed
    assert found.question == "gate"
    assert found.about == evaluation(values).id


@pytest.mark.parametrize(
    ("metric", "by", "value", "champion", "passed"),
    [
        ("accuracy", 0.0, 0.90, 0.90, True),
        ("accuracy", 0.0, 0.89, 0.90, False),
        ("accuracy", 0.0, 0.95, 0.90, True),
        ("accuracy", 0.02, 0.885, 0.90, True),  # a difference
        ("accuracy", 0.02, 0.875, 0.90, False),
        ("fpr", 0.02, 0.115, 0.10, True),  # lower is better, bounded
        ("fpr", 0.02, 0.125, 0.10, False),
        ("mae", 0.02, 50.9, 50.0, True),  # a part of the champion's
        ("mae", 0.02, 51.1, 50.0, False),
        ("mae", 0.0, 40.0, 50.0, True),
        ("r2", 0.02, 0.49, 0.50, True),
        ("accuracy", 0.02, None, 0.90, False),
        ("accuracy", 0.02, 0.90, None, False),
    ],
)
def test_no_worse_than_champion(metric: str, by: float, value: float | None, champion: float | None, passed: bool) -> None:
    gate = gates.no_worse_than_champion(metric, by=by)
    found = gates.judge(evaluation({metric: value}), evaluation({metric: champion}), [gate])
    assert found.passed is passed, found.sentence()


def test_without_a_champion_there_is_nothing_to_be_worse_than() -> None:
    found = gates.judge(evaluation({"mae": 1.0}), None, [gates.no_worse_than_champion("mae")])
    assert found.passed
    assert "no champion" in found.findings[0].message


@pytest.mark.parametrize(
    ("metric", "by", "value", "dummy", "passed"),
    [
        ("accuracy", 0.0, 0.51, 0.5, True),
        ("accuracy", 0.0, 0.5, 0.5, False),
        ("accuracy", 0.1, 0.59, 0.5, False),
        ("accuracy", 0.1, 0.61, 0.5, True),
        ("mae", 0.0, 9.9, 10.0, True),
        ("mae", 0.0, 10.0, 10.0, False),
        ("mae", 0.1, 9.1, 10.0, False),
        ("mae", 0.1, 8.9, 10.0, True),
        ("mae", 0.0, 9.9, None, False),
    ],
)
def test_better_than_baseline(metric: str, by: float, value: float, dummy: float | None, passed: bool) -> None:
    found = gates.judge(evaluation({metric: value}, dummy={metric: dummy}), None, [gates.better_than_baseline(metric, by=by)])
    assert found.passed is passed, found.sentence()


def test_every_slice_is_judged_that_is_large_enough() -> None:
    slices = (
        Metric(name="mae", value=80.0, n=50, slice="season=1"),
        Metric(name="mae", value=95.0, n=50, slice="season=2"),
        Metric(name="mae", value=500.0, n=5, slice="season=3"),
        Metric(name="mae", value=None, n=40, slice="season=4"),
        Metric(name="mae", value=500.0, n=50, slice="seasonal=1"),
        Metric(name="rmse", value=500.0, n=50, slice="season=1"),
    )
    found = gates.judge(evaluation({"mae": 60.0}, slices=slices), None, [gates.every_slice("season", "mae", at_most=90)])
    assert [(f.subject, f.passed) for f in found.findings] == [
        ("season=1", True),
        ("season=2", False),
        ("season=3", True),
        ("season=4", False),
    ]
    assert "mae for season=2 is 95, at most 90 was expected" in found.sentence()
    assert gates.judge(evaluation({"mae": 60.0}, slices=slices[:1]), None, [gates.every_slice("season", "mae", at_most=90)]).passed
    assert not gates.judge(evaluation({"mae": 60.0}), None, [gates.every_slice("season", "mae", at_most=90)]).passed
    low = gates.every_slice("season", "mae", at_least=81, min_rows=50)
    assert [f.passed for f in gates.judge(evaluation({}, slices=slices[:2]), None, [low]).findings] == [False, True]


def test_evidence_carries_the_intervals() -> None:
    better = evaluation({"mae": 50.0}, dummy={"mae": 70.0})
    (finding,) = gates.judge(better, None, [gates.better_than_baseline("mae", by=0.1)]).findings
    assert finding.observed == 50.0
    assert finding.limit == pytest.approx(63.0)
    assert finding.evidence["n"] == 100
    assert finding.evidence["low"] == 50.0
    assert finding.evidence["reference"] == 70.0
    assert finding.message == "mae is 50 [50, 50], better than the dummy baseline (70 [70, 70]) by more than 10 % was expected."
    (finding,) = gates.judge(better, evaluation({"mae": 45.0}, prepared="prepared-0"), [gates.no_worse_than_champion("mae")]).findings
    assert finding.evidence["same_rows"] is False


def test_without_gates_the_default_ones_judge() -> None:
    good, bad = evaluation({"accuracy": 0.9}, dummy={"accuracy": 0.5}), evaluation({"accuracy": 0.5}, dummy={"accuracy": 0.5})
    assert gates.judge(good, None, []).passed
    assert not gates.judge(bad, None, []).passed
    assert gates.judge(good, evaluation({"accuracy": 0.915}), []).passed
    assert not gates.judge(good, evaluation({"accuracy": 0.95}), []).passed
    assert len(gates.judge(good, None, []).findings) == 2


def test_names_are_checked_before_training() -> None:
    metrics, columns = ["mae", "rmse"], ["season", "hour"]
    for gate in (
        gates.at_most("mae", 1),
        gates.every_slice("season", "rmse", at_most=1),
        gates.better_than_baseline("mae", baseline="linear"),
    ):
        gate.check(metrics, columns)
    for gate in (gates.at_most("mea", 1), gates.every_slice("season", "mea", at_most=1), gates.no_worse_than_champion("mea")):
        with pytest.raises(NotFound, match=r"Metric 'mea' does not exist. Did you mean 'mae'"):
            gate.check(metrics, columns)
    with pytest.raises(NotFound, match=r"Slice column 'seasn' does not exist. Did you mean 'season'"):
        gates.every_slice("seasn", "mae", at_most=1).check(metrics, columns)
    with pytest.raises(NotFound, match=r"Baseline 'dumy' does not exist. Did you mean 'dummy'"):
        gates.better_than_baseline("mae", baseline="dumy").check(metrics, columns)
    with pytest.raises(BadInput, match=r"asks for 'r2', which the loop does not compute. Add it to metrics=\['mae', 'rmse', 'r2'\]"):
        gates.at_least("r2", 0.5).check(metrics, columns)
    with pytest.raises(BadInput, match="needs at_most= or at_least="):
        gates.every_slice("season", "mae")
    with pytest.raises(BadInput, match=r"by=-0.1 must be 0 or more"):
        gates.no_worse_than_champion("mae", by=-0.1)


def test_gates_say_which_slices_they_need_and_have_an_identity() -> None:
    assert gates.every_slice("season", "mae", at_most=1).slices() == ("season",)
    assert gates.at_most("mae", 1).slices() == ()
    assert digest(gates.at_most("mae", 1.0)) == digest(gates.at_most("mae", 1.0))
    assert len({digest(gate) for gate in (gates.at_most("mae", 1), gates.at_least("mae", 1), gates.at_most("mae", 2))}) == 3
