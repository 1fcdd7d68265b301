"""A worker in the test's own process, which takes its turns."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from conftest import wait_until

from rxsql.settings import Settings
from rxsql.store.engine import Store
from rxsql.worker.pool import Pool
from rxsql.worker.supervisor import Supervisor


@contextmanager
def taking_turns(store: Store) -> Iterator[Supervisor]:
    """Have a worker in this process, whose turns the test takes."""
    settings = Settings(slots=2)
    pool = Pool(settings)
    pool.wait_ready()
    made = Supervisor(store, settings, pool)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    made.listen()
    try:
        yield made
    finally:
        made._sign_off()
        for number, handler in handlers.items():
            signal.signal(number, handler)


@pytest.fixture
def supervisor(store: Store) -> Iterator[Supervisor]:
    with taking_turns(store) as made:
        yield made


def turn_until(supervisor: Supervisor, condition: Callable[[], Any]) -> None:
    """Take turns until something is so."""
    wait_until(lambda: (supervisor._turn(), condition())[1])
