"""PyTorch's tensors, state dicts and modules that a step returns.

Tensors and state dicts are safetensors files, which hold no code. A module is a folder: its tensors in safetensors, and its structure
(class, attributes, hooks) by cloudpickle, untrusted: a class is code, and no file of numbers says what `forward` does. Return
`module.state_dict()` where the numbers are enough. Everything comes back on the CPU.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections import OrderedDict
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from everloop.core.artifacts import Artifact, InBlob, InTree, Kept
from everloop.core.errors import Broken, Missing
from everloop.store.blobs import file_digest

if TYPE_CHECKING:
    from everloop.store.blobs import Blobs
    from everloop.store.database import Transaction

_KINDS: dict[str, type] = {"dict": dict, "OrderedDict": OrderedDict}
_TENSORS, _STRUCTURE = "tensors.safetensors", "structure.pkl"


class TensorFormat(InBlob):
    def takes(self, value: Any) -> bool:
        tensors = _tensors()
        return tensors is not None and tensors.is_plain(value)

    def save(self, blobs: Blobs, value: Any) -> Kept | None:
        return _keep(blobs, {"tensor": value}, None)

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        return _needed().read(blobs.file(artifact.blob))[0]["tensor"]

    def duplicate(self, value: Any) -> object | None:
        if value.device.type != "cpu" or type(value) is not sys.modules["torch"].Tensor:
            return None
        return value.detach().clone().requires_grad_(value.requires_grad)


class StateFormat(InBlob):
    """Dicts from texts to tensors, as `state_dict()` gives and `load_state_dict` takes them, in their order."""

    def takes(self, value: Any) -> bool:
        tensors = _tensors()
        if tensors is None or type(value) not in _KINDS.values() or not value:
            return False
        return all(type(name) is str and tensors.is_plain(item) for name, item in value.items())

    def save(self, blobs: Blobs, value: Any) -> Kept | None:
        # What `state_dict()` says beside the tensors: versions of the modules' layouts.
        attributes = dict(getattr(value, "__dict__", {}))
        versions = attributes.pop("_metadata", None)
        if attributes or not _is_versions(versions):
            return None
        return _keep(blobs, value, [type(value).__name__, versions])

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        tensors, (kind, versions) = _needed().read(blobs.file(artifact.blob))
        state: Any = _KINDS[kind](tensors)
        if versions is not None:
            state._metadata = OrderedDict(versions)
        return state


class ModuleFormat(InTree):
    def takes(self, value: Any) -> bool:
        torch: Any = sys.modules.get("torch")
        return _tensors() is not None and isinstance(value, torch.nn.Module) and not isinstance(value, torch.jit.ScriptModule)

    def save(self, blobs: Blobs, value: Any) -> Kept | None:
        tensors = _needed()
        structure = io.BytesIO()
        found = _Tensors(value, tensors.is_plain)
        pickler: Any = import_module("cloudpickle").Pickler

        class Pickler(pickler):
            def persistent_id(self, obj: object) -> str | None:
                return found.name_of(obj)

        try:
            Pickler(structure, protocol=5).dump(value)
        except Exception:
            # Whatever it is, the next format meets it too, and says it in its own words.
            return None
        with blobs.scratch() as scratch:
            whole = scratch / "whole"
            whole.mkdir()
            if not tensors.write(found.by_name, whole / _TENSORS):
                return None
            numbers = file_digest(whole / _TENSORS)
            (whole / _STRUCTURE).write_bytes(structure.getvalue())
            tree = blobs.put_tree(whole, move=True)
        return Kept("", tree, content=[numbers, value], parts={id(item): name for name, item in found.by_name.items()})

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        folder = blobs.tree(artifact.blob)
        stored, _ = _needed().read(folder / _TENSORS)

        class Unpickler(pickle.Unpickler):
            def persistent_load(self, pid: Any) -> object:
                return stored[pid]

        try:
            with (folder / _STRUCTURE).open("rb") as file:
                return Unpickler(file).load()
        except (ImportError, AttributeError) as error:
            raise Broken(
                f"A stored module cannot be read: {error}. Put its class back, or change the step so that it runs again."
            ) from error


class _Tensors:
    """The tensors that are met in a module, under the names that PyTorch gives them."""

    def __init__(self, module: Any, is_plain: Any) -> None:
        self.by_name: dict[str, Any] = {}
        self._is_plain = is_plain
        self._tensor = sys.modules["torch"].Tensor
        self._names = {id(tensor): name for name, tensor in [*module.named_buffers(), *module.named_parameters()]}

    def name_of(self, obj: object) -> str | None:
        if not isinstance(obj, self._tensor) or not self._is_plain(obj):
            return None
        name = self._names.setdefault(id(obj), f"tensor {len(self.by_name)}")
        self.by_name[name] = obj
        return name


def _keep(blobs: Blobs, tensors: Any, about: object) -> Kept | None:
    with blobs.scratch() as scratch:
        if not _needed().write(tensors, scratch / _TENSORS, about):
            return None
        blob = blobs.put_file(scratch / _TENSORS, move=True)
    return Kept(blob, blob)


def _is_versions(value: object) -> bool:
    """As PyTorch writes them, {"layer": {"version": 1}}: plain, so that they come back as they were."""
    if value is None:
        return True
    if type(value) is not OrderedDict or vars(value):
        return False
    tables = cast("OrderedDict[object, object]", value).values()
    return all(type(table) is dict and all(type(item) is int for item in table.values()) for table in tables)


def _tensors() -> Any:
    """The module that reads and writes tensors, None where PyTorch is not loaded or safetensors is not installed."""
    try:
        return _needed() if "torch" in sys.modules else None
    except Missing:
        return None


def _needed() -> ModuleType:
    try:
        return import_module("everloop.adapters.torch.tensors")
    except ModuleNotFoundError as error:
        raise Missing(
            f"Stored tensors cannot be read without {error.name!r}, which is not installed. Install it: pip install 'everloop[torch]'"
        ) from error
