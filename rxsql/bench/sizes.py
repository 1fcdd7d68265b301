"""How much of everything a measurement takes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The amounts that the figures speak of; only these are comparable."""

    warm_up: int = 500
    noops: int = 20_000
    single_runs: int = 200
    single_runs_apart: int = 60
    pause_seconds: float = 0.05
    spins: int = 160
    spin_seconds: float = 0.05
    big_bytes: int = 8_000_000
    big_values: int = 8
    lines: int = 1_000_000
    stamps: int = 100
    submitted: int = 100_000
    table_rows: int = 100_000
    table_rows_large: int = 1_000_000
    backlog_small: int = 1_000
    backlog_large: int = 1_000_000
    backlog_tasks: int = 300
    collected: int = 100_000
    settle_seconds: float = 3.0
    idle_seconds: float = 10.0
    imports: int = 7
    counted: int = 10_000


QUICK = Sizes(
    warm_up=10,
    noops=200,
    single_runs=5,
    single_runs_apart=5,
    spins=4,
    spin_seconds=0.02,
    big_bytes=100_000,
    big_values=2,
    lines=2_000,
    stamps=5,
    submitted=300,
    table_rows=300,
    table_rows_large=1_000,
    backlog_small=100,
    backlog_large=2_000,
    backlog_tasks=5,
    collected=300,
    settle_seconds=0.2,
    idle_seconds=0.5,
    imports=1,
    counted=200,
)
