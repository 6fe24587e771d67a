from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests_store_programs import capture_for_ever

from everloop.core.errors import NotFound
from everloop.core.live import Prediction
from everloop.store import captures


def prediction(id: str, value: int = 0) -> Prediction:
    return Prediction(
        id=id,
        loop="l",
        version=1,
        role="champion",
        at=1.5,
        features=[value, 0.5, "x", None, True],
        output=value,
        probabilities=[0.25, 0.75],
    )


def write(folder: Path, count: int, writer: captures.Writer | None = None) -> list[Prediction]:
    opened = writer or captures.Writer(folder, "l")
    made = [prediction(opened.next_id(), at) for at in range(count)]
    opened.append(made)
    if writer is None:
        opened.close()
    return made


def only_segment(folder: Path) -> Path:
    (path,) = (folder / "l").glob("*.seg")
    return path


def test_what_was_appended_is_streamed_and_found(tmp_path: Path) -> None:
    made = write(tmp_path, 5)
    assert captures.stream(tmp_path, "l")[0] == made
    assert [captures.find(tmp_path, item.id) for item in made] == made
    assert captures.stream(tmp_path, "other")[0] == []
    assert captures.loops(tmp_path) == ["l"]
    assert captures.loops(tmp_path / "absent") == []


@pytest.mark.parametrize("id", ["", "p-", "p-0-1", "x", "p-../../etc-1", "p-*-1"])
def test_an_unknown_id_is_not_found(tmp_path: Path, id: str) -> None:
    write(tmp_path, 2)
    with pytest.raises(NotFound):
        captures.find(tmp_path, id)


@given(st.lists(st.integers(0, 4), max_size=8), st.integers(1, 400), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_reading_on_from_a_position_sees_each_once_in_order(
    tmp_path_factory: pytest.TempPathFactory, batches: list[int], segment_bytes: int, limit: int
) -> None:
    folder = tmp_path_factory.mktemp("c")
    writers = [captures.Writer(folder, "l", segment_bytes=segment_bytes) for _ in range(2)]
    made: list[list[Prediction]] = [[], []]
    seen: list[Prediction] = []
    position: captures.Position | None = None
    for at, count in enumerate(batches):
        made[at % 2] += write(folder, count, writers[at % 2])
        found, position = captures.stream(folder, "l", position, limit=limit)
        assert len(found) <= limit
        seen += found
    rest, position = captures.stream(folder, "l", position)
    seen += rest
    for writer in writers:
        writer.close()
    assert sorted(item.id for item in seen) == sorted(item.id for each in made for item in each)
    # One writer's ids count up within a segment, and its segments follow each other.
    for each in made:
        ids = {item.id for item in each}
        assert [item for item in captures.stream(folder, "l")[0] if item.id in ids] == each
    assert captures.stream(folder, "l", position) == ([], position)


def test_a_torn_tail_of_any_length_loses_only_what_it_tore(tmp_path: Path) -> None:
    made = write(tmp_path, 3)
    path = only_segment(tmp_path)
    whole = path.read_bytes()
    ends = [len(whole) * at // 3 for at in range(4)]
    assert len(whole) % 3 == 0
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        found, position = captures.stream(tmp_path, "l")
        complete = sum(end <= size for end in ends[1:])
        assert found == made[:complete]
        path.write_bytes(whole)
        assert captures.stream(tmp_path, "l", position)[0] == made[complete:]


@pytest.mark.parametrize("tail", [b"\x00" * 8, b"\x00" * 4096, b"\xff" * 64, b"\x00" * 7 + b"\x01" + b"\x00"])
def test_a_tail_of_rubbish_ends_the_segment(tmp_path: Path, tail: bytes) -> None:
    """A power cut may leave zeros where the last writes were to go."""
    made = write(tmp_path, 3)
    path = only_segment(tmp_path)
    path.write_bytes(path.read_bytes() + tail)
    assert captures.stream(tmp_path, "l")[0] == made
    with pytest.raises(NotFound):
        captures.find(tmp_path, f"p-{path.stem}-99")


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_byte_never_gives_another_prediction(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("c")
    made = write(folder, 4)
    path = only_segment(folder)
    raw = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(raw)
    found, _ = captures.stream(folder, "l")
    assert found == made[: at // (len(raw) // 4)]


def test_a_killed_writer_loses_nothing_that_it_answered(tmp_path: Path, spawn: Callable[..., Any]) -> None:
    process = spawn(capture_for_ever, tmp_path)
    answered = [process.hear() for _ in range(300)]
    process.kill()
    answered += process.rest()
    found, position = captures.stream(tmp_path, "l")
    assert len(position) > 2
    ids = [item.id for item in found]
    # One more may have been appended that was not yet printed.
    assert ids[: len(answered)] == answered
    assert len(ids) <= len(answered) + 1
    assert captures.find(tmp_path, answered[-1]).id == answered[-1]


def test_an_id_given_before_the_segment_was_full_is_found_in_the_next(tmp_path: Path) -> None:
    writer = captures.Writer(tmp_path, "l", segment_bytes=1)
    first, second = prediction(writer.next_id(), 1), prediction(writer.next_id(), 2)
    writer.append([first])
    writer.append([second])
    writer.close()
    assert len(list((tmp_path / "l").glob("*.seg"))) == 3
    assert captures.find(tmp_path, second.id) == second


def test_a_reader_beside_a_writer_sees_only_whole_predictions(tmp_path: Path) -> None:
    writer = captures.Writer(tmp_path, "l", segment_bytes=20_000)
    done = threading.Event()

    def append() -> None:
        for _ in range(300):
            write(tmp_path, 5, writer)
        done.set()

    thread = threading.Thread(target=append)
    thread.start()
    seen: list[Prediction] = []
    position: captures.Position = {}
    finished = False
    while not finished:
        finished = done.is_set()
        found, position = captures.stream(tmp_path, "l", position)
        seen += found
    thread.join()
    writer.close()
    assert [item.output for item in seen] == [0, 1, 2, 3, 4] * 300
    assert len({item.id for item in seen}) == 1500


def test_a_full_disk_leaves_the_segment_as_it_was(tmp_path: Path) -> None:
    """A file size limit of the process stands in for the full disk: the kernel writes a part and no more."""
    import resource

    writer = captures.Writer(tmp_path, "l")
    made = write(tmp_path, 3, writer)
    size = only_segment(tmp_path).stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, limits[1]))
    try:
        with pytest.raises(OSError):
            write(tmp_path, 3, writer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, previous)
    assert only_segment(tmp_path).stat().st_size == size
    made += write(tmp_path, 2, writer)
    writer.close()
    assert captures.stream(tmp_path, "l")[0] == made


@settings(max_examples=30, deadline=None)
@given(counts=st.lists(st.integers(0, 6), min_size=1, max_size=5), segment_bytes=st.integers(100, 2000), data=st.data())
def test_predictions_are_located_and_loaded_by_their_ids(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], segment_bytes: int, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("captured")
    writer = captures.Writer(folder, "l", segment_bytes=segment_bytes)
    made = [one for count in counts for one in write(folder, count, writer)]
    # Ids that were given out before the segment was full lie in a later one.
    early = [writer.next_id() for _ in range(4)]
    for id in early:
        writer.append([prediction(id, 7)])
        made.append(prediction(id, 7))
    writer.close()
    wanted = data.draw(st.lists(st.sampled_from(made), unique_by=lambda one: one.id))
    spots = captures.locate(folder, "l", {one.id for one in wanted} | {"p-absent-1", f"{made[0].id}ff", "no id"})
    assert set(spots) == {one.id for one in wanted}
    assert captures.load(folder, "l", [spots[one.id] for one in wanted]) == wanted
    assert captures.stream(folder, "l")[1] == {segment: size for segment, size in captures.sizes(folder, "l").items() if size}
    segment, end, one = data.draw(st.sampled_from(list(captures.frames(folder, "l"))))
    behind = {later.id for other, at, later in captures.frames(folder, "l") if other == segment and at > end}
    assert captures.ids_behind(folder, "l", segment, end) == behind
    assert one.id not in behind


def test_what_half_a_frame_holds_is_not_located(tmp_path: Path) -> None:
    first, last = write(tmp_path, 2)
    path = only_segment(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    assert set(captures.locate(tmp_path, "l", {first.id, last.id})) == {first.id}
    assert captures.sizes(tmp_path, "l") == {path.stem: path.stat().st_size}
    assert captures.segment_of(first.id) == path.stem
    assert captures.segment_of("no id") == ""
