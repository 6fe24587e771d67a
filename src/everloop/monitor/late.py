"""Labels that came after their window was closed -> the window is judged again.

Each look at a window has the detector's false-alarm rate, so looks are few: when the labels are enough at all, whenever they are
four times as many, and when all are there.
"""

from __future__ import annotations

import msgspec

from everloop.core.live import Prediction
from everloop.monitor.judge import Judge, Watched, again, move
from everloop.monitor.windows import Cursor, Judged, served
from everloop.store import captures, labels

MIN_LABELS = 30


def judge_again(judge: Judge, version: int | None, cursor: Cursor) -> list[Watched]:
    """Look at the recent windows of `version`, the champion, if any label came since the last look."""
    workspace = judge.workspace
    with workspace.read() as tx:
        count = labels.count(tx, judge.loop)
    if count == cursor.labels or version is None:
        return []
    watched: list[Watched] = []
    waiting = [one for one in cursor.recent.get(str(version), ()) if one.labelled < one.rows]
    for one, rows in _rows_of(judge, version, waiting, cursor):
        with workspace.read() as tx:
            known = len(labels.get(tx, [row.id for row in rows]))
        if worth_another_look(one, known):
            found, cursor = again(judge, one, rows, cursor)
            watched.append(found)
    with workspace.write() as tx:
        move(tx, judge.loop, cursor, msgspec.structs.replace(cursor, labels=count))
    return watched


def worth_another_look(before: Judged, known: int) -> bool:
    """Whether `known` labels are news against those of the last look."""
    if known <= before.labelled:
        return False
    return known == before.rows or known >= max(MIN_LABELS, 4 * before.labelled)


def _rows_of(judge: Judge, version: int, windows: list[Judged], cursor: Cursor) -> list[tuple[Judged, list[Prediction]]]:
    """Read the windows' rows again, in one pass from the first of them on."""
    if not windows:
        return []
    position = dict(cursor.position)
    for one in windows:
        for segment, start in one.start.items():
            position[segment] = min(start, position.get(segment, start))
    found: list[tuple[Judged, list[Prediction]]] = [(one, []) for one in windows]
    for segment, end, prediction in captures.frames(judge.workspace.predictions, judge.loop, position):
        if prediction.version == version and served(prediction):
            for one, rows in found:
                if one.start.get(segment, end) < end <= one.end.get(segment, 0):
                    rows.append(prediction)
    return found
