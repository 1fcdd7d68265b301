"""Publishes functions of installed or local modules, for callers of plain SQL."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any

from rxsql import payload
from rxsql.client.submitting import submitter
from rxsql.errors import ArgumentsError
from rxsql.settings import Settings
from rxsql.store import publishing

if TYPE_CHECKING:
    from rxsql.store.engine import Store

_NAME = re.compile(r"[\w.:-]{1,128}")


def publish(store: Store, target: str, name: str | None = None) -> tuple[str, bool]:
    """Publish a function under a name of its own, else the function's.

    Args:
        store: Where to.
        target: `module:function`.
        name: The name that SQL calls it by.

    Returns:
        The name, and whether it was published before.

    Raises:
        ArgumentsError: There is no such function, or the name cannot be one.
        PayloadError: It cannot be pickled.
    """
    function = _find(target)
    chosen = payload.name_of(function) if name is None else name
    if not _NAME.fullmatch(chosen):
        raise ArgumentsError(f"A published name is up to 128 letters, digits and . _ : -; {chosen!r} is not.")
    body = payload.dump_function(function, {})
    keyring = payload.Keyring.from_settings(Settings.from_environment())
    row = {
        "name": chosen,
        "function_name": target,
        "python": payload.PYTHON,
        "published_by": submitter(),
        "signature": keyring.sign_published(chosen, body, payload.PYTHON),
    }
    replaced = publishing.publish(store, body, row)
    return chosen, replaced


def _find(target: str) -> Any:
    module_name, separator, path = target.partition(":")
    if not (separator and module_name and path):
        raise ArgumentsError(f"Name a function as module:function; {target!r} is not.")
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise ArgumentsError(f"The module {module_name!r} cannot be imported here: {error}.") from error
    for part in path.split("."):
        if not hasattr(found, part):
            raise ArgumentsError(f"The module {module_name!r} has no {path!r}.")
        found = getattr(found, part)
    if not callable(found):
        raise ArgumentsError(f"{target} is no function.")
    return found
