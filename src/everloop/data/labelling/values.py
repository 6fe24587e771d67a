"""What a person may answer in a queue, and how an answer is written."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from everloop.core.errors import BadInput, unknown
from everloop.core.labelling import Queue, Value
from everloop.core.tables import Kind as ColumnKind

MAX_TEXT = 100_000
MAX_CHOICES = 200
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


def text_of(value: Value) -> str:
    """A value as people read it, and as forms send it: two choices of a queue never look the same."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def check(queue: Queue, given: object) -> Value:
    """The answer as the queue keeps it: a choice as it stands in the vocabulary, a finite number, or text without blanks around it.

    BadInput for anything else, with the closest choice.
    """
    match queue.kind:
        case "choice":
            for choice in queue.choices:
                if _is_same(choice, given):
                    return choice
            raise BadInput(str(unknown(f"In queue {queue.name!r} label", _shown(given), [text_of(choice) for choice in queue.choices])))
        case "number":
            number = _number(given)
            if number is None:
                raise BadInput(f"Queue {queue.name!r} asks for a finite number, not {_shown(given)!r}. Write it like 12 or 0.5.")
            return number
        case "text":
            if not isinstance(given, str) or not given.strip():
                raise BadInput(f"Queue {queue.name!r} asks for a text, not {_shown(given)!r}. Write one, or skip the row.")
            if len(given) > MAX_TEXT:
                raise BadInput(f"The text has {len(given):,} characters; queue {queue.name!r} takes up to {MAX_TEXT:,}. Shorten it.")
            # Half a surrogate pair, which JSON can hold, is in no table.
            return given.strip().encode(errors="replace").decode()


def vocabulary(words: Sequence[str], column: ColumnKind | None) -> tuple[Value, ...]:
    """Choices as a person types them -> values of the target column's kind; where there is no such column, integers if all look so, else text.

    BadInput when there are none or too many, two look alike, or one is not of the column's kind.
    """
    plain = [word.strip() for word in words]
    if not 0 < len(plain) <= MAX_CHOICES or "" in plain:
        raise BadInput(f"A queue of choices needs 1 to {MAX_CHOICES} of them, none empty; got {len(plain)}: {', '.join(plain[:10])!r}.")
    twice = sorted({word for word in plain if plain.count(word) > 1})
    if twice:
        raise BadInput(f"The choice {twice[0]!r} is given twice. Each must differ from the others.")
    if column is None:
        column = "int" if all(_integer(word) is not None for word in plain) else "text"
    found = [_as_kind(word, column) for word in plain]
    wrong = [word for word, value in zip(plain, found, strict=True) if value is None]
    if wrong:
        raise BadInput(f"The choice {wrong[0]!r} is not {column}, which the target column is. Name choices as they stand in the data.")
    return tuple(value for value in found if value is not None)


def _is_same(choice: Value, given: object) -> bool:
    if isinstance(given, str):
        return text_of(choice) == given.strip()
    return isinstance(given, bool) is isinstance(choice, bool) and choice == given


def _number(given: object) -> float | int | None:
    if isinstance(given, str):
        word = given.strip()
        whole = _integer(word)
        given = whole if whole is not None else float(word) if _NUMBER.fullmatch(word) else None
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    return given if math.isfinite(given) and abs(given) <= 2**63 - 1 else None


def _integer(word: str) -> int | None:
    digits = word.removeprefix("-")
    number = int(word) if digits.isascii() and digits.isdecimal() and len(digits) <= 18 else None
    return number if number is not None and str(number) == word else None


def _as_kind(word: str, kind: ColumnKind) -> Value | None:
    match kind:
        case "int":
            return _integer(word)
        case "float":
            # 1 stays 1, as it was typed and as pages show it; it becomes 1.0 where it is put into the column.
            return _number(word)
        case "bool":
            return {"true": True, "false": False}.get(word.lower())
        case "text":
            return word
        case _:
            return None


def _shown(given: object) -> str:
    text = text_of(given) if isinstance(given, bool | int | float | str) else repr(given)
    return text if len(text) <= 60 else f"{text[:60]}…"
