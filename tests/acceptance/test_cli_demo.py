"""`rxsql demo`, from its start to the SQL at its end."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import stop_workers
from test_cli import ID, Ended, Terminal, rxsql

TERMINAL_CODES = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Ended]]:
    """The demo, run once in a pipe, with the store it made."""
    path = tmp_path_factory.mktemp("demo") / "demo.db"
    yield path, rxsql("demo", "--store", path)
    stop_workers(path)


def test_hello_from_sql(demo: tuple[Path, Ended]) -> None:
    """It submits the documented example, and shows job, statuses, console line and result in the order they come."""
    path, done = demo
    assert (done.code, done.stderr) == (0, "")
    assert str(path) in done.stdout.splitlines()[0]
    part = done.stdout.split("\n2  ")[0]
    told = re.findall(r"^  (job|status|console|result) +(?:[\d.]+ s  )?(.*)$", part, re.M)
    told = [pair for pair in told if pair not in (("status", "queued"), ("status", "running"))]
    assert re.search(r"^  status +[\d.]+ s  (queued|running)$", part, re.M)
    assert re.fullmatch(ID, told[0][1])
    assert told[1:] == [
        ("console", "Hello from SQL server"),
        ("status", "finished"),
        ("result", "'We just ran Python code asynchronously on a SQL server!'"),
    ]


def test_lines_come_live(demo: tuple[Path, Ended]) -> None:
    """The console line is shown while the job still runs: seconds before its end."""
    _, done = demo
    (line,) = re.findall(r"^  console +([\d.]+) s", done.stdout, re.M)
    (end,) = re.findall(r"^  status +([\d.]+) s  finished", done.stdout, re.M)
    assert float(line) + 2 < float(end)


def test_twenty_runs(demo: tuple[Path, Ended]) -> None:
    """Of twenty runs one fails, and is named with its error; in a pipe there is no bar and no escape code."""
    part = demo[1].stdout.split("\n2  ")[1].split("\n3  ")[0]
    assert "finished, 20 of 20 runs, 1 failed" in part
    assert "19 estimates, their mean is 3.14" in part
    assert "run 13" in part
    assert "ValueError('13 brings bad luck')" in part
    assert "\x1b" not in demo[1].stdout
    assert "━" not in demo[1].stdout


def test_sql_at_the_end(demo: tuple[Path, Ended]) -> None:
    """The SQL it prints works as it stands with the sqlite3 shell, and gives the output that stands below it."""
    if shutil.which("sqlite3") is None:
        pytest.skip("needs the sqlite3 shell")
    blocks = demo[1].stdout.split("\n3  ")[1].split("\n\n")[1:-1]
    assert len(blocks) == 3
    for block in blocks:
        head, shown = re.fullmatch(r"(  \$ sqlite3.*?\")\n(  .*)", block, re.S).groups()
        done = subprocess.run(["bash", "-c", head.strip()[2:]], capture_output=True, text=True, check=True)
        assert [line.rstrip() for line in done.stdout.splitlines()] == [
            line[2:].rstrip() for line in shown.splitlines()
        ]
    assert "Hello from SQL server" in blocks[1]
    assert "ValueError: 13 brings bad luck" in blocks[2]


def test_its_jobs_are_there_afterwards(demo: tuple[Path, Ended]) -> None:
    """The store stays: its jobs are listed, and their results can be had again."""
    path, done = demo
    hello, many = re.findall(rf"^  job +({ID})$", done.stdout, re.M)
    assert rxsql("results", hello, "--store", path).code == 0
    assert rxsql("results", many, "--store", path, "--run", "13").code == 1
    assert f"rxsql jobs --store {path}" in done.stdout


def test_help_says_where_its_store_is() -> None:
    """Its help promises the new folder, and not the store of other commands."""
    shown = " ".join(rxsql("demo", "--help").stdout.split())
    assert "Default: an SQLite file in a new temporary folder." in shown
    assert "RXSQL_STORE" not in shown


def test_in_a_terminal_and_without_a_store(tmp_path: Path) -> None:
    """In a terminal it shows a bar; it makes its store in a new folder by itself, whatever RXSQL_STORE says."""
    terminal = Terminal("demo", TMPDIR=str(tmp_path), RXSQL_STORE=str(tmp_path / "mine.db"))
    try:
        shown = TERMINAL_CODES.sub("", terminal.ended())
        (made,) = tmp_path.glob("rxsql-demo-*/demo.db")
        assert terminal.process.returncode == 0
        assert "━" in shown
        assert "20/20 runs" in shown
        assert not (tmp_path / "mine.db").exists()
    finally:
        for path in tmp_path.glob("rxsql-demo-*/demo.db"):
            stop_workers(path)
