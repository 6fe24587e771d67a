"""The statistics of a profile as somebody would write them by hand with Polars and NumPy: the whole table in memory, one sort a column, no
parts, nothing to merge. What a general profiler's CPU is measured against.

    python benchmarks/measure/profile_by_hand.py [rows ...]

prints the CPU seconds of both on the same table (all threads; the better of five runs each, taking turns).
"""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import polars as pl

BINS, TOP, SAMPLE = 500, 50, 512
EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}")
PHONE = re.compile(r"\+\d{1,3}[ .-]?\d{2,5}(?:[ .-]?\d{2,5}){1,4}")
CARD = re.compile(r"\d{4}([ -]?)\d{4}\1\d{4}\1\d{4}")
NATIONAL = re.compile(r"\d{3}-\d{2}-\d{4}")
SHAPE = {code: "9" if chr(code).isdigit() else "A" if chr(code).isupper() else "a" for code in range(128) if chr(code).isalnum()}


def profile(frame: pl.DataFrame) -> dict[str, object]:
    columns: dict[str, object] = {}
    numeric: dict[str, np.ndarray] = {}
    for series in frame.iter_columns():
        if series.dtype == pl.String:
            columns[series.name] = text(series)
        else:
            if series.dtype.is_temporal():
                values = (series.to_physical() / 1e6).to_numpy()
            else:
                numeric[series.name] = values = series.cast(pl.Float64).to_numpy()
            columns[series.name] = number(series, values)
    return {
        "rows": frame.height,
        "columns": columns,
        "correlations": correlations(numeric),
        "duplicates": frame.height - frame.hash_rows().n_unique(),
    }


def number(series: pl.Series, values: np.ndarray) -> dict[str, object]:
    nulls = series.null_count()
    # Faster than NumPy's, and NaN is last there, too.
    ordered = pl.Series(values).sort().to_numpy()
    first, end = np.searchsorted(ordered, -np.inf, "right"), np.searchsorted(ordered, np.inf, "left")
    finite = ordered[first:end]
    infinite = first + np.searchsorted(ordered, np.inf, "right") - end
    out: dict[str, object] = {"nulls": nulls, "nans": len(ordered) - len(finite) - nulls, "infinite": int(infinite)}
    if not len(finite):
        return out
    mean = finite.mean()
    off = finite - mean
    square = off * off
    starts = np.flatnonzero(np.concatenate([[True], finite[1:] != finite[:-1]]))
    runs = np.diff(starts, append=len(finite))
    heavy = np.flatnonzero(runs >= 0.01 * len(finite))
    if len(starts) <= BINS:
        edges, counts = np.append(finite[starts], np.nextafter(finite[-1], np.inf)), runs
    else:
        edges = np.unique(finite[np.linspace(0, len(finite) - 1, BINS + 1).round().astype(np.int64)])
        counts = np.diff(np.searchsorted(finite, edges[1:-1]), prepend=0, append=len(finite))
    negatives = np.searchsorted(finite, 0.0, "left")
    if series.dtype.is_temporal():
        steps = np.diff(finite[starts])
        if len(steps):
            out |= {"usual": np.median(steps), "longest": steps.max(), "after": finite[starts][steps.argmax()]}
    return out | {
        "distinct": len(starts), "mean": mean, "m2": square.sum(), "m3": (square * off).sum(), "m4": (square * square).sum(),
        "low": finite[0], "high": finite[-1], "zeros": int(np.searchsorted(finite, 0.0, "right") - negatives), "negatives": int(negatives),
        "edges": edges, "counts": counts, "points": list(zip(finite[starts[heavy]].tolist(), runs[heavy].tolist(), strict=True)),
    }  # fmt: skip


def text(series: pl.Series) -> dict[str, object]:
    nulls = series.null_count()
    counted = series.drop_nulls().value_counts(name="n")
    values, counts = counted.to_series(0), counted.to_series(1)
    if not len(values):
        return {"nulls": nulls}
    top = counted.top_k(TOP, by="n")
    lengths = values.str.len_chars()
    sample = values.sample(min(SAMPLE, len(values)), seed=0).to_list()
    shapes = Counter(value.translate(SHAPE) for value in sample)
    # Only a sample, and only what has an '@' at all: the expression is the dear part.
    with_at = values.filter(values.str.contains("@", literal=True))
    emails = with_at.sample(min(64, len(with_at)), seed=0).to_list()
    return {
        "nulls": nulls, "distinct": len(values), "top": top.rows(), "other": int(counts.sum()) - int(top.to_series(1).sum()),
        "lengths": (lengths.min(), lengths.max(), (lengths * counts).sum() / counts.sum()), "patterns": shapes.most_common(10),
        "pii": {
            "email": sum(EMAIL.search(value) is not None for value in emails) / max(len(emails), 1) * len(with_at) / len(values),
            **{kind: sum(form.fullmatch(value) is not None for value in sample) / len(sample)
               for kind, form in {"phone": PHONE, "card": CARD, "national_id": NATIONAL}.items()},
        },
    }  # fmt: skip


def correlations(columns: dict[str, np.ndarray]) -> np.ndarray:
    """Pairwise complete."""
    if len(columns) < 2:
        return np.ones((len(columns), len(columns)))
    x = np.array(list(columns.values()))
    there = np.isfinite(x)
    if there.all():
        x -= x.mean(axis=1, keepdims=True)
        c = x @ x.T
        size = np.sqrt(np.diag(c))
        return c / np.outer(size, size)
    x[~there] = 0.0
    mask = there.astype(np.float64)
    x -= x.sum(axis=1, keepdims=True) / np.maximum(mask.sum(axis=1, keepdims=True), 1)
    x *= mask
    n, sums, squares = np.maximum(mask @ mask.T, 1), x @ mask.T, np.square(x) @ mask.T
    deviations = squares - sums * sums / n
    return (x @ x.T - sums * sums.T / n) / np.sqrt(deviations * deviations.T)


def table(rows: int, seed: int = 0) -> pl.DataFrame:
    """12 columns of numbers and times, 8 of text, of the kinds that tables have."""
    r = np.random.default_rng(seed)
    numbers = {
        **{f"measure_{i}": r.normal(size=rows) for i in range(4)},
        **{f"amount_{i}": r.lognormal(size=rows) for i in range(2)},
        "price": np.round(r.gamma(2, 50, rows), 2), "id": np.arange(rows), "age": r.integers(0, 100, rows), "visits": r.poisson(30, rows),
        "member": r.random(rows) < 0.3,
        "when": np.datetime64("2026-01-01", "us") + np.sort(r.integers(0, 31_536_000, rows)).astype("timedelta64[s]"),
    }  # fmt: skip
    texts = {
        **{f"kind_{n}": np.char.add("k", r.integers(0, n, rows).astype(str)) for n in (3, 20, 100, 1000)},
        "city": np.char.add("city ", np.minimum(r.zipf(1.3, rows), 50_000).astype(str)),
        "zip": np.char.zfill(r.integers(0, 20_000, rows).astype(str), 5),
        "email": np.char.add(np.char.add("user", r.integers(0, max(rows, 1), rows).astype(str)), "@example.com"),
        "order": np.char.add("ord-", (10_000_000 + np.arange(rows)).astype(str)),
    }
    frame = pl.DataFrame(numbers | texts)
    holes = [
        pl.when(pl.Series(r.random(rows) >= share)).then(pl.col(name)).alias(name)
        for name, share in (("measure_3", 0.05), ("kind_20", 0.1))
    ]
    return frame.with_columns(holes)


def compare(rows: int, times: int = 5) -> tuple[float, float]:
    """CPU seconds of everloop's profile and of the one by hand."""
    import time

    from everloop.data.profile import summarise

    frame = table(rows)
    best = [float("inf"), float("inf")]
    for _ in range(times):
        for at, work in enumerate((lambda: summarise(frame, about=""), lambda: profile(frame))):
            # What threads of an earlier run still spin is not ours.
            time.sleep(0.2)
            begun = time.process_time()
            work()
            best[at] = min(best[at], time.process_time() - begun)
    return best[0], best[1]


if __name__ == "__main__":
    import sys

    for rows in [int(arg) for arg in sys.argv[1:]] or [100_000, 1_000_000]:
        ours, hand = compare(rows)
        print(f"{rows:>9,} x 20: everloop {ours:.3f} CPU s, by hand {hand:.3f} CPU s, {ours / hand:.2f}x")
