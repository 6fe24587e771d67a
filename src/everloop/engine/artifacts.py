"""A step's result <-> what is kept of it. The first format of `FORMATS` that takes a value keeps it.

A new type is a module with a class like those in `formats/`, and a line here.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from everloop.core.errors import BadInput, Broken
from everloop.store.blobs import Blobs
from everloop.store.database import Transaction

if TYPE_CHECKING:
    from everloop.core.record import Record

# In the order in which they are asked; the last takes whatever can be pickled.
FORMATS = {
    "record": "record:RecordFormat",
    "json": "plain:PlainFormat",
    "table": "table:TableFormat",
    "arrow": "arrow:ArrowFormat",
    "pandas": "arrow:PandasFormat",
    "array": "array:ArrayFormat",
    "scalar": "array:ScalarFormat",
    "file": "files:FileFormat",
    "folder": "files:FolderFormat",
    "bundle": "bundle:BundleFormat",
    "pickle": "pickled:PickleFormat",
}
_LASTING = frozenset({"record", "json", "scalar", "table", "arrow"})
# The result of an effect that no format takes: it lives as long as its handle.
MEMORY = "memory"


class Artifact(NamedTuple):
    """`output` names the content (a record's id or a digest), `blob` holds it, `type` says how to read it.

    Type `pickle` runs code when it is read: it is read only through a row of this store's own cache.
    """

    type: str
    output: str
    blob: str


class Kept(NamedTuple):
    """What a format kept. `records` go into the store in the transaction that writes the cache row."""

    output: str
    blob: str
    records: tuple[Record, ...] = ()


class Format(Protocol):
    """One way to keep values."""

    def takes(self, value: object) -> bool: ...

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


_made: dict[str, Format] = {}


def format_of(type: str) -> Format:
    if type not in _made:
        if type not in FORMATS:
            raise Broken(
                f"A stored result has the unknown type {type!r}: it was written by a newer everloop. Upgrade, or run again elsewhere."
            )
        module, _, name = FORMATS[type].partition(":")
        _made[type] = cast("Format", getattr(import_module(f"everloop.engine.formats.{module}"), name)())
    return _made[type]


def save(blobs: Blobs, value: object) -> tuple[Artifact, tuple[Record, ...]]:
    """Keep the bytes of a value. BadInput when no format can."""
    for name in FORMATS:
        form = format_of(name)
        if form.takes(value):
            kept = form.save(blobs, value)
            if kept is not None:
                return Artifact(name, kept.output, kept.blob), kept.records
    raise BadInput(f"a {type(value).__module__}.{type(value).__qualname__} cannot be stored")


def load(tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
    """The value again. NotFound or Broken when its bytes are gone or changed."""
    return format_of(artifact.type).load(tx, blobs, artifact)


def present(tx: Transaction, blobs: Blobs, artifact: Artifact) -> bool:
    return format_of(artifact.type).present(tx, blobs, artifact)


def keepsake(artifact: Artifact, value: object) -> object | None:
    """What may stay in memory of a value that was just saved: only what equals a loaded one and cannot change afterwards."""
    return format_of(artifact.type).duplicate(value) if artifact.type in _LASTING and value is not None else None


def duplicate(artifact: Artifact, value: object | None, load: Callable[[], object]) -> object:
    """A value of its own for a body: cheaply from one that is in memory, else loaded."""
    copy = format_of(artifact.type).duplicate(value) if value is not None else None
    return copy if copy is not None else load()
