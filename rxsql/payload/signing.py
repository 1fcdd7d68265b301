"""Signatures: an HMAC-SHA256 over bytes and where they belong, checked before anything is unpickled."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rxsql.errors import SettingsError, SignatureError
from rxsql.payload.keyfile import read_keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rxsql.models import NewJob, WorkItem
    from rxsql.settings import Settings

MAGIC = b"RXS1"
_MAC_BYTES = 32
_HEAD = len(MAGIC) + 1  # and the length of the key's id
_LENGTH = struct.Struct("<Q")
_CONTEXT = b"rxsql signature 1"
_COPY_BELOW = 64 * 1024  # up to here one call over a copy is quicker than a running HMAC
_JOB_SIGNATURE = re.compile(r"([^:]+):([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Subject:
    """What bytes are and where they belong: the same bytes at another place have another signature.

    Args:
        kind: What they are, in the words that a person reads when they are refused.
        job_id: The job.
        numbers: The place in the job: a task and its runs, or a run.
    """

    kind: str
    job_id: str
    numbers: tuple[int, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """What a signature covers besides the bytes."""
        return (self.kind, self.job_id, *map(str, self.numbers))

    def __str__(self) -> str:
        place = f" {self.numbers[0]}" if self.numbers else ""
        return f"the {self.kind}{place} of job {self.job_id}"


def shared_input(job_id: str) -> Subject:
    """The input that all runs of a job share."""
    return Subject("shared input", job_id)


def task_input(job_id: str, task: int, first_run: int, run_count: int) -> Subject:
    """The input of a task, for just these runs."""
    return Subject("input of task", job_id, (task, first_run, run_count))


def result(job_id: str, run: int, *, failed: bool) -> Subject:
    """What a run ended with: its value, or its exception."""
    return Subject("exception of run" if failed else "result of run", job_id, (run,))


class Keyring:
    """The keys that this process signs with and believes; without keys, signatures are only taken off.

    Args:
        keys: Keys by their ids; the first one signs, all are believed, so that keys can be changed one after another.
        required: Whether what is not signed is refused.
    """

    def __init__(self, keys: Mapping[str, bytes] | None = None, *, required: bool = False) -> None:
        self._keys = dict(keys or {})
        self._required = required
        self._signer = next(iter(self._keys), None)
        self._head = b"" if self._signer is None else _head(self._signer)

    @classmethod
    def from_settings(cls, settings: Settings) -> Keyring:
        """Return the keys that the settings name.

        Raises:
            SettingsError: They cannot be read or used, or signatures are required and there are none.
        """
        keys = read_keys(settings.signing_keys, settings.signing_key_file)
        if settings.require_signature and not keys:
            raise SettingsError(
                "RXSQL_REQUIRE_SIGNATURE is 1, and there is no key. "
                "Set RXSQL_SIGNING_KEY_FILE or RXSQL_SIGNING_KEYS too."
            )
        return cls(keys, required=settings.require_signature)

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self._keys) or 'no keys'}{', required' if self._required else ''})"

    # ---------------------------------------------------------------------------------------------- payloads

    def seal(self, body: bytes, subject: Subject) -> bytes:
        """Return `body` in a signed envelope; as it is where there is no key."""
        if self._signer is None:
            return body
        return b"".join((self._head, _mac(self._keys[self._signer], subject.fields, body), body))

    def unseal(self, stored: bytes, subject: Subject) -> bytes:
        """Return what is in an envelope, or bytes without one as they are; nothing is unpickled.

        Raises:
            SignatureError: The signature does not fit, or there is none and one is required.
        """
        if not isinstance(stored, bytes):  # SQLite lets a person put text there
            raise SignatureError(str(subject), "it is no bytes")
        if not stored.startswith(MAGIC):
            if self._required:
                raise _unsigned(subject)
            return stored
        start = _HEAD + (stored[len(MAGIC)] if len(stored) > len(MAGIC) else 0)
        if len(stored) < start + _MAC_BYTES:
            raise SignatureError(str(subject), "it is cut off within its signature")
        body = stored[start + _MAC_BYTES :]
        if self._signer is not None:
            key = self._key(stored[_HEAD:start].decode(errors="replace"), subject)
            if not hmac.compare_digest(stored[start : start + _MAC_BYTES], _mac(key, subject.fields, body)):
                raise _changed(subject)
        return body

    def _key(self, key_id: str, subject: Subject) -> bytes:
        if key_id not in self._keys:
            here = ", ".join(self._keys)
            raise SignatureError(
                str(subject), f"it is signed with the key {key_id!r}, and this process believes: {here}"
            )
        return self._keys[key_id]

    # -------------------------------------------------------------------------------------------------- jobs

    def sign_job(self, job: NewJob) -> str | None:
        """Return the signature over what decides which code a job runs; None where there is no key."""
        if self._signer is None:
            return None
        facts = _facts(job, hashlib.sha256(job.function).hexdigest())
        return f"{self._signer}:{_mac(self._keys[self._signer], facts).hex()}"

    def check_job(self, item: WorkItem) -> None:
        """See that a job's row and function are what somebody with a key submitted.

        Raises:
            SignatureError: They are not, or the job is not signed and has to be.
        """
        subject = Subject("row", item.job_id)
        if item.signature is None:
            if self._required:
                raise _unsigned(subject)
            return
        if self._signer is None:
            return
        parts = _JOB_SIGNATURE.fullmatch(item.signature)
        if parts is None:
            raise SignatureError(str(subject), "its column signature holds none")
        key = self._key(parts[1], subject)
        if not hmac.compare_digest(parts[2], _mac(key, _facts(item, item.function_hash)).hex()):
            raise _changed(subject)
        if hashlib.sha256(item.function).hexdigest() != item.function_hash:
            raise SignatureError(
                str(Subject("function", item.job_id)), "its bytes are not those that were signed"
            )


def _head(key_id: str) -> bytes:
    name = key_id.encode()
    return MAGIC + bytes([len(name)]) + name


def _mac(key: bytes, fields: Sequence[str], body: bytes = b"") -> bytes:
    # How many fields there are, and each one's length before it: no two lists of fields are ever the same bytes.
    parts = [_CONTEXT, _LENGTH.pack(len(fields))]
    for field in fields:
        text = field.encode(errors="surrogatepass")
        parts += (_LENGTH.pack(len(text)), text)
    head = b"".join(parts)
    if len(body) < _COPY_BELOW:
        return hmac.digest(key, head + body, "sha256")
    running = hmac.new(key, head, "sha256")
    running.update(body)
    return running.digest()


def _facts(job: NewJob | WorkItem, function_hash: str) -> tuple[str, ...]:
    """Return what decides which code a job runs, and on how much."""
    return (
        "job",
        job.job_id,
        function_hash,
        str(job.run_count),
        str(int(job.has_inputs)),
        str(int(job.shared_input is not None)),
        json.dumps(list(job.packages_to_load)),
        job.python,
    )


def _unsigned(subject: Subject) -> SignatureError:
    return SignatureError(str(subject), "it is not signed, and RXSQL_REQUIRE_SIGNATURE is set here")


def _changed(subject: Subject) -> SignatureError:
    return SignatureError(
        str(subject), "its signature does not fit: it was changed, or put where it does not belong"
    )
