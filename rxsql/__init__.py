"""rxsql runs revoscalepy's `RxInSqlServer` jobs again, on open parts.

 client                     database                      worker                    child process
 rx_exec ── payload ──▶ jobs, tasks, functions
                            │  claim a batch
                            └──────────────────────▶ poller ── tasks ──▶ the user's function
                         console ◀── lines, live ─── capture ◀─ stdout/stderr
                         results ◀── outcomes ────── poller ◀── outcome
 rx_wait_for_job ◀─ poll ─ jobs.status
 rx_get_job_results ◀──── results

The public names are spelled as revoscalepy spells them, and are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rxsql.client.context import (
        RxComputeContext,
        RxInSqlServer,
        RxLocalParallel,
        RxLocalSeq,
        RxRemoteComputeContext,
        rx_get_compute_context,
        rx_set_compute_context,
    )
    from rxsql.client.execute import rx_exec
    from rxsql.client.jobs import (
        RxRemoteJob,
        rx_cancel_job,
        rx_cleanup_jobs,
        rx_get_job_info,
        rx_get_job_output,
        rx_get_job_results,
        rx_get_job_status,
        rx_get_jobs,
        rx_wait_for_job,
        rxg_last_pending_job,
    )
    from rxsql.client.options import RxOptions
    from rxsql.client.scripts import ScriptResult, rx_execute_script
    from rxsql.models import RxRemoteJobStatus
    from rxsql.scripts.loopback import rx_get_sql_loopback_connection_string

_HOMES = {
    "RxComputeContext": "client.context",
    "RxInSqlServer": "client.context",
    "RxLocalParallel": "client.context",
    "RxLocalSeq": "client.context",
    "RxOptions": "client.options",
    "RxRemoteComputeContext": "client.context",
    "RxRemoteJob": "client.jobs",
    "RxRemoteJobStatus": "models",
    "ScriptResult": "client.scripts",
    "rx_cancel_job": "client.jobs",
    "rx_cleanup_jobs": "client.jobs",
    "rx_exec": "client.execute",
    "rx_execute_script": "client.scripts",
    "rx_get_compute_context": "client.context",
    "rx_get_job_info": "client.jobs",
    "rx_get_job_output": "client.jobs",
    "rx_get_job_results": "client.jobs",
    "rx_get_job_status": "client.jobs",
    "rx_get_jobs": "client.jobs",
    "rx_get_sql_loopback_connection_string": "scripts.loopback",
    "rx_set_compute_context": "client.context",
    "rx_wait_for_job": "client.jobs",
    "rxg_last_pending_job": "client.jobs",
}

__all__ = [
    "RxComputeContext",
    "RxInSqlServer",
    "RxLocalParallel",
    "RxLocalSeq",
    "RxOptions",
    "RxRemoteComputeContext",
    "RxRemoteJob",
    "RxRemoteJobStatus",
    "ScriptResult",
    "rx_cancel_job",
    "rx_cleanup_jobs",
    "rx_exec",
    "rx_execute_script",
    "rx_get_compute_context",
    "rx_get_job_info",
    "rx_get_job_output",
    "rx_get_job_results",
    "rx_get_job_status",
    "rx_get_jobs",
    "rx_get_sql_loopback_connection_string",
    "rx_set_compute_context",
    "rx_wait_for_job",
    "rxg_last_pending_job",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415

        return version("rxsql")
    if name not in _HOMES:
        raise AttributeError(f"module 'rxsql' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"rxsql.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
