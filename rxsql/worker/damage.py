"""What comes of values in a job's rows that nobody of ours writes: of other types, too deep, or out of range."""

from __future__ import annotations

import struct

DAMAGED = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError, struct.error)


def damaged(error: Exception) -> str:
    """Return the reason for which such a job fails."""
    return f"The job's rows are damaged ({type(error).__name__}: {error}). Submit the job again."
