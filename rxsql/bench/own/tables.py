"""What it costs to send a table through a script: time, and memory of all who have to do with it."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import psutil

from rxsql import rx_execute_script
from rxsql.bench.peers.protocol import need

if TYPE_CHECKING:
    from pathlib import Path

    from rxsql.bench.site import Site
    from rxsql.bench.sizes import Sizes

_COLUMNS = 10
_SAMPLE_SECONDS = 0.01


def table(site: Site, sizes: Sizes, _folder: Path) -> dict[str, float]:
    """Return how long a table is on its way into a script and out again, and what memory a larger one takes.

    Raises:
        PeerMissingError: pandas, which scripts need, is not installed.
    """
    need("pandas")
    rows = _table(sizes.table_rows_large)
    _pass(site, rows.head(10))
    seconds = _pass(site, rows.head(sizes.table_rows))
    gc.collect()
    with Peaks(site) as peaks:
        _pass(site, rows)
    return {"table": seconds, **{f"table-{who}": peak for who, peak in peaks.megabytes().items()}}


def _pass(site: Site, rows: Any) -> float:
    begun = time.perf_counter()
    result = rx_execute_script("OutputDataSet = InputDataSet", rows, compute_context=site.context)
    seconds = time.perf_counter() - begun
    assert len(result.output) == len(rows)  # type: ignore[union-attr]
    return seconds


class Peaks:
    """The most memory that client, supervisor and child have, beyond what they have at its start.

    Args:
        site: Whose.
    """

    def __init__(self, site: Site) -> None:
        self._supervisor, *_ = site.supervising()
        self._client = psutil.Process()
        self._first: dict[psutil.Process, int] = {}
        self._most: dict[psutil.Process, int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_SAMPLE_SECONDS):
            self._sample()

    def _sample(self) -> None:
        with contextlib.suppress(psutil.Error):  # a child that has just ended
            for process in (self._client, self._supervisor, *self._supervisor.children(recursive=True)):
                size = process.memory_info().rss
                self._first.setdefault(process, size)
                self._most[process] = max(self._most.get(process, 0), size)

    def megabytes(self) -> dict[str, float]:
        """Return the peaks."""
        grown = {process: (self._most[process] - self._first[process]) / 1e6 for process in self._most}
        client, worker = grown.pop(self._client), grown.pop(self._supervisor)
        return {"client": client, "worker": worker, "child": max(grown.values(), default=0.0)}


def _table(count: int) -> Any:
    import pandas as pd  # noqa: PLC0415 - an optional library, and slow to import

    numbers = range(count)
    kinds: tuple[Any, ...] = (
        lambda n, c: n * c,
        lambda n, c: n / (c + 1),
        lambda n, c: f"text {n % 1000} of {c}",
    )
    return pd.DataFrame(
        {f"column_{c}": [kinds[c % len(kinds)](number, c) for number in numbers] for c in range(_COLUMNS)}
    )
