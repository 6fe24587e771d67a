"""Programs made at random: what is written otherwise has the same digest, what does something else has another, if it is reached."""

from __future__ import annotations

import ast
import random
import re
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.engine.code import code_digest

OPERATORS = ("+", "-", "*", "//", "%", "|", "&", "^", "<<")
COMPARISONS = ("<", ">", "==", "!=", "<=", ">=")
MOST_FUNCTIONS = 4


class Program(NamedTuple):
    """Functions f0, f1, ... as text."""

    functions: tuple[str, ...]

    @property
    def text(self) -> str:
        return "LIMIT = 7\n\n" + "\n\n".join(self.functions)

    def reached(self) -> set[int]:
        found: set[int] = set()
        todo = [0]
        while todo:
            number = todo.pop()
            if number not in found:
                found.add(number)
                todo += map(int, re.findall(r"f(\d)\(", self.functions[number]))
        return found


class Writer:
    """Writes one function, by random numbers. Left operands are names, so that the compiler folds nothing away."""

    def __init__(self, random: random.Random, count: int) -> None:
        self.random = random
        self.count = count

    def function(self, number: int) -> str:
        default = self.random.choice(["", f"={self.number()}", f", *, y={self.number()}"])
        body = [line for _ in range(self.random.randint(1, 4)) for line in self.statement(2)]
        return "\n".join([f"def f{number}(x{default}):", *(f"    {line}" for line in body), f"    return {self.expression(2)}"])

    def number(self) -> str:
        return self.random.choice(
            [str(self.random.randint(2, 400)), f"{self.random.randint(1, 9)}.5", repr(f"t{self.random.randint(0, 99)}")]
        )

    def expression(self, depth: int) -> str:
        if depth == 0:
            return self.random.choice(["x", "LIMIT", f"x {self.random.choice(OPERATORS)} {self.number()}"])
        inner = self.expression(depth - 1)
        match self.random.randint(0, 7):
            case 0:
                return f"f{self.random.randrange(self.count)}({inner})"
            case 1:
                return f"[z {self.random.choice(OPERATORS)} {self.number()} for z in ({inner}) if z {self.random.choice(COMPARISONS)} x]"
            case 2:
                return f"(lambda q, r={self.number()}: q {self.random.choice(OPERATORS)} r)({inner})"
            case 3:
                return f'f"{{x:>{self.random.randint(1, 9)}}} of {{LIMIT!r}} {self.random.randint(0, 99)}"'
            case 4:
                return f"({inner} if x {self.random.choice(COMPARISONS)} {self.number()} else {self.expression(depth - 1)})"
            case 5:
                return f"{{{self.number()}: {inner}, 'k': ({self.number()}, x)}}"
            case 6:
                return f"x.attribute({inner}, key={self.number()})[{self.number()}]"
            case _:
                return f"(x {self.random.choice(OPERATORS)} ({inner}))"

    def statement(self, depth: int) -> list[str]:
        def block() -> list[str]:
            inner = self.statement(depth - 1) if depth else [f"x = {self.expression(1)}"]
            return [f"    {line}" for line in inner]

        match self.random.randint(0, 7):
            case 0:
                return [f"if x {self.random.choice(COMPARISONS)} {self.number()}:", *block(), "else:", *block()]
            case 1:
                return [f"for i in {self.expression(1)}:", *block(), f"    if i == {self.number()}:", "        break"]
            case 2:
                return [
                    "try:",
                    *block(),
                    f"except {self.random.choice(['ValueError', 'KeyError'])} as error:",
                    *block(),
                    "finally:",
                    *block(),
                ]
            case 3:
                return [f"with {self.expression(1)} as handle:", *block()]
            case 4:
                return [
                    f"def inner(a, b={self.number()}):",
                    f"    return a {self.random.choice(OPERATORS)} x",
                    f"x = inner({self.expression(1)})",
                ]
            case 5:
                return [f"while x {self.random.choice(COMPARISONS)} {self.number()}:", *block()]
            case 6:
                return [f"assert x {self.random.choice(COMPARISONS)} {self.number()}, {self.expression(0)}"]
            case _:
                return [f"x = {self.expression(2)}"]


@st.composite
def programs(draw: st.DrawFn) -> Program:
    chance = random.Random(draw(st.integers(0, 2**32)))
    count = draw(st.integers(1, MOST_FUNCTIONS))
    return Program(tuple(Writer(chance, count).function(number) for number in range(count)))


def digest_of(text: str) -> str:
    world: dict[str, Any] = {"__name__": "random_program"}
    exec(compile(text, f"<cell {len(text)}>", "exec"), world)
    return code_digest(world["f0"]).digest


class Edit(ast.NodeTransformer):
    """Changes the n-th thing that means something: a constant, or an operator."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.met = 0

    def _now(self) -> bool:
        self.met += 1
        return self.met - 1 == self.wanted

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, int | float) and self._now():
            return ast.Constant(node.value + 1000)
        if isinstance(node.value, str) and self._now():
            return ast.Constant(f"{node.value} edited")
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        if self._now():
            node.op = ast.Pow()
        return self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        if self._now():
            node.ops = [ast.In()]
        return self.generic_visit(node)


def edited(function: str, which: int) -> str:
    count = Edit(-1)
    count.visit(ast.parse(function))
    return ast.unparse(ast.fix_missing_locations(Edit(which % count.met).visit(ast.parse(function)))) if count.met else function


def rewritten(text: str, seed: int) -> str:
    """The same program: comments, blank lines, docstrings, parentheses, line breaks, another order of the functions."""
    chance = random.Random(seed)
    lines: list[str] = []
    for line in text.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        if chance.random() < 0.3:
            lines += ["", f"{indent}# x = {chance.random()}"]
        if line.lstrip().startswith("return ") and chance.random() < 0.5:
            lines += [f"{indent}return (  # as before", "", f"{indent}    {line.lstrip().removeprefix('return ')}", f"{indent})"]
        else:
            lines.append(line)
        if line.lstrip().startswith("def ") and chance.random() < 0.5:
            lines += [f'{indent}    """Gives {chance.random()}.', "", f'{indent}    At more length."""']
    return "\n".join(lines)


@settings(max_examples=150, deadline=None)
@given(programs(), st.integers(0, 10_000))
def test_writing_it_otherwise_changes_nothing(program: Program, seed: int) -> None:
    before = digest_of(program.text)
    assert digest_of(rewritten(program.text, seed)) == before
    assert digest_of(ast.unparse(ast.parse(program.text))) == before
    assert digest_of("\n\n".join(reversed(program.functions)) + "\nLIMIT = 7") == before


@settings(max_examples=250, deadline=None)
@given(programs(), st.integers(0, MOST_FUNCTIONS - 1), st.integers(0, 10_000))
def test_an_edit_counts_exactly_when_it_is_reached(program: Program, function: int, which: int) -> None:
    function %= len(program.functions)
    changed = edited(program.functions[function], which)
    if ast.unparse(ast.parse(program.functions[function])) == changed:
        return
    after = Program((*program.functions[:function], changed, *program.functions[function + 1 :]))
    assert (digest_of(after.text) != digest_of(program.text)) == (function in program.reached())


@settings(max_examples=60, deadline=None)
@given(programs(), st.integers(0, MOST_FUNCTIONS - 1), st.integers(0, MOST_FUNCTIONS - 1))
def test_calling_another_function_counts(program: Program, one: int, other: int) -> None:
    one, other = one % len(program.functions), other % len(program.functions)
    text = program.functions[0].replace(f"f{one}(", f"f{other}(") if one != 0 else program.functions[0]
    same = text == program.functions[0]
    assert (digest_of(Program((text, *program.functions[1:])).text) == digest_of(program.text)) == same


@settings(max_examples=40, deadline=None)
@given(programs())
def test_a_global_counts_where_it_is_named(program: Program) -> None:
    named = any("LIMIT" in program.functions[number] for number in program.reached())
    assert (digest_of(program.text.replace("LIMIT = 7", "LIMIT = 8")) != digest_of(program.text)) == named
