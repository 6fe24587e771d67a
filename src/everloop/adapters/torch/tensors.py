"""Tensors <-> a safetensors file. What the file format cannot say (two names for one tensor, gradients, order) is one JSON note in it.

Values, types and shapes come back, in contiguous memory on the CPU, wherever the tensors were. Of tensors that share memory, those that
are the same in every respect come back as one; views of parts of each other come back apart.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from everloop.core.errors import Broken

_NOTE = "everloop"


def is_plain(tensor: Any) -> bool:
    """Whether it is dense numbers and nothing more: no subclass but Parameter, not sparse, quantised or without memory."""
    return (
        type(tensor) in (torch.Tensor, torch.nn.Parameter)
        and tensor.layout == torch.strided
        and not tensor.is_quantized
        and not tensor.is_meta
        and not vars(tensor)
    )


def write(tensors: Mapping[str, Any], path: Path, about: object = None) -> bool:
    """`about` is kept with them. False when the file format does not know a type among them."""
    firsts: dict[object, str] = {}
    rows: list[list[object]] = []
    data: dict[str, Any] = {}
    for name, tensor in tensors.items():
        first = firsts.setdefault(_memory(tensor), name)
        rows.append([name, first, isinstance(tensor, torch.nn.Parameter), tensor.requires_grad])
        if first == name:
            data[name] = tensor.detach().resolve_conj().resolve_neg().to("cpu").contiguous()
    try:
        # One note only: several are written in an order that differs from process to process.
        save_file(_apart(data), path, metadata={_NOTE: json.dumps([rows, about])})
    except (SafetensorError, KeyError, ValueError):
        return False
    return True


def read(path: Path) -> tuple[dict[str, Any], Any]:
    """(tensors in the order in which they were given, what was said about them). The file is mapped into memory; what a body writes to a
    tensor is its own, and never reaches the file."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            rows, about = json.loads(file.metadata()[_NOTE])
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no dict
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise Broken(f"The tensors in {path.name[:12]} cannot be read ({error}). Restore them, or run the step again.") from error
    tensors: dict[str, Any] = {}
    for name, first, parameter, gradient in rows:
        if first != name:
            tensors[name] = tensors[first]
        elif parameter:
            tensors[name] = torch.nn.Parameter(stored[name], requires_grad=gradient)
        else:
            tensors[name] = stored[name].requires_grad_(gradient)
    return tensors, about


def _memory(tensor: Any) -> object:
    """Equal for tensors that are the same memory seen in the same way."""
    if not tensor.numel():
        return id(tensor)
    seen_as = (tensor.dtype, tensor.shape, tensor.stride(), tensor.is_conj(), tensor.is_neg(), type(tensor), tensor.requires_grad)
    return (str(tensor.device), tensor.data_ptr(), *seen_as)


def _apart(tensors: dict[str, Any]) -> dict[str, Any]:
    """With copies of what is only a part of some memory, for the file holds each tensor by itself."""
    return {
        name: tensor if tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size() else tensor.clone()
        for name, tensor in tensors.items()
    }
