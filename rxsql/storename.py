"""What the name of a store may be: an ODBC string, a URL or a path; and how it is shown."""

from __future__ import annotations

import re

_ODBC_START = re.compile(r"(?i)\s*(driver|server|data source|address|addr|dsn|filedsn|database|uid)\s*=")
_SECRET = re.compile(r"(?i)\b(pwd|password)\s*=\s*(\{(?:[^}]|\}\})*\}|[^;]*)")
_URL_SECRET = re.compile(r"(?<=://)([^:/@]*):([^@]*)@")


def is_odbc(name: str) -> bool:
    """Whether a name is an ODBC connection string, as revoscalepy's scripts have it.

    Example:
        >>> is_odbc("Driver=SQL Server;Server=.;Database=RevoTestDb;Trusted_Connection=True;")
        True
        >>> is_odbc("/data/run=3/jobs.db")
        False
    """
    return "://" not in name and (";" in name or _ODBC_START.match(name) is not None)


def redacted(name: str) -> str:
    """Return a connection string or URL without its password.

    Example:
        >>> redacted("Server=.;UID=me;PWD=secret")
        'Server=.;UID=me;PWD=***'
    """
    return _URL_SECRET.sub(r"\1:***@", _SECRET.sub(r"\1=***", name))
