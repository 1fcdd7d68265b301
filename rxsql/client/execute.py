"""`rx_exec`: from a call to runs, from runs to a job in the store (or to results, in a local context)."""

from __future__ import annotations

import getpass
import json
import secrets
import socket
import time
from typing import TYPE_CHECKING, Any

from rxsql import payload
from rxsql.client import autostart, collecting, context, local, runs
from rxsql.client.jobs import RxRemoteJob, remember, take_results
from rxsql.client.waiting import wait_for
from rxsql.errors import ArgumentsError, NotSupportedError, WorkerStartError
from rxsql.models import NewJob, NewTask
from rxsql.settings import Settings
from rxsql.store import jobs
from rxsql.store.engine import open_store
from rxsql.store.submission import add_job

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rxsql.client.context import RxInSqlServer
    from rxsql.client.runs import Runs


def rx_exec(
    function: Callable[..., Any],
    args: dict[str, Any] | list[dict[str, Any]] | None = None,
    times_to_run: int = -1,
    task_chunk_size: int | None = None,
    compute_context: Any = None,
    local_state: dict[str, Any] = {},  # noqa: B006 - revoscalepy's default; it is never changed
    callback: Callable[[Any], Any] | None = None,
    continue_on_failure: bool = True,
    **kwargs: Any,
) -> Any:
    """Run a function once or many times in a compute context.

    Args:
        function: Any function: a lambda, a closure, one from `__main__` or from a module the worker cannot import.
        args: A dict: the same named arguments in each run. A list of dicts: one run each.
        times_to_run: How often to run; -1: as often as the arguments say, else once.
        task_chunk_size: How many runs a worker takes as one task; None: 1.
        compute_context: A context or its name; None: the current one.
        local_state: Variables that the function finds among its globals.
        callback: Called in this process with the value of each run that returned one, in the order of the runs, when the
            results are collected.
        continue_on_failure: Whether the other runs go on after one failed. If not, the job fails with the first failure.
        **kwargs: Arguments of the function: a list has one element a run, anything else is the same in each run. Wrap a
            list in a list to pass it as a value.

    Returns:
        In a waiting or local context the list of the runs' values, in their order, also for a single run; where a run
        failed, its exception object stands in its place, and a `FailedRunsWarning` counts them. In a context with
        `wait=False` an `RxRemoteJob`, at once.

    Raises:
        ArgumentsError: The arguments contradict each other; nothing was stored.
        PayloadError: The function or an argument cannot be pickled; nothing was stored.
        JobFailedError: The job failed (a `RuntimeError`, with the remote traceback).
        JobCanceledError: Somebody canceled the job while this call waited.

    Differs from revoscalepy: runs are parallel in `RxInSqlServer` too, a non-waiting call returns one job for all runs,
    and `continue_on_failure` has the same meaning in local contexts.

    Source: `rx_exec` of the revoscalepy reference, 9.4.
    """
    where = context.resolve(compute_context)
    plan = runs.plan(function, args, times_to_run, kwargs)
    chunk = _chunk_size(task_chunk_size)
    if isinstance(where, context.RxInSqlServer):
        job = _submit(where, function, plan, chunk, local_state, go_on=continue_on_failure)
        job.callback = callback
        if not where.wait:
            return job
        wait_for(open_store(where.store), job.job_id, show_console=where.console_output)
        return take_results(job, auto_cleanup=where.auto_cleanup)
    if isinstance(where, context.RxLocalParallel):
        gathered = local.run_parallel(function, plan, local_state, go_on=continue_on_failure)
    elif isinstance(where, context.RxLocalSeq):
        gathered = local.run_here(function, plan, local_state, go_on=continue_on_failure)
    else:
        raise NotSupportedError(
            f"rx_exec cannot run in a {type(where).__name__}. Use RxInSqlServer, RxLocalParallel or RxLocalSeq."
        )
    name = payload.name_of(function)
    return collecting.settle(name, gathered, run_count=len(plan), go_on=continue_on_failure, callback=callback)


def _chunk_size(task_chunk_size: Any) -> int:
    if task_chunk_size is None:
        return 1
    if isinstance(task_chunk_size, bool) or not isinstance(task_chunk_size, int) or task_chunk_size < 1:
        raise ArgumentsError(f"task_chunk_size must be a whole number from 1, not {task_chunk_size!r}.")
    return task_chunk_size


def _submit(
    where: RxInSqlServer,
    function: Callable[..., Any],
    plan: Runs,
    chunk: int,
    local_state: Mapping[str, Any] | None,
    *,
    go_on: bool,
) -> RxRemoteJob:
    settings = Settings.from_environment()
    body = payload.dump_function(function, local_state or {})
    shared = local.dump_arguments(plan.shared, None) if plan.shared else None
    tasks = _tasks(plan, chunk)
    store = open_store(where.store)
    new = NewJob(
        job_id=where.job_id or _new_id(),
        name=payload.name_of(function),
        function=body,
        shared_input=shared,
        tasks=tasks,
        has_inputs=plan.differ,
        num_tasks=where.num_tasks,
        max_attempts=settings.max_attempts,
        continue_on_failure=go_on,
        packages_to_load=where.packages_to_load,
        execution_timeout_seconds=where.execution_timeout_seconds,
        auto_cleanup=where.auto_cleanup,
        console_output=where.console_output,
        context=json.dumps(where.settings()),
        python=payload.PYTHON,
        submitted_by=f"{getpass.getuser()}@{socket.gethostname()}",
        run_count=len(plan),
    )
    add_job(store, new, inline_bytes=settings.inline_bytes)
    job = RxRemoteJob(where, new.job_id)
    try:
        autostart.ensure_worker(store)
    except WorkerStartError:
        jobs.purge(store, new.job_id)  # work that nobody does must not wait for a surprising moment
        raise
    remember(job)
    return job


def _tasks(plan: Runs, chunk: int) -> list[NewTask]:
    """Cut the runs into tasks, each with the arguments of its runs as one payload."""
    dumper = payload.Dumper()
    tasks = []
    with payload.by_value():
        for first in range(0, len(plan), chunk):
            own = plan.own[first : first + chunk]
            body = None
            if plan.differ:
                try:
                    body = dumper.dump(own)
                except Exception as error:
                    run, row = next(
                        ((first + i, row) for i, row in enumerate(own) if not payload.is_picklable(row)), (first, own[0])
                    )
                    raise local.unpicklable(row, run, error) from error
            tasks.append(NewTask(first_run=first, run_count=len(own), input=body))
    return tasks


def _new_id() -> str:
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
