"""Fitted scikit-learn estimators that a step returns, by skops: what is stored holds no code.

An estimator with parts that are not trusted (`archive.TRUSTED`), such as a function or class of the project, is left to pickle, which is
marked untrusted. The bytes pass through memory whole, as skops makes them so.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from everloop.core.artifacts import Artifact, InBlob, Kept

if TYPE_CHECKING:
    from everloop.store.blobs import Blobs
    from everloop.store.database import Transaction


class EstimatorFormat(InBlob):
    def takes(self, value: Any) -> bool:
        base = sys.modules.get("sklearn.base")
        return base is not None and isinstance(value, base.BaseEstimator)

    def save(self, blobs: Blobs, value: Any) -> Kept | None:
        from everloop.adapters.sklearn import archive

        try:
            data, _ = archive.dump(value)
        except archive.CannotHold:
            return None
        blob = blobs.put(data)
        return Kept(blob, blob)

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        from everloop.adapters.sklearn import archive

        return archive.load(blobs.get(artifact.blob), f"The result {artifact.output[:12]} of a step")
