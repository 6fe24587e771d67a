"""A registered version -> a model that is ready to answer, proven on a row and timed."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from everloop.core.errors import Broken, EverloopError, NotFound
from everloop.core.models import Candidate, Evaluation, Signature, Version
from everloop.core.rules.rows import RowCheck, compile_row
from everloop.core.tables import Kind
from everloop.serve.decode import Row, RowDecoder
from everloop.serve.errors import CannotAnswer
from everloop.serve.frame import Framer, Plain, to_plain
from everloop.store import contracts, records, tables
from everloop.store.models import open_version
from everloop.store.registry import Registered
from everloop.store.workspace import Workspace

if TYPE_CHECKING:
    from everloop.core.ports import Predictor

log = logging.getLogger("everloop.serve")

_MANY = 64
_SLOW_S = 0.1
_SYNTHETIC: dict[Kind, Plain] = {
    "int": 0,
    "float": 0.0,
    "bool": False,
    "text": "",
    "time": "2000-01-01T00:00:00",
    "bytes": "",
    "list": "[]",
}


class Pace:
    """What a model call takes: a part for the call and a part for each row, measured when the model was loaded, then followed."""

    def __init__(self, call_s: float, row_s: float) -> None:
        self._call_s = call_s
        self._row_s = row_s
        self._factor = 1.0

    def expects(self, rows: int) -> float:
        return self._factor * (self._call_s + rows * self._row_s)

    def note(self, seconds: float, rows: int) -> None:
        measured = seconds / max(self._call_s + rows * self._row_s, 1e-9)
        # Other threads may have had the processor meanwhile: no single call counts for more than a few times what was expected.
        self._factor += 0.05 * (min(measured, 5.0) - self._factor)


class Loaded:
    """A version in memory with what its signature compiles to."""

    def __init__(
        self, registered: Registered, signature: Signature, model: Predictor, pace: Pace, contract: RowCheck | None = None
    ) -> None:
        self.registered = registered
        self.signature = signature
        self.model = model
        self.pace = pace
        self.contract = contract
        self.decoder = RowDecoder(signature)
        self.framer = Framer(signature)
        self.name = f"{registered.loop!r} version {registered.number}"


def load(workspace: Workspace, registered: Registered) -> Loaded:
    """Open, answer a row of the evaluation, measure. Raises Broken, and CannotAnswer when the model does not answer what it answered when it was evaluated."""
    try:
        candidate, model = open_version(workspace, registered)
    except EverloopError:
        raise
    except (Exception, SystemExit) as error:
        raise Broken(f"{registered.name} could not be opened ({type(error).__name__}: {error}).") from error
    golden = golden_row(workspace, registered, candidate)
    row = golden or tuple(_SYNTHETIC[column.kind] for column in candidate.signature.inputs)
    framer = Framer(candidate.signature)
    try:
        pace = measure(model, framer, row)
    except Exception as error:
        if golden is not None:
            raise CannotAnswer(
                f"{registered.name} cannot answer a row that it answered in its evaluation ({type(error).__name__}: {error}). "
                "The libraries it needs may have changed since. It is not served."
            ) from error
        # An invented row may be one that the model rightly refuses.
        log.info("%s was not warmed up: %s", registered.name, error)
        pace = Pace(_SLOW_S, 0.0)
    return Loaded(registered, candidate.signature, model, pace, contract_of(workspace, registered, candidate.signature))


def contract_of(workspace: Workspace, registered: Registered, signature: Signature) -> RowCheck | None:
    """The check of rows by the schema that the version was released with. None when there is none, or it is not understood any more: rows are
    answered without it."""
    try:
        with workspace.read() as tx:
            schema = contracts.find(tx, registered)
        return None if schema is None else compile_row(schema, signature.inputs)
    except EverloopError as error:
        log.warning("Rows for %s are not held against its schema: %s", registered.name, error)
        return None


def golden_row(workspace: Workspace, registered: Registered, candidate: Candidate) -> Row | None:
    """The first row of the sample that the evaluation kept; None when it kept none, or it is gone."""
    try:
        with workspace.read() as tx:
            version = records.load(tx, registered.version, Version)
            evaluation = records.load(tx, version.evaluation, Evaluation)
        if not evaluation.golden:
            return None
        frame = tables.load_table(workspace.blobs, evaluation.golden).select([column.name for column in candidate.signature.inputs])
    except NotFound:
        return None
    return tuple(to_plain(value) for value in frame.row(0)) if frame.height else None


def measure(model: Predictor, framer: Framer, row: Row) -> Pace:
    """The best of a few calls with one and with many rows: what the model takes when it is not disturbed."""
    one = _fastest(model, framer, [row])
    if one > _SLOW_S:
        return Pace(one, 0.0)
    many = _fastest(model, framer, [row] * _MANY)
    row_s = max(0.0, (many - one) / (_MANY - 1))
    return Pace(max(0.0, one - row_s), row_s)


def _fastest(model: Predictor, framer: Framer, rows: Sequence[Row]) -> float:
    times: list[float] = []
    for _ in range(4):
        began = time.perf_counter()
        model.predict(framer(rows))
        times.append(time.perf_counter() - began)
        if times[-1] > _SLOW_S:
            break
    return min(times)


def limit_threads() -> None:
    """One OpenMP and BLAS thread for the calling thread: requests are the parallel work, and a team of threads a request costs more
    than it brings."""
    try:
        from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
    except ModuleNotFoundError:
        return
    threadpool_limits(limits=1)
