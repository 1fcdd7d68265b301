"""Decides with plain values: who gets how many children, how many tasks to claim, how many to hand out ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from rxsql.models import OpenJob
    from rxsql.worker.activejob import ActiveJob

CLAIM_SECONDS = 0.2  # of work, a child, to hold in memory
CLAIM_MOST = 2000
AHEAD_SECONDS = 0.01  # of work to hand to a child before it has ended what it has
AHEAD_LEAST, AHEAD_MOST = 2, 400  # tasks; what a child has not begun can be taken back from it


def shares(capacity: int, demands: Mapping[int, int]) -> dict[int, int]:
    """Divide children between jobs: each in turn gets one more, until its demand or the capacity is met.

    Args:
        capacity: How many children there may be.
        demands: How many children each job could use, in the order of their precedence.

    Returns:
        The number of children of each job; 0 for those that must wait.

    Example:
        >>> shares(4, {1: 9, 2: 1})
        {1: 3, 2: 1}
    """
    given = dict.fromkeys(demands, 0)
    left = capacity
    while left:
        hungry = [job for job, demand in demands.items() if given[job] < demand]
        if not hungry:
            break
        for job in hungry[:left]:
            given[job] += 1
        left -= min(left, len(hungry))
    return given


def room(capacity: int, jobs: Iterable[ActiveJob]) -> int:
    """Return how many more children may work: those that are to leave still do, until they have ended a run."""
    return capacity - sum(job.workforce for job in jobs)


def in_order(found: Iterable[OpenJob], fresh: Container[int]) -> list[OpenJob]:
    """Return jobs with the fewest slots first, after the fresh ones: who just got a child keeps it for a moment."""
    return sorted(found, key=lambda job: (job.job_key not in fresh, job.slots, job.job_key))


def demand(job: OpenJob, capacity: int, in_memory: int) -> int:
    """Return how many children a job could use here: within its cap, and as far as it has something to hand out."""
    allowed = min(capacity, job.num_tasks - (job.slots - job.own_slots) if job.num_tasks else capacity)
    return max(0, allowed if job.has_queued else min(allowed, in_memory))


def claim_limit(children: int, mean_seconds: float | None) -> int:
    """Return how many tasks to hold for a job: two a child until their length is known, then some time's worth."""
    if mean_seconds is None:
        return 2 * children
    return max(1, min(CLAIM_MOST, int(children * CLAIM_SECONDS / max(mean_seconds, 1e-6)))) + children


def ahead(mean_seconds: float | None) -> int:
    """Return how many tasks a child may have at once: tiny ones by the hundred, of long ones the one after it."""
    if mean_seconds is None:
        return 1
    return max(AHEAD_LEAST, min(AHEAD_MOST, int(AHEAD_SECONDS / max(mean_seconds, 1e-6))))


def mean(old: float | None, seconds: float) -> float:
    """Return the moving mean of the tasks' lengths; a longer one counts at once, shorter ones by and by."""
    if old is None or seconds > old:
        return seconds
    return old + 0.1 * (seconds - old)
