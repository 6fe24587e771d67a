"""Runs and versions -> MLflow's store, where an unchanged MLflow client sees them."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import msgspec

from everloop.core.errors import BadInput, Conflict
from everloop.core.models import Metric
from everloop.store.locks import file_lock

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_TAG = "everloop.run"
LOOP_TAG = "everloop.loop"
LOCK_TIMEOUT_S = 120.0

# MLflow's own words for how a run ended.
STATUS = {"queued": "SCHEDULED", "running": "RUNNING", "done": "FINISHED", "stopped": "FINISHED", "refused": "FINISHED"}
FAILED = "FAILED"
MAX_BATCH = 100


class MlflowTracker:
    """Implements `core.ports.Tracker`. `tracking_uri` is any that MLflow accepts; `artifacts` is where MLflow may put files of its own.

    Telemetry of MLflow is off in this process. Nothing is opened before the first call.
    """

    def __init__(self, tracking_uri: str, artifacts: str) -> None:
        # Before MLflow is imported, which reads them.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("DO_NOT_TRACK", "true")
        self._uri = tracking_uri
        self._artifacts = artifacts
        self._opened: MlflowClient | None = None
        self._experiments: dict[str, str] = {}

    def log_run(
        self,
        *,
        loop: str,
        run: str,
        status: str,
        params: Mapping[str, object],
        metrics: tuple[Metric, ...],
        tags: Mapping[str, str],
        started_at: float,
        ended_at: float,
    ) -> str:
        """An undefined metric is left out; one of a slice is named `mae/season=1`; intervals are `mae.low` and `mae.high`.

        Parameters are never changed once written (MLflow refuses it); long ones are cut here, and whole in our own store.
        """
        from mlflow.entities import Metric as MlflowMetric
        from mlflow.entities import Param, RunTag
        from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH, MAX_TAG_VAL_LENGTH

        with _one_at_a_time(self._uri, "runs"):
            return self._log_run(
                loop,
                run,
                status,
                params=[Param(_key(name), _text(value)[:MAX_PARAM_VAL_LENGTH]) for name, value in params.items()],
                metrics=[MlflowMetric(_key(name), value, int(ended_at * 1000), 0) for name, value in _numbers(metrics)],
                tags=[RunTag(_key(name), value[:MAX_TAG_VAL_LENGTH]) for name, value in {**tags, RUN_TAG: run, LOOP_TAG: loop}.items()],
                started_at=started_at,
                ended_at=ended_at,
            )

    def _log_run(
        self,
        loop: str,
        run: str,
        status: str,
        *,
        params: list[Any],
        metrics: list[Any],
        tags: list[Any],
        started_at: float,
        ended_at: float,
    ) -> str:
        client = self._client()
        experiment = self._experiment(loop)
        found = client.search_runs([experiment], filter_string=f"tags.`{RUN_TAG}` = {_quoted(run)}", max_results=1)
        if found:
            entity = found[0]
        else:
            entity = client.create_run(
                experiment, start_time=int(started_at * 1000), tags={tag.key: tag.value for tag in tags}, run_name=run
            )
        id = entity.info.run_id
        known = entity.data.params
        pending = [param for param in params if param.key not in known]
        changed = [metric for metric in metrics if entity.data.metrics.get(metric.key) != metric.value]
        for start in range(0, max(len(pending), len(changed), len(tags), 1), MAX_BATCH):
            part = slice(start, start + MAX_BATCH)
            client.log_batch(id, metrics=changed[part], params=pending[part], tags=tags[part])
        wanted = STATUS.get(status, FAILED)
        if wanted in ("FINISHED", FAILED):
            client.set_terminated(id, status=wanted, end_time=int(ended_at * 1000))
        elif entity.info.status != wanted:
            client.update_run(id, status=wanted)
        return id

    def register(self, *, loop: str, number: int, model_uri: str, tracker_run: str, tags: Mapping[str, str]) -> None:
        """MLflow numbers versions 1, 2, 3 …, and so do we. Conflict when it has other versions under this name than ours."""
        with _one_at_a_time(self._uri, "models"):
            client = self._client()
            self._model(loop)
            versions = {int(version.version): version for version in client.search_model_versions(f"name = {_quoted(loop)}")}
            if number in versions:
                if versions[number].source != model_uri:
                    raise Conflict(
                        f"MLflow's registry already has {loop} version {number} from {versions[number].source}. "
                        f"Somebody registered a version under this name by hand: move it to another name, or rename the loop."
                    )
                return
            # A version deleted in MLflow leaves a gap, which is not filled again; it counts on from the highest.
            following = max(versions, default=0) + 1
            if following != number:
                raise Conflict(
                    f"MLflow's registry would number the next version of {loop!r} {following}, where {number} was expected. "
                    "Register the versions before it first, or delete those that are not everloop's."
                )
            made = client.create_model_version(loop, source=model_uri, run_id=tracker_run or None, tags={**tags, LOOP_TAG: loop})
            if int(made.version) != number:
                client.delete_model_version(loop, made.version)
                raise Conflict(f"MLflow's registry numbered the version of {loop!r} {made.version}, where {number} was expected.")

    def set_aliases(self, *, loop: str, aliases: Mapping[str, int | None]) -> None:
        """What already points there is left alone, so that repeating costs one read."""
        with _one_at_a_time(self._uri, "models"):
            client = self._client()
            self._model(loop)
            now: Mapping[str, Any] = client.get_registered_model(loop).aliases
            for alias, number in aliases.items():
                if number is None:
                    if alias in now:
                        client.delete_registered_model_alias(loop, alias)
                elif str(now.get(alias)) != str(number):
                    client.set_registered_model_alias(loop, alias, str(number))

    def _client(self) -> MlflowClient:
        if self._opened is None:
            # The first use of a fresh store migrates it, which MLflow does not guard against other processes.
            with _one_at_a_time(self._uri, "open"), _quiet():
                from mlflow import MlflowClient

                client = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
                client.search_experiments(max_results=1)
                client.search_registered_models(max_results=1)
            self._opened = client
        return self._opened

    def _experiment(self, loop: str) -> str:
        if loop not in self._experiments:
            client = self._client()
            with _one_at_a_time(self._uri, "open"):
                found = client.get_experiment_by_name(loop)
                self._experiments[loop] = (
                    found.experiment_id
                    if found is not None
                    else client.create_experiment(loop, artifact_location=f"{self._artifacts.rstrip('/')}/{loop}")
                )
        return self._experiments[loop]

    def _model(self, loop: str) -> None:
        from mlflow.exceptions import MlflowException

        client = self._client()
        try:
            client.get_registered_model(loop)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            client.create_registered_model(loop, tags={LOOP_TAG: loop})


def _numbers(metrics: tuple[Metric, ...]) -> Iterator[tuple[str, float]]:
    for metric in metrics:
        name = f"{metric.name}/{metric.slice}" if metric.slice else metric.name
        for suffix, value in (("", metric.value), (".low", metric.low), (".high", metric.high)):
            if value is not None and math.isfinite(value):
                yield name + suffix, value


def _key(name: str) -> str:
    """MLflow allows letters, digits and `_-. /:` in names, 250 of them."""
    return "".join(c if c.isalnum() or c in "_-. /:" else "_" for c in name)[:250]


def _quoted(value: str) -> str:
    """MLflow's search knows two quotation marks and no way to escape one."""
    if "'" in value and '"' in value:
        raise BadInput(f"{value!r} has both kinds of quotation marks, which MLflow cannot search for. Leave one kind out.")
    return f'"{value}"' if "'" in value else f"'{value}'"


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


@contextmanager
def _one_at_a_time(uri: str, what: str) -> Iterator[None]:
    """One process at a time in each kind of work, for a store in a file; a server guards itself. `open` may be taken within the others."""
    path = _sqlite_path(uri)
    if path is None:
        yield
        return
    with file_lock(path.with_name(f"{path.name}.{what}.lock"), timeout_s=LOCK_TIMEOUT_S):
        yield


def _sqlite_path(uri: str) -> Path | None:
    scheme, _, rest = uri.partition(":///")
    return Path(unquote(urlsplit(rest).path)) if scheme.startswith("sqlite") and rest else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Migrations are talked about at INFO, on a stranger's standard error."""
    loggers = [logging.getLogger(name) for name in ("alembic", "mlflow", "mlflow.store.db.utils")]
    before = [(logger, logger.level) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in before:
            logger.setLevel(level)
