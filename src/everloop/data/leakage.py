"""Does the evaluation part know what it should not? Prepared rows -> verdict.

What stops cannot be right: rows of the future or of the same group in training where the split promises otherwise, and a feature that is the target under
another name. What warns may be right, and makes the evaluation look better than the model is. What informs explains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import polars as pl

from everloop.core.tables import Column, Prepared, Snapshot
from everloop.core.verdict import Finding, Verdict, verdict
from everloop.data.prepare import Split

if TYPE_CHECKING:
    from everloop.store.workspace import Workspace

MAX_SEEN = 0.01
"""So large a share of the evaluation rows may equal a training row before that is worth a warning."""
NEAR_PERFECT = 0.995
"""A single feature that tells so much of the target (share of variance, or of the way from the commonest class to all) is worth one too."""
EXACT = 1 - 1e-9
MIN_ROWS = 50
SAMPLE_ROWS = 50_000
_BINS = 256
_SHOWN = 5
_REMEMBERED = ": they are remembered, not predicted. Take duplicates out of the data, or split by what they have in common: Split(how='group', by=...)"
_PARTS = ("train", "valid", "test")


def check_prepared(
    workspace: Workspace, snapshot: Snapshot, prepared: Prepared, *, split: Split | None = None, allow: Sequence[str] = ()
) -> Verdict:
    """`check` for a prepared snapshot; of its rows, features, target and the column of the split are read."""
    from everloop.store.snapshots import load

    split = split or Split()
    features = [column.name for column in prepared.features]
    times = [column.name for column in snapshot.columns if column.kind == "time" and column.name not in features]
    needed = [*features, prepared.target, *([split.by] if split.by else []), *times]
    frame = load(workspace.blobs, snapshot, list(dict.fromkeys(needed)))
    parts = np.frombuffer(workspace.blobs.get(prepared.split), dtype=np.uint8)
    return check(
        frame, parts, target=prepared.target, features=prepared.features, split=split, task=prepared.task, about=prepared.id, allow=allow
    )


def check(
    frame: pl.DataFrame,
    parts: np.ndarray[Any, Any],
    *,
    target: str,
    features: Sequence[Column],
    split: Split,
    task: str,
    about: str,
    allow: Sequence[str] = (),
) -> Verdict:
    """The verdict `leakage`. `parts` are 0 train, 1 valid, 2 test, anything else is no part; `frame` has at least the features, the target and `split.by`.

    `allow` names features that may tell the target: they are not asked about.
    """
    names = [column.name for column in features]
    found: list[Finding] = [*_future(frame, parts, split), *_groups(frame, parts, split)]
    found += _twins(frame, parts, names, target)
    asked = [column for column in features if column.name not in allow]
    found += _tellers(frame, parts, asked, target, task)
    return verdict("leakage", about, found)


def _future(frame: pl.DataFrame, parts: np.ndarray[Any, Any], split: Split) -> Iterator[Finding]:
    """No part may hold rows older than the newest of a part before it."""
    if split.how == "time" and split.by is not None:
        times = frame[split.by]
        for earlier, later in ((0, 1), (0, 2), (1, 2)):
            before, after = times.filter(pl.Series(parts == earlier)), times.filter(pl.Series(parts == later))
            if not len(before) or not len(after):
                continue
            newest, oldest = cast("Any", before.max()), cast("Any", after.min())
            ahead = int((before >= oldest).sum())
            yield Finding(
                check="future rows",
                subject=split.by,
                passed=ahead == 0,
                message=f"{ahead:,} of {len(before):,} {_PARTS[earlier]} rows are not older than the first {_PARTS[later]} row",
                observed=ahead,
                limit=0,
                evidence={"newest": str(newest), "oldest": str(oldest)},
            )
        return
    for name, dtype in frame.schema.items():
        if not isinstance(dtype, pl.Date | pl.Datetime):
            continue
        train, test = frame[name].filter(pl.Series(parts == 0)), frame[name].filter(pl.Series(parts == 2))
        middle: Any = train.drop_nulls().median()
        if middle is None or not len(test):
            continue
        share = float((test <= middle).mean() or 0.0)
        yield Finding(
            check="future rows",
            subject=name,
            passed=False,
            severity="info",
            message=f"the split is by {split.how}, not by the time {name!r}: {share:.0%} of the test rows are older than half of the training rows. If the model is "
            f"to foresee what comes after its training, split by it: Split(how='time', by={name!r})",
            observed=share,
        )


def _groups(frame: pl.DataFrame, parts: np.ndarray[Any, Any], split: Split) -> Iterator[Finding]:
    if split.how != "group" or split.by is None:
        return
    inside = frame.select(group=pl.col(split.by), part=pl.Series(parts)).filter(pl.col("part") < len(_PARTS))
    over = inside.group_by("group").agg(pl.col("part").n_unique()).filter(pl.col("part") > 1)["group"]
    yield Finding(
        check="group overlap",
        subject=split.by,
        passed=not len(over),
        message=f"{len(over):,} of {inside['group'].n_unique():,} groups of {split.by!r} have rows in more than one part",
        observed=len(over),
        limit=0,
        evidence={"groups": [str(value) for value in over.sort().head(_SHOWN).to_list()]},
    )


def _twins(frame: pl.DataFrame, parts: np.ndarray[Any, Any], names: Sequence[str], target: str) -> Iterator[Finding]:
    """Evaluation rows that equal a training row in all features: with the same target they were learned by heart; with another one nobody could know.

    64-bit hashes are compared instead of rows; among a million of them, two different ones are equal with probability 3e-8.
    """
    hashes = _hashes(frame.select(names))
    whole = _hashes(frame.select([*names, target]))
    train = pl.Series(parts == 0)
    known, known_whole = hashes.filter(train).unique(), whole.filter(train).unique()
    for part in (1, 2):
        mask = pl.Series(parts == part)
        rows = int(mask.sum())
        if not rows:
            continue
        same_features: Any = hashes.filter(mask).is_in(known.implode())
        same: Any = whole.filter(mask).is_in(known_whole.implode())
        seen, other = int(same.sum()), int((same_features & ~same).sum())
        places = np.flatnonzero(mask.to_numpy())
        yield Finding(
            check="duplicates",
            subject=_PARTS[part],
            passed=seen <= MAX_SEEN * rows,
            severity="warn",
            message=f"{seen:,} of {rows:,} {_PARTS[part]} rows equal a training row in all features and the target ({seen / rows:.1%})"
            + (_REMEMBERED if seen > MAX_SEEN * rows else ""),
            observed=seen / rows,
            limit=MAX_SEEN,
            evidence={"rows": places[same.to_numpy()][:_SHOWN].tolist()},
        )
        yield Finding(
            check="contradictions",
            subject=_PARTS[part],
            passed=other == 0,
            severity="info",
            message=f"{other:,} of {rows:,} {_PARTS[part]} rows equal a training row in all features, but never with this target",
            observed=other,
            limit=0,
            evidence={"rows": places[(same_features & ~same).to_numpy()][:_SHOWN].tolist()},
        )


def _hashes(frame: pl.DataFrame) -> pl.Series:
    # Whole numbers and the floats equal to them hash alike only in one type; lists as their text.
    lists = [name for name, dtype in frame.schema.items() if dtype.is_nested()]
    return frame.with_columns([pl.Series(name, [repr(value) for value in frame[name].to_list()]) for name in lists]).hash_rows(seed=0)


def _tellers(frame: pl.DataFrame, parts: np.ndarray[Any, Any], features: Sequence[Column], target: str, task: str) -> Iterator[Finding]:
    """Each feature by itself: is it the target, or does it nearly tell it? Learned on training rows, asked of the others."""
    train, other = (_sample(np.flatnonzero(mask)) for mask in (parts == 0, (parts == 1) | (parts == 2)))
    if len(train) < MIN_ROWS or len(other) < MIN_ROWS:
        return
    rows = np.concatenate([train, other])
    sample = frame.select([column.name for column in features] + [target])[rows]
    cut = len(train)
    truth: Any = sample[target].cast(pl.Float64).to_numpy() if task == "regression" else _codes(sample[target])
    tell = _variance_told if task == "regression" else _classes_told
    copies: dict[str, float] = {}
    near: dict[str, float] = {}
    for column in features:
        values = sample[column.name]
        if column.kind in ("bytes", "list") or values.null_count() == len(values):
            continue
        if _is_copy(values, sample[target], task):
            copies[column.name] = 1.0
        elif (told := tell(_cells(values, cut), truth, cut)) >= NEAR_PERFECT:
            near[column.name] = told
    yield _about_features(
        "target copies",
        copies,
        severity="stop",
        message="{names} {verb} the target {target!r} under another name: each value of one goes with one value of the other. Leave such features out "
        "(drop=...), if they are not known before the target is",
        clean="no feature is the target {target!r} under another name",
        target=target,
    )
    yield _about_features(
        "telling features",
        near,
        severity="warn",
        message="{names} nearly {tell} the target {target!r} without any other feature. Make sure that what they hold is known before the target is",
        clean="no feature tells the target {target!r} by itself",
        target=target,
    )


def _about_features(check: str, found: Mapping[str, float], *, severity: Any, message: str, clean: str, target: str) -> Finding:
    one = len(found) == 1
    shown = message.format(names=", ".join(map(repr, found)), verb="is" if one else "are", tell="tells" if one else "tell", target=target)
    return Finding(
        check=check,
        subject=next(iter(found), ""),
        passed=not found,
        severity=severity,
        message=shown if found else clean.format(target=target),
        observed=max(found.values(), default=None),
        limit=NEAR_PERFECT if severity == "warn" else None,
        evidence={"features": {name: round(value, 6) for name, value in found.items()}} if found else {},
    )


def _sample(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """At most 50,000, evenly spread."""
    if len(rows) <= SAMPLE_ROWS:
        return rows
    return rows[np.linspace(0, len(rows) - 1, SAMPLE_ROWS).astype(np.int64)]


def _codes(values: pl.Series) -> np.ndarray[Any, Any]:
    return cast("Any", values.rank("dense").fill_null(0).to_numpy()).astype(np.int64)


def _cells(values: pl.Series, cut: int) -> np.ndarray[Any, Any]:
    """A small whole number for each value: its own if the column has few, else that of its bin between quantiles of the training rows."""
    if values.dtype.is_numeric() and values.n_unique() > _BINS:
        numbers: Any = values.cast(pl.Float64).to_numpy()
        known = numbers[:cut][~np.isnan(numbers[:cut])]
        edges = np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1])) if len(known) else np.empty(0)
        places = cast("Any", np.searchsorted(cast("Any", edges), numbers, side="right"))
        return np.where(np.isnan(numbers), 0, places + 1)
    return _codes(values)


def _is_copy(values: pl.Series, target: pl.Series, task: str) -> bool:
    """One to one: for numbers against numbers that one rises or falls with the other without exception, for others that values and classes go in pairs."""
    pair = pl.DataFrame({"v": values, "t": target}).drop_nulls()
    if pair.height < MIN_ROWS or pair.height < 0.9 * len(values):
        return False
    if task == "regression":
        if not values.dtype.is_numeric():
            return False
        ranks: Any = pair.select(pl.all().cast(pl.Float64).rank()).to_numpy()
        if (ranks == ranks[0]).all(axis=0).any():
            return False
        return bool(abs(np.corrcoef(ranks.T)[0, 1]) >= EXACT)
    kinds = pair["t"].n_unique()
    return 1 < kinds <= pair.height // 10 and pair["v"].n_unique() == kinds == pair.n_unique()


def _variance_told(cells: np.ndarray[Any, Any], truth: np.ndarray[Any, Any], cut: int) -> float:
    """Share of the variance (R²) that the mean of a value's or bin's training rows explains among the other rows."""
    usable = np.isfinite(truth)
    counts = np.bincount(cells[:cut][usable[:cut]], minlength=int(cells.max()) + 1)
    sums = np.bincount(cells[:cut][usable[:cut]], weights=truth[:cut][usable[:cut]], minlength=len(counts))
    overall = float(sums.sum()) / max(int(counts.sum()), 1)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), overall)
    asked, answer = cells[cut:][usable[cut:]], truth[cut:][usable[cut:]]
    spread = float(((answer - answer.mean()) ** 2).sum())
    return 1.0 - float(((answer - means[asked]) ** 2).sum()) / spread if spread > 0 else 0.0


def _classes_told(cells: np.ndarray[Any, Any], truth: np.ndarray[Any, Any], cut: int) -> float:
    """How far the commonest class of a value's or bin's training rows comes from the commonest class of all to always right."""
    width = int(truth.max()) + 1
    pairs, counts = np.unique(cells[:cut] * width + truth[:cut], return_counts=True)
    order = np.argsort(counts, kind="stable")
    commonest = np.full(int(cells.max()) + 1, np.bincount(truth[:cut]).argmax())
    # The last assignment to a cell is that of its commonest class.
    commonest[pairs[order] // width] = pairs[order] % width
    right = float((commonest[cells[cut:]] == truth[cut:]).mean())
    plain = float((np.bincount(truth[:cut]).argmax() == truth[cut:]).mean())
    return (right - plain) / (1 - plain) if plain < 1 else 0.0
