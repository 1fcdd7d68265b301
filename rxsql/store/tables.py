"""The tables, once; `sql/<dialect>/schema.sql` says the same in SQL, and a test holds the two together."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Executable,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    TypeDecorator,
    Unicode,
    UnicodeText,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.mssql import DATETIME2, VARBINARY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from rxsql.store import sqlfiles

if TYPE_CHECKING:
    from sqlalchemy import Dialect

SCHEMA_VERSION = 2

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(column_0_label)s",
    }
)
views = MetaData()

OPEN = text("status IN ('queued', 'running')")
STATUSES = "status IN ('queued', 'running', 'finished', 'failed', 'canceled')"


CONSTANT = "rxsql_constant"
_Statement = TypeVar("_Statement", bound=Executable)


def constant(statement: _Statement) -> _Statement:
    """Mark a statement that lives as long as the process and is sent often: a dialect may prepare it once."""
    return statement.execution_options(**{CONSTANT: True})


def as_utc(value: Any) -> datetime | None:
    """Return a time as a driver gave it, as an aware `datetime` in UTC; None where a person has put something else."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return None
    if not isinstance(found, datetime):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """An instant by the database's clock; an aware `datetime` in UTC here, readable text in SQLite."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Keep a database's own type where it has one."""
        return dialect.type_descriptor(
            String(26).with_variant(DateTime(timezone=True), "postgresql").with_variant(DATETIME2(3), "mssql")  # type: ignore[no-untyped-call]
        )

    def process_result_value(self, value: Any, _dialect: Dialect) -> datetime | None:
        """Return an aware datetime."""
        return as_utc(value)

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> Any:
        """Send an instant the way it is stored."""
        if value is None:
            return None
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "milliseconds")


class now(FunctionElement[datetime]):  # noqa: N801 - stands among SQL functions
    """The database's clock."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(now)
def _compile_now(_element: now, compiler: Any, **_: Any) -> str:
    return sqlfiles.query(compiler.dialect.name, "now")


Flag = Integer
Blob = LargeBinary().with_variant(VARBINARY("max"), "mssql")  # type: ignore[no-untyped-call]
Key = BigInteger().with_variant(Integer(), "sqlite")


def made_now(name: str) -> Column[Any]:
    """Return a column for when a row was made."""
    return Column(
        name, UtcDateTime, nullable=False, server_default=text("(STRFTIME('%Y-%m-%d %H:%M:%f', 'now'))")
    )


schema_version = Table(
    "schema_version",
    metadata,
    Column("version", Integer, nullable=False, autoincrement=False),
    made_now("installed_at"),
    PrimaryKeyConstraint("version"),
)

functions = Table(
    "functions",
    metadata,
    Column("function_hash", String(64), nullable=False),
    Column("body", Blob, nullable=False),
    PrimaryKeyConstraint("function_hash"),
    sqlite_with_rowid=False,
)

jobs = Table(
    "jobs",
    metadata,
    Column("job_key", Key, nullable=False),
    Column("job_id", Unicode(128), nullable=False),
    Column("name", Unicode(256), nullable=False),
    Column("kind", String(16), nullable=False, server_default="function"),
    Column("status", String(16), nullable=False, server_default="queued"),
    Column("run_count", Integer, nullable=False),
    Column("done_runs", Integer, nullable=False, server_default="0"),
    Column("failed_runs", Integer, nullable=False, server_default="0"),
    Column("num_tasks", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("continue_on_failure", Flag, nullable=False),
    Column("has_inputs", Flag, nullable=False),
    Column("packages_to_load", UnicodeText, nullable=False),
    Column("execution_timeout_seconds", Integer, nullable=False),
    Column("auto_cleanup", Flag, nullable=False),
    Column("console_output", Flag, nullable=False),
    Column("context", UnicodeText, nullable=False),
    Column("python", String(8), nullable=False),
    Column("function_hash", String(64), nullable=False),
    Column("signature", String(160)),
    Column("submitted_by", Unicode(256), nullable=False),
    Column("error", UnicodeText),
    made_now("created_at"),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("purged_at", UtcDateTime),
    PrimaryKeyConstraint("job_key"),
    UniqueConstraint("job_id"),
    CheckConstraint(STATUSES, name="ck_jobs_status"),
)
Index("ix_jobs_open", jobs.c.job_key, sqlite_where=OPEN)
Index("ix_jobs_function_hash", jobs.c.function_hash, sqlite_where=jobs.c.purged_at.is_(None))

workers = Table(
    "workers",
    metadata,
    Column("worker_key", Key, nullable=False),
    Column("worker_id", Unicode(128), nullable=False),
    Column("host", Unicode(256), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("python", String(8), nullable=False),
    Column("version", String(32), nullable=False),
    Column("slots", Integer, nullable=False),
    Column("lease_seconds", Float, nullable=False),
    Column("last_report", Key, nullable=False, server_default="0"),
    made_now("started_at"),
    made_now("heartbeat_at"),
    Column("stopped_at", UtcDateTime),
    PrimaryKeyConstraint("worker_key"),
    UniqueConstraint("worker_id"),
)

task_rows = Table(
    "task_rows",
    metadata,
    Column("job_key", Key, nullable=False),
    Column("task", Integer, nullable=False),
    Column("status", String(16), nullable=False, server_default="queued"),
    Column("attempt", SmallInteger().with_variant(Integer(), "sqlite"), nullable=False, server_default="0"),
    Column("worker_key", Key),
    Column("first_run", Integer, nullable=False),
    Column("run_count", Integer, nullable=False),
    Column("failed_runs", Integer, nullable=False, server_default="0"),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("seconds", Float),
    Column("error", UnicodeText),
    Column("input", Blob),
    PrimaryKeyConstraint("job_key", "task"),
    CheckConstraint(STATUSES, name="ck_task_rows_status"),
    sqlite_with_rowid=False,
)
Index("ix_task_rows_open", task_rows.c.job_key, task_rows.c.status, task_rows.c.task, sqlite_where=OPEN)

slots = Table(
    "slots",
    metadata,
    Column("job_key", Key, nullable=False),
    Column("worker_key", Key, nullable=False),
    Column("slots", Integer, nullable=False),
    PrimaryKeyConstraint("job_key", "worker_key"),
    sqlite_with_rowid=False,
)

SHARED_INPUT = -1  # the task number at which the input of all runs stands

inputs = Table(
    "inputs",
    metadata,
    Column("job_key", Key, nullable=False),
    Column("task", Integer, nullable=False),
    Column("body", Blob, nullable=False),
    PrimaryKeyConstraint("job_key", "task"),
    sqlite_with_rowid=False,
)

results = Table(
    "results",
    metadata,
    Column("job_key", Key, nullable=False),
    Column("run", Integer, nullable=False),
    Column("body", Blob),
    Column("error", UnicodeText),
    Column("traceback", UnicodeText),
    PrimaryKeyConstraint("job_key", "run"),
    sqlite_with_rowid=False,
)

console_chunks = Table(
    "console_chunks",
    metadata,
    Column("chunk_key", Key, nullable=False),
    Column("job_key", Key, nullable=False),
    Column("task", Integer, nullable=False),
    Column("run", Integer, nullable=False),
    Column("attempt", SmallInteger().with_variant(Integer(), "sqlite"), nullable=False),
    Column("stream", String(8), nullable=False),
    Column("first_line", Integer, nullable=False),
    Column("lines", UnicodeText, nullable=False),
    Column("partial", Flag, nullable=False),
    made_now("written_at"),
    PrimaryKeyConstraint("chunk_key"),
    CheckConstraint("stream IN ('stdout', 'stderr')", name="ck_console_chunks_stream"),
)
Index("ix_console_chunks_job_key", console_chunks.c.job_key, console_chunks.c.chunk_key)

crash_rows = Table(
    "crash_rows",
    metadata,
    Column("job_key", Key, nullable=False),
    Column("task", Integer, nullable=False),
    Column("run", Integer, nullable=False),
    Column("attempt", SmallInteger().with_variant(Integer(), "sqlite"), nullable=False),
    Column("worker_key", Key, nullable=False),
    Column("exit_code", Integer),
    Column("exit_signal", String(16)),
    Column("peak_kib", Key),
    Column("stacks", UnicodeText),
    Column("last_lines", UnicodeText),
    made_now("died_at"),
    PrimaryKeyConstraint("job_key", "task", "run", "attempt"),
)

job_progress = Table(
    "job_progress",
    views,
    Column("job_id", Unicode(128)),
    Column("done_runs", Integer),
    Column("failed_runs", Integer),
)

from rxsql.store import scripttables as scripttables  # noqa: E402, PLC0414 - all tables are in `metadata` then
