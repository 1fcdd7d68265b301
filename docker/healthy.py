"""Ends with 0 while a worker of this host is alive in the store; it is the worker image's health check."""
# ruff: noqa: INP001 - a script, part of no package

import json
import socket
import subprocess
import sys

command = [sys.executable, "-m", "rxsql.cli", "workers", "--json"]
listed = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
mine = [worker for worker in listed if worker["host"] == socket.gethostname()]
sys.exit(0 if any(worker["is_alive"] for worker in mine) else "No worker of this host is alive.")
