"""Tries again while the store is out of reach, or others are in the way; the one place where that is done."""

from __future__ import annotations

import logging
import random
import time
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from rxsql.errors import StoreConflictError, StoreLockedError, StoreUnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger("rxsql.store")
_PAUSES = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0)  # seconds, before jitter
_SHORT_PAUSES = (0.01, 0.05, 0.2, 0.5)


def retried(operation: Callable[P, T]) -> Callable[P, T]:
    """Try an operation again, a few times with growing pauses, while the store is out of reach.

    For operations that may be done twice: reads, and writes that change nothing the second time.
    """
    return _again(operation, StoreUnreachableError, _PAUSES)


def retried_when_undone(operation: Callable[P, T]) -> Callable[P, T]:
    """Try an operation again when the database has rolled it back for another's sake: after a deadlock, say.

    For writes of one transaction that may not be done twice; after a lost connection they may have been done.
    """
    return _again(operation, StoreConflictError, _SHORT_PAUSES)


def insist(operation: Callable[[], T], *, seconds: float) -> T:
    """Do an operation, again and again for that long while the store is out of reach, or locked by somebody.

    For the start of what then lives with such outages. What else is wrong with the store is raised at once: a wrong
    password, say, which no waiting mends.
    """
    deadline = time.monotonic() + seconds
    failures = 0
    while True:
        try:
            return operation()
        except (StoreUnreachableError, StoreLockedError) as error:
            failures += 1
            pause = growing(failures, longest=_PAUSES[-1])
            if time.monotonic() + pause > deadline:
                raise
            log.warning("store.trouble retry_seconds=%.2f error=%s", pause, error)
            time.sleep(pause)


def growing(failures: int, *, longest: float) -> float:
    """Return how many seconds to wait after that many failures in a row."""
    return jittered(min(longest, _PAUSES[0] * 2 ** min(failures, 10)))  # an outage may last for days


def jittered(seconds: float) -> float:
    """Return about as many seconds, so that those who were in each other's way come back at different times."""
    return seconds * random.uniform(0.5, 1.5)  # noqa: S311 - no secret


def _again(
    operation: Callable[P, T], passing: type[StoreUnreachableError], pauses: tuple[float, ...]
) -> Callable[P, T]:
    @wraps(operation)
    def again(*arguments: P.args, **options: P.kwargs) -> T:
        for pause in pauses:
            try:
                return operation(*arguments, **options)
            except passing as error:
                log.warning("store.retry operation=%s error=%s", operation.__name__.lstrip("_"), error)
                time.sleep(jittered(pause))
        return operation(*arguments, **options)

    return again
