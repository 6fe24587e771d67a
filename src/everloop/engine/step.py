"""`@step`: a function whose result is kept, and used again while nothing that it depends on changed."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar, cast, overload

from everloop.core.errors import BadInput
from everloop.core.work import Resources
from everloop.engine import scope

P = ParamSpec("P")
R = TypeVar("R")


class Settings(NamedTuple):
    """What `@step(...)` says about how a step runs; see there."""

    name: str = ""
    version: str = ""
    effect: bool = False
    retries: int = 0
    retry_delay_s: float = 0.1
    timeout_s: float | None = None
    resources: Resources = Resources()
    depends_on: tuple[str, ...] = ()
    env: tuple[str, ...] = ()


class StepFunction(Generic[P, R]):
    """Called outside a run, or from another step's body: the plain function. In a pipeline's run: memoised, giving a `Handle`."""

    def __init__(self, function: Callable[P, R], settings: Settings) -> None:
        _check(function, settings)
        self.function = function
        self.settings = settings
        self.name = settings.name or function.__name__
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        bodies = scope.bodies.get()
        if self in bodies:
            raise BadInput(
                f"Step {self.name!r} calls itself (by way of {' -> '.join(body.name for body in bodies)}). "
                "Put what repeats into a plain function, and call that from the step."
            )
        execution = scope.execution.get()
        if execution is None or bodies:
            return self.function(*args, **kwargs)
        return execution.call(self, args, kwargs)

    def map(self, items: Any, /, **fixed: Any) -> Any:
        """One call an item, with the item as first argument: a list of what the calls give, or, for a mapping, a dict under its names.

        `items` may be the handle of a list or dict that another step makes; it is waited for, and tables in it are not loaded here. Calls whose item, other arguments and
        code are as they were hit, so that only what is new or changed is executed.
        """
        from everloop.engine.handle import Handle

        found = items
        if isinstance(items, Handle):
            handle = cast("Handle[Any]", items)
            members = handle.members()
            found = handle.result() if members is None else members
        if isinstance(found, Mapping):
            named = cast("Mapping[Any, Any]", found)
            return {name: self(item, **fixed) for name, item in named.items()}  # type: ignore[call-arg]
        return [self(item, **fixed) for item in found]  # type: ignore[call-arg]

    def __reduce__(self) -> Any:
        """By name where it can be found by its name in another process, else with its function by value."""
        module = sys.modules.get(self.function.__module__)
        found: Any = module
        for part in self.function.__qualname__.split("."):
            found = getattr(found, part, None)
        if found is self and self.function.__module__ != "__main__":
            return self.function.__qualname__
        return StepFunction, (self.function, self.settings)

    def __canonical__(self, inside_object: bool, form: Callable[[object], object]) -> object:
        """As part of other code or a parameter: what it does."""
        return ["step", form(self.function), self.settings.version]

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
    *,
    name: str = "",
    version: str = "",
    effect: bool = False,
    retries: int = 0,
    retry_delay_s: float = 0.1,
    timeout_s: float | None = None,
    cpus: float = 1.0,
    gpus: float = 0.0,
    memory_mb: float = 0.0,
    depends_on: Sequence[str] = (),
    env: Sequence[str] = (),
) -> Callable[[Callable[P, R]], StepFunction[P, R]]: ...
def step(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str = "",
    version: str = "",
    effect: bool = False,
    retries: int = 0,
    retry_delay_s: float = 0.1,
    timeout_s: float | None = None,
    cpus: float = 1.0,
    gpus: float = 0.0,
    memory_mb: float = 0.0,
    depends_on: Sequence[str] = (),
    env: Sequence[str] = (),
) -> StepFunction[P, R] | Callable[[Callable[P, R]], StepFunction[P, R]]:
    """Make a function a step.

    - `version` is part of the key: change it when something that the engine cannot see did.
    - `depends_on` names files (or patterns such as `rules/*.yaml`, from the project's folder) whose content is part of the key, `env`
      environment variables whose values are.
    - An `effect` (deploy, notify) always runs, in the order of the calls, and is never cached.
    - `retries` is how often the body is tried again after an exception or the death of its process, first after about
      `retry_delay_s`, then twice that, and so on up to half a minute.
    - `timeout_s` ends one attempt for good: the body runs in a process of its own, which is killed with all that it started.
    - `cpus`, `gpus` and `memory_mb` are what one body needs; an executor starts no more of them at once than fit.
    """
    settings = Settings(
        name=name,
        version=version,
        effect=effect,
        retries=retries,
        retry_delay_s=retry_delay_s,
        timeout_s=timeout_s,
        resources=Resources(cpus=cpus, gpus=gpus, memory_mb=memory_mb),
        depends_on=_names("depends_on", depends_on),
        env=_names("env", env),
    )

    def make(function: Callable[P, R]) -> StepFunction[P, R]:
        return StepFunction(function, settings)

    return make(function) if function is not None else make


def _names(what: str, given: Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str):
        raise BadInput(f"@step: {what} must be a list of names, not the text {given!r}. Write {what}=[{given!r}].")
    return tuple(given)


def _check(function: Callable[..., Any], settings: Settings) -> None:
    plain = inspect.unwrap(function)
    shown = settings.name or getattr(function, "__name__", repr(function))
    if not inspect.isfunction(plain):
        raise BadInput(f"@step was put on {function!r}, which is no function. Write a `def` that calls it, and make that the step.")
    if plain.__name__ == "<lambda>":
        raise BadInput(f"Step {shown!r} is a lambda ({plain.__code__.co_filename}:{plain.__code__.co_firstlineno}). Write it as a `def`.")
    if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        raise BadInput(f"Step {shown!r} is a generator: what it yields is gone once read. Collect it, and return a list.")
    if inspect.iscoroutinefunction(plain):
        raise BadInput(f"Step {shown!r} is `async`. Write a plain `def` that calls asyncio.run(...).")
    needs = settings.resources
    if settings.retries < 0 or settings.retry_delay_s < 0 or (settings.timeout_s is not None and settings.timeout_s <= 0):
        raise BadInput(
            f"Step {shown!r}: retries={settings.retries}, retry_delay_s={settings.retry_delay_s:g}, timeout_s={settings.timeout_s}. "
            "The first two must be at least 0, and timeout_s more than 0, or None for no limit."
        )
    if min(needs.cpus, needs.gpus, needs.memory_mb) < 0:
        raise BadInput(f"Step {shown!r} asks for less than nothing: {needs}. cpus, gpus and memory_mb must be at least 0.")
