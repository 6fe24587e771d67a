"""Imported once by the process from which runs are forked: what every run needs and takes seconds to load."""

import contextlib
import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")

for _name in (
    "sklearn.linear_model",
    "sklearn.ensemble",
    "sklearn.pipeline",
    "sklearn.compose",
    "mlflow.tracking",
    "mlflow.store.tracking.sqlalchemy_store",
):
    with contextlib.suppress(ImportError):
        __import__(_name)

with contextlib.suppress(ImportError):
    from everloop.adapters.sklearn.light import load_skops

    load_skops()
