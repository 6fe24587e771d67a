"""The text of a schema's file -> the schema, or a sentence that names the line and what was probably meant."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast, get_args

import msgspec

from everloop.core.errors import BadInput
from everloop.core.rules.expression import parse
from everloop.core.schemas import ColumnRule, Freshness, Key, RowRule, Schema, Weight, seconds
from everloop.core.tables import Kind
from everloop.data.schema.fields import FIELDS, OF_A_TABLE, STAGES, Problem, column_problem
from everloop.data.schema.places import Places

KINDS: tuple[str, ...] = get_args(Kind)
WEIGHTS: tuple[str, ...] = get_args(Weight)
_TOP = ("dataset", "extra_columns", "min_rows", "max_rows", "freshness", "columns", "keys", "rules")

S = TypeVar("S", bound=msgspec.Struct)


class Reader:
    def __init__(self, path: Path, text: str) -> None:
        self._path, self._text = path, text
        self._places: Places | None = None

    def schema(self) -> Schema:
        content = self._decoded()
        places = self._places = Places(self._text)
        for name in content:
            if name not in _TOP:
                self._unknown(places.of(name), "field", name, _TOP)
        for name in ("dataset", "columns"):
            if name not in content:
                self._fail(1, f"the field {name!r} is missing")
        self._top(content)
        if not isinstance(content["columns"], list) or not content["columns"]:
            self._fail(places.of("columns"), "'columns' is a list with one object a column")
        rules: dict[str, ColumnRule] = {}
        for span, row in zip(places.entries("columns"), cast("list[Any]", content["columns"]), strict=True):
            rule = self._column(row, span)
            if rule.name in rules:
                self._fail(places.line(span[0]), f"column {rule.name!r} is described twice")
            rules[rule.name] = rule
        kinds: dict[str, Kind] = {rule.name: rule.kind for rule in rules.values()}
        return Schema(
            dataset=content["dataset"],
            columns=tuple(rules.values()),
            extra_columns=content.get("extra_columns", "stop"),
            min_rows=content.get("min_rows", 1),
            max_rows=content.get("max_rows"),
            keys=tuple(self._key(row, span, kinds) for row, span in self._entries(content, "keys")),
            freshness=self._freshness(content.get("freshness"), kinds),
            rules=tuple(self._rule(row, span, kinds) for row, span in self._entries(content, "rules")),
        )

    @property
    def places(self) -> Places:
        assert self._places is not None
        return self._places

    def _top(self, content: Mapping[str, Any]) -> None:
        for name, (accepts, expected) in OF_A_TABLE.items():
            if name in content and not accepts(content[name]):
                self._fail(self.places.of(name), f"{name!r} is {expected}, not {_shown(content[name])}")
        if content.get("extra_columns", "stop") not in WEIGHTS:
            self._unknown(self.places.of("extra_columns"), "value", str(content["extra_columns"]), WEIGHTS)
        low, high = content.get("min_rows", 1), content.get("max_rows")
        if high is not None and low > high:
            self._fail(self.places.of("max_rows"), f"min_rows {low} is above max_rows {high}")

    def _column(self, row: Any, span: tuple[int, int]) -> ColumnRule:
        fields = self._object(row, span, 'an object such as {"name": "age", "kind": "int"}')
        self._known(fields, ColumnRule, span)
        for name in ("name", "kind"):
            if name not in fields:
                self._fail(self.places.line(span[0]), f"the field {name!r} is missing")
        if fields["kind"] not in KINDS:
            self._unknown(self.places.within("kind", span), "kind", str(fields["kind"]), KINDS)
        for name, value in fields.items():
            accepts, expected = FIELDS[name]
            if not accepts(value):
                self._fail(self.places.within(name, span), f"{name!r} is {expected}, not {_shown(value)}")
        for stage in fields.get("absent_in", ()):
            if stage not in STAGES:
                self._unknown(self.places.within("absent_in", span), "stage", str(stage), STAGES)
        rule = self._made(fields, ColumnRule, span)
        problem = column_problem(rule)
        if problem is not None:
            self._say(problem, span)
        return rule

    def _key(self, row: Any, span: tuple[int, int], kinds: Mapping[str, Kind]) -> Key:
        fields: dict[str, Any] = (
            {"columns": cast("list[Any]", row)}
            if isinstance(row, list)
            else self._object(row, span, 'an object such as {"columns": ["shop", "order"]}')
        )
        self._known(fields, Key, span)
        names: Any = fields.get("columns")
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in cast("list[Any]", names)):
            self._fail(self.places.line(span[0]), "a key is a list of column names")
        for name in cast("list[str]", names):
            if name not in kinds:
                self._unknown(self.places.line(span[0]), "column", name, kinds)
        self._weight(fields, span)
        return self._made(fields, Key, span)

    def _rule(self, row: Any, span: tuple[int, int], kinds: Mapping[str, Kind]) -> RowRule:
        example = 'an object such as {"name": "parts add up", "check": "pl.col(\\"a\\") + pl.col(\\"b\\") == pl.col(\\"c\\")"}'
        fields = {"check": row} if isinstance(row, str) else self._object(row, span, example)
        self._known(fields, RowRule, span)
        if not isinstance(fields.get("check"), str):
            self._fail(self.places.line(span[0]), "a rule has a 'check': the text of a Polars expression")
        self._weight(fields, span)
        tolerance = fields.get("tolerance", 0.0)
        if not isinstance(tolerance, int | float) or isinstance(tolerance, bool) or not 0 <= tolerance <= 1:
            self._fail(self.places.within("tolerance", span), f"'tolerance' is a share between 0 and 1, not {_shown(tolerance)}")
        try:
            parse(fields["check"], kinds)
        except BadInput as error:
            self._fail(self.places.within("check", span), str(error).removesuffix("."))
        return self._made(fields, RowRule, span)

    def _freshness(self, row: Any, kinds: Mapping[str, Kind]) -> Freshness | None:
        if row is None:
            return None
        start = self.places.fields["freshness"][0]
        span = (start, len(self._text))
        fields = self._object(row, span, 'an object such as {"column": "at", "within": "7d"}')
        self._known(fields, Freshness, span)
        for name in ("column", "within"):
            if not isinstance(fields.get(name), str):
                self._fail(self.places.line(start), f"'freshness' has a {name!r} as text")
        if fields["column"] not in kinds:
            self._unknown(self.places.within("column", span), "column", fields["column"], kinds)
        if kinds[fields["column"]] != "time":
            self._fail(self.places.within("column", span), f"column {fields['column']!r} is {kinds[fields['column']]}, not time")
        if seconds(fields["within"]) is None:
            self._fail(self.places.within("within", span), f"'within' is a time such as 90m, 12h, 7d or 2w, not {_shown(fields['within'])}")
        self._weight(fields, span)
        return self._made(fields, Freshness, span)

    def _weight(self, fields: Mapping[str, Any], span: tuple[int, int]) -> None:
        if fields.get("severity", "warn") not in WEIGHTS:
            self._unknown(self.places.within("severity", span), "severity", str(fields["severity"]), WEIGHTS)

    def _entries(self, content: Mapping[str, Any], name: str) -> list[tuple[Any, tuple[int, int]]]:
        rows = content.get(name)
        if rows is None:
            return []
        if not isinstance(rows, list):
            self._fail(self.places.of(name), f"{name!r} is a list with one entry a line")
        return list(zip(cast("list[Any]", rows), self.places.entries(name), strict=True))

    def _object(self, row: Any, span: tuple[int, int], expected: str) -> dict[str, Any]:
        if not isinstance(row, dict):
            self._fail(self.places.line(span[0]), f"{row!r:.80} is not {expected}")
        return cast("dict[str, Any]", row)

    def _known(self, fields: Mapping[str, Any], kind: type[msgspec.Struct], span: tuple[int, int]) -> None:
        for name in fields:
            if name not in kind.__struct_fields__:
                self._unknown(self.places.within(name, span), "field", name, kind.__struct_fields__)

    def _made(self, fields: Mapping[str, Any], kind: type[S], span: tuple[int, int]) -> S:
        try:
            return msgspec.convert(fields, kind)
        except msgspec.ValidationError as error:
            self._fail(self.places.line(span[0]), str(error))

    def _say(self, problem: Problem, span: tuple[int, int]) -> NoReturn:
        line = self.places.within(problem.field, span)
        if problem.known:
            self._unknown(line, problem.what, problem.said, problem.known)
        self._fail(line, problem.said)

    def _decoded(self) -> dict[str, Any]:
        try:
            content = json.loads(self._text, object_pairs_hook=self._once, parse_constant=self._constant)
        except json.JSONDecodeError as error:
            self._fail(error.lineno, f"{error.msg} (column {error.colno})")
        except RecursionError:
            self._fail(1, "it is nested too deeply")
        if not isinstance(content, dict):
            self._fail(1, "a schema is an object {…}")
        return cast("dict[str, Any]", content)

    def _constant(self, name: str) -> NoReturn:
        at = max(0, self._text.find(name))
        self._fail(self._text.count("\n", 0, at) + 1, f"{name} is no number here; leave the limit out")

    def _once(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        for name in names:
            if names.count(name) > 1:
                known = dict(pairs).get("name")
                at = max(0, self._text.find(json.dumps(name, ensure_ascii=False)))
                said = f"the field {name!r} is given twice" + (f" for column {known!r}" if known else "")
                self._fail(self._text.count("\n", 0, at) + 1, said)
        return dict(pairs)

    def _unknown(self, line: int, what: str, name: str, known: Iterable[str]) -> NoReturn:
        close = difflib.get_close_matches(name, list(known), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        self._fail(line, f"{what} {name!r} does not exist.{hint} Known: {', '.join(known)}")

    def _fail(self, line: int, problem: str) -> NoReturn:
        raise BadInput(f"{self._path}, line {line}: {problem}. Mend the file, or delete it to have it inferred again.")


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)[:60]
