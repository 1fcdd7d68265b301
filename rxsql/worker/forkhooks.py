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
    """Keep back the hooks that modules register which are imported here for the first time.

    Only this process forks without them; those that it forks have them as soon as they fork in turn.
    """
    here, register = os.getpid(), os.register_at_fork

    def before() -> None:
        if os.getpid() != here:
            restore(is_forking=True)

    os.register_at_fork = lambda **hooks: _withheld.append(hooks)
    try:
        yield
    finally:
        os.register_at_fork = register
        register(before=before)


def restore(*, is_forking: bool = False) -> None:
    """Register what was kept back: from now on this process may fork with other threads alive.

    Args:
        is_forking: Whether this is called before a fork, for which hooks are taken that were there already.
    """
    restored = [*_withheld]
    _withheld.clear()
    for hooks in restored:
        os.register_at_fork(**hooks)
    for hooks in reversed(restored) if is_forking else ():
        if "before" in hooks:
            hooks["before"]()
