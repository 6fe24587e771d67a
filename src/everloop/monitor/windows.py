"""Captured predictions -> windows of a fixed number of rows, each version's own.

How far windows have come is durable and exact: for each version, how many rows were windowed and where in each segment the last of
them ended. Rows of an unfinished window are read again the next time, so that a crash loses none and counts none twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import msgspec

from everloop.core.live import Prediction
from everloop.store.captures import Position


class Row(NamedTuple):
    """A captured prediction and where its frame ended."""

    segment: str
    end: int
    prediction: Prediction


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """One version's share of the stream that is in closed windows: so many rows, up to `position` in each segment."""

    rows: int = 0
    position: Position = {}


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A window that was judged, and where its rows are: in each segment behind `start` and up to `end`. `labelled` of them were known."""

    window: str
    verdict: str
    first: int
    rows: int
    labelled: int
    start: Position
    end: Position


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """`position`: everything before it is in a closed window (or is no served prediction).

    `latest` names the window and verdict of each version that were passed last, `recent` its newest windows, to be judged again when
    labels come, `reference` the profile of its first window; `labels` is how many labels the loop had at the last look.
    """

    position: Position = {}
    versions: Mapping[str, Taken] = {}
    latest: Mapping[str, tuple[str, str]] = {}
    recent: Mapping[str, tuple[Judged, ...]] = {}
    reference: Mapping[str, str] = {}
    labels: int = 0


class Group(NamedTuple):
    """Rows [`first`, `first` + len(rows)) of a version's served stream. In the segments of `start` nothing of that version lies between
    `start` and the first of these rows."""

    version: int
    first: int
    rows: list[Row]
    start: Position


class Closed(NamedTuple):
    """Full windows in the order in which they became full, how far each version has come after each of them, and the cursor behind
    everything that need not be read again. `all_read` is False when the rows were cut off at the limit."""

    groups: list[tuple[Group, Taken]]
    cursor: Cursor
    all_read: bool


def served(prediction: Prediction) -> bool:
    """Whether somebody got this answer."""
    return prediction.role != "shadow"


def close(
    rows: Iterable[Row], cursor: Cursor, window_rows: int, *, answering: Collection[int] | None = None, limit: int | None = None
) -> Closed:
    """Group rows as they were captured behind `cursor.position`. Pure.

    When all rows were read, versions that are not among `answering` (None: any may) get a shorter window for what they have left.
    Reading up to a `limit` of rows that are in no window yet, and the rest from the cursor that this gave, gives the windows of
    reading all at once.
    """
    waiting: dict[int, list[Row]] = {}
    ends: dict[str, list[int]] = {}
    full: list[list[Row]] = []
    read = 0
    all_read = True
    for row in rows:
        if limit is not None and read >= limit:
            all_read = False
            break
        ends.setdefault(row.segment, []).append(row.end)
        version = row.prediction.version
        taken = cursor.versions.get(str(version))
        if not served(row.prediction) or (taken is not None and row.end <= taken.position.get(row.segment, 0)):
            continue
        read += 1
        held = waiting.setdefault(version, [])
        held.append(row)
        if len(held) == window_rows:
            full.append(held)
            waiting[version] = []
    if all_read and answering is not None:
        full += [waiting.pop(version) for version in sorted(waiting) if version not in answering and waiting[version]]
    groups: list[tuple[Group, Taken]] = []
    versions = dict(cursor.versions)
    for held in full:
        version = held[0].prediction.version
        before = versions.get(str(version), Taken())
        last = {row.segment: row.end for row in held}
        start = {segment: max(before.position.get(segment, 0), cursor.position.get(segment, 0)) for segment in last}
        versions[str(version)] = Taken(rows=before.rows + len(held), position=before.position | last)
        groups.append((Group(version, before.rows, held, start), versions[str(version)]))
    return Closed(groups, _settle(cursor, versions, ends, [row for held in waiting.values() for row in held]), all_read)


def _settle(cursor: Cursor, versions: Mapping[str, Taken], ends: Mapping[str, list[int]], waiting: Iterable[Row]) -> Cursor:
    """Move the position up to the first row of each segment that still waits; forget what lies before it."""
    first: dict[str, int] = {}
    for row in waiting:
        first[row.segment] = min(row.end, first.get(row.segment, row.end))
    position = dict(cursor.position)
    for segment, all_ends in ends.items():
        done = [end for end in all_ends if segment not in first or end < first[segment]]
        if done:
            position[segment] = max(done)
    left = {
        version: Taken(
            rows=taken.rows, position={segment: end for segment, end in taken.position.items() if end > position.get(segment, 0)}
        )
        for version, taken in versions.items()
    }
    return msgspec.structs.replace(cursor, position=position, versions=left)
