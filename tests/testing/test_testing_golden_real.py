"""Real tables, texts, images and sounds through a whole cycle with a recipe: trained, evaluated, proven to be served as they were evaluated."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest

from everloop.testing import rehearse
from everloop.testing.golden import fitted_on_training_rows, nothing_leaks, offline_equals_online, rows_conserved, sample_of
from everloop.testing.rehearsal import open_rehearsed


class Case(NamedTuple):
    imports: str
    loop: str
    metric: str
    at_least: float
    features: int
    """How many columns of the table become features."""


LOOP_PY = """
{imports}
from everloop import Files, Loop, Recipe, Split, gates, recipe

loop = Loop(
    "real",
    source=Files("table.parquet"),
    {loop}
)
"""

CASES = {
    "bikes": Case(
        "from sklearn.ensemble import HistGradientBoostingRegressor",
        """target="cnt", drop=["instant", "casual", "registered", "yr", "mnth", "weekday", "hr"], metrics=["r2"], model=HistGradientBoostingRegressor(max_iter=60),
    split=Split(how="time", by="when", gap_s=86_400.0), gates=[gates.at_least("r2", 0.5)],
    transform=Recipe(recipe.dates("when", parts=["month", "weekday", "hour", "days"]), recipe.scale("temp", "hum", "windspeed"), recipe.one_hot("season", "weathersit")),""",
        "r2",
        0.6,
        8,
    ),
    "messages": Case(
        "from sklearn.linear_model import LogisticRegression",
        """target="label", metrics=["f1"], model=LogisticRegression(C=30, max_iter=300), split=Split(how="stratified"), gates=[gates.at_least("f1", 0.8)],
    transform=Recipe(recipe.text("message", ngrams=(1, 2), max_features=3000), recipe.custom(lengths, "message")),""",
        "f1",
        0.9,
        1,
    ),
    "churn": Case(
        "from sklearn.linear_model import LogisticRegression",
        """target="Churn", drop=["customerID"], metrics=["roc_auc"], model=LogisticRegression(max_iter=300), split=Split(how="stratified"), gates=[gates.at_least("roc_auc", 0.8)],
    transform=Recipe(recipe.impute("TotalCharges", flag=True), recipe.scale("TotalCharges", "MonthlyCharges"), recipe.bucket("tenure", bins=8)),""",
        "roc_auc",
        0.82,
        19,
    ),
    "digits": Case(
        "from sklearn.svm import SVC",
        """target="digit", metrics=["accuracy"], model=SVC(), gates=[gates.at_least("accuracy", 0.9)], transform=Recipe(recipe.image("picture", size=(8, 8))),""",
        "accuracy",
        0.95,
        1,
    ),
    "spoken digits": Case(
        "from sklearn.pipeline import make_pipeline\nfrom sklearn.preprocessing import StandardScaler\nfrom sklearn.svm import SVC",
        """target="digit", drop=["speaker"], metrics=["accuracy"], model=make_pipeline(StandardScaler(), SVC(C=10)), gates=[gates.at_least("accuracy", 0.5)],
    transform=Recipe(recipe.audio("sound", rate=8000, mels=30)),""",
        "accuracy",
        0.7,
        1,
    ),
}
LENGTHS = """

def lengths(frame):
    return frame.select(length=frame["message"].str.len_chars(), digits=frame["message"].str.count_matches("[0-9]"))

"""


def bikes(data: Path) -> pl.DataFrame:
    frame = pl.read_csv(data / "bike_sharing" / "hour.csv", try_parse_dates=True)
    when = pl.col("dteday").cast(pl.Datetime("us")) + pl.duration(hours=pl.col("hr"))
    return frame.with_columns(when=when).drop("dteday", "atemp")


def messages(data: Path) -> pl.DataFrame:
    rows = [line.split("\t", 1) for line in (data / "sms_spam" / "sms.tsv").read_text(encoding="utf-8").splitlines() if "\t" in line]
    return pl.DataFrame(rows, schema=["label", "message"], orient="row")


def churn(data: Path) -> pl.DataFrame:
    return pl.read_csv(next((data / "telco_churn").glob("*.csv")), null_values=[" "])


def digits(_: Path) -> pl.DataFrame:
    """1,797 real handwritten digits, which scikit-learn carries, as PNG files."""
    from PIL import Image
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    files: list[bytes] = []
    for row in pixels:
        buffer = io.BytesIO()
        Image.fromarray((row.reshape(8, 8) * 15.9).astype(np.uint8)).save(buffer, "PNG")
        files.append(buffer.getvalue())
    return pl.DataFrame({"picture": files, "digit": labels.astype(np.int64)})


def spoken_digits(data: Path) -> pl.DataFrame:
    names = sorted((data / "fsdd").glob("*.wav"))
    found = [re.fullmatch(r"(\d)_(\w+)_\d+", path.stem) for path in names]
    return pl.DataFrame(
        {
            "sound": [path.read_bytes() for path in names],
            "digit": [int(match[1]) for match in found if match],
            "speaker": [match[2] for match in found if match],
        }
    )


@pytest.mark.parametrize("name", CASES)
def test_a_whole_cycle(name: str, real_data: Path, tmp_path: Path) -> None:
    if name == "digits":
        pytest.importorskip("PIL")
    if name == "spoken digits":
        pytest.importorskip("soundfile")
    case = CASES[name]
    project, home = tmp_path / "project", tmp_path / "home"
    project.mkdir()
    make = {"bikes": bikes, "messages": messages, "churn": churn, "digits": digits, "spoken digits": spoken_digits}[name]
    make(real_data).write_parquet(project / "table.parquet")
    (project / "loop.py").write_text(LOOP_PY.format(imports=case.imports + (LENGTHS if name == "messages" else ""), loop=case.loop))
    rehearsal = rehearse(project, home=home)
    assert rehearsal.run.status == "done", rehearsal.run.result
    assert rehearsal.evaluation is not None
    metric = rehearsal.evaluation.metric(case.metric)
    assert metric is not None
    assert metric.value is not None
    assert metric.value > case.at_least
    with open_rehearsed(project, home=home) as (workspace, loop):
        sample = sample_of(workspace, loop, rehearsal)
        # Only what carries the user's own code is a pickle.
        assert sample.candidate.trusted == (name != "messages")
        assert len(sample.prepared.features) == case.features
        for check in (offline_equals_online, rows_conserved, nothing_leaks, fitted_on_training_rows):
            verdict = check(sample)
            assert verdict.passed, verdict.sentence()
