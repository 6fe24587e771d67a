"""For each rule a table that breaks exactly it, and the verdict names exactly it; whole, lazy and in batches alike."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.rules.rows import compile_row
from everloop.core.schemas import SCHEMA_SKEW, VALUE_SKEW, ColumnRule, Freshness, Key, RowRule, Schema, seconds, skew
from everloop.core.verdict import Finding, Verdict
from everloop.data.kinds import columns_of, normalise
from everloop.data.profile import summarise
from everloop.data.validate import Check, Checks, validate
from everloop.data.validate.seen import Seen

ROWS = 200
FRAME = pl.DataFrame(
    {
        "n": [at % 7 for at in range(ROWS)],
        "x": [at / 7 for at in range(ROWS)],
        "code": [f"{at:04}-AB" for at in range(ROWS)],
        "w": ["red", "green"] * (ROWS // 2),
        "k": [at % 3 for at in range(ROWS)],
        "blob": [b"ab"] * ROWS,
        "members": [[1, 2]] * ROWS,
        "gap": [None, 1.0, 1.0, 1.0] * (ROWS // 4),
        "at": [datetime(2026, 7, 1 + row // 10) for row in range(ROWS)],
        "until": [datetime(2026, 7, 2 + row // 10) for row in range(ROWS)],
        "parts": range(ROWS),
        "whole": range(0, 2 * ROWS, 2),
    }
)
SCHEMA = Schema(
    dataset="d",
    max_rows=1000,
    columns=(
        ColumnRule(name="n", kind="int", low=0, high=6, vocabulary=tuple(range(8)), tolerance=0.0),
        ColumnRule(name="x", kind="float", low=0),
        ColumnRule(name="code", kind="text", pattern=r"\d{4}-[A-Z]+", unique=True, min_length=7, max_length=8),
        ColumnRule(name="w", kind="text", vocabulary=("red", "green"), tolerance={"categories": 0.01}),
        ColumnRule(name="k", kind="int", nullable=True),
        ColumnRule(name="blob", kind="bytes", max_length=3),
        ColumnRule(name="members", kind="list", min_length=1),
        ColumnRule(name="gap", kind="float", nullable=True, max_null_share=0.3),
        ColumnRule(name="at", kind="time"),
        ColumnRule(name="until", kind="time"),
        ColumnRule(name="parts", kind="int"),
        ColumnRule(name="whole", kind="int"),
    ),
    keys=(Key(columns=("parts", "w")),),
    freshness=Freshness(column="at", within="3d"),
    rules=(
        RowRule(check='pl.col("parts") * 2 == pl.col("whole")', name="twice"),
        RowRule(check='pl.col("until") > pl.col("at")', severity="stop", tolerance=0.02),
    ),
)
NOW = datetime(2026, 7, 22, tzinfo=UTC).timestamp()
Fault = Callable[[pl.DataFrame], pl.DataFrame]


def first(rows: int, **values: Any) -> Fault:
    """The first rows get other values."""
    return lambda frame: frame.with_columns(
        **{
            name: pl.when(pl.int_range(pl.len()) < rows).then(pl.lit(value, dtype=frame.schema[name])).otherwise(pl.col(name))
            for name, value in values.items()
        }
    )


FAULTS: dict[str, tuple[Fault, tuple[str, str, str], list[Any] | None]] = {
    "range, whole numbers": (first(1, n=7), ("range", "n", "warn"), [7]),
    "range, floats": (first(3, x=-1.5), ("range", "x", "warn"), [-1.5] * 3),
    "categories of numbers": (first(1, n=9), ("categories", "n", "warn"), [9]),
    "categories": (first(3, w="blue"), ("categories", "w", "warn"), ["blue"]),
    "pattern": (first(1, code="00ab-AB"), ("pattern", "code", "warn"), ["00ab-AB"]),
    "lengths of text": (first(1, code="0000-ABCDE"), ("lengths", "code", "warn"), ["0000-ABCDE"]),
    "lengths of bytes": (first(1, blob=b"abcd"), ("lengths", "blob", "warn"), ["61 62 63 64"]),
    "lengths of lists": (first(1, members=[]), ("lengths", "members", "warn"), ["[]"]),
    "unique": (
        lambda f: f.with_columns(code=pl.when(pl.col("parts") == 5).then(pl.lit("0003-AB")).otherwise("code")),
        ("unique", "code", "warn"),
        ["0003-AB"] * 2,
    ),
    "nulls": (first(1, x=None), ("nulls", "x", "warn"), [None]),
    "infinite": (first(1, x=float("inf")), ("nulls", "x", "warn"), ["inf"]),
    "null share": (first(30, gap=None), ("null_share", "gap", "warn"), None),
    "mostly null": (first(150, gap=None), ("missing_values", "gap", "stop"), None),
    "partly missing": (first(5, x=None), ("missing_values", "x", "stop"), None),
    "empty": (lambda f: f.with_columns(k=pl.lit(None, pl.Int64)), ("empty_column", "k", "stop"), None),
    "too many rows": (lambda f: f, ("rows", "", "stop"), None),
    "missing": (lambda f: f.drop("k"), ("missing_column", "k", "stop"), None),
    "renamed": (lambda f: f.rename({"k": "K"}), ("renamed_column", "k", "stop"), None),
    "added": (lambda f: f.with_columns(new=1), ("extra_column", "new", "stop"), None),
    "retyped": (lambda f: f.with_columns(pl.col("k").cast(pl.String)), ("kind", "k", "stop"), None),
    "rule": (first(1, whole=1), ("rule", "twice", "warn"), [[0, 1]]),
    "rule that stops": (
        lambda f: f.with_columns(until=pl.when(pl.col("parts") < 5).then("at").otherwise("until")),
        ("rule", 'pl.col("until") > pl.col("at")', "stop"),
        None,
    ),
    "keys": (
        lambda f: f.with_columns(
            parts=pl.when(pl.col("parts") == 2).then(0).otherwise("parts"), whole=pl.when(pl.col("parts") == 2).then(0).otherwise("whole")
        ),
        ("keys", "parts, w", "warn"),
        [[0, "red"]] * 2,
    ),
    "stale": (lambda f: f.with_columns(at=pl.col("at") - pl.duration(days=5)), ("freshness", "at", "warn"), None),
}


def bad(verdict: Verdict) -> list[tuple[str, str, str]]:
    return [(finding.check, finding.subject, finding.severity) for finding in verdict.findings if not finding.passed]


def whole(frame: pl.DataFrame, schema: Schema = SCHEMA) -> Verdict:
    return validate(None, columns_of(frame), schema, about="s", frame=frame, now=NOW)


def lazily(frame: pl.DataFrame, schema: Schema = SCHEMA) -> Verdict:
    return validate(None, columns_of(frame), schema, about="s", frame=frame.lazy(), now=NOW)


def in_batches(frame: pl.DataFrame, schema: Schema = SCHEMA) -> Verdict:
    checks = Checks(schema, frame.schema)
    for batch in frame.iter_slices(60):
        checks.add(batch)
    return checks.verdict(about="s", now=NOW)


def in_parts(frame: pl.DataFrame, schema: Schema = SCHEMA) -> Verdict:
    parts: list[Checks] = []
    for batch in frame.iter_slices(60):
        parts.append(Checks(schema, frame.schema))
        parts[-1].add(batch)
    for later in parts[1:]:
        parts[0].merge(later)
    return parts[0].verdict(about="s", now=NOW)


WAYS = [whole, lazily, in_batches, in_parts]


@pytest.mark.parametrize("way", WAYS)
def test_a_table_that_keeps_every_rule_passes_every_check(way: Callable[..., Verdict]) -> None:
    verdict = way(FRAME)
    assert bad(verdict) == []
    assert [finding.check for finding in verdict.findings] == ["rows", "columns", "freshness"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_named_and_nothing_else(fault: str, way: Callable[..., Verdict]) -> None:
    break_it, (check, subject, severity), samples = FAULTS[fault]
    frame = break_it(FRAME)
    schema = msgspec.structs.replace(SCHEMA, max_rows=100) if fault == "too many rows" else SCHEMA
    # 9 is no known word, and no number in range either: the fault is to be one rule's.
    if fault == "categories of numbers":
        schema = with_column("n", low=None, high=None)
    verdict = way(frame, schema)
    found = [one for one in verdict.findings if not one.passed and one.check != "not_checked"]
    assert [(one.check, one.subject, one.severity) for one in found] == [(check, subject, severity)]
    assert verdict.passed == (severity == "warn")
    assert found[0].evidence["skew"] == skew(found[0]) == ("schema" if check in SCHEMA_SKEW else "value")
    if samples is not None:
        assert found[0].evidence["samples"] == samples
        assert "count" in found[0].evidence


def with_column(name: str, **fields: Any) -> Schema:
    columns = tuple(msgspec.structs.replace(rule, **fields) if rule.name == name else rule for rule in SCHEMA.columns)
    return msgspec.structs.replace(SCHEMA, columns=columns)


def test_the_two_kinds_of_skew_are_never_one() -> None:
    assert not SCHEMA_SKEW & VALUE_SKEW
    assert {check for _, (check, _, _), _ in FAULTS.values()} | {"columns", "text_of_numbers"} == SCHEMA_SKEW | VALUE_SKEW


def test_a_person_may_say_that_values_stop() -> None:
    frame = FAULTS["range, floats"][0](FRAME)
    assert bad(whole(frame, with_column("x", severity="stop"))) == [("range", "x", "stop")]
    assert bad(whole(frame, with_column("x", severity={"range": "stop"}))) == [("range", "x", "stop")]
    assert bad(whole(frame, with_column("x", severity={"nulls": "stop"}))) == [("range", "x", "warn")]
    # One word for the values of a column leaves its structure alone; the check's own name does not.
    partly = FAULTS["partly missing"][0](FRAME)
    assert bad(whole(partly, with_column("x", severity="warn"))) == [("missing_values", "x", "stop")]
    assert bad(whole(partly, with_column("x", severity={"missing_values": "warn"}))) == [("missing_values", "x", "warn")]


def test_up_to_its_tolerance_a_check_may_be_broken() -> None:
    assert bad(whole(first(2, w="blue")(FRAME))) == []
    assert bad(whole(first(2, n=7)(FRAME), with_column("n", tolerance=0.01))) == []
    assert bad(whole(first(2, x=-1)(FRAME))) == []


def test_columns_may_be_absent_where_the_schema_says_so() -> None:
    schema = with_column("whole", absent_in=("serving", "evaluation"))
    frame = FRAME.drop("whole")
    assert ("missing_column", "whole", "stop") in bad(whole(frame, schema))
    served = validate(None, columns_of(frame), schema, about="s", frame=frame, now=NOW, stage="serving")
    # What cannot be asked then is said.
    assert bad(served) == [("not_checked", "twice", "info")]
    assert served.passed


def test_without_the_time_freshness_is_said_to_be_unchecked() -> None:
    verdict = validate(None, columns_of(FRAME), SCHEMA, about="s", frame=FRAME)
    assert [finding.message for finding in verdict.findings if finding.check == "not_checked"] == [
        "freshness of 'at' was not checked: the time of the validation is not given"
    ]
    (stale,) = [one for one in whole(FAULTS["stale"][0](FRAME)).findings if one.check == "freshness"]
    assert stale.message == "the newest 'at' is 2026-07-15 00:00:00 UTC, 7.0 d before the validation; no more than 3d is allowed"
    assert [seconds(text) for text in ("90m", "12h", "7d", "2w", "7", "d", "-1d", "1.5h")] == [
        5400,
        43_200,
        604_800,
        1_209_600,
        None,
        None,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("pattern", r"column 'code': 1 of 200 values do not match '\\d{4}-[A-Z]+', such as '00ab-AB'"),
        ("lengths of text", "column 'code': 1 of 200 values have not 7 to 8 characters, such as '0000-ABCDE'"),
        ("unique", "column 'code': 1 of 200 values were there before: each must be unique, such as '0003-AB'"),
        ("categories", "column 'w': 3 of 200 values are not in the schema's vocabulary, up to 1 % are allowed, such as 'blue'"),
        ("range, floats", "column 'x': 1.5% of the values are outside 0 and more, up to 1 % are allowed; such as -1.5"),
        ("null share", "column 'gap' has no value in 36.0% of the rows, up to 30 % are allowed"),
        ("mostly null", "column 'gap' has no value in 162 of 200 rows: the schema allows 30%"),
        ("renamed", "column 'k' is missing, but 'K' is there: names must be equal to the letter; rename it in the source or in the schema"),
        ("rule", 'rule \'twice\' (pl.col("parts") * 2 == pl.col("whole")) is broken by 1 of 200 rows, such as row 0 with 0, 1'),
        ("keys", "'parts' and 'w' together are no key: 1 of 200 rows have values that were there before, such as (0, 'red')"),
    ],
)
def test_messages_name_column_rule_count_limit_and_values(fault: str, message: str) -> None:
    (finding,) = [one for one in whole(FAULTS[fault][0](FRAME)).findings if not one.passed]
    assert finding.message == message


def test_a_huge_cell_does_not_get_into_a_finding() -> None:
    (finding,) = [one for one in whole(first(1, code="9" * 10**6)(FRAME), with_column("code", pattern=None)).findings if not one.passed]
    assert len(finding.message) < 400
    assert "(1,000,000 characters)" in finding.message


@st.composite
def tables(draw: st.DrawFn) -> pl.DataFrame:
    rows = draw(st.integers(0, 40))
    return pl.DataFrame(
        {
            "n": draw(st.lists(st.none() | st.integers(-2, 9), min_size=rows, max_size=rows)),
            "x": draw(st.lists(st.none() | st.floats(-3, 3) | st.just(float("nan")), min_size=rows, max_size=rows)),
            "w": draw(st.lists(st.none() | st.sampled_from(["red", "green", "blue"]), min_size=rows, max_size=rows)),
        },
        schema={"n": pl.Int64, "x": pl.Float64, "w": pl.String},
    )


SMALL = Schema(
    dataset="d",
    min_rows=0,
    columns=(
        ColumnRule(name="n", kind="int", low=0, high=6, unique=True, nullable=True),
        ColumnRule(name="x", kind="float", low=0, tolerance=0.0, unique=True, severity={"missing_values": "warn"}),
        ColumnRule(name="w", kind="text", vocabulary=("red", "green")),
    ),
    keys=(Key(columns=("n", "w")),),
    rules=(RowRule(check='pl.col("n") > pl.col("x")'),),
)


@settings(deadline=None, max_examples=60)
@given(tables(), st.integers(1, 7))
def test_batches_give_what_the_whole_gives(frame: pl.DataFrame, size: int) -> None:
    checks, parts = Checks(SMALL, frame.schema), []
    for batch in frame.iter_slices(size):
        checks.add(batch)
        parts.append(Checks(SMALL, frame.schema))
        parts[-1].add(batch)
    merged = Checks(SMALL, frame.schema)
    for later in parts:
        merged.merge(later)

    def seen(verdict: Verdict) -> list[tuple[Any, ...]]:
        return [(one.check, one.subject, one.observed, one.severity, one.evidence.get("count")) for one in verdict.findings]

    together = validate(None, columns_of(frame), SMALL, about="s", frame=frame)
    assert seen(checks.verdict(about="s")) == seen(merged.verdict(about="s")) == seen(together)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.integers(0, 50), max_size=20), max_size=6))
def test_surplus_rows_are_counted_over_batches(batches: list[list[int]]) -> None:
    everything = [value for batch in batches for value in batch]
    one, merged = Seen(), Seen()
    for batch in batches:
        hashes = pl.Series(batch, dtype=pl.Int64).hash(0)
        one.add(hashes)
        other = Seen()
        other.add(hashes)
        merged.merge(other)
    assert one.surplus() == merged.surplus() == len(everything) - len(set(everything))


def test_beyond_its_memory_uniqueness_is_estimated_and_never_wrongly_denied() -> None:
    unique, doubled = Seen(limit=2**12), Seen(limit=2**12)
    for start in range(0, 200_000, 10_000):
        unique.add(pl.Series(range(start, start + 10_000)).hash(0))
        doubled.add(pl.Series(range(start // 2, start // 2 + 10_000)).hash(0))
    assert (unique.exact, unique.surplus()) == (False, 0)
    # 105,000 different values in 200,000 rows.
    assert doubled.surplus() == pytest.approx(95_000, rel=0.1)


@pytest.mark.parametrize("way", WAYS)
def test_rows_are_numbered_from_the_beginning_of_the_table(way: Callable[..., Verdict]) -> None:
    late = FRAME.with_columns(
        x=pl.when(pl.col("parts").is_in([30, 130, 190])).then(-1.0).otherwise("x"),
        until=pl.when(pl.col("parts") > 194).then("at").otherwise("until"),
    )
    found = {
        finding.check: finding.evidence["rows"] for finding in way(late, with_column("x", tolerance=0.0)).findings if not finding.passed
    }
    assert found == {"range": [30, 130, 190], "rule": [195, 196, 197, 198, 199]}


@pytest.mark.parametrize(
    ("low", "high", "broken"), [(0.5, None, 1), (None, 2.5, 1), (1.0, 2.0, 2), (0.0, 3.0, 0), (-1e300, 1e300, 0), (1e300, None, 4)]
)
def test_whole_numbers_lie_within_bounds_that_are_none(low: float | None, high: float | None, broken: int) -> None:
    frame = pl.DataFrame({"n": [0, 1, 2, 3]})
    schema = Schema(dataset="d", columns=(ColumnRule(name="n", kind="int", low=low, high=high, tolerance=0.0),))
    check = compile_row(schema, columns_of(frame))
    assert sum(map(len, map(check, frame.rows()))) == broken
    assert sum(Check(schema, frame.schema)(frame).broken.values()) == broken


def test_an_estimated_count_is_called_one() -> None:
    schema = Schema(dataset="d", columns=(ColumnRule(name="n", kind="int", unique=True),))
    checks = Checks(schema, {"n": pl.Int64()})
    (which,) = checks._seen
    checks._seen[which] = Seen(limit=2**10)
    for start in range(0, 20_000, 1000):
        checks.add(pl.DataFrame({"n": range(start // 2, start // 2 + 1000)}))
    (finding,) = checks.verdict(about="s").warnings
    assert finding.message.startswith("column 'n': about ")
    assert finding.evidence["estimated"] is True


def test_a_profile_says_what_it_does_not_tell() -> None:
    frame = normalise(FRAME)
    verdict = validate(summarise(frame, about="s"), columns_of(frame), SCHEMA, about="s", now=NOW)
    unchecked = {finding.subject for finding in verdict.findings if finding.check == "not_checked"}
    assert {"code", "twice", "parts, w"} <= unchecked
    assert all(finding.check == "not_checked" for finding in verdict.findings if not finding.passed)


def test_skew_is_told_by_the_check() -> None:
    assert skew(Finding(check="kind", passed=False, message="")) == "schema"
    assert skew(Finding(check="range", passed=False, message="")) == "value"
