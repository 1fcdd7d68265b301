"""A child process: serves one job, run after run, and ends. It knows payloads and one socket, never the database."""

from __future__ import annotations

import importlib
import os
import resource
import signal
import sys
import types
from functools import cache

# What each job needs is found by its bare name: each module that a child looked into would be more memory to copy.
from os import getpid
from time import perf_counter
from typing import TYPE_CHECKING, Any

from rxsql import payload
from rxsql.errors import LimitError, ScriptError
from rxsql.pages import Spool
from rxsql.payload import Dumper, checked, load, load_function
from rxsql.sections import Pieces
from rxsql.worker import wire
from rxsql.worker.giveway import give_way
from rxsql.worker.wire import INLINE, parse_job, parse_task, receive, send_small_value

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from rxsql.worker.streams import Streams

_PLAIN = frozenset({int, float, str, bytes, bool, type(None)})
_OWN_FRAMES = 1  # frames of this module above the user's in a traceback


class Job:
    """The loaded function and the input that its runs share."""

    def __init__(self, fields: Sequence[Any]) -> None:
        """Import the job's packages, then its function.

        Args:
            fields: Those of a wire.JobMessage.

        Raises:
            Exception: Whatever stands in the way; the job cannot be run here.
        """
        function, shared_input, kind, packages, continue_on_failure, memory_mb, payload_mb = fields
        for package in packages:
            importlib.import_module(package)
        self.continue_on_failure = continue_on_failure
        self.memory_mb = memory_mb
        self.payload_mb = payload_mb
        if self.memory_mb:
            _limit_memory(self.memory_mb)
        self.script: Callable[[bytes | memoryview | Spool], Spool] | None = None
        self.own_frames = _OWN_FRAMES + 1
        if kind != "function":
            self.script = _prepare(kind, shared_input, function)
            self.own_frames += 1
            return
        self.function: Callable[..., Any] = load_function(function)
        self._shared_payload = shared_input
        self._shared = load(shared_input) if shared_input else {}
        # Plain values cannot carry one run's changes to the next; anything else is made anew for each run.
        self._reusable = _PLAIN.issuperset(map(type, self._shared.values()))

    def arguments(self, own: dict[str, Any]) -> dict[str, Any]:
        """Return the keyword arguments of a run."""
        if not self._reusable:
            return {**load(self._shared_payload), **own}
        return {**self._shared, **own}


def _prepare(kind: str, spec: bytes, function: bytes) -> Callable[[bytes | memoryview | Spool], Spool]:
    """Return what runs a job that SQL can submit; only what was published is unpickled."""
    from rxsql.scripts import runner  # noqa: PLC0415 - the jobs of rx_exec do without

    return runner.prepare(kind, spec, load_function(function) if function else None)


def serve(sock: socket.socket, streams: Streams) -> None:
    """Serve one job until the supervisor hangs up."""
    if "numpy" in sys.modules:  # preloaded before the fork: all children would draw the same numbers
        sys.modules["numpy"].random.seed()
    message = receive(sock)
    if message is None:
        return
    try:
        job = Job(parse_job(message))
    except Exception as error:  # noqa: BLE001 - the job's own modules may raise anything
        streams.sizes()
        wire.send_broken(sock, _why_broken(error))
        return
    runner = Runner(sock, streams, job)
    while (message := receive(sock, takes_sections=True)) is not None:
        runner.run_task(parse_task(message))


def _limit_memory(memory_mb: int) -> None:
    """Limit what this process may have of its own: Linux counts private memory, others the address space."""
    kind = resource.RLIMIT_DATA if sys.platform.startswith("linux") else resource.RLIMIT_AS
    resource.setrlimit(kind, (memory_mb * 2**20, memory_mb * 2**20))


def rehearse(streams: Streams) -> None:
    """Go the way of a job once while nobody waits.

    In the zygote, so that what is imported and made at first use is there for all children; in each child, because a
    forked process pays for each page of memory at its first use.
    """
    nowhere: Any = _Nowhere()
    job = Job(parse_job(_rehearsed_job()))
    give_way()
    Runner(nowhere, streams, job).run_task(wire.TaskMessage(0, 0, 1, (), b""))


class _Nowhere:
    """A socket of a rehearsal."""

    def send(self, packet: bytes) -> int:
        return len(packet)


@cache
def _rehearsed_job() -> wire.Message:
    job = wire.JobMessage(_rehearsed_function(), payload.dump({"value": 0}), "function", (), True, 0, 0)
    near, far = wire.pair()
    with near, far:
        wire.send_job(near, job)
        message = receive(far)
    assert message is not None  # it was sent
    return message


def _rehearsed_function() -> bytes:
    """Return a function as users' travel: by value, and not by its name."""
    return payload.dump_function(types.FunctionType(_nothing.__code__, {"__name__": "__main__"}), {})


def _nothing(value: object) -> object:
    return value


def _why_broken(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, ModuleNotFoundError):
        return (
            f"The job needs the module {error.name!r}, which the worker's Python ({sys.executable}) does not have. "
            f"Install it there: {sys.executable} -m pip install {str(error.name).partition('.')[0]}"
        )
    if isinstance(error, (payload.PayloadError, payload.PayloadVersionError, ScriptError)):
        return str(error)
    return f"The job could not be loaded: {text}\n\n{payload.dump_error(error, skip_frames=_OWN_FRAMES).traceback}"


def _own_inputs(task: wire.TaskMessage) -> Sequence[bytes | memoryview | Spool]:
    """Return each run's own arguments as a payload of its own, so that no run sees what another did to them."""
    if task.pages is not None:
        return [task.pages]
    if task.run_count == 1 or not len(task.input):
        return [task.input] * task.run_count
    return load(task.input)  # type: ignore[no-any-return]


class Runner:
    """Runs tasks and tells each run's outcome at once, so that none is lost with the process."""

    def __init__(self, sock: socket.socket, streams: Streams, job: Job) -> None:
        self._sock = sock
        self._streams = streams
        self._job = job
        self._dumper = Dumper()
        self._over = False

    def run_task(self, task: wire.TaskMessage) -> None:
        """Run those runs of a task that have no result yet."""
        inputs: Sequence[bytes | memoryview | Spool] | Exception
        try:
            inputs = _own_inputs(task)
        except Exception as error:  # noqa: BLE001
            inputs = error
        done = frozenset(task.done_runs) if task.done_runs else ()
        for position in range(task.run_count):
            run = task.first_run + position
            if run not in done and not self._over:
                self._run(task.number, run, inputs if isinstance(inputs, Exception) else inputs[position])

    def _run(self, number: int, run: int, own: bytes | memoryview | Spool | Exception) -> None:
        begun, here = perf_counter(), getpid()
        text = trace = ""
        body: bytes | Pieces | Spool | None = None
        try:
            body = self._value(run, own)
            failed = False
        except KeyboardInterrupt:  # the supervisor ends this job
            os._exit(128 + signal.SIGINT)
        except BaseException as error:  # noqa: BLE001 - user code may raise anything, SystemExit included
            failed = True
            dumped = payload.dump_error(error, skip_frames=self._job.own_frames)
            text, trace, body = dumped.text, dumped.traceback, dumped.payload
            if isinstance(error, MemoryError) and self._job.memory_mb:
                text += f" (the limit RXSQL_MEMORY_MB is {self._job.memory_mb} MB)"
            # What was handed to this child already must not run; the supervisor hears of it and ends the job.
            self._over = not self._job.continue_on_failure
        if getpid() != here:  # a copy that user code forked and did not end: the original goes on from here
            os._exit(0)
        seconds = perf_counter() - begun
        ends = self._streams.sizes()
        if type(body) is bytes and not failed and len(body) <= INLINE:
            send_small_value(self._sock, number, run, seconds, ends, body)
            return
        whole, pieces = (None, body) if isinstance(body, Pieces) else (body, None)
        outcome = wire.OutcomeMessage(number, run, failed, seconds, *ends, text, trace, whole)
        wire.send_outcome(self._sock, outcome, pieces)

    def _value(self, run: int, own: bytes | memoryview | Spool | Exception) -> bytes | Pieces | Spool:
        if isinstance(own, Exception):
            raise own
        if self._job.script is not None:
            return checked(self._job.script(own), self._job.payload_mb, f"The result of run {run}")
        given = load(own) if len(own) and not isinstance(own, Spool) else {}
        value = self._job.function(**self._job.arguments(given))
        try:
            return checked(self._dumper.pieces(value), self._job.payload_mb, f"The result of run {run}")
        except (LimitError, MemoryError):
            raise
        except Exception as error:
            raise payload.PayloadError(
                f"The result of run {run} (a {type(value).__name__}) cannot be pickled: "
                f"{type(error).__name__}: {error}. "
                "Return plain data instead."
            ) from error
