"""How quick the console is: a flood of lines, and a single one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from rxsql import RxInSqlServer, rx_exec, rx_wait_for_job
from rxsql.bench.statistics import percentile
from rxsql.bench.work import as_users, flood, stamps
from rxsql.store import jobs, outputs

if TYPE_CHECKING:
    from pathlib import Path

    from rxsql.bench.site import Site
    from rxsql.bench.sizes import Sizes

_STAMP_SECONDS = 0.03
_PAGE = 500


def flooded(site: Site, sizes: Sizes, folder: Path) -> dict[str, float]:
    """Return how much longer a printing run takes than the same into a file."""
    begun = time.perf_counter()
    site.run(flood, args={"lines": sizes.lines})
    seconds = time.perf_counter() - begun
    command = [sys.executable, "-m", "rxsql.bench.work", str(sizes.lines)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with (folder / "flood.txt").open("wb") as file:
        plain = subprocess.run(command, env=environment, stdout=file, stderr=subprocess.PIPE, check=True)
    return {"console-flood": seconds / float(plain.stderr)}


def delay(site: Site, sizes: Sizes, _folder: Path) -> dict[str, float]:
    """Return how long a line takes from print until somebody sees its row."""
    context = RxInSqlServer(site.context.store, wait=False)
    arguments = {"count": sizes.stamps, "pause": _STAMP_SECONDS}
    job = rx_exec(as_users(stamps), arguments, compute_context=context)
    key = jobs.get_job(site.store, job.job_id).job_key
    wakeup = site.store.wakeup()
    seconds: list[float] = []
    after = 0
    while len(seconds) < sizes.stamps:
        wakeup.wait(1.0)
        for chunk_key, chunk in outputs.fetch_console(site.store, key, after=after, limit=_PAGE):
            after = chunk_key
            seconds += [time.time() - float(line) for line in chunk.lines]
    wakeup.close()
    rx_wait_for_job(job)
    job.close()
    return {"console-delay": 1000 * percentile(seconds, 95)}
