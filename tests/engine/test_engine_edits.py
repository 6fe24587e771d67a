"""The table of edits: which step must run again after which change, and which must not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

STEPS = '''
"""Steps of a project."""
import functools
import operator
from pathlib import Path

import fakelib
import helpers
import kinds
import registry
import pkg.inner
from decorators import shout, times
from helpers import Model, scale as renamed
from stars import *
from everloop.engine.pipeline import pipeline
from everloop.engine.step import step

FACTOR = 2
WORDS = {"a", "b", "c"}


@step
def constant():
    return 41 + len("x")


@step
def documented(n, k=3):
    """What it does."""
    # a comment
    return [n, k]


@step
def by_helper():
    return helpers.scale(2)


@step
def by_renamed():
    return [renamed(x) for x in range(3)]


@step
def by_global():
    return FACTOR


@step
def by_set(word):
    return word in WORDS and word in {"a", "b", "q"}


@step
def by_method():
    return Model().predict(2)


@step
def by_registry():
    return registry.REGISTRY["double"](4)


@step
def by_lazy_from():
    from lazy_one import value

    return value()


@step
def by_lazy_module():
    import lazy_two

    return lazy_two.value()


@step
def by_submodule():
    return pkg.inner.value()


@step
@shout
def decorated():
    return "quiet"


@step
@times(2)
def decorated_with():
    return 1


def make(n):
    def inner():
        return n * 10

    return inner


closed = step(name="closed")(make(7))

half = functools.partial(operator.mul, 3)


@step
def by_partial():
    return half(2)


@step
def by_cached():
    return helpers.remembered(3)


@step
def by_whole_module():
    return sorted(name for name in vars(registry) if name.startswith("REG"))


@step(version="1")
def versioned():
    return 1


@step
def read(path):
    return path.read_text().split()


@step
def below(words):
    return sorted(words)


@step
def with_parameter(folds):
    return folds * 2


@step
def by_dataclass():
    return kinds.Config().rate


@step
def by_enum():
    return kinds.Mode.FAST.value


@step
def by_attribute():
    return kinds.Plain().run()


@step
def by_child():
    return kinds.Child().run()


@step
def by_nested():
    return kinds.nested(1)


@step
def by_comprehension():
    return kinds.comprehended([1])


@step
def by_text():
    return kinds.text(1)


@step
def by_alias():
    return kinds.aliased([1.0])


@step
def by_local():
    return kinds.local(1)


@step
def by_star():
    return starred(1)


@step
def by_lambda():
    return sorted([1, 2], key=kinds.ORDER)


@step
def by_instance():
    return kinds.SHARED.limit


@step
def by_static():
    return kinds.Plain.fixed()


@step
def by_guarded():
    return kinds.guarded()


@step
def by_library():
    return fakelib.answer()


@step(env=["REGION"])
def by_region():
    return 1


@step(depends_on=["rules/*.yaml", "lookup.csv"])
def by_rules():
    return 1


@pipeline
def everything():
    by_dataclass(), by_enum(), by_attribute(), by_child(), by_nested(), by_comprehension(), by_text(), by_alias(), by_local()
    by_star(), by_lambda(), by_instance(), by_static(), by_guarded(), by_library(), by_region(), by_rules()
    constant(), documented(1), by_helper(), by_renamed(), by_global(), by_set("a"), by_method(), by_registry()
    by_lazy_from(), by_lazy_module(), by_submodule(), decorated(), decorated_with(), closed(), by_partial(), by_cached()
    by_whole_module(), versioned()
    with_parameter(5)
    below(read(Path("data.txt")))
'''

FILES = {
    "steps.py": STEPS,
    "helpers.py": '''
import functools
import math

LIMIT = 10


def deeper(x):
    return min(x, LIMIT)


def scale(x):
    return deeper(x) * 3 + math.floor(0.5)


def unused(x):
    return x - 1


class Parent:
    offset = 1

    def shift(self, x):
        return x + self.offset


class Model(Parent):
    """A model."""

    @property
    def size(self):
        return 5

    def predict(self, x):
        return self.shift(x) * self.size


@functools.cache
def remembered(x):
    return x + 100
''',
    "lazy_one.py": "def value():\n    return 1\n\n\ndef other():\n    return 2\n",
    "lazy_two.py": "def value():\n    return 1\n\n\ndef other():\n    return 2\n",
    "decorators.py": """
import functools


def shout(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args).upper()

    return wrapper


def times(n):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(*args):
            return [function(*args)] * n

        return wrapper

    return decorate
""",
    "registry.py": """
def double(x):
    return x * 2


def triple(x):
    return x * 3


REGISTRY = {"double": double, "triple": triple}
""",
    "pkg/__init__.py": "",
    "pkg/inner.py": "from . import deep\n\n\ndef value():\n    from .deep import far\n\n    return far() + deep.near()\n",
    "pkg/deep.py": "def far():\n    return 1\n\n\ndef near():\n    return 2\n\n\ndef unused():\n    return 3\n",
    "kinds.py": '''
import dataclasses
import enum

Vector = list[float]


@dataclasses.dataclass
class Config:
    rate: float = 0.1
    tags: list = dataclasses.field(default_factory=list)


class Mode(enum.Enum):
    FAST = 1
    SLOW = 2


class Plain:
    limit = 3

    def run(self):
        return self.limit

    @staticmethod
    def fixed():
        return 70


class Other:
    def run(self):
        return 0


class Child(Plain):
    pass


SHARED = Other()
SHARED.limit = 12


def nested(x):
    def inner(y):
        return y + 50

    return inner(x)


def comprehended(xs):
    return [x * 60 for x in xs if x]


def text(x):
    return f"{x} rows"


def aliased(x: Vector) -> Vector:
    """Gives it back."""
    return x


def local(x):
    total = x + 80
    return total


def guarded():
    try:
        return int("1")
    except ValueError as error:
        return 90


ORDER = lambda x: -x
''',
    "stars.py": "LEVEL = 5\n\n\ndef starred(x):\n    return x + LEVEL\n\n\ndef unused(x):\n    return x\n",
    "site-packages/fakelib/__init__.py": "def answer():\n    return 42\n",
    "site-packages/fakelib-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: fakelib\nVersion: 1.0\n",
    "rules/a.yaml": "a: 1\n",
    "rules/b.yaml": "b: 1\n",
    "rules/notes.txt": "notes\n",
    "lookup.csv": "x,y\n",
    "data.txt": "b a\n",
}

H, S, D, R, K = "helpers.py", "steps.py", "decorators.py", "registry.py", "kinds.py"
SCALED = {"by_helper", "by_renamed"}
REORDERED = """def comprehended(xs):
    return [x * 60 for x in xs if x]


def text(x):
    return f"{x} rows"
"""
# (kind, file, old, new, the steps that must run again). `$NAME` is an environment variable; `late:` is edited on disk after the project
# was imported; a file without an old text is made, one without a new text is deleted.
EDITS: list[tuple[str, str, str, str, set[str]]] = [
    ("comment", S, "# a comment", "# another comment\n    # and one more", set()),
    ("docstring", S, '"""What it does."""', '"""What it does, at more length."""', set()),
    ("docstring removed", S, '    """What it does."""\n', "", set()),
    ("docstring of a class", H, '"""A model."""', '"""A very good model."""', set()),
    ("docstring of a class removed", H, '    """A model."""\n\n', "", set()),
    ("docstring of a module", S, '"""Steps of a project."""', '"""Other."""', set()),
    ("formatting", S, "    return [n, k]", "    return [\n        n,\n\n        k,\n    ]", set()),
    ("blank lines above", H, "def deeper", "\n\n\n\ndef deeper", set()),
    ("future import", H, "import functools", "from __future__ import annotations\nimport functools", set()),
    ("annotation", H, "def deeper(x):", "def deeper(x: int) -> int:", set()),
    ("constant", S, '41 + len("x")', '40 + len("x")', {"constant"}),
    ("constant of another type", S, '41 + len("x")', '41.0 + len("x")', {"constant"}),
    ("constant string", S, 'len("x")', 'len("xy")', {"constant"}),
    ("default", S, "n, k=3", "n, k=4", {"documented"}),
    ("keyword only default", S, "def documented(n, k=3)", "def documented(n, *, k=3)", {"documented"}),
    ("helper", H, "deeper(x) * 3", "deeper(x) * 4", SCALED),
    ("helper's helper", H, "min(x, LIMIT)", "max(x, LIMIT)", SCALED),
    ("global of a helper's helper", H, "LIMIT = 10", "LIMIT = 1", SCALED),
    ("global", S, "FACTOR = 2", "FACTOR = 3", {"by_global"}),
    ("global set", S, '"a", "b", "c"', '"a", "b", "d"', {"by_set"}),
    ("constant set", S, '{"a", "b", "q"}', '{"a", "b", "p"}', {"by_set"}),
    ("order of a global set", S, '"a", "b", "c"', '"c", "a", "b"', set()),
    ("other library function", H, "math.floor(0.5)", "math.ceil(0.5)", SCALED),
    ("method", H, "self.shift(x) * self.size", "self.shift(x) + self.size", {"by_method"}),
    ("method of a parent", H, "return x + self.offset", "return x - self.offset", {"by_method"}),
    ("class attribute of a parent", H, "offset = 1", "offset = 2", {"by_method"}),
    ("property", H, "return 5", "return 6", {"by_method"}),
    ("registered function", R, "return x * 2", "return x + x", {"by_registry", "by_whole_module"}),
    ("registry", R, '"triple": triple}', '"triple": double}', {"by_registry", "by_whole_module"}),
    ("another registered function", R, "return x * 3", "return x * 4", {"by_registry", "by_whole_module"}),
    ("module taken as a whole", R, "def triple", "EXTRA = 1\n\n\ndef triple", {"by_whole_module"}),
    ("lazy from-import", "lazy_one.py", "return 1", "return 3", {"by_lazy_from"}),
    ("unused in lazy from-import", "lazy_one.py", "return 2", "return 3", set()),
    ("lazy module import", "lazy_two.py", "return 1", "return 3", {"by_lazy_module"}),
    ("unused in lazy module import", "lazy_two.py", "return 2", "return 3", set()),
    ("lazy relative import", "pkg/deep.py", "return 1", "return 4", {"by_submodule"}),
    ("attribute of a submodule", "pkg/deep.py", "return 2", "return 4", {"by_submodule"}),
    ("unused in a submodule", "pkg/deep.py", "return 3", "return 4", set()),
    ("decorator", D, ".upper()", ".title()", {"decorated"}),
    ("decorator with arguments", D, "* n", "* (n + 1)", {"decorated_with"}),
    ("argument of a decorator", S, "@times(2)", "@times(3)", {"decorated_with"}),
    ("function under a decorator", S, '"quiet"', '"still"', {"decorated"}),
    ("closure", S, "make(7)", "make(8)", {"closed"}),
    ("function with a closure", S, "n * 10", "n * 11", {"closed"}),
    ("partial", S, "operator.mul, 3", "operator.mul, 4", {"by_partial"}),
    ("function of a partial", S, "operator.mul, 3", "operator.add, 3", {"by_partial"}),
    ("cached helper", H, "x + 100", "x + 101", {"by_cached"}),
    ("unused helper", H, "return x - 1", "return x - 2", set()),
    ("new unused function", H, "def unused(x)", "def fresh():\n    return 1\n\n\ndef unused(x)", set()),
    ("version", S, 'version="1"', 'version="2"', {"versioned"}),
    ("parameter", S, "with_parameter(5)", "with_parameter(6)", {"with_parameter"}),
    ("parameter of another type", S, "with_parameter(5)", "with_parameter(5.0)", {"with_parameter"}),
    ("data", "data.txt", "b a", "b a c", {"read", "below"}),
    ("data with the same outcome", "data.txt", "b a", "b   a", {"read"}),
    ("type alias", K, "Vector = list[float]", "Vector = list[int]", set()),
    ("docstring of a helper", K, "Gives it back.", "Gives back what came.", set()),
    ("f-string", K, 'f"{x} rows"', 'f"{x:>3} rows"', {"by_text"}),
    ("text of an f-string", K, 'f"{x} rows"', 'f"{x} lines"', {"by_text"}),
    ("quotes", K, 'f"{x} rows"', "f'{x} rows'", set()),
    ("default of a dataclass's field", K, "rate: float = 0.1", "rate: float = 0.2", {"by_dataclass"}),
    ("default factory of a dataclass's field", K, "default_factory=list", "default_factory=tuple", {"by_dataclass"}),
    # The annotations of a class are there when it runs, and libraries act by them.
    ("annotation of a dataclass's field", K, "tags: list", "tags: tuple", {"by_dataclass"}),
    ("member of an enum", K, "FAST = 1", "FAST = 3", {"by_enum"}),
    ("another member of an enum", K, "SLOW = 2", "SLOW = 3", {"by_enum"}),
    ("class attribute", K, "limit = 3", "limit = 4", {"by_attribute", "by_child", "by_static"}),
    ("base class", K, "class Child(Plain)", "class Child(Other)", {"by_child"}),
    ("new method", K, "class Child(Plain):\n    pass", "class Child(Plain):\n    def run(self):\n        return 5", {"by_child"}),
    ("static method", K, "return 70", "return 71", {"by_attribute", "by_child", "by_static"}),
    ("attribute of a global object", K, "SHARED.limit = 12", "SHARED.limit = 13", {"by_instance"}),
    ("nested function", K, "y + 50", "y + 51", {"by_nested"}),
    ("comprehension", K, "x * 60", "x * 61", {"by_comprehension"}),
    ("condition of a comprehension", K, "for x in xs if x]", "for x in xs if not x]", {"by_comprehension"}),
    ("exception", K, "except ValueError", "except TypeError", {"by_guarded"}),
    ("lambda", K, "lambda x: -x", "lambda x: x", {"by_lambda"}),
    # Local names are not looked away from: `locals()`, and queries of table libraries, see them.
    ("renamed local variable", K, "total = x + 80\n    return total", "subtotal = x + 80\n    return subtotal", {"by_local"}),
    ("reordered functions", K, REORDERED, "\n\n".join(reversed(REORDERED.split("\n\n\n"))) + "\n", set()),
    ("star import", "stars.py", "x + LEVEL", "x - LEVEL", {"by_star"}),
    ("global of a star import", "stars.py", "LEVEL = 5", "LEVEL = 6", {"by_star"}),
    ("unused in a star import", "stars.py", "return x\n", "return -x\n", set()),
    ("assertion", K, "total = x + 80", "assert x\n    total = x + 80", {"by_local"}),
    ("other operator", K, "total = x + 80", "total = x | 80", {"by_local"}),
    ("parentheses", K, "total = x + 80", "total = (x + 80)", set()),
    ("environment variable", "$REGION", "north", "south", {"by_region"}),
    ("empty environment variable", "$REGION", "north", "", {"by_region"}),
    ("file of depends_on", "rules/a.yaml", "a: 1", "a: 2", {"by_rules"}),
    ("plain file of depends_on", "lookup.csv", "x,y", "x,z", {"by_rules"}),
    ("new file of depends_on", "rules/c.yaml", "", "c: 1", {"by_rules"}),
    ("deleted file of depends_on", "rules/b.yaml", "b: 1\n", "", {"by_rules"}),
    ("file that no pattern matches", "rules/notes.txt", "notes", "other", set()),
    ("edited on disk after import", "late:helpers.py", "deeper(x) * 3", "deeper(x) * 9", set()),
    ("imported after that", H, "deeper(x) * 3", "deeper(x) * 9", SCALED),
    ("edited on disk before a lazy import", "late:lazy_one.py", "return 1", "return 9", {"by_lazy_from"}),
    ("the pipeline itself", S, "constant(), documented(1), ", "documented(1), constant(), ", set()),
]

# What the explanation must say.
REASONS = {
    "constant": ("constant", "steps.constant changed"),
    "helper": ("by_helper", "helpers.scale changed"),
    "helper's helper": ("by_helper", "helpers.deeper changed"),
    "global of a helper's helper": ("by_helper", "helpers.LIMIT changed"),
    "method": ("by_method", "helpers.Model.predict changed"),
    "method of a parent": ("by_method", "helpers.Parent.shift changed"),
    "registry": ("by_registry", "registry.REGISTRY changed"),
    "lazy from-import": ("by_lazy_from", "lazy_one.value changed"),
    "version": ("versioned", "version 1 -> 2"),
    "parameter": ("with_parameter", "parameter folds: 5 -> 6"),
    "data": ("below", "input words changed"),
    "environment variable": ("by_region", "environment REGION changed"),
    "file of depends_on": ("by_rules", "file rules/a.yaml changed"),
    "new file of depends_on": ("by_rules", "file rules/c.yaml is new"),
    "deleted file of depends_on": ("by_rules", "file rules/b.yaml is gone"),
    "member of an enum": ("by_enum", "kinds.Mode changed"),
    "base class": ("by_child", "kinds.Child changed"),
    "global of a star import": ("by_star", "stars.LEVEL changed"),
}


def run_project(folder: Path, edits: list[dict[str, tuple[str, str]]], seed: str) -> list[dict[str, str]]:
    (folder / "edits.json").write_text(json.dumps(edits))
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("edits_project.py"))],
        cwd=folder,
        env=os.environ | {"PYTHONHASHSEED": seed, "REGION": "north"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    folder = tmp_path_factory.mktemp("project")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    half = len(EDITS) // 2 - 10
    found: dict[str, dict[str, str]] = {}
    for number, part in enumerate([EDITS[:half], EDITS[half:]]):
        first, *middle, last = run_project(folder, [{file: (old, new)} for _, file, old, new, _ in part], seed=str(number + 1))
        found[f"start {number}"] = first
        found[f"end {number}"] = last
        found |= {kind: misses for (kind, *_), misses in zip(part, middle, strict=True)}
    # Only another process may see another version: what is loaded stays what it is.
    (folder / "site-packages" / "fakelib-1.0.dist-info").rename(folder / "site-packages" / "fakelib-1.1.dist-info")
    found["library version"] = run_project(folder, [], seed="3")[0]
    return found


def test_everything_runs_first_and_nothing_in_a_new_process_with_another_hash_seed(answers: dict[str, dict[str, str]]) -> None:
    assert len(answers["start 0"]) == 38
    assert set(answers["start 0"].values()) == {"first run"}
    assert answers["start 1"] == {}
    assert answers["end 0"] == answers["end 1"] == {}


@pytest.mark.parametrize(("kind", "expected"), [(kind, expected) for kind, _, _, _, expected in EDITS], ids=[edit[0] for edit in EDITS])
def test_edit(answers: dict[str, dict[str, str]], kind: str, expected: set[str]) -> None:
    assert set(answers[kind]) == expected


@pytest.mark.parametrize("kind", REASONS)
def test_reason(answers: dict[str, dict[str, str]], kind: str) -> None:
    step, text = REASONS[kind]
    assert text in answers[kind][step]


def test_library_version(answers: dict[str, dict[str, str]]) -> None:
    assert answers["library version"] == {"by_library": "fakelib 1.0 -> 1.1"}
