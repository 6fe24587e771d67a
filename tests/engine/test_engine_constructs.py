"""Every number in a module full of Python's and libraries' constructs is seen when it changes, and using the constructs changes nothing."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from everloop.engine.code import code_digest

SOURCE = """
import abc, dataclasses, enum, functools, typing, collections, re, logging, threading, contextlib, operator, weakref, itertools
import msgspec, pydantic, attrs
import numpy as np
from sklearn.linear_model import Ridge
T = typing.TypeVar("T")
class A(abc.ABC):
    @abc.abstractmethod
    def f(self): ...
class B(A, typing.Generic[T]):
    def f(self): return {'x', 'y', 'z'}
    @functools.cached_property
    def c(self): return 1
    @staticmethod
    def s(): return {1,2}
    @classmethod
    def k(cls): return cls
    @functools.lru_cache
    def l(self): return 2
    @functools.singledispatchmethod
    def sd(self, x): return 3
    @contextlib.contextmanager
    def cm(self): yield 4
    p = functools.partialmethod(f)
@dataclasses.dataclass
class D:
    x: int = 1
    y: list = dataclasses.field(default_factory=list)
    def m(self): return 5
class E(enum.Enum):
    P = 1
    Q = 2
    def em(self): return 6
class F(enum.Flag):
    P = 1
    Q = 2
class N(typing.NamedTuple):
    a: int = 1
    def nm(self): return 7
class TD(typing.TypedDict):
    a: int
class Pr(typing.Protocol):
    def f(self): ...
class S(msgspec.Struct):
    a: int = 1
    def sm(self): return 8
class M(pydantic.BaseModel):
    a: int = 1
    b: 'M | None' = None
    def mm(self): return 9
@attrs.define
class AT:
    a: int = 1
    def am(self): return 10
@functools.singledispatch
def sd(x): return 11
@sd.register
def _(x: int): return 12
@contextlib.contextmanager
def cm(): yield 13
LOG = logging.getLogger("zoo")
LOCK = threading.Lock()
PAT = re.compile("a")
MODEL = Ridge(alpha=14)
WEAK = weakref.WeakValueDictionary()
VAR = __import__("contextvars").ContextVar("v")
NT = collections.namedtuple("NT", "a b")
CHAIN = collections.ChainMap({"a": 1})
class Meta(type):
    def mt(cls): return 16
class WithMeta(metaclass=Meta): pass
class Desc:
    def __get__(self, i, o): return 17
class Uses:
    d = Desc()
    __slots__ = ("q",)
ARR = np.arange(18)
names = {f"n{i}" for i in range(50)}
async def co(): return [x async for x in ag()]
async def ag(): yield 19
def match(x):
    match x:
        case {"a": [1, *rest], **kw}: return rest, kw
        case D(x=1) | N(2): return 20
        case _: return None
def big():
    return (A, B, D, E, E.P, F, F.P, N, TD, Pr, S, M, AT, sd, cm, LOG, LOCK, PAT, MODEL, WEAK, VAR, NT, CHAIN, WithMeta, Uses, ARR, names, co, match, T, typing.Optional[int], B[int],
            np.add, operator.itemgetter(1), [lambda q=i: q for i in range(3)])
"""


class Project:
    """A folder on the path with one module, written anew for each edit."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "construct_zoo.py"

    def load(self, text: str) -> ModuleType:
        self.path.write_text(text)
        sys.modules.pop("construct_zoo", None)
        importlib.invalidate_caches()
        return importlib.import_module("construct_zoo")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return Project(tmp_path)


def test_every_number_counts(project: Project) -> None:
    before = code_digest(project.load(SOURCE).big).digest
    numbers = list(re.finditer(r"(?<!\w)\d+(?!\w)", SOURCE))
    assert len(numbers) > 30
    unseen: list[str] = []
    for found in numbers:
        edited = SOURCE[: found.start()] + str(int(found[0]) + 100) + SOURCE[found.end() :]
        if code_digest(project.load(edited).big).digest == before:
            unseen.append(SOURCE[: found.end()].splitlines()[-1])
    assert unseen == []
    assert code_digest(project.load("# moved\n\n" + SOURCE).big).digest == before


def test_use_changes_nothing(project: Project) -> None:
    zoo = project.load(SOURCE)
    before = code_digest(zoo.big)
    thing = zoo.B()
    assert (zoo.sd(3), thing.sd(3), thing.l(), thing.c, zoo.E(1), len(list(zoo.F))) == (12, 3, 2, 1, zoo.E.P, 2)
    assert zoo.F.P | zoo.F.Q
    assert zoo.M(a=2, b=zoo.M()).model_dump()["a"] == 2
    assert zoo.M.model_json_schema()
    assert not isinstance(3, zoo.A)
    assert zoo.PAT.search("a")
    zoo.LOG.info("used")
    zoo.WEAK["thing"] = thing
    zoo.VAR.set(1)
    after = code_digest(zoo.big)
    assert [name for name in after.parts if after.parts[name] != before.parts[name]] == []
    assert after.digest == before.digest
