"""One text, two compilers: the Polars expression and the Python function agree on every row."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.errors import BadInput
from everloop.core.rules.expression import parse
from everloop.core.rules.python import function
from everloop.core.tables import Kind
from everloop.data.validate.expressions import expression

KINDS: dict[str, Kind] = {
    "i": "int",
    "j": "int",
    "x": "float",
    "y": "float",
    "b": "bool",
    "s": "text",
    "t": "time",
    "u": "time",
    "blob": "bytes",
}
DTYPES: dict[str, Any] = {
    "i": pl.Int64(),
    "j": pl.Int64(),
    "x": pl.Float64(),
    "y": pl.Float64(),
    "b": pl.Boolean(),
    "s": pl.String(),
    "t": pl.Datetime("us"),
    "u": pl.Datetime("us"),
}
NAMES = list(DTYPES)

INTS = st.integers(-10, 10) | st.sampled_from([0, 2**63 - 1, -(2**63), 2**53 + 1, 10**18])
FLOATS = st.floats(-1e3, 1e3) | st.sampled_from([0.0, -0.0, float("nan"), float("inf"), float("-inf"), 1e308, 0.5, float(2**53)])
TEXTS = st.text("ab1 \n\u00e9\u200a\u00df", max_size=4)
TIMES = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))
ROWS = st.tuples(
    st.none() | INTS,
    st.none() | INTS,
    st.none() | FLOATS,
    st.none() | FLOATS,
    st.none() | st.booleans(),
    st.none() | TEXTS,
    st.none() | TIMES,
    st.none() | TIMES,
)


def literal(value: object) -> str:
    if isinstance(value, float) and value != value:
        return "0.5"
    return {"inf": "1e300", "-inf": "-1e300"}.get(str(value), repr(value))


NUMBERS = st.deferred(
    lambda: (
        st.sampled_from(['pl.col("i")', 'pl.col("j")', 'pl.col("x")', 'pl.col("y")'])
        | INTS.map(literal)
        | FLOATS.map(literal)
        | st.tuples(NUMBERS, st.sampled_from(["+", "-", "*", "/", "//", "%"]), NUMBERS).map(lambda p: f"({p[0]} {p[1]} {p[2]})")
        | NUMBERS.map(lambda n: f"(-({n}))")
        | NUMBERS.map(lambda n: f"({n}).abs()")
        | st.tuples(NUMBERS, NUMBERS).map(lambda p: f"({p[0]}).fill_null({p[1]})")
        | TEXT_EXPRESSIONS.map(lambda t: f"{t}.str.len_chars()")
        | st.tuples(TIME_EXPRESSIONS, st.sampled_from(["year", "month", "day", "hour", "minute", "second", "weekday"])).map(
            lambda p: f"{p[0]}.dt.{p[1]}()"
        )
        | st.tuples(TIME_EXPRESSIONS, TIME_EXPRESSIONS, st.sampled_from(["days", "hours", "minutes", "seconds"])).map(
            lambda p: f"({p[0]} - {p[1]}).dt.total_{p[2]}()"
        )
    )
)
TEXT_EXPRESSIONS = st.sampled_from(['pl.col("s")', 'pl.col("s").str.strip_chars()', 'pl.col("s").fill_null("a b")'])
TIME_EXPRESSIONS = st.sampled_from(['pl.col("t")', 'pl.col("u")', "pl.datetime(2000, 2, 29, 12)"])
COMPARED = ["==", "!=", "<", "<=", ">", ">="]
CONDITIONS = st.deferred(
    lambda: (
        st.sampled_from(['pl.col("b")', "True", "False", "pl.lit(True)"])
        | st.tuples(NUMBERS, st.sampled_from(COMPARED), NUMBERS).map(lambda p: f"({p[0]} {p[1]} {p[2]})")
        | st.tuples(TEXT_EXPRESSIONS, st.sampled_from(COMPARED), TEXTS.map(repr)).map(lambda p: f"({p[0]} {p[1]} {p[2]})")
        | st.tuples(TIME_EXPRESSIONS, st.sampled_from(COMPARED), TIME_EXPRESSIONS).map(lambda p: f"({p[0]} {p[1]} {p[2]})")
        | st.tuples(NUMBERS, NUMBERS, NUMBERS, st.sampled_from(["both", "left", "right", "none"])).map(
            lambda p: f'({p[0]}).is_between({p[1]}, {p[2]}, closed="{p[3]}")'
        )
        | st.tuples(NUMBERS, st.lists(INTS.map(literal) | FLOATS.map(literal), min_size=1, max_size=3)).map(
            lambda p: f"({p[0]}).is_in([{', '.join(p[1])}])"
        )
        | st.tuples(TEXT_EXPRESSIONS, st.lists(TEXTS.map(repr), min_size=1, max_size=3)).map(lambda p: f"{p[0]}.is_in([{', '.join(p[1])}])")
        | st.tuples(TEXT_EXPRESSIONS, st.sampled_from(["starts_with", "ends_with"]), TEXTS.map(repr)).map(
            lambda p: f"{p[0]}.str.{p[1]}({p[2]})"
        )
        | st.tuples(TEXT_EXPRESSIONS, st.sampled_from([r"'a+b?'", r"'^[ab]'", r"r'\s$'", r"r'\w\b'", "'.'", "'a', literal=True"])).map(
            lambda p: f"{p[0]}.str.contains({p[1]})"
        )
        | st.tuples(TIME_EXPRESSIONS, TIME_EXPRESSIONS, st.sampled_from(COMPARED), st.integers(-9, 9)).map(
            lambda p: f"({p[0]} - {p[1]} {p[2]} pl.duration(days={p[3]}, hours=5))"
        )
        | st.tuples(NUMBERS | TEXT_EXPRESSIONS | TIME_EXPRESSIONS, st.sampled_from(["is_null", "is_not_null"])).map(
            lambda p: f"({p[0]}).{p[1]}()"
        )
        | st.tuples(CONDITIONS, st.sampled_from(["&", "|", "==", "!="]), CONDITIONS).map(lambda p: f"({p[0]} {p[1]} {p[2]})")
        | CONDITIONS.map(lambda c: f"~({c})")
    )
)


def both(text: str, rows: list[tuple[Any, ...]]) -> tuple[list[bool | None], list[bool | None]]:
    # A rule must name a column; what is generated need not: and with what is always true it stays what it is.
    node = parse(f'({text}) & (pl.col("b").is_null() | pl.col("b").is_not_null())', KINDS)
    frame = pl.DataFrame(rows, schema=DTYPES, orient="row")
    table = frame.with_columns(expression(node, DTYPES).alias("r"))["r"].to_list()
    python = function(node, {name: at for at, name in enumerate(NAMES)})
    return table, [python(row) for row in rows]


@settings(max_examples=150, deadline=None, report_multiple_bugs=False)
@given(CONDITIONS, st.lists(ROWS, min_size=1, max_size=5))
def test_both_compilations_agree(text: str, rows: list[tuple[Any, ...]]) -> None:
    table, python = both(text, rows)
    assert table == python


@pytest.mark.parametrize(
    ("text", "row", "answer"),
    [
        ('pl.col("i") + pl.col("j") == 5', {"i": 2, "j": 3}, True),
        ('pl.col("i") + pl.col("j") == 5', {"i": 2}, None),
        ('(pl.col("i") + pl.col("j") == 5) | pl.col("i").is_not_null()', {"i": 2}, True),
        ('(pl.col("i") > 1) & (pl.col("j") > 1)', {"i": 0}, False),
        ('(pl.col("i") > 1) & (pl.col("j") > 1)', {"i": 2}, None),
        ('(pl.col("i") > 1) | (pl.col("j") > 1)', {"i": 0}, None),
        ('(pl.col("i") > 1) | (pl.col("j") > 1)', {"i": 2}, True),
        ('~(pl.col("i") > 1)', {}, None),
        ('pl.col("i") / pl.col("j") > 1', {"i": 2, "j": 0}, None),
        ('pl.col("i") // 2 == -2', {"i": -3}, True),
        ('pl.col("i") % 4 == 1', {"i": -3}, True),
        ('pl.col("x") > 1', {"x": float("nan")}, None),
        ('pl.col("x").is_null()', {"x": float("inf")}, True),
        ('pl.col("x") * 10 < 1', {"x": 1e308}, None),
        ('pl.col("i") + 1 < 0', {"i": 2**63 - 1}, True),
        ('pl.col("s").str.contains("^a+$")', {"s": "aa"}, True),
        ('pl.col("s").str.contains("^a+$")', {"s": "aa\n"}, False),
        ('pl.col("t").dt.weekday() == 3', {"t": datetime(2026, 7, 1)}, True),
        ('pl.col("u") - pl.col("t") <= pl.duration(days=1)', {"t": datetime(2026, 7, 1), "u": datetime(2026, 7, 3)}, False),
        ('pl.col("t") >= pl.date(2026, 7, 1)', {"t": datetime(2026, 7, 1)}, True),
        ('pl.col("i").is_between(1, 3, closed="left")', {"i": 3}, False),
    ],
)
def test_what_a_rule_means(text: str, row: dict[str, Any], answer: bool | None) -> None:
    values = tuple(row.get(name) for name in NAMES)
    assert both(text, [values]) == ([answer], [answer])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('pl.col("i") > 1 & pl.col("j") > 2', "character 1: a chain of comparisons does not work on columns; & and | bind tighter"),
        ('1 < pl.col("i") < 3', "write .is_between(low, high)"),
        ('(pl.col("i") > 1) and (pl.col("j") > 1)', "character 1: 'and' does not work on columns; write (…) & (…)"),
        ('~pl.col("i")', "~ works on true or false, and this is a whole number"),
        ('not pl.col("b")', "write ~(…)"),
        ('pl.col("i").rolling_mean(3) > 1', "character 1: .rolling_mean() is not supported."),
        (
            '(pl.col("i") > 1) & pl.col("s").str.startswith("a")',
            "character 21: .str.startswith() is not supported. Did you mean 'str.starts_with'?",
        ),
        ('pl.col("i").sum() > 1', ".sum() is not supported"),
        ('pl.col("k") > 1', "character 1: column 'k' is not in the schema"),
        ('pl.col("bolb").is_null()', "Did you mean 'blob'?"),
        ('pl.col("blob").is_null()', "column 'blob' is bytes"),
        ('pl.col("i")', "a rule is true or false for a row, and this one is a whole number"),
        ('pl.col("i") == "a"', "== compares a whole number with a text"),
        ('pl.col("s") + 1 == 2', "+ works on a whole number or a number, and this is a text"),
        ('pl.col("i") == None', "ask .is_null()"),
        ('pl.col("i") in [1, 2]', "write .is_in([…])"),
        ("i > 1", "character 1: 'i' means nothing here; a column is pl.col('i')"),
        ('__import__("os").system("true")', ".system() is not supported"),
        ('pl.read_csv("x") == 1', "pl.read_csv() is not supported"),
        ('pl.col("s").__class__ == 1', "is not supported"),
        ("(lambda: True)()", "cannot be called here"),
        ('[x for x in "a"]', "is not supported"),
        ('pl.col("i") ** 2 > 1', "the operator in"),
        ('pl.col("i") >', "invalid syntax"),
        ("", "invalid syntax"),
        ('pl.col("s").str.contains("(?i)a")', "is not supported: groups are"),
        ('pl.col("s").str.contains("(a+)+")', "can take for ever"),
        ('pl.date(2026, 2, 30) == pl.col("t")', "day"),
        ('pl.col("i").is_in([pl.col("j")])', ".is_in() takes plain values"),
        ('pl.col("i") == 9223372036854775808', "is no number"),
        ('pl.col("i") == 1e999', "is no number"),
        ("(" * 300 + "True" + ")" * 300, "nested"),
        ("~" * 80 + "True", "nested more than 50 deep"),
        ('pl.col("é").is_null() & pl.col("zzz").is_null()', "character 1: column 'é'"),
        ('(pl.col("s") == "ééé") & (pl.col("zz") == 1)', "character 27: column 'zz'"),
        ("True | " * 400 + "True", "is too long"),
        ("True", "a rule looks at a column, and this one names none"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse(text, KINDS)
    assert message in str(caught.value)
