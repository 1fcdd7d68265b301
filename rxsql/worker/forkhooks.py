"""Fork hooks that a process with one thread can do without: they put right what other threads may hold in a fork.

`threading` and `logging` register such, and run them in every child: for a sixth of what a child costs.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_withheld: list[dict[str, Callable[[], object]]] = []


@contextmanager
def withheld() -> Iterator[None]:
    """Keep back the hooks that modules register which are imported here for the first time."""
    register = os.register_at_fork
    os.register_at_fork = lambda **hooks: _withheld.append(hooks)
    try:
        yield
    finally:
        os.register_at_fork = register


def restore() -> None:
    """Register what was kept back: from now on this process may fork with other threads alive."""
    for hooks in _withheld:
        os.register_at_fork(**hooks)
    _withheld.clear()
