"""Profile -> the contract inferred from it, kept as a file that a person edits; what has changed between two of them."""

from everloop.data.schema.accept import accept
from everloop.data.schema.difference import difference
from everloop.data.schema.file import load, save
from everloop.data.schema.infer import infer

__all__ = ["accept", "difference", "infer", "load", "save"]
