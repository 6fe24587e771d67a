from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from everloop.core.errors import BadInput
from everloop.data.profile import Tally, hints, quantile, summarise
from everloop.data.profile.patterns import patterns, shape

R = np.random.default_rng(11)
N = 400


def planted() -> pl.DataFrame:
    y = R.normal(size=N)
    label = R.choice(["yes", "no", "maybe"], N, p=[0.5, 0.3, 0.2])
    return pl.DataFrame({
        "y": y, "twin": 3 - 2 * y, "noise": R.normal(size=N), "label": label,
        "recoded": [{"yes": "A", "no": "B", "maybe": "C"}[value] for value in label],
        "id": [f"c{at:05}" for at in range(N)], "number": R.permutation(N), "same": np.ones(N), "mail": [f"u{at % 90}@mail.org" for at in range(N)],
        "void": pl.Series([1.0] * 4 + [None] * (N - 4)), "group": R.integers(0, 5, N), "measured": np.round(R.normal(size=N), 9),
    })  # fmt: skip


def found(frame: pl.DataFrame, target: str) -> set[tuple[str, str]]:
    return {(finding.check, finding.subject) for finding in hints(summarise(frame, about=""), target)}


def test_planted_faults_are_found_and_nothing_else() -> None:
    frame = planted()
    others = {
        ("personal_data", "mail"),
        ("mostly_missing", "void"),
        ("constant", "same"),
        ("constant", "void"),
        ("identifier", "id"),
        ("identifier", "number"),
    }
    assert found(frame, "y") == others | {("target_copy", "twin")}
    assert found(frame, "label") == others | {("target_copy", "recoded"), ("redundant", "twin")}


def test_hints_never_stop_and_warnings_come_first() -> None:
    findings = hints(summarise(planted(), about=""), "y")
    assert {finding.severity for finding in findings} == {"warn", "info"}
    assert [finding.severity for finding in findings] == sorted((finding.severity for finding in findings), reverse=True)
    assert not any(finding.passed for finding in findings)


def test_a_clean_table_gives_no_hint() -> None:
    frame = pl.DataFrame({"x": R.normal(size=N), "k": R.choice(["a", "b"], N), "y": R.integers(0, 9, N)})
    assert found(frame, "y") == set()


def test_repeated_rows_are_counted() -> None:
    frame = pl.DataFrame({"a": [1, 1, 2, 1], "b": ["x", "x", "x", "y"]})
    profile = summarise(frame, about="")
    assert profile.duplicates == 1
    assert "1 of 4 rows" in hints(profile)[-1].message
    # Parts of a table cannot know.
    assert Tally.of(frame).profile(about="").duplicates is None
    assert summarise(pl.DataFrame({"v": [[1, 2], [1, 2], [3]]}), about="").duplicates == 1


def test_quantiles_of_few_values_are_exact_and_of_many_near() -> None:
    few = summarise(pl.DataFrame({"x": [1, 1, 1, 5, 9]}), about="").columns[0]
    assert [quantile(few, q) for q in (0, 0.5, 0.6, 0.7, 0.8, 1)] == [1, 1, 1, 5, 5, 9]
    values = R.lognormal(size=50_000)
    many = summarise(pl.DataFrame({"x": values}), about="").columns[0]
    for q in (0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 1.0):
        value = quantile(many, q)
        assert value is not None
        assert np.mean(values <= value) == pytest.approx(q, abs=0.002)
    assert (quantile(many, 0), quantile(many, 1)) == (values.min(), values.max())
    assert quantile(summarise(pl.DataFrame({"w": ["a"]}), about="").columns[0], 0.5) is None
    with pytest.raises(BadInput, match="not at 50"):
        quantile(many, 50)


def test_shapes() -> None:
    assert shape("AB-1234") == "AA-9999"
    assert shape("Ölmühle 7, 日本") == "Aaaaaaa 9, aa"
    assert patterns(["AB-1", "CD-2", "x"]) == (("AA-9", 0.6667), ("a", 0.3333))
    assert patterns([f"{'n' * (at % 9 + 1)}{10**at}@x.com" for at in range(30)])[0][0] == "a+9+@a.a+"
    assert patterns([]) == ()


def test_counting_in_the_bins_of_a_reference_without_the_rows() -> None:
    usual = pl.DataFrame({"x": R.normal(size=60_000), "k": R.integers(0, 30, 60_000), "w": R.choice(["a", "b", "c"], 60_000)})
    seen = pl.DataFrame({"x": R.normal(0.2, 1, 50_000), "k": R.integers(-3, 40, 50_000), "w": R.choice(["a", "c", "d"], 50_000)})
    reference = summarise(usual, about="")
    by_rows, by_tally = summarise(seen, about="", reference=reference), Tally.of(seen).profile(about="", reference=reference)
    for name in ("k", "w"):
        a, b = by_rows.column(name), by_tally.column(name)
        assert a is not None
        assert b is not None
        assert (a.edges, a.counts, a.top, a.other, a.unseen) == (b.edges, b.counts, b.top, b.other, b.unseen)
    x, y = by_rows.columns[0], by_tally.columns[0]
    assert (x.edges, sum(x.counts)) == (y.edges, sum(y.counts))
    assert np.abs(np.cumsum(x.counts) - np.cumsum(y.counts)).max() < 0.0005 * 50_000
    # Against itself every count is exact.
    assert Tally.of(usual).profile(about="", reference=reference).columns[0].counts == reference.columns[0].counts
    empty = Tally.of(seen.clear()).profile(about="", reference=reference)
    assert all(
        sum(column.counts) == 0 and column.kind == usual.kind for column, usual in zip(empty.columns, reference.columns, strict=True)
    )
