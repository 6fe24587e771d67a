"""Nouns of data: columns, Snapshot, Profile, Schema, Prepared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from everloop.core.record import Record, Where

Kind: TypeAlias = Literal["int", "float", "bool", "text", "time", "bytes", "list"]
Part: TypeAlias = Literal["train", "valid", "test"]

NUMERIC: tuple[Kind, ...] = ("int", "float", "bool")


class Column(msgspec.Struct, frozen=True):
    """A column as people think of it; widths and encodings are the store's business."""

    name: str
    kind: Kind


class Snapshot(Record, frozen=True, kw_only=True, tag="snapshot"):
    """An immutable table version.

    `content` is the digest of the logical table (names, kinds, values, row order), whatever file format holds it;
    `table` names the blob with its bytes. The id covers dataset and content: unchanged data gives the same id.
    """

    dataset: str
    content: str
    table: str
    rows: int
    columns: tuple[Column, ...]
    source: str
    parts: tuple[Mapping[str, str | int], ...] = ()
    """Provenance: one entry a file, query or capture segment that was read (locator, sha256, rows)."""

    def identity(self) -> object:
        return [self.dataset, self.content]

    def keeps(self) -> dict[str, tuple[Where, str]]:
        return {"table": ("blob", self.table)}


class ColumnProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Mergeable statistics of one column.

    Numeric and time columns carry `edges` (k + 1 ascending bin edges taken from the reference's quantiles, time as epoch
    seconds) and `counts` (k); values below the first or above the last edge count in the outer bins. Text columns carry
    `top` (value, count) in falling order, `other`, and `unseen` (values that the reference did not know).
    `nans` counts what is no finite number: NaN and the infinities. Moments are over the rest; `m2` is the sum of squared deviations from the mean.
    """

    name: str
    kind: str
    rows: int
    nulls: int
    nans: int = 0
    distinct: int = 0
    mean: float | None = None
    m2: float | None = None
    low: float | None = None
    high: float | None = None
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    top: tuple[tuple[str, int], ...] = ()
    other: int = 0
    unseen: int = 0

    @property
    def valid(self) -> int:
        """Values that are neither null nor NaN."""
        return self.rows - self.nulls - self.nans


class Profile(Record, frozen=True, kw_only=True, tag="profile"):
    """Statistics of a table. `about` is the snapshot or window that was summarised."""

    about: str
    rows: int
    columns: tuple[ColumnProfile, ...]

    def parents(self) -> dict[str, str]:
        return {"about": self.about} if self.about else {}

    def column(self, name: str) -> ColumnProfile | None:
        return next((column for column in self.columns if column.name == name), None)


class ColumnRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a column must be. Kind and presence are structure: breaking them stops. The rest are values: breaking them asks for retraining."""

    name: str
    kind: Kind
    required: bool = True
    nullable: bool = False
    low: float | None = None
    high: float | None = None
    vocabulary: tuple[str, ...] | None = None


class Schema(Record, frozen=True, kw_only=True, tag="schema"):
    """The contract inferred from a profile, kept as a file beside the user's code and edited by a person."""

    dataset: str
    columns: tuple[ColumnRule, ...]
    extra_columns: Literal["stop", "warn"] = "stop"
    min_rows: int = 1


class Prepared(Record, frozen=True, kw_only=True, tag="prepared"):
    """Split and fitted transform.

    `split` is the blob of the row ids' parts (one byte a row in snapshot order: 0 train, 1 valid, 2 test); `transform` the blob of
    the transformer fitted on the training part only; `rows` how many rows each part has.
    """

    snapshot: str
    target: str
    features: tuple[Column, ...]
    task: Literal["classification", "regression"]
    split: str
    transform: str
    rows: Mapping[str, int]
    seed: int = 0

    def parents(self) -> dict[str, str]:
        return {"snapshot": self.snapshot}

    def keeps(self) -> dict[str, tuple[Where, str]]:
        return {"split": ("blob", self.split), "transform": ("blob", self.transform)}
