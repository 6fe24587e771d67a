"""Truth and answers of the same rows, as arrays that every metric reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from everloop.core.errors import BadInput
from everloop.core.models import Task
from everloop.core.ports import Answers

Floats = np.ndarray[Any, np.dtype[np.float64]]
Codes = np.ndarray[Any, np.dtype[np.int64]]
Indices = np.ndarray[Any, Any]


class Outcomes(NamedTuple):
    """n rows. Classification: `truth` and `predicted` are codes (floats holding positions in `classes`), `probabilities` is (n, classes)
    or None. Regression: both are values, `classes` is empty."""

    truth: Floats
    predicted: Floats
    probabilities: Floats | None
    classes: tuple[str, ...]

    @property
    def n(self) -> int:
        return len(self.truth)

    def take(self, rows: Indices) -> Outcomes:
        """The rows of a mask or of positions."""
        return Outcomes(
            self.truth[rows], self.predicted[rows], None if self.probabilities is None else self.probabilities[rows], self.classes
        )


def outcomes(truth: pl.Series | Sequence[Any], answers: Answers, *, task: Task, classes: Sequence[str] = ()) -> Outcomes:
    """Line truth up with answers. `classes` are the labels (text) in the order of the probability columns; by default those that occur,
    sorted. A label that is not among them gets a class of its own behind, with probability 0. BadInput for different lengths.
    """
    series = truth if isinstance(truth, pl.Series) else pl.Series(list(truth), strict=False)
    if len(series) != len(answers.outputs):
        raise BadInput(f"{len(series)} true values against {len(answers.outputs)} answers. One answer a row was expected.")
    if task == "regression":
        values = series.cast(pl.Float64).fill_null(np.nan).to_numpy()
        return Outcomes(np.asarray(values, dtype=np.float64), np.asarray(answers.outputs, dtype=np.float64).reshape(-1), None, ())
    true, predicted = as_text(series), as_text(pl.Series(answers.outputs))
    if not classes:
        classes = _sorted_labels(series, pl.Series(answers.outputs))
    known = set(classes)
    every = (*classes, *sorted({label for label in (*true, *predicted) if label not in known}))
    code = {label: float(at) for at, label in enumerate(every)}
    probabilities = answers.probabilities
    if probabilities is not None:
        probabilities = np.asarray(probabilities, dtype=np.float64)
        extra = len(every) - probabilities.shape[1]
        if extra > 0:
            probabilities = np.hstack([probabilities, np.zeros((len(probabilities), extra))])
    return Outcomes(
        np.array([code[label] for label in true], dtype=np.float64),
        np.array([code[label] for label in predicted], dtype=np.float64),
        probabilities,
        every,
    )


def as_text(values: pl.Series) -> list[str]:
    """Labels in the text form of `Signature.classes`: `3`, `true`, `yes`."""
    return values.cast(pl.String).fill_null("null").to_list()


def _sorted_labels(truth: pl.Series, answered: pl.Series) -> tuple[str, ...]:
    """In the order of the labels' own type, as estimators sort them: 2 before 10."""
    both = (
        pl.concat([truth, answered.cast(truth.dtype)])
        if truth.dtype == answered.dtype
        else truth.cast(pl.String).append(answered.cast(pl.String))
    )
    return tuple(as_text(both.unique().sort()))
