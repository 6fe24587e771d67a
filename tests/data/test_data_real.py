"""Real tables through the whole stage: read, summarised, contracted, validated, prepared."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from everloop.core.models import Task
from everloop.core.ports import Place
from everloop.data.ingest import columns_of, take
from everloop.data.prepare import Split, prepare
from everloop.data.profile import merge, summarise
from everloop.data.schema import infer, load, save
from everloop.data.sources.files import Files
from everloop.data.sources.union import collect
from everloop.data.validate import validate
from everloop.store import records, snapshots
from everloop.store.parts import load_part
from everloop.store.workspace import Workspace


@pytest.mark.parametrize(
    ("source", "target", "task", "drop", "rows"),
    [
        (Files("bike_sharing/hour.csv", time="dteday"), "cnt", "regression", ("instant", "casual", "registered"), 17_379),
        (Files("telco_churn/*.csv", missing=(" ",)), "Churn", "classification", ("customerID",), 7_043),
        (Files("adult/adults.parquet"), "class", "classification", (), 48_842),
    ],
    ids=["bike", "telco", "adult"],
)
def test_the_whole_stage(
    workspace: Workspace, real_data: Path, tmp_path: Path, source: Files, target: str, task: Task, drop: tuple[str, ...], rows: int
) -> None:
    place = Place("l", real_data, tmp_path)
    snapshot = take(source, dataset="l", place=place)
    assert snapshot.rows == rows
    assert take(source, dataset="l", place=place).id == snapshot.id
    frame = snapshots.load(workspace.blobs, snapshot)
    profile = summarise(frame, about=snapshot.id)
    save(infer(profile, dataset="l", target=target), tmp_path / "schema.json")
    schema = load(tmp_path / "schema.json")
    verdict = validate(profile, snapshot.columns, schema, about=snapshot.id, frame=frame)
    assert verdict.passed
    assert verdict.warnings == ()
    halves = [summarise(part, about="", reference=profile) for part in (frame[: rows // 3], frame[rows // 3 :])]
    whole = merge(*halves)
    assert [(c.counts, c.top, c.nulls) for c in whole.columns] == [(c.counts, c.top, c.nulls) for c in profile.columns]

    with workspace.write() as tx:
        records.keep(tx, snapshot, profile, schema, verdict)
    prepared = prepare(snapshot, target=target, drop=drop, task=task)
    features, answers = load_part(workspace, prepared, "test")
    assert sum(prepared.rows.values()) == rows
    assert features.height == len(answers) == prepared.rows["test"] == pytest.approx(rows / 5, rel=0.1)
    assert not {target, "dteday", *drop} & set(features.columns)


def test_a_year_of_bikes_by_time(workspace: Workspace, real_data: Path, tmp_path: Path) -> None:
    snapshot = take(Files("bike_sharing/hour.csv", time="dteday"), dataset="l", place=Place("l", real_data, tmp_path))
    with workspace.write() as tx:
        records.keep(tx, snapshot)
    prepared = prepare(snapshot, target="cnt", drop=("casual", "registered"), task="regression", split=Split(how="time", by="dteday"))
    train, test = (load_part(workspace, prepared, part)[0]["instant"] for part in ("train", "test"))
    assert train.max() < test.min()  # type: ignore[operator]


def test_blank_charges_make_text_of_numbers_and_are_pointed_out(real_data: Path, tmp_path: Path) -> None:
    place = Place("l", real_data, tmp_path)
    plain = collect(Files("telco_churn/*.csv").read(place))
    assert plain.schema["TotalCharges"] == pl.String
    profile = summarise(plain, about="s")
    verdict = validate(profile, columns_of(plain), infer(profile, dataset="l", target="Churn"), about="s", frame=plain)
    assert [finding.message.split(";")[0] for finding in verdict.warnings] == [
        "column 'TotalCharges' is text because of 11 values such as ' '"
    ]
    mended = collect(Files("telco_churn/*.csv", missing=(" ",)).read(place))
    assert mended["TotalCharges"].null_count() == 11
    assert mended["TotalCharges"].sum() == pytest.approx(16_056_168.7)
    # The contract of the mended table stops the plain one: a number has become text.
    contract = infer(summarise(mended, about="s"), dataset="l", target="Churn")
    stopped = validate(profile, columns_of(plain), contract, about="s", frame=plain)
    assert [(finding.check, finding.subject) for finding in stopped.failures] == [("kind", "TotalCharges")]
