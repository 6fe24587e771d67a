"""Real CSV files with every fault that CSV files have: each is taken as it is meant, or refused with the line and the reason."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measure import tools
from measure.bars import bar
from measure.findings import Findings, talk
from measure.tabular import DataSettings

SMS_ROWS = 5_574


def dirty(settings: DataSettings, found: Findings) -> None:
    if settings.real_data is None:
        found.skip("dirty", "no folder with real data; --data names one")
        return
    loaded = refused = 0
    wrong: list[str] = []
    names = sorted(path for path in (settings.real_data / "dirty_csv").rglob("*") if path.suffix in (".csv", ".tsv"))
    for path in names:
        try:
            rows = _taken(path, tools.fresh(settings.root))
        except _Refused as error:
            refused += 1
            if not (re.search(r"\bline \d+", str(error)) or _no_rows(path)):
                wrong.append(f"{path.name}: refused without a line: {error}")
            continue
        except Exception as error:
            wrong.append(f"{path.name}: {type(error).__name__}: {error}")
            continue
        loaded += 1
        if fault := _unlike(rows, path):
            wrong.append(f"{path.name}: {fault}")
    for one in wrong:
        talk(f"dirty: {one}")
    found.bars.append(bar(f"{len(names)} dirty CSV files: neither loaded to their truth nor refused with line and reason", len(wrong), 0))
    found.facts.append((f"of {len(names)} dirty CSV files", f"{loaded} are loaded, {refused} refused"))
    sms = _taken(settings.real_data / "sms_spam" / "sms.tsv", tools.fresh(settings.root), columns=("label", "text"))
    found.bars.append(bar(f"sms.tsv: rows lost of {SMS_ROWS:,}", abs(SMS_ROWS - len(sms)), 0))


class _Refused(Exception):
    pass


def _taken(path: Path, folder: Path, **how: Any) -> list[tuple[Any, ...]]:
    """The rows of the snapshot that the file becomes."""
    from everloop import Files
    from everloop.core.errors import EverloopError
    from everloop.core.ports import Place
    from everloop.data.ingest import take
    from everloop.store.snapshots import load
    from everloop.store.workspace import Workspace, using

    shutil.copy(path, folder / f"file{path.suffix}")
    try:
        with Workspace(folder) as workspace, using(workspace):
            snapshot = take(Files(f"file{path.suffix}", **how), dataset="dirty", place=Place("dirty", workspace.project, workspace.home))
            return load(workspace.blobs, snapshot).rows()
    except EverloopError as error:
        raise _Refused(str(error)) from error


def _unlike(rows: Sequence[tuple[Any, ...]], path: Path) -> str:
    """What differs from the truth; empty if nothing does."""
    truth = _truth(path)
    if len(rows) != len(truth):
        return f"{len(rows)} rows, not {len(truth)}"
    for number, (row, meant) in enumerate(zip(rows, truth, strict=True), 1):
        if len(row) != len(meant) or not all(_same(value, cell) for value, cell in zip(row, meant, strict=True)):
            return f"row {number} is {row}, not {meant}"
    return ""


def _truth(path: Path) -> list[list[str]]:
    """The cells as the truth beside the file has them. Where there is none, or where the file itself holds something else than it (a copy with other
    line ends, say), they are what Python's strict reader finds."""
    found = _records(path)[1:]
    beside = path.parent.parent / "json" / f"{path.stem}.json"
    if not beside.exists():
        return found
    truth = json.loads(beside.read_text())
    # A table of one row may be that row alone.
    said = [[str(cell) for cell in row.values()] for row in (truth if isinstance(truth, list) else [truth])]
    if said != found:
        talk(f"dirty: {path.name} is not what the truth beside it says")
    return found


def _records(path: Path) -> list[list[str]]:
    text = _text(path.read_bytes())
    first = next(line for line in text.splitlines() if line.strip())
    separator = "\t" if path.suffix == ".tsv" else max(",;\t|", key=first.count)
    records = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    while records and not any(cell.strip() for cell in records[0]):
        records.pop(0)
    while records and not records[-1]:
        records.pop()
    # A blank line is no row, but in a table of one column it is a value that is missing.
    return [row or [""] for row in records if row or len(records[0]) == 1]


def _text(data: bytes) -> str:
    for encoding in ("utf-8-sig", "utf-16", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin1")


def _no_rows(path: Path) -> bool:
    """There is no line to name in a file that has none, or a header alone."""
    return len([line for line in path.read_bytes().splitlines() if line.strip()]) <= 1


def _same(value: Any, cell: str) -> bool:
    if value is None:
        return not cell.strip()
    if isinstance(value, bool):
        return cell.strip().lower() == str(value).lower()
    if isinstance(value, int | float):
        try:
            return float(cell) == float(value)
        except ValueError:
            return False
    if isinstance(value, str):
        return value == cell
    return str(value) == cell.strip() or value.isoformat() == cell.strip()
