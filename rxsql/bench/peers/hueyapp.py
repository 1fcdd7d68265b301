"""What Huey's consumers import: the queue with its tasks, found by the environment."""

from __future__ import annotations

import os

from rxsql.bench.peers.huey import tasks_of

_tasks = tasks_of(os.environ["RXSQL_BENCH_HUEY"], fsync=bool(os.environ["RXSQL_BENCH_HUEY_FSYNC"]))
huey = _tasks["noop"].huey
