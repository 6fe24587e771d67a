"""Requests are decoded by the signature: what fits comes out as it went in, all else is refused in a sentence that names the place."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stand import ROW, TINY

from everloop.core.errors import BadInput
from everloop.core.models import Signature
from everloop.core.tables import Column
from everloop.serve.decode import RowDecoder
from everloop.serve.errors import Malformed, TooLarge, status_of
from everloop.serve.frame import Framer, to_plain

decoder = RowDecoder(TINY)
ALL = Signature(
    inputs=(
        Column("i", "int"),
        Column("f.g [h]", "float"),
        Column("b", "bool"),
        Column("s", "text"),
        Column("t", "time"),
        Column("y", "bytes"),
        Column("l", "list"),
    ),
    output=Column("o", "float"),
    task="regression",
)
everything = RowDecoder(ALL)

floats = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]))
tables = st.lists(
    st.fixed_dictionaries(
        {
            "i": st.none() | st.integers(-(2**63), 2**63 - 1),
            "f.g [h]": st.none() | floats | st.integers(-(2**70), 2**70),
            "b": st.none() | st.booleans(),
            "s": st.none() | texts,
            "t": st.none() | st.datetimes().map(lambda moment: moment.isoformat()) | st.dates().map(lambda day: day.isoformat()),
            "y": st.none() | st.binary().map(to_plain),
            "l": st.none() | st.lists(floats | st.integers(-(2**53), 2**53)),
        }
    ),
    min_size=1,
    max_size=4,
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | floats | texts, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=20
)


@settings(max_examples=50, deadline=None)
@given(tables, st.booleans())
def test_rows_that_fit_come_out_as_they_went_in(rows: list[dict[str, Any]], bare: bool) -> None:
    decoded = everything.decode(json.dumps(rows if bare else {"rows": rows}).encode(), limit=10)
    for row, plain in zip(rows, decoded, strict=True):
        for column, value in zip(ALL.inputs, plain, strict=True):
            expected = float(row[column.name]) if column.kind == "float" and row[column.name] is not None else row[column.name]
            assert (json.loads(str(value)) if column.kind == "list" and value is not None else value) == expected
    assert Framer(ALL)(decoded).height == len(rows)


@settings(deadline=None)
@given(
    anything
    | st.fixed_dictionaries({"rows": anything})
    | st.fixed_dictionaries({"rows": st.lists(st.dictionaries(st.sampled_from([*ROW, "x9"]), anything))})
)
@example({"rows": []})
@example([None])
@example({"rows": [{**ROW, "n": 2**63}]})
@example({"rows": [{**ROW, "x0": 10**400}]})
@example({"rows": [{**ROW, "colour": "\ud800"}]})
def test_any_json_is_decoded_or_refused_in_a_sentence(value: Any) -> None:
    try:
        rows = decoder.decode(json.dumps(value).encode(), limit=10)
    except BadInput as error:
        refusal = error
    else:
        assert all(len(row) == len(TINY.inputs) for row in rows)
        return
    assert status_of(refusal) in {400, 413, 422}
    assert len(str(refusal)) > 10


@settings(deadline=None)
@given(st.binary() | st.tuples(st.binary(max_size=3), st.just(json.dumps([ROW]).encode()), st.binary(max_size=3)).map(b"".join))
def test_any_bytes_are_decoded_or_refused_in_a_sentence(body: bytes) -> None:
    try:
        decoder.decode(body, limit=10)
    except BadInput as error:
        refusal = error
    else:
        return
    assert status_of(refusal) in {400, 422}


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"x0": 1.0, "x1": 1.0, "colour": "red"}, "row 1: feature 'n' is missing (int expected)"),
        ({**ROW, "n": "2"}, "row 1: feature 'n' is \"2\" (text); int expected"),
        ({**ROW, "n": 2.5}, "row 1: feature 'n' is 2.5 (float); int expected"),
        ({**ROW, "n": True}, "row 1: feature 'n' is true (bool); int expected"),
        ({**ROW, "n": 2**63}, "row 1: feature 'n' is 9223372036854775808 (int); int of 64 bits expected"),
        ({**ROW, "x0": False}, "row 1: feature 'x0' is false (bool); float expected"),
        ({**ROW, "colour": 7}, "row 1: feature 'colour' is 7 (int); text expected"),
        ({**ROW, "color": "red"}, "row 1: 'color' is not a feature of this model. Did you mean 'colour'?"),
        ([1, 2], "row 1: is a list; an object with a value for each feature is expected."),
    ],
)
def test_the_first_fault_is_named_with_row_feature_and_what_was_expected(row: Any, sentence: str) -> None:
    with pytest.raises(BadInput) as caught:
        decoder.decode(json.dumps({"rows": [ROW, row]}).encode(), limit=10)
    assert str(caught.value) == sentence
    assert status_of(caught.value) == 422


def test_values_of_richer_kinds_are_checked_when_they_arrive() -> None:
    good = {"i": 1, "f.g [h]": 1, "b": True, "s": "", "t": "2026-11-20T10:00:00+02:00", "y": "AAE=", "l": [1, 2.5, None]}
    rows = everything.decode(json.dumps([good]).encode(), limit=1)
    frame = Framer(ALL)(rows)
    assert frame["t"].dt.to_string("%H:%M").to_list() == ["08:00"]
    assert frame["y"].to_list() == [b"\x00\x01"]
    for name, value in {"t": "tomorrow", "y": "*", "l": [1, "a"]}.items():
        with pytest.raises(BadInput, match=f"row 0: feature '{name}' is .* expected"):
            everything.decode(json.dumps([{**good, name: value}]).encode(), limit=1)


def test_null_is_a_missing_value_and_an_int_a_float() -> None:
    assert decoder.decode(b'[{"x0": null, "x1": 3, "n": null, "colour": null}]', limit=1) == [(None, 3.0, None, None)]


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_json_is_malformed_and_says_what_to_send_instead(text: str) -> None:
    with pytest.raises(Malformed, match="send null for a missing value"):
        decoder.decode(json.dumps([ROW]).replace("1.5", text).encode(), limit=1)


def test_an_overlong_number_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match="x0"):
        decoder.decode(json.dumps([ROW]).replace("1.5", "1e999").encode(), limit=1)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(BadInput):
        decoder.decode(b'[{"x0":' + b"[" * 200_000, limit=1)


def test_more_rows_than_the_limit_are_too_large_and_none_are_none() -> None:
    assert len(decoder.decode(msgspec.json.encode([ROW] * 3), limit=3)) == 3
    with pytest.raises(TooLarge, match="4 rows"):
        decoder.decode(msgspec.json.encode([ROW] * 4), limit=3)
    with pytest.raises(BadInput, match="at least one row"):
        decoder.decode(b"[]", limit=3)
