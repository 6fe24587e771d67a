"""Nouns of data: columns, Snapshot, Profile, Schema, Prepared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from everloop.core.record import COLLECTED, Record, Where

Kind: TypeAlias = Literal["int", "float", "bool", "text", "time", "bytes", "list"]
Part: TypeAlias = Literal["train", "valid", "test"]

NUMERIC: tuple[Kind, ...] = ("int", "float", "bool")


class Column(msgspec.Struct, frozen=True):
    """A column as people think of it; widths and encodings are the store's business."""

    name: str
    kind: Kind


Origin: TypeAlias = Mapping[str, str | int]
"""One thing that rows came from (a file, a query, a capture segment): at least `locator`, `sha256` (of what was read) and `rows`; whatever else its
source needs to tell later what is new. Never a secret."""


class Chunk(msgspec.Struct, frozen=True):
    """A stretch of a snapshot's rows: a Parquet blob that other snapshots may share.

    `digest` is made of 64-bit hashes of its rows: equal rows have equal ones, and whoever finds one looks whether the rows are equal. `tally` is the blob with its mergeable statistics, empty if there are none.
    """

    blob: str
    rows: int
    bytes: int
    digest: str
    tally: str = ""


class Snapshot(Record, frozen=True, kw_only=True, tag="snapshot"):
    """An immutable table version.

    `content` is the digest of the logical table (names, types, values, row order), however it is cut and whatever file format holds it;
    `chunks` hold its rows, one stretch after the other. The id covers dataset and content: unchanged data gives the same id.
    `pieces` are the digests that `content` is made of: with them a table that only grew need not be read again to be named.
    """

    dataset: str
    content: str
    rows: int
    columns: tuple[Column, ...]
    chunks: tuple[Chunk, ...]
    pieces: tuple[str, ...] = ()
    source: str
    origins: tuple[Origin, ...] = ()
    """Provenance: one entry a file, query or capture segment that was read."""

    def identity(self) -> object:
        return [self.dataset, self.content]

    def parents(self) -> dict[str, str]:
        """The snapshots that its rows were queried from."""
        others = dict.fromkeys(str(origin.get("locator", "")) for origin in self.origins)
        return {f"from {at}" if at else "from": id for at, id in enumerate(id for id in others if id.startswith("snapshot-"))}

    def keeps(self) -> dict[str, tuple[Where, str]]:
        kept: dict[str, tuple[Where, str]] = {}
        for at, chunk in enumerate(self.chunks):
            kept[f"chunks.{at}"] = ("blob", chunk.blob)
            if chunk.tally:
                kept[f"tallies.{at}"] = ("blob", chunk.tally)
        return kept

    @property
    def collected(self) -> bool:
        """Whether its rows are gone, and only what is known about them stayed."""
        return any(chunk.blob == COLLECTED for chunk in self.chunks)

    @property
    def bytes(self) -> int:
        """What its rows take in the store, shared chunks counted whole."""
        return sum(chunk.bytes for chunk in self.chunks)


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
