"""Exceptions on their way to the client: texts that are always there, and the object where it can travel."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

from rxsql.errors import RemoteTraceback, RunError
from rxsql.payload.values import dump, load

_LONGEST_TEXT = 4000  # characters
_LONGEST_TRACE = 200_000
_LARGEST_PAYLOAD = 16 * 2**20


@dataclass(frozen=True, slots=True)
class DumpedError:
    """An exception as readable texts, and as a payload when it can travel."""

    text: str
    traceback: str
    payload: bytes | None


def dump_error(error: BaseException, *, skip_frames: int = 0) -> DumpedError:
    """Return an exception as text, traceback and payload; never raises for a strange exception.

    Args:
        error: The exception, with its traceback.
        skip_frames: Frames of rxsql's own code above the user's that are left out.
    """
    text, trace = texts_of(error, skip_frames=skip_frames)
    try:
        payload = dump(error.with_traceback(None))
        if len(payload) > _LARGEST_PAYLOAD:
            return DumpedError(text, trace, None)
        # An exception that cannot be rebuilt must be noticed here, not at the client.
        rebuilt = load(payload)
    except Exception:  # noqa: BLE001 - its __reduce__ may raise anything
        return DumpedError(text, trace, None)
    return DumpedError(text, trace, payload if isinstance(rebuilt, BaseException) else None)


def texts_of(error: BaseException, *, skip_frames: int = 0) -> tuple[str, str]:
    """Return an exception's text and traceback, without the frames above the user's."""
    where = error.__traceback__
    for _ in range(skip_frames):
        where = where.tb_next if where is not None and where.tb_next is not None else where
    try:
        text = f"{type(error).__name__}: {error}"
        trace = "".join(traceback.format_exception(type(error), error, where))
    except Exception:  # noqa: BLE001 - an exception's __str__ may raise anything
        text = type(error).__name__
        trace = f"{text} (its own text could not be made)\n"
    return text[:_LONGEST_TEXT], _cut(trace)


def _cut(trace: str) -> str:
    """Return a traceback with its middle left out where it is too long to be read."""
    if len(trace) <= _LONGEST_TRACE:
        return trace
    half = _LONGEST_TRACE // 2
    return f"{trace[:half]}\n[rxsql left out {len(trace) - 2 * half:,} characters here]\n{trace[-half:]}"


def load_error(text: str, trace: str | None, payload: bytes | memoryview | None) -> BaseException:
    """Return a run's exception with the worker's traceback as its cause."""
    error: BaseException = RunError(text)
    if payload is not None:
        try:
            error = load(payload)
        except Exception as failure:  # noqa: BLE001 - its __setstate__ may raise anything
            error = RunError(f"{text} (the exception object could not be rebuilt here: {failure})")
    if trace:
        error.__cause__ = RemoteTraceback(trace)
    return error
