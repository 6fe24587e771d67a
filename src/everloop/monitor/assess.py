"""A window's rows -> its profile, its quality, and the detectors' verdict on it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
import polars as pl

from everloop.core.live import Label, Prediction, Window
from everloop.core.models import Evaluation, Signature
from everloop.core.profiles import ColumnProfile, Profile
from everloop.core.verdict import Verdict, verdict
from everloop.monitor.detectors.detector import Detector, Reference, Seen
from everloop.monitor.detectors.estimated_performance import EstimatedPerformance, estimate
from everloop.monitor.detectors.feature_drift import FeatureDrift
from everloop.monitor.detectors.prediction_drift import PredictionDrift
from everloop.monitor.detectors.realised_performance import RealisedPerformance, realise

QUESTION = "monitoring"
DETECTORS: tuple[Detector, ...] = (EstimatedPerformance(), RealisedPerformance(), PredictionDrift(), FeatureDrift())
# Parentheses keep the column of numeric answers apart from any feature.
ANSWER = "(answer)"

_TYPES: dict[str, Any] = {"int": pl.Int64, "float": pl.Float64, "bool": pl.Boolean, "text": pl.String}


class Summarise(Protocol):
    """The data stage's profiler, handed in because stages do not import each other."""

    def __call__(self, frame: pl.DataFrame, *, about: str, reference: Profile | None) -> Profile: ...


class Assessment(NamedTuple):
    window: Window
    profile: Profile
    verdict: Verdict


def assess(
    rows: Sequence[Prediction],
    *,
    about: str,
    first: int,
    signature: Signature,
    evaluation: Evaluation,
    profile: Profile | None,
    earlier: Profile | None,
    labels: Mapping[str, Label],
    detectors: Sequence[Detector] = DETECTORS,
    summarise: Summarise,
) -> Assessment:
    """Summarise and judge one window of one version.

    `about` is the id of the version's record, `profile` that of the training snapshot, `earlier` that of the version's first window (for
    the answers of a regression). `labels` are those known now, by prediction id.
    """
    answered = frame(rows, signature)
    bins = _bins(profile, earlier)
    seen_profile = summarise(answered, about=about, reference=bins)
    labelled = tuple((row.output, labels[row.id].value) for row in rows if row.id in labels)
    confidence = np.array([max(row.probabilities) for row in rows if row.probabilities], dtype=np.float64)
    classification = signature.task == "classification"
    seen = Seen(
        rows=len(rows),
        profile=_without_answer(seen_profile),
        outputs=Counter(str(row.output) for row in rows) if classification else {},
        output=seen_profile.column(ANSWER),
        confidence=confidence,
        labelled=labelled,
    )
    reference = Reference(
        task=signature.task,
        evaluation=evaluation,
        profile=profile,
        outputs=_evaluated_outputs(evaluation, signature) if classification else {},
        output=earlier.column(ANSWER) if earlier else None,
    )
    window = Window(
        loop=rows[0].loop,
        version=rows[0].version,
        first=first,
        rows=len(rows),
        start=min(row.at for row in rows),
        end=max(row.at for row in rows),
        profile=seen_profile.id,
        estimated=estimate(confidence, evaluation.calibration) if classification else None,
        realised=realise(labelled, signature.task),
        labelled=len(labelled),
    )
    findings = [detector.examine(seen, reference) for detector in detectors]
    return Assessment(window, seen_profile, verdict(QUESTION, window.id, findings))


def frame(rows: Sequence[Prediction], signature: Signature) -> pl.DataFrame:
    """The features as a table in the signature's kinds, and the answers of a regression as one more column.

    A value that does not fit its column's kind counts as empty: what was served was already checked there.
    """
    columns = [
        pl.Series(
            column.name, [row.features[i] if i < len(row.features) else None for row in rows], dtype=_TYPES.get(column.kind), strict=False
        )
        for i, column in enumerate(signature.inputs)
    ]
    if signature.task == "regression":
        columns.append(pl.Series(ANSWER, [row.output for row in rows], dtype=pl.Float64, strict=False))
    return pl.DataFrame(columns)


def _bins(profile: Profile | None, earlier: Profile | None) -> Profile | None:
    """The training profile with the first window's answers in it, so that both are counted in known bins."""
    answers: ColumnProfile | None = earlier.column(ANSWER) if earlier else None
    if profile is None or answers is None:
        return profile
    return msgspec.structs.replace(profile, columns=(*profile.columns, answers))


def _without_answer(profile: Profile) -> Profile:
    return msgspec.structs.replace(profile, columns=tuple(column for column in profile.columns if column.name != ANSWER))


def _evaluated_outputs(evaluation: Evaluation, signature: Signature) -> dict[str, int]:
    """How often each class was answered on the evaluation rows: the confusion matrix's column sums."""
    if len(evaluation.confusion) != len(signature.classes):
        return {}
    return {name: sum(row[i] for row in evaluation.confusion) for i, name in enumerate(signature.classes)}
