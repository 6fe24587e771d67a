"""`@step`: a function whose result is kept, and used again while nothing that it depends on changed."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar, overload

from everloop.core.errors import BadInput
from everloop.engine import scope

P = ParamSpec("P")
R = TypeVar("R")


class StepFunction(Generic[P, R]):
    """Called outside a run, or from another step's body: the plain function. In a pipeline's run: memoised, giving a `Handle`."""

    def __init__(self, function: Callable[P, R], *, name: str, version: str, effect: bool, retries: int) -> None:
        _check(function, name)
        self.function = function
        self.name = name or function.__name__
        self.version = version
        self.effect = effect
        self.retries = retries
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        execution = scope.execution.get()
        if execution is None:
            return self.function(*args, **kwargs)
        bodies = scope.bodies.get()
        if not bodies:
            return execution.call(self, args, kwargs)
        if self in bodies:
            raise BadInput(
                f"Step {self.name!r} calls itself (by way of {' -> '.join(body.name for body in bodies)}). "
                "Put what repeats into a plain function, and call that from the step."
            )
        return self.function(*args, **kwargs)

    def __canonical__(self, inside_object: bool, form: Callable[[object], object]) -> object:
        """As part of other code or a parameter: what it does."""
        return ["step", form(self.function), self.version]

    @property
    def place(self) -> str:
        code = inspect.unwrap(self.function).__code__
        return f"{code.co_filename}:{code.co_firstlineno}"

    @functools.cached_property
    def signature(self) -> inspect.Signature:
        return inspect.signature(self.function)

    def __repr__(self) -> str:
        return f"<step {self.name}>"


@overload
def step(function: Callable[P, R], /) -> StepFunction[P, R]: ...
@overload
def step(
    *, name: str = "", version: str = "", effect: bool = False, retries: int = 0
) -> Callable[[Callable[P, R]], StepFunction[P, R]]: ...
def step(
    function: Callable[P, R] | None = None, /, *, name: str = "", version: str = "", effect: bool = False, retries: int = 0
) -> StepFunction[P, R] | Callable[[Callable[P, R]], StepFunction[P, R]]:
    """Make a function a step.

    `version` is part of the key: change it when something that the engine cannot see did. An `effect` (deploy, notify) always runs
    and is never cached. `retries` is how often the body is tried again after an exception.
    """

    def make(function: Callable[P, R]) -> StepFunction[P, R]:
        return StepFunction(function, name=name, version=version, effect=effect, retries=retries)

    return make(function) if function is not None else make


def _check(function: Callable[..., Any], name: str) -> None:
    plain = inspect.unwrap(function)
    shown = name or getattr(function, "__name__", repr(function))
    if not inspect.isfunction(plain):
        raise BadInput(f"@step was put on {function!r}, which is no function. Write a `def` that calls it, and make that the step.")
    if plain.__name__ == "<lambda>":
        raise BadInput(f"Step {shown!r} is a lambda ({plain.__code__.co_filename}:{plain.__code__.co_firstlineno}). Write it as a `def`.")
    if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        raise BadInput(f"Step {shown!r} is a generator: what it yields is gone once read. Collect it, and return a list.")
    if inspect.iscoroutinefunction(plain):
        raise BadInput(f"Step {shown!r} is `async`. Write a plain `def` that calls asyncio.run(...).")
