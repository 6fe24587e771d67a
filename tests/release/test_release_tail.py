"""Where a rollout begins to read: the last answers of a version, across segments."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.live import Prediction
from everloop.store import captures


def write(folder: Path, versions: list[int], segment_bytes: int) -> list[str]:
    writer = captures.Writer(folder, "l", segment_bytes=segment_bytes)
    ids: list[str] = []
    for at, version in enumerate(versions):
        ids.append(writer.next_id())
        writer.append([Prediction(id=ids[-1], loop="l", version=version, role="champion", at=float(at), features=[], output=0)])
        time.sleep(0.001)  # segments are named by the millisecond in which they were begun
    writer.close()
    return ids


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 2), max_size=40), st.integers(0, 20), st.sampled_from([1, 300, 10_000]), st.booleans())
def test_the_tail_holds_the_last_rows_of_a_version(versions: list[int], rows: int, segment_bytes: int, old: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ids = write(folder, versions, segment_bytes)
        if old:
            for path in folder.glob("*/*.seg"):
                os.utime(path, (0, 0))
        position, newest = captures.tail(folder, "l", rows, lambda p: p.version == 1)
        mine = [id for id, version in zip(ids, versions, strict=True) if version == 1]
        read, _ = captures.stream(folder, "l", position)
        got = [p.id for p in read if p.version == 1]
        assert got == mine[len(mine) - len(got) :]
        assert len(got) >= min(rows, len(mine))
        assert (newest.id if newest else None) == (mine[-1] if mine else None)
        if rows == 0:
            assert read == []
        # What comes later is read, too.
        later = write(folder, [1, 2], segment_bytes)
        assert [p.id for p in captures.stream(folder, "l", position)[0]][-2:] == later
        assert [p.id for _, _, p in captures.frames(folder, "l", position)] == [p.id for p in captures.stream(folder, "l", position)[0]]
