"""Grouping captured rows into windows: laws on arbitrary interleavings of writers, versions and reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from everloop.core.live import Prediction
from everloop.monitor.windows import Cursor, Group, Row, close

SHAPES = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 3), st.booleans()), max_size=60)
"""(segment, version, shadow), in the order of arrival."""


class Stream:
    """Segments that grow, as `captures.frames` reads them."""

    def __init__(self) -> None:
        self.segments: dict[str, list[Row]] = {}

    def add(self, segment: str, version: int, shadow: bool) -> None:
        rows = self.segments.setdefault(segment, [])
        role = "shadow" if shadow else "champion"
        prediction = Prediction(id=f"p-{segment}-{len(rows)}", loop="l", version=version, role=role, at=0.0, features=[], output=0)
        rows.append(Row(segment, 10 * (len(rows) + 1), prediction))

    def read(self, cursor: Cursor) -> Iterator[Row]:
        for segment in sorted(self.segments):
            for row in self.segments[segment]:
                if row.end > cursor.position.get(segment, 0):
                    yield row


def ids(group: Group) -> list[str]:
    return [row.prediction.id for row in group.rows]


def through_json(cursor: Cursor) -> Cursor:
    return msgspec.json.decode(msgspec.json.encode(cursor), type=Cursor)


def drain(stream: Stream, cursor: Cursor, window_rows: int, *, limit: int | None = None) -> tuple[list[Group], Cursor]:
    groups: list[Group] = []
    while True:
        found, cursor, all_read = close(stream.read(cursor), cursor, window_rows, limit=limit)
        groups += [group for group, _ in found]
        cursor = through_json(cursor)
        if all_read:
            return groups, cursor


@given(SHAPES, st.integers(1, 5), st.sets(st.integers(0, 60)))
def test_one_writer_one_by_one_is_all_at_once(shapes: list[tuple[str, int, bool]], window_rows: int, cuts: set[int]) -> None:
    whole, parts = Stream(), Stream()
    for _, version, shadow in shapes:
        whole.add("a", version, shadow)
    at_once, _ = drain(whole, Cursor(), window_rows)
    cursor, one_by_one = Cursor(), []
    for i, (_, version, shadow) in enumerate(shapes):
        parts.add("a", version, shadow)
        if i in cuts or i == len(shapes) - 1:
            groups, cursor = drain(parts, cursor, window_rows)
            one_by_one += groups
    assert sorted(map(ids, one_by_one)) == sorted(map(ids, at_once))


@given(SHAPES, st.integers(1, 5), st.integers(0, 10))
def test_reading_in_chunks_is_reading_at_once(shapes: list[tuple[str, int, bool]], window_rows: int, more: int) -> None:
    stream = Stream()
    for shape in shapes:
        stream.add(*shape)
    at_once, cursor = drain(stream, Cursor(), window_rows)
    chunked, chunked_cursor = drain(stream, Cursor(), window_rows, limit=3 * window_rows + more)
    assert sorted(map(ids, chunked)) == sorted(map(ids, at_once))
    assert chunked_cursor == cursor


@given(SHAPES, st.integers(1, 5), st.sets(st.integers(0, 60)))
def test_many_writers_lose_and_repeat_nothing(shapes: list[tuple[str, int, bool]], window_rows: int, cuts: set[int]) -> None:
    stream, cursor, groups = Stream(), Cursor(), []
    for i, shape in enumerate(shapes):
        stream.add(*shape)
        if i in cuts:
            found, cursor = drain(stream, cursor, window_rows)
            groups += found
    found, cursor = drain(stream, cursor, window_rows)
    groups += found
    assert all(len(group.rows) == window_rows for group in groups)
    windowed = Counter(id for group in groups for id in ids(group))
    served = Counter(row.prediction.id for rows in stream.segments.values() for row in rows if row.prediction.role != "shadow")
    assert max(windowed.values(), default=1) == 1
    assert windowed <= served
    left = Counter(stream_version(id, stream) for id in (served - windowed))
    assert all(count < window_rows for count in left.values())
    for version in (1, 2, 3):
        firsts = [group.first for group in groups if group.version == version]
        assert firsts == [k * window_rows for k in range(len(firsts))]
    for group in groups:
        assert rows_behind(stream, group) == sorted(ids(group))
    # Retired versions get what is left as one shorter window each, and then nothing waits.
    final = close(stream.read(cursor), cursor, window_rows, answering=set())
    assert Counter(id for group, _ in final.groups for id in ids(group)) == served - windowed
    assert list(stream.read(final.cursor)) == []


def stream_version(id: str, stream: Stream) -> int:
    return next(row.prediction.version for rows in stream.segments.values() for row in rows if row.prediction.id == id)


def rows_behind(stream: Stream, group: Group) -> list[str]:
    """A window's rows found again by where it lies."""
    end = {row.segment: row.end for row in group.rows}
    rows = [row for segment, start in group.start.items() for row in stream.segments[segment] if start < row.end <= end[segment]]
    return sorted(row.prediction.id for row in rows if row.prediction.version == group.version and row.prediction.role != "shadow")
