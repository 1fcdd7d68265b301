"""What the name of a store may be: an ODBC string, a URL or a path; and how it is shown."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote_plus

_URL_START = re.compile(r"\s*[A-Za-z][\w+.-]*://")
_ODBC_START = re.compile(
    r"(?i)\s*(driver|server|data source|address|addr|network address|dsn|filedsn|database|initial catalog"
    r"|uid|user id|user|pwd|password|trusted_connection|integrated security|encrypt|app|application name)\s*="
)
_WORD = r"(?i)(\w*(?:pwd|password|secret))\s*="
# Braces that nobody closes, and what stands behind closed ones, may be a piece of the password as well.
_SECRET = re.compile(_WORD + r"\s*(?:\{(?:[^}]|\}\})*(?:\}[^;]*|\Z)|[^;]*)")
_QUERY_SECRET = re.compile(_WORD + r"[^&]*")
# A password that was not escaped may have an @ itself, and a user too: me@corp.
_URL_SECRET = re.compile(r"(?<=://)([^:/]*):[^@]*@(?:[^?]*@)?")


@lru_cache(maxsize=16)  # each job asks for its context's
def is_odbc(name: str) -> bool:
    """Whether a name is an ODBC connection string, as revoscalepy's scripts have it.

    Example:
        >>> is_odbc("Driver=SQL Server;Server=.;Database=RevoTestDb;Trusted_Connection=True;")
        True
        >>> is_odbc("/data/run=3/jobs.db")
        False
    """
    return _URL_START.match(name) is None and (";" in name or _ODBC_START.match(name) is not None)


@lru_cache(maxsize=16)
def redacted(name: str) -> str:
    """Return a connection string or URL without its password.

    Example:
        >>> redacted("Server=.;UID=me;PWD=secret")
        'Server=.;UID=me;PWD=***'
        >>> redacted("mssql+pyodbc:///?odbc_connect=Server%3D.%3BPWD%3Dsecret")
        'mssql+pyodbc:///?odbc_connect=Server=.;PWD=***'
    """
    if _URL_START.match(name) is None:
        return _SECRET.sub(r"\1=***", name)
    front, string, odbc = _URL_SECRET.sub(r"\1:***@", name).partition("odbc_connect=")
    return _QUERY_SECRET.sub(r"\1=***", front) + string + _SECRET.sub(r"\1=***", unquote_plus(odbc))
