"""Tables in memory: the profile, twenty rules, and the row check of serving, beside by hand and the peers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from measure import orders
from measure.bars import bar
from measure.contest import BY_HAND, Medians, Side, contest
from measure.findings import Findings, Settings, Table
from measure.rules import RULES, broken
from measure.tools import US, Tool, version

SMALL, LARGE = 100_000, 1_000_000
YDATA = Tool("ydata-profiling", "ydata", "import ydata_profiling")
EVIDENTLY = Tool("evidently", "evidently", "import evidently")
DUCKDB = Tool("duckdb", "duckdb", "import duckdb", light=True)
PANDERA = Tool("pandera", "pandera", "import pandera.polars", light=True)
GREAT_EXPECTATIONS = Tool("great_expectations", "great_expectations", "import great_expectations")
PEERS = (YDATA, EVIDENTLY, DUCKDB, GREAT_EXPECTATIONS, PANDERA)

SUMMARIES = (
    Side(US, "summary"),
    Side(BY_HAND, "summary_by_hand"),
    Side(DUCKDB, "summary"),
    Side(YDATA, "summary", rounds=3),
    Side(EVIDENTLY, "summary", rounds=3),
)
EXPECTATIONS = (
    Side(US, "expectations"),
    Side(BY_HAND, "expectations_by_hand"),
    Side(PANDERA, "expectations"),
    Side(GREAT_EXPECTATIONS, "expectations", rounds=3),
)


@dataclass(frozen=True)
class DataSettings(Settings):
    """`gb` is how large the CSV file is made."""

    gb: float = 10
    real_data: Path | None = None

    def orders(self, rows: int) -> Path:
        """A Parquet file of so many rows."""
        path = self.root / f"orders-{rows}.parquet"
        if not path.exists():
            orders.parquet(path, rows)
        return path


def profile(settings: DataSettings, found: Findings) -> None:
    medians = {
        rows: contest(
            _sides(SUMMARIES, settings, rows),
            [settings.orders(rows)],
            settings,
            found,
            rounds=2 if settings.quick else 5,
            wanted={"rows": rows, "columns": 20},
        )
        for rows in (SMALL, LARGE)
    }
    found.tables.append(_table("Profile of 20 columns", SUMMARIES, medians))
    large = medians[LARGE]
    _compare(found, "profile of 1M x 20: CPU, ours through by hand", large, BY_HAND, 1.5)
    _compare(found, "profile of 1M x 20: CPU, ours through ydata-profiling's", large, YDATA, 1 / 25)
    _compare(found, "profile of 1M x 20: CPU, ours through Evidently's", large, EVIDENTLY, 1 / 25)


def rules(settings: DataSettings, found: Findings) -> None:
    as_data = settings.root / "rules.json"
    as_data.write_text(json.dumps(RULES))
    medians = {
        rows: contest(
            _sides(EXPECTATIONS, settings, rows),
            [settings.orders(rows), as_data],
            settings,
            found,
            rounds=2 if settings.quick else 5,
            wanted={"checked": len(RULES), **broken(rows)},
        )
        for rows in (SMALL, LARGE)
    }
    found.tables.append(_table(f"{len(RULES)} rules, two of them broken by a few rows", EXPECTATIONS, medians))
    _compare(found, "20 rules on 1M rows: CPU, ours through by hand", medians[LARGE], BY_HAND, 1.5)


def row_check(settings: DataSettings, found: Findings) -> None:
    facts = contest([Side(US, "row_check")], [], settings, found, rounds=1 if settings.quick else 7, wanted={"refused": 1})[US.name]
    found.bars.append(bar("row check in serving, 30 features, us", facts["us"], 10))


def _sides(sides: Sequence[Side], settings: Settings, rows: int) -> list[Side]:
    """In a quick run each peer is measured once, and those that take half a minute for a million rows with fewer."""
    if not settings.quick:
        return list(sides)
    return [side if side.tool.ours else replace(side, rounds=1) for side in sides if side.tool.light or side.tool.ours or rows == SMALL]


def _compare(found: Findings, name: str, medians: Mapping[str, Medians], other: Tool, limit: float) -> None:
    if other.name in medians:
        found.bars.append(bar(name, medians[US.name]["cpu_s"] / medians[other.name]["cpu_s"], limit))


def _table(title: str, sides: Sequence[Side], medians: Mapping[int, Mapping[str, Medians]]) -> Table:
    head = ("tool", "100k rows, CPU s", "ours / theirs", "1M rows, CPU s", "wall s", "process' peak MB", "ours / theirs")
    lines = [head]
    for side in sides:
        small, large = (medians[rows].get(side.tool.name) for rows in (SMALL, LARGE))
        if small is None and large is None:
            continue
        lines.append(
            (
                f"{side.tool.name} {version(side.tool)}".strip(),
                f"{small['cpu_s']:.3f}" if small else "-",
                _ratio(medians[SMALL].get(US.name), small),
                f"{large['cpu_s']:.3f}" if large else "-",
                f"{large['wall_s']:.2f}" if large else "-",
                f"{large['peak_mb']:,.0f}" if large else "-",
                _ratio(medians[LARGE].get(US.name), large),
            )
        )
    return Table(title, lines)


def _ratio(ours: Medians | None, theirs: Medians | None) -> str:
    return f"{ours['cpu_s'] / theirs['cpu_s']:.2g}" if ours and theirs and ours is not theirs else ""
