"""What a job can be: a function, a script, or a call of a published function; imports nothing of ours."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rxsql.pages import Spool


class JobKind(StrEnum):
    """What a job runs; each member is also the word in `jobs.kind`."""

    FUNCTION = "function"
    SCRIPT = "script"
    PUBLISHED = "published"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewScript:
    """The script of a job, or the arguments of a published function (then without a text).

    Args:
        language: "Python".
        script: The text.
        input_name: The variable that holds the input table.
        output_name: The variable whose table is returned.
        params: Parameters as JSON: an array of objects, or for a published function an object of its arguments.
        frames: Each task's input pages.
    """

    language: str
    script: str | None
    input_name: str
    output_name: str
    params: str
    frames: Sequence[Spool]

    @property
    def digest(self) -> str:
        """What is signed of it."""
        return script_digest(self.language, self.script, self.input_name, self.output_name, self.params)


def script_digest(*parts: str | None) -> str:
    """Return the hash of what decides which code a script job runs: all that `scripts` says of it."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFunction:
    """A row of `published`: a function that SQL may call by name."""

    name: str
    function_name: str
    function_hash: str
    python: str
    published_by: str
    published_at: datetime
    signature: str | None
