"""A table that passes by in batches -> its verdict, in memory that does not grow with it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import polars as pl

from everloop.core.schemas import Schema, Stage
from everloop.core.verdict import Verdict, verdict
from everloop.data.validate import numbers
from everloop.data.validate.compile import Check
from everloop.data.validate.counts import Counts, Which, add
from everloop.data.validate.judge import judge
from everloop.data.validate.samples import SAMPLES, Sample, fetch
from everloop.data.validate.seen import Seen
from everloop.data.validate.told import Told


class Checks:
    """Counts of the batches so far, and the first rows that broke each rule. Two of them merge: first rows, then the rows that came after.

    Unique values and keys are counted by their hashes (`seen.py`): exact up to 16 million different values, an estimate without bias beyond. Rows
    that repeat a value of another batch are counted, and only those that repeat one of their own batch are shown.
    """

    def __init__(self, schema: Schema, dtypes: Mapping[str, pl.DataType], *, stage: Stage = "training", told: Told | None = None) -> None:
        """`dtypes` are those of every batch. With what the statistics of all rows have `told`, later batches need only the columns in `needs`.
        Raises BadInput when a pattern or an expression of the schema is not understood."""
        self._check = Check(schema, dtypes, stage=stage, together=False, told=told)
        self._told = told
        self._stage: Stage = stage
        self._counts = Counts(
            rows=0, nulls=dict.fromkeys(self._check.there, 0), broken=dict.fromkeys(self._check.fits, 0), unasked=self._check.unasked
        )
        self._samples: dict[Which, list[Sample]] = {}
        self._seen = {which: Seen() for which in self._check.distinct}
        self._numbers: dict[str, int] | None = None
        self._odd: dict[str, list[str]] = {}

    @property
    def needs(self) -> frozenset[str]:
        """The columns of the next batch: all of the first one, which tells what else is to be looked at."""
        return self._check.needs | frozenset(self._numbers) if self._numbers is not None else frozenset(self._check.kinds)

    @property
    def rows(self) -> int:
        return self._counts.rows

    def add(self, batch: pl.DataFrame) -> None:
        if not batch.height:
            return
        found = self._check(batch)
        broken = [which for which, count in found.broken.items() if count]
        broken += [Which("nulls", name) for name, rule in self._check.rules.items() if not rule.nullable and found.missing(name)]
        broken += [which for which in self._seen if self._repeats(which, batch, found)]
        for which in broken:
            self._sample(which, batch)
        self._read_texts(batch)
        self._counts = add(self._counts, found)

    def merge(self, later: Checks) -> None:
        """Take in what another saw of the rows that come after these."""
        for which, samples in later._samples.items():
            moved = [Sample(sample.row + self.rows, sample.values) for sample in samples]
            self._samples[which] = [*self._samples.get(which, []), *moved][:SAMPLES]
        for which, seen in self._seen.items():
            seen.merge(later._seen[which])
        mine, theirs = self._numbers, later._numbers
        if mine is not None and theirs is not None:
            self._numbers = {name: count + theirs[name] for name, count in mine.items() if name in theirs}
        else:
            self._numbers = theirs if mine is None else mine
        for name, odd in later._odd.items():
            self._odd.setdefault(name, odd)
        self._counts = add(self._counts, later._counts)

    def verdict(self, *, about: str, now: float | None = None) -> Verdict:
        """The verdict "data" on what was seen so far. `now` (seconds since the epoch) is asked for where the schema speaks of freshness."""
        surplus = {which: seen.surplus() for which, seen in self._seen.items()}
        estimated = frozenset(which for which, seen in self._seen.items() if not seen.exact)
        counts = add(self._counts, Counts(rows=0, broken=surplus, estimated=estimated))
        if self._told is not None:
            counts = msgspec.structs.replace(
                counts,
                rows=self._told.rows,
                nulls={name: self._told.nulls[name] for name in self._check.there},
                odd={name: self._told.odd[name] for name in self._check.there},
                broken={
                    **counts.broken,
                    **dict.fromkeys(self._told.kept, 0),
                },
                newest=self._told.newest,
            )
        check = self._check
        texts = {name: (count, self._odd.get(name, [])) for name, count in (self._numbers or {}).items()}
        return verdict(
            "data",
            about,
            judge(
                check.schema,
                check.columns,
                check.rules,
                counts,
                samples=lambda which: self._samples.get(which, []),
                texts=texts,
                now=now,
                stage=self._stage,
            ),
        )

    def _repeats(self, which: Which, batch: pl.DataFrame, found: Counts) -> bool:
        """Remember the values; whether some come twice within the batch, and none did before."""
        names = self._check.distinct[which]
        kept = batch.select(names)
        if any(found.missing(name) for name in names):
            kept = kept.filter(self._check.whole(which))
        hashes = (kept[names[0]] if len(names) == 1 else kept.to_struct("key")).hash(0)
        return self._seen[which].add(hashes) > 0 and not self._samples.get(which)

    def _read_texts(self, batch: pl.DataFrame) -> None:
        if self._numbers is None:
            self._numbers = dict.fromkeys(numbers.candidates(self._check.rules, self._check.kinds, batch), 0)
        if self._numbers:
            found = numbers.count(batch, list(self._numbers))
            self._numbers = {name: count + found[name] for name, count in self._numbers.items()}
            for name in self._numbers:
                if not self._odd.get(name) and found[name] < len(batch) - batch[name].null_count():
                    self._odd[name] = numbers.odd_ones(batch, name)

    def _sample(self, which: Which, batch: pl.DataFrame) -> None:
        known = self._samples.setdefault(which, [])
        if len(known) < SAMPLES:
            # Of categories and forms each value is shown once.
            shown = {sample.values for sample in known if which.check in ("categories", "pattern")}
            found = fetch(batch, self._check, which, first_row=self.rows)
            known += [sample for sample in found if sample.values not in shown][: SAMPLES - len(known)]
