"""The result of a step within a run, loaded when somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, cast

from everloop.core.errors import BadInput
from everloop.engine.canonical import NoForm, record_form

if TYPE_CHECKING:
    from everloop.core.runs import Step
    from everloop.engine.artifacts import Artifact
    from everloop.engine.call import Call
    from everloop.engine.coordinator import Execution

T = TypeVar("T")
_UNLOADED: Any = object()


class Handle(Generic[T]):
    """Stands for the result of a step's call, which may still be under way; give it to other steps as it is.

    Whatever asks for the result, its `output` or its `artifact` waits for it, and gets the step's error if it failed.
    """

    def __init__(self, execution: Execution, call: Call, *, member: Artifact | None = None) -> None:
        self.execution = execution
        self.call = call
        self._member = member
        self._value: Any = _UNLOADED

    @property
    def step(self) -> Step:
        """The step's row as it stands; `status` says whether it is still running."""
        return self.call.row

    @property
    def done(self) -> bool:
        """Whether it ended, in whatever way. Never waits."""
        return self.call.ended

    @property
    def artifact(self) -> Artifact:
        return self._member or self.execution.artifact_of(self.call)

    @property
    def output(self) -> str:
        """The record's id, or the digest of the content."""
        return self.artifact.output

    def result(self) -> T:
        """The value, the same object each time."""
        if self._value is _UNLOADED:
            self._value = self.execution.value_of(self.call, self.artifact)
        return cast("T", self._value)

    def fresh(self) -> T:
        """The value for a step's body, which may change it in place without anybody else seeing that."""
        known = None if self._value is _UNLOADED else self._value
        return cast("T", self.execution.fresh_value_of(self.call, self.artifact, known))

    def members(self) -> Any:
        """A handle for each member of a list, tuple or dict (of tables, say), in a list or dict; none of them is loaded for that.

        None when the result is no such thing, or a small one that is kept as a whole.
        """
        found = self.execution.members_of(self.artifact)
        if found is None:
            return None
        if isinstance(found, dict):
            return {name: Handle[Any](self.execution, self.call, member=member) for name, member in found.items()}
        return [Handle[Any](self.execution, self.call, member=member) for member in found]

    def __canonical__(self, inside_object: bool, form: Callable[[object], object]) -> object:
        """What keys see of it: the content's identity."""
        if inside_object:
            raise NoForm(f"a handle of step {self.step.name!r} lies inside an object. Pass it directly or in a list, or its .result()")
        if not self.output:
            raise NoForm(f"the result of step {self.step.name!r} could not be stored. Return plain data or a table from it")
        if self.artifact.type == "record":
            return record_form(self.output)
        return ["input", self.artifact.type, self.output]

    def __repr__(self) -> str:
        known = self.call.artifact
        return f"<handle of {self.step.name}: {f'{known.type} {known.output[:32]}' if known else self.call.state}>"

    def __bool__(self) -> NoReturn:
        raise self._misuse("has no truth value")

    def __iter__(self) -> NoReturn:
        raise self._misuse("cannot be iterated over")

    def __len__(self) -> NoReturn:
        raise self._misuse("has no length")

    def __getitem__(self, item: object) -> NoReturn:
        raise self._misuse("has no items")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise self._misuse("cannot be stored")

    def __getattr__(self, name: str) -> NoReturn:
        text = f"A handle of a step has no attribute {name!r}. Call .result() on it to get the value."
        raise AttributeError(text, name=name, obj=self)

    def _misuse(self, what: str) -> BadInput:
        return BadInput(f"The handle of step {self.step.name!r} {what}. Call .result() on it to get the value.")


def resolve(value: object, of: Callable[[Handle[Any]], object]) -> object:
    """The value with each handle in it, in lists, tuples and dicts too, replaced by `of(handle)`. Without handles, the object itself."""
    if next(handles(value), None) is None:
        return value
    if isinstance(value, Handle):
        return of(cast("Handle[Any]", value))
    if type(value) is dict:
        return {name: resolve(item, of) for name, item in cast("dict[object, object]", value).items()}
    kind = cast("type[list[object]]", type(value))
    return kind(resolve(item, of) for item in cast("list[object]", value))


def handles(value: object, path: str = "") -> Iterator[tuple[str, Handle[Any]]]:
    """(where, handle) for each handle in a value: `scores[2]`."""
    if isinstance(value, Handle):
        yield path, cast("Handle[Any]", value)
    elif type(value) is list or type(value) is tuple:
        for index, item in enumerate(cast("list[object]", value)):
            yield from handles(item, f"{path}[{index}]")
    elif type(value) is dict:
        for name, item in cast("Mapping[object, object]", value).items():
            yield from handles(item, f"{path}[{name!r}]")
