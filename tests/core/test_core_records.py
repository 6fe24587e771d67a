"""Nouns: named by content, frozen, with verdicts that mean what they say."""

from __future__ import annotations

import msgspec
import pytest

from everloop.core.errors import NotFound, unknown
from everloop.core.plugins import find
from everloop.core.tables import Chunk, Column, Snapshot
from everloop.core.verdict import Finding, verdict


def snapshot(**changes: object) -> Snapshot:
    content = {
        "dataset": "d",
        "content": "c",
        "chunks": (Chunk(blob="t", rows=1, bytes=1, digest="d"),),
        "rows": 1,
        "columns": (Column("a", "int"),),
        "source": "here",
    }
    return Snapshot(**{**content, **changes})  # type: ignore[arg-type]


def test_equal_content_has_one_id() -> None:
    assert snapshot().id == snapshot().id
    assert snapshot().id.startswith("snapshot-")


def test_a_snapshot_is_named_by_its_rows_not_by_where_they_came_from() -> None:
    assert snapshot(source="there", chunks=()).id == snapshot().id
    assert snapshot(content="c2").id != snapshot().id
    assert snapshot(dataset="d2").id != snapshot().id


def test_records_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        snapshot().rows = 2  # type: ignore[misc]


def test_a_record_survives_its_encoding() -> None:
    record = snapshot()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=Snapshot) == record


@pytest.mark.parametrize(("severity", "passes"), [("stop", False), ("warn", True), ("info", True)])
def test_only_a_severe_failure_fails_a_verdict(severity: str, passes: bool) -> None:
    failed = Finding(check="c", passed=False, message="m", severity=severity)  # type: ignore[arg-type]
    assert verdict("q", "", [failed]).passed is passes
    assert verdict("q", "", [msgspec.structs.replace(failed, passed=True)]).passed


def test_unknown_names_get_the_closest_match() -> None:
    error = unknown("Metric", "mea", ["mae", "rmse", "f1"])
    assert str(error) == "Metric 'mea' does not exist. Did you mean 'mae'? Known: f1, mae, rmse."
    assert "Did you mean" not in str(unknown("Metric", "zzzzzz", ["mae"]))


def test_a_plugin_is_found_by_name_or_named() -> None:
    with pytest.raises(NotFound, match="Did you mean 'accuracy'"):
        find("metrics", "acuracy")
