"""Compute contexts: how they print and compare, and which store they lead to."""

from __future__ import annotations

import pytest

from rxsql import RxInSqlServer, RxLocalParallel, RxLocalSeq, RxRemoteComputeContext
from rxsql.client.context import resolve
from rxsql.errors import ArgumentsError
from rxsql.storename import is_odbc, redacted

ODBC = "Driver=SQL Server;Server=.;Database=RevoTestDb;Trusted_Connection=True;"


def test_printed_as_revoscalepy_prints_it():
    """The printed form has revoscalepy's lines and the effective defaults."""
    assert repr(RxInSqlServer(ODBC)) == (
        "RxInSqlServer Compute Context:\n"
        "------------------------------\n"
        f'connection_string: "{ODBC}"\n'
        "num_tasks: 1\n"
        "execution_timeout_seconds: 0\n"
        "wait: True\n"
        "console_output: False\n"
        "auto_cleanup: True\n"
        "packages_to_load: []\n"
        'description: "sqlserver"\n'
        'version: "1.0"'
    )
    assert repr(RxLocalSeq()).splitlines()[0] == "RxLocalSeq Compute Context:"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Server=.;UID=me;PWD=secret;", "Server=.;UID=me;PWD=***;"),
        ("Server=.;uid=me;Password = secret", "Server=.;uid=me;Password=***"),
        ("Server=.;PWD={se;cr}}et};UID=me", "Server=.;PWD=***;UID=me"),
        ("postgresql://me:secret@host/db", "postgresql://me:***@host/db"),
        ("mssql+pyodbc://me:p%40ss@host/db", "mssql+pyodbc://me:***@host/db"),
        ("sqlite:///jobs.db", "sqlite:///jobs.db"),
        (ODBC, ODBC),
    ],
)
def test_passwords_are_not_shown(text, shown):
    """Neither the printed form nor what is stored of a context has the password."""
    assert redacted(text) == shown
    assert "secret" not in repr(RxInSqlServer(text))


@pytest.mark.parametrize(
    ("text", "is_server"),
    [
        (ODBC, True),
        ("Server=localhost", True),
        ("dsn=mine", True),
        ("mssql+pyodbc://host/db;x=1", False),
        ("sqlite:///jobs.db", False),
        ("postgresql://host/db", False),
        ("jobs.db", False),
        ("/data/a=b/jobs.db", False),
    ],
)
def test_what_names_a_sql_server(text, is_server):
    """ODBC strings do; paths and URLs do not: who writes a URL means it."""
    assert is_odbc(text) is is_server


def test_the_environments_store_takes_a_servers_place(monkeypatch):
    """`RXSQL_STORE` stands in for the server of an ODBC string, and for nothing else."""
    assert RxInSqlServer(ODBC).store == ODBC
    monkeypatch.setenv("RXSQL_STORE", "/data/jobs.db")
    assert RxInSqlServer(ODBC).store == "/data/jobs.db"
    assert RxInSqlServer("mine.db").store == "mine.db"
    assert resolve("RxInSqlServer").store == "/data/jobs.db"


def test_equal_contexts():
    """Contexts are equal when they are of one kind and all options agree."""
    assert RxLocalSeq() == RxLocalSeq() != RxLocalParallel()
    assert RxInSqlServer(ODBC) == RxInSqlServer(ODBC)
    assert RxInSqlServer(ODBC) != RxInSqlServer(ODBC, num_tasks=2)
    assert RxInSqlServer(ODBC) != ODBC
    assert len({RxInSqlServer(ODBC), RxInSqlServer(ODBC)}) == 1


def test_none_means_the_default():
    """None for an option is what older versions of revoscalepy had as default."""
    context = RxInSqlServer(ODBC, None, None, None, None, None, None)
    assert context == RxInSqlServer(ODBC)
    assert context.wait is True


def test_options_of_numpys_kind():
    """Whatever counts as an index is a whole number."""

    class Four:
        def __index__(self):
            return 4

    assert RxInSqlServer(ODBC, num_tasks=Four()).num_tasks == 4


def test_stores_may_be_paths(tmp_path):
    """A pathlib.Path names a store as its text does."""
    assert RxInSqlServer(tmp_path / "jobs.db").connection_string == str(tmp_path / "jobs.db")


@pytest.mark.parametrize(
    ("name", "said"), [(None, "of type NoneType"), (b"PWD=secret", "of type bytes"), (" ", "empty")]
)
def test_what_names_no_store(name, said):
    """What is no store's name is refused with its type; a password in it is not shown."""
    with pytest.raises(ArgumentsError, match=f"a URL or a path, and is {said}\\.$"):
        RxInSqlServer(name)


def test_packages_may_be_one_name():
    """A single name stands for a list of one."""
    assert RxInSqlServer(ODBC, packages_to_load="json").packages_to_load == ("json",)
    assert RxInSqlServer(ODBC, packages_to_load=["os.path", "json"]).packages_to_load == ("os.path", "json")


def test_remote_contexts_have_ids_of_their_own():
    """Each context that runs elsewhere has an id, unlike that of any other."""
    assert RxInSqlServer(ODBC).id != RxInSqlServer(ODBC).id
    assert RxRemoteComputeContext("mine", "1", "an-id").id == "an-id"
