"""`rxsql cancel`, `cleanup`: ending jobs, and removing what they stored."""

# ruff: noqa: PLC0415 - the store's libraries wait until a command runs, so that --help is quick
import warnings
from typing import Annotated

import typer

from rxsql.cli import display
from rxsql.cli.exits import Exit
from rxsql.cli.options import JOB_CODES, USUAL_CODES, JobIds, StoreName, epilog, open_existing, store_with
from rxsql.models import RxRemoteJobStatus

app = typer.Typer(rich_markup_mode=None)
_PANEL = "Jobs"


@app.command(
    rich_help_panel=_PANEL,
    epilog=epilog(
        "rxsql cancel 20260131-093000-5f2c9a1e",
        "rxsql jobs --status running --json | jq -r '.[].job_id' | xargs rxsql cancel",
        codes=USUAL_CODES
        | {0: "canceled, now or before", 1: "it had ended already, or an error", 4: JOB_CODES[4]},
    ),
)
def cancel(job_ids: JobIds, store: StoreName = None) -> None:
    """Cancel jobs: end the code that runs, start nothing more.

    Their results and output are removed; a canceled job stays listed.
    """
    from rxsql.client.jobs import rx_cancel_job
    from rxsql.store.jobs import get_job

    found = store_with(store, job_ids[0])
    for job_id in job_ids:
        get_job(found, job_id)  # a wrong id is told before anything is canceled
    code = Exit.OK
    for job_id in job_ids:
        if rx_cancel_job(job_id):
            typer.echo(f"Canceled job {job_id}.")
            continue
        status = get_job(found, job_id).status
        if status is RxRemoteJobStatus.CANCELED:
            typer.echo(f"Job {job_id} was canceled before.")
        else:
            gone = status is RxRemoteJobStatus.UNDETERMINED
            display.complain(
                f"Job {job_id} was removed before." if gone else f"Job {job_id} has ended already: {status}."
            )
            code = Exit.MISSING if gone else Exit.FAILED
    raise typer.Exit(code)


@app.command(
    rich_help_panel=_PANEL,
    epilog=epilog(
        "rxsql cleanup 20260131-093000-5f2c9a1e",
        "rxsql cleanup --force ID1 ID2",
        "rxsql cleanup --all",
        codes=USUAL_CODES
        | {
            0: "removed; with --all: what could be",
            1: "a named job was kept, or an error",
            4: "there is no such job",
        },
    ),
)
def cleanup(
    job_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Ids of jobs, as `rxsql jobs` lists them.", show_default=False),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All jobs of the store.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also finished jobs, collected or not, and those that still run.")
    ] = False,
    store: StoreName = None,
) -> None:
    """Remove what jobs have stored: tasks, inputs, results, output.

    Without --force only failed and canceled jobs are removed: the results of finished ones may not have
    been collected.
    """
    if every == bool(job_ids):
        raise typer.BadParameter("Name the jobs, or give --all.", param_hint="ID")
    kept = _clean(job_ids, store, force=force) if job_ids else _clean_all(store, force=force)
    if kept and job_ids:
        raise typer.Exit(Exit.FAILED)


def _clean(job_ids: list[str], name: str | None, *, force: bool) -> int:
    """Clean the named jobs up; return how many were kept."""
    from rxsql.store.jobs import get_job

    found = store_with(name, job_ids[0])
    jobs = [get_job(found, job_id) for job_id in job_ids]  # a wrong id is told before anything is removed
    kept = [job for job in jobs if not _remove(job.job_id, force=force)]
    for job in kept:
        if job.status.is_final:
            way = f"rxsql results {job.job_id} --cleanup shows and removes them, --force just removes"
            display.complain(f"Job {job.job_id} was kept, as its results may not have been collected: {way}.")
        else:
            display.complain(
                f"Job {job.job_id} was kept, as it is {job.status}: --force ends and removes it."
            )
    return len(kept)


def _clean_all(name: str | None, *, force: bool) -> int:
    """Clean all jobs of a store up; return how many were kept."""
    from rxsql.store.jobs import list_jobs

    label, found = open_existing(name)
    jobs = list_jobs(found) if found else []
    jobs = [job for job in jobs if job.status is not RxRemoteJobStatus.UNDETERMINED]
    if not jobs:
        display.note(f"No jobs to remove in {label}.")
    kept = [job.job_id for job in jobs if not _remove(job.job_id, force=force)]
    if kept:
        display.note(
            f"Kept {display.plural(len(kept), 'job')} that finished or still run; --force removes them too."
        )
    return len(kept)


def _remove(job_id: str, *, force: bool) -> bool:
    """Remove one job by the client's rules; whether it was removed."""
    from rxsql.client.jobs import rx_cleanup_jobs
    from rxsql.errors import UncollectedResultsWarning

    with warnings.catch_warnings():
        warnings.simplefilter("error", UncollectedResultsWarning)
        try:
            rx_cleanup_jobs(job_id, force=force)
        except UncollectedResultsWarning:
            return False
    return True
