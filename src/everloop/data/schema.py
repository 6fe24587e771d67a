"""Profile -> the contract inferred from it, kept as a file that a person edits."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, cast, get_args

import msgspec

from everloop.core.errors import BadInput, NotFound, unknown
from everloop.core.tables import ColumnProfile, ColumnRule, Kind, Profile, Schema

KINDS: tuple[str, ...] = get_args(Kind)
VOCABULARY = 50
_TOP_FIELDS = ("dataset", "extra_columns", "min_rows", "columns")
_RULE_FIELDS = tuple(field for field in ColumnRule.__struct_fields__)


def infer(profile: Profile, *, dataset: str, target: str, drop: Sequence[str] = ()) -> Schema:
    """Kinds and presence as seen; nulls allowed where some were seen; numbers within the observed range; texts with at most
    50 different values within those. Times have no range: new data is later than old. Columns in `drop` are no features: they may be
    absent, null and anything of their kind. Raises BadInput when the target is absent."""
    if profile.column(target) is None:
        raise BadInput(str(unknown("Target column", target, [column.name for column in profile.columns])))
    return Schema(dataset=dataset, columns=tuple(_loose(column) if column.name in drop else _rule(column) for column in profile.columns))


def _loose(column: ColumnProfile) -> ColumnRule:
    return ColumnRule(name=column.name, kind=cast("Kind", column.kind), required=False, nullable=True)


def _rule(column: ColumnProfile) -> ColumnRule:
    ranged = column.kind in ("int", "float")
    closed = column.kind == "text" and column.distinct <= VOCABULARY and column.other == 0 and column.unseen == 0
    return ColumnRule(
        name=column.name,
        kind=cast("Kind", column.kind),
        nullable=column.nulls + column.nans > 0,
        low=column.low if ranged else None,
        high=column.high if ranged else None,
        vocabulary=tuple(sorted(value for value, count in column.top if count)) if closed else None,
    )


def save(schema: Schema, path: Path) -> None:
    """Write the schema as JSON with one line a column, in the table's order: a change is a line of a diff."""
    lines = [json.dumps(_plain(rule), ensure_ascii=False) for rule in schema.columns]
    head = [f'  "{name}": {json.dumps(getattr(schema, name), ensure_ascii=False)},' for name in _TOP_FIELDS[:-1]]
    text = "\n".join(["{", *head, '  "columns": [', ",\n".join(f"    {line}" for line in lines), "  ]", "}", ""])
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = path.with_name(f".{path.name}.{os.getpid()}")
    temp.write_text(text, encoding="utf-8")
    temp.replace(path)


def load(path: Path) -> Schema:
    """The schema in a file. BadInput, naming the line and what was probably meant, when it was mistyped."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"There is no schema at {path}.") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8: {error}.") from error
    return _Reader(path, text).schema()


def _plain(rule: ColumnRule) -> dict[str, object]:
    fields = cast("dict[str, object]", msgspec.to_builtins(rule))
    return {
        name: int(value) if rule.kind == "int" and isinstance(value, float) and value.is_integer() else value
        for name, value in fields.items()
    }


class _Reader:
    def __init__(self, path: Path, text: str) -> None:
        self._path, self._text = path, text

    def schema(self) -> Schema:
        content = self._decoded()
        for name in content:
            if name not in _TOP_FIELDS:
                self._unknown(self._line_of(name), "field", name, _TOP_FIELDS)
        for name in ("dataset", "columns"):
            if name not in content:
                self._fail(1, f"the field {name!r} is missing")
        self._check(content, "dataset", (str,), "text", 0)
        self._check(content, "min_rows", (int,), "a whole number", 0)
        if content.get("extra_columns", "stop") not in ("stop", "warn"):
            self._unknown(self._line_of("extra_columns"), "value", str(content["extra_columns"]), ("stop", "warn"))
        rows: Any = content["columns"]
        if not isinstance(rows, list) or not rows:
            self._fail(self._line_of("columns"), "'columns' is a list with one object a column")
        rules: list[ColumnRule] = []
        for (start, _), row in zip(self._spans(), cast("list[Any]", rows), strict=True):
            rules.append(self._rule(row, start, {rule.name for rule in rules}))
        return Schema(
            dataset=content["dataset"],
            columns=tuple(rules),
            extra_columns=content.get("extra_columns", "stop"),
            min_rows=content.get("min_rows", 1),
        )

    def _rule(self, row: Any, start: int, seen: set[str]) -> ColumnRule:
        line = self._line(start)
        if not isinstance(row, dict):
            self._fail(line, f'{row!r} is not an object such as {{"name": "age", "kind": "int"}}')
        rule = cast("dict[str, Any]", row)
        for name in rule:
            if name not in _RULE_FIELDS:
                self._unknown(self._line_of(name, start), "field", name, _RULE_FIELDS)
        for name in ("name", "kind"):
            if name not in rule:
                self._fail(line, f"the field {name!r} is missing")
        self._check(rule, "name", (str,), "text", start)
        if rule["kind"] not in KINDS:
            self._unknown(self._line_of("kind", start), "kind", str(rule["kind"]), KINDS)
        for name in ("required", "nullable"):
            self._check(rule, name, (bool,), "true or false", start)
        for name in ("low", "high"):
            self._check(rule, name, (int, float, type(None)), "a number", start)
        vocabulary: Any = rule.get("vocabulary")
        if vocabulary is not None and not (
            isinstance(vocabulary, list) and all(isinstance(word, str) for word in cast("list[Any]", vocabulary))
        ):
            self._fail(self._line_of("vocabulary", start), f"'vocabulary' is a list of texts, not {vocabulary!r:.60}")
        if rule["name"] in seen:
            self._fail(line, f"column {rule['name']!r} is described twice")
        low, high = rule.get("low"), rule.get("high")
        if low is not None and high is not None and low > high:
            self._fail(self._line_of("low", start), f"column {rule['name']!r} has low {low} above high {high}")
        return msgspec.convert(rule, ColumnRule)

    def _decoded(self) -> dict[str, Any]:
        try:
            content = json.loads(self._text, object_pairs_hook=self._once)
        except json.JSONDecodeError as error:
            self._fail(error.lineno, f"{error.msg} (column {error.colno})")
        if not isinstance(content, dict):
            self._fail(1, "a schema is an object {…}")
        return cast("dict[str, Any]", content)

    def _once(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        for name in names:
            if names.count(name) > 1:
                known = dict(pairs).get("name")
                self._fail(self._line_of(name), f"the field {name!r} is given twice" + (f" for column {known!r}" if known else ""))
        return dict(pairs)

    def _spans(self) -> Iterator[tuple[int, int]]:
        """Where each entry of `columns` begins and ends in the text. Only called once the text is known to be JSON."""
        match = re.search(r'"columns"\s*:\s*\[', self._text)
        assert match is not None
        decoder, at = json.JSONDecoder(), match.end()
        while True:
            while self._text[at] in " \t\r\n,":
                at += 1
            if self._text[at] == "]":
                return
            start = at
            _, at = decoder.raw_decode(self._text, at)
            yield start, at

    def _check(self, row: dict[str, Any], name: str, types: tuple[type, ...], expected: str, start: int) -> None:
        value = row.get(name, types[0]())
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            self._fail(self._line_of(name, start), f"{name!r} is {expected}, not {json.dumps(value)[:60]}")

    def _line(self, at: int) -> int:
        return self._text.count("\n", 0, at) + 1

    def _line_of(self, name: str, start: int = 0) -> int:
        found = re.compile(re.escape(json.dumps(name, ensure_ascii=False)) + r"\s*:").search(self._text, start)
        return self._line(found.start() if found else start)

    def _unknown(self, line: int, what: str, name: str, known: Iterable[str]) -> NoReturn:
        close = difflib.get_close_matches(name, list(known), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        self._fail(line, f"{what} {name!r} does not exist.{hint} Known: {', '.join(known)}", end="")

    def _fail(self, line: int, problem: str, end: str = "") -> NoReturn:
        raise BadInput(f"{self._path}, line {line}: {problem}{end}. Mend the file, or delete it to have it inferred again.")
