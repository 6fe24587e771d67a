"""Is a project's data handled alike in training and when serving? Checks for a project's own tests.

`GoldenSample` runs one cycle of the project in a scratch workspace, once for all of its tests:

    class TestData(GoldenSample):
        project = Path(__file__).parents[1]

Each check is a function of its own as well, and answers with a `Verdict`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from everloop.core.models import Candidate
from everloop.core.tables import Prepared, Snapshot
from everloop.core.verdict import Finding, Verdict, verdict
from everloop.testing.rehearsal import Rehearsal, open_rehearsed, rehearse

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from everloop.core.ports import Answers
    from everloop.project import Loop
    from everloop.serve.replay import One
    from everloop.store.workspace import Workspace

SAMPLE_ROWS = 200


@dataclass(frozen=True)
class Sample:
    """What the checks look at: a finished cycle and what it made."""

    workspace: Workspace
    loop: Loop
    snapshot: Snapshot
    prepared: Prepared
    candidate: Candidate

    @property
    def parts(self) -> np.ndarray[Any, Any]:
        import numpy as np

        return np.frombuffer(self.workspace.blobs.get(self.prepared.split), dtype=np.uint8)


class GoldenSample:
    """Tests that a project inherits. `project` is its folder, `loop` the name of the loop where `loop.py` declares several.

    A candidate that was refused is examined all the same: why it was refused may be what these tests find.
    """

    project: ClassVar[Path | str] = "."
    loop: ClassVar[str | None] = None
    rows: ClassVar[int] = SAMPLE_ROWS
    _rehearsed: ClassVar[tuple[Rehearsal, Path] | None] = None

    def test_offline_equals_online(self, tmp_path_factory: Any) -> None:
        self._check(tmp_path_factory, lambda sample: offline_equals_online(sample, rows=self.rows))

    def test_no_row_is_lost(self, tmp_path_factory: Any) -> None:
        self._check(tmp_path_factory, rows_conserved)

    def test_parts_are_disjoint_and_hold_no_future(self, tmp_path_factory: Any) -> None:
        self._check(tmp_path_factory, nothing_leaks)

    def test_the_transform_knows_training_rows_only(self, tmp_path_factory: Any) -> None:
        self._check(tmp_path_factory, fitted_on_training_rows)

    def _check(self, tmp_path_factory: Any, check: Callable[[Sample], Verdict]) -> None:
        __tracebackhide__ = True  # pytest shows the sentence, not this frame
        kind = type(self)
        if kind._rehearsed is None:
            home = tmp_path_factory.mktemp("golden")
            kind._rehearsed = rehearse(kind.project, home=home, loop=kind.loop), home
        rehearsal, home = kind._rehearsed
        assert rehearsal.candidate is not None, f"The cycle made no candidate: {rehearsal.run.error or rehearsal.run.result}"
        with open_rehearsed(kind.project, home=home, loop=kind.loop) as (workspace, loop):
            found = check(sample_of(workspace, loop, rehearsal))
        assert found.passed, found.sentence()


def sample_of(workspace: Workspace, loop: Loop, rehearsal: Rehearsal) -> Sample:
    from everloop.store import records

    assert rehearsal.candidate is not None
    with workspace.read() as tx:
        prepared = records.load(tx, rehearsal.candidate.prepared, Prepared)
        snapshot = records.load(tx, prepared.snapshot, Snapshot)
    return Sample(workspace, loop, snapshot, prepared, rehearsal.candidate)


def offline_equals_online(sample: Sample, *, rows: int = SAMPLE_ROWS, tolerance: float = 1e-6) -> Verdict:
    """Evaluation rows through the server that will answer, in company, alone, and again in another order: labels as they were offline, numbers within
    `tolerance`. Offline is the model asked for the whole part at once, as the evaluation asks it."""
    import numpy as np

    from everloop.serve.load import Loaded, Pace
    from everloop.serve.proof import through_server
    from everloop.store.models import open_model
    from everloop.store.parts import load_rows
    from everloop.store.registry import Registered

    candidate = sample.candidate
    names = [column.name for column in candidate.signature.inputs]
    part = load_rows(sample.workspace, sample.prepared, "test", columns=names)
    model = open_model(sample.workspace, candidate)
    chosen = np.unique(np.linspace(0, part.height - 1, min(rows, part.height)).astype(np.int64))
    expected = _ones(model.predict(part), chosen)
    # As it would be registered; whether it was is the gates' business.
    entry = Registered(loop=sample.loop.name, number=0, version="", candidate=candidate.id, model=candidate.model)
    # Opened once more: what the first keeps in memory, the served one does not have.
    loaded = Loaded(entry, candidate.signature, open_model(sample.workspace, candidate), Pace(0.0, 0.0))
    found = through_server(loaded, part[chosen], expected, alone=len(chosen), again=True, tolerance=tolerance)
    return verdict("offline equals online", candidate.id, found)


def rows_conserved(sample: Sample) -> Verdict:
    """Every row of the snapshot is in exactly one part, or in none because it has no target value (or lies in the gap of a split by time)."""
    import numpy as np

    from everloop.store.parts import PARTS, load_part
    from everloop.store.snapshots import load

    parts, prepared = sample.parts, sample.prepared
    target = load(sample.workspace.blobs, sample.snapshot, [prepared.target])[prepared.target]
    answered = target.is_not_null() if not target.dtype.is_float() else target.is_finite().fill_null(False)
    known = set(range(len(PARTS)))
    counted = {name: int(np.count_nonzero(parts == at)) for at, name in enumerate(PARTS)}
    loaded = {name: load_part(sample.workspace, prepared, name)[0].height for name in PARTS}
    nowhere = int(np.count_nonzero(~np.isin(parts, list(known))))
    split = sample.loop.split
    unexplained = 0 if split is not None and split.gap_s else int(np.count_nonzero(~np.isin(parts, list(known)) & answered.to_numpy()))
    return verdict(
        "rows conserved",
        prepared.id,
        [
            _equal("rows", len(parts), sample.snapshot.rows, "rows have a part, and the snapshot has {limit}"),
            _equal(
                "sum", sum(counted.values()) + nowhere, sample.snapshot.rows, "rows are in a part or in none, of {limit} in the snapshot"
            ),
            _equal(
                "parts",
                str(loaded),
                str({name: prepared.rows[name] for name in PARTS}),
                "rows are read of the parts; {limit} were prepared",
            ),
            _equal("left out", unexplained, 0, "rows with a target value are in no part"),
        ],
    )


def nothing_leaks(sample: Sample) -> Verdict:
    """What `data.leakage` finds, and that no row is in two parts where the split promises so."""
    import numpy as np

    from everloop.data.leakage import check_prepared
    from everloop.data.split import row_hash
    from everloop.store.snapshots import batches

    found = list(check_prepared(sample.workspace, sample.snapshot, sample.prepared, split=sample.loop.split).findings)
    if sample.loop.split is None or sample.loop.split.how == "hash":
        hashes = np.concatenate([row_hash(batch) for batch in batches(sample.workspace.blobs, sample.snapshot)])
        inside = sample.parts < 3
        shared = len(np.unique(np.stack([hashes[inside], sample.parts[inside].astype(np.uint64)]), axis=1).T) - len(
            np.unique(hashes[inside])
        )
        found.append(_equal("equal rows", shared, 0, "rows have an equal one in another part"))
    return verdict("nothing leaks", sample.prepared.id, found)


def fitted_on_training_rows(sample: Sample) -> Verdict:
    """The transform is fitted again on the training rows and nothing else: it must be the one that is in use."""
    from everloop.core import plugins
    from everloop.data.prepare import FitTransform
    from everloop.store.parts import load_part

    fit = cast("FitTransform", plugins.find("transforms", "sklearn"))
    train, _ = load_part(sample.workspace, sample.prepared, "train")
    used, again = sample.workspace.blobs.get(sample.prepared.transform), fit(train, sample.loop.transform)
    same = used == again or _same_features(used, again, load_part(sample.workspace, sample.prepared, "test")[0])
    return verdict(
        "fitted on training rows",
        sample.prepared.id,
        [
            Finding(
                check="transform",
                passed=same,
                message="the transform in use is the one that the training rows give"
                if same
                else "the transform in use is another than the training rows give: it was fitted on other rows, or does not give the same twice",
            )
        ],
    )


def _same_features(used: bytes, again: bytes, rows: pl.DataFrame) -> bool:
    """Code is stored in other bytes in each process; what it makes of rows must still be equal."""
    import numpy as np

    from everloop.adapters.sklearn import transform
    from everloop.adapters.sklearn.features import Features

    made = [Features(transform.load(data), rows.columns)(rows) for data in (used, again)]
    dense = [np.asarray(features.toarray() if hasattr(features, "toarray") else features) for features in made]
    return dense[0].shape == dense[1].shape and bool(np.array_equal(*dense, equal_nan=dense[0].dtype.kind == "f"))


def _ones(answers: Answers, chosen: np.ndarray[Any, Any]) -> Sequence[One]:
    from everloop.serve.frame import to_plain
    from everloop.serve.replay import One

    chances = answers.probabilities
    return [
        One(to_plain(output), None if chances is None else chances[at].tolist())
        for at, output in zip(chosen.tolist(), answers.outputs[chosen].tolist(), strict=True)
    ]


def _equal(check: str, observed: int | str, limit: int | str, message: str) -> Finding:
    return Finding(
        check=check, passed=observed == limit, message=f"{observed} {message.format(limit=limit)}", observed=observed, limit=limit
    )
