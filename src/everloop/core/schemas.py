"""Nouns of the contract: Schema and its rules, and which of them are structure and which are values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from everloop.core.record import Record
from everloop.core.tables import Kind
from everloop.core.verdict import Finding

Weight: TypeAlias = Literal["stop", "warn"]
Stage: TypeAlias = Literal["training", "evaluation", "serving"]
Skew: TypeAlias = Literal["schema", "value"]

SCHEMA_SKEW = frozenset({"rows", "columns", "missing_column", "renamed_column", "extra_column", "kind", "empty_column", "missing_values"})
"""Checks of structure. Breaking one stops the run and calls a person: the table is not what it was."""

VALUE_SKEW = frozenset(
    {"nulls", "null_share", "range", "categories", "pattern", "lengths", "unique", "keys", "rule", "freshness", "text_of_numbers"}
)
"""Checks of values. Breaking one asks for retraining, or a look; it stops only where the person says so."""

OF_A_COLUMN = ("nulls", "missing_values", "null_share", "range", "categories", "pattern", "lengths", "unique", "text_of_numbers")
"""The checks whose severity a column may set one by one."""

OF_A_ROW = ("nulls", "range", "categories", "pattern", "lengths", "rule")
"""The checks that a row breaks alone: the same for a table and for a request."""

TOLERANT = ("range", "categories", "pattern", "lengths", "unique")
"""The checks that a share of the values may break."""

# An outlier in a hundred is no reason to call anybody; everything else holds for every value unless the person says otherwise.
TOLERANCE: Mapping[str, float] = {"range": 0.01}


class ColumnRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a column must be. Kind and presence are structure: breaking them stops. The rest are values: breaking them asks for retraining.

    A NaN or an infinity is no value, as null is none. `max_null_share` is the largest share of rows without a value where `nullable`.
    `low` and `high` are inclusive, `pattern` matches the whole text, lengths are in characters (bytes: bytes, lists: members).
    `severity` is one word for all value checks of the column, or one for each check named. `tolerance` likewise is the largest share of the
    values that may break a check. In the stages of `absent_in` the column is not asked for: the target when serving.
    """

    name: str
    kind: Kind
    required: bool = True
    nullable: bool = False
    max_null_share: float | None = None
    low: float | None = None
    high: float | None = None
    vocabulary: tuple[str | int, ...] | None = None
    pattern: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    unique: bool = False
    severity: Weight | Mapping[str, Weight] | None = None
    tolerance: float | Mapping[str, float] | None = None
    absent_in: tuple[Stage, ...] = ()

    def __post_init__(self) -> None:
        """Shares and limits are floats, however they were written: 1 and 1.0 would be two identities of one rule."""
        for name in ("max_null_share", "low", "high", "tolerance"):
            value = getattr(self, name)
            if isinstance(value, int):
                msgspec.structs.force_setattr(self, name, float(value))
        if isinstance(self.tolerance, Mapping):
            msgspec.structs.force_setattr(self, "tolerance", {check: float(share) for check, share in self.tolerance.items()})

    def weight(self, check: str) -> Weight:
        """What breaking `check` means for this column."""
        default: Weight = "stop" if check in SCHEMA_SKEW else "warn"
        if isinstance(self.severity, Mapping):
            return self.severity.get(check, default)
        return default if check in SCHEMA_SKEW else self.severity or default

    def allowed(self, check: str) -> float:
        """The largest share of the column's values that may break `check`."""
        default = TOLERANCE.get(check, 0.0)
        if isinstance(self.tolerance, Mapping):
            return self.tolerance.get(check, default)
        return default if self.tolerance is None or check not in TOLERANT else self.tolerance


class Key(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Columns that together are different in every row. Rows without a value in one of them do not count."""

    columns: tuple[str, ...]
    severity: Weight = "warn"


class Freshness(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The newest value of a time column is no older than `within` ("90m", "12h", "7d", "2w") when the table is validated. Times are UTC."""

    column: str
    within: str
    severity: Weight = "warn"


class RowRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the columns of a row must be to each other: a Polars expression as text, of which `core/rules` says how much is understood.

    A row for which the expression is unknown, because a value is missing, does not break it. `tolerance` is a share of all rows.
    """

    check: str
    name: str = ""
    severity: Weight = "warn"
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "tolerance", float(self.tolerance))

    @property
    def title(self) -> str:
        return self.name or self.check


class Schema(Record, frozen=True, kw_only=True, tag="schema"):
    """The contract inferred from a profile, kept as a file beside the user's code and edited by a person."""

    dataset: str
    columns: tuple[ColumnRule, ...]
    extra_columns: Weight = "stop"
    min_rows: int = 1
    max_rows: int | None = None
    keys: tuple[Key, ...] = ()
    freshness: Freshness | None = None
    rules: tuple[RowRule, ...] = ()

    def column(self, name: str) -> ColumnRule | None:
        return next((rule for rule in self.columns if rule.name == name), None)

    @property
    def timely(self) -> bool:
        """Whether its verdict depends on when it is asked, not on the data alone."""
        return self.freshness is not None


def skew(finding: Finding) -> Skew:
    """Which of the two a finding on data speaks of. They are never one flag."""
    return "schema" if finding.check in SCHEMA_SKEW else "value"


def seconds(within: str) -> float | None:
    """`"90m"` -> 5400.0; None when it is no such text."""
    number, unit = within[:-1], within[-1:]
    if unit not in _UNITS or not number.isascii() or not number.isdigit():
        return None
    return float(number) * _UNITS[unit]


_UNITS: Mapping[str, float] = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
