"""A contract inferred from one half of a real table is kept by the other half."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from everloop.core.verdict import Verdict
from everloop.data.kinds import columns_of, normalise
from everloop.data.profile import summarise
from everloop.data.schema import infer
from everloop.data.validate import validate

TABLES = {
    "adult": ("adult/adults.parquet", "class"),
    "bike": ("bike_sharing/hour.csv", "cnt"),
    "telco": ("telco_churn/*.csv", "Churn"),
    "housing": ("california_housing/housing.csv", "median_house_value"),
}


def table(folder: Path, name: str) -> tuple[pl.DataFrame, str]:
    pattern, target = TABLES[name]
    (path,) = folder.glob(pattern)
    frame = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, try_parse_dates=True, infer_schema_length=None)
    return normalise(frame), target


def held_against(frame: pl.DataFrame, half: pl.DataFrame, target: str) -> Verdict:
    schema = infer(summarise(half, about="s"), dataset="d", target=target)
    return validate(None, columns_of(frame), schema, about="s", frame=frame)


def bad(verdict: Verdict) -> list[tuple[str, str]]:
    return [(finding.check, finding.subject) for finding in verdict.findings if not finding.passed]


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("seed", range(3))
def test_the_other_half_drawn_at_random_keeps_the_contract(real_data: Path, name: str, seed: int) -> None:
    frame, target = table(real_data, name)
    order = pl.Series(range(frame.height)).shuffle(seed)
    first, second = frame[order[: frame.height // 2]], frame[order[frame.height // 2 :]]
    verdict = held_against(second, first, target)
    assert verdict.passed
    # Eleven blanks make a column of charges text: that is no matter of chance.
    assert bad(verdict) == ([("text_of_numbers", "TotalCharges")] if name == "telco" else [])


@pytest.mark.parametrize("name", TABLES)
def test_the_later_half_of_the_rows_does_not_stop(real_data: Path, name: str) -> None:
    frame, target = table(real_data, name)
    verdict = held_against(frame[frame.height // 2 :], frame[: frame.height // 2], target)
    assert verdict.passed
    # Bikes: another year, with months and counts that the first had not. Housing: ordered by place.
    assert len(verdict.warnings) <= 4, verdict.warnings


def test_blank_charges_are_found_with_their_rows(real_data: Path) -> None:
    frame, target = table(real_data, "telco")
    (finding,) = held_against(frame, frame, target).warnings
    assert finding.message.startswith("column 'TotalCharges' is text because of 11 values such as ' '")
    assert finding.evidence["count"] == 11
