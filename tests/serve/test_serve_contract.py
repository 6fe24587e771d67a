"""Rows that break the schema of a version are answered and counted; nothing about the contract can keep a version from answering."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from stand import tiny

from everloop.core.schemas import ColumnRule, RowRule, Schema
from everloop.serve.lane import Answered, Lane, Work
from everloop.serve.limits import Limits
from everloop.serve.load import load
from everloop.serve.table import Router
from everloop.store import contracts, registry
from everloop.store.workspace import Workspace

SCHEMA = Schema(
    dataset="tiny",
    columns=(
        ColumnRule(name="x0", kind="float", low=0, high=10),
        ColumnRule(name="x1", kind="float"),
        ColumnRule(name="n", kind="int", low=0),
        ColumnRule(name="colour", kind="text", vocabulary=("red", "blue"), nullable=True),
        ColumnRule(name="y", kind="int", low=0, high=1, absent_in=("serving",)),
    ),
    rules=(RowRule(check='pl.col("x0") >= pl.col("x1")', name="ordered"),),
)
GOOD = (1.5, -0.25, 2, "red")


def served(workspace: Workspace, schema: Schema | None, limits: Limits | None = None) -> tuple[Router, Lane]:
    number = tiny(workspace)
    with workspace.write() as tx:
        entry = registry.get(tx, "tiny", number)
        if schema is not None:
            contracts.keep(tx, entry, schema)
            assert contracts.find(tx, entry) == schema
    router = Router(limits=limits or Limits())
    return router, router.lane(load(workspace, entry))


async def ask(lane: Lane, rows: list[tuple[Any, ...]], role: Any = "champion") -> Answered:
    return await lane.submit(Work(rows, role=role, request="r-1", began=time.perf_counter()))


def counted(router: Router) -> dict[tuple[str, str], float]:
    """By check and subject, of the only version."""
    samples = [sample for family in router.metrics.registry.collect() for sample in family.samples]
    return {
        (sample.labels["check"], sample.labels["subject"]): sample.value
        for sample in samples
        if sample.name == "everloop_rows_out_of_contract_total" and sample.labels["model"] == "tiny"
    }


@pytest.mark.parametrize("inline_s", [0.0, 1.0])
def test_rows_out_of_contract_are_answered_and_counted_by_rule(workspace: Workspace, inline_s: float) -> None:
    router, lane = served(workspace, SCHEMA, Limits(inline_s=inline_s))
    rows = [GOOD, (11.0, 0.0, 2, "red"), (None, 0.0, -1, "green"), (1.0, 2.0, 0, None), (12.0, 0.0, 2, "red")]
    answered = asyncio.run(ask(lane, rows))
    assert len(answered.outputs) == len(rows)
    assert counted(router) == {
        ("range", "x0"): 2.0,
        ("nulls", "x0"): 1.0,
        ("range", "n"): 1.0,
        ("categories", "colour"): 1.0,
        ("rule", "ordered"): 1.0,
    }


def test_what_somebody_tries_out_is_not_counted(workspace: Workspace) -> None:
    router, lane = served(workspace, SCHEMA)
    asyncio.run(ask(lane, [(11.0, 0.0, 2, "red")], role=None))
    assert counted(router) == {}


@pytest.mark.parametrize("schema", [None, Schema(dataset="d", columns=(ColumnRule(name="colour", kind="text", pattern="(?i)red"),))])
def test_without_a_contract_that_is_understood_rows_are_answered(workspace: Workspace, schema: Schema | None) -> None:
    router, lane = served(workspace, schema)
    assert lane.loaded.contract is None
    assert asyncio.run(ask(lane, [GOOD])).outputs
    assert counted(router) == {}
