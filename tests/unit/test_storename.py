"""Names of stores: ODBC string, URL or path; and no password in what is shown of them."""

from __future__ import annotations

import pytest

from rxsql.storename import is_odbc, redacted


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Driver=SQL Server;Server=.;Database=RevoTestDb;Trusted_Connection=True;", True),
        ("PWD=a://b;Server=.", True),
        ("Server=.;PWD=https://x", True),
        ("Initial Catalog=jobs", True),
        ("Password = x", True),
        ("mssql+pyodbc://me:a;b@host/db", False),
        ("  postgresql://host/db;x=1", False),
        ("sqlite:////data/run=3/jobs.db", False),
        ("/data/server=3/jobs.db", False),
        ("jobs.db", False),
    ],
)
def test_what_is_an_odbc_string(name, expected):
    """What starts as a URL is one; otherwise a `;` or a keyword makes it an ODBC string, whatever its password is."""
    assert is_odbc(name) is expected


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Server=.;PWD=a://secret;UID=me", "Server=.;PWD=***;UID=me"),
        ("Server=.;PWD={secret;and secret", "Server=.;PWD=***"),
        ("Server=.;PWD={a}secret;UID=me", "Server=.;PWD=***;UID=me"),
        ("Server=.;KeystoreSecret=secret", "Server=.;KeystoreSecret=***"),
        ("mssql+pyodbc://me@corp:secret@host/db", "mssql+pyodbc://me@corp:***@host/db"),
        ("mssql+pyodbc://me:p@secret@host:1433/db?x=a@b", "mssql+pyodbc://me:***@host:1433/db?x=a@b"),
        ("mssql+pyodbc://me:p@s/secret@host/db", "mssql+pyodbc://me:***@host/db"),
        ("postgresql://host/db?password=secret&sslmode=require", "postgresql://host/db?password=***&sslmode=require"),
        ("postgresql://host/db?sslpassword=secret", "postgresql://host/db?sslpassword=***"),
        (
            "mssql+pyodbc:///?odbc_connect=Server%3D.%3BPWD%3D%7Ba%3Bsecret%7D%3BUID%3Dme",
            "mssql+pyodbc:///?odbc_connect=Server=.;PWD=***;UID=me",
        ),
        ("mssql+pyodbc:///?odbc_connect=Server=.;PWD=a&secret;UID=me", "mssql+pyodbc:///?odbc_connect=Server=.;PWD=***;UID=me"),
        ("sqlite:////data/a:b@c.db", "sqlite:////data/a:b@c.db"),
        ("postgresql://host:5432/db", "postgresql://host:5432/db"),
    ],
)  # fmt: skip
def test_no_password_is_shown(name, shown):
    """A password is left out also where it was not escaped, stands in the query, or in an ODBC string in a URL."""
    assert redacted(name) == shown
