"""What a worker must know of a job before it runs its tasks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from rxsql.errors import PayloadError
from rxsql.kinds import JobKind
from rxsql.models import RxRemoteJobStatus, WorkItem
from rxsql.store import large, scripts
from rxsql.store.tables import SHARED_INPUT, Key, constant, functions, inputs, jobs, now

if TYPE_CHECKING:
    from rxsql.store.engine import Store

_NUMBERS = ("run_count", "num_tasks", "max_attempts", "execution_timeout_seconds")
_COLUMNS = (
    *("job_id", "name", "kind", "status", "continue_on_failure", "has_inputs", "packages_to_load", "python"),
    *("function_hash", "signature", "started_at"),
    *_NUMBERS,
)
_OF_JOB = sa.bindparam("job_key", type_=Key)
_SHARED = inputs.alias()
_WORK_ITEM = constant(
    sa.select(
        *(jobs.c[name] for name in _COLUMNS),
        functions.c.body.label("function"),
        _SHARED.c.body.label("shared_input"),
        now().label("now"),
    )
    .select_from(
        jobs.outerjoin(functions, functions.c.function_hash == jobs.c.function_hash).outerjoin(
            _SHARED, sa.and_(_SHARED.c.job_key == jobs.c.job_key, _SHARED.c.task == SHARED_INPUT)
        )
    )
    .where(jobs.c.job_key == _OF_JOB)
)


def work_item(store: Store, job_key: int) -> WorkItem | None:
    """Return what a worker must know of an open job, or None when it has ended.

    Raises:
        PayloadError: Somebody deleted or changed what the job needs; it cannot be run.
    """
    with store.read() as connection:
        row = connection.execute(_WORK_ITEM, {"job_key": job_key}).one_or_none()
    if row is None or RxRemoteJobStatus(row.status).is_final:
        return None
    kind = _kind(row.kind)
    script = None if kind is JobKind.FUNCTION else scripts.load_script(store, job_key)
    if row.function is None and kind is not JobKind.SCRIPT:
        raise PayloadError("The job's function was deleted from the store. Submit the job again.")
    _check_types(row)
    return WorkItem(
        job_key=job_key,
        job_id=row.job_id,
        function=row.function or b"",
        function_hash=row.function_hash,
        shared_input=_shared_input(store, row.shared_input) if script is None else script.spec,
        script_digest=None if script is None else script.digest,
        run_count=row.run_count,
        has_inputs=bool(row.has_inputs),
        python=row.python,
        signature=row.signature,
        num_tasks=row.num_tasks,
        max_attempts=row.max_attempts,
        continue_on_failure=bool(row.continue_on_failure),
        packages_to_load=_packages(row.packages_to_load),
        execution_timeout_seconds=row.execution_timeout_seconds,
        seconds_left=_seconds_left(row),
        name=row.name,
        kind=kind,
    )


def _shared_input(store: Store, stored: bytes | str | None) -> bytes | None:
    if not isinstance(stored, str):
        return stored
    section = large.found(store, [stored]).get(stored)
    if section is None:
        raise PayloadError(large.gone(store, "The shared input", stored))
    return section.read()


def _check_types(row: Any) -> None:
    """SQLite lets a person put anything anywhere."""
    for name in _NUMBERS:
        if not isinstance(getattr(row, name), int):
            raise PayloadError(f"The job's {name} is no whole number: {str(getattr(row, name))[:100]!r}.")
    if not isinstance(row.function, bytes | memoryview | None):
        raise PayloadError("The job's function is no bytes. Submit the job again.")


def _kind(text: str) -> JobKind:
    try:
        return JobKind(text)
    except ValueError:
        raise PayloadError(f"A job of the kind {text!r} cannot be run by this version of rxsql.") from None


def _packages(text: str) -> tuple[str, ...]:
    try:
        names = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        names = None
    if isinstance(names, list) and all(isinstance(name, str) and "\0" not in name for name in names):
        return tuple(names)
    raise PayloadError(f"The job's packages_to_load is no JSON array of names: {str(text)[:100]!r}.")


def _seconds_left(row: Any) -> float | None:
    limit: int = row.execution_timeout_seconds
    if limit == 0:
        return None
    if row.started_at is None:
        return float(limit)
    return float(limit - (row.now - row.started_at).total_seconds())
