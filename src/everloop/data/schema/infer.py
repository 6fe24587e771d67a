"""Profile -> schema: what was seen, with as much room as chance takes, so that the next batch of the same kind keeps it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import cast

from everloop.core.errors import BadInput, unknown
from everloop.core.profiles import ColumnProfile, Profile
from everloop.core.schemas import ColumnRule, Schema
from everloop.core.tables import Kind

VOCABULARY = 50
# What a few rows have in common they may have by chance.
MANY_ROWS = 1000
MANY_TEXTS = 100
# A vocabulary of which more than this is probably still unseen is none.
UNSEEN_SHARE = 0.05
RARE = 10


def infer(profile: Profile, *, dataset: str, target: str, drop: Sequence[str] = ()) -> Schema:
    """Kinds and presence as seen; nulls allowed where some were seen, up to twice as many; numbers within the observed range; texts with at most
    50 different values within those, unless so many were seen only once that others must be expected; texts of one form within that form; running
    numbers and codes that never came twice as unique. Times have no range: new data is later than old. Columns in `drop` are no features: they may be
    absent, null and anything of their kind. The target is not asked for when serving. Raises BadInput when the target is absent."""
    if profile.column(target) is None:
        raise BadInput(str(unknown("Target column", target, [column.name for column in profile.columns])))
    return Schema(
        dataset=dataset,
        columns=tuple(
            _loose(column) if column.name in drop and column.name != target else _rule(column, is_target=column.name == target)
            for column in profile.columns
        ),
    )


def _loose(column: ColumnProfile) -> ColumnRule:
    return ColumnRule(name=column.name, kind=cast("Kind", column.kind), required=False, nullable=True)


def _rule(column: ColumnProfile, *, is_target: bool) -> ColumnRule:
    running = _is_running_number(column)
    ranged = column.kind in ("int", "float") and not running
    vocabulary = _vocabulary(column)
    form = _form(column) if vocabulary is None else None
    return ColumnRule(
        name=column.name,
        kind=cast("Kind", column.kind),
        nullable=column.nulls + column.nans > 0,
        max_null_share=_null_share(column),
        low=column.low if ranged else None,
        high=column.high if ranged else None,
        vocabulary=vocabulary,
        pattern=form,
        min_length=1 if vocabulary is None and form is None and column.lengths is not None and column.lengths.low > 0 else None,
        unique=running or (form is not None and _all_different(column)),
        tolerance={"categories": _rounded_up(max(0.01, 3 * _unseen_share(column)))} if vocabulary and _has_tail(column) else None,
        absent_in=("serving",) if is_target else (),
    )


def _vocabulary(column: ColumnProfile) -> tuple[str, ...] | None:
    closed = column.kind == "text" and column.distinct <= VOCABULARY and column.other == 0 and column.unseen == 0
    if not closed or _unseen_share(column) > UNSEEN_SHARE:
        return None
    return tuple(sorted(value for value, count in column.top if count))


def _unseen_share(column: ColumnProfile) -> float:
    """How much of the next rows will be categories not seen so far: as much as of these rows are of categories seen once (Good 1953, after Turing)."""
    return sum(count == 1 for _, count in column.top) / max(1, column.valid)


def _has_tail(column: ColumnProfile) -> bool:
    """Whether some categories are so rare that as rare ones may have been missed."""
    return any(0 < count <= RARE for _, count in column.top)


def _null_share(column: ColumnProfile) -> float | None:
    """Twice the share seen and four standard errors. Nothing is said where half or more is missing, or little was seen."""
    missing = column.nulls + column.nans
    if column.rows < MANY_ROWS or not missing or 2 * missing >= column.rows:
        return None
    share = missing / column.rows
    limit = _rounded_up(2 * share + 4 * math.sqrt(share * (1 - share) / column.rows))
    return limit if limit < 1 else None


def _form(column: ColumnProfile) -> str | None:
    """The pattern of texts that all look alike, such as 9999-AAAAA."""
    if column.kind != "text" or column.distinct < MANY_TEXTS or len(column.patterns) != 1:
        return None
    shape, share = column.patterns[0]
    # A plus may stand for itself or for a run; an ellipsis for what was not looked at.
    if share < 1 or not shape.isascii() or "+" in shape or not re.search("[Aa9]", shape):
        return None
    form = re.sub(r"A+|a+|9+|[^Aa9]", _piece, shape)
    return form if all(re.fullmatch(form, value) for value, _ in column.top) else None


def _piece(found: re.Match[str]) -> str:
    run = found.group()
    letters = {"A": "[A-Z]", "a": "[a-z]", "9": "[0-9]"}.get(run[0])
    if letters is None:
        return run if run.isalnum() or run in "-_ /:,;@#%&=~\"'<>!" else f"\\{run}"
    return letters if len(run) == 1 else f"{letters}{{{len(run)}}}"


def _all_different(column: ColumnProfile) -> bool:
    return column.rows >= MANY_ROWS and column.exact_distinct and column.distinct == column.valid == column.rows


def _is_running_number(column: ColumnProfile) -> bool:
    """1, 2, 3 ...: the next rows go on from there."""
    return (
        column.kind == "int"
        and _all_different(column)
        and column.high is not None
        and column.high - (column.low or 0) + 1 == column.distinct
    )


def _rounded_up(share: float) -> float:
    return math.ceil(share * 100 - 1e-9) / 100
