"""The package as it is shipped: the wheel has all it needs, and works without the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rxsql.store import sqlfiles

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that pip builds of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(folder),
        str(ROOT),
    ]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (found,) = folder.glob("rxsql-*.whl")
    return found


def test_the_wheel_has_every_module_and_sql_file(wheel: Path) -> None:
    """The wheel has what the checkout has: all modules, py.typed, and the SQL files in the package."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "rxsql").rglob("*.py")}
    sql = {f"rxsql/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "sql").rglob("*.sql")}
    assert len(sql) >= 15
    assert modules | sql | {"rxsql/py.typed"} <= names


def test_the_wheel_has_nothing_else(wheel: Path) -> None:
    """Neither tests nor databases nor caches are shipped."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    strange = [
        name
        for name in names
        if not (name.endswith((".py", ".sql", "/py.typed")) and name.startswith("rxsql/"))
        and not re.match(r"rxsql-[^/]+\.dist-info/", name)
    ]
    assert strange == []


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    """Metadata: the version of the package, the Python it needs, the licence, the README, and the command."""
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        text = archive.read(metadata).decode()
        commands = archive.read(metadata.replace("METADATA", "entry_points.txt")).decode()
        licences = [name for name in archive.namelist() if name.endswith("LICENSE")]
    assert re.search(r"^Requires-Python: >=3\.11$", text, re.MULTILINE)
    assert "# rxsql" in text
    assert "rxsql = rxsql.cli:main" in commands
    assert licences


def test_the_wheel_runs_a_job_without_the_checkout(wheel: Path, store_path: Path, tmp_path: Path) -> None:
    """Installed into an empty folder, the package finds its own SQL files, starts a worker and runs a job."""
    place = tmp_path / "installed"
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(place),
        str(wheel),
    ]
    subprocess.run(command, check=True)
    script = tmp_path / "script.py"
    script.write_text(
        "import rxsql\n"
        "from rxsql.store.sqlfiles import sql_root\n"
        "context = rxsql.RxInSqlServer('jobs.db')\n"
        "print(rxsql.rx_exec(lambda: __import__('rxsql').__file__, compute_context=context)[0])\n"
        "print(rxsql.__file__)\n"
        "print(sql_root())\n",
        encoding="utf-8",
    )
    environment = {**os.environ, "PYTHONPATH": str(place)}
    ran = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    package = place / "rxsql"
    assert ran.stdout.splitlines() == [
        str(package / "__init__.py"),
        str(package / "__init__.py"),
        str(package / "sql"),
    ]
    assert store_path.exists()


def test_the_sql_files_are_found_here() -> None:
    """In this installation, editable or not, the SQL files are where the package looks for them."""
    assert (sqlfiles.sql_root() / "sqlite" / "schema.sql").is_file()
    assert "CREATE TABLE" in sqlfiles.script("sqlite")
