"""The table that everybody is measured on: 20 columns of orders as a shop would have them, any number of rows, the same rows for a seed.

12 numeric columns: whole numbers, floats with gaps, skewed ones, some that are mostly zero, and a time. 8 texts: 2, 5, 60, 5,000, 20,000 and
100,000 different values, a free text and an id. A few values break a rule, at known places: whoever validates must find exactly those.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

BATCH_ROWS = 200_000
OLD_AGE_EVERY, LOST_COUNTRY_EVERY = 50_000, 100_000
CHANNELS = ("shop", "web")
STATUSES = ("cancelled", "delivered", "new", "paid", "sent")
COUNTRIES = tuple(f"{a}{b}" for a in "ABCDEFGHIJ" for b in "KLMNOP")
BEGIN = dt.datetime(2024, 1, 1)
_TEXT = (
    "please leave the parcel with a neighbour ring twice second floor on the left call before you come gift wrapping no invoice inside "
    "fragile keep cool back door office hours only thank you very much as discussed on the phone replacement for a broken one urgent"
)


def batches(rows: int, *, first: int = 0, seed: int = 0) -> Iterator[pl.DataFrame]:
    """Rows `first` to `first + rows`, in tables of at most BATCH_ROWS, each made when it is asked for."""
    for begin in range(first, first + rows, BATCH_ROWS):
        yield _batch(begin, min(BATCH_ROWS, first + rows - begin), seed)


def parquet(path: Path, rows: int) -> None:
    pl.concat(batches(rows)).write_parquet(path)


def csv(path: Path, *, rows: int | None = None, least_bytes: int = 0, first: int = 0) -> int:
    """Write rows `first` on, as many as asked for or until the file has `least_bytes`, one batch in memory at a time; how many it became."""
    written = 0
    with path.open("wb") as file:
        while rows is None or written < rows:
            size = BATCH_ROWS if rows is None else min(BATCH_ROWS, rows - written)
            _batch(first + written, size, 0).write_csv(file, include_header=written == 0)
            written += size
            if rows is None and file.tell() >= least_bytes:
                break
    return written


def grown(path: Path, *, rows: int, first: int) -> None:
    """Append rows to a CSV file, as whoever writes it would."""
    with path.open("ab") as file:
        for batch in batches(rows, first=first):
            batch.write_csv(file, include_header=False)


def _batch(first: int, rows: int, seed: int) -> pl.DataFrame:
    # A generator of its own for each batch: a row does not depend on how many are made with it, as long as batches begin at the same rows.
    draw = np.random.default_rng([seed, first])
    at = np.arange(first, first + rows)
    price = np.round(draw.lognormal(3, 1.2, rows), 2)
    age = draw.integers(18, 95, rows)
    age[at % OLD_AGE_EVERY == 17] = 170
    country = _drawn(draw, pl.Series(COUNTRIES), rows, tail=1.5).to_frame("country")
    lost = pl.Series(at % LOST_COUNTRY_EVERY == 23)
    return pl.DataFrame(
        {
            "id": "order-" + pl.Series(at).cast(pl.String).str.zfill(10),
            "at": pl.Series(_seconds(draw, at) * 1_000_000).cast(pl.Datetime("us")),
            "channel": _drawn(draw, pl.Series(CHANNELS), rows),
            "status": _drawn(draw, pl.Series(STATUSES), rows, tail=1),
            "country": country.select(pl.when(lost).then(pl.lit("??")).otherwise("country").alias("country"))["country"],
            "city": _drawn(draw, _names("city", 5_000), rows, tail=1),
            "product": _drawn(draw, _names("product", 20_000), rows, tail=1),
            "customer": _drawn(draw, _names("c", 100_000), rows),
            "note": _notes(draw, rows),
            "quantity": draw.poisson(2, rows) + 1,
            "price": price,
            "list_price": np.round(price * (1.01 + draw.exponential(0.2, rows)) + 0.01, 2),
            "discount": np.where(draw.random(rows) < 0.7, 0.0, np.round(draw.beta(2, 8, rows), 3)),
            "weight_kg": _with_gaps(draw, np.round(draw.gamma(2, 1.5, rows), 3), 0.03),
            "distance_km": np.round(draw.exponential(120, rows), 2),
            "age": age,
            "rating": _with_gaps(draw, draw.choice([1, 2, 3, 4, 5], rows, p=[0.05, 0.05, 0.15, 0.35, 0.4]), 0.2),
            "latitude": draw.normal(48, 4, rows),
            "balance": np.round(draw.normal(0, 900, rows), 2),
            "visits": np.where(draw.random(rows) < 0.6, 0, draw.geometric(0.1, rows)),
        }
    )


def _seconds(draw: np.random.Generator, at: Any) -> Any:
    """Orders come in nearly as they are numbered, 20 seconds apart."""
    return int(BEGIN.replace(tzinfo=dt.UTC).timestamp()) + at * 20 + draw.integers(0, 60, len(at))


def _names(stem: str, count: int) -> pl.Series:
    return stem + pl.Series(np.arange(count)).cast(pl.String).str.zfill(6)


def _drawn(draw: np.random.Generator, values: pl.Series, rows: int, *, tail: float = 0) -> pl.Series:
    """One of the values a row: all as often with `tail` 0, the first ones more often the larger it is."""
    return values.gather((draw.random(rows) ** (1 + tail) * len(values)).astype(np.int64))


def _with_gaps(draw: np.random.Generator, values: Any, share: float) -> pl.Series:
    return pl.select(pl.when(pl.Series(draw.random(len(values)) >= share)).then(pl.Series(values))).to_series()


def _notes(draw: np.random.Generator, rows: int) -> pl.Series:
    """Three phrases each, nearly all notes different; every seventh or so holds a comma, and so stands in quotes in a CSV file."""
    words = np.array(_TEXT.split())
    phrases = [" ".join(words[draw.integers(0, len(words), 3)]) + ("," if draw.random() < 0.05 else "") for _ in range(2_000)]
    drawn = [pl.Series(phrases).gather(draw.integers(0, len(phrases), rows)) for _ in range(3)]
    return pl.select(pl.concat_str(drawn, separator=" ")).to_series()
