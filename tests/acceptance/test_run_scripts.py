"""Scripts written for revoscalepy run unchanged: through `rxsql run`, and with RXSQL_STORE alone."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from test_cli import ID, Ended, rxsql

SCRIPTS = Path(__file__).parent / "scripts"
Run = Callable[[str], Ended]


def python(*arguments: str | Path, **environment: str) -> Ended:
    """Run Python itself."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture(params=["rxsql run", "RXSQL_STORE"])
def run_script(request: pytest.FixtureRequest, store_path: Path, tmp_path: Path) -> Run:
    """Run a script of `scripts/` both ways; without `rxsql run` its imports are from rxsql."""

    def by_command(name: str) -> Ended:
        return rxsql("run", "--store", store_path, SCRIPTS / name)

    def by_setting(name: str) -> Ended:
        text = (SCRIPTS / name).read_text()
        copy = tmp_path / name
        copy.write_text(re.sub(r"(from|import) revoscalepy\b", r"\1 rxsql", text))
        return python(copy, RXSQL_STORE=str(store_path), PYTHONPATH=str(SCRIPTS))

    return by_command if request.param == "rxsql run" else by_setting


# ------------------------------------------------------------------------------------------- unchanged scripts


def test_documented_example(run_script: Run, store_path: Path) -> None:
    """The example of RxRemoteJobStatus runs as it stands: an open status, a wait, "finished"; its line is a row."""
    done = run_script("hello_from_sql.py")

    first, last = done.stdout.splitlines()
    assert (done.code, done.stderr) == (0, "")
    assert first in ("queued", "running")
    assert last == "finished"
    (job,) = json.loads(rxsql("jobs", "--json", "--store", store_path).stdout)
    assert job["name"] == "hello_from_sql"
    assert rxsql("logs", job["job_id"], "--store", store_path).stdout == "Hello from SQL server\n"


def test_every_job_function(run_script: Run) -> None:
    """Each job function answers for a finished job, and the status is undetermined once the results were taken."""
    done = run_script("every_job_function.py")

    assert (done.code, done.stderr) == (0, "")
    text = re.sub(ID, "ID", re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", done.stdout))
    assert text.splitlines() == [
        "status: finished",
        "output: counting boxes",
        "",
        "info: RxRemoteJob(job_id='ID')",
        "finished     TIME ID",
        "jobs: [RxRemoteJob(job_id='ID')]",
        "counting boxes",
        "results: [42]",
        "afterwards: undetermined",
    ]


def test_polling_until_finished(run_script: Run) -> None:
    """A loop that waits for FINISHED ends, and finds output and results."""
    assert run_script("poll_until_finished.py") == Ended(0, "weighing\n[12.5]\n", "")


def test_waiting_call(run_script: Run) -> None:
    """A waiting call shows the remote output before it returns a list of one value."""
    assert run_script("waiting_call.py") == Ended(0, "rows: 2\nanswer: [7]\n", "")


def test_local_parallel(store_path: Path) -> None:
    """RxLocalParallel takes dicts and lists, from a script without a __main__ guard."""
    done = rxsql("run", "--store", store_path, SCRIPTS / "local_parallel.py")

    assert done.stdout.splitlines() == [
        "['a ~ b 2', 'a ~ c 5']",
        "['y ~ x 30', 'y ~ x 50', 'y ~ x 70']",
        "RxLocalSeq 9.4.7",
    ]
    assert (done.code, done.stderr) == (0, "")


def test_one_run_fails(run_script: Run) -> None:
    """One failed run of twenty is an exception at its index and one warning, in the server's context and locally."""
    line = "20 24 Exception('ticket 13 is not valid') 28 1\n"
    assert run_script("one_run_fails.py") == Ended(0, 2 * line, "")


def test_deep_import_paths(store_path: Path) -> None:
    """The module paths of older scripts lead to rxsql, here and on the worker."""
    done = rxsql("run", "--store", store_path, SCRIPTS / "deep_imports.py")

    assert done == Ended(0, "[('RxLocalSeq', 42)]\nmissing finished\n", "")


def test_module_beside_the_script(run_script: Run) -> None:
    """Functions of a module that only the script can import travel to the worker."""
    assert run_script("beside_a_module.py") == Ended(0, "[3, 6] [16]\n", "")


# ------------------------------------------------------------------------------------------ as Python would run it

AS_PYTHON = {
    "names": "import sys; print(__name__, __file__, sys.argv, sys.path[0], __builtins__, __spec__, __doc__)",
    "docstring": '"""A script."""\nprint(__doc__, __annotations__)',
    "main module": "import sys\nx = 1\nprint(sys.modules['__main__'].x, sorted(n for n in globals() if n[0] != '_'))",
    "no future": "x: int = 1\ndef f(a: int): ...\nprint(f.__annotations__)",
    "no package": "from . import x",
    "error": "def f():\n    return 1 / 0\n\n\nf()\n",
    "error with a cause": "try:\n    {}[1]\nexcept KeyError as e:\n    raise ValueError('no') from e\n",
    "error with a context": "try:\n    {}[1]\nexcept KeyError:\n    None.x\n",
    "syntax": "x = 1\nx = = 2\n",
    "encoding": "# -*- coding: latin-1 -*-\nprint('gr\u00fcn')",
    "exit code": "import sys; sys.exit(7)",
    "exit text": "raise SystemExit('enough')",
    "exit nothing": "import sys; print('x'); sys.exit()",
    "own hook": "import sys\nsys.excepthook = lambda t, e, tb: print('hook', t.__name__, tb.tb_lineno)\n1 / 0\n",
    "broken pipe": "raise BrokenPipeError(32, 'by hand')",
    "at exit": "import atexit, threading, time\natexit.register(print, 'last')\n"
    "def f():\n    threading.main_thread().join()\n    print('thread', helper())\n"
    "def helper(): return __name__\nthreading.Thread(target=f).start()\n",
}


@pytest.mark.parametrize("name", AS_PYTHON)
def test_as_python_would(name: str, tmp_path: Path, store_path: Path) -> None:
    """A script's names, output, errors and exit code are those it has under Python itself."""
    script = tmp_path / "script.py"
    script.write_text(AS_PYTHON[name], encoding="latin-1")
    arguments = [script, "--store", "mine", "-f", "--help", "--", "x y", "--json"]

    assert rxsql("run", "--store", store_path, *arguments) == python(*arguments)


def test_folder_of_a_linked_script(tmp_path: Path, store_path: Path) -> None:
    """A script's neighbours are those of the file a link leads to, and it may be named relatively."""
    folder = tmp_path / "real"
    folder.mkdir()
    (folder / "script.py").write_text("import beside, sys; print(beside.x, sys.argv[0])")
    (folder / "beside.py").write_text("x = 'found'")
    (tmp_path / "link.py").symlink_to(folder / "script.py")

    assert rxsql("run", "--store", store_path, "link.py", cwd=tmp_path).stdout == "found link.py\n"


def test_interrupted_script(tmp_path: Path, store_path: Path) -> None:
    """Ctrl-C in a script shows the script's traceback and ends with 130."""
    script = tmp_path / "script.py"
    script.write_text("import time\nprint('here', flush=True)\ntime.sleep(60)\n")
    command = [sys.executable, "-m", "rxsql.cli", "run", "--store", store_path, script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)

    assert process.returncode == 130
    assert re.fullmatch(rf'  File "{script}", line [23], in <module>', errors.splitlines()[1])
    assert errors.splitlines()[-1] == "KeyboardInterrupt"


def test_script_that_is_missing(tmp_path: Path) -> None:
    """A script that cannot be read is named, with the reason and exit code 2."""
    missing = rxsql("run", tmp_path / "no.py")
    folder = rxsql("run", tmp_path)

    assert (missing.code, folder.code) == (2, 2)
    assert f"{tmp_path}/no.py cannot be read: No such file or directory." in missing.stderr
    assert f"{tmp_path} cannot be read: Is a directory." in folder.stderr


# --------------------------------------------------------------------------------------------- which store it is


def test_store_of_a_script(tmp_path: Path) -> None:
    """A script's store is that of --store, else that of RXSQL_STORE, else the default file; a path is made absolute."""
    script = tmp_path / "script.py"
    script.write_text("import os; os.chdir('/'); print(os.environ['RXSQL_STORE'])")

    def where(*options: str, **environment: str) -> str:
        return rxsql("run", *options, script, cwd=tmp_path, **environment).stdout.strip()

    assert where("--store", "a.db", RXSQL_STORE="b.db") == f"{tmp_path}/a.db"
    assert where(RXSQL_STORE="sqlite:////tmp/b.db") == "sqlite:////tmp/b.db"
    assert where() == f"{tmp_path}/home/rxsql/jobs.db"


def test_original_revoscalepy_wins(tmp_path: Path, store_path: Path) -> None:
    """Where the original is installed, `import revoscalepy` is the original."""
    (tmp_path / "revoscalepy.py").write_text("x = 'original'")
    (tmp_path / "script.py").write_text("import revoscalepy; print(revoscalepy.x)")

    assert rxsql("run", "--store", store_path, tmp_path / "script.py").stdout == "original\n"
