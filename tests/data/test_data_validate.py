from __future__ import annotations

from collections.abc import Callable

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.core.schemas import Schema
from everloop.core.verdict import Finding, Verdict
from everloop.data.kinds import columns_of, normalise
from everloop.data.profile import summarise
from everloop.data.schema import infer
from everloop.data.validate import validate

SEEN = pl.DataFrame(
    {
        "p12": range(200),
        "x": [at / 7 for at in range(200)],
        "w": ["red", "green"] * 100,
        "id": [f"id{at}" for at in range(200)],
        "b": [True, False] * 100,
        "gap": [None, 1.0] * 100,
    }
)


def contract(frame: pl.DataFrame = SEEN) -> Schema:
    return infer(summarise(frame, about="s"), dataset="d", target=frame.columns[0])


def check(frame: pl.DataFrame, schema: Schema, *, with_frame: bool = True) -> Verdict:
    frame = normalise(frame)
    return validate(summarise(frame, about="s"), columns_of(frame), schema, about="s", frame=frame if with_frame else None)


def bad(verdict: Verdict) -> list[tuple[str, str, str]]:
    return [(finding.check, finding.subject, finding.severity) for finding in verdict.findings if not finding.passed]


@pytest.mark.parametrize("with_frame", [True, False])
def test_the_data_that_a_contract_came_from_keeps_it(with_frame: bool) -> None:
    verdict = check(SEEN, contract(), with_frame=with_frame)
    assert verdict.question == "data"
    assert bad(verdict) == []
    assert [finding.check for finding in verdict.findings] == ["rows", "columns"]


FAULTS: list[tuple[str, Callable[[pl.DataFrame], pl.DataFrame], list[tuple[str, str, str]]]] = [
    ("missing", lambda f: f.drop("p12"), [("missing_column", "p12", "stop")]),
    ("extra", lambda f: f.with_columns(new=1), [("extra_column", "new", "stop")]),
    ("renamed", lambda f: f.rename({"x": "y"}), [("missing_column", "x", "stop"), ("extra_column", "y", "stop")]),
    ("number to text", lambda f: f.with_columns(pl.col("x").cast(pl.String)), [("kind", "x", "stop")]),
    ("text to number", lambda f: f.with_columns(w=pl.lit(1)), [("kind", "w", "stop")]),
    ("bool to int", lambda f: f.with_columns(pl.col("b").cast(pl.Int64)), [("kind", "b", "stop")]),
    ("empty", lambda f: f.with_columns(x=pl.lit(None, pl.Float64)), [("empty_column", "x", "stop")]),
    ("empty and nullable", lambda f: f.with_columns(gap=pl.lit(None)), [("empty_column", "gap", "stop")]),
    ("nulls", lambda f: f.with_columns(x=pl.when(pl.col("p12") == 3).then(None).otherwise(pl.col("x"))), [("nulls", "x", "warn")]),
    ("nans", lambda f: f.with_columns(x=pl.when(pl.col("p12") == 3).then(float("nan")).otherwise(pl.col("x"))), [("nulls", "x", "warn")]),
    (
        "many nulls",
        lambda f: f.with_columns(x=pl.when(pl.col("p12") < 3).then(None).otherwise(pl.col("x"))),
        [("missing_values", "x", "stop")],
    ),
    ("range", lambda f: f.with_columns(p12=pl.when(pl.col("p12") < 3).then(-5).otherwise(pl.col("p12"))), [("range", "p12", "warn")]),
    ("in range", lambda f: f.with_columns(p12=pl.when(pl.col("p12") < 2).then(999).otherwise(pl.col("p12"))), []),
    (
        "category",
        lambda f: f.with_columns(w=pl.when(pl.col("p12") == 3).then(pl.lit("blue")).otherwise("w")),
        [("categories", "w", "warn")],
    ),
    ("renamed by case", lambda f: f.rename({"x": "X "}), [("renamed_column", "x", "stop")]),
    ("int to float", lambda f: f.with_columns(pl.col("p12").cast(pl.Float64)), []),
    ("float to int", lambda f: f.with_columns(pl.col("gap").cast(pl.Int64)), []),
    ("another order of columns", lambda f: f.select(reversed(f.columns)), []),
    ("new ids", lambda f: f.with_columns(id="new" + pl.col("id")), []),
]


@pytest.mark.parametrize("with_frame", [True, False])
@pytest.mark.parametrize(("fault", "found"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
def test_a_planted_fault_is_found_and_nothing_else(
    fault: Callable[[pl.DataFrame], pl.DataFrame], found: list[tuple[str, str, str]], with_frame: bool
) -> None:
    verdict = check(fault(SEEN), contract(), with_frame=with_frame)
    assert bad(verdict) == found
    assert verdict.passed == (not any(severity == "stop" for _, _, severity in found))


def finding_of(verdict: Verdict) -> Finding:
    return next(finding for finding in verdict.findings if not finding.passed)


def test_messages_name_the_column_the_limit_and_samples() -> None:
    assert finding_of(check(SEEN.drop("p12"), contract())).message == "column 'p12' is missing: the schema requires it (int)"
    blue = finding_of(check(SEEN.with_columns(w=pl.lit("blue")), contract()))
    assert blue.message == "column 'w': 200 of 200 values are not in the schema's vocabulary, such as 'blue'"
    assert (blue.observed, blue.evidence["samples"]) == (200, ["blue"])
    far = finding_of(check(SEEN.with_columns(p12=pl.col("p12") + 100), contract()))
    assert far.message == "column 'p12': 50.0% of the values are outside 0 to 199, up to 1 % are allowed; such as 200, 201, 202"
    assert (far.observed, far.limit) == (0.5, 0.01)
    gone = finding_of(check(SEEN.with_columns(x=pl.when(pl.col("p12") == 7).then(None).otherwise("x")), contract()))
    assert gone.evidence["rows"] == [7]


def test_an_extra_column_only_warns_where_the_person_said_so() -> None:
    schema = msgspec.structs.replace(contract(), extra_columns="warn")
    assert bad(check(SEEN.with_columns(new=1), schema)) == [("extra_column", "new", "warn")]


def test_too_few_rows_stop() -> None:
    schema = msgspec.structs.replace(contract(), min_rows=201)
    verdict = check(SEEN, schema)
    assert [finding.message for finding in verdict.failures] == ["only 200 rows: the schema requires at least 201"]


def test_an_optional_column_may_be_missing() -> None:
    schema = contract()
    loose = tuple(msgspec.structs.replace(rule, required=rule.name != "x") for rule in schema.columns)
    assert bad(check(SEEN.drop("x"), msgspec.structs.replace(schema, columns=loose))) == []


def test_a_column_that_never_had_a_value_may_stay_so() -> None:
    frame = pl.DataFrame({"a": [1, 2], "z": [None, None]})
    assert bad(check(frame, contract(frame))) == []


def test_a_dropped_column_may_be_absent_null_and_anything_of_its_kind() -> None:
    """Rows that come back as feedback have the features and the target, no more."""
    schema = infer(summarise(SEEN, about="s"), dataset="d", target="p12", drop=["x", "id"])
    assert bad(check(SEEN.drop("x", "id"), schema)) == []
    assert bad(check(SEEN.with_columns(x=pl.when(pl.col("p12") < 100).then(pl.col("x") + 1e6)), schema)) == []
    assert bad(check(SEEN.with_columns(x=pl.lit("now text")), schema)) == [("kind", "x", "stop")]


def test_text_that_is_nearly_all_numbers_is_pointed_out() -> None:
    frame = pl.DataFrame({"c": [str(at / 2) for at in range(200)] + [" ", " "]})
    (finding,) = check(frame, contract(frame)).warnings
    assert "text because of 2 values such as ' '" in finding.message
    assert "missing=[' ']" in finding.message


@given(st.lists(st.integers(0, 60) | st.integers(-5, 70), min_size=20, max_size=200))
def test_shares_read_off_bins_are_those_of_the_rows(values: list[int]) -> None:
    """Up to 500 different values each have a bin of their own: the profile alone is as good as the rows."""
    schema = contract(pl.DataFrame({"n": [0, 60]}))
    frame = pl.DataFrame({"n": values})

    def ranges(verdict: Verdict) -> list[object]:
        return [finding.observed for finding in verdict.findings if finding.check == "range"]

    assert ranges(check(frame, schema)) == ranges(check(frame, schema, with_frame=False))
