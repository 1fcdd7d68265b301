"""How long it takes to begin: a first job with no worker alive, and the import."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rxsql.store.engine import connect
from rxsql.store.workers import list_workers

if TYPE_CHECKING:
    from rxsql.bench.site import Site
    from rxsql.bench.sizes import Sizes

_FIRST_JOB = """
import sys, rxsql
print(rxsql.rx_exec(lambda: "done", compute_context=rxsql.RxInSqlServer(sys.argv[1])))
"""
_IMPORT = "import time; begun = time.perf_counter(); import rxsql; print(time.perf_counter() - begun)"
_IDLE_EXIT_SECONDS = "0.2"


def cold_start(site: Site, _sizes: Sizes, _folder: Path) -> dict[str, float]:
    """Return how long a script with one job takes on a new store; nothing where workers do not start by themselves."""
    if not site.store.dialect.embedded:
        return {}
    with tempfile.TemporaryDirectory(prefix="rxsql-bench-", dir=Path(site.store.label).parent) as folder:
        path = str(Path(folder) / "cold.db")
        environment = {**os.environ, "RXSQL_IDLE_EXIT_SECONDS": _IDLE_EXIT_SECONDS}
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", _FIRST_JOB, path], env=environment, stdout=subprocess.DEVNULL, check=True
        )
        seconds = time.perf_counter() - begun
        _wait_for_its_end(path)
    return {"cold-start": seconds}


def _wait_for_its_end(path: str) -> None:
    store = connect(path)
    while any(worker.is_alive for worker in list_workers(store)):
        time.sleep(0.05)
    store.close()


def imports(_site: Site, sizes: Sizes, _folder: Path) -> dict[str, float]:
    """Return how long `import rxsql` takes in a new process."""
    command = [sys.executable, "-c", _IMPORT]
    told = [subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout for _ in range(sizes.imports)]
    return {"import": 1000 * statistics.median(map(float, told))}
