"""What it costs to send a table through a script."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rxsql import rx_execute_script
from rxsql.bench.peers.protocol import need

if TYPE_CHECKING:
    from pathlib import Path

    from rxsql.bench.site import Site
    from rxsql.bench.sizes import Sizes

_COLUMNS = 10


def table(site: Site, sizes: Sizes, _folder: Path) -> dict[str, float]:
    """Return how long a table is on its way into a script and out again: whole numbers, fractions and text.

    Raises:
        PeerMissingError: pandas, which scripts need, is not installed.
    """
    need("pandas")
    rows = _table(sizes.table_rows)
    rx_execute_script("OutputDataSet = InputDataSet", rows.head(10), compute_context=site.context)
    begun = time.perf_counter()
    result = rx_execute_script("OutputDataSet = InputDataSet", rows, compute_context=site.context)
    seconds = time.perf_counter() - begun
    assert len(result.output) == len(rows)  # type: ignore[union-attr]
    return {"table": seconds}


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
