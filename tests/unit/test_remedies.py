"""Errors of SQL Server and its drivers: one sentence with the remedy each, and which pass by themselves."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from rxsql.errors import StoreError, StoreUnreachableError
from rxsql.store.dialects import remedies
from rxsql.store.dialects.odbc import normalise
from rxsql.store.dialects.remedies import facts, is_transient, remedy
from rxsql.store.engine import dialect_for

MICROSOFT = "[Microsoft][ODBC Driver 18 for SQL Server]"


@pytest.mark.parametrize(
    ("state", "text", "expected"),
    [
        (None, "libodbc.so.2: cannot open shared object file: No such file or directory", remedies.LIBODBC),
        (None, "dlopen(pyodbc.so): Library not loaded: /opt/homebrew/lib/libodbc.2.dylib", remedies.LIBODBC),
        (None, "DLL load failed while importing pyodbc: The specified module could not be found.", remedies.LIBODBC),
        (None, "Failed to load the driver. Please read the documentation", remedies.BUNDLED_DRIVER),
        ("01000", "[01000] [unixODBC][Driver Manager]Can't open lib 'SQL Server' : file not found (0) (SQLDriverConnect)", remedies.DRIVER),
        ("IM003", "[IM003] Specified driver could not be loaded", remedies.DRIVER),
        ("IM002", "[IM002] [unixODBC][Driver Manager]Data source name not found and no default driver specified (0) (SQLDriverConnect)", remedies.DATA_SOURCE),
        ("08001", f"[08001] {MICROSOFT}SSL Provider: [error:0A000086:SSL routines::certificate verify failed:self-signed certificate] (-1) (SQLDriverConnect)", remedies.CERTIFICATE),
        ("08001", f"[08001] {MICROSOFT}SSL Provider: The certificate chain was issued by an authority that is not trusted. (-2146893019) (SQLDriverConnect)", remedies.CERTIFICATE),
        ("08001", f"[08001] {MICROSOFT}SSL Provider: [error:0A000102:SSL routines::unsupported protocol] (-1) (SQLDriverConnect)", remedies.PROTOCOL),
        ("08001", f"[08001] {MICROSOFT}Invalid value specified for connection string attribute 'Encrypt' (0) (SQLDriverConnect)", remedies.KEYWORD.format(name="Encrypt")),
        ("HY000", f"[HY000] {MICROSOFT}SSPI Provider: No Kerberos credentials available (default cache: FILE:/tmp/krb5cc_0) (458752) (SQLDriverConnect)", remedies.KERBEROS),
        ("28000", f"[28000] {MICROSOFT}[SQL Server]Login failed. The login is from an untrusted domain and cannot be used with Integrated authentication. (18452) (SQLDriverConnect)", remedies.KERBEROS),
        ("28000", f"[28000] {MICROSOFT}[SQL Server]Login failed for user 'me'. (18456) (SQLDriverConnect)", remedies.LOGIN),
        ("42000", f"[42000] {MICROSOFT}[SQL Server]Anmeldung fehlgeschlagen (18456) (SQLDriverConnect)", remedies.LOGIN),
        ("28000", f"[28000] {MICROSOFT}[SQL Server]Login failed for user 'me'. (18456) (SQLDriverConnect); [28000] {MICROSOFT}[SQL Server]Cannot open database \"nowhere\" requested by the login. The login failed. (4060)", remedies.DATABASE),
        ("08004", f"[08004] {MICROSOFT}[SQL Server]database \"nowhere\" does not exist (911) (SQLDriverConnect)", remedies.DATABASE),
        ("42000", f"[42000] {MICROSOFT}[SQL Server]Die Datenbank ist nicht vorhanden (911) (SQLExecDirectW)", remedies.DATABASE),
        ("08001", f"[08001] {MICROSOFT}TCP Provider: Error code 0x2AF9 (11001) (SQLDriverConnect)", remedies.UNREACHABLE),
        ("08001", f"[08001] {MICROSOFT}TCP Provider: Error code 0x2746 (10054) (SQLDriverConnect)", remedies.UNREACHABLE),
        ("HYT00", f"[HYT00] {MICROSOFT}Login timeout expired (0) (SQLDriverConnect)", remedies.UNREACHABLE),
        ("08S01", "[08S01] [FreeTDS][SQL Server]Unable to connect: Adaptive Server is unavailable or does not exist (20009) (SQLDriverConnect)", remedies.UNREACHABLE),
        ("08S01", f"[08S01] {MICROSOFT}TCP Provider: Error code 0x68 (104) (SQLExecDirectW)", remedies.CLOSED),
        ("08S01", f"[08S01] {MICROSOFT}Communication link failure (0) (SQLExecDirectW)", remedies.CLOSED),
        ("HY000", f"[HY000] {MICROSOFT}[SQL Server]SHUTDOWN is in progress. (6005) (SQLExecDirectW)", remedies.CLOSED),
        ("42000", f"[42000] {MICROSOFT}[SQL Server]Client with IP address is not allowed to access the server. (40615) (SQLDriverConnect)", remedies.FIREWALL),
        ("25000", f"[25000] {MICROSOFT}[SQL Server]Failed to update database \"jobs\" because the database is read-only. (3906) (SQLExecDirectW)", remedies.READ_ONLY),
        ("42000", f"[42000] {MICROSOFT}[SQL Server]The target database ('jobs') is in an availability group and is currently accessible for connections when the application intent is set to read only. (978) (SQLDriverConnect)", remedies.READ_ONLY),
        ("42000", f"[42000] {MICROSOFT}[SQL Server]cannot execute INSERT in a read-only transaction (33557097) (SQLExecDirectW)", remedies.READ_ONLY),
        ("42000", f"[42000] {MICROSOFT}[SQL Server]CREATE TABLE permission denied in database 'jobs'. (262) (SQLExecDirectW)", remedies.INSTALLING),
        ("42000", f"[42000] {MICROSOFT}[SQL Server]permission denied for database jobs (33557097) (SQLExecDirectW)", remedies.INSTALLING),
        ("42000", f"[42000] {MICROSOFT}[SQL Server]permission denied for table jobs (33557097) (SQLExecDirectW)", remedies.ROLE.format(what=" (on table jobs)")),
        ("42000", f"[42000] {MICROSOFT}[SQL Server]The INSERT permission was denied on the object 'jobs', database 'd', schema 'rx'. (229) (SQLExecDirectW)", remedies.ROLE.format(what=" (INSERT on jobs)")),
        ("42000", f"[42000] {MICROSOFT}[SQL Server]The SELECT permission was denied on the column 'input' of the object 'inputs', database 'd', schema 'rx'. (230) (SQLExecDirectW)", remedies.ROLE.format(what=" (SELECT on inputs)")),
        ("42000", f"[42000] {MICROSOFT}[SQL Server]Berechtigung verweigert (229) (SQLExecDirectW)", remedies.ROLE.format(what="")),
        ("42000", f"[42000] {MICROSOFT}[SQL Server]The SELECT permission was denied on the object 'mine', database 'd', schema 'dbo'. (229) (SQLExecDirectW)", "The user lacks the permission SELECT on dbo.mine: grant it."),
        ("HYT00", f"[HYT00] {MICROSOFT}Query timeout expired (0) (SQLExecDirectW)", None),
        ("40001", f"[40001] {MICROSOFT}[SQL Server]Transaction (Process ID 52) was deadlocked on lock resources with another process and has been chosen as the deadlock victim. Rerun the transaction. (1205) (SQLExecDirectW)", None),
        ("42S02", f"[42S02] {MICROSOFT}[SQL Server]Invalid object name 'mine'. (208) (SQLExecDirectW)", None),
        ("22012", f"[22012] {MICROSOFT}[SQL Server]Divide by zero error encountered. (8134) (SQLExecDirectW)", None),
    ],
)  # fmt: skip
def test_one_remedy_for_each(state, text, expected):
    """Each error of a connection has its remedy; an error of a statement has none."""
    error = ImportError(text) if state is None else RuntimeError(state, text)
    assert remedy(*facts(error)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Driver Error: Client unable to establish connection; DDBC Error: [Microsoft]TCP Provider: Error code 0x2749", remedies.UNREACHABLE),
        ("Driver Error: Client unable to establish connection; DDBC Error: [Microsoft]SSL Provider: [error:0A000086:SSL routines::certificate verify failed:self-signed certificate]", remedies.CERTIFICATE),
        ("Driver Error: Invalid authorization specification; DDBC Error: [Microsoft][SQL Server]Login failed for user 'no'.", remedies.LOGIN),
        ('Driver Error: Server rejected the connection; DDBC Error: [Microsoft][SQL Server]database "nowhere" does not exist', remedies.DATABASE),
        ("Driver Error: General error; DDBC Error: [Microsoft]SSPI Provider: No credentials were supplied. No Kerberos credentials available", remedies.KERBEROS),
        ("Driver Error: Communication link failure; DDBC Error: [Microsoft]TCP Provider: Error code 0x68", remedies.CLOSED),
        ("Driver Error: Syntax error or access violation; DDBC Error: [Microsoft][SQL Server]The EXECUTE permission was denied on the object 'p', database 'd', schema 'rx'.", remedies.ROLE.format(what=" (EXECUTE on p)")),
        ("Driver Error: Division by zero; DDBC Error: [Microsoft][SQL Server]Divide by zero error encountered.", None),
    ],
)  # fmt: skip
def test_remedies_for_mssql_python(text, expected):
    """mssql-python's errors, which have neither SQLSTATE nor number, lead to the same remedies."""
    assert remedy(*facts(RuntimeError(text))) == expected


@pytest.mark.parametrize(
    ("sentence", "systems"),
    [
        (remedies.LIBODBC, ["apt-get install unixodbc", "dnf install unixODBC", "brew install unixodbc", "winget"]),
        (remedies.DRIVER, ["apt-get install msodbcsql18", "dnf install msodbcsql18", "brew install msodbcsql18", "winget install Microsoft.msodbcsql.18"]),
        (remedies.ROLE, ["rx_client", "rx_worker", "rx_reader", "ALTER ROLE"]),
        (remedies.CERTIFICATE, ["TrustServerCertificate=yes", "HostnameInCertificate"]),
        (remedies.KERBEROS, ["kinit", "UID="]),
    ],
)  # fmt: skip
def test_a_remedy_says_what_to_run(sentence, systems):
    """A missing library or driver has a command for each system and the way without; a missing role is named."""
    assert [word for word in systems if word not in sentence] == []
    assert ("rxsql[mssql-python]" in sentence) is ("pyodbc" in sentence or "ODBC driver" in sentence)


@pytest.mark.parametrize(
    ("error", "state", "number"),
    [
        (RuntimeError("40001", "[40001] deadlock (1205) (SQLExecDirectW)"), "40001", 1205),
        (RuntimeError("HYT00", "[HYT00] lock (1222) (SQLExecDirectW)"), "HYT00", 1222),
        (RuntimeError("08001", "[08001] no (0) (SQLDriverConnect); [08001] at 10.0.0.1 (258)"), "08001", 258),
        (RuntimeError("08001", "[08001] SSL (-1) (SQLDriverConnect)"), "08001", None),
        (RuntimeError("42000", "[42000] Cannot insert (7) into (a) (2627) (SQLExecute)"), "42000", 2627),
        (RuntimeError("Driver Error: Serialization failure; DDBC Error: [SQL Server]x was deadlocked on lock"), "40001", 1205),
        (RuntimeError("Driver Error: Timeout expired; DDBC Error: Lock request time out period exceeded."), "HYT00", 1222),
        (ImportError("libodbc.so.2: cannot open shared object file"), None, None),
        (RuntimeError(), None, None),
    ],
)  # fmt: skip
def test_facts(error, state, number):
    """The SQLSTATE and the server's number are found in either driver's error, and no number that is none."""
    found = facts(error)
    assert (found.sqlstate, found.number) == (state, number)


@pytest.mark.parametrize(
    "number",
    [64, 121, 233, 596, 1205, 1222, 3960, 6005, 10053, 10054, 10060, 10928, 10929, 40197, 40501, 40613, 41301, 41302]
    + [41305, 41325, 41839, 49918, 49919, 49920],
)  # fmt: skip
def test_what_passes_by_itself(number):
    """The numbers of broken connections, of lost races and of a busy Azure are tried again, whatever the SQLSTATE."""
    assert is_transient(number, "HY000")
    assert is_transient(number, None)


@pytest.mark.parametrize("state", ["40001", "08S01", "08007", "IMC06"])
def test_states_that_pass(state):
    """A lost connection or a lost race has a SQLSTATE of its own, also where the number is the system's or none."""
    assert is_transient(None, state)
    assert is_transient(104, state)


@pytest.mark.parametrize(
    ("number", "state"),
    [(None, None), (None, "HYT00"), (0, "HYT00"), (-2, "HYT00"), (18456, "28000"), (2627, "23000"), (229, "42000")]
    + [(None, "08001"), (4060, "42000"), (547, "23000"), (33557097, "42000")],
)  # fmt: skip
def test_what_does_not_pass(number, state):
    """A client's timeout, whose statement may have succeeded, and all that stays wrong, are not tried again."""
    assert not is_transient(number, state)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Driver=/nowhere/libmsodbcsql-18.so;Server=.", remedies.DRIVER),
        ("Driver=No Such Driver;Server=.", remedies.DRIVER),
        ("DSN=no such source", remedies.DATA_SOURCE),
    ],
)
def test_a_missing_driver_for_real(text, expected):
    """What the driver manager itself says about a driver or a data source that is not there, leads to the remedy."""
    pyodbc = pytest.importorskip(
        "pyodbc", reason="pyodbc, or the library libodbc, is not there", exc_type=ImportError
    )
    with pytest.raises(pyodbc.Error) as caught:
        pyodbc.connect(normalise(text, pyodbc.drivers()), timeout=1)
    assert remedy(*facts(caught.value)) == expected


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[08001] TCP Provider: Error code 0x2749 (10061) (SQLDriverConnect)", StoreUnreachableError),
        ("[08001] Unable to complete login process due to delay in login response (258)", StoreUnreachableError),
        ("[08001] SSL Provider: certificate verify failed: self-signed certificate (-1)", StoreError),
        ("[08001] SSL Provider: unsupported protocol (-1)", StoreError),
        ("[08001] SSPI Provider: No Kerberos credentials available (851968)", StoreError),
    ],
)  # fmt: skip
def test_what_a_server_out_of_reach_is_not(text, kind):
    """A certificate or a ticket that is refused stays refused, though its SQLSTATE is that of a server out of reach."""
    dialect = dialect_for("Driver=/nowhere/libmsodbcsql-18.so;Server=h;UID=me;PWD=x")
    error = sa.exc.OperationalError("", {}, RuntimeError("08001", text))
    assert type(dialect.translate(error)) is kind
