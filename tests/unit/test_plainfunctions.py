"""Functions that travel without a pickler: they come back as cloudpickle would bring them, and others are left to it."""

from __future__ import annotations

import json
import math
import random
import sys
import types
from typing import Any

import cloudpickle
import pytest

from rxsql import payload
from rxsql.payload import plainfunctions

ATTRIBUTES = (
    "__name__",
    "__qualname__",
    "__module__",
    "__doc__",
    "__defaults__",
    "__kwdefaults__",
    "__annotations__",
    "__dict__",
    "__closure__",
)


def defined(source: str, **others: Any) -> Any:
    """Return `f` as a script has it that begins so."""
    namespace = {"__name__": "__main__", "__file__": "script.py", "__package__": None, **others}
    exec(compile(source, "script.py", "exec", dont_inherit=True), namespace)
    return namespace["f"]


PLAIN = [
    "f = lambda: 7",
    "def f(x, y=2, *rest, z='three', **more):\n  'What it does.'\n  return x, y, rest, z, more",
    "import math, time\nfactor = 2.5\ndef f(x):\n  return math.sqrt(x) * factor, time.time() > 0",
    "def f():\n  global made\n  made = 1\n  return made",
    "from __future__ import annotations\ndef f(x: list[int], *, y: str = '') -> float:\n  return 1.0",
    "def f(xs):\n  def inner(y):\n    return [y + z for z in xs]\n  return inner(3), {**{}}, ..., {1, 2} & {2}",
    "def f(x):\n  return x in {1, 'two', (3, None)}, b'\\x00', 1j, 10**30, '\\ud800'",
    "class A:\n  def f(self):\n    return 5\nf = A.f",
    "def f():\n  return undefined_here",
    "def f(): pass\nf.__name__ = 'renamed'; f.__qualname__ = 'other'; f.__doc__ = 'Set later.'",
    "async def f():\n  yield 1",
    "f = lambda: secret.value\nvalue = 5",
]


@pytest.mark.parametrize("source", PLAIN)
def test_they_come_back_as_from_cloudpickle(source: str) -> None:
    """With every attribute, the same globals, and code that disassembles alike."""
    function = defined(source)
    body = plainfunctions.dump(function)
    assert body is not None
    made: Any = plainfunctions.load(body)
    other = cloudpickle.loads(cloudpickle.dumps(function))
    assert {name: getattr(made, name) for name in ATTRIBUTES} == {
        name: getattr(other, name) for name in ATTRIBUTES
    }
    assert made.__globals__ == other.__globals__
    assert made.__code__ == other.__code__
    assert made.__code__.co_filename == "script.py"
    assert payload.load_function(payload.dump_function(function, {})).__code__ == function.__code__


def test_they_work() -> None:
    """Also after they have run here, which changes what CPython keeps of their code."""
    function = defined("import math\nfactor = 3\ndef f(x, y=1):\n  return math.floor(x) * factor + y")
    before = payload.dump_function(function, {})
    for number in range(100):
        function(number)
    assert payload.dump_function(function, {}) == before
    copy = payload.load_function(before)
    assert copy(2.5) == 7
    assert copy.__globals__["math"] is math


def test_the_same_function_has_the_same_bytes() -> None:
    """However often what is in it is used elsewhere: a function is stored once."""
    source = (
        "word = 'quite a long and unusual word'\ndef f():\n  return word, 'another unusual word', 123456789"
    )
    function = defined(source)
    alone = plainfunctions.dump(function)
    kept = [function.__code__.co_consts, *function.__code__.co_consts, function.__globals__["word"]] * 3
    assert plainfunctions.dump(function) == alone == plainfunctions.dump(defined(source))
    assert len(kept) > 3


class Word(str):
    """A string that is more than one."""

    __slots__ = ()


OTHERS = {
    "a closure": ("def outer():\n  n = 1\n  return lambda: n\nf = outer()", {}),
    "a function that it calls": ("def g(): return 1\ndef f(): return g()", {}),
    "itself": ("def f(n): return n and f(n - 1)", {}),
    "a list": ("kept = [1]\ndef f(): return kept", {}),
    "a package": ("def f(): return json.dumps(1)", {"json": json}),
    "a module that nobody can import": ("def f(): return made", {"made": types.ModuleType("made")}),
    "a value of a class derived from a plain one": ("def f(): return word", {"word": Word("x")}),
    "such a default": ("def f(x=word): return x", {"word": Word("x")}),
    "an annotation that is a class": ("def f(x: int): return x", {}),
    "an attribute": ("def f(): return 1\nf.kept = 1", {}),
    "a document that is more than text": ("def f(): return 1\nf.__doc__ = word", {"word": Word("x")}),
}


@pytest.mark.parametrize("what", OTHERS)
def test_others_are_left_to_cloudpickle(what: str) -> None:
    """What marshal would lose, or not keep exactly."""
    source, others = OTHERS[what]
    assert plainfunctions.dump(defined(source, **others)) is None


def test_constants_that_no_compiler_makes() -> None:
    """marshal takes anything with bytes in it for bytes."""
    function = defined("def f(): return 'here'")
    for constant in (bytearray(b"x"), [1], Word("x"), (Word("x"),)):
        code = function.__code__.replace(co_consts=(None, constant))
        assert plainfunctions.dump(types.FunctionType(code, function.__globals__)) is None


def test_functions_of_modules_are_left_to_cloudpickle() -> None:
    """It knows which of them go by name."""
    assert plainfunctions.dump(defined) is None
    assert plainfunctions.dump(len) is None


def test_users_own_modules_are_left_to_cloudpickle(tmp_path, monkeypatch) -> None:
    """The worker cannot import them."""
    (tmp_path / "ownmodule.py").write_text("value = 5\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert plainfunctions.dump(defined("import ownmodule\ndef f(): return ownmodule.value")) is None
    assert plainfunctions.dump(defined("import random\ndef f(): return random.random()")) is not None


def test_modules_that_were_registered_by_value() -> None:
    """They travel with the function, as their owner wanted."""
    cloudpickle.register_pickle_by_value(random)
    try:
        assert plainfunctions.dump(defined("import random\ndef f(): return random.random()")) is None
    finally:
        cloudpickle.unregister_pickle_by_value(random)


def test_a_missing_module_is_named() -> None:
    """As any other import that fails."""
    source = "def f(): return onlyhere"
    module = types.ModuleType("onlyhere")
    sys.modules["onlyhere"] = module
    try:
        body = payload.dump_function(defined(source, onlyhere=module), {})
    finally:
        del sys.modules["onlyhere"]
    with pytest.raises(ModuleNotFoundError, match="No module named 'onlyhere'"):
        payload.load_function(body)
