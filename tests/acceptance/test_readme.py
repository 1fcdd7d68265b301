"""The README is true: its commands, example, settings, tables and queries are those of this checkout."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_until

from rxsql import rx_cancel_job, rx_exec, rx_get_job_results, rx_set_compute_context, rx_wait_for_job
from rxsql.cli.app import make_command
from rxsql.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GATE = ROOT / ".ci" / "run"
RUN = "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/rxsql demo"
TEST = 'python3 -m venv .venv && .venv/bin/pip install -e ".[test]" && .venv/bin/pytest'


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def _table_after(text: str) -> list[list[str]]:
    """Return the rows, without the head, of the first table after a text."""
    after = README[README.index(text) :]
    lines = re.search(r"(?:^\|.*\n)+", after, re.MULTILINE).group().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def _names(text: str) -> list[str]:
    return [row[0].strip("`") for row in _table_after(text)]


# ---------------------------------------------------------------------------------------------- the two commands


def test_the_readme_opens_with_one_sentence_and_the_two_commands() -> None:
    """Title, one sentence, the command that runs, the command that tests: nothing else stands before them."""
    title, sentence, *_ = [line for line in README.splitlines() if line]
    assert title == "# rxsql"
    assert re.fullmatch(r"rxsql [^.]*\.", sentence)
    assert [block.strip() for block in _blocks("bash")[:2]] == [RUN, TEST]
    assert README.index(TEST) < README.index("```python")


def test_the_gate_executes_the_test_command() -> None:
    """`.ci/run` has the README's test command, word for word, as a command of its own."""
    lines = [line.strip() for line in GATE.read_text(encoding="utf-8").splitlines()]
    assert lines.count(TEST) == 1
    assert os.access(GATE, os.X_OK)


def test_the_gate_runs_every_check_after_the_tests() -> None:
    """`.ci/run` executes tests, lint, format, types, import rules and SQL lint, in this order."""
    text = GATE.read_text(encoding="utf-8")
    steps = re.findall(r'^run "[^"]+" (.+)$', text, re.MULTILINE)
    assert steps == [
        "tests",
        ".venv/bin/ruff check",
        ".venv/bin/ruff format --check",
        ".venv/bin/mypy",
        ".venv/bin/lint-imports",
        ".venv/bin/sqlfluff lint sql/sqlite --dialect sqlite",
        ".venv/bin/sqlfluff lint sql/postgresql --dialect postgres",
        ".venv/bin/sqlfluff lint sql/mssql --dialect tsql --templater placeholder",
    ]


def test_the_gate_stops_at_the_first_failure_and_names_it(tmp_path: Path) -> None:
    """Where the test command fails, `.ci/run` ends with an error, says which step it was, and runs nothing more."""
    (tmp_path / ".ci").mkdir()
    gate = shutil.copy(GATE, tmp_path / ".ci" / "run")
    (tmp_path / "python3").symlink_to("/bin/false")
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CI": "true"}
    ended = subprocess.run([gate], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == ".ci/run: FAILED in step: tests"
    assert "ruff" not in ended.stdout


def test_each_sentence_has_a_line_of_its_own() -> None:
    """The README's source has one sentence a line."""
    prose = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
    lines = [line for line in prose.splitlines() if line and not line.startswith(("|", "#", "- "))]
    assert [line for line in lines if re.search(r"[a-z)`][.!?] [A-Z]", line)] == []


# ------------------------------------------------------------------------------------------------------ example


def test_the_example_prints_what_the_readme_says(store_path: Path) -> None:
    """The 12 lines of the example run as a script on a store beside it, and print the block that follows them."""
    example = _blocks("python")[0]
    assert len(example.splitlines()) == 12
    assert 'RxInSqlServer("jobs.db"' in example
    folder = store_path.parent
    assert store_path.name == "jobs.db"
    (folder / "example.py").write_text(example, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "example.py"], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.stderr == ""
    assert ran.stdout == _blocks("text")[0]
    assert store_path.exists()


def test_the_calls_of_rx_exec_do_what_their_comments_say(context: Any) -> None:
    """Each line of the second Python block, in a waiting context, makes the calls that its comment names."""

    def f(**given: Any) -> str:
        return f"f({', '.join(f'{name}={given[name]}' for name in sorted(given))})"

    rx_set_compute_context(context())
    lines = [line.partition("#") for line in _blocks("python")[1].splitlines()]
    results = [eval(call, {"rx_exec": rx_exec, "f": f}) for call, _, _ in lines]
    assert results[0] == 10 * ["f(x=1)"]
    assert lines[0][2].strip() == "ten times f(x=1)"
    assert results[1:] == [re.findall(r"f\([^)]*\)", comment) for _, _, comment in lines[1:]]


# ----------------------------------------------------------------------------------------------------- settings


def test_the_settings_table_is_the_settings() -> None:
    """The README lists each setting under its variable, in order, with its default."""
    listed = [(row[0].strip("`"), row[1].strip("`")) for row in _table_after("## Settings")]
    shown = [
        (f"RXSQL_{field.name.upper()}", "none" if field.default == "" else f"{field.default:.10g}")
        for field in fields(Settings)
    ]
    assert listed == shown


def test_every_variable_in_the_readme_is_a_setting() -> None:
    """No RXSQL_ variable is named that nothing reads."""
    known = {f"RXSQL_{field.name.upper()}" for field in fields(Settings)} | {
        "RXSQL_TEST_MSSQL",
        "RXSQL_TEST_POSTGRESQL",
    }
    assert set(re.findall(r"\bRXSQL_[A-Z_]+\b", README)) == known


def test_the_signing_block_makes_keys_that_work(context: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """What the README says to type gives client and worker a key, and the job that they run is signed with it."""
    (block,) = [block for block in _blocks("bash") if "RXSQL_SIGNING_KEY_FILE" in block]
    ran = subprocess.run(
        ["bash", "-euc", f"{block}\nenv -0"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    exported = dict(entry.split("=", 1) for entry in ran.stdout.split("\0") if entry.startswith("RXSQL_"))
    assert exported["RXSQL_REQUIRE_SIGNATURE"] == "1"
    for name, value in exported.items():
        monkeypatch.setenv(name, value)
    where = context(auto_cleanup=False, job_id="signed")
    assert rx_exec(lambda x: x, x=[1, 2], compute_context=where) == [1, 2]
    (row,) = _query(tmp_path / "jobs.db", "SELECT signature FROM jobs WHERE job_id = 'signed'")
    assert row["signature"].startswith("k1:")


def test_the_public_names_are_listed() -> None:
    """The README lists every public name of rxsql, and no other."""
    import rxsql

    listed = [
        name for row in _table_after("additions are keyword-only") for name in re.findall(r"`(\w+)`", row[1])
    ]
    assert sorted(listed) == sorted(rxsql.__all__)


def test_the_statuses_are_listed() -> None:
    """The README's status table has the members of RxRemoteJobStatus, in order."""
    from rxsql import RxRemoteJobStatus

    assert _names("The statuses are an enum") == [str(status) for status in RxRemoteJobStatus]


def test_every_file_in_the_readme_exists() -> None:
    """Links and the folders of the house lead somewhere."""
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    house = re.findall(
        r"^ *([a-z_]+(?:\.py|/))(?= |$)", README[README.index("## How it is built") :], re.MULTILINE
    )
    places = {ROOT / name for name in links} | {ROOT / name for name in house if (ROOT / name).exists()}
    assert links
    assert all(place.exists() for place in places)
    for name in house:
        assert (ROOT / name).exists() or (ROOT / "rxsql" / name).exists(), name


# ------------------------------------------------------------------------------------------------- command line


def _commands() -> list[tuple[str, ...]]:
    shown = README[README.index("## Command line") :]
    found = {tuple(words.split()) for words in re.findall(r"`rxsql ((?:db )?[a-z]+)", README)}
    assert "`rxsql jobs`" in shown
    return sorted(found)


def test_every_command_in_the_readme_exists(capsys: pytest.CaptureFixture[str]) -> None:
    """Each command that the README names answers --help with examples, and the table has all commands."""
    commands = _commands()
    assert {words[0] for words in commands} == set(
        "jobs status logs wait results cancel cleanup worker workers db demo run bench publish published unpublish".split()
    )
    for words in commands:
        with pytest.raises(SystemExit) as ended:
            make_command()([*words, "--help"], prog_name="rxsql")
        said = capsys.readouterr().out
        assert ended.value.code == 0, f"rxsql {' '.join(words)}: {said}"
        assert "Examples" in said, f"rxsql {' '.join(words)} --help has no examples"
        row = [
            cells[1]
            for cells in _table_after("## Command line")
            if re.match(rf"`rxsql {' '.join(words)}\b", cells[0])
        ]
        for option in re.findall(r"`(-{1,2}[a-z]+)`", " ".join(row)):
            assert re.search(rf"(^|[\s,]){option}\b", said), f"rxsql {' '.join(words)} has no {option}"


def test_the_exit_codes_are_listed() -> None:
    """The README's table of exit codes has those that the command line uses."""
    from rxsql.cli.exits import Exit

    assert _names("| exit code | meaning |") == [str(int(code)) for code in sorted(Exit)]


# --------------------------------------------------------------------------------------------------- direct SQL


@dataclass
class Shown:
    """A store on which a job runs, one has failed runs, one was purged, one was canceled, one waits to be collected."""

    path: Path
    running: Any
    failing: Any
    purged: Any
    canceled: Any
    kept: Any


@pytest.fixture
def shown(context: Any, store_path: Path, tmp_path: Path) -> Iterator[Shown]:
    """Real jobs in every state, one of them running until the test has ended."""

    def fail_odd(number: int) -> int:
        if number % 2:
            raise ValueError(f"{number} is odd")
        return number

    def talk_until(gate: str) -> str:
        import sys as system
        import time as clock
        from pathlib import Path as File

        print("first")
        print("second", file=system.stderr)
        while not File(gate).exists():
            clock.sleep(0.01)
        return "done"

    gate = tmp_path / "gate"
    own = {"wait": False, "auto_cleanup": False}
    failing = rx_exec(fail_odd, number=[0, 1, 2, 3], compute_context=context(**own))
    rx_wait_for_job(failing)  # before the others: a query orders jobs by when they ended
    jobs = {
        "failing": failing,
        "purged": rx_exec(fail_odd, number=[0], compute_context=context(wait=False)),
        "kept": rx_exec(fail_odd, number=[0], compute_context=context(**own)),
        "canceled": rx_exec(talk_until, gate=str(gate), compute_context=context(**own)),
    }
    for name in ("purged", "kept"):
        rx_wait_for_job(jobs[name])
    rx_get_job_results(jobs["purged"])
    assert rx_cancel_job(jobs["canceled"])
    running = rx_exec(talk_until, gate=str(gate), compute_context=context(**own))
    wait_until(lambda: len(_query(store_path, "SELECT 1 FROM console WHERE job_id = ?", running.job_id)) == 2)
    yield Shown(store_path, running, **jobs)
    gate.touch()
    rx_wait_for_job(running)


def _query(path: Path, statement: str, *values: Any) -> list[dict[str, Any]]:
    """Run a statement as someone would who has sqlite3 and nothing else, and may only read."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute(statement, values)]
    finally:
        connection.close()


def test_the_queries_return_what_they_say(shown: Shown) -> None:
    """Each SQL block of the README, run on a store with real jobs, gives the rows that its sentence promises."""
    found = [_query(shown.path, block) for block in _blocks("sql")]
    unfinished, lines, failed, now, kept, slowest, work = found

    assert [(row["job_id"], row["status"], row["percent"]) for row in unfinished] == [
        (shown.running.job_id, "running", 0)
    ]

    assert sorted((row["stream"], row["text"]) for row in lines) == [
        ("stderr", "second"),
        ("stdout", "first"),
    ]
    assert {row["run"] for row in lines} == {0}

    assert {row["job_id"] for row in failed} == {shown.failing.job_id}
    assert sorted((row["task"], row["error"]) for row in failed) == [
        (1, "ValueError: 1 is odd"),
        (3, "ValueError: 3 is odd"),
    ]

    (row,) = now
    assert (row["job_id"], row["task"], row["attempt"]) == (shown.running.job_id, 0, 1)
    assert row["seconds"] >= 0
    os.kill(row["pid"], 0)

    assert [row["job_id"] for row in kept] == [shown.failing.job_id, shown.kept.job_id]

    assert {row["job_id"] for row in slowest} >= {shown.failing.job_id, shown.kept.job_id}
    assert [row["seconds"] for row in slowest] == sorted((row["seconds"] for row in slowest), reverse=True)

    assert sum(row["failed_runs"] for row in work) == 2
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:00", row["hour"]) for row in work)


def test_the_query_in_the_shell_block_runs(shown: Shown) -> None:
    """The README's one-line query for the shell lists every job, with the word for where it stands."""
    (command,) = [block for block in _blocks("bash") if block.startswith("sqlite3")]
    statement = re.search(r'"(.*)"', command).group(1)
    found = {row["job_id"]: row["status"] for row in _query(shown.path, statement)}
    assert found == {
        shown.running.job_id: "running",
        shown.failing.job_id: "finished",
        shown.purged.job_id: "finished",
        shown.canceled.job_id: "canceled",
        shown.kept.job_id: "finished",
    }
    if shutil.which("sqlite3"):
        ran = subprocess.run(["sqlite3", shown.path, statement], capture_output=True, text=True, check=True)
        assert len(ran.stdout.splitlines()) == len(found)


@pytest.mark.parametrize(
    "name", ["jobs", "tasks", "console", "crashes", "workers", "job_progress", "queue_depth"]
)
def test_the_documented_columns_are_the_columns(store_path: Path, context: Any, name: str) -> None:
    """Each table and view that the README documents has exactly the columns listed there, in their order."""
    from rxsql.store.engine import open_store

    open_store(f"sqlite:///{store_path}").close()
    listed = _names(f"`{name}` has one row")
    assert listed == [
        row["name"] for row in _query(store_path, f"SELECT name FROM pragma_table_info('{name}')")
    ]


def test_times_look_as_documented(shown: Shown) -> None:
    """Times are UTC text to the millisecond, and a purged job keeps its row."""
    (job,) = _query(shown.path, "SELECT * FROM jobs WHERE job_id = ?", shown.purged.job_id)
    times = [job["created_at"], job["started_at"], job["finished_at"], job["purged_at"]]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", text) for text in times)
    assert times == sorted(times)
    assert _query(shown.path, "SELECT 1 FROM tasks WHERE job_id = ?", shown.purged.job_id) == []
