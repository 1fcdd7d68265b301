"""`RxLocalSeq` and `RxLocalParallel`: runs on this machine, without a store."""

from __future__ import annotations

import copy
import os
from collections import deque
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from rxsql import payload, revoscalepy
from rxsql.client.collecting import Gathered
from rxsql.client.options import RxOptions
from rxsql.errors import ChildDiedError, RemoteTraceback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Future

    from rxsql.client.runs import Runs

_ABSENT = object()
Call: TypeAlias = tuple[bytes, bytes, bytes]
"""A function, the arguments that its runs share, and those of one run."""
Result: TypeAlias = tuple[bytes | None, str | None, str | None]
"""A run's value as a payload; or, of its error, the payload where it has one, the text and the traceback."""


# ------------------------------------------------------------------------------------------ in this process


def run_here(
    function: Callable[..., Any], runs: Runs, local_state: Mapping[str, Any], *, go_on: bool
) -> Gathered:
    """Run in this process, one run after the other; stop at the first failure unless told to go on."""
    gathered = Gathered(len(runs))
    with _lent(function, local_state):
        for run, own in enumerate(runs.own):
            try:
                gathered.add(run, function(**_copies({**runs.shared, **own})))
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - user code may raise anything, SystemExit included
                text, trace = payload.texts_of(error, skip_frames=1)
                error.__cause__ = RemoteTraceback(trace)
                gathered.add_error(run, error.with_traceback(None), text, trace)
                if not go_on:
                    break
    return gathered


@contextmanager
def _lent(function: Callable[..., Any], local_state: Mapping[str, Any]) -> Iterator[None]:
    """Put copies of `local_state` among the function's globals for a while."""
    lent = _copies(local_state)
    namespaces = payload.namespaces_of(function) if lent else []
    before = [{name: namespace.get(name, _ABSENT) for name in lent} for namespace in namespaces]
    try:
        for namespace in namespaces:
            namespace.update(lent)
        yield
    finally:
        for namespace, values in zip(namespaces, before, strict=True):
            namespace.update(values)
            for name in [name for name, value in values.items() if value is _ABSENT]:
                namespace.pop(name, None)


def _copies(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return copies, so that no run sees another's changes; what cannot be copied is handed over as it is."""
    memo: dict[int, Any] = {}
    copies = {}
    for name, value in values.items():
        try:
            copies[name] = copy.deepcopy(value, memo)
        except Exception:  # noqa: BLE001 - a user's __deepcopy__ may raise anything
            copies[name] = value
    return copies


# --------------------------------------------------------------------------------------- in several processes


def run_parallel(
    function: Callable[..., Any], runs: Runs, local_state: Mapping[str, Any], *, go_on: bool
) -> Gathered:
    """Run in several processes of this machine; the other runs go on when one ends its process.

    Raises:
        PayloadError: The function or an argument cannot be pickled; nothing was run.
    """
    body = payload.dump_function(function, local_state)
    shared = payload.dump_arguments(runs.shared, None)
    calls = [(body, shared, payload.dump_arguments(own, run)) for run, own in enumerate(runs.own)]
    wanted = RxOptions.get_option("NumCoresToUse")
    most = wanted if wanted > 0 else os.cpu_count() or 1
    return _Parallel(calls, go_on=go_on).run(min(most, len(calls)))


class _Parallel:
    """Runs under way in a pool, never more than it has processes: a process that dies took one of these with it."""

    def __init__(self, calls: list[Call], *, go_on: bool) -> None:
        self._calls = calls
        self._go_on = go_on
        self._todo = deque(range(len(calls)))
        self._gathered = Gathered(len(calls))

    @property
    def _is_over(self) -> bool:
        return bool(self._gathered.failed) and not self._go_on

    def run(self, processes: int) -> Gathered:
        """Run everything; after a death each run that was under way is tried once more, in a process of its own."""
        while self._todo and not self._is_over:
            for run in sorted(self._run_pooled(processes)):
                if not self._is_over:
                    self._run_alone(run)
        return self._gathered

    def _run_pooled(self, processes: int) -> list[int]:
        """Run in a pool until nothing is left, or one of its processes dies; return what was under way then."""
        import loky  # noqa: PLC0415 - only this context needs it

        under_way: dict[Future[Result], int] = {}
        executor = loky.ProcessPoolExecutor(max_workers=processes)
        try:
            while (self._todo or under_way) and not self._is_over:
                while self._todo and len(under_way) < processes:
                    future = executor.submit(_remote, *self._calls[self._todo[0]])
                    under_way[future] = self._todo.popleft()
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    self._take(under_way[future], future.result())
                    del under_way[future]
        except loky.BrokenProcessPool:
            return list(under_way.values())
        finally:
            executor.shutdown(wait=True, kill_workers=bool(under_way))
        return []

    def _run_alone(self, run: int) -> None:
        import loky  # noqa: PLC0415

        with loky.ProcessPoolExecutor(max_workers=1) as executor:
            try:
                self._take(run, executor.submit(_remote, *self._calls[run]).result())
            except loky.BrokenProcessPool as broken:
                text = f"The child process died in run {run}: {str(broken).splitlines()[-1].strip()}"
                self._gathered.add_error(run, ChildDiedError(text), f"ChildDiedError: {text}", "")

    def _take(self, run: int, result: Result) -> None:
        body, text, trace = result
        if text is None:
            self._gathered.add(run, payload.load(body or b""))
        else:
            self._gathered.add_error(run, payload.load_error(text, trace, body), text, trace or "")


@lru_cache(maxsize=1)
def _load(body: bytes) -> Callable[..., Any]:
    revoscalepy.install()
    return payload.load_function(body)


def _remote(body: bytes, shared: bytes, own: bytes) -> Result:
    """Run once, in a process of the pool."""
    try:
        value = _load(body)(**payload.load(shared), **payload.load(own))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - user code may raise anything, SystemExit included
        dumped = payload.dump_error(error, skip_frames=1)
        return dumped.payload, dumped.text, dumped.traceback
    return _dump_result(value)


def _dump_result(value: Any) -> Result:
    try:
        return payload.dump(value), None, None
    except Exception as error:  # noqa: BLE001 - a user's __reduce__ may raise anything
        text = (
            f"The result (a {type(value).__name__}) cannot be pickled: {type(error).__name__}: {error}. "
            "Return plain data instead."
        )
        dumped = payload.dump_error(payload.PayloadError(text))
        return dumped.payload, dumped.text, dumped.traceback
