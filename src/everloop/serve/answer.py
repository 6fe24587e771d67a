"""A request for predictions -> which version answers it, its answer, and what the shadow is asked afterwards."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from everloop.core.errors import BadInput, Busy, EverloopError
from everloop.core.live import Role
from everloop.serve import policy
from everloop.serve.errors import ModelFailed
from everloop.serve.lane import Answered, Lane, Work
from everloop.serve.load import Loaded
from everloop.serve.pinned import Pinned
from everloop.serve.table import Router, Served

log = logging.getLogger("everloop.serve")

_encoder = msgspec.json.Encoder()
_nonce = secrets.token_hex(6)
_numbers = itertools.count(1)


class Asked(NamedTuple):
    """A request for predictions, read but not decoded: what its features must be depends on the version that answers."""

    model: str
    body: bytes
    key: str | None
    pin: str | None
    began: float


class Reply(NamedTuple):
    """`after` is to be called when the answer was sent."""

    body: bytes
    version: int
    role: str
    after: Callable[[], None] | None


async def predict(router: Router, pinned: Pinned | None, asked: Asked) -> Reply:
    """Raises BadInput, NotFound, Busy, ModelFailed or CaptureFailed; a failing challenger raises nothing, the champion answers."""
    served = router.served(asked.model)
    request = f"r-{_nonce}-{next(_numbers):x}"
    if asked.pin is not None:
        return await _pinned(router, pinned, served, asked, request)
    champion = router.champion(asked.model)
    challenger = served.challenger
    if challenger is not None and policy.answerer(served.deployment, asked.key or request) == "challenger":
        answered = await _challenger(router, challenger, champion, asked, request)
        if answered is not None:
            return _reply(router, challenger.loaded, answered, asked, role="canary")
    work = _work(router, champion, asked, "champion", request)
    answered = await champion.submit(work)
    after = None
    if challenger is not None and policy.mirrored(served.deployment):
        after = _mirror(router, served, work, answered, asked)
    return _reply(router, champion.loaded, answered, asked, role="champion", after=after)


def _work(router: Router, lane: Lane, asked: Asked, role: Role | None, request: str) -> Work:
    rows = lane.loaded.decoder.decode(asked.body, limit=router.limits.request_rows)
    return Work(rows, role=role, request=request, began=asked.began)


def _reply(
    router: Router, loaded: Loaded, answered: Answered, asked: Asked, *, role: str, after: Callable[[], None] | None = None
) -> Reply:
    version = loaded.registered.number
    seconds = time.perf_counter() - asked.began
    router.metrics.answered(asked.model, version, len(answered.outputs), seconds)
    return Reply(encode(asked.model, loaded, answered), version, role, after)


def encode(model: str, loaded: Loaded, answered: Answered) -> bytes:
    version = loaded.registered.number
    classes = loaded.signature.classes
    count = len(answered.outputs)
    ids = answered.ids or [None] * count
    probabilities = answered.probabilities or [None] * count
    predictions = [
        {
            "id": id,
            "output": output,
            "probabilities": None if chances is None else dict(zip(classes, chances, strict=True)),
            "version": version,
        }
        for id, output, chances in zip(ids, answered.outputs, probabilities, strict=True)
    ]
    return _encoder.encode({"model": model, "predictions": predictions})


async def _challenger(router: Router, challenger: Lane, champion: Lane, asked: Asked, request: str) -> Answered | None:
    """Its answers, or None when it could not give any and the champion has to."""
    try:
        return await challenger.submit(_work(router, challenger, asked, "canary", request))
    except ModelFailed as error:
        _blame(router, challenger, error)
    except BadInput as error:
        # The caller's fault, unless the champion understands these rows.
        if challenger.loaded.signature.inputs == champion.loaded.signature.inputs:
            raise
        champion.loaded.decoder.decode(asked.body, limit=router.limits.request_rows)
        _blame(router, challenger, error)
    except Busy as error:
        log.warning("%s The champion answers.", error)
    return None


def _blame(router: Router, challenger: Lane, error: Exception) -> None:
    registered = challenger.loaded.registered
    router.metrics.lane(registered.loop, registered.number).challenger_failed.inc()
    router.note_failure(registered.loop, registered.number, str(error))


def _mirror(router: Router, served: Served, work: Work, answered: Answered, asked: Asked) -> Callable[[], None]:
    """Ask the shadow the same rows, in the background and only if there is room."""
    champion, challenger = served.champion, served.challenger
    assert champion is not None
    assert challenger is not None

    def ask() -> None:
        try:
            rows = work.rows
            if challenger.loaded.signature.inputs != champion.loaded.signature.inputs:
                rows = challenger.loaded.decoder.decode(asked.body, limit=router.limits.request_rows)
            mirror = Work(rows, role="shadow", request=work.request, began=time.perf_counter(), mirrors=answered.ids)
            challenger.submit(mirror).add_done_callback(heard)
        except Busy:
            registered = challenger.loaded.registered
            router.metrics.lane(registered.loop, registered.number).shadow_dropped.inc(len(work.rows))
        except EverloopError as error:
            _blame(router, challenger, error)

    def heard(done: asyncio.Future[Answered]) -> None:
        error = None if done.cancelled() else done.exception()
        if isinstance(error, ModelFailed):
            _blame(router, challenger, error)

    return ask


async def _pinned(router: Router, pinned: Pinned | None, served: Served, asked: Asked, request: str) -> Reply:
    """A version that the caller named. It is not captured: what somebody tries out must not count as what the model sees."""
    assert asked.pin is not None
    if pinned is None:
        raise BadInput("Versions cannot be chosen here.")
    lane = await pinned.find(served, asked.pin)
    answered = await lane.submit(_work(router, lane, asked, None, request))
    return _reply(router, lane.loaded, answered, asked, role="pinned")
