"""What submitting costs, what one more task costs beside many, and how many statements a job sends."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from rxsql import RxInSqlServer, rx_cancel_job, rx_exec
from rxsql.bench.peers.storealone import StoreAlone
from rxsql.bench.statistics import percentile
from rxsql.bench.work import as_users, noop
from rxsql.store.counting import counted

if TYPE_CHECKING:
    from pathlib import Path

    from rxsql.bench.site import Site
    from rxsql.bench.sizes import Sizes

_JOB_TASKS = 100_000


def submit(site: Site, sizes: Sizes, _folder: Path) -> dict[str, float]:
    """Return how long it takes to submit many runs with small arguments."""
    context = RxInSqlServer(site.context.store, wait=False)
    values = list(range(sizes.submitted))
    begun = time.perf_counter()
    job = rx_exec(as_users(noop), value=values, compute_context=context)
    seconds = time.perf_counter() - begun
    rx_cancel_job(job)
    job.close()
    return {"submit": seconds}


def backlog(site: Site, sizes: Sizes, folder: Path) -> dict[str, float]:
    """Return what a task costs beside many queued ones, against what it costs beside few."""
    alone = StoreAlone(site.store.url)
    alone.start(1, folder)
    few = [alone.submit(_bodies(sizes.backlog_small))]
    low = _task_seconds(alone, few[0][1], sizes.backlog_tasks)
    full, rest = divmod(sizes.backlog_large, _JOB_TASKS)
    many = [alone.submit(_bodies(count)) for count in [_JOB_TASKS] * full + [rest] * bool(rest)]
    high = _task_seconds(alone, many[0][1], sizes.backlog_tasks)
    for job_id, _ in few + many:
        alone.purge(job_id)
    alone.stop()
    return {"backlog": high / low}


def _bodies(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def _task_seconds(alone: StoreAlone, job_key: int, count: int) -> float:
    seconds = []
    for _ in range(count):
        begun = time.perf_counter()
        alone.complete(job_key, 1)
        seconds.append(time.perf_counter() - begun)
    return percentile(seconds, 50)


def statements(site: Site, sizes: Sizes, _folder: Path) -> dict[str, float]:
    """Return how many statements client and worker send for a thousand runs."""
    site.run(noop, value=[secrets.randbelow(10)] * 2)
    before = site.statements()
    with counted(site.store) as sent:
        site.run(noop, value=list(range(sizes.counted)))
    total = len(sent.statements) + site.statements() - before
    return {"statements": 1000 * total / sizes.counted}
