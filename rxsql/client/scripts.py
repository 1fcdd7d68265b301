"""`rx_execute_script`: a script with a table in and a table out, as SQL's `sp_execute_external_script` runs it."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from rxsql.client import waiting
from rxsql.client.context import RxInSqlServer, RxLocalSeq, resolve
from rxsql.client.submitting import job_row, send
from rxsql.client.waiting import wait_for
from rxsql.errors import ArgumentsError, JobCanceledError, NotSupportedError
from rxsql.kinds import JobKind, NewScript
from rxsql.models import NewTask, RxRemoteJobStatus
from rxsql.pages import IN, OUT, PARAM, Page, Spool
from rxsql.payload import checked
from rxsql.scripts import reading, runner, writing
from rxsql.scripts.columns import parse_header
from rxsql.scripts.need import pandas
from rxsql.settings import Settings
from rxsql.store import jobs
from rxsql.store import scripts as stored
from rxsql.store.engine import open_store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pandas import DataFrame

    from rxsql.client.handle import RxRemoteJob
    from rxsql.models import Job
    from rxsql.store.engine import Store


@dataclass(frozen=True, slots=True)
class ScriptResult:
    """What a script gave.

    Args:
        output: The table it left in its output variable; without columns where it left none.
        parameters: The OUTPUT parameters by name.
        console: What it printed.
    """

    output: DataFrame
    parameters: dict[str, Any] = field(default_factory=dict)
    console: str = ""


def rx_execute_script(
    script: str,
    input_data: Any = None,
    params: Mapping[str, Any] | None = None,
    compute_context: Any = None,
    *,
    output_params: Sequence[str] = (),
    partition_by: str | Sequence[str] = (),
    input_name: str = "InputDataSet",
    output_name: str = "OutputDataSet",
) -> ScriptResult | RxRemoteJob:
    """Run a script with a table in and a table out, as `sp_execute_external_script` does.

    Args:
        script: The text. It finds the input table under `input_name`, each parameter under its name, and leaves a
            DataFrame under `output_name`.
        input_data: A DataFrame, or what makes one; None: an empty one.
        params: Values by name.
        compute_context: A context or its name; None: the current one.
        output_params: Names of variables that are returned; the script must assign those that `params` has no value
            for.
        partition_by: Columns of the input: the script runs once for each combination of their values, in parallel as
            the context allows, and the tables of all runs are returned as one.
        input_name: The variable of the input table.
        output_name: The variable of the output table.

    Returns:
        A `ScriptResult`; in a context with `wait=False` an `RxRemoteJob` at once, whose `rx_get_job_results` is that.

    Raises:
        ArgumentsError: The arguments do not fit together; nothing was stored.
        ScriptError: The input has values without an SQL type, or pandas is missing; nothing was stored.
        LimitError: The input is larger than `RXSQL_PAYLOAD_MB`; nothing was stored.
        JobFailedError: The script failed; the message has its traceback.

    Example:
        >>> result = rx_execute_script("OutputDataSet = InputDataSet * 2", {"x": [1, 2]}, compute_context="local")
        >>> result.output["x"].tolist()
        [2, 4]
    """
    where = resolve(compute_context)
    names = (input_name, output_name, *(params or {}), *output_params)
    if bad := [name for name in names if not isinstance(name, str) or not name.isidentifier()]:
        raise ArgumentsError(f"{bad[0]!r} cannot be the name of a variable.")
    parts = _parts(input_data, partition_by)
    new = NewScript(
        language="Python",
        script=script,
        input_name=input_name,
        output_name=output_name,
        params=json.dumps(_parameters(params or {}, output_params)),
        frames=[Spool(writing.pages_of(part, IN)) for part in parts],
    )
    if isinstance(where, RxLocalSeq):
        return _run_here(new)
    if not isinstance(where, RxInSqlServer):
        raise NotSupportedError(
            f"A {type(where).__name__} runs no scripts. Name an RxInSqlServer context or RxLocalSeq."
        )
    job = _submit(where, new)
    if not where.wait:
        return job
    store = open_store(where.store)
    wait_for(store, job.job_id, show_console=where.console_output)
    return take_script_result(store, jobs.get_job(store, job.job_id), auto_cleanup=where.auto_cleanup)


def _parts(input_data: Any, partition_by: str | Sequence[str]) -> list[DataFrame]:
    frame = pandas().DataFrame(input_data)
    keys = [partition_by] if isinstance(partition_by, str) else list(partition_by)
    if not keys:
        return [frame]
    missing = [key for key in keys if key not in frame.columns]
    if missing:
        raise ArgumentsError(f"partition_by: the input has no column {missing[0]!r}.")
    return [part for _, part in frame.groupby(keys, dropna=False, sort=True)]


def _parameters(params: Mapping[str, Any], outputs: Sequence[str]) -> list[dict[str, Any]]:
    found = []
    for name in dict.fromkeys((*params, *outputs)):
        column, cell = writing.cell_of(params.get(name))
        size = "" if column.size is None else f"({'max' if column.size < 0 else column.size}"
        size += "" if not size else ")" if column.scale is None else f",{column.scale})"
        declared = f"{column.type}{size}" if cell is not None and name not in outputs else ""
        entry = {"name": name, "type": declared, "value": cell, "output": name in outputs}
        if entry["output"] and cell is not None:
            entry["type"] = f"{column.type}{size}"
        found.append(entry)
    return found


def _submit(where: RxInSqlServer, new: NewScript) -> RxRemoteJob:
    settings = Settings.from_environment()
    for run, pages in enumerate(new.frames):
        checked(pages, settings.payload_mb, f"The input of run {run}")
    count = len(new.frames)
    tasks = [NewTask(first_run=number, run_count=1, input=None) for number in range(count)]
    row = job_row(
        where,
        settings,
        name="script",
        function=b"",
        shared_input=None,
        tasks=tasks,
        has_inputs=True,
        continue_on_failure=False,
        python="",
        run_count=count,
        kind=JobKind.SCRIPT,
        script=new,
    )
    return send(where, row, settings)


def take_script_result(store: Store, job: Job, *, auto_cleanup: bool) -> ScriptResult:
    """Return an ended job's tables and output, and remove them where that is asked for.

    Raises:
        JobFailedError: It failed.
        JobCanceledError: It was canceled.
    """
    from rxsql.client.taking import failure, settle  # noqa: PLC0415 - it takes the results of scripts from here

    if job.status is RxRemoteJobStatus.CANCELED:
        raise JobCanceledError(job.job_id)
    if job.status is not RxRemoteJobStatus.FINISHED:
        raise failure(store, job)
    console: list[str] = []
    waiting.ConsoleTail(store, job.job_id).show(lambda text, _: console.append(text))
    tables = list(_tables(store, job).values())
    last = [page for _, page in stored.fetch_pages(store, job.job_key, PARAM)][-1:]
    result = _result(tables, last, "".join(console))
    settle(store, job, auto_cleanup=auto_cleanup)
    return result


def tables_of_runs(store: Store, job: Job) -> dict[int, DataFrame]:
    """Return the table that each run of a finished script left; one without columns where it left none."""
    found = _tables(store, job)
    return {run: found.get(run, pandas().DataFrame()) for run in range(job.run_count)}


def _tables(store: Store, job: Job) -> dict[int, DataFrame]:
    parts = groupby(stored.fetch_pages(store, job.job_key, OUT), key=itemgetter(0))
    return {run: reading.frame_of(page for _, page in part) for run, part in parts}


def _result(frames: list[DataFrame], parameters: list[Page], console: str) -> ScriptResult:
    full = [frame for frame in frames if len(frame.columns)] or frames
    output = (
        pandas().concat(full, ignore_index=True) if len(full) > 1 else (full or [pandas().DataFrame()])[0]
    )
    values: dict[str, Any] = {}
    for page in parameters:
        (row,) = json.loads(page.body)
        columns = parse_header(page.header)
        values = {
            column.name: reading.value_of(column, cell) for column, cell in zip(columns, row, strict=True)
        }
    return ScriptResult(output, values, console)


def _run_here(new: NewScript) -> ScriptResult:
    """Run a script in this process; its errors are its own."""
    spec = {
        "language": new.language,
        "script": new.script,
        "input_name": new.input_name,
        "output_name": new.output_name,
        "params": json.loads(new.params),
    }
    script = runner.Script(spec)
    console = io.StringIO()
    with contextlib.redirect_stdout(console):
        made = [script(spool) for spool in new.frames]
    tables = [reading.frame_of(page for page in spool if page.direction == OUT) for spool in made]
    parameters = [page for page in made[-1] if page.direction == PARAM]
    return _result(tables, parameters, console.getvalue())
