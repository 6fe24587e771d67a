"""Decimal numbers, which come as text -> floats where these say the same."""

from __future__ import annotations

from typing import Any

import polars as pl

# Any decimal number of so many digits is the same again after it was a 64-bit float (IEEE 754).
_DIGITS = 15


def fits(numbers: pl.Series) -> bool:
    """Whether each number, written in decimal digits, is a 64-bit float without a loss."""
    text: Any = numbers.drop_nulls()
    special = text.is_in(["NaN", "Infinity", "-Infinity", "inf", "-inf"])
    plain = text.filter(~special)
    digits = plain.str.replace(r"[eE].*$", "").str.replace_all(r"[-+.]", "").str.strip_chars_start("0")
    # Zeros at the end count for nothing either, whether there is a point before them or not.
    digits = digits.str.strip_chars_end("0")
    return bool((digits.str.len_bytes() <= _DIGITS).all()) if len(digits) else True


def floats(numbers: pl.Series) -> pl.Series:
    text: Any = numbers
    return text.replace({"Infinity": "inf", "-Infinity": "-inf"}).cast(pl.Float64)
