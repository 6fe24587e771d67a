"""A model that only Python's pickle can hold <-> a folder in MLflow's format. Marked untrusted wherever it goes.

Unpickling runs code. It is done for a folder only because a candidate of this store names its very digest, which `store.models` has
verified before; a folder from anywhere else never gets here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle

from everloop.adapters.code import by_value
from everloop.adapters.mlflow.format import write_model_files
from everloop.core.errors import Broken
from everloop.core.models import Candidate, Signature

if TYPE_CHECKING:
    from everloop.core.ports import Predictor

MODEL_FILE = "model.pkl"
LIBRARIES = ("cloudpickle", "scikit-learn", "numpy")


def save(transformer: Any, model: Any, folder: Path, signature: Signature, *, nullable: frozenset[str], owner: object) -> None:
    """Write transformer and model into the empty `folder`. Classes of the project of `owner` (the user's function or model) go along by value."""
    with by_value(owner, model, *getattr(transformer, "code", ())):
        data = cloudpickle.dumps({"transformer": transformer, "model": model, "signature": signature})
    (folder / MODEL_FILE).write_bytes(data)
    write_model_files(
        folder,
        flavors={"python_function": {"loader_module": "everloop.adapters.pickle", "data": MODEL_FILE}},
        signature=signature,
        libraries=tuple(dict.fromkeys(("everloop", *LIBRARIES, *getattr(transformer, "libraries", ())))),
        nullable=nullable,
    )


def load(folder: Path, candidate: Candidate) -> Predictor:
    """Open a stored model. Broken when the candidate does not say that it is a pickle, or the file is absent or unreadable."""
    if candidate.trusted or candidate.flavor != "pickle":
        raise Broken(f"{candidate.id} is recorded as a {candidate.flavor} model, so its folder is not opened as a pickle.")
    return _open(folder / MODEL_FILE, f"The model of {candidate.id}")


def _open(path: Path, what: str) -> Predictor:
    from everloop.adapters.sklearn.predictor import TransformedModel, for_answering

    if not path.is_file():
        raise Broken(f"{path.parent} has no {path.name}. Restore the folder, or train again.")
    try:
        content: Any = cloudpickle.loads(path.read_bytes())
    except Exception as error:
        raise Broken(
            f"{what} cannot be unpickled here ({type(error).__name__}: {error}). Install the libraries it was trained with, or train again."
        ) from error
    return TransformedModel(content["transformer"], for_answering(content["model"]), content["signature"])


def _load_pyfunc(path: str) -> _ForMlflow:
    """What MLflow's pyfunc calls (its `loader_module` protocol)."""
    return _ForMlflow(_open(Path(path), path))


class _ForMlflow:
    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def predict(self, data: Any, params: object = None) -> Any:
        import polars as pl

        return self._predictor.predict(pl.from_pandas(data)).outputs
