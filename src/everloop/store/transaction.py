"""What happens together or not at all, told in plain SQL or in SQLAlchemy's words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVarTuple, overload

if TYPE_CHECKING:
    from sqlalchemy import Executable
    from sqlalchemy.engine import Connection, CursorResult, Dialect
    from sqlalchemy.sql.selectable import TypedReturnsRows

Columns = TypeVarTuple("Columns")
Parameters = Mapping[str, Any]
NONE: Parameters = {}
OVER = "This transaction is over. Use it inside `with workspace.read()` or `with workspace.write()`."


class Rows(list[tuple[Any, ...]]):
    """What a statement gave back. `changed` is how many rows it inserted, updated or deleted."""

    __slots__ = ("changed",)

    def __init__(self, rows: Iterable[tuple[Any, ...]], changed: int) -> None:
        super().__init__(rows)
        self.changed = changed

    def first(self) -> tuple[Any, ...] | None:
        return self[0] if self else None

    def value(self) -> Any:
        """The first column of the first row, None when there is no row."""
        return self[0][0] if self else None


class Transaction(ABC):
    """`sql` and `many` take plain SQL that SQLite (3.35) and PostgreSQL both read, with `:name` parameters: they cost microseconds, and
    do not load SQLAlchemy. `execute` takes SQLAlchemy's statements. Both work in the same transaction, and see what the other wrote."""

    is_sqlite: bool

    @abstractmethod
    def sql(self, text: str, params: Parameters = NONE) -> Rows: ...

    @abstractmethod
    def many(self, text: str, rows: Sequence[Parameters]) -> None:
        """Execute a statement that gives nothing back once for each of `rows`."""

    @property
    @abstractmethod
    def connection(self) -> Connection:
        """SQLAlchemy's connection, inside this transaction."""

    @property
    def dialect(self) -> Dialect:
        return self.connection.dialect

    @overload
    def execute(
        self, statement: TypedReturnsRows[*Columns], params: Parameters | Sequence[Parameters] | None = None
    ) -> CursorResult[*Columns]: ...

    @overload
    def execute(self, statement: Executable, params: Parameters | Sequence[Parameters] | None = None) -> CursorResult[*tuple[Any, ...]]: ...

    def execute(self, statement: Executable, params: Parameters | Sequence[Parameters] | None = None) -> Any:
        return self.connection.execute(statement, params)
