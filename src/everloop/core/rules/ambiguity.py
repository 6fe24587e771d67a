"""Whether a backtracking engine may take exponential time on a pattern.

It may when its automaton can go from a state back to the same state by two different ways with the same text: each time round doubles the ways to fail.
The automaton is Glushkov's (1961), one state a character of the pattern; the criterion is Weber and Seidl's (1991) for exponential ambiguity. So many
times one character is unrolled; every other counted repetition is taken for an unbounded one: what is refused may be harmless, never the other way round.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Chars: TypeAlias = tuple[tuple[int, int], ...]
"""Ranges of code points, ends included."""

Tree: TypeAlias = tuple[Any, ...]
"""`("chars", Chars)`, `("then", trees)`, `("or", trees)` or `("times", tree, low, high or None)`."""

_TOP = 0x10FFFF
_STATES = 1200
_UNROLLED = 100


def outside(chars: Chars) -> Chars:
    """Every character but these; surrogates are none."""
    found: list[tuple[int, int]] = []
    at = 0
    for low, high in sorted((*chars, (0xD800, 0xDFFF))):
        if low > at:
            found.append((at, low - 1))
        at = max(at, high + 1)
    if at <= _TOP:
        found.append((at, _TOP))
    return tuple(found)


def explodes(tree: Tree) -> bool:
    automaton = _Automaton()
    automaton.build(tree)
    return automaton.doubled or automaton.ambiguous()


class _Automaton:
    def __init__(self) -> None:
        self.chars: list[Chars] = []
        self.follow: list[set[int]] = []
        # A loop within a loop over the same step: the inner and the outer one can each take it.
        self.doubled = False

    def build(self, tree: Tree) -> tuple[set[int], set[int], bool]:
        """First states, last states, and whether the empty text fits."""
        match tree[0]:
            case "chars":
                self.chars.append(tree[1])
                self.follow.append(set())
                state = len(self.chars) - 1
                return {state}, {state}, False
            case "or":
                parts = [self.build(one) for one in tree[1]]
                begins = {state for part in parts for state in part[0]}
                return begins, {state for part in parts for state in part[1]}, any(part[2] for part in parts)
            case "then":
                first, last, empty = set[int](), set[int](), True
                for one in tree[1]:
                    start, ends, nothing = self.build(one)
                    self._link(last, start)
                    first |= start if empty else set()
                    last = ends | last if nothing else ends
                    empty &= nothing
                return first, last, empty
            case _:
                return self._times(tree[1], tree[2], tree[3])

    def _times(self, tree: Tree, low: int, high: int | None) -> tuple[set[int], set[int], bool]:
        if low == high and low <= _UNROLLED and tree[0] == "chars":
            return self.build(("then", (tree,) * low))
        first, last, empty = self.build(tree)
        if high == 1:
            return first, last, True
        for state in last:
            self.doubled |= bool(self.follow[state] & first)
        self._link(last, first)
        return first, last, empty or low == 0

    def _link(self, before: set[int], after: set[int]) -> None:
        for state in before:
            self.follow[state] |= after

    def ambiguous(self) -> bool:
        """Whether some pair of different states is reached from a pair (q, q) and leads back to (q, q), both reading the same text."""
        if len(self.chars) > _STATES:
            return True
        states = range(len(self.chars))
        shared = [{b for b in states if _overlap(self.chars[a], self.chars[b])} for a in states]
        onward: dict[tuple[int, int], set[tuple[int, int]]] = {}
        start = [(q, q) for q in states]
        todo = list(start)
        while todo:
            pair = todo.pop()
            if pair in onward:
                continue
            a, b = pair
            onward[pair] = {(x, y) if x <= y else (y, x) for x in self.follow[a] for y in self.follow[b] & shared[x]}
            todo += onward[pair]
        backward: dict[tuple[int, int], set[tuple[int, int]]] = {}
        for pair, nexts in onward.items():
            for after in nexts:
                backward.setdefault(after, set()).add(pair)
        loops = [q for q in states if self._returns(q)]
        return any(a != b for q in loops for a, b in _reach((q, q), onward) & _reach((q, q), backward))

    def _returns(self, state: int) -> bool:
        seen: set[int] = set()
        todo = list(self.follow[state])
        while todo:
            at = todo.pop()
            if at == state:
                return True
            if at not in seen:
                seen.add(at)
                todo += self.follow[at]
        return False


def _reach(start: tuple[int, int], edges: dict[tuple[int, int], set[tuple[int, int]]]) -> set[tuple[int, int]]:
    seen: set[tuple[int, int]] = set()
    todo = [start]
    while todo:
        for after in edges.get(todo.pop(), ()):
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return seen


def _overlap(a: Chars, b: Chars) -> bool:
    return any(low <= top and base <= high for low, high in a for base, top in b)
