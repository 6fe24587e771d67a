"""Counts and schema -> findings: structure first, then values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from everloop.core.schemas import ColumnRule, Schema, Stage
from everloop.core.tables import Column, Kind
from everloop.core.verdict import Finding
from everloop.data.validate import numbers
from everloop.data.validate.counts import Counts
from everloop.data.validate.structure import structure
from everloop.data.validate.values import Samples, values


def judge(
    schema: Schema,
    columns: Sequence[Column],
    rules: Mapping[str, ColumnRule],
    counts: Counts,
    *,
    samples: Samples,
    texts: Mapping[str, tuple[int, list[str]]],
    now: float | None,
    stage: Stage,
) -> Iterator[Finding]:
    """`columns` are those that were there, `rules` those of columns of the right kind. `texts` says of columns that may be numbers in disguise how
    many values are numbers, and some that are not."""
    kinds: dict[str, Kind] = {column.name: column.kind for column in columns}
    yield from structure(schema, columns, counts, stage)
    yield from values(schema, kinds, rules, counts, samples, now=now)
    for name, (count, odd) in texts.items():
        found = numbers.finding(rules[name], count, counts.valid(name), odd)
        if found is not None:
            yield found
