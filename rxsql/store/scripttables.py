"""The tables of scripts and published functions; importing this puts them beside the others."""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Unicode,
    UnicodeText,
)

from rxsql.store.tables import Key, made_now, metadata

scripts = Table(
    "scripts",
    metadata,
    Column("job_key", Key, autoincrement=False, nullable=False),
    Column("language", Unicode(128), nullable=False),
    Column("script", UnicodeText),
    Column("input_name", Unicode(128), nullable=False),
    Column("output_name", Unicode(128), nullable=False),
    Column("params", UnicodeText, nullable=False),
    PrimaryKeyConstraint("job_key"),
)

frames = Table(
    "frames",
    metadata,
    Column("job_key", Key, nullable=False),
    Column("direction", String(8), nullable=False),
    Column("task", Integer, nullable=False),
    Column("page", Integer, nullable=False),
    Column("row_count", Integer, nullable=False),
    Column("header", UnicodeText, nullable=False),
    Column("body", UnicodeText, nullable=False),
    PrimaryKeyConstraint("job_key", "direction", "task", "page"),
    CheckConstraint("direction IN ('in', 'out', 'param')", name="ck_frames_direction"),
)

waiters = Table(
    "waiters",
    metadata,
    Column("job_key", Key, autoincrement=False, nullable=False),
    made_now("seen_at"),
    PrimaryKeyConstraint("job_key"),
)

published = Table(
    "published",
    metadata,
    Column("name", Unicode(128), nullable=False),
    Column("function_name", Unicode(256), nullable=False),
    Column("function_hash", String(64), nullable=False),
    Column("python", String(8), nullable=False),
    Column("published_by", Unicode(256), nullable=False),
    made_now("published_at"),
    Column("signature", String(160)),
    PrimaryKeyConstraint("name"),
)
