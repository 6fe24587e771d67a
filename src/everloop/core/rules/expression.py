"""The text of a Polars expression -> a typed tree of the few operations that a rule over a row may use (`tree.py`).

`pl.col("casual") + pl.col("registered") == pl.col("cnt")` is read with `ast`, never evaluated. The tree is compiled to Polars for tables and to Python for
rows (`python.py`), so that both mean the same.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NoReturn

from everloop.core.errors import BadInput
from everloop.core.rules.patterns import pattern
from everloop.core.rules.tree import FUNCTIONS, INT_HIGH, INT_LOW, METHODS, OF_SPAN, OF_TIME, SUPPORTED, Node, Type
from everloop.core.tables import Kind

MAX_CHARACTERS = 2000
MAX_DEPTH = 50
_ARITHMETIC: Mapping[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%"}
_COMPARISONS: Mapping[type[ast.cmpop], str] = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_LOGIC: Mapping[type[ast.operator], str] = {ast.BitAnd: "&", ast.BitOr: "|"}
_WORDS: Mapping[type[ast.boolop], tuple[str, str]] = {ast.And: ("and", "&"), ast.Or: ("or", "|")}

_CLOSED = ("both", "left", "right", "none")


def parse(text: str, kinds: Mapping[str, Kind]) -> Node:
    """The rule in `text` over columns of these kinds. BadInput, with the character and what is supported, on anything else."""
    if len(text) > MAX_CHARACTERS:
        raise BadInput(f"A rule of {len(text):,} characters is too long; up to {MAX_CHARACTERS:,} are read.")
    # A line break would only make positions harder to find.
    text = " ".join(text.splitlines())
    reader = _Reader(text, kinds)
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except SyntaxError as error:
        reader.fail((error.offset or 1) - 1, f"{error.msg}")
    except (ValueError, RecursionError, MemoryError) as error:
        raise BadInput(f"The rule {text!r:.200} cannot be read: {error or 'it is nested too deeply'}.") from None
    node = reader.node(tree.body, 0)
    if node.type != "bool":
        reader.fail(0, f"a rule is true or false for a row, and this one is {_A[node.type]}; compare it with something")
    if not node.columns():
        reader.fail(0, "a rule looks at a column, and this one names none")
    return node


_A: Mapping[Type, str] = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "text": "a text",
    "time": "a time",
    "span": "a time span",
}
_OF_KIND: Mapping[Kind, Type] = {"int": "int", "float": "float", "bool": "bool", "text": "text", "time": "time"}
_NUMBERS: tuple[Type, ...] = ("int", "float")


class _Reader:
    def __init__(self, text: str, kinds: Mapping[str, Kind]) -> None:
        self._text = text.strip()
        self._bytes = self._text.encode("utf-8", "surrogatepass")
        self._kinds = kinds

    def node(self, tree: ast.expr, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise BadInput(f"The rule {self._text!r:.200} is nested more than {MAX_DEPTH} deep. Write two rules.")
        match tree:
            case ast.Constant():
                return self._literal(tree.value, tree)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)) if not isinstance(value, bool):
                return self._literal(-value, tree)
            case ast.UnaryOp():
                return self._unary(tree, depth)
            case ast.BinOp():
                return self._binary(tree, depth)
            case ast.Compare():
                return self._comparison(tree, depth)
            case ast.BoolOp():
                word, sign = _WORDS[type(tree.op)]
                self._at(tree, f"'{word}' does not work on columns; write (…) {sign} (…)")
            case ast.Call():
                return self._call(tree, depth)
            case ast.Name():
                self._at(tree, f"{tree.id!r} means nothing here; a column is pl.col({tree.id!r}), a text stands in quotes")
            case _:
                pass
        return self._at(tree, f"{self._source(tree)!r} is not supported. Supported: {SUPPORTED}")

    def _literal(self, value: object, tree: ast.expr) -> Node:
        match value:
            case bool():
                return Node("lit", "bool", value=value)
            case int() if INT_LOW <= value <= INT_HIGH:
                return Node("lit", "int", value=value)
            case float() if abs(value) != float("inf"):
                return Node("lit", "float", value=value)
            case str():
                return Node("lit", "text", value=value)
            case None:
                self._at(tree, "None is equal to nothing; ask .is_null() or .is_not_null()")
            case _:
                pass
        return self._at(tree, f"{self._source(tree)!r} is no number, text, True or False that a column may hold")

    def _unary(self, tree: ast.UnaryOp, depth: int) -> Node:
        if isinstance(tree.op, ast.Not):
            self._at(tree, "'not' does not work on columns; write ~(…)")
        operand = self.node(tree.operand, depth + 1)
        if isinstance(tree.op, ast.Invert):
            self._want(operand, ("bool",), tree, "~")
            return Node("~", "bool", (operand,))
        self._want(operand, _NUMBERS, tree, "-" if isinstance(tree.op, ast.USub) else "+")
        return Node("neg", operand.type, (operand,)) if isinstance(tree.op, ast.USub) else operand

    def _binary(self, tree: ast.BinOp, depth: int) -> Node:
        kind = type(tree.op)
        if kind not in _ARITHMETIC and kind not in _LOGIC:
            self._at(tree, f"the operator in {self._source(tree)!r} is not supported. Supported: {SUPPORTED}")
        left, right = self.node(tree.left, depth + 1), self.node(tree.right, depth + 1)
        if kind in _LOGIC:
            sign = _LOGIC[kind]
            for operand, side in ((left, tree.left), (right, tree.right)):
                self._want(operand, ("bool",), side, sign, "; put each comparison into (…)")
            return Node(sign, "bool", (left, right))
        sign = _ARITHMETIC[kind]
        if sign == "-" and left.type == right.type == "time":
            return Node("-", "span", (left, right))
        for operand, side in ((left, tree.left), (right, tree.right)):
            self._want(operand, _NUMBERS, side, sign)
        whole = left.type == right.type == "int" and sign != "/"
        return Node(sign, "int" if whole else "float", (left, right))

    def _comparison(self, tree: ast.Compare, depth: int) -> Node:
        if len(tree.ops) > 1:
            mixed = any(isinstance(part, ast.BinOp) and type(part.op) in _LOGIC for part in tree.comparators)
            hint = (
                "& and | bind tighter than comparisons: put each comparison into (…)"
                if mixed
                else "write .is_between(low, high), or (…) & (…)"
            )
            self._at(tree, f"a chain of comparisons does not work on columns; {hint}")
        sign = _COMPARISONS.get(type(tree.ops[0]))
        if sign is None:
            self._at(tree, "'in' and 'is' do not work on columns; write .is_in([…]) or .is_null()")
        left, right = self.node(tree.left, depth + 1), self.node(tree.comparators[0], depth + 1)
        self._comparable(left, right, tree, sign)
        return Node(sign, "bool", (left, right))

    def _call(self, tree: ast.Call, depth: int) -> Node:
        if not isinstance(tree.func, ast.Attribute):
            self._at(tree, f"{self._source(tree.func)!r} cannot be called here. Supported: {SUPPORTED}")
        name, owner = tree.func.attr, tree.func.value
        if isinstance(owner, ast.Name):
            if owner.id != "pl":
                self._at(tree, f"{owner.id!r} means nothing here; a column is pl.col({owner.id!r})")
            return self._function(name, tree)
        if isinstance(owner, ast.Attribute) and owner.attr in ("str", "dt"):
            name, owner = f"{owner.attr}.{name}", owner.value
        if name not in METHODS:
            self._unknown(f".{name}()", name, METHODS, tree)
        return self._method(name, self.node(owner, depth + 1), tree, depth)

    def _function(self, name: str, tree: ast.Call) -> Node:
        if name not in FUNCTIONS:
            self._unknown(f"pl.{name}()", name, FUNCTIONS, tree)
        if name == "col":
            return self._column(self._plain(tree, ("name",), required=1).get("name"), tree)
        if name == "lit":
            return self._literal(self._plain(tree, ("value",), required=1).get("value"), tree)
        if name == "duration":
            given = self._plain(tree, ("weeks", "days", "hours", "minutes", "seconds"), only_named=True)
            build: Any = timedelta
        else:
            fields = ("year", "month", "day", "hour", "minute", "second")
            given = self._plain(tree, fields[:3] if name == "date" else fields, required=3)
            build = datetime
        if any(isinstance(value, bool) or not isinstance(value, int) for value in given.values()):
            self._at(tree, f"pl.{name}() takes whole numbers")
        try:
            return Node("lit", "span" if name == "duration" else "time", value=build(**given))
        except (ValueError, OverflowError) as error:
            self._at(tree, f"{self._source(tree)} is none: {error}")

    def _column(self, name: object, tree: ast.Call) -> Node:
        if not isinstance(name, str):
            self._at(tree, "pl.col() takes the name of one column as text")
        kind = self._kinds.get(name)
        if kind is None:
            close = difflib.get_close_matches(name, list(self._kinds), n=1)
            self._at(tree, f"column {name!r} is not in the schema." + (f" Did you mean {close[0]!r}?" if close else ""), end="")
        if kind not in _OF_KIND:
            self._at(tree, f"column {name!r} is {kind}, which a rule cannot look into")
        return Node("col", _OF_KIND[kind], value=name)

    def _method(self, name: str, on: Node, tree: ast.Call, depth: int) -> Node:
        if name in ("is_null", "is_not_null"):
            self._plain(tree, ())
            return Node(name, "bool", (on,))
        if name == "abs":
            self._plain(tree, ())
            self._want(on, _NUMBERS, tree, ".abs()")
            return Node(name, on.type, (on,))
        if name == "fill_null":
            other = self._operands(tree, ("value",), depth)[0]
            self._comparable(on, other, tree, ".fill_null()")
            return Node(name, "float" if "float" in (on.type, other.type) else on.type, (on, other))
        if name == "is_between":
            closed = self._closed(tree)
            low, high = self._operands(tree, ("lower_bound", "upper_bound"), depth)
            for bound in (low, high):
                self._comparable(on, bound, tree, ".is_between()")
            return Node(name, "bool", (on, low, high), closed)
        if name == "is_in":
            return self._is_in(on, tree)
        if name in OF_TIME or name in OF_SPAN:
            self._plain(tree, ())
            self._want(on, ("time",) if name in OF_TIME else ("span",), tree, f".{name}()")
            return Node(name, "int", (on,))
        return self._on_text(name, on, tree)

    def _on_text(self, name: str, on: Node, tree: ast.Call) -> Node:
        self._want(on, ("text",), tree, f".{name}()")
        if name in ("str.len_chars", "str.strip_chars"):
            self._plain(tree, ())
            return Node(name, "int" if name == "str.len_chars" else "text", (on,))
        if name != "str.contains":
            part = self._plain(tree, ("prefix" if name == "str.starts_with" else "suffix",), required=1)
        else:
            part = self._plain(tree, ("pattern", "literal"), required=1)
        literal = part.pop("literal", False)
        (text,) = part.values()
        if not isinstance(text, str) or not isinstance(literal, bool):
            self._at(tree, f".{name}() takes a text")
        if name == "str.contains" and not literal:
            try:
                pattern(text)
            except BadInput as error:
                self._at(tree, str(error), end="")
        return Node(name, "bool", (on,), (text, literal))

    def _is_in(self, on: Node, tree: ast.Call) -> Node:
        if len(tree.args) != 1 or tree.keywords or not isinstance(tree.args[0], ast.List | ast.Tuple) or not tree.args[0].elts:
            self._at(tree, ".is_in() takes a list of values, such as .is_in([1, 2])")
        values = [self.node(one, 0) for one in tree.args[0].elts if self._is_plain(one)]
        if len(values) != len(tree.args[0].elts):
            self._at(tree, ".is_in() takes plain values; compare columns with == and |")
        for one in values:
            self._comparable(on, one, tree, ".is_in()")
        return Node("is_in", "bool", (on, *values))

    @staticmethod
    def _is_plain(tree: ast.expr) -> bool:
        names = [part.attr for part in ast.walk(tree) if isinstance(part, ast.Attribute)]
        return "col" not in names

    def _closed(self, tree: ast.Call) -> str:
        found = "both"
        for at, keyword in enumerate(tree.keywords):
            if keyword.arg == "closed":
                found = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
                del tree.keywords[at]
                break
        if found not in _CLOSED:
            self._at(tree, f"closed= is one of {', '.join(map(repr, _CLOSED))}")
        return str(found)

    def _operands(self, tree: ast.Call, names: tuple[str, ...], depth: int) -> list[Node]:
        given = dict(zip(names, tree.args, strict=False)) | {keyword.arg: keyword.value for keyword in tree.keywords}
        if set(given) != set(names) or len(tree.args) + len(tree.keywords) != len(names):
            self._at(tree, f"takes {' and '.join(names)}")
        return [self.node(given[name], depth + 1) for name in names]

    def _plain(self, tree: ast.Call, names: tuple[str, ...], *, required: int = 0, only_named: bool = False) -> dict[str, Any]:
        """Arguments that are constants."""
        given: dict[str, Any] = {}
        if len(tree.args) > len(names) or (only_named and tree.args):
            self._at(tree, f"{self._source(tree)!r:.80} takes {', '.join(f'{name}=' for name in names) or 'nothing'}")
        for name, value in [*zip(names, tree.args, strict=False), *((keyword.arg, keyword.value) for keyword in tree.keywords)]:
            if name not in names or name in given:
                self._at(tree, f"{self._source(tree)!r:.80} takes {', '.join(names) or 'nothing'}")
            match value:
                case ast.Constant():
                    given[name] = value.value
                case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                    given[name] = -number
                case _:
                    self._at(value, f"{self._source(value)!r} is no plain value")
        if len([name for name in names[:required] if name in given]) < required:
            self._at(tree, f"{self._source(tree)!r:.80} needs {', '.join(names[:required])}")
        return given

    def _want(self, node: Node, types: Iterable[Type], tree: ast.expr, sign: str, hint: str = "") -> None:
        if node.type not in types:
            self._at(tree, f"{sign} works on {' or '.join(_A[one] for one in types)}, and this is {_A[node.type]}{hint}")

    def _comparable(self, left: Node, right: Node, tree: ast.expr, sign: str) -> None:
        if left.type != right.type and not (left.type in _NUMBERS and right.type in _NUMBERS):
            self._at(tree, f"{sign} compares {_A[left.type]} with {_A[right.type]}")

    def _unknown(self, shown: str, name: str, known: Iterable[str], tree: ast.expr) -> NoReturn:
        close = difflib.get_close_matches(name, list(known), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        self._at(tree, f"{shown} is not supported.{hint} Supported: {SUPPORTED}")

    def _source(self, tree: ast.expr) -> str:
        return ast.get_source_segment(self._text, tree) or ""

    def _at(self, tree: ast.expr, problem: str, end: str = ".") -> NoReturn:
        self.fail(len(self._bytes[: tree.col_offset].decode("utf-8", "ignore")), problem, end)

    def fail(self, at: int, problem: str, end: str = ".") -> NoReturn:
        raise BadInput(f"The rule {self._text!r}, character {at + 1}: {problem}{end}")
