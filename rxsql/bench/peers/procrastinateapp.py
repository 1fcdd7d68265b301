"""What Procrastinate's workers import: the app with its tasks, found by the environment."""

from __future__ import annotations

import os

from rxsql.bench.peers.procrastinate import app_of

app = app_of(os.environ["RXSQL_BENCH_PROCRASTINATE"], asynchronous=True)[0]
