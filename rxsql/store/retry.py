"""Tries again while the store is out of reach; the one place where that is done."""

from __future__ import annotations

import logging
import random
import time
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from rxsql.errors import StoreUnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger("rxsql.store")
_PAUSES = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0)  # seconds, before jitter


def retried(operation: Callable[P, T]) -> Callable[P, T]:
    """Try an operation again, a few times with growing pauses, while the store is out of reach.

    For operations that may be done twice: reads, and writes that change nothing the second time.
    """

    @wraps(operation)
    def again(*arguments: P.args, **options: P.kwargs) -> T:
        for pause in _PAUSES:
            try:
                return operation(*arguments, **options)
            except StoreUnreachableError as error:
                log.warning("store.retry operation=%s error=%s", operation.__name__, error)
                time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, no secret
        return operation(*arguments, **options)

    return again
