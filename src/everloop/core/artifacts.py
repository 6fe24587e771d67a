"""What a format is: one way to keep the values that steps return, and to give them back as they were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from everloop.core.record import Record
    from everloop.store.blobs import Blobs
    from everloop.store.database import Transaction

# A blob's name, a folder's name, or a record's id.
Reached: TypeAlias = tuple[Literal["blob", "tree", "record"], str]


class Artifact(NamedTuple):
    """`output` names the content (a record's id or a digest), `blob` holds it, `type` (a format's name) says how to read it.

    Reading runs code when the type is `pickle`, `own` or `torch.module`: these are read only through a row of this store's own cache,
    from the very bytes that the row names.
    """

    type: str
    output: str
    blob: str


class Kept(NamedTuple):
    """What a format kept.

    `output` must be equal for equal values, in every process, and different for different ones: the blob's own name where equal values
    give equal bytes. A format that cannot say leaves it empty and hands over `content`: something (lists, dicts, plain data, classes)
    that can be pickled and is equal exactly when the kept values are; the engine makes the output of that. Parts of it that are told
    otherwise, large arrays say, count as what `parts` has under their `id()`. `records` go into the store in the transaction that
    writes the cache row.
    """

    output: str
    blob: str
    records: tuple[Record, ...] = ()
    content: object = None
    parts: Mapping[int, str] = {}


class Format(Protocol):
    """One way to keep values. Entry-point group `formats`: a class that is made without arguments, and keeps no state.

    The entry point's name, up to the first dot, is the top-level module that the values' types come from (`torch`, `torch.module`): only
    for values of that library, or of a class derived from one of its classes, the class is loaded. `everloop.testing.formats` has the
    checks that a format must pass.
    """

    def takes(self, value: Any) -> bool: ...

    def save(self, blobs: Blobs, value: Any) -> Kept | None:
        """Keep the value; None when it turns out that it would not come back as it was, and the next format shall try."""
        ...

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object: ...

    def present(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> bool:
        """Whether all of it is still there."""
        ...

    def duplicate(self, value: Any) -> object | None:
        """A value that can be changed without changing `value`; None when only loading gives one."""
        ...

    def reached(self, blobs: Blobs, artifact: Artifact) -> Iterator[Reached]:
        """All that must stay in the store for the artifact to be loaded."""
        ...


class InBlob:
    """What formats share that keep everything in one blob."""

    def present(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> bool:
        return blobs.has(artifact.blob)

    def duplicate(self, value: Any) -> object | None:
        return None

    def reached(self, blobs: Blobs, artifact: Artifact) -> Iterator[Reached]:
        yield "blob", artifact.blob


class InTree:
    """What formats share that keep everything in one folder."""

    def present(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> bool:
        return blobs.has_tree(artifact.blob)

    def duplicate(self, value: Any) -> object | None:
        return None

    def reached(self, blobs: Blobs, artifact: Artifact) -> Iterator[Reached]:
        yield "tree", artifact.blob
