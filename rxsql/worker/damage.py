"""What in a job's rows keeps it from being run: values that nobody of ours writes, or that cannot be handed on."""

from __future__ import annotations

import struct
import tempfile

from rxsql.errors import PayloadError, StoreRefusedError

# Of other types, too deep, or out of range.
_DAMAGE = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError, struct.error)
UNUSABLE = (PayloadError, StoreRefusedError, *_DAMAGE)
UNREADABLE = (*UNUSABLE, OSError)  # where an input is read: a large table passes through a file


def why_unusable(error: Exception) -> str:
    """Return the reason for which such a job fails."""
    if isinstance(error, (PayloadError, StoreRefusedError)):
        return str(error)
    if isinstance(error, OSError):
        return f"The input cannot be handed on through {tempfile.gettempdir()}: {error}."
    return f"The job's rows are damaged ({type(error).__name__}: {error}). Submit the job again."
