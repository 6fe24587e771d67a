"""Digests: equal content, equal digest; different content, different digest."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.core.digest import digest

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def typed(value: Any) -> Any:
    """`value` with every type spelled out, so that Python's own == tells 1, 1.0 and True apart."""
    if isinstance(value, dict):
        return ("dict", frozenset((key, typed(item)) for key, item in value.items()))
    if isinstance(value, list | tuple):
        return ("list", tuple(typed(item) for item in value))
    return (type(value).__name__, value)


@given(plain, plain)
def test_digests_are_equal_exactly_when_values_are(left: Any, right: Any) -> None:
    assert (digest(left) == digest(right)) == (typed(left) == typed(right))


@given(st.text(), st.text(), st.text())
def test_fields_do_not_run_together(a: str, b: str, c: str) -> None:
    if (a, b + c) != (a + b, c):
        assert digest(a, b + c) != digest(a + b, c)


def test_types_are_told_apart() -> None:
    assert len({digest(value) for value in (1, 1.0, True, "1", b"1", [1], {"1": 1}, None)}) == 8


def test_order_of_keys_and_members_does_not_matter() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({3, 1, 2}) == digest({2, 3, 1})


def test_floats_follow_equality() -> None:
    assert digest(0.0) == digest(-0.0)
    assert digest(float("nan")) == digest(-float("nan"))


def test_a_struct_is_its_type_and_fields() -> None:
    left = msgspec.defstruct("Left", [("a", int)])
    right = msgspec.defstruct("Right", [("a", int)])
    assert digest(left(1)) == digest(left(1)) != digest(left(2))
    assert digest(left(1)) != digest(right(1)) != digest({"a": 1})


@pytest.mark.parametrize("value", [object(), lambda: 0, {1: 2}, iter([1])])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        digest(value)


def test_the_digest_is_the_same_in_another_process() -> None:
    code = "from everloop.core.digest import digest; print(digest({'a': [1, 2.5, None], 's': {'x', 'y', 'z'}}))"
    answers = {
        subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True).stdout
        for seed in ("1", "2", "3")
    }
    assert len(answers) == 1
