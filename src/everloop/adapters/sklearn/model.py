"""A fitted transform and estimator <-> a folder in MLflow's model format, by skops, without importing mlflow.

The same fitted model gives the same bytes. `mlflow.sklearn.load_model` and `mlflow.pyfunc.load_model` open the folder; `load` here
trusts no list of types in it, only `archive.TRUSTED`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sklearn
from sklearn.pipeline import Pipeline

from everloop.adapters.mlflow.format import write_model_files
from everloop.adapters.sklearn import archive
from everloop.adapters.sklearn.predictor import TransformedModel, for_answering
from everloop.core.errors import Broken
from everloop.core.models import Candidate, Signature

MODEL_FILE = "model.skops"
LIBRARIES = ("scikit-learn", "skops", "numpy", "scipy")


def save(transformer: Any, estimator: Any, folder: Path, signature: Signature, *, nullable: frozenset[str]) -> None:
    """Write the pipeline into the empty `folder`. Raises `archive.CannotHold` when it has parts that skops cannot hold; nothing is written then."""
    data, extra = archive.dump(Pipeline([("transform", transformer), ("model", estimator)]))
    (folder / MODEL_FILE).write_bytes(data)
    write_model_files(
        folder,
        flavors={
            "python_function": {"loader_module": "mlflow.sklearn", "model_path": MODEL_FILE},
            "sklearn": {
                "code": None,
                "pickled_model": MODEL_FILE,
                "serialization_format": "skops",
                "sklearn_version": sklearn.__version__,
                # For MLflow clients, which read their list of trusted types from here.
                "skops_trusted_types": extra,
            },
        },
        signature=signature,
        libraries=libraries_of(transformer),
        nullable=nullable,
    )


def libraries_of(transformer: Any) -> tuple[str, ...]:
    """What opening the model needs: scikit-learn's world, and what a recipe decodes with."""
    return (*LIBRARIES, *(name for name in getattr(transformer, "libraries", ()) if name not in LIBRARIES))


def load(folder: Path, candidate: Candidate) -> TransformedModel:
    """Open a stored pipeline. Whatever MLmodel says, only skops is read; Broken when the file is absent or holds an untrusted type."""
    path = folder / MODEL_FILE
    if not path.is_file():
        raise Broken(f"{folder} has no {MODEL_FILE}. Restore the folder, or train again.")
    pipeline = archive.load(path.read_bytes(), f"The model of {candidate.id}")
    if not isinstance(pipeline, Pipeline) or [name for name, _ in pipeline.steps] != ["transform", "model"]:
        raise Broken(f"The model of {candidate.id} is no pipeline of a transform and a model. Restore the folder, or train again.")
    transformer, estimator = (step for _, step in pipeline.steps)
    return TransformedModel(transformer, for_answering(estimator), candidate.signature)
