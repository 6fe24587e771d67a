"""The result of a step within a run, loaded when somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, cast

from everloop.core.errors import BadInput
from everloop.engine.canonical import NoForm, record_form

if TYPE_CHECKING:
    from everloop.core.runs import Step
    from everloop.engine.artifacts import Artifact
    from everloop.store.workspace import Workspace

T = TypeVar("T")
_UNLOADED: Any = object()


class Handle(Generic[T]):
    """Stands for a step's result; give it to other steps as it is. `step` is the step's row, `output` the result's identity."""

    def __init__(self, workspace: Workspace, step: Step, artifact: Artifact, value: T = _UNLOADED) -> None:
        self.step = step
        self.artifact = artifact
        self._workspace = workspace
        self._value = value

    @property
    def output(self) -> str:
        """The record's id, or the digest of the content."""
        return self.artifact.output

    def result(self) -> T:
        """The value, the same object each time."""
        if self._value is _UNLOADED:
            self._value = cast("T", self._load())
        return self._value

    def fresh(self) -> T:
        """The value for a step's body, which may change it in place without anybody else seeing that."""
        from everloop.engine.artifacts import MEMORY, duplicate

        if self.artifact.type == MEMORY:
            return self._value
        return cast("T", duplicate(self.artifact, self._value if self._value is not _UNLOADED else None, self._load))

    def _load(self) -> object:
        from everloop.engine.artifacts import load

        with self._workspace.read() as tx:
            return load(tx, self._workspace.blobs, self.artifact)

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
        return f"<handle of {self.step.name}: {self.artifact.type} {self.output[:32]}>"

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
