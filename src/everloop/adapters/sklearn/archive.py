"""Fitted scikit-learn objects <-> bytes that hold no code, equal for equal objects.

skops names files and nodes after memory addresses and stamps the clock. Both are replaced by order of appearance, so that the same
fitted object gives the same bytes in every process. What may be loaded is decided by `TRUSTED` here, never by a list in the file.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np

from everloop.adapters.sklearn.light import load_skops
from everloop.core.errors import Broken

load_skops()
import skops.io  # noqa: E402
from skops.io.exceptions import UntrustedTypesFoundException  # noqa: E402

# Beyond what skops trusts by itself (public scikit-learn estimators, arrays, plain values): parts of scikit-learn's own models, and the fitted steps
# of our recipes, whose attributes are plain values and arrays.
# Tree, TreePredictor, KDTree and BallTree are followed without bounds checks, so a forged one could crash a process; they are
# admitted because a folder is only opened when its digest is the one that this store recorded.
TRUSTED = frozenset(
    {
        "everloop.adapters.sklearn.recipe.categories.Hashed",
        "everloop.adapters.sklearn.recipe.categories.MultiHot",
        "everloop.adapters.sklearn.recipe.categories.OneHot",
        "everloop.adapters.sklearn.recipe.categories.Ordinal",
        "everloop.adapters.sklearn.recipe.fitted.FittedRecipe",
        "everloop.adapters.sklearn.recipe.numbers.Bucket",
        "everloop.adapters.sklearn.recipe.numbers.Impute",
        "everloop.adapters.sklearn.recipe.numbers.Keep",
        "everloop.adapters.sklearn.recipe.numbers.Scale",
        "everloop.adapters.sklearn.recipe.own.Flatten",
        "everloop.adapters.sklearn.recipe.own.Transformer",
        "everloop.adapters.sklearn.recipe.pictures.Image",
        "everloop.adapters.sklearn.recipe.sounds.Audio",
        "everloop.adapters.sklearn.recipe.times.Dates",
        "everloop.adapters.sklearn.recipe.words.Text",
        "numpy.dtype",
        "numpy.mean",
        "numpy.median",
        "sklearn._loss.loss.HalfTweedieLoss",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.cluster._bisect_k_means._BisectingTree",
        "sklearn.cluster._kmeans._kmeans_single_lloyd",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.feature_selection._mutual_info.mutual_info_classif",
        "sklearn.feature_selection._mutual_info.mutual_info_regression",
        "sklearn.feature_selection._univariate_selection.chi2",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_regression",
        "sklearn.feature_selection._univariate_selection.r_regression",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.gaussian_process.kernels.CompoundKernel",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.DotProduct",
        "sklearn.gaussian_process.kernels.ExpSineSquared",
        "sklearn.gaussian_process.kernels.Exponentiation",
        "sklearn.gaussian_process.kernels.Matern",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.gaussian_process.kernels.RationalQuadratic",
        "sklearn.gaussian_process.kernels.Sum",
        "sklearn.gaussian_process.kernels.WhiteKernel",
        "sklearn.metrics._dist_metrics.ChebyshevDistance64",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.metrics._dist_metrics.ManhattanDistance64",
        "sklearn.metrics._dist_metrics.MinkowskiDistance64",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
    }
)

# Immutable values: whether two of them are one object in memory is an accident of the process.
_VALUES = frozenset({"JsonNode", "TypeNode", "FunctionNode"})
_EPOCH = (1980, 1, 1, 0, 0, 0)


class CannotHold(Exception):
    """The object has parts that skops cannot store, or that we do not trust; they are named."""


def dump(fitted: Any) -> tuple[bytes, list[str]]:
    """The bytes, and those of our trusted types that they contain beyond skops' own. Raises CannotHold."""
    try:
        raw = skops.io.dumps(fitted)
        needed = skops.io.get_untrusted_types(data=raw)
    except Exception as error:
        # skops fails in many ways on objects that it does not know (lambdas, C extensions, local classes).
        raise CannotHold(str(error)) from error
    foreign = sorted(set(needed) - TRUSTED)
    if foreign:
        raise CannotHold(f"of the types {', '.join(foreign)}")
    return _canonical(raw), needed


def load(data: bytes, what: str) -> Any:
    """Rebuild the object. Broken when `data` holds a type that is not trusted, or is damaged; nothing of it is executed then."""
    try:
        return skops.io.loads(data, trusted=sorted(TRUSTED))
    except UntrustedTypesFoundException as error:
        foreign = sorted(set(skops.io.get_untrusted_types(data=data)) - TRUSTED)
        raise Broken(
            f"{what} holds types that are not trusted: {', '.join(foreign)}. It is not loaded. Train again to replace it."
        ) from error
    except Exception as error:
        raise Broken(f"{what} cannot be read ({type(error).__name__}: {error}). Restore it, or train again.") from error


def _canonical(raw: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        schema = json.loads(archive.read("schema.json"))
        contents = {name: archive.read(name) for name in archive.namelist() if name != "schema.json"}
    seen: dict[int, int] = {}
    _count_ids(schema, seen)
    numbers: dict[int, int] = {}
    names: dict[str, str] = {}
    schema = _renamed(schema, seen, numbers, names)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression=zipfile.ZIP_STORED) as archive:
        for old, new in names.items():
            data = contents[old]
            archive.writestr(zipfile.ZipInfo(new, _EPOCH), _without_padding(data) if old.endswith(".npy") else data)
        archive.writestr(zipfile.ZipInfo("schema.json", _EPOCH), json.dumps(schema, separators=(",", ":")))
    return buffer.getvalue()


def _count_ids(node: object, seen: dict[int, int]) -> None:
    if isinstance(node, dict):
        if "__id__" in node and node.get("__loader__") not in _VALUES:
            seen[node["__id__"]] = seen.get(node["__id__"], 0) + 1
        for value in node.values():
            _count_ids(value, seen)
    elif isinstance(node, list):
        for value in node:
            _count_ids(value, seen)


def _renamed(node: Any, seen: dict[int, int], numbers: dict[int, int], names: dict[str, str]) -> Any:
    """Ids only where an object really occurs twice; ids and files numbered as they are met; the members of sets in one order."""
    if isinstance(node, list):
        return [_renamed(value, seen, numbers, names) for value in node]
    if not isinstance(node, dict):
        return node
    if node.get("__loader__") == "SetNode":
        node = node | {"content": sorted(node["content"], key=lambda member: str(member.get("content", member.get("__class__"))))}
    out: dict[str, Any] = {}
    for key, value in node.items():
        if key == "__id__" and isinstance(value, int):
            if seen.get(value, 0) > 1 and node.get("__loader__") not in _VALUES:
                out[key] = numbers.setdefault(value, len(numbers) + 1)
        elif key == "file" and isinstance(value, str) and "__loader__" in node:
            suffix = value.rpartition(".")[2]
            out[key] = names.setdefault(value, f"{len(names)}.{suffix}")
        else:
            out[key] = _renamed(value, seen, numbers, names)
    return out


def _without_padding(data: bytes) -> bytes:
    """The bytes between the fields of a record array (a decision tree's nodes) are whatever was in memory: zero them."""
    array = np.load(io.BytesIO(data), allow_pickle=False)
    if not array.dtype.names:
        return data
    # Not zeros_like, which writes the fields only.
    clean = np.zeros(array.shape, array.dtype)
    for name in array.dtype.names:
        clean[name] = array[name]
    buffer = io.BytesIO()
    np.save(buffer, clean, allow_pickle=False)
    return buffer.getvalue()
