"""Submits a job: pickles what it needs, puts it into the store, and makes sure that somebody works there."""

from __future__ import annotations

import gc
import getpass
import json
import secrets
import socket
import time
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from rxsql import payload
from rxsql.client import autostart, watch
from rxsql.client.handle import RxRemoteJob, remembered
from rxsql.errors import LimitError
from rxsql.models import NewJob, NewTask
from rxsql.payload import signing
from rxsql.store.engine import open_store
from rxsql.store.submission import add_job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rxsql.client.context import RxInSqlServer
    from rxsql.client.runs import Runs
    from rxsql.sections import Pieces
    from rxsql.settings import Settings


_MANY_RUNS = 1000
_SMALL = 2**20  # within any limit: they count in MB
_RECENT_SECONDS = 1.0  # a worker that was there so short a time ago can be started


def submit(
    where: RxInSqlServer,
    function: Callable[..., Any],
    plan: Runs,
    local_state: Mapping[str, Any],
    settings: Settings,
    *,
    chunk: int,
    go_on: bool,
) -> RxRemoteJob:
    """Put a job into the context's store; return its handle.

    Raises:
        PayloadError: The function or an argument cannot be pickled; nothing was stored.
        SettingsError: The signing keys cannot be used; nothing was stored.
        JobExistsError: The context's `job_id` is taken; nothing was stored.
        StoreError: The store cannot be used.
        WorkerStartError: No worker is alive, and none could be started; nothing was stored.
    """
    most = settings.payload_mb
    with _uncollected() if len(plan) > _MANY_RUNS else nullcontext():
        new = job_row(
            where,
            settings,
            name=payload.name_of(function),
            function=payload.checked(payload.dump_function(function, local_state), most, "The function"),
            shared_input=payload.checked(
                payload.dump_arguments(plan.shared, None), most, "What all runs share"
            )
            if plan.shared
            else None,
            tasks=_tasks(plan, chunk, most),
            has_inputs=plan.differ,
            continue_on_failure=go_on,
            python=payload.PYTHON,
            run_count=len(plan),
        )
        return send(where, new, settings, stacklevel=4)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector from going through many thousand new tasks again and again: there is none in them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def job_row(where: RxInSqlServer, settings: Settings, **own: Any) -> NewJob:
    """Return a new job: what the context and the settings say, and what is its own."""
    return NewJob(
        job_id=where.job_id or _new_id(),
        num_tasks=where.num_tasks,
        max_attempts=settings.max_attempts,
        packages_to_load=where.packages_to_load,
        execution_timeout_seconds=where.execution_timeout_seconds,
        auto_cleanup=where.auto_cleanup,
        console_output=where.console_output,
        context=json.dumps(where.settings()),
        submitted_by=submitter(),
        **own,
    )


def send(where: RxInSqlServer, new: NewJob, settings: Settings, *, stacklevel: int = 4) -> RxRemoteJob:
    """Put a new job into its store and see to it that somebody works there; errors as in `submit`."""
    if settings.max_runs and new.run_count > settings.max_runs:
        raise LimitError(f"The job has {new.run_count:,} runs", f"RXSQL_MAX_RUNS of {settings.max_runs:,}")
    new = _signed(new, payload.Keyring.from_settings(settings))
    store = open_store(where.store)
    autostart.ensure_worker(store, unless_seen_seconds=_RECENT_SECONDS)
    job = RxRemoteJob(where, new.job_id)
    with remembered(job):
        add_job(store, new, inline_bytes=settings.inline_bytes)
    if not where.wait:  # a waiting call sees to that while it waits
        # Once more: the worker may have been idle for long, and have left just before the job came in.
        autostart.ensure_worker(store)
        watch.warn_if_stuck(store, new.job_id, new.python, stacklevel=stacklevel)
    return job


def _signed(job: NewJob, keyring: payload.Keyring) -> NewJob:
    """Return the job with its signature and those of its inputs, where there is a key."""
    signature = keyring.sign_job(job)
    if signature is None:
        return job
    shared = job.shared_input
    if shared is not None:
        shared = keyring.seal(shared, signing.shared_input(job.job_id))
    tasks = [_sealed(task, number, job.job_id, keyring) for number, task in enumerate(job.tasks)]
    return replace(job, shared_input=shared, tasks=tasks, signature=signature)


def _sealed(task: NewTask, number: int, job_id: str, keyring: payload.Keyring) -> NewTask:
    if task.input is None:
        return task
    subject = signing.task_input(job_id, number, task.first_run, task.run_count)
    return NewTask(
        first_run=task.first_run, run_count=task.run_count, input=keyring.seal(task.input, subject)
    )


def _tasks(plan: Runs, chunk: int, most: int) -> list[NewTask]:
    """Cut the runs into tasks, each with the arguments of its runs as one payload."""
    dumper = payload.Dumper()
    tasks = []
    differ = plan.differ
    for first in range(0, len(plan), chunk):
        own = plan.own[first : first + chunk]
        body = _dump_rows(dumper, own, first) if differ else None
        if body is not None and len(body) > _SMALL:
            payload.checked(body, most, _input_of(first, len(own)))
        tasks.append(NewTask(first_run=first, run_count=len(own), input=body))
    return tasks


def _input_of(first_run: int, count: int) -> str:
    return (
        f"The input of run {first_run}" if count == 1 else f"The input of the {count} runs from {first_run}"
    )


def _dump_rows(dumper: payload.Dumper, rows: list[dict[str, Any]], first_run: int) -> bytes | Pieces:
    """Return the arguments of a task's runs: a payload, or for several runs a payload of one payload each.

    Pickled together, what two runs share would be one object in the child, and one run could change it for the other.
    """
    frames = []
    for run, row in enumerate(rows, start=first_run):
        try:
            frames.append(dumper.pieces(row))
        except Exception as error:
            raise payload.unpicklable(row, run, error) from error
    return frames[0] if len(frames) == 1 else dumper.dump([*map(bytes, frames)])


@cache
def submitter() -> str:
    """Return who submits from this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # the system does not know this process's user, as in some containers
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def _new_id() -> str:
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
