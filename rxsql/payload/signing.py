"""Signatures: an HMAC-SHA256 over bytes and where they belong, checked before anything is unpickled."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from rxsql.errors import SettingsError, SignatureError
from rxsql.kinds import JobKind
from rxsql.payload.keyfile import read_keys
from rxsql.sections import Pieces

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rxsql.models import NewJob, WorkItem
    from rxsql.settings import Settings

Payload = TypeVar("Payload", bound="bytes | memoryview | Pieces")
Stored = TypeVar("Stored", bound="bytes | memoryview")
MAGIC = b"RXS1"
_MAC_BYTES = 32
_HEAD = len(MAGIC) + 1  # and the length of the key's id
_NUMBER = struct.Struct("<q")
_CONTEXT = b"rxsql signature 1"
_COPY_BELOW = 64 * 1024  # up to here one call over a copy is quicker than a running HMAC
_JOB_SIGNATURE = re.compile(r"([^:]+):([0-9a-f]{64})")


class Subject(NamedTuple):
    """What bytes are and where they belong: the same bytes at another place have another signature.

    Args:
        kind: What they are, in the words that a person reads when they are refused.
        job_id: The job.
        numbers: The place in the job: a task and its runs, or a run.
    """

    kind: str
    job_id: str
    numbers: tuple[int, ...] = ()

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


def _row(job_id: str) -> Subject:
    return Subject("row", job_id)


def _published(name: str) -> Subject:
    return Subject("published function", name)


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
        if not (settings.signing_keys or settings.signing_key_file or settings.require_signature):
            return _NO_KEYS
        keys = read_keys(settings.signing_keys, settings.signing_key_file)
        if settings.require_signature and not keys:
            raise SettingsError(
                "RXSQL_REQUIRE_SIGNATURE is 1, and there is no key. "
                "Set RXSQL_SIGNING_KEY_FILE or RXSQL_SIGNING_KEYS too."
            )
        return cls(keys, required=settings.require_signature)

    @property
    def signs(self) -> bool:
        """Whether there is a key to sign with."""
        return self._signer is not None

    def ignores(self, stored: bytes | memoryview) -> bool:
        """Whether `unseal` returns what begins with these bytes as it is, wherever it belongs."""
        return not self._required and stored[: len(MAGIC)] != MAGIC

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self._keys) or 'no keys'}{', required' if self._required else ''})"

    # ---------------------------------------------------------------------------------------------- payloads

    def seal(self, body: Payload, subject: Subject) -> Payload | bytes:
        """Return `body` in a signed envelope; as it is where there is no key."""
        if self._signer is None:
            return body
        whole = bytes(body) if isinstance(body, Pieces) else body
        return b"".join((self._head, _mac(self._keys[self._signer], subject, whole), whole))

    def unseal(self, stored: Stored, subject: Subject) -> Stored | bytes:
        """Return what is in an envelope, or bytes without one as they are; nothing is unpickled.

        Raises:
            SignatureError: The signature does not fit, or there is none and one is required.
        """
        if not isinstance(stored, bytes | memoryview):  # SQLite lets a person put text there
            raise SignatureError(str(subject), "it is no bytes")
        if self.ignores(stored):
            return stored
        # A copy: a file that was mapped might be changed after the check.
        return self._checked(bytes(stored), subject)

    def _checked(self, stored: bytes, subject: Subject) -> bytes:
        if not stored.startswith(MAGIC):
            raise _unsigned(subject)
        start = _HEAD + (stored[len(MAGIC)] if len(stored) > len(MAGIC) else 0)
        if len(stored) < start + _MAC_BYTES:
            raise SignatureError(str(subject), "it is cut off within its signature")
        body = stored[start + _MAC_BYTES :]
        if self._signer is not None:
            key = self._key(stored[_HEAD:start].decode(errors="replace"), subject)
            if not hmac.compare_digest(stored[start : start + _MAC_BYTES], _mac(key, subject, body)):
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
        script = None if job.script is None else job.script.digest
        facts = _facts(job, hashlib.sha256(job.function).hexdigest() if job.function else "", script)
        return f"{self._signer}:{_mac(self._keys[self._signer], _row(job.job_id), facts).hex()}"

    def sign_published(self, name: str, function: bytes, python: str) -> str | None:
        """Return the signature by which callers without a key may run a function; None where there is no key."""
        if self._signer is None:
            return None
        facts = json.dumps([hashlib.sha256(function).hexdigest(), python]).encode()
        return f"{self._signer}:{_mac(self._keys[self._signer], _published(name), facts).hex()}"

    def check_job(self, item: WorkItem) -> None:
        """See that a job's row and function are what somebody with a key submitted.

        Raises:
            SignatureError: They are not, or the job is not signed and has to be.
        """
        subject, facts = _row(item.job_id), _facts(item, item.function_hash, item.script_digest)
        if item.kind is JobKind.PUBLISHED:  # its caller has no key; who published it had one
            subject = _published(item.name)
            facts = json.dumps([item.function_hash, item.python]).encode()
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
        if not hmac.compare_digest(parts[2], _mac(key, subject, facts).hex()):
            raise _changed(subject)
        if item.function_hash and hashlib.sha256(item.function).hexdigest() != item.function_hash:
            raise SignatureError(
                str(Subject("function", item.job_id)), "its bytes are not those that were signed"
            )


_NO_KEYS = Keyring()


def _head(key_id: str) -> bytes:
    name = key_id.encode()
    return MAGIC + bytes([len(name)]) + name


def _mac(key: bytes, subject: Subject, body: bytes | memoryview) -> bytes:
    head = _words(subject.kind, subject.job_id, len(subject.numbers)) + b"".join(
        [_NUMBER.pack(number) for number in subject.numbers]
    )
    if len(body) < _COPY_BELOW:
        return hmac.digest(key, b"".join((head, body)), "sha256")
    running = hmac.new(key, head, "sha256")
    running.update(body)
    return running.digest()


@lru_cache(maxsize=64)
def _words(kind: str, job_id: str, numbers: int) -> bytes:
    """Return what a signature begins with: each text comes after its length, so that none runs into another."""
    parts = [_CONTEXT, _NUMBER.pack(numbers)]
    for word in (kind, job_id):
        text = word.encode(errors="surrogatepass")
        parts += (_NUMBER.pack(len(text)), text)
    return b"".join(parts)


def _facts(job: NewJob | WorkItem, function_hash: str, script: str | None = None) -> bytes:
    """Return what decides which code a job runs, and on how much."""
    facts = [
        function_hash,
        job.run_count,
        bool(job.has_inputs),
        job.shared_input is not None and script is None,
        list(job.packages_to_load),
        job.python,
    ]
    return json.dumps(facts if script is None else [*facts, script]).encode()


def _unsigned(subject: Subject) -> SignatureError:
    return SignatureError(str(subject), "it is not signed, and RXSQL_REQUIRE_SIGNATURE is set here")


def _changed(subject: Subject) -> SignatureError:
    return SignatureError(
        str(subject), "its signature does not fit: it was changed, or put where it does not belong"
    )
