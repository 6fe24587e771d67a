"""The report says what is in the data, escapes what comes from it, and needs nothing beside it."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from given import Given
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.metrics import r2_score

from everloop.core.errors import NotFound
from everloop.core.ports import Place
from everloop.core.tables import Snapshot
from everloop.data.eda import charts
from everloop.data.eda.page import page
from everloop.data.eda.relations import relations
from everloop.data.eda.study import STRETCHES, Study, study
from everloop.data.eda.terminal import lines
from everloop.data.ingest import take
from everloop.data.profile import summarise
from everloop.store import chunks
from everloop.store.workspace import Workspace


def snapshot(table: pl.DataFrame, place: Place) -> Snapshot:
    return take(Given(table, name="files <b>.csv"), dataset="d", place=place)


def look(workspace: Workspace, place: Place, table: pl.DataFrame, target: str | None = None) -> Study:
    return study(workspace.blobs, snapshot(table, place), target=target)


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.outside: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.outside += [value for name, value in attrs if name in ("src", "href", "xlink:href") and value and not value.startswith("#")]
        if tag not in ("meta", "br", "link", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def table() -> pl.DataFrame:
    chance = np.random.default_rng(0)
    x = chance.normal(size=2_000)
    return pl.DataFrame(
        {
            "x": x,
            "y": 3 * x + chance.normal(size=2_000) * 0.1,
            "noise": chance.normal(size=2_000),
            "group": [["a", "b", "c"][at] for at in chance.integers(0, 3, 2_000)],
            "gaps": [None if at < 500 else at % 7 for at in range(2_000)],
            "day": [date(2026, 1, 1) + timedelta(days=at // 10) for at in range(2_000)],
            "note": [f"text {at}" for at in range(2_000)],
            "blob": [bytes([at % 250]) for at in range(2_000)],
            "list": [[at, 1] for at in range(2_000)],
            "yes": [bool(at % 3) for at in range(2_000)],
        }
    )


def test_the_page_shows_every_column_and_needs_nothing(workspace: Workspace, place: Place, table: pl.DataFrame) -> None:
    made = page(look(workspace, place, table, "y"), made_at="2026-11-25 12:00")
    found = Page(made)
    assert found.open == []
    assert found.outside == []
    assert not {"script", "link", "img", "iframe"} & found.tags
    assert "url(" not in made
    for name in table.columns:
        assert f">{name} <span" in made
    assert "2,000" in made


def test_what_comes_from_the_data_is_escaped(workspace: Workspace, place: Place) -> None:
    bad = '<script>alert("1")</script>'
    table = pl.DataFrame({bad: [bad, bad, "b"] * 20, "n": list(range(60)), "y": [bad, "z", "z"] * 20})
    before = snapshot(table.head(30), place)
    found = study(workspace.blobs, snapshot(table, place), target="y", against=before)
    made = page(found, made_at="")
    assert "<script" not in made
    assert "&lt;script&gt;" in made
    assert "<b>.csv" not in made


def test_the_strongest_feature_comes_first(workspace: Workspace, place: Place, table: pl.DataFrame) -> None:
    found = look(workspace, place, table, "y")
    assert found.relations[0].feature == "x"
    assert found.relations[0].explains > 0.9
    assert {relation.feature for relation in found.relations if relation.explains > 0.02} == {"x"}
    assert any("'x'" in finding.message for finding in found.findings)
    made = page(found, made_at="")
    assert made.index(">y <span") < made.index(">x <span") < made.index(">noise <span")


def test_explained_is_the_correlation_ratio() -> None:
    chance = np.random.default_rng(1)
    group = chance.integers(0, 5, 4_000)
    y = group + chance.normal(size=4_000)
    found = relations(pl.DataFrame({"g": [f"g{at}" for at in group], "y": y}), "y")[0]
    means = np.array([y[group == at].mean() for at in range(5)])
    assert found.explains == pytest.approx(r2_score(y, means[group]), abs=0.002)
    assert [shown.mean for shown in found.groups] == pytest.approx(means.tolist())
    assert sum(shown.rows for shown in found.groups) == 4_000


def test_classes_share_each_group() -> None:
    frame = pl.DataFrame({"colour": ["red"] * 50 + ["blue"] * 50, "kind": ["a"] * 50 + ["a"] * 10 + ["b"] * 40})
    found = relations(frame, "kind")[0]
    assert found.classes == ("a", "b")
    assert {group.label: group.shares for group in found.groups} == {"blue": (0.2, 0.8), "red": (1.0, 0.0)}
    # Goodman and Kruskal's tau of this table: (.68 / 1 - .52) / .48 with a's share .6 and b's .4.
    tau = ((0.5 * (0.2**2 + 0.8**2) + 0.5 * 1.0) - (0.6**2 + 0.4**2)) / (1 - (0.6**2 + 0.4**2))
    assert found.explains == pytest.approx(tau, abs=0.01)


def test_many_zeros_are_a_group_of_their_own() -> None:
    chance = np.random.default_rng(2)
    gain = np.where(chance.random(5_000) < 0.9, 0.0, chance.exponential(1_000, 5_000))
    found = relations(pl.DataFrame({"gain": gain, "y": (gain > 0) * 1.0 + chance.normal(size=5_000) * 0.01}), "y")[0]
    assert found.groups[0].label == "0"
    assert found.groups[0].rows == int((gain == 0).sum())
    assert found.explains > 0.95


def test_rows_without_target_or_feature() -> None:
    frame = pl.DataFrame({"x": [1.0, None, float("nan"), 2.0, 3.0] * 20, "y": [1.0, 5.0, 5.0, 2.0, None] * 20})
    found = relations(frame, "y")[0]
    assert {group.label: group.rows for group in found.groups} == {"1.0": 20, "2.0": 20, "missing": 40}
    assert relations(pl.DataFrame({"x": [1, 2], "y": [None, None]}, schema={"x": pl.Int64, "y": pl.Float64}), "y") == ()
    assert relations(pl.DataFrame({"x": [1, 2], "y": [3.0, 3.0]}), "y") == ()


def test_the_map_shows_where_values_are_missing(
    workspace: Workspace, place: Place, table: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "_MOST_ROWS", 128)
    found = look(workspace, place, table).missing
    assert found.columns == ("gaps",)
    shares = found.shares[0]
    assert shares[: STRETCHES // 4] == (1.0,) * (STRETCHES // 4)
    assert shares[STRETCHES // 4 + 1 :] == (0.0,) * (STRETCHES - STRETCHES // 4 - 1)


def test_equal_rows_are_counted_over_all_chunks(workspace: Workspace, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "_MOST_ROWS", 64)
    table = pl.DataFrame({"a": [*range(500), 7, 7, 8]})
    assert look(workspace, place, table).profile.duplicates == 3


def test_two_versions_side_by_side(workspace: Workspace, place: Place, table: pl.DataFrame) -> None:
    before = snapshot(table, place)
    changed = table.drop("list").with_columns(pl.col("x") + 2, pl.col("group").str.replace("a", "z"), extra=pl.lit(1))
    found = study(workspace.blobs, snapshot(changed, place), against=before)
    made = page(found, made_at="")
    table_of_changes = made[made.index("What changed") : made.index("<h2>Columns")]
    assert re.findall(r">(\w+)</a></td><td>(\w+)", table_of_changes)[:2] == [("extra", "added"), ("x", "same")]
    assert "<td>list</td><td>removed" in table_of_changes
    assert "noise" not in table_of_changes
    text = "\n".join(lines(found))
    assert "x (float, shift 0.6" in text
    assert "list (removed)" in text
    assert "before" in text


def test_the_terminal_says_the_same(workspace: Workspace, place: Place, table: pl.DataFrame) -> None:
    text = "\n".join(lines(look(workspace, place, table, "y")))
    for name in table.columns:
        assert f"\n{name} (" in text
    assert "y (float, the target)" in text
    assert re.search(r"x \(float, explains 9\d\.\d% of y\)", text)
    assert re.search(r"gaps +█{10,} +$|gaps █+", text, re.MULTILINE)
    assert "<" not in re.sub(r"<=?\d", "", text)


def test_a_target_that_is_not_there(workspace: Workspace, place: Place, table: pl.DataFrame) -> None:
    with pytest.raises(NotFound, match="Did you mean 'noise'"):
        look(workspace, place, table, "noize")


@pytest.mark.parametrize(
    "values",
    [
        [1] * 20, [None] * 19 + [1], [0.0] * 20, [float("nan")] * 10 + [float("inf")] * 10, [True, False] * 10, [1e300, -1e300] * 10, [5e-324, 1.0] * 10,
        ["x" * 5_000] * 20, [""] * 20, ["🙂\n\t\x07"] * 20, [datetime(1, 1, 1), datetime(9999, 12, 31)] * 10, [b""] * 20, [[]] * 20, [2**62, -(2**62)] * 10,
    ],
    ids=str,
)  # fmt: skip
def test_odd_columns_are_drawn(workspace: Workspace, place: Place, values: list[object]) -> None:
    table = pl.DataFrame({"v": pl.Series(values, strict=False), "y": [1.0, 2.0] * 10})
    found = look(workspace, place, table, "y")
    assert Page(page(found, made_at="")).open == []
    assert "nan" not in page(found, made_at="").lower().replace("finance", "")
    assert list(lines(found))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.floats(allow_nan=False, width=32), min_size=1, max_size=200), bars=st.integers(1, 60))
def test_a_histogram_holds_all_that_lies_within_it(values: list[float], bars: int) -> None:
    column = summarise(pl.DataFrame({"v": values}), about="").columns[0]
    if not column.valid:
        return
    marks = charts.spread([column], bars)
    masses = charts.masses(column, marks)
    assert all(mass >= 0 for mass in masses)
    assert sum(masses) <= 1 + 1e-9
    if len(set(values)) <= 30 and marks[0] <= (column.low or 0.0) and marks[-1] >= (column.high or 0.0):
        assert sum(masses) == pytest.approx(1)


def test_real_data(workspace: Workspace, place: Place, real_data: Path) -> None:
    table = pl.read_csv(real_data / "bike_sharing" / "hour.csv")
    found = look(workspace, place, table, "cnt")
    order = [relation.feature for relation in found.relations]
    assert order[0] == "registered"
    assert order.index("hr") < order.index("weekday")
    assert len(page(found, made_at="")) < 300_000
