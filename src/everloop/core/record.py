"""What all nouns share: frozen, named by the hash of their content, with parents."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from everloop.core.digest import digest

Where: TypeAlias = Literal["blob", "tree"]
# Stands in a description (a field that the id does not cover) for a blob that was collected while the record stayed.
COLLECTED = "collected"

# 96 bits: no accidental collision in any store, and still short enough to read out in a call.
ID_HEX = 24


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """A noun. Two records with equal content have the same id, whoever made them and whenever."""

    @property
    def kind(self) -> str:
        return str(self.__struct_config__.tag)

    def identity(self) -> object:
        """What the id covers: everything, unless a noun says that some fields only describe it."""
        return {name: getattr(self, name) for name in self.__struct_fields__}

    @property
    def id(self) -> str:
        return f"{self.kind}-{digest(self.kind, self.identity())[:ID_HEX]}"

    def parents(self) -> dict[str, str]:
        """Role -> id of each record that this one was made from; the lineage is the chain of these."""
        return {}

    def keeps(self) -> dict[str, tuple[Where, str]]:
        """Field -> the blob or folder that it names: what must stay in the store for the record to be of use."""
        return {}
