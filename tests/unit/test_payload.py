"""Payloads: what is put in comes out, and what is damaged or foreign is refused before it is unpickled."""

from __future__ import annotations

import functools
import importlib
import os
import struct
import subprocess
import sys
import zlib
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import cloudpickle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rxsql
from rxsql import payload
from rxsql.errors import PayloadError, PayloadVersionError, RemoteTraceback, RunError
from rxsql.payload import modules

# A slow machine is no failure.
steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


class Explosive:
    """Tells when it is unpickled."""

    def __reduce__(self):
        return touch, (marker,)


marker = ""


def touch(path):
    Path(path).touch()


# ------------------------------------------------------------------------------------------------- frames


@steady
@given(VALUES)
def test_values_come_back(value):
    """Any plain value comes back equal, from bytes and from a memory view."""
    body = payload.dump(value)
    assert payload.load(body) == value
    assert payload.load(memoryview(body)) == value


@steady
@given(st.binary(max_size=200), st.dictionaries(st.text(max_size=5), st.text(max_size=5)))
def test_headers_come_back(body, details):
    """A frame's header says its Python version and details."""
    header = payload.read_header(payload.frame(body, details))
    assert (header.python, header.details) == (HERE, details)


@pytest.mark.parametrize("filler", [b"\0", b"abc"])
def test_large_values_are_compressed(filler):
    """A large compressible value is stored smaller and comes back whole."""
    value = filler * 200_000
    body = payload.dump(value)
    assert len(body) < len(value) / 10
    assert payload.load(body) == value


def test_random_data_is_not_compressed():
    """What would not shrink is stored as it is."""
    value = os.urandom(100_000)
    assert value in payload.dump(value)
    assert payload.load(payload.dump(value)) == value


SMALL = payload.frame(b"not a pickle: loading it would fail otherwise", {"numpy": "2.0"})


@steady
@given(st.integers(0, len(SMALL) - 1))
def test_truncated_frames_are_refused(length):
    """A frame cut anywhere is damaged, and says so; nothing is unpickled."""
    for read in (payload.read_header, payload.load):
        with pytest.raises(PayloadError, match="damaged.*Submit the job again"):
            read(SMALL[:length])


@steady
@given(st.integers(0, 8 * len(SMALL) - 1))
def test_flipped_bits_are_refused(bit):
    """A single flipped bit anywhere, header or body, is noticed before anything is unpickled."""
    damaged = bytearray(SMALL)
    damaged[bit // 8] ^= 1 << bit % 8
    for read in (payload.read_header, payload.load):
        with pytest.raises(PayloadError, match="damaged"):
            read(bytes(damaged))


@steady
@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda rest: b"RXP1" + rest))
def test_any_bytes_are_refused(data):
    """Bytes that are no frame are refused, whatever they are."""
    with pytest.raises(PayloadError, match="damaged"):
        payload.load(data)


def made_by(version: tuple[int, int], body: bytes) -> bytes:
    """Return a whole frame as another Python would have made it."""
    head = struct.pack("<4sBBBxI", b"RXP1", 0, *version, 0)
    return head + struct.pack("<I", zlib.crc32(body, zlib.crc32(head))) + body


def test_another_pythons_payload_is_refused_before_it_is_unpickled(tmp_path, monkeypatch):
    """The error names both versions, and the body was not touched."""
    monkeypatch.setattr(sys.modules[__name__], "marker", str(tmp_path / "touched"))
    import pickle

    body = pickle.dumps(Explosive())
    with pytest.raises(
        PayloadVersionError, match=rf"made by Python 3\.4 and this is Python {HERE}"
    ) as caught:
        payload.load(made_by((3, 4), body))
    assert (caught.value.made_by, caught.value.here) == ("3.4", HERE)
    assert payload.read_header(made_by((3, 4), body)).python == "3.4"
    assert not (tmp_path / "touched").exists()
    payload.load(made_by(sys.version_info[:2], body))
    assert (tmp_path / "touched").exists()


@pytest.mark.parametrize("value", [b"abc" * 100_000, os.urandom(300_000)], ids=["compressed", "plain"])
@pytest.mark.parametrize("where", [4, 20, 0.5, -1], ids=["codec", "start", "middle", "end"])
def test_a_damaged_large_frame(value, where):
    """A large frame with a broken byte is refused like a small one."""
    body = bytearray(payload.dump(value))
    assert payload.load(bytes(body)) == value
    body[int(where * len(body)) if 0 < where < 1 else where] ^= 0x01
    with pytest.raises(PayloadError, match="its checksum is wrong"):
        payload.load(bytes(body))


def test_what_cannot_be_rebuilt_is_a_payload_error():
    """A whole frame whose value fails to unpickle is an error with the reason; a missing module stays an ImportError."""
    with pytest.raises(PayloadError, match="cannot be unpickled: UnpicklingError"):
        payload.load(payload.frame(b"no pickle"))
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        payload.load(payload.frame(b"cno_such_module\nname\n."))


def test_a_module_under_two_names_travels(tmp_path, monkeypatch):
    """A module of the user's that stands in `sys.modules` twice is no obstacle."""
    (tmp_path / "mine_twice.py").write_text("def f():\n    return 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    import mine_twice

    monkeypatch.setitem(sys.modules, "mine_twice", mine_twice)
    monkeypatch.setitem(sys.modules, "mine_again", mine_twice)
    assert payload.load(payload.dump(mine_twice.f))() == 7


def test_a_dumper_starts_anew_each_time():
    """Values dumped one after the other are whole by themselves."""
    dumper, shared = payload.Dumper(), ["shared"]
    bodies = [dumper.dump([shared, number]) for number in range(3)]
    with pytest.raises(TypeError):
        dumper.dump([shared, sys._getframe()])
    bodies += [dumper.dump([shared, "after a failure"]), dumper.dump("plain")]
    assert [payload.load(body) for body in bodies] == [
        [shared, 0],
        [shared, 1],
        [shared, 2],
        [shared, "after a failure"],
        "plain",
    ]


# ------------------------------------------------------------------------------------- functions and classes


def outer_global():
    return "global"


def test_functions_come_back_with_local_state():
    """A function comes back with `local_state` among its globals, and this module's own are left alone."""
    function = payload.load_function(payload.dump_function(lambda x: (x, extra), {"extra": 5}))  # noqa: F821
    assert function(1) == (1, 5)
    assert "extra" not in globals()


@functools.lru_cache(maxsize=7, typed=True)
def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def test_caching_functions_travel():
    """A function under `lru_cache`, also one that calls itself, comes back caching, with its parameters."""
    copy = payload.load_function(payload.dump_function(fibonacci, {}))
    assert copy is not fibonacci
    assert copy(30) == 832040
    assert copy.cache_parameters() == {"maxsize": 7, "typed": True}
    assert copy.cache_info().misses == 31


def test_installed_caching_functions_go_by_name():
    """One of the standard library is that very function again."""
    import fnmatch

    cached = fnmatch._compile_pattern
    assert hasattr(cached, "cache_parameters")
    assert payload.load(payload.dump(cached)) is cached


def test_names_of_functions():
    """A function's name is what a person calls it by."""
    assert payload.name_of(outer_global) == "outer_global"
    assert payload.name_of(functools.partial(outer_global)) == "outer_global"
    assert payload.name_of(lambda: 0) == "<lambda>"
    assert payload.name_of(Explosive()) == "Explosive"


@dataclass
class Point:
    x: int

    def moved(self):
        return Point(self.x + 1)


class Color(Enum):
    RED = 1


@pytest.mark.parametrize("value", [Point(1), Color.RED, Point, Color])
def test_own_classes_stay_themselves(value):
    """What comes back of this module's classes is of these classes, and they are not changed."""
    moved = Point.moved
    copy = payload.load(payload.dump(value))
    assert copy == value
    assert type(copy) is type(value)
    assert Point.moved is moved


def test_local_classes_stay_themselves():
    """Also a class that no module names."""

    class Local:
        count = 1

        def method(self):
            return self

    method, body = Local.method, payload.dump(Local())
    Local.count = 2
    assert type(payload.load(body)) is Local
    assert (Local.count, Local.method) == (2, method)


# ------------------------------------------------------------------------------------------------- exceptions


class PickyError(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


class SilentError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def dumped(error: BaseException) -> payload.DumpedError:
    """Raise, catch and dump an exception."""
    try:
        raise error
    except BaseException as caught:
        return payload.dump_error(caught)


def rebuilt(error: BaseException) -> BaseException:
    """Return an exception after its way to the client."""
    found = dumped(error)
    return payload.load_error(found.text, found.traceback, found.payload)


@pytest.mark.parametrize(
    "error", [ValueError("bad"), KeyError("k"), OSError(2, "no file", "name"), SystemExit(3)]
)
def test_exceptions_come_back_with_the_traceback(error):
    """An exception is itself again, with the traceback of where it was raised as its cause."""
    copy = rebuilt(error)
    assert type(copy) is type(error)
    assert copy.args == error.args
    assert isinstance(copy.__cause__, RemoteTraceback)
    assert "raise error" in str(copy.__cause__)


def test_an_exception_that_cannot_be_rebuilt():
    """It is noticed where it is raised: text and traceback travel without the object."""
    assert dumped(PickyError(1, 2)).payload is None
    copy = rebuilt(PickyError(1, 2))
    assert type(copy) is RunError
    assert str(copy) == "PickyError: 1 and 2"
    assert "raise error" in str(copy.__cause__)


def test_an_exception_without_a_text():
    """Even one whose text cannot be made is told by its type."""
    found = dumped(SilentError())
    assert found.text == "SilentError"
    assert "its own text could not be made" in found.traceback


def test_a_damaged_exception_payload():
    """An exception whose payload is damaged here is told by its text."""
    error = payload.load_error("ValueError: bad", "the traceback", b"damaged")
    assert isinstance(error, RunError)
    assert "ValueError: bad" in str(error)
    assert str(error.__cause__) == "\nthe traceback"


def test_packages_in_a_folder_of_any_name_are_installed(tmp_path):
    """With `pip install --target`, what stands beside cloudpickle is installed, and functions travel."""
    for package in (cloudpickle, rxsql):
        (tmp_path / "libs").mkdir(exist_ok=True)
        (tmp_path / "libs" / package.__name__).symlink_to(Path(package.__file__).parent)
    code = "from rxsql import payload; f = lambda: 1; print(payload.load_function(payload.dump_function(f, {}))())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "libs")},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_what_is_nested_too_deeply():
    """The pickler's own sentence keeps one full stop."""
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(PayloadError, match=r"[^.]\. Pass plain data"):
        payload.dump_arguments({"x": deep}, None)


def test_borrowed_packages_are_installed(tmp_path, monkeypatch):
    """A package in another environment's site-packages, reached by a path file, goes by name as one of this one does."""
    folder = tmp_path / "lib" / "site-packages"
    folder.mkdir(parents=True)
    (folder / "borrowed_package.py").write_text("def f():\n    return 1\n")
    (tmp_path / "own_module.py").write_text("def f():\n    return 1\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.syspath_prepend(tmp_path)
    assert not modules.is_users(importlib.import_module("borrowed_package"))
    assert modules.is_users(importlib.import_module("own_module"))
