"""A table in many chunks gets the verdict of the whole table."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest
from given import Given
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everloop.core.errors import NotFound
from everloop.core.ports import Place
from everloop.core.schemas import ColumnRule, Schema
from everloop.core.tables import Snapshot
from everloop.data.check import check
from everloop.data.ingest import take
from everloop.data.tallies import profile_of
from everloop.data.validate import validate
from everloop.store import chunks, snapshots
from everloop.store.workspace import Workspace

ROWS = 3_000


@pytest.fixture
def broken(workspace: Workspace, place: Place, monkeypatch: pytest.MonkeyPatch) -> Snapshot:
    monkeypatch.setattr(chunks, "_MOST_ROWS", 128)
    rows = range(ROWS)
    table = pl.DataFrame(
        {
            "id": [7 if at == 2_900 else at for at in rows],
            "n": [None if at in (10, 2_000) else 500.0 if at > 2_950 else float(at % 100) for at in rows],
            "t": ["new" if at % 1_000 == 999 else "ab"[at % 2] for at in rows],
        }
    )
    return take(Given(table), dataset="d", place=place)


SCHEMA = Schema(
    dataset="d",
    columns=(
        ColumnRule(name="id", kind="int", unique=True),
        ColumnRule(name="n", kind="float", low=0, high=100),
        ColumnRule(name="t", kind="text", vocabulary=("a", "b")),
    ),
)


def test_chunks_do_not_show(workspace: Workspace, broken: Snapshot) -> None:
    assert len(broken.chunks) > 8
    frame = snapshots.load(workspace.blobs, broken)
    profile = profile_of(workspace.blobs, broken)
    whole = validate(profile, broken.columns, SCHEMA, about=broken.id, frame=frame)
    cut = check(workspace.blobs, broken, SCHEMA, profile=profile)
    assert {finding.check for finding in whole.findings if not finding.passed} == {"unique", "nulls", "range", "categories"}
    assert [(f.check, f.subject, f.passed, f.observed, f.severity) for f in cut.findings] == [
        (f.check, f.subject, f.passed, f.observed, f.severity) for f in whole.findings
    ]


def test_samples_are_the_first_rows_of_the_table(workspace: Workspace, broken: Snapshot, tmp_path: Path) -> None:
    found = {finding.check: finding for finding in check(workspace.blobs, broken, SCHEMA).findings}
    assert "[10, 2000]" in str(found["nulls"].evidence)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    low=st.integers(-5, 5) | st.none(), high=st.integers(90, 105) | st.none(), nullable=st.booleans(), words=st.sets(st.sampled_from("abcz")),
    unique=st.booleans(), length=st.integers(0, 6) | st.none(), gap=st.booleans(), odd=st.booleans(), twice=st.booleans(), long=st.booleans(),
)  # fmt: skip
def test_what_the_statistics_settle_is_what_the_rows_say(
    workspace: Workspace, place: Place, monkeypatch: pytest.MonkeyPatch,
    low: int | None, high: int | None, nullable: bool, words: set[str], unique: bool, length: int | None, gap: bool, odd: bool, twice: bool, long: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(chunks, "_MOST_ROWS", 64)
    rows = range(400)
    table = pl.DataFrame(
        {
            "id": [0 if twice and at == 399 else at for at in rows],
            "n": [None if gap and at == 7 else float("inf") if odd and at == 9 else float(at % 101) for at in rows],
            "t": ["abc"[at % 3] for at in rows],
            "note": ["x" * (9 if long and at == 300 else at % 5) for at in rows],
            "big": [2**62 + at for at in rows],
        }
    )
    schema = Schema(
        dataset="d",
        columns=(
            ColumnRule(name="id", kind="int", unique=unique, low=low),
            ColumnRule(name="n", kind="float", nullable=nullable, low=low, high=high),
            ColumnRule(name="t", kind="text", vocabulary=tuple(sorted(words)) or None),
            ColumnRule(name="note", kind="text", max_length=length),
            ColumnRule(name="big", kind="int", high=float(2**62), unique=unique),
        ),
        freshness=None,
    )
    taken = take(Given(table), dataset="d", place=place)
    whole = validate(None, taken.columns, schema, about=taken.id, frame=table)
    cut = check(workspace.blobs, taken, schema, profile=profile_of(workspace.blobs, taken))
    assert [(f.check, f.subject, f.passed, f.observed, f.severity) for f in cut.findings] == [
        (f.check, f.subject, f.passed, f.observed, f.severity) for f in whole.findings
    ]


def test_rows_that_need_not_be_asked_are_not_read(workspace: Workspace, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "_MOST_ROWS", 64)
    taken = take(Given(pl.DataFrame({"a": range(2_000), "t": ["x", "y"] * 1_000})), dataset="d", place=place)
    schema = Schema(
        dataset="d",
        columns=(ColumnRule(name="a", kind="int", low=0, unique=True), ColumnRule(name="t", kind="text", vocabulary=("x", "y"))),
    )
    profile = profile_of(workspace.blobs, taken)
    # All but the first chunk of each stretch are gone, and nobody notices.
    assert workspace.blobs.folder is not None
    cores = min(os.cpu_count() or 1, 4, len(taken.chunks))
    first = {taken.chunks[len(taken.chunks) * at // cores].blob for at in range(cores)}
    for chunk in taken.chunks:
        if chunk.blob not in first:
            (workspace.blobs.folder / chunk.blob[:2] / chunk.blob).unlink()
    assert check(workspace.blobs, taken, schema, profile=profile).passed
    with pytest.raises(NotFound):
        check(workspace.blobs, taken, schema)
