"""`rxsql results`, `logs`: what jobs returned and wrote."""

# ruff: noqa: PLC0415 - the store's libraries wait until a command runs, so that --help is quick
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rxsql.cli import display
from rxsql.cli.exits import Exit, exit_of
from rxsql.cli.options import JOB_CODES, USUAL_CODES, AsJson, JobId, StoreName, epilog, store_with
from rxsql.kinds import JobKind
from rxsql.models import RxRemoteJobStatus
from rxsql.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rxsql.client.collecting import Reader
    from rxsql.models import Job
    from rxsql.reports import ConsoleChunk, Outcome
    from rxsql.store.engine import Store

app = typer.Typer(rich_markup_mode=None)
_PANEL = "Jobs"
OneRun = Annotated[
    int | None,
    typer.Option("--run", min=0, metavar="N", help="Only this run, counted from 0.", show_default=False),
]


# ---------------------------------------------------------------------------------------------------- rxsql logs


@app.command(
    rich_help_panel=_PANEL,
    epilog=epilog(
        "rxsql logs 20260131-093000-5f2c9a1e",
        "rxsql logs -f ID",
        "rxsql logs ID --run 13 2> errors.txt",
        codes=USUAL_CODES | {0: "shown", 4: JOB_CODES[4]},
        also="With -f as the job ended: 0 finished, 1 failed, 3 canceled.",
    ),
)
def logs(
    job_id: JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    run: OneRun = None,
    store: StoreName = None,
) -> None:
    """Show what a job's runs have written.

    Lines come in the order they were stored, those of stdout on stdout and those of stderr on stderr.
    """
    from rxsql.cli.follow import follow as follow_job
    from rxsql.client.waiting import ConsoleTail
    from rxsql.store.jobs import get_job

    found = store_with(store, job_id)
    job = get_job(found, job_id)
    _check_run(job, run)
    written: list[int] = []

    def write(text: str, chunk: "ConsoleChunk") -> None:
        if run is None or chunk.run == run:
            stream = sys.stdout if chunk.stream == "stdout" else sys.stderr
            stream.write(text)
            stream.flush()
            written.append(len(text))

    if follow:
        status = follow_job(found, job_id, on_text=write)
    else:
        ConsoleTail(found, job_id).show(write)
        status = job.status
    gone = status in (RxRemoteJobStatus.UNDETERMINED, RxRemoteJobStatus.CANCELED)
    if not written:
        display.note(
            f"The output of job {job_id} was removed." if gone else f"Job {job_id} has written nothing."
        )
    raise typer.Exit(exit_of(status) if follow or status is RxRemoteJobStatus.UNDETERMINED else Exit.OK)


def _check_run(job: "Job", run: int | None) -> None:
    if run is not None and run >= job.run_count:
        raise typer.BadParameter(
            f"Job {job.job_id} has {display.plural(job.run_count, 'run')}, counted from 0.",
            param_hint="--run",
        )


# ------------------------------------------------------------------------------------------------- rxsql results


@dataclass(frozen=True, slots=True)
class Result:
    """What a run ended with, as far as this process can show it."""

    run: int
    value: Any
    error: str | None
    traceback: str | None

    def as_json(self) -> dict[str, Any]:
        """Return it for JSON: `value` where JSON has such values, and in any case `repr`."""
        failed = self.error is not None
        return {
            "run": self.run,
            "value": None if failed else _jsonable(self.value),
            "repr": None if failed else _repr(self.value),
            "error": self.error,
            "traceback": self.traceback,
        }


@app.command(
    rich_help_panel=_PANEL,
    epilog=epilog(
        "rxsql results 20260131-093000-5f2c9a1e",
        "rxsql results ID --json | jq '.[].value'",
        "rxsql results ID --run 13",
        "rxsql results ID --cleanup > results.txt",
        codes=JOB_CODES | {0: "all runs returned a value", 1: "some failed, or an error"},
    ),
)
def results(
    job_id: JobId,
    run: OneRun = None,
    cleanup: Annotated[
        bool,
        typer.Option("--cleanup", help="Remove the job's results and output once all of them were shown."),
    ] = False,
    as_json: AsJson = False,
    store: StoreName = None,
) -> None:
    """Show what a job's runs returned.

    Values are shown on stdout, errors with their tracebacks on stderr. A look removes nothing, whatever
    auto_cleanup says. Results are unpickled, which runs code of those who may write to the store. As JSON,
    `value` is null where JSON has no such value, and `repr` always shows it.
    """
    from rxsql.store.jobs import get_job

    if cleanup and run is not None:
        raise typer.BadParameter(
            "It would remove results that were not shown; leave out --run.", param_hint="--cleanup"
        )
    found = store_with(store, job_id)
    job = get_job(found, job_id)
    _check_run(job, run)
    if job.status not in (RxRemoteJobStatus.FINISHED, RxRemoteJobStatus.FAILED):
        display.complain(_why_none(job))
        if as_json:
            display.print_json([])
        raise typer.Exit(exit_of(job.status))
    failed = _show(found, job, run, as_json=as_json)
    if cleanup:
        from rxsql.client.jobs import rx_cleanup_jobs

        sys.stdout.flush()
        rx_cleanup_jobs(job_id, force=True, verbose=False)
    raise typer.Exit(Exit.FAILED if failed else exit_of(job.status) if run is None else Exit.OK)


def _show(store: "Store", job: "Job", run: int | None, *, as_json: bool) -> int:
    """Show results; return how many of them are errors."""
    found = _fetch(store, job, run)
    count = failed = 0
    if as_json:
        listed = [result.as_json() for result in found]
        display.print_json(listed)
        count, failed = len(listed), sum(row["error"] is not None for row in listed)
    else:
        width = len(str(job.run_count - 1))
        for result in found:
            count += 1
            failed += result.error is not None
            _print(result, width)
    expected = job.run_count if run is None else 1
    if count < expected:
        runs = "run has" if expected - count == 1 else "runs have"
        display.complain(f"{expected - count} {runs} no result. {_why_missing(job)}")
    return failed


def _fetch(store: "Store", job: "Job", run: int | None) -> "Iterator[Result]":
    from rxsql.client.collecting import Reader, each_outcome
    from rxsql.store.outputs import fetch_outcomes

    if job.kind is not JobKind.FUNCTION and job.status is RxRemoteJobStatus.FINISHED:
        from rxsql.client.scripts import tables_of_runs

        for number, table in tables_of_runs(store, job).items():
            if run in (None, number):
                yield Result(number, table, None, None)
        return
    reader = Reader(job.job_id, Settings.from_environment())
    found = each_outcome(store, job)
    if run is not None:
        found = (o for o in fetch_outcomes(store, job.job_key, after=run - 1, limit=1) if o.run == run)
    for outcome in found:
        yield _load(reader, outcome)


def _load(reader: "Reader", outcome: "Outcome") -> Result:
    if outcome.error is not None:
        return Result(outcome.run, None, outcome.error, outcome.traceback)
    try:
        return Result(outcome.run, reader.value(outcome), None, None)
    except Exception as error:  # noqa: BLE001 - a result's own __setstate__ may raise anything
        return Result(outcome.run, None, f"{type(error).__name__}: {error}", None)


def _print(result: Result, width: int) -> None:
    from rich.text import Text

    number = f"{result.run:>{width}}"
    if result.error is None:
        first, *more = _repr(result.value, sys.stdout.isatty()).splitlines() or [""]
        out = display.console()
        out.print(Text.assemble((f"{number}  ", "dim"), first), soft_wrap=True)
    else:
        first, more = result.error.splitlines()[0], (result.traceback or "").splitlines()
        out = display.console(stderr=True)
        out.print(Text.assemble((f"{number}  ", "dim"), (first, "red")), soft_wrap=True)
    for line in more:
        out.print(Text(" " * (width + 2) + line, "dim" if result.error else ""), soft_wrap=True)


def _repr(value: Any, pretty: bool = False) -> str:
    from rich.pretty import pretty_repr

    try:
        return pretty_repr(value, max_width=max(40, display.console().width - 8)) if pretty else repr(value)
    except Exception as error:  # noqa: BLE001 - a user's __repr__ may raise anything
        return f"<a {type(value).__name__} whose repr raised {type(error).__name__}>"


def _jsonable(value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return None


def _why_missing(job: "Job") -> str:
    return f"The job failed: {job.error}" if job.error else "The store has lost them."


def _why_none(job: "Job") -> str:
    if job.status is RxRemoteJobStatus.CANCELED:
        return f"Job {job.job_id} was canceled; it has no results."
    if job.status is RxRemoteJobStatus.UNDETERMINED:
        return f"The results of job {job.job_id} were taken or removed before."
    return f"Job {job.job_id} is {job.status} and has no results yet. Wait for it: rxsql wait {job.job_id}"
