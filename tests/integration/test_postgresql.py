"""PostgreSQL as it is run by others: logins with few rights, servers that are not there, rows changed by hand."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import wait_until
from support import rows_of, scalar

from rxsql import (
    RxInSqlServer,
    rx_cancel_job,
    rx_cleanup_jobs,
    rx_exec,
    rx_get_job_output,
    rx_get_job_results,
    rx_get_job_status,
    rx_get_jobs,
    rx_wait_for_job,
)
from rxsql.errors import FailedRunsWarning, JobFailedError, NoWorkerWarning, SchemaVersionError, StoreError
from rxsql.store import install, sqlfiles
from rxsql.store.dialects import serverconnections
from rxsql.store.engine import Store, connect, open_store
from rxsql.store.tables import SCHEMA_VERSION, constant

RXSQL = str(Path(sys.executable).with_name("rxsql"))

ROLES = ("rx_reader", "rx_client", "rx_worker", "rx_publisher", "rx_caller", "rx_scripter")


class Server:
    """The server as its administrator sees it, in the database of one test.

    Args:
        url: The URL of the test's database, as the owner of everything.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        self._logins: list[str] = []
        self._folder = Path(self.run("SHOW data_directory"))

    def run(self, *statements: str) -> Any:
        """Run statements; return the last one's first value, if any."""
        found = None
        with self._engine.connect() as connection:
            for statement in statements:
                result = connection.exec_driver_sql(statement)
                found = result.scalar() if result.returns_rows else None
        return found

    def login(self, *roles: str, options: str = "") -> str:
        """Make a login that must give its password and has these roles; return its URL."""
        name, password = f"login_{uuid.uuid4().hex[:12]}", secrets.token_hex(12)
        self.run(f"CREATE ROLE {name} LOGIN PASSWORD '{password}' {options}")
        self._logins.append(name)
        self.run(*(f"GRANT {role} TO {name}" for role in roles))
        rules = self._folder / "pg_hba.conf"
        rules.write_text(f"local all {name} scram-sha-256\n{rules.read_text()}")
        self.run("SELECT PG_RELOAD_CONF()")
        url = sa.make_url(self.url).set(username=name, password=password)
        text = url.render_as_string(hide_password=False)
        wrong = url.set(password="wrong")
        wait_until(lambda: not _lets_in(wrong))  # the rules are read a moment later
        return text

    def close(self) -> None:
        """Forget the logins, and their rules."""
        for name in self._logins:
            self.run(f"DROP OWNED BY {name} CASCADE", f"DROP ROLE {name}")
        self._engine.dispose()


def _lets_in(url: sa.URL) -> bool:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    try:
        engine.connect().close()
    except sa.exc.OperationalError:
        return False
    return True


@pytest.fixture
def bare(postgresql_url: str) -> Iterator[Server]:
    """A database without the schema."""
    server = Server(postgresql_url)
    yield server
    server.close()


@pytest.fixture
def server(bare: Server) -> Server:
    """A database with the schema."""
    store = connect(bare.url)
    install.install(store)
    store.close()
    return bare


def password_of(url: str) -> str:
    return str(sa.make_url(url).password)


def name_of(url: str) -> str:
    return str(sa.make_url(url).username)


def refusal(url: str, **options: Any) -> str:
    """Return what a submission is refused with; the password is not in it."""
    with pytest.raises(StoreError) as caught:
        rx_exec(lambda: 1, compute_context=RxInSqlServer(url, **options))
    assert password_of(url) not in str(caught.value)
    return str(caught.value)


def test_statements_are_not_compiled(server):
    """Not by JIT: a worker's look would take a third of a second where the server can, for what index scans alone cost."""
    store = connect(server.url)
    with store.read() as connection:
        assert connection.exec_driver_sql("SHOW jit").scalar() == "off"
    store.close()


# --------------------------------------------------------------------------------------------- being refused


def test_wrong_password(server):
    """A wrong password is told as such, by the command line too, and shown nowhere."""
    url = sa.make_url(server.login("rx_client")).set(password="swordfish-4711")
    text = url.render_as_string(hide_password=False)
    assert "password is wrong" in refusal(text)
    shown = subprocess.run([RXSQL, "jobs", "--store", text], capture_output=True, text=True)
    assert shown.returncode == 1
    assert "password is wrong" in shown.stderr
    assert "swordfish" not in shown.stderr + shown.stdout
    assert "Traceback" not in shown.stderr


def test_unknown_database(server):
    """An unknown database is told as such."""
    url = sa.make_url(server.url).set(database="nobody_made_this").render_as_string(hide_password=False)
    with pytest.raises(StoreError, match="no such database on the server. Create it, or correct the URL"):
        open_store(url)


def test_server_that_is_down(server, tmp_path):
    """A server that does not answer is an error at once, before anything waits for it."""
    url = f"postgresql+psycopg://me:swordfish-4711@/jobs?host={tmp_path}"
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        rx_exec(lambda: 1, compute_context=RxInSqlServer(url))
    assert "swordfish" not in str(caught.value)
    worker = subprocess.run(
        [sys.executable, "-m", "rxsql.worker", "--exit-when-idle"],
        env={**os.environ, "RXSQL_STORE": url, "RXSQL_IDLE_EXIT_SECONDS": "3"},
        capture_output=True,
        text=True,
    )
    assert worker.returncode == 1
    assert "store.trouble" in worker.stderr and "rxsql worker: The store" in worker.stderr
    assert "swordfish" not in worker.stderr and "Traceback" not in worker.stderr


@pytest.fixture
def bare_url(postgresql_server: str) -> str:
    """A database without the schema, which every server has."""
    return sa.make_url(postgresql_server).set(database="postgres").render_as_string(hide_password=False)


def test_worker_that_is_refused_ends_at_once(server, bare_url):
    """What no waiting mends ends a worker with 1 and its reason: login, database, schema and roles."""
    url = sa.make_url(server.login("rx_worker"))
    refused = {
        "The password is wrong or missing": url.set(password="swordfish-4711"),
        "does not let this user in": sa.make_url(server.url).set(username="nobody_at_all"),
        "no such database": url.set(database="nobody_made_this"),
        "Run rxsql db init": sa.make_url(bare_url),
        "workers rx_worker": sa.make_url(server.login("rx_reader")),
    }
    started = [
        subprocess.Popen(
            [RXSQL, "worker"],
            env={**os.environ, "RXSQL_STORE": store.render_as_string(hide_password=False)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for store in refused.values()
    ]
    for reason, worker in zip(refused, started, strict=True):
        _, said = worker.communicate(timeout=60)
        assert (worker.returncode, reason in said, "Traceback" in said) == (1, True, False), said
        assert "store.trouble" not in said and "swordfish" not in said


def test_login_without_a_role(server):
    """Who has no role is told which roles there are for what."""
    text = refusal(server.login())
    assert "permission denied for schema rx" in text
    assert "clients need the role rx_client, workers rx_worker" in text


def test_reader_may_look_but_not_submit(server):
    """A reader sees jobs, tasks, output and workers, and no inputs or results; submitting names the missing role."""
    reader = server.login("rx_reader")
    with pytest.warns(NoWorkerWarning):
        job = rx_exec(lambda: 1, compute_context=RxInSqlServer(server.url, wait=False))
    assert "clients need the role rx_client" in refusal(reader)
    for command in ("jobs", "workers", "db status", f"status {job.job_id}", f"logs {job.job_id}"):
        shown = subprocess.run([RXSQL, *command.split(), "--store", reader], capture_output=True, text=True)
        assert shown.returncode in (0, 5), shown.stderr
    store = open_store(reader)
    for view in ("tasks", "console", "job_progress", "jobs", "workers"):
        rows_of(store, f"SELECT * FROM rx.{view}")
    for secret in (
        "SELECT body FROM rx.functions",
        "SELECT input FROM rx.task_rows",
        "SELECT body FROM rx.results",
    ):
        with pytest.raises(StoreError, match="permission denied"):
            rows_of(store, secret)
    with pytest.raises(StoreError, match="rx_client"):
        rx_cancel_job(type(job)(RxInSqlServer(reader), job.job_id))
    assert rx_get_job_status(job) == "queued"


@pytest.mark.parametrize(
    ("version", "remedy"), [(SCHEMA_VERSION + 1, "Upgrade rxsql here"), (1, "before the first release")]
)
def test_schema_of_another_version(server, version, remedy):
    """A newer schema asks for a newer package, an older one for another store; nothing is changed."""
    server.run(f"UPDATE rx.schema_version SET version = {version}")
    with pytest.raises(SchemaVersionError, match=remedy):
        rx_exec(lambda: 1, compute_context=RxInSqlServer(server.url))
    assert server.run("SELECT COUNT(*) FROM rx.jobs") == 0
    store = connect(server.url)
    with pytest.raises(SchemaVersionError, match=remedy):
        install.install(store)
    store.close()


def test_database_without_schema(bare):
    """A server's database without the schema names the command that makes it, and is left as it is."""
    with pytest.raises(SchemaVersionError, match="rxsql db init"):
        rx_exec(lambda: 1, compute_context=RxInSqlServer(bare.url))
    assert bare.run("SELECT COUNT(*) FROM pg_namespace WHERE nspname = 'rx'") == 0


def test_read_only_session(server):
    """Where the server lets nobody write, submitting says so and what to name instead."""
    client = server.login("rx_client")
    server.run(f"ALTER ROLE {name_of(client)} SET default_transaction_read_only = on")
    assert "read-only" in (text := refusal(client)) and "Name the primary server" in text
    assert rx_get_jobs(RxInSqlServer(client), verbose=False) == []


# ------------------------------------------------------------------------------------------------- the roles


def test_client_and_worker_need_no_more_than_their_roles(server, start_worker_on, tmp_path):
    """A client with just rx_client and a worker with just rx_worker do all there is to do."""
    client, working = server.login("rx_client"), server.login("rx_worker")
    process = start_worker_on(working, slots=2, lease_seconds=1, retention_seconds=0.5, tombstone_seconds=0.5)
    where = RxInSqlServer(client, num_tasks=2, auto_cleanup=False)
    large = os.urandom(100_000)
    assert rx_exec(
        lambda x, data: print(x) or (x, len(data)), x=[1, 2, 3], data=large, compute_context=where
    ) == [
        (1, 100_000),
        (2, 100_000),
        (3, 100_000),
    ]
    with pytest.raises(JobFailedError, match="ZeroDivisionError"):
        rx_exec(lambda: 1 / 0, compute_context=where)
    with pytest.raises(JobFailedError, match="ChildDiedError"):
        rx_exec(lambda: __import__("os")._exit(3), compute_context=where)
    where.wait = False
    job = rx_exec(lambda: print("out", flush=True) or __import__("time").sleep(600), compute_context=where)
    wait_until(lambda: rx_get_job_output(job) == "out\n")
    assert rx_cancel_job(job)
    done = rx_exec(lambda: 7, compute_context=where)
    rx_wait_for_job(done)
    assert rx_get_job_results(done, auto_cleanup=True) == [7]
    rx_cleanup_jobs(job, force=True)
    # The worker's housekeeping: it purges what nobody collected, and forgets it.
    wait_until(lambda: server.run("SELECT COUNT(*) FROM rx.jobs") == 0)
    # A worker that dies is reaped by one that has no more rights than it had.
    process.kill()
    process.wait()
    second = start_worker_on(working, slots=2, lease_seconds=1)
    assert server.run("SELECT COUNT(*) FROM rx.workers WHERE stopped_at IS NULL") == 1
    wait_until(lambda: "worker.started" in (tmp_path / "worker-1.log").read_text())
    second.terminate()
    assert second.wait() == 0
    logs = "".join(log.read_text() for log in tmp_path.glob("worker-*.log"))
    assert "permission denied" not in logs and "store.trouble" not in logs


def test_client_cannot_do_a_workers_work(server):
    """A client may not write results or console lines, nor list itself as a worker."""
    store = connect(server.login("rx_client"))
    for statement in (
        "INSERT INTO rx.results (job_key, run) VALUES (1, 0)",
        "INSERT INTO rx.console_chunks (job_key, task, run, attempt, stream, first_line, lines, partial) "
        "VALUES (1, 0, 0, 1, 'stdout', 0, '[]', 0)",
        "UPDATE rx.task_rows SET attempt = 0",
        "UPDATE rx.functions SET body = ''",
        "UPDATE rx.workers SET stopped_at = NULL",
        "DROP TABLE rx.jobs",
    ):
        refused(store, statement)
    store.close()


def test_worker_cannot_submit_or_change_what_runs(server):
    """A worker may not add jobs, functions, inputs or tasks, nor change them."""
    store = connect(server.login("rx_worker"))
    for statement in (
        "INSERT INTO rx.functions VALUES ('a', '')",
        "INSERT INTO rx.task_rows (job_key, task, first_run, run_count) VALUES (1, 0, 0, 1)",
        "UPDATE rx.functions SET body = ''",
        "UPDATE rx.task_rows SET input = NULL",
        "UPDATE rx.jobs SET function_hash = 'a'",
        "UPDATE rx.results SET body = ''",
        "CREATE TABLE rx.mine (a INT)",
    ):
        refused(store, statement)
    store.close()


def refused(store: Store, statement: str) -> None:
    with pytest.raises(StoreError, match=r"permission denied|must be owner"), store.write() as connection:
        connection.exec_driver_sql(statement)


def test_installing_twice_keeps_rows_and_grants(server):
    """The script can be run again: rows stay, and the roles can still read the views that it makes anew."""
    with pytest.warns(NoWorkerWarning):
        rx_exec(lambda: 1, compute_context=RxInSqlServer(server.url, wait=False))
    store = connect(server.url)
    assert install.install(store) == SCHEMA_VERSION
    store.close()
    (job,) = rx_get_jobs(RxInSqlServer(server.login("rx_client")), verbose=False)
    assert rx_get_job_status(job) == "queued"


ROLES = ("rx_reader", "rx_client", "rx_worker", "rx_publisher", "rx_caller", "rx_scripter")


def test_what_others_build_on_the_views_stays(server):
    """A view over one of ours, and a right that somebody gave on it, are there after another installation."""
    login = sa.make_url(server.login()).username
    server.run(
        "CREATE VIEW open_jobs AS SELECT job_id FROM rx.job_progress WHERE status = 'running'",
        f"GRANT SELECT ON rx.job_progress TO {login}",
    )
    store = connect(server.url)
    install.install(store)
    store.close()
    assert server.run("SELECT COUNT(*) FROM open_jobs") == 0
    assert server.run(f"SELECT HAS_TABLE_PRIVILEGE('{login}', 'rx.job_progress', 'SELECT')") is True


def test_installer_that_may_not_make_roles(bare):
    """Without CREATEROLE the tables are made and the owner can use them; where the roles exist, they get their grants."""
    owner = bare.login()
    bare.run(f"GRANT CREATE ON DATABASE {sa.make_url(bare.url).database} TO {name_of(owner)}")
    for role in ROLES:  # other tests' databases are gone, and their grants with them
        bare.run(f"DROP ROLE IF EXISTS {role}")
    store = connect(owner)
    warned: list[str] = []
    sa.event.listen(
        store._engine,
        "connect",
        lambda raw, _: raw.add_notice_handler(
            lambda note: warned.append(f"{note.severity} {note.message_primary}")
        ),
    )
    install.install(store)
    (warning,) = [text for text in warned if text.startswith("WARNING")]
    assert "rx_reader is not there" in warning and "CREATEROLE" in warning and "roles.sql" in warning
    assert scalar(store, "SELECT COUNT(*) FROM pg_roles WHERE rolname LIKE 'rx_%%'") == 0
    with pytest.warns(NoWorkerWarning):
        rx_exec(lambda: 1, compute_context=RxInSqlServer(owner, wait=False))
    bare.run(*(f"CREATE ROLE {role}" for role in ROLES))
    install.install(store)
    store.close()
    assert len(rx_get_jobs(RxInSqlServer(bare.login("rx_client")), verbose=False)) == 1


def test_uninstall(server):
    """uninstall.sql removes schema and roles; roles that another database uses stay, and a second run is harmless."""
    server.login("rx_client")
    script = (sqlfiles.sql_root() / "postgresql" / "uninstall.sql").read_text(encoding="utf-8")
    server.run(*sqlfiles.statements(script))
    assert server.run("SELECT COUNT(*) FROM pg_namespace WHERE nspname = 'rx'") == 0
    assert server.run("SELECT COUNT(*) FROM pg_roles WHERE rolname LIKE 'rx_%%'") == 0
    server.run(*sqlfiles.statements(script))
    store = connect(server.url)
    install.install(store)
    other = f"other_{uuid.uuid4().hex[:12]}"
    server.run(f"CREATE DATABASE {other}")
    try:
        elsewhere = connect(sa.make_url(server.url).set(database=other).render_as_string(hide_password=False))
        install.install(elsewhere)
        server.run(*sqlfiles.statements(script))
        assert server.run("SELECT COUNT(*) FROM pg_roles WHERE rolname LIKE 'rx_%%'") == len(ROLES)
        assert install.installed_version(elsewhere) == SCHEMA_VERSION
        assert install.installed_version(store) == 0
        elsewhere.close()
    finally:
        server.run(f"DROP DATABASE {other} WITH (FORCE)")
        store.close()


def test_script_runs_as_a_person_would_run_it(bare):
    """`rxsql db script` gives psql a script that installs all there is, and may be run again."""
    script = subprocess.run(
        [RXSQL, "db", "script", "--dialect", "postgresql"], capture_output=True, text=True, check=True
    ).stdout
    assert script == sqlfiles.script("postgresql")
    assert script.index("CREATE TABLE") < script.index("CREATE OR REPLACE VIEW") < script.index("CREATE ROLE")
    with bare._engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        for _ in range(2):
            raw.execute(script)  # one text of many statements, as psql -f -1 sends it
    assert bare.run("SELECT COUNT(*) FROM pg_roles WHERE rolname LIKE 'rx_%%'") == len(ROLES)
    assert bare.run("SELECT HAS_TABLE_PRIVILEGE('rx_client', 'rx.job_progress', 'SELECT')")


# ------------------------------------------------------------------------------------------------- passwords


def test_password_is_shown_nowhere(server, start_worker_on, tmp_path, capfd):
    """No repr, warning, log line, row or process list has the password of the store."""
    client, working = server.login("rx_client"), server.login("rx_worker")
    secrets_ = (password_of(client), password_of(working))
    where = RxInSqlServer(client, wait=False)
    with pytest.warns(NoWorkerWarning) as caught:
        job = rx_exec(lambda: print(__import__("os").environ) or 1, compute_context=where)
    process = start_worker_on(working, slots=1)
    rx_wait_for_job(job)
    store = open_store(client)
    shown = [repr(where), repr(job), repr(store), store.label, *(str(warning.message) for warning in caught)]
    shown += [rx_get_job_output(job), *capfd.readouterr()]
    for table in ("jobs", "workers", "task_rows", "console_chunks"):
        shown.append(str(server.run(f"SELECT STRING_AGG(t::text, ' ') FROM rx.{table} AS t")))
    shown.append(server.run("SELECT STRING_AGG(query || application_name, ' ') FROM pg_stat_activity"))
    shown.append(Path(f"/proc/{process.pid}/cmdline").read_text())
    login = name_of(working)
    server.run(
        f"ALTER ROLE {login} NOLOGIN",
        f"SELECT PG_TERMINATE_BACKEND(pid) FROM pg_stat_activity WHERE usename = '{login}'",
    )
    log = tmp_path / "worker-0.log"
    wait_until(lambda: "store.trouble" in log.read_text())
    process.terminate()
    process.wait()
    shown.append(log.read_text())
    assert name_of(client) in repr(where) and name_of(working) in shown[-1]
    assert [text for text in shown if any(secret in text for secret in secrets_)] == []


# -------------------------------------------------------------------------------------- rows changed by hand


@pytest.fixture
def busy(server: Server, start_worker_on: Callable[..., Any]) -> Callable[[str], Any]:
    """Submit a job with large inputs before there is a worker, change rows of it by hand, then let a worker run."""

    def change(*statements: str, **options: Any) -> Any:
        where = RxInSqlServer(server.url, wait=False, auto_cleanup=False)
        with pytest.warns(NoWorkerWarning):
            spoiled = rx_exec(lambda x: len(x), x=[b"a" * 5000, b"b" * 6000], compute_context=where)
            healthy = rx_exec(lambda x: x, x=[1, 2], compute_context=where)
        key = server.run(f"SELECT job_key FROM rx.jobs WHERE job_id = '{spoiled.job_id}'")
        server.run(*(statement.format(key=key) for statement in statements))
        process = start_worker_on(server.url, slots=1)
        rx_wait_for_job(healthy)
        assert rx_get_job_results(healthy) == [1, 2]
        rx_wait_for_job(spoiled)
        assert process.poll() is None
        return spoiled

    return change


def test_status_that_does_not_exist_is_refused(server):
    """The tables themselves refuse a status that is none."""
    with pytest.warns(NoWorkerWarning):
        rx_exec(lambda: 1, compute_context=RxInSqlServer(server.url, wait=False))
    for table in ("jobs", "task_rows"):
        with pytest.raises(sa.exc.IntegrityError, match=f"ck_{table}_status"):
            server.run(f"UPDATE rx.{table} SET status = 'done'")


def test_deleted_input_fails_that_run_only(busy):
    """A run whose input somebody deleted fails and says so; the other runs, jobs and the worker go on."""
    job = busy("DELETE FROM rx.inputs WHERE job_key = {key} AND task = 0")
    assert rx_get_job_status(job) == "finished"
    with pytest.warns(FailedRunsWarning):
        lost, kept = rx_get_job_results(job)
    assert isinstance(lost, Exception) and kept == 6000


def test_task_without_runs_ends(busy):
    """A task whose number of runs somebody set to 0 ends without a result; the others and the worker go on."""
    job = busy("UPDATE rx.task_rows SET run_count = 0 WHERE job_key = {key} AND task = 0")
    assert rx_get_job_status(job) == "finished"
    with pytest.warns(FailedRunsWarning):
        lost, kept = rx_get_job_results(job)
    assert isinstance(lost, Exception) and kept == 6000


def test_deleted_function_fails_that_job_only(busy):
    """A job whose function somebody deleted fails and says so; the other jobs and the worker go on."""
    job = busy(
        "DELETE FROM rx.functions WHERE function_hash = (SELECT function_hash FROM rx.jobs WHERE job_key = {key})"
    )
    assert rx_get_job_status(job) == "failed"
    assert "function" in rx_get_job_results(job)


def test_spoiled_function_fails_that_job_only(busy):
    """A job whose function's bytes were changed fails and says so; the other jobs and the worker go on."""
    job = busy(
        "UPDATE rx.functions SET body = 'nonsense' "
        "WHERE function_hash = (SELECT function_hash FROM rx.jobs WHERE job_key = {key})"
    )
    assert rx_get_job_status(job) == "failed"
    assert re.search("payload|function", rx_get_job_results(job))


def test_spoiled_json_fails_that_job_only(busy):
    """A job whose packages_to_load is no JSON fails and says so; the other jobs and the worker go on."""
    job = busy("UPDATE rx.jobs SET packages_to_load = 'numpy' WHERE job_key = {key}")
    assert rx_get_job_status(job) == "failed"
    assert "packages_to_load" in rx_get_job_results(job)


# ----------------------------------------------------------------------------------------------- connections


def test_who_waits_again_needs_no_new_connection(server):
    """A wait ends without a listener for whom the server would keep what nobody reads, and the next one is cheap."""
    store = connect(server.url)
    connected: list[object] = []
    sa.event.listen(store.engine, "connect", lambda *_: connected.append(1))
    for _ in range(5):
        wakeup = store.wakeup()
        assert wakeup.wait(0) is False
        assert scalar(store, "SELECT COUNT(*) FROM pg_listening_channels()") == 0  # another connection's
        wakeup.close()
        assert [scalar(store, "SELECT COUNT(*) FROM pg_listening_channels()") for _ in range(2)] == [0, 0]
    assert len(connected) == 2
    store.close()


def test_connection_lost_while_nobody_used_it(server, monkeypatch):
    """The server has closed a connection that waited in the pool: the next one to need it gets a new one."""
    monkeypatch.setattr(serverconnections, "_TRUSTED_SECONDS", 0.0)
    store = connect(server.url)
    assert scalar(store, "SELECT 1") == 1
    ended = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'rxsql'"
    assert server.run(ended) == 1
    wait_until(lambda: server.run(ended) == 0)
    assert scalar(store, "SELECT 1") == 1
    store.close()


def test_connection_whose_user_was_interrupted(server):
    """Ctrl-C in the midst of a statement: what the server still sends is not taken for the next one's answer."""
    store = connect(server.url)
    sleep = "SELECT PG_SLEEP(60)"
    sleeping = f"SELECT COUNT(*) FROM pg_stat_activity WHERE query = '{sleep}' AND state = 'active'"

    def interrupt() -> None:
        wait_until(lambda: server.run(sleeping))
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    other = threading.Thread(target=interrupt)
    other.start()
    with pytest.raises(KeyboardInterrupt), store.write() as connection:
        connection.execute(constant(sa.text(sleep)))
    other.join()
    assert scalar(store, "SELECT 1") == 1
    assert connection.closed
    wait_until(lambda: not server.run(sleeping))
    store.close()


def test_connection_that_rested_for_long(server, monkeypatch):
    """It is replaced unasked: where something between has dropped it, no answer would come for minutes."""
    store = connect(server.url)
    with store.read() as first:
        pass
    monkeypatch.setattr(serverconnections, "_TRUSTED_SECONDS", 0.0)
    monkeypatch.setattr(serverconnections, "_KEPT_SECONDS", 0.0)
    with store.read() as second:
        assert second is not first and first.closed
    store.close()
