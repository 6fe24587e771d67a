"""Texts -> the shapes they have."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

SHOWN = 10
LEAST_SHARE = 0.01
# More different shapes than this among a sample are better told apart without how long each run is.
PLAIN = 20
# A shape is read at a glance or not at all.
CHARACTERS = 64

_RUN = re.compile(r"([Aa9])\1+")


class _Classes(dict[int, str]):
    """A character's class: A upper case, a any other letter, 9 digit; all else stands for itself."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        self[code] = "9" if char.isdecimal() else "A" if char.isupper() else "a" if char.isalpha() else char
        return self[code]


_CLASSES = _Classes()


def shape(text: str) -> str:
    """`AB-1234` has the shape `AA-9999`. Longer texts end in an ellipsis."""
    return text[:CHARACTERS].translate(_CLASSES) + ("…" if len(text) > CHARACTERS else "")


def patterns(sample: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """The commonest shapes and their shares of the sample, falling. Where there are many, runs of letters or digits of any length
    are one: `a+@a+.a+`."""
    shapes = [shape(text) for text in sample]
    if len(set(shapes)) > PLAIN:
        shapes = [_RUN.sub(r"\1+", found) for found in shapes]
    counted = sorted(Counter(shapes).items(), key=lambda item: (-item[1], item[0]))[:SHOWN]
    return tuple((found, round(count / len(shapes), 4)) for found, count in counted if count >= LEAST_SHARE * len(shapes))
