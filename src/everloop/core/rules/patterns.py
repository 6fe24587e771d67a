r"""Regular expressions that Python's `re` and Polars' Rust engine read the same way.

The two differ where it is easily overlooked: what `\w` and `\d` cover, `$` before a last newline, look-arounds, back-references. A pattern is
therefore read here and written anew for each engine, from pieces that mean the same in both: `\d`, `\w`, `\s` and `\b` are those of ASCII, `^` and
`$` the very ends of the text. What only one of them knows is refused by name. A pattern on which `re` could take exponential time is refused too: the
row check of a server reads what strangers send.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NoReturn

from everloop.core.errors import BadInput
from everloop.core.rules.ambiguity import Chars, Tree, explodes, outside

MAX_CHARACTERS = 1000
MAX_REPEAT = 1000
_TOP = 0x10FFFF

_CLASSES: dict[str, Chars] = {
    "d": ((48, 57),),
    "w": ((48, 57), (65, 90), (95, 95), (97, 122)),
    "s": ((9, 13), (32, 32)),
}
_CONTROLS = {"n": 10, "r": 13, "t": 9, "f": 12, "v": 11, "a": 7}
_HEX = {"x": 2, "u": 4, "U": 8}


@dataclass(frozen=True, slots=True)
class Pattern:
    """One regular expression in the words of both engines."""

    text: str
    python: str
    rust: str

    @property
    def whole(self) -> str:
        """For Rust: the whole text must match."""
        return rf"\A(?:{self.rust})\z"

    def fullmatch(self) -> Callable[[str], object]:
        """For Python: the same. The answer's truth says whether it does."""
        return re.compile(self.python, re.ASCII).fullmatch

    def search(self) -> Callable[[str], object]:
        """For Python: a part of the text matches."""
        return re.compile(self.python, re.ASCII).search


@lru_cache(maxsize=512)
def pattern(text: str) -> Pattern:
    """Read and translate. BadInput says at which character what is not understood."""
    reader = _Reader(text)
    tree, python, rust = reader.read()
    if explodes(tree):
        raise BadInput(
            f"The pattern {text!r} can take for ever on some texts: it repeats a part that itself repeats, and a text can be cut into such parts in many "
            "ways. Write it so that each repetition begins or ends with a character of its own, such as ([a-z]+-)*[a-z]+"
        )
    try:
        re.compile(python, re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise BadInput(f"The pattern {text!r} is not valid: {error}") from error
    return Pattern(text, python, rust)


@dataclass(slots=True)
class _Part:
    """A piece in three forms."""

    tree: Tree
    python: str
    rust: str
    repeats: bool = True


@dataclass(slots=True)
class _Reader:
    text: str
    at: int = 0
    depth: int = field(default=0)

    def read(self) -> tuple[Tree, str, str]:
        if len(self.text) > MAX_CHARACTERS:
            raise BadInput(f"A pattern of {len(self.text):,} characters is too long; up to {MAX_CHARACTERS:,} are read.")
        whole = self._alternatives()
        if self.at < len(self.text):
            self._refuse("')' closes nothing")
        return whole.tree, whole.python, whole.rust

    def _alternatives(self) -> _Part:
        branches = [self._sequence()]
        while self._peek() == "|":
            self.at += 1
            branches.append(self._sequence())
        if len(branches) == 1:
            return branches[0]
        return _Part(("or", tuple(b.tree for b in branches)), "|".join(b.python for b in branches), "|".join(b.rust for b in branches))

    def _sequence(self) -> _Part:
        parts: list[_Part] = []
        while (char := self._peek()) and char not in "|)":
            part = self._atom(char)
            parts.append(self._repeated(part))
        return _Part(("then", tuple(p.tree for p in parts)), "".join(p.python for p in parts), "".join(p.rust for p in parts))

    def _atom(self, char: str) -> _Part:
        if char in "*+?":
            self._refuse(f"{char!r} repeats nothing")
        if char == "{":
            self._refuse(r"'{' repeats nothing; a brace itself is written \{")
        self.at += 1
        match char:
            case "(":
                return self._group()
            case "[":
                return _chars(self._bracket())
            case ".":
                return _Part(("chars", outside(((10, 10),))), r"[^\n]", r"[^\n]")
            case "^":
                return _Part(("then", ()), r"\A", r"\A", repeats=False)
            case "$":
                return _Part(("then", ()), r"\Z", r"\z", repeats=False)
            case "\\":
                return self._escaped()
            case _:
                return _chars(((ord(char), ord(char)),))

    def _group(self) -> _Part:
        if self._peek() == "?":
            named = re.compile(r"\?(:|P<[A-Za-z_]\w*>)", re.ASCII).match(self.text, self.at)
            if named is None:
                found = self.text[self.at - 1 : self.at + 3]
                self._refuse(f"{found!r} is not supported: groups are (...), (?:...) or (?P<name>...), without look-around and flags")
            self.at = named.end()
        self.depth += 1
        if self.depth > 50:
            self._refuse("groups are nested too deeply")
        inside = self._alternatives()
        self.depth -= 1
        if self._peek() != ")":
            self._refuse("a group is not closed")
        self.at += 1
        return _Part(inside.tree, f"(?:{inside.python})", f"(?:{inside.rust})")

    def _repeated(self, part: _Part) -> _Part:
        found = re.compile(r"[*+?]|\{(\d*)(,?)(\d*)\}", re.ASCII).match(self.text, self.at)
        if found is None:
            if self._peek() == "{":
                self._refuse(r"'{' begins no repetition such as {2} or {2,5}; a brace itself is written \{")
            return part
        if not part.repeats:
            self._refuse(f"{found.group()!r} repeats a place, not a character")
        low, high = self._bounds(found)
        self.at = found.end()
        lazy = ""
        if self._peek() == "?":
            self.at += 1
            lazy = "?"
        if (after := self._peek()) and after in "+*?{":
            self._refuse(
                f"{after!r} repeats a repetition; put it into a group" if after != "+" else "possessive repetition is not supported"
            )
        times = {"*": "*", "+": "+", "?": "?"}.get(
            found.group(), f"{{{low}}}" if low == high else f"{{{low},{'' if high is None else high}}}"
        )
        return _Part(("times", part.tree, low, high), f"{part.python}{times}{lazy}", f"{part.rust}{times}{lazy}")

    def _bounds(self, found: re.Match[str]) -> tuple[int, int | None]:
        if found.group() in "*+?":
            return (1 if found.group() == "+" else 0), (1 if found.group() == "?" else None)
        first, comma, last = found.groups()
        if not first:
            self._refuse(f"{found.group()!r} has no lower bound; write {{0,{last or 1}}}")
        low = int(first)
        high = (int(last) if last else None) if comma else low
        if high is not None and high < low:
            self._refuse(f"{found.group()!r} has its bounds the wrong way round")
        if max(low, high or 0) > MAX_REPEAT:
            self._refuse(f"{found.group()!r} repeats more often than {MAX_REPEAT} times")
        return low, high

    def _escaped(self) -> _Part:
        start = self.at - 1
        char = self._peek()
        if char == "b":
            self.at += 1
            return _Part(("then", ()), r"\b", r"(?-u:\b)", repeats=False)
        if char.lower() in _CLASSES and char.lower() != char:
            self.at += 1
            return _chars(outside(_CLASSES[char.lower()]))
        if char in _CLASSES:
            self.at += 1
            return _chars(_CLASSES[char])
        code = self._code(start)
        return _chars(((code, code),))

    def _code(self, start: int) -> int:
        """One character after a backslash."""
        char = self._peek()
        self.at += 1
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char in _HEX:
            digits = self.text[self.at : self.at + _HEX[char]]
            if not re.fullmatch(rf"[0-9A-Fa-f]{{{_HEX[char]}}}", digits) or int(digits, 16) > _TOP or 0xD800 <= int(digits, 16) <= 0xDFFF:
                self._refuse(rf"\{char} is followed by {_HEX[char]} hexadecimal digits of a character", start)
            self.at += len(digits)
            return int(digits, 16)
        if not char or not char.isascii() or not char.isprintable() or char.isalnum():
            known = r"\d \w \s \D \W \S \b \n \t \r \xHH \uHHHH, and punctuation"
            hint = {"A": "; use ^", "Z": "; use $", "z": "; use $", "p": "; write the characters as [A-Za-z…]"}.get(char, "")
            self._refuse(rf"'\{char}' is not supported{hint}. Known: {known}", start)
        return ord(char)

    def _bracket(self) -> Chars:
        start = self.at - 1
        negated = self._peek() == "^"
        self.at += negated
        found: list[tuple[int, int]] = []
        first = True
        while True:
            char = self._peek()
            if not char:
                self._refuse("'[' is not closed", start)
            if char == "]" and not first:
                self.at += 1
                return outside(tuple(found)) if negated else tuple(found)
            if self.text[self.at : self.at + 2] in ("[:", "&&", "--", "~~", "||"):
                self._refuse(
                    rf"{self.text[self.at : self.at + 2]!r} within [...] means different things to different engines; put a \ before each"
                )
            if char == "[":
                self._refuse(r"'[' within [...] is written \[")
            first = False
            found += self._range()

    def _range(self) -> Iterator[tuple[int, int]]:
        low = self._member()
        if isinstance(low, tuple):
            yield from low
            return
        if self._peek() == "-" and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
            start = self.at
            self.at += 1
            high = self._member()
            if isinstance(high, tuple) or high < low:
                self._refuse("the range within [...] goes from a character to a later one", start)
            else:
                yield low, high
        else:
            yield low, low

    def _member(self) -> int | Chars:
        char = self._peek()
        start = self.at
        self.at += 1
        if char != "\\":
            return ord(char)
        after = self._peek()
        if after in _CLASSES:
            self.at += 1
            return _CLASSES[after]
        if after.lower() in _CLASSES and after:
            self.at += 1
            return outside(_CLASSES[after.lower()])
        if not after:
            self._refuse(r"'\' ends the pattern", start)
        return self._code(start)

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _refuse(self, problem: str, at: int | None = None) -> NoReturn:
        raise BadInput(f"The pattern {self.text!r}, character {(self.at if at is None else at) + 1}: {problem}.")


def _chars(chars: Chars) -> _Part:
    if len(chars) == 1 and chars[0][0] == chars[0][1]:
        python, rust = _one(chars[0][0], "python"), _one(chars[0][0], "rust")
    else:
        python, rust = (
            "[" + "".join(_one(low, engine) if low == high else f"{_one(low, engine)}-{_one(high, engine)}" for low, high in chars) + "]"
            for engine in ("python", "rust")
        )
    return _Part(("chars", chars), python, rust)


def _one(code: int, engine: str) -> str:
    """A character by number, so that none has a meaning of its own."""
    if chr(code).isascii() and chr(code).isalnum():
        return chr(code)
    return rf"\U{code:08X}" if engine == "python" else rf"\x{{{code:X}}}"
