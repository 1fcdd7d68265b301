"""Large results on their way into the store, page by page, before the report that tells of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rxsql.pages import OUT
from rxsql.store import scripts, tasks
from rxsql.store.retry import retried_when_undone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rxsql.pages import Page
    from rxsql.reports import RunOutcome
    from rxsql.store.engine import Store


@retried_when_undone
def add_pages(
    store: Store,
    worker_key: int,
    entry: RunOutcome,
    pages: Sequence[Page],
    *,
    anew: bool = False,
    are_plain: bool = False,
) -> bool:
    """Store some pages of a run's result in a transaction of their own; return False where the task is not held.

    Args:
        store: Where.
        worker_key: The worker that has run it.
        entry: The run's outcome, which is not written yet.
        pages: The pages; those that are there stay as they are.
        anew: Whether pages that are there are removed first.
        are_plain: Whether they are stored as they are, and never as rows of a table.
    """
    with store.write(durable=False) as connection:  # the report that comes last waits for the disk
        if not tasks.holds(connection, store, worker_key, entry):
            return False
        if anew:
            scripts.drop_outputs(connection, entry)
        for page in pages:
            if page.direction == OUT and not are_plain:
                scripts.add_large_output(connection, store, entry.job_key, entry.task, page)
            else:
                scripts.add_pages(connection, store, entry.job_key, entry.task, [page])
    return True
