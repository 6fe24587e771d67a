"""A step's result <-> what is kept of it. The first format that takes a value keeps it; what no other takes is pickled.

Three ways to add a type, each one file:

- The type keeps itself. A class with `__everloop_save__(self, folder: Path)`, which writes files into an empty folder, and a class
  method `__everloop_load__(cls, folder: Path)`, which makes the value of them again, needs nothing else (`formats/own.py`). Equal values
  should write equal files.
- A package that knows types of another library offers a class of the protocol `core.artifacts.Format` as an entry point of the group
  `everloop.formats`; its name says which library (`torch`, `torch.module`). `everloop.testing.formats` checks it.
- A type of ours: a module in `formats/`, and a line here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from everloop.core.artifacts import Artifact, Format, InBlob, InTree, Kept, Reached
from everloop.core.errors import Broken, Missing, NotFound

if TYPE_CHECKING:
    from everloop.core.record import Record
    from everloop.store.blobs import Blobs
    from everloop.store.database import Transaction

__all__ = ["MEMORY", "Artifact", "Format", "InBlob", "InTree", "Kept", "Reached"]

# In the order in which they are asked: first those that know their types exactly,
FORMATS = {
    "json": "plain:PlainFormat",
    "record": "record:RecordFormat",
    "own": "own:OwnFormat",
    "table": "table:TableFormat",
    "series": "table:SeriesFormat",
    "arrow": "arrow:ArrowFormat",
    "pandas": "pandas:PandasFormat",
    "pandas-series": "pandas:PandasSeriesFormat",
    "array": "array:ArrayFormat",
    "file": "files:FileFormat",
    "folder": "files:FolderFormat",
}
# then those of the entry points, and these last.
_LAST = {"bundle": "bundle:BundleFormat", "pickle": "pickled:PickleFormat"}
_LASTING = frozenset({"record", "json", "table", "series", "arrow"})
# The result of an effect that no format takes: it lives as long as its handle.
MEMORY = "memory"
# Types of these modules have no format of another package.
_PYTHON = sys.stdlib_module_names - {"__main__"}
# Libraries whose data tell their size.
_MEASURED = frozenset({"numpy", "polars", "pyarrow", "pandas", "torch"})

_made: dict[str, Format] = {}


def format_of(type: str) -> Format:
    """Broken or Missing when nobody here knows the format."""
    form = _made.get(type)
    if form is None:
        form = _made[type] = _make(type)
    return form


def save(blobs: Blobs, value: object) -> tuple[Artifact, tuple[Record, ...]]:
    """Keep the bytes of a value. BadInput when no format can."""
    found = save_unless_last(blobs, value)
    for name in _LAST:
        found = found or save_by(format_of(name), name, blobs, value)
    assert found is not None, "pickle takes everything, or says why not"
    return found


def save_unless_last(blobs: Blobs, value: object) -> tuple[Artifact, tuple[Record, ...]] | None:
    """As `save`, by a format that knows the value's very type; None when there is none."""
    for name in FORMATS:
        found = save_by(format_of(name), name, blobs, value)
        if found is not None:
            return found
    for name in _offered(value):
        found = save_by(format_of(name), name, blobs, value)
        if found is not None:
            return found
    return None


def save_by(form: Format, name: str, blobs: Blobs, value: object) -> tuple[Artifact, tuple[Record, ...]] | None:
    """As this format keeps it, under this name; None when it does not take the value."""
    kept = form.save(blobs, value) if form.takes(value) else None
    if kept is None:
        return None
    output = kept.output
    if not output:
        from everloop.core.digest import digest
        from everloop.engine.formats.identity import identity

        output = digest(name, identity(kept.content, kept.parts))
    return Artifact(name, output, kept.blob), kept.records


def load(tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
    """The value again. NotFound or Broken when its bytes are gone or changed."""
    return format_of(artifact.type).load(tx, blobs, artifact)


def present(tx: Transaction, blobs: Blobs, artifact: Artifact) -> bool:
    """Whether it can be loaded here. A result whose format is not installed any more counts as gone: the step runs again."""
    try:
        form = format_of(artifact.type)
    except (Broken, Missing):
        return False
    return form.present(tx, blobs, artifact)


def reached(blobs: Blobs, artifact: Artifact) -> Iterator[Reached]:
    """Every blob, folder and record that must stay for the artifact to be loaded, for a collector to mark: ("blob", name), ("tree", name),
    ("record", id). Of a format that is not installed here, whatever its name may stand for."""
    if artifact.type == MEMORY:
        return
    try:
        form = format_of(artifact.type)
    except (Broken, Missing):
        yield "blob", artifact.blob
        yield "tree", artifact.blob
        return
    yield from form.reached(blobs, artifact)


def members(blobs: Blobs, artifact: Artifact) -> dict[str, Artifact] | list[Artifact] | None:
    """Of a list, tuple or dict whose members are kept one by one: their artifacts, by name or in order. None for anything else,
    and for members that are pickled together."""
    return cast("Any", format_of("bundle")).members(blobs, artifact) if artifact.type == "bundle" else None


def keepsake(artifact: Artifact, value: object) -> object | None:
    """What may stay in memory of a value that was just saved: only what equals a loaded one and cannot change afterwards."""
    return format_of(artifact.type).duplicate(value) if artifact.type in _LASTING and value is not None else None


def duplicate(artifact: Artifact, value: object | None, load: Callable[[], object]) -> object:
    """A value of its own for a body: cheaply from one that is in memory, else loaded."""
    copy = format_of(artifact.type).duplicate(value) if value is not None else None
    return copy if copy is not None else load()


def size_of(value: object, some: int = 64) -> int:
    """About how many bytes of memory a value takes, told in microseconds: tables, arrays and tensors by their columns, texts and numbers
    exactly, lists and dicts by `some` of their members and fewer of what is in those. Of other objects only the head counts."""
    if type(value).__module__.partition(".")[0] in _MEASURED:
        data = cast("Any", value)
        # Of the class: an instance may answer to every name.
        if hasattr(type(value), "nbytes"):
            return int(data.nbytes)
        if hasattr(type(value), "estimated_size"):
            return int(data.estimated_size())
        if hasattr(type(value), "memory_usage"):
            return int(data.memory_usage().sum())
    own = sys.getsizeof(value)
    if not some:
        return own
    if type(value) is dict:
        pairs = cast("dict[object, object]", value)
        return own + _members_size(list(islice(pairs.items(), some)), len(pairs), some)
    if type(value) is list or type(value) is tuple:
        members = cast("Sequence[object]", value)
        return own + _members_size(members[:: max(1, len(members) // some)], len(members), some)
    return own


def _members_size(members: Sequence[object], count: int, some: int) -> int:
    return sum(size_of(member, some // 4) for member in members) * count // len(members) if members else 0


def _offered(value: object) -> Iterator[str]:
    """The formats that other packages offer for a value: for its class, what that derives from, or the members of a dict of such."""
    tops = _tops(type(value))
    if isinstance(value, dict) and value:
        tops = tops | _tops(type(next(iter(cast("dict[object, object]", value).values()))))
    if tops:
        from everloop.core import plugins

        for name in plugins.names("formats"):
            if name.partition(".")[0] in tops and name not in FORMATS and name not in _LAST:
                yield name


def _tops(kind: type) -> set[str]:
    return {str(base.__module__).partition(".")[0] for base in kind.__mro__} - _PYTHON


def _make(type: str) -> Format:
    place = FORMATS.get(type) or _LAST.get(type)
    if place is not None:
        module, _, name = place.partition(":")
        return cast("Format", getattr(import_module(f"everloop.engine.formats.{module}"), name)())
    from everloop.core import plugins

    try:
        return cast("Callable[[], Format]", plugins.find("formats", type))()
    except NotFound:
        raise Broken(
            f"A stored result has the type {type!r}, which nothing here can read. Install the package that offers it (an entry point of "
            "everloop.formats), or run again where the step's result is made anew."
        ) from None
