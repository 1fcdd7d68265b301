"""What Celery's workers import: the app with its tasks, found by the environment."""

from __future__ import annotations

import os

from rxsql.bench.peers.celery import tasks_of

_tasks = tasks_of(os.environ["RXSQL_BENCH_REDIS"])
app = _tasks["noop"].app
