"""Names of files and of formats -> the format."""

from __future__ import annotations

import difflib

from everloop.core.errors import BadInput

FORMATS = {
    "csv": "csv", "tsv": "tsv", "txt": "csv", "tab": "tsv", "parquet": "parquet", "pq": "parquet", "jsonl": "jsonl", "ndjson": "jsonl",
    "json": "json", "arrow": "arrow", "arrows": "arrow", "ipc": "arrow", "feather": "arrow",
    "xlsx": "excel", "xlsm": "excel", "xlsb": "excel", "xls": "excel", "ods": "excel", "excel": "excel",
}  # fmt: skip
_PACKED = ("gz", "zst", "zstd", "bz2", "xz", "zip")


def check_format(format: str | None) -> None:
    if format is not None and format not in FORMATS:
        close = difflib.get_close_matches(format, FORMATS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise BadInput(f"Format {format!r} does not exist.{hint} Known: {', '.join(sorted(set(FORMATS.values())))}.")


def format_of(name: str, format: str | None = None) -> str:
    """By the name's ending, one that tells of packing aside."""
    endings = name.rsplit("/", 1)[-1].lower().split(".")[1:]
    if len(endings) > 1 and endings[-1] in _PACKED:
        endings.pop()
    found = FORMATS.get(format or (endings[-1] if endings else ""))
    if found is None:
        known = ", ".join(f".{ending}" for ending in FORMATS)
        raise BadInput(f"{name} has no suffix that tells its format ({known}). Say which: format='csv'.")
    return found
