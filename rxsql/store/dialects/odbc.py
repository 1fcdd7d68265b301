"""ODBC connection strings: what revoscalepy's users write becomes what today's drivers for SQL Server accept."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from rxsql.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PAIR = re.compile(
    r"\s*(?P<key>[^=;{}]*?)\s*=\s*"
    r"(?:\{(?P<braced>(?:[^}]|\}\})*)\}|(?!\{)(?P<plain>[^;]*?))"
    r"\s*(?:;[\s;]*|\Z)"
)
_PLAIN = re.compile(r"[\w.,:/\\()+-]*", re.ASCII)


class _Keyword(NamedTuple):
    """What else means a keyword, which words its True and False become, and whether mssql-python knows it."""

    synonyms: tuple[str, ...] = ()
    booleans: tuple[str, str] | None = None
    portable: bool = False


_YES_NO = ("yes", "no")
_ENABLED_DISABLED = ("Enabled", "Disabled")
_TRUE = {"true", "yes", "1", "on", "sspi"}
_FALSE = {"false", "no", "0", "off"}

# Microsoft's spelling of each keyword; the synonyms are ADO.NET's, OLE DB's and older drivers' words. Blanks,
# underscores and case do not count. What stands nowhere here is handed on as it is.
_KEYWORDS = {
    "Driver": _Keyword(),
    "DSN": _Keyword(),
    "FileDSN": _Keyword(),
    "Port": _Keyword(),
    "Server": _Keyword(("Data Source", "Address", "Addr", "Network Address"), portable=True),
    "Database": _Keyword(("Initial Catalog",), portable=True),
    "UID": _Keyword(("User ID", "User", "User Name"), portable=True),
    "PWD": _Keyword(("Password",), portable=True),
    "Trusted_Connection": _Keyword(("Integrated Security",), _YES_NO, portable=True),
    "Authentication": _Keyword(portable=True),
    "Encrypt": _Keyword((), _YES_NO, portable=True),  # its own words besides: mandatory, optional, strict
    "TrustServerCertificate": _Keyword((), _YES_NO, portable=True),
    "HostnameInCertificate": _Keyword(portable=True),
    "ServerCertificate": _Keyword(portable=True),
    "ServerSPN": _Keyword(portable=True),
    "ApplicationIntent": _Keyword(portable=True),
    "MultiSubnetFailover": _Keyword((), _YES_NO, portable=True),
    "ConnectRetryCount": _Keyword(portable=True),
    "ConnectRetryInterval": _Keyword(portable=True),
    "IpAddressPreference": _Keyword(portable=True),
    "KeepAlive": _Keyword(portable=True),
    "KeepAliveInterval": _Keyword(portable=True),
    "PacketSize": _Keyword(portable=True),
    "APP": _Keyword(("Application Name",)),
    "WSID": _Keyword(("Workstation ID",)),
    "Language": _Keyword(("Current Language",)),
    "AttachDBFileName": _Keyword(("Initial File Name",)),
    "MARS_Connection": _Keyword(("MultipleActiveResultSets",)),
    "ColumnEncryption": _Keyword(("Column Encryption Setting",), _ENABLED_DISABLED),
    "TransparentNetworkIPResolution": _Keyword((), _ENABLED_DISABLED),
    "AnsiNPW": _Keyword((), _YES_NO),
    "AutoTranslate": _Keyword((), _YES_NO),
    "LongAsMax": _Keyword((), _YES_NO),
    "QuotedId": _Keyword((), _YES_NO),
    "Regional": _Keyword((), _YES_NO),
    "UseFMTONLY": _Keyword((), _YES_NO),
}

_MICROSOFTS = re.compile(r"(?i)ODBC Driver (1[7-9]|[2-9]\d) for SQL Server")  # that stand in for others
_USUAL, _FREETDS = "ODBC Driver 18 for SQL Server", "FreeTDS"
_LEGACY = re.compile(
    r"(?i)SQL Server|SQL (Server )?Native Client( \d+\.\d+)?|SQLNCLI\d*(\.\d+)?"
    r"|ODBC Driver (11|13|13\.1|17) for SQL Server"
)

_FOR_SQLALCHEMY = {"ansi", "unicode_results", "autocommit"}  # a URL's options that are none of the driver's


def _folded(key: str) -> str:
    return re.sub(r"[\s_]", "", key).lower()


_SPELLING = {
    _folded(word): keyword for keyword, about in _KEYWORDS.items() for word in (keyword, *about.synonyms)
}


def parse(text: str) -> dict[str, str]:
    """Return the keywords of an ODBC string, as they are written, with their values.

    Of a keyword that stands there twice, in whatever case, the first counts, as in ODBC. Blanks around a keyword or
    a value do not count; inside braces they do.

    Raises:
        StoreError: A part is malformed. The message has none of its text, which may be a piece of a password.

    Example:
        >>> parse("Server=. ; PWD={a;b}}c};")
        {'Server': '.', 'PWD': 'a;b}c'}
    """
    found: dict[str, tuple[str, str]] = {}
    rest, previous = text.strip().lstrip("; \t\r\n"), ""
    while rest:
        pair = _PAIR.match(rest)
        if pair is None or not pair["key"]:
            raise _malformed(rest, previous)
        value = pair["plain"] if pair["braced"] is None else pair["braced"].replace("}}", "}")
        found.setdefault(pair["key"].lower(), (pair["key"], value))
        rest, previous = rest[pair.end() :], pair["key"]
    return dict(found.values())


def _malformed(part: str, previous: str) -> StoreError:
    key, equals, value = part.partition("=")
    if not equals or ";" in key:
        fault = "has no `=`; a value that contains `;` must stand in braces, as in PWD={a;b}"
    elif not key.strip():
        fault = "has no keyword before its `=`"
    elif value.lstrip().startswith("{"):
        fault = "has a brace that is not closed, or text behind it; inside braces, `}` is written `}}`"
    else:
        fault = "has a brace in its keyword"
    # Only keywords are named that are surely none of a password's pieces.
    named, after = _SPELLING.get(_folded(key)), _SPELLING.get(_folded(previous))
    where = f"the part {named}" if named else f"the part after {after}" if after else "a part"
    return StoreError(f"The connection string is malformed: {where} {fault}.")


def written(values: Mapping[str, str]) -> str:
    """Return keywords and values as an ODBC string; the inverse of `parse`.

    Example:
        >>> written({"Server": ".", "PWD": "a;b}c"})
        'Server=.;PWD={a;b}}c}'
    """
    return ";".join(f"{key}={_quoted(value)}" for key, value in values.items())


def _quoted(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else "{" + value.replace("}", "}}") + "}"


def label(text: str) -> str:
    """Return a short name for messages: the server and the database, and nothing else.

    Example:
        >>> label("Driver=SQL Server;Data Source=tcp:db01,1433;Initial Catalog=RevoTestDb;UID=me;PWD=secret")
        'SQL Server db01,1433/RevoTestDb'
    """
    values = _canonical(text)
    place = values.get("Server") or f"DSN {values.get('DSN') or values.get('FileDSN')}"
    database = values.get("Database")
    return f"SQL Server {place.removeprefix('tcp:')}" + (f"/{database}" if database else "")


def normalise(text: str, drivers: Sequence[str]) -> str:
    """Return an ODBC string that the best installed driver accepts and that means the same.

    Keywords get Microsoft's spelling, True and False become yes and no, a driver's name from revoscalepy's days
    becomes that of an installed one. No certificate is trusted and no encryption given up that the string does not
    give up by itself. Several active result sets (MARS) are left out: rxsql reads each to its end.

    Args:
        text: The string as the user wrote it.
        drivers: The names of the installed drivers, as `pyodbc.drivers()` lists them.

    Raises:
        StoreError: The string is malformed, or names no server.

    Example:
        >>> normalise("Driver=SQL Server;Server=.;Trusted_Connection=True;", [])
        'Driver={ODBC Driver 18 for SQL Server};Server=.;Trusted_Connection=yes;APP=rxsql;LongAsMax=yes'
    """
    values = _canonical(text)
    if "Driver" in values:
        values["Driver"] = _driver(values, drivers)
    elif "DSN" not in values and "FileDSN" not in values:
        values = {"Driver": _driver(values, drivers), **values}
    if values.get("Driver") == _FREETDS:
        _suit_freetds(values)
    elif "Port" in values:
        _move_port(values)
    values.setdefault("APP", "rxsql")
    values.setdefault("LongAsMax", "yes")  # a long value is VARBINARY(MAX), not the old IMAGE
    return written(values)


def to_mssql_python(text: str) -> str:
    """Return the same string as the driver mssql-python accepts it: that one brings its own ODBC driver.

    Raises:
        StoreError: The string is malformed, or names no server but a data source, which mssql-python does not know.
    """
    values = _canonical(text)
    if "Server" not in values:
        raise StoreError(
            "The connection string names a data source (DSN), which the driver mssql-python does not know. "
            "Name the server: Server=host,1433;Database=…"
        )
    if "Port" in values:
        _move_port(values)
    # An unknown keyword ends mssql-python's attempt, so only what it knows is handed to it.
    return written(
        {key: value for key, value in values.items() if key in _KEYWORDS and _KEYWORDS[key].portable}
    )


def from_url(
    username: str | None = None,
    password: str | None = None,
    host: str | None = None,
    port: int | None = None,
    database: str | None = None,
    query: Mapping[str, str | Sequence[str]] | None = None,
) -> str:
    """Return the parts of a URL such as `mssql+pyodbc://me:pw@host:1433/db?Encrypt=yes` as an ODBC string.

    What the query names goes into the string; `odbc_connect` is the string. As in SQLAlchemy, a host without a database
    and a driver is the name of a data source, and a URL without a user means Trusted_Connection. Hand the result to
    `normalise` or `to_mssql_python`.
    """
    if "@" in (host or ""):
        raise StoreError("The URL's user or password has an @ in it: write it there as %40.")
    options = {key: value if isinstance(value, str) else value[0] for key, value in (query or {}).items()}
    if "odbc_connect" in options:
        return options["odbc_connect"]
    folded = {_folded(key) for key in options}
    values: dict[str, str] = {}
    if host and not (database or port or folded & {"driver", "database"}):
        values["DSN"] = host
    elif host:
        values["Server"] = f"{host},{port}" if port else host
    if database:
        values["Database"] = database
    if username:
        values.update({"UID": username, "PWD": password or ""})
    elif not folded & {"authentication", "uid", "trustedconnection", "integratedsecurity"}:
        values["Trusted_Connection"] = "yes"
    if "odbc_autotranslate" in options:
        values["AutoTranslate"] = options.pop("odbc_autotranslate")
    return written(values | {key: value for key, value in options.items() if key not in _FOR_SQLALCHEMY})


def _canonical(text: str) -> dict[str, str]:
    """Return the string's values by Microsoft's keywords, in Microsoft's words; an empty value is as good as none."""
    values: dict[str, str] = {}
    for key, value in parse(text).items():
        keyword = _SPELLING.get(_folded(key), key)
        values.setdefault(keyword, _worded(keyword, value))
    values.pop("MARS_Connection", None)
    values = {key: value for key, value in values.items() if value}
    if not values.keys() & {"Server", "DSN", "FileDSN"}:
        raise StoreError("The connection string names no server. Add Server=host or Server=host,port.")
    return values


def _worded(keyword: str, value: str) -> str:
    if keyword == "ApplicationIntent":
        return value.replace(" ", "")
    booleans = _KEYWORDS[keyword].booleans if keyword in _KEYWORDS else None
    if booleans is None or value.lower() not in _TRUE | _FALSE:
        return value
    return booleans[0] if value.lower() in _TRUE else booleans[1]


def _driver(values: Mapping[str, str], drivers: Sequence[str]) -> str:
    asked = values.get("Driver", "")
    installed = {name.lower(): name for name in drivers}
    if exactly := installed.get(asked.lower()):
        return exactly
    if asked and _LEGACY.fullmatch(asked) is None:
        return asked  # a path, or a driver that is missing: choosing a lesser one might encrypt less
    if microsofts := [name for name in drivers if _MICROSOFTS.fullmatch(name)]:
        return max(microsofts, key=str.lower)
    # FreeTDS takes Encrypt for an unknown word, and checks no certificate.
    fit = _FREETDS.lower() in installed and values.get("Encrypt", "no").lower() in {"no", "optional"}
    return _FREETDS if fit else _USUAL


def _move_port(values: dict[str, str]) -> None:
    port = values.pop("Port")
    if "," not in values.get("Server", ",") and "\\" not in values["Server"]:
        values["Server"] += f",{port}"


def _suit_freetds(values: dict[str, str]) -> None:
    """FreeTDS knows neither `tcp:`, nor a port behind a comma, nor a dot for this machine."""
    host, _, port = values.get("Server", "").removeprefix("tcp:").partition(",")
    if host:
        values["Server"] = "localhost" if host.lower() in {".", "(local)"} else host
    if port:
        values["Port"] = port.strip()
    if values.get("Encrypt", "no").lower() not in {"no", "optional"}:
        values.setdefault("Encryption", "require")
