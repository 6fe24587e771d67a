"""What is stored of fitted scikit-learn objects: equal bytes for equal objects, and nothing that runs."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import SelectKBest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import ElasticNet, LogisticRegression, SGDClassifier, TweedieRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, QuantileTransformer
from sklearn.svm import SVC

from everloop.adapters.sklearn import archive
from everloop.core.errors import Broken

X, Y = load_iris(return_X_y=True)

MODELS = [
    LogisticRegression(),
    SGDClassifier(random_state=0),
    RandomForestClassifier(5, random_state=0),
    ExtraTreesRegressor(5, random_state=0),
    GradientBoostingClassifier(n_estimators=3, random_state=0),
    HistGradientBoostingClassifier(max_iter=3, random_state=0),
    HistGradientBoostingRegressor(max_iter=3, loss="poisson", random_state=0),
    AdaBoostClassifier(n_estimators=3, random_state=0),
    KNeighborsClassifier(),
    KNeighborsClassifier(algorithm="ball_tree", p=1),
    GaussianNB(),
    SVC(),
    MLPClassifier((5,), max_iter=20, random_state=0),
    GaussianProcessRegressor(),
    TweedieRegressor(power=1.5),
    ElasticNet(alpha=0.01),
    CalibratedClassifierCV(GaussianNB(), cv=2),
    VotingClassifier([("a", GaussianNB()), ("b", LogisticRegression())]),
    StackingClassifier([("a", GaussianNB())], cv=2),
    make_pipeline(
        PolynomialFeatures(include_bias=False), QuantileTransformer(n_quantiles=20), SelectKBest(k=5), LogisticRegression(max_iter=500)
    ),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_a_stored_model_answers_as_before_and_is_stored_the_same_again(model: object) -> None:
    model.fit(X, Y)
    data, _ = archive.dump(model)
    again = archive.load(data, "It")
    assert type(again) is type(model)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    if hasattr(model, "predict_proba"):
        np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert archive.dump(again)[0] == archive.dump(archive.load(archive.dump(again)[0], "It"))[0]


def test_what_lies_between_the_fields_of_a_record_is_not_stored() -> None:
    padded = np.dtype({"names": ["a", "b"], "formats": ["u1", "f8"], "offsets": [0, 8], "itemsize": 16})
    stored: list[bytes] = []
    for noise in (0, 0xAA):
        array = np.frombuffer(bytes([noise]) * 32, dtype=padded).copy()
        array["a"], array["b"] = [1, 2], [0.5, 1.5]
        stored.append(archive.dump({"nodes": array})[0])
    assert stored[0] == stored[1]


class Evil:
    """Its state, when restored, writes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __setstate__(self, state: dict[str, str]) -> None:
        Path(state["path"]).write_text("ran")


def test_an_untrusted_type_is_named_and_not_built(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    data = skops.io.dumps([GaussianNB().fit(X, Y), Evil(str(marker))])
    with pytest.raises(Broken, match=rf"not trusted: {__name__}\.Evil"):
        archive.load(data, "The model")
    assert not marker.exists()
    # The same file, opened by somebody who trusts the type, does run: the guard is what stopped it.
    skops.io.loads(data, trusted=[Evil])
    assert marker.read_text() == "ran"


def test_a_function_of_the_operating_system_is_not_trusted() -> None:
    data = skops.io.dumps(FunctionTransformer(os.system))
    with pytest.raises(Broken, match=r"not trusted: .*system"):
        archive.load(data, "The model")


def test_what_cannot_be_held_is_said() -> None:
    with pytest.raises(archive.CannotHold, match="Evil"):
        archive.dump(Evil("x"))
    with pytest.raises(archive.CannotHold):
        archive.dump(FunctionTransformer(lambda x: x))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 no zip", b"\x80\x04N."])
def test_a_damaged_file_is_broken(data: bytes) -> None:
    with pytest.raises(Broken, match="cannot be read"):
        archive.load(data, "The model")


def test_a_zip_without_a_schema_is_broken() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("other", "x")
    with pytest.raises(Broken, match="cannot be read"):
        archive.load(buffer.getvalue(), "The model")
