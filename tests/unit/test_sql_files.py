"""The SQL files: readable, split as they should be, equal to the tables in Python, and fast on a large backlog."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from rxsql.store import sqlfiles
from rxsql.store.tables import SCHEMA_VERSION, metadata

DIALECTS = sorted(path.name for path in sqlfiles.sql_root().iterdir() if path.is_dir())
QUERIES = sorted(sqlfiles.sql_root().glob("*/queries/*.sql"))
SCRIPTS = sorted(sqlfiles.sql_root().glob("*/*.sql"))


def _id(path: Path) -> str:
    return str(path.relative_to(sqlfiles.sql_root()))


# ---------------------------------------------------------------------------------------------------- the files


@pytest.mark.parametrize("path", [*QUERIES, *SCRIPTS], ids=_id)
def test_a_file_begins_with_what_it_does(path: Path) -> None:
    """Each SQL file's first line is a comment, and its first sentence has an end."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = []
    for line in lines:
        if not line.startswith("--"):
            break
        comment.append(line.removeprefix("--").strip())
    assert len(comment[0].split()) >= 3, f"{path} does not say what it does"
    assert re.search(r"[.:](\s|$)", " ".join(comment)), f"the comment of {path} is no sentence"


@pytest.mark.parametrize("path", QUERIES, ids=_id)
def test_a_query_returning_rows_names_them(path: Path) -> None:
    """A query with RETURNING says in its comment what it returns."""
    text = path.read_text(encoding="utf-8")
    assert ("RETURNING" not in text) or re.search(r"^-- Returns: \S", text, re.MULTILINE)


@pytest.mark.parametrize("path", QUERIES, ids=_id)
def test_a_query_is_one_statement(path: Path) -> None:
    """A query file holds one statement and what it declares, without comment lines and without its last semicolon."""
    statement = sqlfiles.query(path.parent.parent.name, path.stem)
    assert statement
    bare = [line for line in statement.splitlines() if not line.startswith("DECLARE @")]
    assert ";" not in "".join(bare)
    assert not [line for line in statement.splitlines() if line.lstrip().startswith("--")]


def test_statements_are_split_at_the_semicolons_that_end_lines() -> None:
    """A semicolon inside a line does not split; comment lines and empty parts are dropped."""
    text = "-- first; second\nCREATE TABLE a (\n    b TEXT DEFAULT 'x;y'\n);\n\n-- only this;\n;\nDROP TABLE a;  \n"
    assert sqlfiles.statements(text) == ["CREATE TABLE a (\n    b TEXT DEFAULT 'x;y'\n)", "DROP TABLE a"]


def test_a_script_with_go_is_split_into_batches() -> None:
    """Lines that are just GO end batches, and semicolons do not; a word that begins with GO is no such line."""
    text = "SET NOCOUNT ON;\nSELECT 1;\nGO\n-- GO\nGOTO there;\nGO  \n"
    assert sqlfiles.statements(text) == ["SET NOCOUNT ON;\nSELECT 1;", "GOTO there;"]


def test_a_block_is_one_statement() -> None:
    """What stands between $$ and $$ is not split."""
    text = "DO $$\nBEGIN\n    GRANT a TO b;\nEND;\n$$;\nDROP TABLE a;\n"
    assert sqlfiles.statements(text) == ["DO $$\nBEGIN\n    GRANT a TO b;\nEND;\n$$", "DROP TABLE a"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_script_loses_nothing_when_it_is_split(dialect: str) -> None:
    """The split statements of a dialect's script are its CREATE, ALTER TABLE, DROP, INSERT and DO ones, one each; or its batches."""
    text = sqlfiles.script(dialect)
    statements = sqlfiles.statements(text)
    if "\nGO\n" in text:
        assert len(statements) == text.count("\nGO\n") + text.endswith("\nGO")
        assert "".join(statements).count("CREATE TABLE") == text.count("CREATE TABLE")
        return
    starts = re.findall(r"^(?:(?:CREATE|DROP|INSERT) \w+|ALTER TABLE|DO \$\$$)", text, re.MULTILINE)
    assert [" ".join(statement.split()[:2]) for statement in statements] == starts
    assert len(starts) >= 10


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_script_writes_down_the_version_of_its_tables(dialect: str) -> None:
    """Whoever runs the script by hand has what `rxsql db init` makes, its version included."""
    (version,) = re.findall(
        r"INSERT[^;]*schema_version \(version\) VALUES \((\d+)\)", sqlfiles.script(dialect)
    )
    assert int(version) == SCHEMA_VERSION


# ---------------------------------------------------------------------------- schema.sql and tables.py are equal


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    """A database made by the scripts that a DBA runs."""
    engine = sa.create_engine(f"sqlite:///{tmp_path_factory.mktemp('installed') / 'scripts.db'}")
    with engine.begin() as connection:
        for statement in sqlfiles.statements(sqlfiles.script("sqlite")):
            connection.exec_driver_sql(statement)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def created(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    """A database made from the tables in Python."""
    engine = sa.create_engine(f"sqlite:///{tmp_path_factory.mktemp('created') / 'tables.db'}")
    metadata.create_all(engine)
    yield engine
    engine.dispose()


def _affinity(declared: str) -> str:
    """Return what SQLite makes of a declared type (section 3.1 of its document on data types)."""
    for part, affinity in (
        ("INT", "integer"),
        ("CHAR", "text"),
        ("CLOB", "text"),
        ("TEXT", "text"),
        ("BLOB", "blob"),
    ):
        if part in declared.upper():
            return affinity
    return "real" if re.search("REAL|FLOA|DOUB", declared.upper()) else "numeric"


def _default(text: str | None) -> str | None:
    return None if text is None else re.sub(r"\s+", "", text).strip("()").strip("'")


def _one_space(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _columns(engine: sa.Engine, table: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(f"PRAGMA table_info({table})").all()
    return [
        (name, _affinity(kind), bool(required), _default(default))
        for _, name, kind, required, default, _ in rows
    ]


def _constraints(engine: sa.Engine, table: str) -> dict[str, Any]:
    inspector = sa.inspect(engine)
    primary = inspector.get_pk_constraint(table)
    return {
        "primary key": (primary["name"], primary["constrained_columns"]),
        "unique": sorted((c["name"], c["column_names"]) for c in inspector.get_unique_constraints(table)),
        "check": sorted(
            (c["name"], _one_space(c["sqltext"])) for c in inspector.get_check_constraints(table)
        ),
        "foreign keys": inspector.get_foreign_keys(table),
    }


def _indexes(engine: sa.Engine, table: str) -> list[tuple[Any, ...]]:
    found = sa.inspect(engine).get_indexes(table)
    return sorted(
        (index["name"], index["column_names"], index["unique"], _one_space(str(_where(index))))
        for index in found
    )


def _where(index: Any) -> Any:
    return index.get("dialect_options", {}).get("sqlite_where", "")


def _without_rowid(engine: sa.Engine, table: str) -> bool:
    with engine.connect() as connection:
        text = connection.exec_driver_sql(
            "SELECT sql FROM sqlite_master WHERE name = ?", (table,)
        ).scalar_one()
    return bool(re.search(r"\)\s*WITHOUT ROWID\s*$", text))


def test_both_make_the_same_tables(installed: sa.Engine, created: sa.Engine) -> None:
    """schema.sql and tables.py have the same tables."""
    names = set(sa.inspect(installed).get_table_names())
    assert names == set(sa.inspect(created).get_table_names())
    assert len(names) >= 9


@pytest.mark.parametrize("table", sorted(metadata.tables))
def test_both_make_the_same_columns(installed: sa.Engine, created: sa.Engine, table: str) -> None:
    """Names, order, types as SQLite sees them, nullability and defaults of the columns are equal."""
    assert _columns(installed, table) == _columns(created, table)
    assert _columns(installed, table)


@pytest.mark.parametrize("table", sorted(metadata.tables))
def test_both_make_the_same_constraints(installed: sa.Engine, created: sa.Engine, table: str) -> None:
    """Primary keys, unique and check constraints are equal, with their names; so is WITHOUT ROWID."""
    assert _constraints(installed, table) == _constraints(created, table)
    assert _without_rowid(installed, table) == _without_rowid(created, table)


@pytest.mark.parametrize("table", sorted(metadata.tables))
def test_both_make_the_same_indexes(installed: sa.Engine, created: sa.Engine, table: str) -> None:
    """Indexes are equal in name, columns, order, uniqueness and condition."""
    assert _indexes(installed, table) == _indexes(created, table)


def test_each_primary_key_is_found_by_the_comparison(installed: sa.Engine) -> None:
    """The comparison sees the constraints: no table is without a named primary key."""
    for table in metadata.tables:
        name, columns = _constraints(installed, table)["primary key"]
        assert name == f"pk_{table}"
        assert columns


# -------------------------------------------------------------------------------------- plans on a large backlog

JOBS, TASKS = 50, 2000
PARAMETERS: dict[str, Any] = {
    "worker_key": 1,
    "job_key": 1,
    "limit": 100,
    "python": "3.11",
    "ends": "[[1, 0, 1, 0, 0.1, null]]",
    "tasks": "[[1, 0, 1, 0]]",
    "status": "failed",
    "error": None,
}
ON_TASKS = (
    "claim_tasks",
    "end_tasks",
    "open_jobs",
    "release_tasks",
    "own_tasks",
    "finish_job",
    "end_open_tasks",
    "reap_tasks",
)


@pytest.fixture(scope="module")
def backlog() -> Iterator[sqlite3.Connection]:
    """A database with 50 open jobs of 2,000 queued tasks each, and no statistics of them."""
    connection = sqlite3.connect(":memory:")
    connection.executescript(sqlfiles.script("sqlite"))
    for job_key in range(1, JOBS + 1):
        _add_job(connection, job_key, TASKS)
    connection.commit()
    yield connection
    connection.close()


def _add_job(connection: sqlite3.Connection, job_key: int, task_count: int) -> None:
    given = {
        "job_key": job_key,
        "job_id": f"job-{job_key}",
        "name": "f",
        "run_count": task_count,
        "num_tasks": 1,
    }
    columns = connection.execute("PRAGMA table_info(jobs)").fetchall()
    required = [name for _, name, _, not_null, default, _ in columns if not_null and default is None]
    row = {name: given.get(name, PARAMETERS.get(name, "0")) for name in required}
    marks = ", ".join(f":{name}" for name in row)
    connection.execute(f"INSERT INTO jobs ({', '.join(row)}) VALUES ({marks})", row)
    rows = ((job_key, task, task, 1) for task in range(task_count))
    connection.executemany(
        "INSERT INTO task_rows (job_key, task, first_run, run_count) VALUES (?, ?, ?, ?)", rows
    )


def _plan(connection: sqlite3.Connection, name: str) -> list[str]:
    return [
        row[3]
        for row in connection.execute(f"EXPLAIN QUERY PLAN {sqlfiles.query('sqlite', name)}", PARAMETERS)
    ]


def _names_of_tasks(name: str) -> set[str]:
    """Return the table's name and the aliases under which a query reads it; plans show those."""
    aliases = re.findall(r"\btask_rows AS (\w+)", sqlfiles.query("sqlite", name))
    return {"task_rows", *aliases}


@pytest.mark.parametrize("name", ON_TASKS)
def test_tasks_are_found_by_key_or_index(backlog: sqlite3.Connection, name: str) -> None:
    """The worker's statements search task_rows by its key or index; none reads it from end to end."""
    plan = _plan(backlog, name)
    names = "|".join(_names_of_tasks(name))
    assert [
        step
        for step in plan
        if re.match(rf"SEARCH ({names}) USING (PRIMARY KEY|(COVERING )?INDEX \w+) \(job_key=\?", step)
    ]
    assert [step for step in plan if re.match(rf"SCAN ({names})\b", step)] == []


@pytest.mark.parametrize("name", [name for name in ON_TASKS if name != "open_jobs"])
def test_tasks_are_not_sorted(backlog: sqlite3.Connection, name: str) -> None:
    """The index has the order of the claim: no statement on tasks sorts in a temporary b-tree."""
    assert [step for step in _plan(backlog, name) if "TEMP B-TREE" in step] == []


def test_the_look_for_work_sorts_only_jobs(backlog: sqlite3.Connection) -> None:
    """open_jobs sorts its rows, one an open job, and asks for tasks through a covering index."""
    plan = _plan(backlog, "open_jobs")
    assert [step for step in plan if "TEMP B-TREE" in step] == ["USE TEMP B-TREE FOR ORDER BY"]
    on_tasks = [step for step in plan if "task_rows" in step]
    assert on_tasks
    assert all(step.startswith("SEARCH task_rows USING COVERING INDEX") for step in on_tasks)


def _steps(name: str, task_count: int) -> int:
    """Return how many steps of SQLite's machine a statement takes on a job that is nine tenths done; no clock."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    connection = sqlite3.connect(":memory:")
    connection.executescript(sqlfiles.script("sqlite"))
    _add_job(connection, 1, task_count)
    connection.execute("UPDATE task_rows SET status = 'finished' WHERE task < ?", (task_count * 9 // 10,))
    connection.set_progress_handler(step, 1)
    connection.execute(sqlfiles.query("sqlite", name), PARAMETERS).fetchall()
    connection.close()
    return count


@pytest.mark.parametrize(
    "name", ["claim_tasks", "end_tasks", "open_jobs", "own_tasks", "release_tasks", "finish_job"]
)
def test_the_cost_does_not_grow_with_the_job(name: str) -> None:
    """What is executed again and again while a job runs takes as many steps on a job ten times as large."""
    assert 0 < _steps(name, 20_000) <= 1.1 * _steps(name, 2_000)
