"""pandas and numpy, imported when a table is made or read; a sentence where they are missing."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

from rxsql.errors import ScriptError


@cache
def pandas() -> Any:
    """Return the module pandas.

    Raises:
        ScriptError: It cannot be imported here.
    """
    try:
        import pandas as pd  # noqa: PLC0415 - an optional library, and slow to import
    except ImportError as error:
        raise ScriptError(
            f"Scripts need pandas, which {sys.executable} cannot import ({error}). "
            f"Install it there: {sys.executable} -m pip install 'rxsql[scripts]'"
        ) from None
    return pd


@cache
def numpy() -> Any:
    """Return the module numpy, which comes with pandas."""
    pandas()
    import numpy as np  # noqa: PLC0415

    return np
