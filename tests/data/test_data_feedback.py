from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from typing import ClassVar

import polars as pl
from captured import answer, label, release
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everloop.core.ports import BATCH_BYTES, Place, Source
from everloop.core.tables import Column, Origin
from everloop.data.sources import answers
from everloop.data.sources.chain import Chain
from everloop.data.sources.feedback import Feedback
from everloop.data.sources.files import Files
from everloop.data.sources.union import collect, union
from everloop.store import captures
from everloop.store.workspace import Workspace, current
from everloop.testing.sources import LARGE_BYTES, SourceSuite

LOOP = "demand"
X, Y = (Column("x", "float"),), Column("y", "int")


class Answers(SourceSuite):
    """A loop that answers and gets labels for some of it."""

    incremental = True
    count: ClassVar[int] = 0

    def begin(self, place: Place) -> None:
        version = release(current(), (Column("x", "float"), Column("w", "text")), Y, loop=place.loop)
        self.answer(place, version, 4)

    def add(self, place: Place) -> None:
        self.answer(place, 1, 2)

    def answer(self, place: Place, version: int, count: int, size: int = 1) -> None:
        """Each in a segment of its own writer, labelled in the order of capture."""
        with closing(captures.Writer(current().predictions, place.loop)) as writer:
            for at in range(count):
                type(self).count += 1
                id = answer(writer, version, [self.count, "w" * size], loop=place.loop)
                if at % 2 or size > 1:
                    label(current(), id, self.count, at=float(self.count), loop=place.loop)

    def enlarge(self, place: Place) -> None:
        self.answer(place, 1, LARGE_BYTES // 999_999 + 1, 999_999)


class TestFeedback(Answers):
    def source(self, place: Place) -> Source:
        return Feedback()

    def begin(self, place: Place) -> None:
        super().begin(place)
        # Late by the clock of another machine: what was read up to its time is no longer all that there is up to it.
        with closing(captures.Writer(current().predictions, place.loop)) as writer:
            self.late = answer(writer, 1, [0.5, "late"], loop=place.loop)

    def change(self, place: Place) -> None:
        label(current(), self.late, 7, at=0.5, loop=place.loop)


def test_nothing_captured_is_an_empty_table_that_a_chain_ignores(workspace: Workspace, place: Place) -> None:
    (place.project / "a.csv").write_text("x,y\n1,2\n")
    empty = Feedback().read(place)
    assert collect(empty).shape == (0, 0)
    assert (empty.origins, empty.whole) == ([], True)
    chained = (Files("a.csv") + Feedback()).read(place)
    assert collect(chained).rows() == [(1, 2)]
    assert [origin["locator"] for origin in chained.origins] == ["a.csv"]


def test_labelled_answers_of_champion_and_canary_in_the_order_of_their_labels(workspace: Workspace, place: Place) -> None:
    first = release(workspace, (Column("x", "float"), Column("w", "text")), Y)
    second = release(workspace, (Column("w", "text"), Column("z", "bool")), Y)
    with closing(captures.Writer(workspace.predictions, LOOP)) as writer:
        a = answer(writer, first, [1, "a"])
        b = answer(writer, second, ["b", True], "canary")
        shadow = answer(writer, second, ["s", True], "shadow")
        answer(writer, first, [9.0, "never labelled"])
        c = answer(writer, first, [3.5, None])
    assert Feedback().stamp(place) == "0"
    for at, (id, value) in enumerate([(c, 30), (b, 20.0), (a, "10"), (shadow, 40), ("p-unknown-1", 50)]):
        label(workspace, id, value, at=float(at))
    assert Feedback().stamp(place) == "5"
    extract = Feedback().read(place)
    table = collect(extract)
    assert table.to_dict(as_series=False) == {
        "x": [3.5, None, 1.0],
        "w": [None, "b", "a"],
        "z": [None, True, None],
        "y": [30, 20, 10],
    }
    assert (table.schema["y"], table.schema["x"]) == (pl.Int64, pl.Float64)
    assert extract.origins[0]["rows"] == 3


def test_target_and_time_under_other_names(workspace: Workspace, place: Place) -> None:
    number = release(workspace, X, Column("y", "text"))
    with closing(captures.Writer(workspace.predictions, LOOP)) as writer:
        label(workspace, answer(writer, number, [1.0]), 1, at=1.0)
        label(workspace, answer(writer, number, [2.0]), True, at=2.0)
    table = collect(Feedback("truth", time="t").read(place))
    assert table["truth"].to_list() == ["1", "true"]
    assert table["t"].to_list() == [datetime(2023, 11, 14, 22, 13, 20, 250_000)] * 2


def test_versions_that_predict_other_columns_keep_their_own(workspace: Workspace, place: Place) -> None:
    versions = [release(workspace, X, Y), release(workspace, X, Column("z", "text"))]
    with closing(captures.Writer(workspace.predictions, LOOP)) as writer:
        for at in range(6):
            label(workspace, answer(writer, versions[at % 2], [float(at)]), at, at=float(at))
    table = collect(Feedback().read(place))
    assert table.select("x", "y", "z").rows() == [(float(at), None if at % 2 else at, str(at) if at % 2 else None) for at in range(6)]


def test_predictions_that_another_machine_captured_are_read_once_they_are_here(workspace: Workspace, place: Place) -> None:
    number = release(workspace, X, Y)
    with closing(captures.Writer(workspace.predictions, LOOP)) as writer:
        label(workspace, answer(writer, number, [1.0]), 1, at=1.0)
    with closing(captures.Writer(workspace.predictions, LOOP)) as writer:
        label(workspace, there := answer(writer, number, [2.0]), 2, at=2.0)
    segment = next(path for path in workspace.predictions.rglob("*.seg") if path.stem == captures.segment_of(there))
    elsewhere = segment.rename(place.project / "elsewhere")
    first = Feedback().read(place)
    assert collect(first)["x"].to_list() == [1.0]
    still = Feedback().read(place, since=first.origins)
    assert (collect(still).height, still.whole) == (0, False)
    elsewhere.rename(segment)
    later = Feedback().read(place, since=still.origins)
    assert (collect(later)["x"].to_list(), later.whole) == ([1.0, 2.0], True)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(order=st.permutations(range(8)), cuts=st.sets(st.integers(0, 8)), ties=st.integers(1, 4), segment_bytes=st.integers(50, 2000))
def test_readings_one_after_the_other_are_one_reading(
    workspace: Workspace, place: Place, order: list[int], cuts: set[int], ties: int, segment_bytes: int
) -> None:
    """Whatever the order of the labels, wherever the captured rows lie, and however often it is read in between. A label at the very time
    of another one may come before it: then all is read again."""
    loop = f"l{len(list(workspace.predictions.glob('*')))}"
    here = place._replace(loop=loop)
    number = release(workspace, X, Y, loop=loop)
    with closing(captures.Writer(workspace.predictions, loop, segment_bytes=segment_bytes)) as writer:
        ids = [answer(writer, number, [float(at)], loop=loop) for at in range(8)]
    tables: list[pl.DataFrame] = []
    origins: Sequence[Origin] = []
    for at in range(9):
        if at in cuts or at == 8:
            extract = Feedback().read(here, since=origins)
            assert extract.whole == (not origins) or ties > 1
            tables = [*([] if extract.whole else tables), collect(extract)]
            origins = list(extract.origins)
        if at < 8:
            label(workspace, ids[order[at]], order[at], at=float(at // ties), loop=loop)
    found = union([table for table in tables if table.height])
    assert found.equals(collect(Feedback().read(here)))
    assert sorted(found["y"].to_list()) == list(range(8))
    assert (found["x"] == found["y"]).all()


def test_chains_are_sources_and_grow_at_either_end() -> None:
    a, b = Files("a.csv"), Files("b.csv")
    assert isinstance(a + Feedback(), Source)
    assert a + b + Feedback() == a + Chain((b, Feedback())) == Chain((a, b, Feedback()))
    assert (Feedback() + a).describe() == "feedback + files a.csv"


def test_pieces_hold_everything_in_order_and_no_more_than_they_may() -> None:
    items = [(at, size) for at, size in enumerate([1, answers.ANSWER_BYTES, 5, 7, BATCH_BYTES, 1])]
    assert list(answers.in_pieces(items)) == [[0], [1], [2, 3], [4], [5]]
