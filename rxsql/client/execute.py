"""`rx_exec`: from a call to runs, and from runs to results or a job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rxsql import payload
from rxsql.client import context, local, runs
from rxsql.client.jobs import take_results
from rxsql.client.submitting import submit
from rxsql.client.waiting import wait_for
from rxsql.errors import ArgumentsError, JobFailedError, NotSupportedError
from rxsql.settings import Settings
from rxsql.store.engine import open_store

if TYPE_CHECKING:
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
        callback: Called in this process with the value of each run that returned one, in the order of the runs, when
            the results are collected.
        continue_on_failure: Whether the other runs go on after one failed. If not, the job fails with the first
            failure, and runs that have not begun are not started.
        **kwargs: Arguments of the function: a list has one element a run, anything else is the same in each run. Wrap
            a list in a list to pass it as a value.

    Returns:
        In a waiting or local context the list of the runs' values, in their order, also for a single run; where a run
        failed, its exception object stands in its place, and a `FailedRunsWarning` counts them. In a context with
        `wait=False` an `RxRemoteJob`, at once.

    Raises:
        ArgumentsError: The arguments contradict each other; nothing was stored.
        PayloadError: The function or an argument cannot be pickled; nothing was stored.
        JobExistsError: The context's `job_id` is taken; nothing was stored.
        StoreError: The store cannot be used.
        WorkerStartError: No worker is alive, and none could be started; nothing was stored.
        JobFailedError: The job failed (a `RuntimeError`, with the remote traceback).
        JobCanceledError: Somebody canceled the job while this call waited.

    Differs from revoscalepy: runs are parallel in `RxInSqlServer` too, a non-waiting call returns one job for all
    runs, and `continue_on_failure` has the same meaning in local contexts. No run sees what another did to its
    arguments, also in local contexts (there, what cannot be copied is handed over as it is).

    Source: `rx_exec` of the revoscalepy reference, 9.4.
    """
    where = context.resolve(compute_context)
    plan = runs.plan(function, args, times_to_run, kwargs)
    chunk = runs.chunk_size(task_chunk_size)
    state = _checked_state(function, local_state)
    _check_callback(callback)
    go_on = context.flag("continue_on_failure", continue_on_failure, default=True)
    if not isinstance(where, context.RxInSqlServer):
        return _run_local(where, function, plan, state, callback, go_on=go_on)
    settings = Settings.from_environment()
    job = submit(where, function, plan, state, settings, chunk=chunk, go_on=go_on)
    job.callback = callback
    if not where.wait:
        return job
    ended = wait_for(open_store(where.store), job.job_id, show_console=where.console_output)
    return take_results(job, ended, settings, auto_cleanup=where.auto_cleanup)


def _checked_state(function: Callable[..., Any], local_state: Any) -> Mapping[str, Any]:
    if local_state is None:
        return {}
    if not isinstance(local_state, Mapping) or not all(isinstance(name, str) for name in local_state):
        raise ArgumentsError(f"local_state must be a dict of variables by their names, not {local_state!r}.")
    if local_state and not payload.namespaces_of(function):
        raise ArgumentsError(
            f"local_state is for the globals of a Python function, and {payload.name_of(function)!r} has none. Pass "
            "the values as arguments."
        )
    return local_state


def _check_callback(callback: Any) -> None:
    if callback is not None and not callable(callback):
        raise ArgumentsError(f"callback must be a function of one value, and {callback!r} is not.")


def _run_local(
    where: context.RxComputeContext,
    function: Callable[..., Any],
    plan: Runs,
    local_state: Mapping[str, Any],
    callback: Callable[[Any], Any] | None,
    *,
    go_on: bool,
) -> list[Any]:
    if isinstance(where, context.RxLocalParallel):
        gathered = local.run_parallel(function, plan, local_state, go_on=go_on)
    elif isinstance(where, context.RxLocalSeq):
        gathered = local.run_here(function, plan, local_state, go_on=go_on)
    else:
        raise NotSupportedError(
            f"rx_exec cannot run in a {type(where).__name__}. Use RxInSqlServer, RxLocalParallel or RxLocalSeq."
        )
    name = payload.name_of(function)
    failed = gathered.failed
    if failed and (len(failed) == len(plan) or not go_on):
        raise JobFailedError(name, *gathered.why_failed()) from gathered.results[min(failed)]
    return gathered.hand_over(name, callback=callback, stacklevel=4)
