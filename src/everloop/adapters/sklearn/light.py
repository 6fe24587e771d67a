"""skops without what it would drag in.

When it is imported, skops walks through all of scikit-learn's modules; three of them import torch, dask or cupy where those are installed, which costs
seconds and a hundred megabytes in every process that opens a model. Those three stay unimported while skops is; who needs one later
imports it as ever.
"""

from __future__ import annotations

import sys
from importlib import import_module

_HEAVY = tuple(f"sklearn.externals.array_api_compat.{name}" for name in ("torch", "dask", "cupy"))


def load_skops() -> None:
    """Import `skops.io`, once."""
    if "skops.io" in sys.modules:
        return
    kept_out = [name for name in _HEAVY if name not in sys.modules]
    # None makes an import of that very module fail, and the walk passes over what cannot be imported.
    sys.modules.update(dict.fromkeys(kept_out))  # type: ignore[arg-type]
    try:
        import_module("skops.io")
    finally:
        for name in kept_out:
            del sys.modules[name]
