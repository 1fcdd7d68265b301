"""`RxLocalSeq` and `RxLocalParallel`: runs on this machine, without a store."""

from __future__ import annotations

import os
import types
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rxsql import payload, revoscalepy
from rxsql.client.collecting import Gathered
from rxsql.client.options import RxOptions
from rxsql.errors import PayloadError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rxsql.client.runs import Runs


def run_here(function: Callable[..., Any], runs: Runs, local_state: Mapping[str, Any], *, go_on: bool) -> Gathered:
    """Run in this process, one run after the other; stop at the first failure unless told to go on."""
    call = _with_globals(function, local_state)
    gathered = Gathered()
    for run, own in enumerate(runs.own):
        try:
            gathered.add(run, call(**{**runs.shared, **own}))
        except Exception as error:  # noqa: BLE001 - user code may raise anything
            dumped = payload.dump_error(error, skip_frames=1)
            gathered.add_error(run, _caused(error, dumped.traceback), dumped.text, dumped.traceback)
            if not go_on:
                break
    return gathered


def _caused(error: Exception, trace: str) -> BaseException:
    if error.__cause__ is None:
        error.__cause__ = payload.RemoteTraceback(trace)
    return error


def _with_globals(function: Callable[..., Any], local_state: Mapping[str, Any]) -> Callable[..., Any]:
    """Return the function with `local_state` among its globals, leaving its own module alone."""
    if not local_state or not isinstance(function, types.FunctionType):
        return function
    copy = types.FunctionType(
        function.__code__,
        {**function.__globals__, **local_state},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


def run_parallel(function: Callable[..., Any], runs: Runs, local_state: Mapping[str, Any], *, go_on: bool) -> Gathered:
    """Run in several processes of this machine.

    Raises:
        PayloadError: The function or an argument cannot be pickled.
    """
    import loky  # noqa: PLC0415 - only this context needs it

    body = payload.dump_function(function, local_state)
    inputs = [dump_arguments({**runs.shared, **own}, run) for run, own in enumerate(runs.own)]
    most = int(RxOptions.get_option("NumCoresToUse")) or os.cpu_count() or 1
    gathered = Gathered()
    with loky.ProcessPoolExecutor(max_workers=min(most, len(runs))) as executor:
        futures = [executor.submit(_remote, body, own) for own in inputs]
        for run, future in enumerate(futures):
            value, text, trace = future.result()
            if text is None:
                gathered.add(run, payload.load(value))
                continue
            gathered.add_error(run, payload.load_error(text, trace, value), text, trace or "")
            if not go_on:
                for waiting in futures[run + 1 :]:
                    waiting.cancel()
                break
    return gathered


@lru_cache(maxsize=1)
def _load(body: bytes) -> Callable[..., Any]:
    revoscalepy.install()
    return payload.load_function(body)


def _remote(body: bytes, own: bytes) -> tuple[bytes | None, str | None, str | None]:
    """Run once, in a process of the pool; return the value's payload, or the error's text, traceback and payload."""
    try:
        return payload.dump(_load(body)(**payload.load(own))), None, None
    except Exception as error:  # noqa: BLE001 - user code may raise anything
        dumped = payload.dump_error(error, skip_frames=1)
        return dumped.payload, dumped.text, dumped.traceback


def dump_arguments(arguments: Mapping[str, Any], run: int | None) -> bytes:
    """Return a run's arguments as a payload.

    Raises:
        PayloadError: One cannot be pickled; the message names it.
    """
    try:
        return payload.dump(dict(arguments))
    except Exception as error:
        raise unpicklable(arguments, run, error) from error


def unpicklable(arguments: Mapping[str, Any], run: int | None, error: Exception) -> PayloadError:
    """Return the error that names the argument which cannot travel."""
    where = "" if run is None else f" of run {run}"
    for name, value in arguments.items():
        if not payload.is_picklable(value):
            return PayloadError(
                f"The argument {name!r}{where} (a {type(value).__name__}) cannot be pickled: {type(error).__name__}: "
                f"{error}. Pass plain data, and create such objects inside the function."
            )
    return PayloadError(f"The arguments{where} cannot be pickled: {type(error).__name__}: {error}.")
