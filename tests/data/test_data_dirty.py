"""Real files with every fault that such files have: each is read whole, or refused with its line and the reason."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from everloop.core.errors import BadInput
from everloop.core.ports import Place
from everloop.data.sources.files import Files
from everloop.data.sources.union import collect

# How many rows each file has that is read, told by reading it.
ROWS = {
    "Table With Data.csv": 2, "[table].csv": 2, "accent.csv": 2, "analysis-data.csv": 9, "ascii-notvalid.csv": 1, "ascii.csv": 1,
    "blank-cells.csv": 5, "blank-headers.csv": 2, "blank-rows-multiple.csv": 13, "blank-rows-no-fields.csv": 2, "blank-rows.csv": 3,
    "bom.csv": 2, "capital-3.csv": 5, "capital-valid.csv": 5, "capitals.csv": 5, "chunk1.csv": 1, "chunk2.csv": 1,
    "countries-cleaned.csv": 4, "countries-truefalsevalues.csv": 2, "country-1.csv": 5, "country-3.csv": 5, "data.csv": 2, "data2.csv": 3,
    "delimiter.csv": 2, "doublequote.csv": 5, "duplicate-rows.csv": 3, "encoding-issue-274.csv": 507, "escaping.csv": 3, "floats.csv": 5,
    "issue-1009-comma.csv": 1, "issue-1009-semicolon.csv": 1, "issue-1066-smallcellsize.csv": 12,
    "issue-1066-smallcellsizewithdeviation.csv": 12, "issue-1100.csv": 2, "issue-1105-timezone.csv": 2, "issue-1109.csv": 3,
    "issue-1138.csv": 7, "issue-1232.csv": 5, "issue-1341.csv": 99, "issue-493.csv": 9, "issue-825.csv": 2, "issue-833.csv": 3,
    "issue-844.csv": 2, "issue-991.csv": 1, "leading-zeros.csv": 3, "long.csv": 6, "matrix.csv": 4, "nested-invalid.csv": 5,
    "nested.csv": 4, "numeric-labels.csv": 3, "package-dialect-no-header.csv": 2, "primary-file-types.csv": 2, "sync-schema.csv": 2,
    "table-delimiter.csv": 2, "table-infer-increase-limit.csv": 199, "table-infer-missing-values.csv": 7, "table-infer-row-limit.csv": 11,
    "table-infer-utf8.csv": 5, "table-infer.csv": 4, "table-limits.csv": 3, "table-output.csv": 2, "table-reverse.csv": 2,
    "table-unicode-headers.csv": 2, "table.csv": 2, "table.tsv": 3, "table_with_data.csv": 2, "timezone-with-id.csv": 4,
    "timezone.csv": 4, "transform-groups.csv": 6, "transform-pivot.csv": 12, "transform.csv": 3, "transpose.csv": 2,
    "unique-field.csv": 9, "vix.csv": 2, "Таблица.csv": 2,
}  # fmt: skip
# Where and why each of the others is refused.
REFUSED = {
    "capital-invalid.csv": "line 1: several columns are named 'name'",
    "chunk2.headless.csv": "holds no rows",
    "chunk3.csv": "holds no rows",
    "countries.csv": "line 1: '# clean this data!' is a comment, not a header",
    "country-2.csv": "line 1: '# Author",
    "defective-rows.csv": "line 2: 2 fields, but the header has 3",
    "dialect.csv": "line 3: 3 fields, but the header has 2",
    "duplicate-column.csv": "line 1: several columns are named 'B'",
    "duplicate-headers.csv": "line 1: several columns are named 'id'",
    "empty.csv": "holds no rows",
    "invalid.csv": "line 1: several columns are named 'name'",
    "issue-1004-data1.csv": "line 3: 5 fields, but the header has 4",
    "issue-1004-data2.csv": "line 2: 2 fields, but the header has 4",
    "latin1.csv": "line 3: byte 0xa9 is not UTF-8",
    "matrix-with-comment.csv": "line 1: '# comment' is a comment, not a header",
    "schema-errors.csv": "line 5: 6 fields, but the header has 3",
    "skip-blank-at-the-end.csv": "line 2: 1 field, but the header has 2",
    "skip-rows-before-headers.csv": 'line 1: "# it\'s a comment!" is a comment, not a header',
    "skip-rows.csv": 'line 1: "# it\'s a comment!" is a comment, not a header',
    "structure-errors.csv": "line 5: 6 fields, but the header has 3",
    "table-infer-iso-8859-7.csv": "line 2: byte 0xcb is not UTF-8",
    "table-with-accents.csv": "line 1: byte 0xe9 is not UTF-8",
    "without-headers-extra.csv": "line 3: 3 fields, but the header has 2",
    "without-headers.csv": "line 1: '1' as the name of a column of numbers",
    "without-rows.csv": "holds no rows",
}
SPECTRUM = (
    "comma_in_quotes", "empty", "empty_crlf", "escaped_quotes", "json", "location_coordinates", "newlines", "newlines_crlf", "quotes_and_newlines",
    "simple", "simple_crlf", "utf8",
)  # fmt: skip


def taken(path: Path, block_bytes: int = 1 << 23, **how: Any) -> pl.DataFrame:
    return collect(Files(path.name, **how).read(Place("l", path.parent, path.parent), block_bytes=block_bytes))


def records(path: Path) -> list[list[str]]:
    """What Python's own reader makes of the file."""
    text = path.read_bytes().decode("utf-8-sig")
    first = next(line for line in text.splitlines() if line.strip())
    separator = max(",;\t|", key=first.count)
    return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True) if row]


def test_every_file_is_expected_to_be_something(real_data: Path) -> None:
    there = {path.name for path in (real_data / "dirty_csv" / "frictionless").iterdir() if path.suffix in (".csv", ".tsv")}
    assert there == ROWS.keys() | REFUSED.keys()
    assert not ROWS.keys() & REFUSED.keys()
    assert {path.stem for path in (real_data / "dirty_csv" / "csv-spectrum" / "csvs").iterdir()} == set(SPECTRUM)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_read_whole(real_data: Path, name: str) -> None:
    path = real_data / "dirty_csv" / "frictionless" / name
    table = taken(path)
    header, *rows = records(path)
    assert table.height == len(rows) == ROWS[name]
    assert table.width == len(header)
    for row, meant in zip(table.rows(), rows, strict=True):
        for cell, text in zip(row, meant, strict=True):
            assert same(cell, text)
    assert taken(path, block_bytes=7).equals(table)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_with_line_and_reason(real_data: Path, name: str) -> None:
    path = real_data / "dirty_csv" / "frictionless" / name
    with pytest.raises(BadInput) as error:
        taken(path)
    assert name in str(error.value)
    assert REFUSED[name] in str(error.value)
    # Which of two faults is met first depends on how much is looked at together.
    with pytest.raises(BadInput, match=r"line \d+: |holds no rows"):
        taken(path, block_bytes=5)


@pytest.mark.parametrize("name", SPECTRUM)
def test_read_as_the_truth_beside_it_says(real_data: Path, name: str) -> None:
    folder = real_data / "dirty_csv" / "csv-spectrum"
    truth = json.loads((folder / "json" / f"{name}.json").read_text())
    table = taken(folder / "csvs" / f"{name}.csv")
    if name == "location_coordinates":
        # The file and what is said to be its truth name two different telephones.
        truth = [{**truth, "Contact Phone Number": "2095257564"}]
    if name == "newlines_crlf":
        # The file ends its lines with newlines alone, the truth says otherwise.
        truth = [{key: text.replace("\r\n", "\n") for key, text in row.items()} for row in truth]
    assert table.height == len(truth)
    for row, meant in zip(table.iter_rows(named=True), truth, strict=True):
        assert row.keys() == meant.keys()
        assert all(same(row[key], meant[key]) for key in meant)


def same(cell: object, text: str) -> bool:
    if isinstance(cell, str):
        return cell == text
    if cell is None:
        return not text.strip()
    return text.lower() == str(cell).lower() if isinstance(cell, bool) else float(text) == cell


def test_files_in_another_encoding_are_read_once_it_is_named(real_data: Path) -> None:
    folder = real_data / "dirty_csv" / "frictionless"
    assert taken(folder / "latin1.csv", encoding="latin-1").rows() == [(1, "english"), (2, "©")]
    assert taken(folder / "table-infer-iso-8859-7.csv", encoding="iso8859-7")["name"].to_list()[0].startswith("Λεωνιδας")
    accents = taken(folder / "table-with-accents.csv", encoding="cp1252")
    assert accents.columns[3] == "Année"
    assert accents.height == 638


def test_text_between_tabs_keeps_its_quotes_and_every_row(real_data: Path) -> None:
    path = real_data / "sms_spam" / "sms.tsv"
    lines = [line.split("\t") for line in path.read_text().split("\n")[:-1]]
    assert len(lines) == 5574
    for block_bytes in (1 << 23, 10_000):
        assert taken(path, block_bytes, columns=("label", "text")).rows() == [tuple(line) for line in lines]
