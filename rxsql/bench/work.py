"""What is run: the same functions for rxsql and for every peer."""

from __future__ import annotations

import sys
import time
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def noop(value: Any) -> Any:
    """Do nothing."""
    return value


def spin(seconds: float) -> float:
    """Compute for so long on a processor, waiting for it not counted."""
    begun = time.thread_time()
    while time.thread_time() - begun < seconds:
        sum(range(2000))
    return seconds


def echo(body: bytes) -> bytes:
    """Return other bytes than those that came, as many."""
    return body[::-1]


def flood(lines: int) -> None:
    """Print so many lines."""
    for number in range(lines):
        print(f"line {number} of a long output")


def stamps(count: int, pause: float) -> None:
    """Print the time, again and again."""
    for _ in range(count):
        time.sleep(pause)
        print(repr(time.time()))


WORK: dict[str, Callable[..., Any]] = {"noop": noop, "spin": spin, "echo": echo}


def as_users(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a copy that looks like a function of somebody's script: it travels by value, as theirs do."""
    assert isinstance(function, types.FunctionType)
    names = {name: sys.modules[name] for name in ("sys", "time")}
    copy = types.FunctionType(function.__code__, {"__name__": "__main__", **names}, function.__name__)
    copy.__module__ = "__main__"
    return copy


def main() -> None:
    """Flood stdout as told on the command line, and tell the seconds on stderr."""
    begun = time.perf_counter()
    flood(int(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.write(str(time.perf_counter() - begun))


if __name__ == "__main__":
    main()
