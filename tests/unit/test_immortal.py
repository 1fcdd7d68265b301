"""Immortal objects: with each Python that is there, since the marks are its own affair."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from rxsql.worker import immortal

SINCE = 12  # of Python 3
NAMES = ["this one", *(f"python3.{minor}" for minor in range(SINCE, 20))]
SCRIPT = """
import gc, importlib.util, os, sys

spec = importlib.util.spec_from_file_location("immortal", sys.argv[1])
immortal = importlib.util.module_from_spec(spec)
spec.loader.exec_module(immortal)

def counts():
    return [immortal._count_of(thing).value for thing in (shared, shared[0], shared[1], function, function.__code__)]

def function(value):
    return [value] * 3

shared = [object(), "a text " + str(os.getpid()), {"key": (1.5, "x")}]
done = immortal.immortalise()
gc.freeze()
before = counts()
if os.fork() == 0:
    many = [shared, *shared, function, function.__code__] * 1000
    assert len(function(many)) == 3
    if done:
        assert counts() == before
        assert sys.getrefcount(shared) > 2**30
    del many, shared[1:]
    gc.collect()
    mine = []  # what is made later is counted, and freed
    other = mine
    assert sys.getrefcount(mine) < 10
    os._exit(0)
assert os.wait()[1] == 0
assert counts() == before
print("immortal" if done else "counted", flush=True)
if not os.environ.get("END"):
    os._exit(0)
"""


@pytest.fixture(params=NAMES)
def python(request: pytest.FixtureRequest) -> str:
    """A Python to try, as far as it is there."""
    if request.param == "this one":
        return sys.executable
    found = shutil.which(request.param)
    if found is None or subprocess.run([found, "--version"], check=False, capture_output=True).returncode:
        pytest.skip(f"there is no {request.param}")
    return found


@pytest.mark.parametrize("end", ["", "as usual"], ids=["left at once", "ends as usual"])
def test_shared_objects_are_not_counted(python: str, end: str) -> None:
    """From 3.12 on a forked process uses all that was there without writing to it; before, nothing is changed.

    The process itself goes on, and can end as any other.
    """
    done = subprocess.run(
        [python, "-I", "-c", SCRIPT, immortal.__file__],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={"END": end, "PATH": ""},
    )
    version = subprocess.run([python, "--version"], check=True, capture_output=True, text=True).stdout
    minor = int(version.split()[1].split(".")[1])
    assert done.stdout == ("immortal\n" if minor >= SINCE else "counted\n")
    assert not done.stderr


def test_another_python_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where objects may be laid out otherwise, nothing is written to them."""
    monkeypatch.setattr(sys, "byteorder", "big")
    assert not immortal.immortalise()
