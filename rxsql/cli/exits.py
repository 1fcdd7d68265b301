"""The exit codes, the same in every command."""

from __future__ import annotations

from enum import IntEnum

from rxsql.models import RxRemoteJobStatus


class Exit(IntEnum):
    """What a command ends with."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CANCELED = 3
    MISSING = 4
    UNFINISHED = 5
    INTERRUPTED = 130


_OF_STATUS = {
    RxRemoteJobStatus.QUEUED: Exit.UNFINISHED,
    RxRemoteJobStatus.RUNNING: Exit.UNFINISHED,
    RxRemoteJobStatus.FINISHED: Exit.OK,
    RxRemoteJobStatus.FAILED: Exit.FAILED,
    RxRemoteJobStatus.CANCELED: Exit.CANCELED,
    RxRemoteJobStatus.UNDETERMINED: Exit.MISSING,
    RxRemoteJobStatus.MISSING: Exit.MISSING,
}


def exit_of(status: RxRemoteJobStatus) -> Exit:
    """Return the exit code that says where a job stands."""
    return _OF_STATUS[status]
