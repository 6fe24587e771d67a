"""One pattern, two engines: Python's `re` and Polars' Rust say the same of every text."""

from __future__ import annotations

import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.errors import BadInput
from everloop.core.rules.patterns import Pattern, pattern

TEXTS = st.text("ab1_-. \n\té²\u0301\x1cAZ", max_size=6)
ATOMS = st.sampled_from(
    [
        r"a",
        r"b",
        r".",
        r"\d",
        r"\w",
        r"\s",
        r"\D",
        r"\W",
        r"\S",
        r"[ab]",
        r"[^a]",
        r"[a-b1]",
        r"[\d_-]",
        r"[^\w]",
        r"\.",
        r"\n",
        r"\x61",
        r"\u00e9",
        "é",
        "-",
        r"[\]a]",
    ]
)
PATTERNS = st.deferred(
    lambda: (
        ATOMS
        | st.tuples(ATOMS, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{0,}", "*?", "??"])).map("".join)
        | st.tuples(PATTERNS, PATTERNS).map("".join)
        | st.tuples(PATTERNS, PATTERNS).map(lambda p: f"(?:{p[0]}|{p[1]})")
        | PATTERNS.map(lambda p: f"({p}){{1,2}}")
        | PATTERNS.map(lambda p: rf"^{p}$")
        | PATTERNS.map(lambda p: rf"\b{p}")
    )
)


def read(text: str) -> Pattern | None:
    """None where it may explode: a generated pattern may, and is rightly refused."""
    try:
        return pattern(text)
    except BadInput as error:
        if "for ever" not in str(error):
            raise
        return None


@settings(max_examples=200, deadline=None)
@given(PATTERNS, st.lists(TEXTS, min_size=1, max_size=8))
def test_both_engines_agree(text: str, values: list[str]) -> None:
    found = read(text)
    if found is None:
        return
    frame = pl.DataFrame({"v": values})
    whole, part = frame.select(pl.col("v").str.contains(found.whole).alias("w"), pl.col("v").str.contains(found.rust).alias("p"))
    assert whole.to_list() == [bool(found.fullmatch()(value)) for value in values]
    assert part.to_list() == [bool(found.search()(value)) for value in values]


@pytest.mark.parametrize(
    ("text", "fits", "fails"),
    [
        (r"[0-9]{4}-[A-Z]{5}", ["1234-ABCDE"], ["1234-ABCDEF", "1234-abcde", "1234-ABCDE\n"]),
        (r"\d+", ["12"], ["१२", ""]),
        (r"\w+@\w+\.(com|org)", ["a@b.com"], ["a@b.net", "é@b.com"]),
        (r"^a$|^b$", ["a", "b"], ["ab"]),
        (r"(?P<year>\d{4})-\d\d", ["2026-07"], ["2026-7"]),
        (r"\{\}", ["{}"], ["{"]),
        (r".{2}", ["ab"], ["a\n"]),
    ],
)
def test_the_whole_text_must_match(text: str, fits: list[str], fails: list[str]) -> None:
    found = pattern(text)
    assert [bool(found.fullmatch()(value)) for value in [*fits, *fails]] == [True] * len(fits) + [False] * len(fails)
    assert pl.Series([*fits, *fails]).str.contains(found.whole).to_list() == [True] * len(fits) + [False] * len(fails)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (r"(?i)a", "character 2: '(?i)' is not supported"),
        (r"a(?=b)", "without look-around and flags"),
        (r"(a)\1", r"character 4: '\1' is not supported"),
        (r"\p{L}", r"'\p' is not supported; write the characters as [A-Za-z…]"),
        (r"\Aa", "use ^"),
        (r"a++", "possessive repetition is not supported"),
        (r"a**", "repeats a repetition"),
        (r"*a", "character 1: '*' repeats nothing"),
        (r"a{,3}", "write {0,3}"),
        (r"a{3,2}", "the wrong way round"),
        (r"a{2000}", "more often than 1000 times"),
        (r"a{x}", r"a brace itself is written \{"),
        (r"[a", "character 1: '[' is not closed"),
        (r"[b-a]", "goes from a character to a later one"),
        (r"[[:alpha:]]", "means different things to different engines"),
        (r"[a&&b]", "means different things to different engines"),
        (r"(a", "a group is not closed"),
        (r"a)", "character 2: ')' closes nothing"),
        (r"\x6", "hexadecimal digits"),
        (r"\ud800", "hexadecimal digits"),
        ("\\", "is not supported"),
        (r"^*", "repeats a place"),
        ("a" * 1001, "is too long"),
        ("(" * 60 + "a" + ")" * 60, "nested too deeply"),
    ],
)
def test_what_only_one_engine_knows_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        pattern(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text", [r"(a+)+", r"(a*)*b", r"(a|a)*", r"(\w+\s?)*$", r"(a|ab|b)*c", r"(.*)*x", r"(\w{1,3}){1,9}", r"((a|a){10}){3}", r"(x+x+)+y"]
)
def test_a_pattern_that_explodes_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="can take for ever"):
        pattern(text)


@pytest.mark.parametrize(
    "text", [r"([a-z]+-)*[a-z]+", r"(\d{1,3}\.){3}\d{1,3}", r"[\w.+-]+@[\w-]+\.[\w.-]+", r"(\d{3}){2}", r"(a|b)*", r"(\w+,)*\w+"]
)
def test_a_pattern_that_does_not_explode_is_taken_and_quick(text: str) -> None:
    found = pattern(text)
    assert re.compile(found.python)
    # An engine that tries every way to cut this text would never come back.
    assert not found.fullmatch()("a-b.1," * 2000 + "!")
