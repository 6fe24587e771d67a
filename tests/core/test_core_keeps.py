"""No noun can name a blob in secret: whoever adds a field of text says what it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

import msgspec
import pytest

from everloop.core.record import Record
from everloop.core.tables import Chunk, Snapshot
from everloop.store.records import AnyRecord

NOUNS: tuple[type[Record], ...] = get_args(AnyRecord)

# Text that names nothing in the store. A field that names a record belongs into `parents()`, one that names a blob into `keeps()`.
PLAIN = {
    "snapshot": {"dataset", "content", "source", "pieces"},
    "schema": {"dataset", "extra_columns"},
    "prepared": {"target", "task", "rows"},
    "candidate": {"flavor", "estimator", "params", "environment"},
    "evaluation": {"part", "baselines"},
    "version": {"loop"},
    "verdict": {"question"},
    "window": {"loop"},
    "labels": {"queue", "target", "content"},
}


def texts(noun: type[Record]) -> set[str]:
    """The fields that may hold a name: text, however optional, and whatever has some in it."""
    return {
        field.name for field in msgspec.structs.fields(noun) if field.type is str or _is_literal(field.type) or str in get_args(field.type)
    }


def _is_literal(kind: Any) -> bool:
    return bool(get_args(kind)) and all(isinstance(item, str) for item in get_args(kind))


def undecided(noun: type[Record]) -> set[str]:
    """Fields of text that are neither plain, nor a parent, nor kept."""
    values = {name: f"the {name}" for name in texts(noun)}
    others = {field.name: () for field in msgspec.structs.fields(noun) if field.name not in values}
    record = noun(**values, **others)
    named = {*record.parents().values(), *(name for _, name in record.keeps().values())}
    return {name for name, value in values.items() if value not in named} - PLAIN.get(noun.__struct_config__.tag, set())  # type: ignore[call-overload]


@pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: noun.__name__)
def test_every_text_of_a_noun_is_plain_a_parent_or_kept(noun: type[Record]) -> None:
    assert undecided(noun) == set()


def test_a_field_that_names_a_blob_in_secret_is_found() -> None:
    class Planted(Record, frozen=True, kw_only=True, tag="planted"):
        note: str
        weights: str | None = None

        def parents(self) -> dict[str, str]:
            return {"about": self.note}

    assert undecided(Planted) == {"weights"}


def test_what_is_kept_names_fields_of_the_noun() -> None:
    kept: list[tuple[str, str]] = []
    for noun in NOUNS:
        if noun is Snapshot:
            continue
        names: Iterable[str] = noun.__struct_fields__
        record = noun(**{name: name for name in names})
        for field, (_, name) in record.keeps().items():
            assert name == getattr(record, field)
            kept.append((noun.__name__, field))
    assert kept == [
        ("Prepared", "split"),
        ("Prepared", "transform"),
        ("Candidate", "model"),
        ("Evaluation", "golden"),
    ]


def test_a_snapshot_keeps_every_blob_of_its_chunks() -> None:
    chunks = (Chunk(blob="a", rows=1, bytes=1, digest="b", tally="c"), Chunk(blob="d", rows=1, bytes=1, digest="e"))
    found = Snapshot(dataset="d", content="c", rows=2, columns=(), chunks=chunks, source="s").keeps()
    assert set(found.values()) == {("blob", "a"), ("blob", "c"), ("blob", "d")}
    assert len(found) == 3
    # A chunk's digest names what is in it, not a blob. Whoever adds a field that names one adds it here.
    assert Chunk.__struct_fields__ == ("blob", "rows", "bytes", "digest", "tally")
