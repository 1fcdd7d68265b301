"""`rxsql demo`: two real jobs on a store of their own, and the SQL that shows the same."""

# ruff: noqa: PLC0415 - the store's libraries wait until a command runs, so that --help is quick
import inspect
import os
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rxsql.cli import display, examples
from rxsql.cli.options import NewStoreName, epilog, use_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.text import Text

    from rxsql import RxRemoteJob
    from rxsql.models import RxRemoteJobStatus
    from rxsql.reports import ConsoleChunk
    from rxsql.store.engine import Store

app = typer.Typer(rich_markup_mode=None)
CONNECTION = "Driver=SQL Server;Server=.;Database=RevoTestDb;Trusted_Connection=True;"
_IDLE_SECONDS = "20"  # a demo's worker has nothing to stay for


@app.command(
    rich_help_panel="Start here",
    epilog=epilog("rxsql demo", "rxsql demo --store demo.db", "rxsql demo > demo.txt"),
)
def demo(store: NewStoreName = None) -> None:
    """See it work: two jobs, and the same in plain SQL.

    The first job says hello; the second has twenty runs, of which one fails. They go to an SQLite store in
    a new temporary folder, or where --store says; it stays, so that you can look around.
    """
    from rxsql.store.engine import open_store

    os.environ.setdefault("RXSQL_IDLE_EXIT_SECONDS", _IDLE_SECONDS)
    opened = open_store(use_store(store or str(Path(tempfile.mkdtemp(prefix="rxsql-demo-")) / "demo.db")))
    out = display.console()
    out.print(f"The jobs of this demo are rows in {opened.label}\n", soft_wrap=True)
    hello = _say_hello(out, opened)
    many = _run_many(out, opened)
    if opened.dialect.embedded:
        _show_sql(out, opened, hello, many)
    out.print(f"Look around: rxsql jobs --store {opened.label}", soft_wrap=True)


# ------------------------------------------------------------------------------------------------------ the jobs


def _say_hello(out: "Console", store: "Store") -> "RxRemoteJob":
    from rxsql import RxInSqlServer, rx_exec, rx_get_job_results

    _title(out, "1", "A job that says hello, submitted with wait=False")
    _code(out, examples.hello_from_sql)
    compute_context = RxInSqlServer(
        CONNECTION, num_tasks=1, console_output=True, wait=False, auto_cleanup=False
    )
    job: RxRemoteJob = rx_exec(function=examples.hello_from_sql, compute_context=compute_context)
    _follow(out, store, job)
    results: Any = rx_get_job_results(job, console_output=False)
    _line(out, "result", repr(results[0]))
    out.print()
    return job


def _follow(out: "Console", store: "Store", job: "RxRemoteJob") -> None:
    """Show a job's statuses and lines with the seconds since its submission."""
    from rxsql.cli.follow import follow

    began = time.monotonic()

    def on_status(status: "RxRemoteJobStatus") -> None:
        _line(out, "status", display.status_text(status), time.monotonic() - began)

    def on_text(text: str, _chunk: "ConsoleChunk") -> None:
        for line in text.splitlines():
            _line(out, "console", line, time.monotonic() - began)

    _line(out, "job", job.job_id)
    follow(store, job.job_id, on_text=on_text, on_status=on_status)


def _run_many(out: "Console", store: "Store") -> "RxRemoteJob":
    from rxsql import RxInSqlServer, rx_exec, rx_get_job_results, rx_wait_for_job
    from rxsql.cli.jobs import progress_of
    from rxsql.errors import FailedRunsWarning
    from rxsql.store.jobs import get_job

    _title(out, "2", "Twenty runs, four at once; run 13 fails, the others go on")
    _code(out, examples.estimate_pi)
    compute_context = RxInSqlServer(CONNECTION, num_tasks=4, wait=False, auto_cleanup=False)
    job: RxRemoteJob = rx_exec(examples.estimate_pi, seed=list(range(20)), compute_context=compute_context)
    _line(out, "job", job.job_id)
    rx_wait_for_job(job)
    ended = get_job(store, job.job_id)
    _line(out, "status", display.status_text(ended.status).append(", ", "").append_text(progress_of(ended)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FailedRunsWarning)  # it is shown below
        results: Any = rx_get_job_results(job)
    values = [value for value in results if isinstance(value, float)]
    _line(out, "result", f"{len(values)} estimates, their mean is {sum(values) / len(values):.4f}")
    for run, value in enumerate(results):
        if isinstance(value, Exception):
            _line(out, f"run {run}", display.error_text(repr(value)))
    out.print()
    return job


# ------------------------------------------------------------------------------------------------------- the SQL


def _show_sql(out: "Console", store: "Store", hello: "RxRemoteJob", many: "RxRemoteJob") -> None:
    _title(out, "3", "The same, in plain SQL")
    statements = (
        "SELECT job_id, name, status, percent, failed_runs, run_count\nFROM job_progress",
        f"SELECT run, stream, line, text, written_at\nFROM console WHERE job_id = '{hello.job_id}'",
        f"SELECT task, status, attempt, error\nFROM tasks WHERE job_id = '{many.job_id}' AND status = 'failed'",
    )
    for statement in statements:
        indented = statement.replace("\n", "\n     ")
        out.print(
            f'  $ sqlite3 -header -column {store.label} \\\n    "{indented}"', style="bold", soft_wrap=True
        )
        for line in columns(*_fetch(store, statement)):
            out.print(f"  {line}", soft_wrap=True)
        out.print()


def _fetch(store: "Store", statement: str) -> tuple[list[str], list[list[str]]]:
    with store.read() as connection:
        found = connection.exec_driver_sql(statement)
        return list(found.keys()), [["" if cell is None else str(cell) for cell in row] for row in found]


def columns(names: list[str], rows: list[list[str]]) -> list[str]:
    """Return a table's lines as `sqlite3 -header -column` prints them."""
    widths = [max(map(len, cells)) for cells in zip(names, *rows, strict=True)]
    rule = ["-" * width for width in widths]
    return ["  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)) for row in (names, rule, *rows)]


# ----------------------------------------------------------------------------------------------------- the looks


def _title(out: "Console", number: str, text: str) -> None:
    out.print(f"{number}  {text}\n", style="bold", soft_wrap=True)


def _code(out: "Console", function: "Callable[..., Any]") -> None:
    for line in inspect.getsource(function).splitlines():
        out.print(f"     {line}".rstrip(), style="cyan", soft_wrap=True)
    out.print()


def _line(out: "Console", label: str, value: "str | Text", seconds: float | None = None) -> None:
    from rich.text import Text

    when = "" if seconds is None else f"{seconds:.1f} s"
    out.print(Text.assemble((f"  {label:<8}", "dim"), (f"{when:>6}  ", "dim"), value), soft_wrap=True)
