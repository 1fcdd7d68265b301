"""`rxsql bench`: how quick this machine and its store are, beside the peers that are installed."""

# ruff: noqa: PLC0415 - the store's libraries wait until a command runs, so that --help is quick
import json
import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rxsql.cli import display
from rxsql.cli.options import NewStoreName, epilog

if TYPE_CHECKING:
    from rxsql.bench.report import Row
    from rxsql.bench.rounds import Plan

app = typer.Typer(rich_markup_mode=None)
_PEERS_HELP = "Also loky, Dask, Ray, Huey, Celery and Procrastinate, where they are installed: the same work."
_COLUMNS = ("FIGURE", "VALUE", "UNIT", "SPREAD", "RATIO", "MUST", "AIM", "MARK", "WHAT IT IS")
_MARKS = {"aim": "green", "must": "yellow", "missed": "red"}
_ROUNDS = 3


@app.command(
    rich_help_panel="Start here",
    epilog=epilog(
        "rxsql bench                                   all figures, some minutes",
        "rxsql bench throughput latency --peers        two of them, beside the peers",
        "rxsql bench --store postgresql://me@host/db   on a server",
        "rxsql bench --quick                           seconds: does it work at all",
    ),
)
def bench(
    figures: Annotated[
        list[str] | None,
        typer.Argument(metavar="FIGURE", help="Figures to measure. Default: all.", show_default=False),
    ] = None,
    store: NewStoreName = None,
    peers: Annotated[bool, typer.Option("--peers", help=_PEERS_HELP)] = False,
    rounds: Annotated[
        int, typer.Option("--rounds", metavar="N", min=1, help="How often; the table has the medians.")
    ] = _ROUNDS,
    children: Annotated[
        int | None,
        typer.Option(
            "--children",
            metavar="N",
            min=1,
            help="Processes to use. Default: one a processor.",
            show_default=False,
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Small amounts, one round; no figures to go by.")
    ] = False,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write everything as JSON too.", show_default=False),
    ] = None,
) -> None:
    """Measure rxsql on this machine and store, and its peers beside it.

    Each figure has what it must be, and what it aims at; MARK says which it keeps. RATIO is to the best peer of the
    same run. Figures: throughput, latency, cpu-share, big-values, console-flood, console-delay, submit, table,
    backlog, memory, idle, cold-start, import, statements.
    """
    from rxsql.bench.report import as_json, rows, warning
    from rxsql.bench.rounds import measure

    chosen = _groups(figures or [])
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as by Ctrl-C: what it started ends with it
    with tempfile.TemporaryDirectory(prefix="rxsql-bench-") as folder:
        name = store or str(Path(folder) / "bench.db")
        plan = _plan(name, chosen, children=children, rounds=1 if quick else rounds, peers=peers, quick=quick)
        measured = measure(plan)
        plan.store.close()
    _print(rows(plan, measured))
    for name, reason in measured.left_out.items():
        display.note(f"{name} was left out: {reason}")
    if told := warning(measured):
        display.note(told)
    if json_file is not None:
        json_file.write_text(json.dumps(as_json(plan, measured), indent=2) + "\n", encoding="utf-8")


def _groups(names: list[str]) -> frozenset[str]:
    from rxsql.bench.figures import GROUPS

    unknown = [name for name in names if name not in GROUPS]
    if unknown:
        raise typer.BadParameter(f"there is no figure {unknown[0]!r}; the figures are: {', '.join(GROUPS)}.")
    return frozenset(names or GROUPS)


def _plan(
    store: str, groups: frozenset[str], *, children: int | None, rounds: int, peers: bool, quick: bool
) -> "Plan":
    from rxsql.bench.rounds import Plan
    from rxsql.bench.sizes import QUICK, Sizes
    from rxsql.store.engine import open_store

    return Plan(
        store=open_store(store),
        groups=groups,
        sizes=QUICK if quick else Sizes(),
        children=children or os.cpu_count() or 1,
        rounds=rounds,
        peers=peers,
        notice=display.note,
    )


def _print(lines: "list[Row]") -> None:
    from rich.text import Text

    table = display.Columns(*_COLUMNS, right=("VALUE",))
    for line in lines:
        dim = "dim" if line.is_peers else ""
        cells: list[str | Text] = [Text(line.figure, dim or "bold"), Text(line.value, dim)]
        cells += [Text(text, "dim") for text in (line.unit, line.spread)]
        cells += [line.ratio, *(Text(text, "dim") for text in (line.must, line.aim))]
        table.add(*cells, Text(line.mark, _MARKS.get(line.mark, "")), Text(line.says, "dim"))
    table.print()
