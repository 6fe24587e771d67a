"""Schema and the types of a table -> one Polars query that counts what breaks which rule."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import polars as pl

from everloop.core.rules.checks import alike, asked, bounds, row_checks
from everloop.core.rules.expression import parse
from everloop.core.rules.patterns import pattern
from everloop.core.rules.tree import Node
from everloop.core.schemas import ColumnRule, Schema, Stage
from everloop.core.tables import Column, Kind
from everloop.data.kinds import kind_of
from everloop.data.validate.counts import Counts, Which
from everloop.data.validate.expressions import expression
from everloop.data.validate.told import Told

_LARGEST = sys.float_info.max


class Check:
    """`check(frame)` counts, in one `select`. `fits` are, by rule, the values that keep it (null where there is none): what is neither kept nor missing
    is broken. `unique` and `keys` are left out where `together` is False: a batch does not know the others. So are rules that `told` has settled, and
    nulls that it has counted: `needs` are the columns that are still to be looked at."""

    def __init__(
        self,
        schema: Schema,
        dtypes: Mapping[str, pl.DataType],
        *,
        stage: Stage = "training",
        together: bool = True,
        told: Told | None = None,
    ) -> None:
        """Raises BadInput when a pattern or an expression of the schema is not understood."""
        self.schema = schema
        self.dtypes = dict(dtypes)
        self.kinds: dict[str, Kind] = {name: kind_of(dtype) for name, dtype in self.dtypes.items()}
        self.columns = tuple(Column(name, kind) for name, kind in self.kinds.items())
        self.there = [rule.name for rule in asked(schema, stage) if rule.name in self.kinds]
        self.rules: dict[str, ColumnRule] = {
            rule.name: rule for rule in asked(schema, stage) if rule.name in self.kinds and alike(rule.kind, self.kinds[rule.name])
        }
        self.fits: dict[Which, Any] = {}
        self.of: dict[Which, tuple[str, ...]] = {}
        self.unasked: dict[Which, str] = {}
        self.distinct: dict[Which, tuple[str, ...]] = {}
        for rule in self.rules.values():
            for check in row_checks(rule, self.kinds[rule.name]):
                if check != "nulls":
                    self._ask(Which(check, rule.name), (rule.name,), _fits(check, rule, self.kinds[rule.name], self.dtypes[rule.name]))
            if rule.unique:
                self.distinct[Which("unique", rule.name)] = (rule.name,)
        self._keys()
        self._relations()
        self._settle(told)
        self._query = self._expressions(together)

    def __call__(self, frame: pl.DataFrame | pl.LazyFrame) -> Counts:
        """A lazy table is read once, in bounded memory (but for unique values, which take memory by their number)."""
        select = frame.select(self._query.values())
        found = (select.collect(engine="streaming") if isinstance(select, pl.LazyFrame) else select).row(0, named=True)
        rows = found["rows"]
        nulls = {name: found[f"nulls {name}"] for name in self._counted}
        odd = {name: rows - nulls[name] - found[f"finite {name}"] for name in self._counted if f"finite {name}" in found}
        newest = found.get("newest")
        counts = Counts(rows=rows, nulls=nulls, odd=odd, newest=None if newest is None else newest / 1e6, unasked=self.unasked)
        broken: dict[Which, int] = {}
        for at, which in enumerate((*self.fits, *self.distinct)):
            kept = found.get(f"kept {at}")
            if kept is not None:
                of = rows if which.check == "rule" else found[f"of {at}"] if which.check == "keys" else counts.valid(which.subject)
                broken[which] = of - kept
        return Counts(rows=rows, nulls=nulls, odd=odd, broken=broken, newest=counts.newest, unasked=self.unasked)

    def breaks(self, which: Which) -> Any:
        """The rows that break a rule, as a condition."""
        if which.check in ("nulls", "missing_values"):
            return self.has_no_value(which.subject)
        if which.check == "rule":
            return ~self.fits[which]
        if which in self.distinct:
            return self.whole(which) & pl.struct(self.distinct[which]).is_duplicated()
        return ~self.fits[which] & ~self.has_no_value(which.subject)

    def whole(self, which: Which) -> Any:
        """The rows that have a value in each column of a unique column or key."""
        return pl.all_horizontal([~self.has_no_value(name) for name in self.distinct[which]])

    def has_no_value(self, name: str) -> Any:
        column: Any = pl.col(name)
        return column.is_null() | ~column.is_finite() if self.dtypes[name].is_float() else column.is_null()

    def _ask(self, which: Which, columns: tuple[str, ...], fits: Any) -> None:
        self.fits[which], self.of[which] = fits, columns

    def _settle(self, told: Told | None) -> None:
        self._told = told
        self._counted = self.there
        if told is None:
            self.needs = frozenset(self.kinds)
            return
        for which in told.kept:
            self.fits.pop(which, None)
            self.distinct.pop(which, None)
        gaps = {name for name, rule in self.rules.items() if not rule.nullable and told.nulls[name] + told.odd[name]}
        asked = {name for columns in (*self.distinct.values(), *(self.of[which] for which in self.fits)) for name in columns}
        self._counted = [name for name in self.there if name in asked | gaps]
        self.needs = frozenset(self._counted) | asked

    def _keys(self) -> None:
        for key in self.schema.keys:
            which = Which("keys", ", ".join(key.columns))
            absent = [name for name in key.columns if name not in self.rules]
            if absent:
                self.unasked[which] = _absent(absent)
            else:
                self.distinct[which] = key.columns

    def _relations(self) -> None:
        known: dict[str, Kind] = {rule.name: rule.kind for rule in self.schema.columns}
        there: dict[str, Kind] = {name: self.kinds[name] for name in self.rules}
        for rule in self.schema.rules:
            which = Which("rule", rule.title)
            node = parse(rule.check, known)
            absent = sorted(node.columns() - set(there))
            if absent:
                self.unasked[which] = _absent(absent)
                continue
            typed: Node = parse(rule.check, known | there)
            self._ask(which, tuple(sorted(node.columns())), expression(typed, self.dtypes))

    def _expressions(self, together: bool) -> dict[str, Any]:
        query: dict[str, Any] = {"rows": pl.len()}
        for name in self._counted:
            column: Any = pl.col(name)
            query[f"nulls {name}"] = column.null_count()
            if self.dtypes[name].is_float():
                query[f"finite {name}"] = column.is_finite().sum()
        for at, which in enumerate((*self.fits, *self.distinct)):
            if which.check == "rule":
                query[f"kept {at}"] = pl.len() - (~self.fits[which]).sum()
            elif which in self.fits:
                query[f"kept {at}"] = self.fits[which].sum()
            elif together:
                query[f"kept {at}"] = self._different(which)
                if which.check == "keys":
                    query[f"of {at}"] = self.whole(which).sum()
        fresh = self.schema.freshness
        if self._told is None and fresh is not None and fresh.column in self.rules and self.kinds[fresh.column] == "time":
            query["newest"] = pl.col(fresh.column).cast(pl.Datetime("us")).max().to_physical()
        return {name: built.alias(name) for name, built in query.items()}

    def _different(self, which: Which) -> Any:
        if which.check == "keys":
            return pl.struct(self.distinct[which]).filter(self.whole(which)).n_unique()
        column: Any = pl.col(which.subject)
        if self.dtypes[which.subject].is_float():
            return column.filter(column.is_finite()).n_unique()
        return column.n_unique() - (column.null_count() > 0).cast(pl.UInt32)


def _absent(names: list[str]) -> str:
    return f"{', '.join(map(repr, names))} {'is' if len(names) == 1 else 'are'} not there"


def _fits(check: str, rule: ColumnRule, kind: Kind, dtype: pl.DataType) -> Any:
    """True for values that keep a check; false or null for those that have no value, which is counted apart."""
    column: Any = pl.col(rule.name)
    match check:
        case "range":
            low, high = bounds(rule, kind)
            if dtype.is_float():
                # The largest float keeps infinities out, and every comparison with NaN fails.
                return column.is_between(-_LARGEST if low is None else low, _LARGEST if high is None else high)
            if low is None or high is None:
                return column <= high if low is None else column >= low
            return column.is_between(low, high)
        case "categories":
            words = pl.Series(rule.vocabulary or (), dtype=dtype if dtype != pl.UInt64 else pl.Int64)
            return column.is_in(words.implode()) if dtype != pl.UInt64 else column.cast(pl.Int64, strict=False).is_in(words.implode())
        case "pattern":
            return column.str.contains(pattern(rule.pattern or "").whole)
        case _:
            sizes = {
                "text": column.str.len_chars,
                "bytes": column.bin.size,
                "list": column.list.len if dtype == pl.List else column.arr.len,
            }
            size = sizes[kind]()
            return size >= (rule.min_length or 0) if rule.max_length is None else size.is_between(rule.min_length or 0, rule.max_length)
