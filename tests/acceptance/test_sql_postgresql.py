"""Scripts and published functions from plain SQL on PostgreSQL: functions of schema rx, and who may call them."""

from __future__ import annotations

import datetime as dt
import decimal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import sqlalchemy as sa
from conftest import wait_until
from sqlscripts import blocks
from support import scalar

from rxsql.client.publishing import publish
from rxsql.store import install, sqlfiles
from rxsql.store.engine import Store, connect


@pytest.fixture
def url(postgresql_url: str, start_worker_on: Any) -> str:
    """A database with the schema, and a worker."""
    store = connect(postgresql_url)
    install.install(store)
    store.close()
    start_worker_on(postgresql_url)
    return postgresql_url


@pytest.fixture
def ask(url: str) -> Iterator[Callable[..., Any]]:
    """Run a statement as the owner; return its rows, or its only value."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)

    def execute(statement: str, **values: Any) -> Any:
        with engine.connect() as connection:
            rows = [tuple(row) for row in connection.execute(sa.text(statement), values)]
        return rows[0][0] if len(rows) == 1 and len(rows[0]) == 1 else rows

    yield execute
    engine.dispose()


def submitted(ask: Callable[..., Any], script: str, arguments: str = "", **values: Any) -> str:
    """Submit a script and wait for it; return the job's id."""
    job_id = ask(
        f"SELECT rx.submit_script(:script {', ' if arguments else ''}{arguments})", script=script, **values
    )
    assert ask("SELECT rx.wait_for_job(:job_id, 30)", job_id=job_id) in ("finished", "failed")
    return str(job_id)


def result(ask: Callable[..., Any], job_id: str) -> list[Any]:
    found = ask("SELECT * FROM rx.fetch_result(:job_id)", job_id=job_id)
    return [row[0] for row in found] if isinstance(found, list) else [found]


def test_a_query_goes_in_and_rows_come_out(ask: Callable[..., Any]) -> None:
    """A script gets the rows of a query in their order, and its parameters; rows and OUTPUT parameters come back."""
    script = "print('here')\nOutputDataSet = InputDataSet.assign(y=InputDataSet.x * k)\ntotal = float(OutputDataSet.y.sum())"
    job_id = submitted(
        ask,
        script,
        "'SELECT x FROM GENERATE_SERIES(3, 1, -1) AS x', params => '{\"k\": 2}', output_params => ARRAY['total']",
    )
    assert result(ask, job_id) == [{"x": 3, "y": 6}, {"x": 2, "y": 4}, {"x": 1, "y": 2}]
    assert ask("SELECT rx.fetch_parameters(:job_id)", job_id=job_id) == {"total": 12.0}
    assert ask("SELECT text FROM rx.console WHERE job_id = :job_id", job_id=job_id) == "here"


def test_types_come_back_as_they_went(ask: Callable[..., Any]) -> None:
    """Every type of a query passes a script without loss: by value and, through a record, by type."""
    columns = {
        "a": ("BOOLEAN", "TRUE"),
        "b": ("BIGINT", "9223372036854775807"),
        "c": ("DOUBLE PRECISION", "0.1"),
        "d": ("NUMERIC", "12345678901234567890.123456"),
        "e": ("TEXT", "'ü 😀 \"x\" \\n'"),
        "f": ("DATE", "'0001-01-01'"),
        "g": ("TIME", "'03:04:05.123456'"),
        "h": ("TIMESTAMP", "'2020-01-02 03:04:05.123456'"),
        "i": ("TIMESTAMPTZ", "'2020-01-02 03:04:05.123456+05:30'"),
        "j": ("UUID", "'01234567-89ab-cdef-0123-456789abcdef'"),
        'k "]': ("SMALLINT", "NULL"),
        "l": ("DOUBLE PRECISION", "'NaN'"),
    }
    named = {name.replace('"', '""'): pair for name, pair in columns.items()}
    query = "SELECT " + ", ".join(
        f'CAST({value} AS {kind}) AS "{name}"' for name, (kind, value) in named.items()
    )
    job_id = submitted(ask, "OutputDataSet = InputDataSet", "CAST(:query AS TEXT)", query=query)
    record = ", ".join(f'"{name}" {kind}' for name, (kind, _) in named.items())
    ((*found,),) = ask(
        f"SELECT r.* FROM rx.fetch_result('{job_id}') AS f, JSONB_TO_RECORD(f) AS r ({record})"
    )
    utc = dt.timezone.utc
    moment = dt.datetime(2020, 1, 2, 3, 4, 5, 123456)
    assert found == [
        *(True, 2**63 - 1, 0.1, decimal.Decimal("12345678901234567890.123456"), 'ü 😀 "x" \\n'),
        *(dt.date(1, 1, 1), dt.time(3, 4, 5, 123456), moment),
        moment.replace(tzinfo=utc) - dt.timedelta(hours=5, minutes=30),
        *(uuid.UUID("01234567-89ab-cdef-0123-456789abcdef"), None, None),
    ]


def test_bytes_go_in_as_bytes(ask: Callable[..., Any]) -> None:
    """A bytea is bytes in the script, and hexadecimal in its result."""
    job_id = submitted(
        ask,
        "OutputDataSet = InputDataSet\nn = len(InputDataSet.x[0])",
        "'SELECT ''\\x00ff''::BYTEA AS x', output_params => '{n}'",
    )
    assert result(ask, job_id) == [{"x": "00ff"}]
    assert ask("SELECT rx.fetch_parameters(:job_id)", job_id=job_id) == {"n": 2}


def test_types_made_of_others_go_in_as_these(url: str, ask: Callable[..., Any]) -> None:
    """Of a domain, a script gets what it is made of, and of money the number; an infinite moment is NULL."""
    _run(url, "CREATE DOMAIN small AS INTEGER CHECK (VALUE < 10)")
    _run(url, "CREATE DOMAIN smaller AS small CHECK (VALUE < 5)")
    job_id = submitted(
        ask,
        "kinds = ' '.join(str(dtype) for dtype in InputDataSet.dtypes)\nOutputDataSet = InputDataSet",
        "'SELECT 3::smaller AS a, ''-infinity''::DATE AS b, ''infinity''::TIMESTAMP AS c, "
        "''infinity''::TIMESTAMPTZ AS d, 1234.5::MONEY AS e', output_params => '{kinds}'",
    )
    assert result(ask, job_id) == [{"a": 3, "b": None, "c": None, "d": None, "e": "1234.50"}]
    kinds = ask("SELECT rx.fetch_parameters(:job_id)", job_id=job_id)["kinds"]
    assert kinds.split() == ["int32", "object", "datetime64[ns]", "object", "object"]


@pytest.mark.parametrize("kind", ["DATE", "TIMESTAMP", "TIMESTAMPTZ"])
def test_what_python_has_no_date_for_fails_the_script(ask: Callable[..., Any], kind: str) -> None:
    """A day before Christ is an error that names its column and value, and no other day."""
    job_id = submitted(
        ask, "OutputDataSet = InputDataSet", f"'SELECT ''0044-03-15 00:00:00.123456 BC''::{kind} AS d'"
    )
    with pytest.raises(sa.exc.DBAPIError, match=r"column 'd' has a value.*0044-03-15.*BC"):
        result(ask, job_id)


def test_the_query_has_the_callers_settings(url: str, ask: Callable[..., Any]) -> None:
    """The input query sees the caller's time zone, so that it returns what it returns to the caller."""
    _run(
        url,
        "DO $$ BEGIN SET TIME ZONE 'Europe/Berlin'; PERFORM rx.submit_script('OutputDataSet = InputDataSet', "
        "'SELECT CAST(''2024-01-01 23:30+00''::TIMESTAMPTZ AS DATE) AS day', job_id => 'zone'); END $$",
    )
    assert ask("SELECT rx.wait_for_job('zone', 30)") == "finished"
    assert result(ask, "zone") == [{"day": "2024-01-02"}]


def test_a_callers_own_temporary_tables_stay(url: str, ask: Callable[..., Any]) -> None:
    """Whatever the caller's temporary tables are called, one of them can be the input, and all are there afterwards."""
    _run(
        url,
        "DO $$ BEGIN CREATE TEMPORARY TABLE rx_input AS SELECT 7 AS mine; PERFORM rx.submit_script("
        "'OutputDataSet = InputDataSet', 'TABLE rx_input', job_id => 'own'); "
        "ASSERT (SELECT mine FROM rx_input) = 7; "
        "ASSERT (SELECT COUNT(*) FROM pg_class WHERE relname LIKE 'rx\\_input\\_%%') = 0; END $$",
    )
    assert ask("SELECT rx.wait_for_job('own', 30)") == "finished"
    assert result(ask, "own") == [{"mine": 7}]


def test_nobody_elses_functions_run_as_the_caller(url: str, ask: Callable[..., Any]) -> None:
    """A function that somebody put on the caller's search_path, to be a better match than the server's, is not called."""
    _run(
        url,
        "CREATE FUNCTION public.quote_ident(x NAME) RETURNS TEXT LANGUAGE plpgsql "
        "AS $$ BEGIN RAISE EXCEPTION 'run as %%', CURRENT_USER; END $$",
    )
    job_id = submitted(ask, "OutputDataSet = InputDataSet", "'SELECT 1 AS a', partition_by => '{a}'")
    assert result(ask, job_id) == [{"a": 1}]


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_wait_that_could_not_see_the_end_fails_at_once(url: str, level: str) -> None:
    """At an isolation level that has one snapshot a transaction, waiting is an error that says so."""
    engine = sa.create_engine(url, isolation_level=level, poolclass=sa.NullPool)
    with (
        engine.connect() as connection,
        pytest.raises(sa.exc.DBAPIError, match=f"isolation level {level.lower()}"),
    ):
        connection.execute(sa.text("SELECT rx.wait_for_job('any')"))


@pytest.mark.parametrize("which", ["input_name", "output_name"])
def test_a_data_set_whose_name_is_no_variables_fails_the_script(ask: Callable[..., Any], which: str) -> None:
    """A name that no script can use is an error that says so, and no result without rows; NULL is the usual name."""
    job_id = submitted(ask, "x = 1", f"'SELECT 1 AS a', {which} => 'My Data'")
    with pytest.raises(sa.exc.DBAPIError, match="'My Data' cannot be a variable of Python"):
        result(ask, job_id)
    job_id = submitted(
        ask, "OutputDataSet = InputDataSet", f"'SELECT 1 AS a', {which} => NULL, num_tasks => NULL"
    )
    assert result(ask, job_id) == [{"a": 1}]


def test_partitions_run_by_themselves(ask: Callable[..., Any]) -> None:
    """One run a partition; the rows of all come back, partition by partition."""
    job_id = submitted(
        ask,
        "OutputDataSet = InputDataSet.tail(1)",
        "'SELECT n % 3 AS g, n FROM GENERATE_SERIES(1, 9) AS n', partition_by => ARRAY['g'], num_tasks => 2",
    )
    assert result(ask, job_id) == [{"g": 0, "n": 9}, {"g": 1, "n": 7}, {"g": 2, "n": 8}]
    assert ask("SELECT run_count FROM rx.jobs WHERE job_id = :job_id", job_id=job_id) == 3


def test_wide_tables_of_odd_names_come_back(ask: Callable[..., Any]) -> None:
    """Columns by the hundred, names with quotes, and runs with columns of their own: each row has its own."""
    job_id = submitted(
        ask,
        "import pandas\ng = int(InputDataSet.g[0])\n"
        "OutputDataSet = pandas.DataFrame([[n for n in range(120 * g + 1)]] * 2, "
        'columns=[f"c\'{n}\\\\ \\"" for n in range(120 * g + 1)])',
        "'SELECT g FROM (VALUES (0), (1)) AS v (g)', partition_by => '{g}'",
    )
    wide = {f"c'{n}\\ \"": n for n in range(121)}
    assert result(ask, job_id) == [{"c'0\\ \"": 0}, {"c'0\\ \"": 0}, wide, wide]


def test_no_rows_and_no_input_are_empty_tables(ask: Callable[..., Any]) -> None:
    """A query without rows keeps its columns; without a query the input has none."""
    job_id = submitted(
        ask, "c = ','.join(InputDataSet.columns)", "'SELECT 1 AS a WHERE FALSE;', output_params => '{c}'"
    )
    assert ask("SELECT rx.fetch_parameters(:job_id)", job_id=job_id) == {"c": "a"}
    assert result(ask, submitted(ask, "x = len(InputDataSet.columns)", "NULL")) == []


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("SELECT rx.submit_script(NULL)", "The script is NULL"),
        ("SELECT rx.submit_script('', 'SELECT * FROM vanished')", 'relation "vanished" does not exist'),
        ("SELECT rx.submit_script('', params => '[1]')", "params must be a JSON object"),
        ("SELECT rx.submit_script('', num_tasks => -1)", "num_tasks is the most children at once"),
        ("SELECT rx.submit_script('', 'SELECT 1 AS a', partition_by => '{b}')", 'column "b" does not exist'),
        ("SELECT rx.submit_script('', job_id => 'not an id')", "letters, digits"),
        ("SELECT rx.add_job('x', 'x', 'script', '', '', 1000001, 1)", "more than 1,000,000 partitions"),
        ("SELECT rx.submit_script('', wrong => 1)", "does not exist"),
        ("SELECT rx.wait_for_job('nobody')", 'There is no job "nobody"'),
        ("CALL rx.follow_job('nobody')", 'There is no job "nobody"'),
        ("SELECT rx.add_page('nobody', 0, 0, 0, '[]', '[]')", 'There is no queued script "nobody"'),
        ("SELECT rx.fetch_result('nobody')", 'There is no job "nobody"'),
        ("SELECT rx.run_function('nothing')", 'Nothing is published as "nothing"'),
        ("SELECT rx.wait_for_job(rx.submit_script('x = 1'))", "in a transaction that has written"),
    ],
)
def test_what_cannot_be_is_one_clear_error(ask: Callable[..., Any], statement: str, words: str) -> None:
    """Each wrong call fails at once with a sentence that names what is wrong."""
    with pytest.raises(sa.exc.DBAPIError) as raised:
        ask(statement)
    assert words in str(raised.value.orig)


def test_a_failed_script_is_an_error_with_its_traceback(ask: Callable[..., Any]) -> None:
    """fetch_result of a failed job is an error, with the traceback in its detail; the worker goes on."""
    job_id = submitted(ask, "def f():\n    1 / 0\nf()")
    with pytest.raises(sa.exc.DBAPIError) as raised:
        result(ask, job_id)
    said = str(raised.value.orig)
    assert "ZeroDivisionError: division by zero" in said
    assert 'File "<script>", line 2, in f' in said
    assert result(ask, submitted(ask, "x = 1")) == []


def test_cancel_and_clean_up(ask: Callable[..., Any]) -> None:
    """A running script is canceled; what a job stored is removed, and its row says so."""
    job_id = ask("SELECT rx.submit_script('import time\ntime.sleep(600)')")
    assert ask("SELECT rx.cancel_job(:job_id)", job_id=job_id) is True
    assert ask("SELECT rx.cancel_job(:job_id)", job_id=job_id) is False
    assert ask("SELECT rx.wait_for_job(:job_id)", job_id=job_id) == "canceled"
    done = submitted(ask, "OutputDataSet = InputDataSet", "'SELECT 1 AS a'")
    assert ask("SELECT rx.cleanup_job(:job_id)", job_id=done) is True
    with pytest.raises(sa.exc.DBAPIError, match="was removed"):
        result(ask, done)
    assert ask("SELECT COUNT(*) FROM rx.frames") == 0


_CALLER = """
import sys
import psycopg

with psycopg.connect(sys.argv[1], autocommit=True) as connection:
    connection.add_notice_handler(lambda notice: print(notice.message_primary, flush=True))
    job_id = connection.execute("SELECT rx.submit_script(%s, job_id => %s)", sys.argv[2:4]).fetchone()[0]
    connection.execute("CALL rx.follow_job(%s)", [job_id])
print("over")
"""
_PRINTING = "import time\nfor n in range(6000):\n    print('line', n)\n    time.sleep(0.1)"


@pytest.fixture
def call(postgresql_url: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a process that submits a script and stays with it."""
    started = []
    plain = sa.make_url(postgresql_url).set(drivername="postgresql").render_as_string(hide_password=False)

    def start(script: str, job_id: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", _CALLER, plain, script, job_id]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_who_stays_with_a_job_sees_what_it_prints(ask: Callable[..., Any], call: Callable[..., Any]) -> None:
    """Prints arrive as notices, and the call returns when the job has ended."""
    assert call("print('one')\nprint('two')", "told").communicate(timeout=30)[0] == "one\ntwo\nover\n"
    assert ask("SELECT status FROM rx.jobs WHERE job_id = 'told'") == "finished"


def test_who_looks_at_an_ended_job_leaves_nothing_behind(url: str, ask: Callable[..., Any]) -> None:
    """Following a job that was cleaned up writes no row, which nothing would ever remove."""
    job_id = submitted(ask, "x = 1")
    ask("SELECT rx.cleanup_job(:job_id)", job_id=job_id)
    _run(url, f"CALL rx.follow_job('{job_id}')")
    assert ask("SELECT COUNT(*) FROM rx.waiters") == 0


def test_a_caller_that_is_killed_has_its_job_canceled(
    postgresql_url: str, start_worker_on: Any, call: Callable[..., Any]
) -> None:
    """When the process that stays with a job dies, the job is canceled, and its code ended."""
    store = connect(postgresql_url)
    install.install(store)
    worker = psutil.Process(start_worker_on(postgresql_url, lease_seconds=4, slots=1).pid)
    try:
        caller = call(_PRINTING, "left")
        assert caller.stdout.readline() == "line 0\n"
        job = "FROM rx.jobs WHERE job_id = 'left'"
        running = {child.pid for child in worker.children(recursive=True)}
        caller.kill()
        wait_until(lambda: scalar(store, f"SELECT status {job}") == "canceled")
        assert "went away" in str(scalar(store, f"SELECT error {job}"))
        wait_until(lambda: not running <= {child.pid for child in worker.children(recursive=True)})
    finally:
        store.close()


def test_staying_with_a_job_is_no_part_of_a_transaction(ask: Callable[..., Any], url: str) -> None:
    """In a transaction, whose jobs no worker sees before its end, the call fails at once, and submits nothing."""
    with psycopg.connect(
        sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    ) as c:
        c.execute("SELECT rx.submit_script('x = 1', job_id => 'inside')")
        with pytest.raises(psycopg.errors.InvalidTransactionTermination):
            c.execute("CALL rx.follow_job('inside')")
    assert ask("SELECT COUNT(*) FROM rx.jobs") == 0


def _publish(url: str, folder: Path, name: str = "twice") -> None:
    (folder / "published_here.py").write_text(
        "def twice(k):\n    return [{'k': k, 'twice': 2 * k}]\n", encoding="utf-8"
    )
    sys.path.insert(0, str(folder))
    owner = connect(url)
    try:
        assert publish(owner, "published_here:twice", name) == (name, False)
    finally:
        sys.path.remove(str(folder))
        owner.close()


def test_a_worker_that_requires_signatures_runs_what_was_published_with_a_key(
    postgresql_url: str, start_worker_on: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signed function runs, whoever calls it; one published without a key, or under a signed one's name, does not."""
    store = connect(postgresql_url)
    install.install(store)
    keys = "k1:" + "ab" * 32
    start_worker_on(postgresql_url, signing_keys=keys, require_signature=1)
    _publish(postgresql_url, tmp_path, "unsigned")
    monkeypatch.setenv("RXSQL_SIGNING_KEYS", keys)
    _publish(postgresql_url, tmp_path, "signed")
    _run(
        postgresql_url,
        "INSERT INTO rx.published SELECT 'moved', function_name, function_hash, python, published_by, "
        "published_at, signature FROM rx.published WHERE name = 'signed'",
    )
    try:
        found = {}
        for name in ("signed", "unsigned", "moved"):
            _run(postgresql_url, f"SELECT rx.run_function('{name}', '{{\"k\": 2}}', '{name}')")
            job = f"FROM rx.jobs WHERE job_id = '{name}' AND finished_at IS NOT NULL"
            found[name] = wait_until(
                lambda job=job: scalar(store, f"SELECT status || ': ' || COALESCE(error, '') {job}")
            )
        assert found["signed"] == "finished: "
        assert "not signed" in found["unsigned"]
        assert "signature" in found["moved"]
    finally:
        store.close()


def test_roles_may_do_what_they_are_for(url: str, ask: Callable[..., Any], tmp_path: Path) -> None:
    """A caller runs what is published, and nothing else; a scripter runs scripts; neither sees others' jobs."""
    _publish(url, tmp_path)
    names = {role: f"{role}_{uuid.uuid4().hex[:8]}" for role in ("rx_caller", "rx_scripter")}
    for role, name in names.items():
        _run(url, f"CREATE ROLE {name} LOGIN IN ROLE {role}")
    try:
        caller, scripter = (_as(url, names[role]) for role in ("rx_caller", "rx_scripter"))
        job_id = caller("SELECT rx.run_function('twice', '{\"k\": 21}')")
        assert caller(f"SELECT rx.wait_for_job('{job_id}', 30)") == "finished"
        assert caller(f"SELECT rx.fetch_result('{job_id}')") == {"k": 21, "twice": 42}
        for statement in (
            "SELECT rx.submit_script('x = 1')",
            "SELECT * FROM rx.frames",
            "INSERT INTO rx.functions VALUES ('x', 'y')",
            "SELECT rx.add_job('x', 'x', 'script', '', '', 1, 1)",
        ):
            with pytest.raises(sa.exc.DBAPIError, match="permission denied"):
                caller(statement)
        with pytest.raises(sa.exc.DBAPIError, match="There is no job"):
            scripter(f"SELECT rx.fetch_result('{job_id}')")
        own = scripter("SELECT rx.submit_script('x = 1')")
        scripter(f"CALL rx.follow_job('{own}')")
        assert scripter(f"SELECT rx.wait_for_job('{own}', 0)") == "finished"
        with pytest.raises(sa.exc.DBAPIError, match="There is no job"):
            caller(f"CALL rx.follow_job('{own}')")
        with pytest.raises(sa.exc.DBAPIError, match="permission denied"):
            scripter("SELECT rx.run_function('twice', '{\"k\": 1}')")
        _run(url, "CREATE TABLE secrets (x INTEGER)")
        with pytest.raises(sa.exc.DBAPIError, match="permission denied for table secrets"):
            scripter("SELECT rx.submit_script('x = 1', 'SELECT * FROM secrets')")
    finally:
        for name in names.values():
            _run(url, f"DROP ROLE {name}")


def _run(url: str, statement: str) -> None:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)


def _as(url: str, name: str) -> Callable[[str], Any]:
    """Return a way to ask as another user."""
    own = sa.make_url(url).set(username=name)
    engine = sa.create_engine(own, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)

    def ask(statement: str) -> Any:
        with engine.connect() as connection:
            answer = connection.exec_driver_sql(statement)
            return answer.scalar() if answer.returns_rows else None

    return ask


def test_the_readmes_calls_do_what_they_say(ask: Callable[..., Any]) -> None:
    """The README's statements submit a script, wait for it, and give its rows with their types."""
    (block,) = blocks("postgresql")
    submit, wait, fetch = sqlfiles.statements(block)
    assert ask(submit) == "totals"
    assert ask(wait) == "finished"
    assert ask(fetch) == [(2.5, 25.0), (3.0, 30.0)]
