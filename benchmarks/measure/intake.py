"""A CSV file of gigabytes through the steps of the ring, beside Polars that merely reads and writes it; and a table that grew by a percent."""

from __future__ import annotations

from measure import orders
from measure.bars import bar
from measure.contest import POLARS, Medians, Side, contest
from measure.findings import Findings, Table, talk
from measure.tabular import DataSettings
from measure.tools import US

PARTS = ("ingest", "profile", "validate")
HOUR_S = 3600
GROWN_ROWS = 1_000_000


def ingest(settings: DataSettings, found: Findings) -> None:
    path = settings.root / "orders.csv"
    talk(f"writing a CSV file of {settings.gb:g} GB")
    rows = orders.csv(path, least_bytes=int(settings.gb * 1e9))
    size = path.stat().st_size
    medians = contest(
        [Side(US, "intake"), Side(POLARS, "scan_and_write")],
        [path],
        settings,
        found,
        rounds=1 if settings.quick else 2 if settings.gb > 2 else 5,
        wanted={"rows": rows},
        timeout_s=HOUR_S,
        cold=path,
    )
    path.unlink()
    ours, polars = medians[US.name], medians[POLARS.name]
    head = ("", "wall s", "MB/s", "CPU s", "process' peak MB")
    lines = [head, *(_line(name, one, size) for name, one in (("everloop", ours), ("polars scan_csv, sink_parquet", polars)))]
    lines += [(f"everloop: {part}", f"{ours[f'{part}_wall_s']:.2f}", "", f"{ours[f'{part}_cpu_s']:.2f}", "") for part in PARTS]
    found.tables.append(Table(f"A CSV file of {size / 1e9:.3g} GB, {rows:,} rows, ingested, profiled and validated", lines))
    name = f"CSV of {settings.gb:g} GB ingested, profiled, validated"
    found.facts.append((f"{name}: CPU, ours through Polars' scan and write", f"{ours['cpu_s'] / polars['cpu_s']:.2f}"))
    found.facts.append((f"{name}: kept in the store", f"{ours['stored_mb']:,.0f} MB"))
    found.bars.append(bar(f"{name}: peak MB", ours["peak_mb"], 2000))
    found.bars.append(bar(f"{name}: wall, ours through Polars' scan and write", ours["wall_s"] / polars["wall_s"], 1 / 0.6))


def _line(name: str, one: Medians, size: int) -> tuple[str, ...]:
    return (name, f"{one['wall_s']:.2f}", f"{size / 1e6 / one['wall_s']:.0f}", f"{one['cpu_s']:.2f}", f"{one['peak_mb']:,.0f}")


def append(settings: DataSettings, found: Findings) -> None:
    """One percent more rows: as a new file of a glob, read alone; and in a file that is read in full again."""
    more = GROWN_ROWS // 100
    files = {name: settings.root / f"{name}.csv" for name in ("first", "more")}
    orders.csv(files["first"], rows=GROWN_ROWS)
    orders.csv(files["more"], rows=more, first=GROWN_ROWS)
    modes = {"append": "a new file, append mode", "full": "a file that grew, read in full"}
    for mode in ["append"] if settings.quick else modes:
        facts = contest(
            [Side(US, "append")],
            [mode, files["first"], files["more"]],
            settings,
            found,
            rounds=1 if settings.quick else 5,
            wanted={"rows": GROWN_ROWS, "rows_then": GROWN_ROWS + more},
        )[US.name]
        name = f"1 % more of {GROWN_ROWS:,} rows, {modes[mode]}"
        found.bars.append(bar(f"{name}: new bytes in the store, share", facts["new_bytes"] / facts["bytes"], 0.02))
        if mode == "append":
            found.bars.append(bar(f"{name}: wall, share of the first ingest", facts["then_wall_s"] / facts["wall_s"], 0.1))
        found.facts.append(
            (
                name,
                f"{facts['wall_s']:.2f} s and {facts['bytes'] / 1e6:.1f} MB at first, then {facts['then_wall_s']:.3f} s and {facts['new_bytes'] / 1e6:.2f} MB",
            )
        )
    for path in files.values():
        path.unlink()
