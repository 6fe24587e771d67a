"""Candidate -> evaluation: its metrics on one part, as a whole and by slice, beside simple models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import polars as pl

from everloop.core import plugins
from everloop.core.errors import BadInput, unknown
from everloop.core.models import Candidate, Evaluation, Metric
from everloop.core.ports import Answers, Examples
from everloop.core.tables import Part, Prepared
from everloop.evaluate import metrics as metric_names
from everloop.evaluate.calibration import calibrate
from everloop.evaluate.metrics.confusion import confusion
from everloop.evaluate.metrics.measure import Measure
from everloop.evaluate.metrics.outcomes import Outcomes, as_text, outcomes
from everloop.store import records, workspace
from everloop.store.models import open_model
from everloop.store.parts import load_part, load_rows
from everloop.store.tables import keep_table

if TYPE_CHECKING:
    from everloop.core.ports import Predictor

MAX_SLICE_VALUES = 50
GOLDEN_ROWS = 64
OUTPUT = "__output"
PROBABILITY = "__p"


def score(
    candidate: Candidate,
    prepared: Prepared,
    *,
    metrics: Sequence[str],
    slices: Sequence[str] = (),
    part: Part = "test",
    baselines: bool = True,
    seed: int = 0,
) -> Evaluation:
    """Evaluate and keep. The same arguments give the same evaluation.

    `slices` are columns of the snapshot (text, integer or boolean, at most 50 values), features or not. NotFound for an unknown metric or
    column, BadInput for metrics of another task, an empty part, or a column that cannot be sliced by.
    """
    here = workspace.current()
    measures = metric_names.get(metrics)
    task = metric_names.task_of(metrics)
    if task != prepared.task:
        raise BadInput(f"{measures[0].name!r} is a {task} metric, but {prepared.target!r} was prepared for {prepared.task}.")
    rows = load_rows(here, prepared, part)
    if not rows.height:
        raise BadInput(f"The part {part!r} of {prepared.id} has no rows to evaluate on. Split with a larger share, or take more data.")
    groups = {column: slice_values(rows, column) for column in slices}
    # Its own inputs: a champion may know columns that the candidate's preparation left out.
    features, target = rows.select([column.name for column in candidate.signature.inputs]), rows[prepared.target]
    answers = open_model(here, candidate).predict(features)
    found = outcomes(target, answers, task=task, classes=candidate.signature.classes)
    matrix = confusion(found).astype(int).tolist() if task == "classification" else ()
    evaluation = Evaluation(
        candidate=candidate.id,
        prepared=prepared.id,
        part=part,
        metrics=(*_estimates(measures, found, seed), *_by_slice(measures, found, groups, seed)),
        baselines=_baselines(candidate, prepared, measures, Examples(features, target), seed) if baselines else {},
        confusion=tuple(tuple(line) for line in matrix),
        calibration=calibrate(found, seed=seed) if task == "classification" else None,
        golden=keep_table(here.blobs, golden(features, answers)),
    )
    with here.write() as tx:
        records.keep(tx, evaluation)
    return evaluation


def slice_values(rows: pl.DataFrame, column: str) -> list[tuple[str, pl.Series]]:
    """(`column=value`, mask of its rows) for each value, most rows first. Nulls are a value of their own."""
    if column not in rows.columns:
        raise unknown("Slice column", column, rows.columns)
    series = rows[column]
    if not (series.dtype.is_integer() or isinstance(series.dtype, (pl.String, pl.Boolean, pl.Categorical, pl.Enum))):
        raise BadInput(f"{column!r} is {series.dtype} and cannot be sliced by. Slice by a text, integer or boolean column.")
    text = pl.Series(as_text(series), dtype=pl.String)
    counts = text.value_counts(sort=False).sort(["count", ""], descending=[True, False])
    if counts.height > MAX_SLICE_VALUES:
        raise BadInput(f"{column!r} has {counts.height} values; at most {MAX_SLICE_VALUES} can be sliced by.")
    return [(f"{column}={value}", text == value) for value in counts[""].to_list()]


def golden(features: pl.DataFrame, answers: Answers) -> pl.DataFrame:
    """Up to 64 rows spread evenly over the part: the features, `__output`, and `__p0`, `__p1` … where there are probabilities."""
    chosen = np.unique(np.linspace(0, features.height - 1, min(GOLDEN_ROWS, features.height)).astype(np.int64))
    columns = [pl.Series(OUTPUT, answers.outputs[chosen])]
    if answers.probabilities is not None:
        columns += [pl.Series(f"{PROBABILITY}{k}", answers.probabilities[chosen, k]) for k in range(answers.probabilities.shape[1])]
    return features[chosen].with_columns(columns)


def _estimates(measures: Sequence[Measure], rows: Outcomes, seed: int, slice: str = "") -> list[Metric]:
    return [measure.estimate(rows, slice=slice, seed=seed) for measure in measures]


def _by_slice(measures: Sequence[Measure], rows: Outcomes, groups: Mapping[str, list[tuple[str, pl.Series]]], seed: int) -> list[Metric]:
    return [
        metric
        for values in groups.values()
        for name, mask in values
        for metric in _estimates(measures, rows.take(mask.to_numpy()), seed, name)
    ]


def _baselines(
    candidate: Candidate, prepared: Prepared, measures: Sequence[Measure], part: Examples, seed: int
) -> dict[str, tuple[Metric, ...]]:
    here = workspace.current()
    fit = cast("Callable[..., dict[str, Predictor]]", plugins.find("baselines", "sklearn"))
    fitted = fit(
        Examples(*load_part(here, prepared, "train")),
        transform=here.blobs.get(prepared.transform),
        task=prepared.task,
        target=candidate.signature.output,
        features=prepared.features,
        seed=seed,
    )
    found: dict[str, tuple[Metric, ...]] = {}
    for name, predictor in fitted.items():
        answers = predictor.predict(part.frame)
        rows = outcomes(part.target, answers, task=prepared.task, classes=predictor.signature.classes)
        found[name] = tuple(_estimates(measures, rows, seed))
    return found
