"""Nouns of preparation: Recipe, the steps it is made of, and which columns they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, get_args

import msgspec

from everloop.core.errors import BadInput, unknown
from everloop.core.tables import Column, Kind

Rest: TypeAlias = Literal["standard", "unscaled", "drop"]
Gaps: TypeAlias = Literal["median", "keep"]

# What becomes a feature without being asked for; times, bytes and lists do when a step takes them.
PLAIN_KINDS: tuple[Kind, ...] = ("int", "float", "bool", "text")


class Pick(msgspec.Struct, frozen=True):
    """All columns of some kinds, but those named in `but`."""

    kinds: tuple[Kind, ...]
    but: tuple[str, ...] = ()


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to do with some columns. `makes` are the columns that it adds by names known beforehand; `code` is a function or an unfitted
    transformer of the user's."""

    does: str
    columns: tuple[str | Pick, ...]
    options: Mapping[str, object] = {}
    makes: tuple[str, ...] = ()
    code: object = None

    def takes(self, columns: Sequence[Column]) -> tuple[str, ...]:
        """The names it stands for, each once, in the order in which it names them. Names that are not among `columns` are kept."""
        found: dict[str, None] = {}
        for entry in self.columns:
            names = [entry] if isinstance(entry, str) else [c.name for c in columns if c.kind in entry.kinds and c.name not in entry.but]
            found.update(dict.fromkeys(names))
        return tuple(found)


class Recipe:
    """Steps that turn the columns of a row into features, one after the other; see `everloop.data.recipe`.

    `rest` says what becomes of numbers, booleans and texts that no step takes: "standard" treats them as a loop without a recipe does, "unscaled" the
    same with numbers left as they are, "drop" leaves them out. `missing` says what becomes of a feature that has no value after
    all steps: the "median" of the training part, or "keep" it (as NaN) for models that know what to do with it.
    """

    def __init__(self, *steps: Step, rest: Rest = "standard", missing: Gaps = "median") -> None:
        for step in steps:
            if not isinstance(step, Step):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise BadInput(
                    f"Recipe takes steps such as recipe.scale('a') or recipe.custom(function, 'a'), not a {type(step).__name__} ({step!r:.60})."
                )
        if rest not in get_args(Rest):
            raise unknown("Recipe(rest=...)", rest, get_args(Rest))
        if missing not in get_args(Gaps):
            raise unknown("Recipe(missing=...)", missing, get_args(Gaps))
        self.steps = steps
        self.rest: Rest = rest
        self.missing: Gaps = missing

    def features(self, columns: Sequence[Column]) -> tuple[Column, ...]:
        """Those of `columns` that it makes features of, in their order. BadInput, with the closest match, for a name that is none of them."""
        known = [column.name for column in columns]
        wanted: set[str] = set()
        made: set[str] = set()
        left_out: set[str] = set()
        for step in self.steps:
            for name in step.takes(columns):
                if name not in known and name not in made:
                    why = unknown("Column", name, [*known, *made])
                    raise BadInput(f"Recipe step {step.does!r}: {why} The target and dropped columns are no features.")
                (left_out if step.does == "drop" else wanted).add(name)
            made.update(step.makes)
        plain = {column.name for column in columns if column.kind in PLAIN_KINDS and self.rest != "drop"}
        return tuple(column for column in columns if column.name in (wanted | plain) - (left_out - wanted))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and (self.steps, self.rest, self.missing) == (other.steps, other.rest, other.missing)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        inner = [f"{step.does}({', '.join(map(repr, step.columns))})" for step in self.steps]
        return f"Recipe({', '.join([*inner, f'rest={self.rest!r}', f'missing={self.missing!r}'])})"
