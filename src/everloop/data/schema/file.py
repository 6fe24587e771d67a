"""The file of a schema: JSON with one line a column and one line a rule, so that a change is a line of a diff."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import cast

import msgspec

from everloop.core.errors import BadInput, NotFound
from everloop.core.schemas import ColumnRule, Schema
from everloop.data.schema.reader import Reader


def save(schema: Schema, path: Path) -> None:
    """Columns in the table's order, each with what is not the default."""
    fields = [f'  "{name}": {_line(getattr(schema, name))}' for name in ("dataset", "extra_columns", "min_rows")]
    if schema.max_rows is not None:
        fields.append(f'  "max_rows": {schema.max_rows}')
    if schema.freshness is not None:
        fields.append(f'  "freshness": {_line(msgspec.to_builtins(schema.freshness))}')
    fields.append(_lines("columns", [_plain(rule) for rule in schema.columns]))
    fields += [
        _lines(name, cast("list[object]", msgspec.to_builtins(entries))) for name in ("keys", "rules") if (entries := getattr(schema, name))
    ]
    text = "{\n" + ",\n".join(fields) + "\n}\n"
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
    return Reader(path, text).schema()


def _lines(name: str, entries: list[object]) -> str:
    return f'  "{name}": [\n' + ",\n".join(f"    {_line(entry)}" for entry in entries) + "\n  ]"


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _plain(rule: ColumnRule) -> object:
    fields = cast("dict[str, object]", msgspec.to_builtins(rule))
    return {
        name: int(value) if rule.kind == "int" and name in ("low", "high") and isinstance(value, float) and value.is_integer() else value
        for name, value in fields.items()
    }
