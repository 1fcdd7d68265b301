"""Where signing keys come from: a file that only its owner can read, or a variable."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from rxsql.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SHORTEST = 16  # characters
_MAKE_ONE = 'Make one: python3 -c "import secrets; print(secrets.token_urlsafe(32))"'


def read_keys(listed: str, file: str) -> dict[str, bytes]:
    """Return signing keys by their ids, in their order; a key is the bytes of its text.

    Args:
        listed: `id:key`, separated by commas; or nothing.
        file: The path of a file with a line `id key` for each key, beside empty lines and `#` comments; or nothing.

    Raises:
        SettingsError: There are both, or the keys cannot be read or used. No key is in the message.

    Example:
        >>> read_keys("2026:correct-horse-battery-staple", "")
        {'2026': b'correct-horse-battery-staple'}
    """
    if listed and file:
        raise SettingsError("RXSQL_SIGNING_KEYS and RXSQL_SIGNING_KEY_FILE are both set. Keep one of them.")
    if file:
        return _keys("RXSQL_SIGNING_KEY_FILE", "a line is: id key", _lines(file))
    entries = [entry.strip().split(":", 1) for entry in listed.split(",") if entry.strip()]
    return _keys("RXSQL_SIGNING_KEYS", "an entry is: id:key", entries)


def _lines(file: str) -> list[list[str]]:
    try:
        with Path(file).expanduser().open(encoding="utf-8") as opened:
            mode = os.fstat(opened.fileno()).st_mode & 0o777
            if mode & 0o077:
                raise SettingsError(
                    f"RXSQL_SIGNING_KEY_FILE: others than its owner may use {file} (mode {mode:o}). "
                    f"Run: chmod 600 {file}"
                )
            lines = opened.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"RXSQL_SIGNING_KEY_FILE: {file} cannot be read: {error}.") from None
    found = [line.split(maxsplit=1) for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not found:
        raise SettingsError(f"RXSQL_SIGNING_KEY_FILE: {file} has no keys; a line is: id key")
    return found


def _keys(variable: str, form: str, entries: Iterable[list[str]]) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for number, entry in enumerate(entries, start=1):
        # The text itself may be a key, so no message shows it.
        if len(entry) != 2 or not _KEY_ID.fullmatch(entry[0]):  # noqa: PLR2004 - an id and a key
            raise SettingsError(f"{variable}: key {number} is not as it should be; {form}")
        key_id, key = entry[0], entry[1].strip()
        if len(key) < _SHORTEST:
            raise SettingsError(
                f"{variable}: the key {key_id!r} has less than {_SHORTEST} characters. {_MAKE_ONE}"
            )
        if key_id in keys:
            raise SettingsError(f"{variable}: two keys have the id {key_id!r}.")
        keys[key_id] = key.encode()
    return keys
