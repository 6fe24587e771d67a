"""How what a source has now joins what was taken of it before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from everloop.core.errors import BadInput, unknown


@dataclass(frozen=True, init=False)
class Upsert:
    """Rows replace those with the same key where these stand, and rows with a new key come behind: `Upsert("customer", "day")`."""

    key: tuple[str, ...]

    def __init__(self, *key: str) -> None:
        if not key or not all(isinstance(name, str) and name for name in key):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise BadInput(f"Upsert({', '.join(map(repr, key))}) needs the names of the columns that tell rows apart: Upsert('id').")
        object.__setattr__(self, "key", key)


Growth: TypeAlias = Literal["full", "append"] | Upsert
"""`full`: a snapshot is what the source has now. `append`: what is new comes behind the rows of the last snapshot. `Upsert`: by key."""


def checked(growth: Growth) -> Growth:
    """BadInput, with what there is, when it is none of these."""
    if isinstance(growth, Upsert) or growth in ("full", "append"):
        return growth
    raise BadInput(f"{unknown('Way of ingesting', str(growth), ['full', 'append'])} Or by key: Upsert('id').")


def mode_of(growth: Growth) -> Literal["full", "append", "upsert"]:
    return "upsert" if isinstance(growth, Upsert) else growth
