"""What to do about an error of SQL Server or its drivers: one sentence each; and which errors pass by themselves."""

from __future__ import annotations

import re
from typing import NamedTuple

_OWN_DRIVER = "`pip install 'rxsql[mssql-python]'`, which brings its own"

LIBODBC = (
    "The ODBC library (libodbc) that pyodbc needs is missing: install it with `sudo apt-get install unixodbc` "
    "(Debian, Ubuntu), `sudo dnf install unixODBC` (RHEL, Fedora) or `brew install unixodbc` (macOS), repair it with "
    "`winget install Microsoft.VCRedist.2015+.x64` (Windows), or do without: " + _OWN_DRIVER + "."
)
DRIVER = (
    "The ODBC driver that the connection needs is not installed, or cannot be loaded: install Microsoft's with "
    "`sudo ACCEPT_EULA=Y apt-get install msodbcsql18` (Debian, Ubuntu) or `sudo ACCEPT_EULA=Y dnf install msodbcsql18` "
    "(RHEL, Fedora), both after adding the package source as "
    "https://learn.microsoft.com/sql/connect/odbc/linux-mac/installing-the-microsoft-odbc-driver-for-sql-server says, "
    "`brew tap microsoft/mssql-release https://github.com/Microsoft/homebrew-mssql-release && "
    "HOMEBREW_ACCEPT_EULA=Y brew install msodbcsql18` (macOS) or `winget install Microsoft.msodbcsql.18` (Windows), or "
    "do without: " + _OWN_DRIVER + "."
)
DATA_SOURCE = (
    "The data source (DSN) is not known here: correct its name, or write Server=host,1433 instead. " + DRIVER
)
BUNDLED_DRIVER = (
    "The driver of mssql-python lacks a library of the system: install it with "
    "`sudo apt-get install libltdl7 libkrb5-3 libgssapi-krb5-2` (Debian, Ubuntu), "
    "`sudo dnf install libtool-ltdl krb5-libs` (RHEL, Fedora) or `brew install openssl` (macOS)."
)
CERTIFICATE = (
    "The server's certificate could not be verified, so no password was sent: have the server use a certificate of an "
    "authority that this machine trusts, for the name that stands in Server= (or in HostnameInCertificate=); or, where "
    "the network to the server is trusted, add TrustServerCertificate=yes to the connection string: the traffic "
    "stays encrypted, but whoever answers in the server's place is believed and gets the password and the data."
)
PROTOCOL = (
    "The server and this machine have no version of TLS in common: enable TLS 1.2 on the server, which versions of "
    "SQL Server before 2016 need an update for."
)
KERBEROS = (
    "Trusted_Connection=yes needs a Kerberos ticket here, and there is none for this server: get one with `kinit "
    "user@REALM` (a worker: from a keytab) and have the server's name registered (SPN MSSQLSvc/host:1433), or log in "
    "with UID=…;PWD=… instead."
)
LOGIN = (
    "The server refused the login: check that UID and PWD are given and right (a password with ; or } stands in "
    "braces, } doubled: PWD={a;b}}c}), and that the server accepts SQL Server logins; its error log tells the reason."
)
DATABASE = (
    "The database does not exist on this server, or the login has no user in it: correct Database=, or have it made "
    "with CREATE DATABASE, the user with CREATE USER … FOR LOGIN …."
)
FIREWALL = "The server's firewall does not let this address in: add it to the Azure server's firewall rules."
KEYWORD = "The driver does not accept the value of {name} in the connection string: correct it; most take yes or no."
UNREACHABLE = (
    "The server cannot be reached: check its name and port (Server=host,1433; a name such as host\\SQLEXPRESS needs "
    "the service SQL Server Browser), that the server runs and has TCP/IP enabled, and the firewalls between."
)
CLOSED = (
    "The server closed the connection, as it does when it restarts or fails over: try again when it is back."
)
READ_ONLY = (
    "The database can only be read here, it is a replica or set to READ_ONLY: name the primary server or the "
    "availability group's listener in Server=, without ApplicationIntent=ReadOnly."
)
INSTALLING = (
    "The user may not create or change what is asked for: have an administrator of the database run the script that "
    "`rxsql db script --dialect mssql` prints, which makes schema rx and its roles."
)
ROLE = (
    "The user lacks a permission in schema rx{what}: make it a member of rx_client to submit jobs and take results, "
    "of rx_worker to run them, or of rx_reader to look only, with `ALTER ROLE rx_client ADD MEMBER [user]`."
)


class Facts(NamedTuple):
    """What a driver's error says: its text, its SQLSTATE and the server's error number."""

    text: str
    sqlstate: str | None
    number: int | None


class _Case(NamedTuple):
    remedy: str
    numbers: frozenset[int] = frozenset()
    states: frozenset[str] = frozenset()
    text: str = r"(?!)"


# The first that fits counts: the special ones come before those that their SQLSTATE would take for a general one.
_CASES = (
    _Case(LIBODBC, text=r"libodbc\.|DLL load failed while importing pyodbc"),
    _Case(BUNDLED_DRIVER, text=r"Failed to load the driver\. "),
    _Case(DATA_SOURCE, states=frozenset({"IM002"}), text=r"Data source name not found"),
    _Case(DRIVER, states=frozenset({"IM003", "IM004"}), text=r"Can't open lib|driver could not be loaded"),
    _Case(KERBEROS, frozenset({18452}), text=r"SSPI Provider|Kerberos|SSPI context"),
    _Case(
        CERTIFICATE, text=r"certificate verify failed|certificate chain|target principal name is incorrect"
    ),
    _Case(
        PROTOCOL, text=r"unsupported protocol|no protocols available|SSL Security error|wrong version number"
    ),
    _Case(FIREWALL, frozenset({40615, 40914})),
    _Case(
        DATABASE, frozenset({4060, 911, 916}), text=r'Cannot open database|database "[^"]*" does not exist'
    ),
    _Case(LOGIN, frozenset({18456, 18470, 18486, 18487, 18488}), frozenset({"28000"}), r"Login failed"),
    _Case(READ_ONLY, frozenset({3906, 3908, 978}), text=r"read-only transaction|database is read-only"),
    _Case(
        INSTALLING,
        frozenset({262, 2760, 15151, 15247}),
        text=r"permission denied (to create|for database|in database)",
    ),
    _Case(
        UNREACHABLE,
        frozenset({20009}),
        frozenset({"08001", "HYT01"}),
        r"Login timeout expired|Unable to connect",
    ),
    _Case(
        CLOSED,
        frozenset({596, 6005, 10053, 10054, 40197, 40613}),
        frozenset({"08S01", "08007", "IMC06"}),
        r"Communication link failure",
    ),
)
LASTING = frozenset({KERBEROS, CERTIFICATE, PROTOCOL})  # though the SQLSTATE is that of a server out of reach
_PERMISSION = frozenset({229, 230})
_DENIED = re.compile(
    r"(?P<what>[A-Z]+(?: [A-Z]+)*) permission was denied on the (?:column '[^']*' of the )?"
    r"object '(?P<object>[^']*)', database '[^']*', schema '(?P<schema>[^']*)'"
    r"|permission denied for (?P<kind>\w+) (?P<name>\w+)"
)

# mssql-python hides the SQLSTATE behind a phrase, and the server's number altogether.
_STATE_BY_PHRASE = {
    "Client unable to establish connection": "08001",
    "Communication link failure": "08S01",
    "Connection failure during transaction": "08007",
    "Connection timeout expired": "HYT01",
    "Data source name not found and no default driver specified": "IM002",
    "Invalid authorization specification": "28000",
    "Serialization failure": "40001",
    "Timeout expired": "HYT00",
}
_NUMBER_BY_TEXT = {
    "was deadlocked on": 1205,
    "Lock request time out period exceeded": 1222,
    "Snapshot isolation transaction aborted due to update conflict": 3960,
}
_NUMBER = re.compile(r"\((\d+)\)(?= \(SQL|; \[|\s*\Z)")
_PHRASE = re.compile(r"Driver Error: ([^;]*);")

# Entity Framework Core's list for SQL Server and Azure SQL, with lock timeouts and snapshot conflicts. A timeout of
# the client is left out: its statement may have succeeded.
_CONFLICTS = {
    *(1205, 1222, 3960),  # deadlock, lock timeout, snapshot conflict
    *(41301, 41302, 41305, 41325, 41839),  # memory-optimized tables: validation and dependency failures
}
_TRANSIENT = {
    *_CONFLICTS,
    *(64, 121, 233, 10053, 10054, 10060),  # the connection broke
    *(10928, 10929, 40197, 40501, 40613, 49918, 49919, 49920),  # Azure: busy, moving, out of resources
    *(596, 6005),  # the session was ended, the server shuts down
}
_TRANSIENT_STATES = {"40001", "08S01", "08007", "IMC06"}


def facts(error: BaseException) -> Facts:
    """Return what an error of pyodbc, mssql-python or their import says."""
    first, *others = [str(argument) for argument in error.args] or [""]
    state: str | None
    if re.fullmatch(r"[0-9A-Z]{5}", first):
        text, state = " ".join(others), first
    else:
        text = str(error)
        phrase = _PHRASE.search(text)
        state = _STATE_BY_PHRASE.get(phrase[1]) if phrase else None
    numbers = [int(found) for found in _NUMBER.findall(text)]
    known = (number for sign, number in _NUMBER_BY_TEXT.items() if sign in text)
    return Facts(text, state, next(filter(None, numbers), None) or next(known, None))


def remedy(error_text: str, sqlstate: str | None = None, native_number: int | None = None) -> str | None:
    """Return a sentence that says what is wrong with a connection and what to do, or None where there is none.

    It repeats nothing of the error but the name of a keyword, an object and a permission.
    """
    numbers = {int(found) for found in _NUMBER.findall(error_text)} | {native_number}
    if keyword := re.search(r"Invalid value specified for connection string attribute '(\w+)'", error_text):
        return KEYWORD.format(name=keyword[1])
    for case in _CASES:
        if numbers & case.numbers or sqlstate in case.states or re.search(case.text, error_text):
            return case.remedy
    return _permission(error_text) if numbers & _PERMISSION or _DENIED.search(error_text) else None


def _permission(error_text: str) -> str:
    denied = _DENIED.search(error_text)
    if denied is None:  # in another language
        return ROLE.format(what="")
    name = denied["object"] or denied["name"]
    if denied["schema"] not in {None, "rx"}:
        return f"The user lacks the permission {denied['what']} on {denied['schema']}.{name}: grant it."
    what = f" ({denied['what']} on {name})" if denied["what"] else f" (on {denied['kind']} {name})"
    return ROLE.format(what=what)


def is_transient(native_number: int | None, sqlstate: str | None) -> bool:
    """Whether an error passes by itself, so that the same operation may be tried again.

    The server's number decides; a SQLSTATE only where it cannot mean anything else: drivers report one and the same
    lock timeout as HYT00 and as HY000.
    """
    return native_number in _TRANSIENT or sqlstate in _TRANSIENT_STATES


def is_conflict(native_number: int | None, sqlstate: str | None) -> bool:
    """Whether the server has rolled the transaction back because another was in its way."""
    return native_number in _CONFLICTS or sqlstate == "40001"
