"""`rxsql jobs`, `status`, `wait`: where jobs stand."""

# ruff: noqa: PLC0415 - the store's libraries wait until a command runs, so that --help is quick
import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rxsql.cli import crashes, display
from rxsql.cli.exits import Exit, exit_of
from rxsql.cli.options import (
    END_CODES,
    JOB_CODES,
    AsJson,
    JobId,
    JobIds,
    StoreName,
    epilog,
    open_existing,
    store_with,
)
from rxsql.models import RxRemoteJobStatus

if TYPE_CHECKING:
    from datetime import datetime

    from rich.text import Text

    from rxsql.models import Job
    from rxsql.reports import Crash
    from rxsql.store.engine import Store

app = typer.Typer(rich_markup_mode=None)
_PANEL = "Jobs"
_TABLE_ROWS = 30


class Listed(StrEnum):
    """The statuses a listed job can have."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELED = "canceled"
    UNDETERMINED = "undetermined"


_STATUS_HELP = f"Only jobs of this status ({', '.join(Listed)}); repeat it for several."
_LIMIT_HELP = f"At most so many; 0: all. Default: {_TABLE_ROWS} in the table, all as JSON."

# ---------------------------------------------------------------------------------------------------- rxsql jobs


@app.command(
    "jobs",
    rich_help_panel=_PANEL,
    epilog=epilog(
        "rxsql jobs",
        "rxsql jobs --status running --status queued",
        "rxsql jobs --json | jq -r '.[] | select(.failed_runs > 0) | .job_id'",
    ),
)
def list_jobs(
    status: Annotated[
        list[Listed] | None,
        typer.Option("--status", metavar="STATUS", help=_STATUS_HELP, show_default=False),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=0, help=_LIMIT_HELP, show_default=False),
    ] = None,
    as_json: AsJson = False,
    store: StoreName = None,
) -> None:
    """List jobs, the newest first.

    Jobs whose results were removed are listed only with --status undetermined.
    """
    from rxsql.store.jobs import list_jobs as read

    label, found = open_existing(store)
    states = [RxRemoteJobStatus(word) for word in status or list(Listed)[:-1]]
    most = limit if limit is not None else 0 if as_json else _TABLE_ROWS
    jobs = read(found, states=states, limit=most + 1 if most else None) if found else []
    shown = jobs[:most] if most else jobs
    if as_json:
        display.print_json([_row(job) for job in shown])
        return
    if not shown:
        _say_empty(label, found, [str(word) for word in status or []])
        return
    _print_table(shown)
    if len(jobs) > len(shown):
        display.note(f"\nThe {display.plural(most, 'newest job')}; all of them: rxsql jobs --limit 0")


def _print_table(jobs: "list[Job]") -> None:
    right = ("DONE", "FAILED", "RUNS", "AGE")
    table = display.Columns("ID", "NAME", "STATUS", *right, flexible="NAME", right=right)
    for job in jobs:
        table.add(
            job.job_id,
            job.name,
            display.status_text(job.status),
            f"{job.percent}%",
            display.failed_text(job.failed_runs),
            str(job.run_count),
            display.age(job.created_at),
        )
    table.print()


def _say_empty(label: str, store: "Store | None", states: list[str]) -> None:
    from rxsql.store.jobs import list_jobs as read

    if states:
        display.note(f"No {' or '.join(states)} jobs in {label}. All jobs: rxsql jobs")
    elif store and read(store, states=[RxRemoteJobStatus.UNDETERMINED], limit=1):
        display.note(
            f"No jobs in {label} but those whose results were taken or removed.\n"
            "List them: rxsql jobs --status undetermined"
        )
    else:
        display.note(
            f"No jobs in {label}.\n"
            "Submit one with rx_exec in a script (rxsql run script.py), or see how it works: rxsql demo"
        )


def _row(job: "Job") -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "name": job.name,
        "status": str(job.status),
        "percent": job.percent,
        "run_count": job.run_count,
        "done_runs": job.done_runs,
        "failed_runs": job.failed_runs,
        "num_tasks": job.num_tasks,
        "python": job.python,
        "submitted_by": job.submitted_by,
        "error": job.error,
        "created_at": display.iso(job.created_at),
        "started_at": display.iso(job.started_at),
        "finished_at": display.iso(job.finished_at),
    }


# -------------------------------------------------------------------------------------------------- rxsql status


@app.command(
    rich_help_panel=_PANEL,
    epilog=epilog(
        "rxsql status 20260131-093000-5f2c9a1e",
        "rxsql status ID --json | jq .tasks",
        "if rxsql status ID > /dev/null; then echo finished; fi",
        codes=JOB_CODES,
    ),
)
def status(job_id: JobId, as_json: AsJson = False, store: StoreName = None) -> None:
    """Show where a job stands: progress, tasks, error, times.

    The exit code says it too.
    """
    from rxsql.client.watch import why_not_running
    from rxsql.store.crashes import fetch_crashes
    from rxsql.store.jobs import get_job, task_counts

    found = store_with(store, job_id)
    job = get_job(found, job_id)
    died = fetch_crashes(found, job.job_key, limit=crashes.MOST)
    waits = why_not_running(found, job)
    counts = task_counts(found, job.job_key)
    tasks: dict[str, int] = {}
    for state, _, count in counts:
        tasks[state] = tasks.get(state, 0) + count
    workers = sorted({worker_id for _, worker_id, _ in counts if worker_id})
    if as_json:
        more = {"tasks": tasks, "workers": workers, "store": found.label, "context": json.loads(job.context)}
        display.print_json(_row(job) | more | {"waits": waits, "crashes": crashes.rows(died)})
    else:
        _print_job(found, job, tasks, workers, died)
        if waits:
            display.note(f"\nIt waits: {waits}")
    raise typer.Exit(exit_of(job.status))


def _print_job(
    store: "Store", job: "Job", tasks: dict[str, int], workers: list[str], died: "list[Crash]"
) -> None:
    needed = f", Python {job.python}" if job.python else ""  # a job that SQL submitted runs on any
    fields: list[tuple[str, str | Text]] = [
        ("job", job.job_id),
        ("function", job.name),
        ("status", display.status_text(job.status)),
        ("progress", progress_of(job)),
        ("tasks", ", ".join(f"{count} {state}" for state, count in tasks.items())),
        ("error", job.error or ""),
        *crashes.fields(died),
        ("submitted", f"{_moment(job.created_at)} by {job.submitted_by}{needed}"),
        ("started", _moment(job.started_at)),
        (
            "ended",
            f"{_moment(job.finished_at)}, after {took(job)}" if took(job) else _moment(job.finished_at),
        ),
        ("worker", "\n".join(workers)),
        ("store", store.label),
    ]
    display.print_fields(fields)
    display.note(f"\n{_next_step(job)}")


def _moment(moment: "datetime | None") -> str:
    return "" if moment is None else f"{display.local(moment)} ({display.age(moment)} ago)"


def took(job: "Job") -> str:
    """Return how long a job took, from its first run's start to its end."""
    if job.started_at is None or job.finished_at is None:
        return ""
    return display.duration((job.finished_at - job.started_at).total_seconds())


def progress_of(job: "Job") -> "Text":
    """Return how many of a job's runs have an outcome, and how many failed."""
    from rich.text import Text

    text = Text(f"{job.done_runs} of {display.plural(job.run_count, 'run')}")
    if job.done_runs < job.run_count:
        text.append(f" ({job.percent}%)")
    return text.append(", ").append(f"{job.failed_runs} failed", "red") if job.failed_runs else text


def _next_step(job: "Job") -> str:
    if not job.status.is_final:
        return f"Wait for it: rxsql wait {job.job_id}\nIts output:  rxsql logs -f {job.job_id}"
    if job.status is RxRemoteJobStatus.FINISHED:
        return f"Its results: rxsql results {job.job_id}\nIts output:  rxsql logs {job.job_id}"
    if job.status is RxRemoteJobStatus.FAILED:
        return f"Its errors: rxsql results {job.job_id}\nIts output: rxsql logs {job.job_id}"
    return "Its results and output were removed."


# ---------------------------------------------------------------------------------------------------- rxsql wait


@app.command(
    rich_help_panel=_PANEL,
    epilog=epilog(
        "rxsql wait 20260131-093000-5f2c9a1e",
        "rxsql wait ID && rxsql results ID --json > results.json",
        "timeout 60 rxsql wait ID",
        codes=END_CODES,
        also="Of several jobs the first that did not finish decides.",
    ),
)
def wait(job_ids: JobIds, store: StoreName = None) -> None:
    """Wait until jobs have ended, with a progress bar.

    The bar is shown in a terminal only. Ctrl-C ends the wait, not the job.
    """
    from rxsql.client.waiting import wait_for
    from rxsql.store.jobs import get_job

    found = store_with(store, job_ids[0])
    for job_id in job_ids:
        get_job(found, job_id)  # a wrong id is told before the first wait
    codes: list[Exit] = []
    for job_id in job_ids:
        with display.warnings_as_notes():
            wait_for(found, job_id)
        job = get_job(found, job_id)
        codes.append(exit_of(job.status))
        _print_end(job)
    raise typer.Exit(next((code for code in codes if code), Exit.OK))


def _print_end(job: "Job") -> None:
    from rich.text import Text

    parts = [Text(job.job_id), display.status_text(job.status), progress_of(job)]
    if took(job):
        parts.append(Text(took(job)))
    display.console().print(Text("  ").join(parts), soft_wrap=True)
    if job.error and job.status is RxRemoteJobStatus.FAILED:
        display.note(job.error)
