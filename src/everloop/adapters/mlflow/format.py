"""The files that make a folder a model to MLflow, written without importing it and without anything that changes from run to run.

Format: https://mlflow.org/docs/latest/ml/model/#storage-format. `everloop` tests open what is written here with a real MLflow client.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from everloop.core.models import Signature
from everloop.core.tables import Column, Kind

MLFLOW_TYPES: Mapping[Kind, str] = {
    "int": "long",
    "float": "double",
    "bool": "boolean",
    "text": "string",
    "time": "datetime",
    "bytes": "binary",
}


def write_model_files(
    folder: Path, *, flavors: Mapping[str, Mapping[str, object]], signature: Signature, libraries: tuple[str, ...], nullable: frozenset[str]
) -> None:
    """MLmodel, requirements and environments. `flavors` holds the python_function flavor without its environment.

    `nullable` names the input columns with missing values: pandas holds integers with gaps as floats, and MLflow checks types strictly.
    """
    python = platform.python_version()
    requirements = [f"mlflow=={version('mlflow')}", *(f"{library}=={version(library)}" for library in libraries)]
    inputs = [_input(column, column.name in nullable) for column in signature.inputs]
    function = {
        "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
        "predict_fn": "predict",
        "python_version": python,
    }
    document = {
        "flavors": {name: (function | dict(flavor) if name == "python_function" else dict(flavor)) for name, flavor in flavors.items()},
        "mlflow_version": version("mlflow"),
        "model_id": None,
        "model_uuid": None,
        "signature": {
            "inputs": json.dumps(inputs),
            "outputs": json.dumps([{"type": MLFLOW_TYPES[signature.output.kind], "name": signature.output.name, "required": True}]),
            "params": None,
        },
    }
    conda = {
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", "pip", {"pip": requirements}],
        "name": "mlflow-env",
    }
    virtualenv = {"python": python, "build_dependencies": ["pip", "setuptools", "wheel"], "dependencies": ["-r requirements.txt"]}
    _dump(folder / "MLmodel", document)
    _dump(folder / "conda.yaml", conda)
    _dump(folder / "python_env.yaml", virtualenv)
    (folder / "requirements.txt").write_text("\n".join(requirements) + "\n")


def _input(column: Column, nullable: bool) -> dict[str, object]:
    kind = "float" if nullable and column.kind == "int" else column.kind
    return {"type": MLFLOW_TYPES.get(kind, "string"), "name": column.name, "required": True}


def _dump(path: Path, document: Mapping[str, object]) -> None:
    import yaml  # saving needs it, serving does not

    path.write_text(yaml.safe_dump(document, sort_keys=True, default_flow_style=False, allow_unicode=True))
