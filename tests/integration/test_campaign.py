"""The fault campaign: thousands of tasks, several workers, and a killer; nothing is lost, nothing is accepted twice."""

from __future__ import annotations

import random
from time import monotonic, sleep
from typing import Any

import pytest
from chaos import Chaos
from conftest import STORES, wait_until
from support import rows_of, scalar

from rxsql import RxInSqlServer, rx_exec, rx_get_job_results
from rxsql.client.handle import RxRemoteJob
from rxsql.errors import ChildDiedError, RunError
from rxsql.store.engine import Store, open_store
from rxsql.store.jobs import purge
from rxsql.store.workers import list_workers

AUDIT = {
    "sqlite": [
        "CREATE TABLE audit (what TEXT, job_key INTEGER, number INTEGER)",
        "CREATE TRIGGER audit_ends AFTER UPDATE OF status ON task_rows"
        " WHEN new.status IN ('finished', 'failed') BEGIN"
        " INSERT INTO audit VALUES ('end', new.job_key, new.task); END",
        "CREATE TRIGGER audit_results AFTER INSERT ON results BEGIN"
        " INSERT INTO audit VALUES ('result', new.job_key, new.run); END",
        "CREATE TRIGGER audit_changes AFTER UPDATE ON results BEGIN"
        " INSERT INTO audit VALUES ('change', new.job_key, new.run); END",
    ],
    "postgresql": [
        "CREATE TABLE rx.audit (what TEXT, job_key BIGINT, number INTEGER)",
        "CREATE FUNCTION rx.audit_ends() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO rx.audit VALUES ('end', new.job_key, new.task); RETURN NULL; END $$",
        "CREATE FUNCTION rx.audit_results() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO rx.audit VALUES (TG_ARGV[0], new.job_key, new.run); RETURN NULL; END $$",
        "CREATE TRIGGER audit_ends AFTER UPDATE ON rx.task_rows FOR EACH ROW"
        " WHEN (new.status IN ('finished', 'failed')) EXECUTE FUNCTION rx.audit_ends()",
        "CREATE TRIGGER audit_results AFTER INSERT ON rx.results FOR EACH ROW"
        " EXECUTE FUNCTION rx.audit_results('result')",
        "CREATE TRIGGER audit_changes AFTER UPDATE ON rx.results FOR EACH ROW"
        " EXECUTE FUNCTION rx.audit_results('change')",
    ],
    # SQL Server refuses OUTPUT, by which the store hears what was accepted, on a table with triggers.
}


def work(number: int, pause: float) -> int:
    import time

    print("begin", number)
    if number % 3 == 0:
        time.sleep(pause)
    print("end", number)
    return number * number


def fail_at_times(number: int) -> int:
    if number % 5 == 0:
        raise ValueError(number)
    return -number


def swell(number: int) -> bytes:
    return random.Random(number).randbytes(1_100_000 + number)


class Jobs:
    """The campaign's jobs, and what must come of them."""

    def __init__(self, url: str, factor: int) -> None:
        self.url = url
        self.handles: list[tuple[RxRemoteJob, Any, range, int]] = []
        many = 200 * factor
        for _ in range(4):
            self._add(work, many * 2, 1, num_tasks=0, max_attempts=20, pause=0.02)
        self._add(work, many, 1, num_tasks=2, max_attempts=2, pause=0.01)
        self._add(work, many * 3, 3, num_tasks=3, max_attempts=20, pause=0.01)
        self._add(fail_at_times, many * 2, 2, num_tasks=1, max_attempts=20)
        self._add(swell, many // 10, 1, num_tasks=0, max_attempts=20)
        self.tasks = many * 11 + many // 10

    def _add(
        self, function: Any, runs: int, chunk: int, *, num_tasks: int, max_attempts: int, **shared: Any
    ) -> None:
        where = RxInSqlServer(self.url, wait=False, num_tasks=num_tasks, auto_cleanup=False)
        job = rx_exec(
            function,
            number=list(range(runs)),
            task_chunk_size=chunk,
            compute_context=where,
            **shared,
        )
        store = open_store(self.url)
        prefix = f"{store.dialect.schema}." if store.dialect.schema else ""
        with store.write() as connection:
            connection.exec_driver_sql(
                f"UPDATE {prefix}jobs SET max_attempts = {max_attempts} WHERE job_id = '{job.job_id}'"
            )
        self.handles.append((job, function, range(runs), max_attempts))

    def check(self) -> int:
        """Look at every result; return how many runs failed because their process died too often."""
        died = 0
        for job, function, numbers, max_attempts in self.handles:
            for number, found in zip(numbers, rx_get_job_results(job), strict=True):
                if isinstance(found, (ChildDiedError, RunError)):
                    assert max_attempts == 2 and "died" in str(found), found
                    died += 1
                elif function is fail_at_times and number % 5 == 0:
                    assert isinstance(found, ValueError) and found.args == (number,)
                elif function is swell:
                    assert found == swell(number)
                else:
                    assert found == (number * number if function is work else -number)
        return died


@pytest.mark.filterwarnings("ignore::rxsql.errors.FailedRunsWarning", "ignore::rxsql.errors.NoWorkerWarning")
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("any_url", STORES, indirect=True)
def test_campaign(store, tmp_path, campaign, capsys):
    """Whatever dies, every task ends once with the right result, within its attempts, and nothing is left behind."""
    audited = AUDIT.get(store.dialect.name, [])
    with store.write() as connection:
        for statement in audited:
            connection.exec_driver_sql(statement)
    chaos = Chaos(store, tmp_path, campaign.seed, workers=3)
    wait_until(
        lambda: sum(worker.is_alive for worker in list_workers(store)) == 3
    )  # or a client starts another
    jobs = Jobs(store.url, campaign.factor)
    pauses = random.Random(campaign.seed)
    try:
        deadline = monotonic() + 12 * campaign.factor
        while monotonic() < deadline and open_jobs(store):
            chaos.strike()
            sleep(pauses.uniform(0, 0.1))
        chaos.calm()
        await_end(store, chaos)
        died = jobs.check()
        check_rows(store, jobs, audited=bool(audited))
        tried = attempts(store)
    finally:
        chaos.close()
    for job, *_ in jobs.handles:
        purge(store, job.job_id)
    values = store.dialect.values
    assert values is None or list(values.folder.iterdir()) == []
    wait_until(lambda: not chaos.strays())
    assert list(chaos.temporary.iterdir()) == []
    said = [log.read_text() for log in tmp_path.glob("*.log")]
    surprises = [text[text.index("Traceback") :] for text in said if "Traceback" in text]
    assert [
        text for text in surprises if not text.endswith("KeyboardInterrupt\n")
    ] == []  # interrupted at its start
    with capsys.disabled():
        told = ", ".join(f"{count} {what}" for what, count in sorted(chaos.counts.items()))
        print(
            f"\ncampaign on {store.dialect.name}, seed {campaign.seed}: {jobs.tasks} tasks, {tried} attempts, "
            f"{died} runs failed by deaths; {told}"
        )


def open_jobs(store: Store) -> int:
    return int(scalar(store, "SELECT COUNT(*) FROM {rx}jobs WHERE status IN ('queued', 'running')"))


def await_end(store: Store, chaos: Chaos) -> None:
    """Wait until all jobs have ended, however slow the machine is, for as long as tasks still do."""
    while open_jobs(store):
        before, deadline = ended_tasks(store), monotonic() + 60
        while open_jobs(store) and monotonic() < deadline:
            chaos.replace_ended()  # those that were told to end while it struck
            sleep(0.05)
        assert not open_jobs(store) or ended_tasks(store) > before


def ended_tasks(store: Store) -> int:
    return int(scalar(store, "SELECT COUNT(*) FROM {rx}task_rows WHERE status IN ('finished', 'failed')"))


def attempts(store: Store) -> int:
    return int(scalar(store, "SELECT SUM(attempt) FROM {rx}task_rows"))


def check_rows(store: Store, jobs: Jobs, *, audited: bool) -> None:
    """Look at the tables, as somebody who was told nothing by the workers."""
    assert scalar(store, "SELECT COUNT(*) FROM {rx}task_rows") == jobs.tasks
    assert rows_of(store, "SELECT * FROM {rx}task_rows WHERE status NOT IN ('finished', 'failed')") == []
    assert rows_of(store, "SELECT * FROM {rx}slots") == []
    over = "SELECT t.* FROM {rx}task_rows t JOIN {rx}jobs j ON j.job_key = t.job_key WHERE t.attempt > j.max_attempts"
    assert rows_of(store, over) == []
    wrong = (
        "SELECT t.job_key, t.task, t.failed_runs FROM {rx}task_rows t WHERE t.failed_runs <> (SELECT COUNT(*)"
        " FROM {rx}results r WHERE r.job_key = t.job_key AND r.error IS NOT NULL"
        " AND r.run BETWEEN t.first_run AND t.first_run + t.run_count - 1)"
    )
    assert rows_of(store, wrong) == []
    if audited:
        twice = (
            "SELECT what, job_key, number FROM {rx}audit GROUP BY what, job_key, number HAVING COUNT(*) > 1"
        )
        assert rows_of(store, twice) == []
        assert rows_of(store, "SELECT * FROM {rx}audit WHERE what = 'change'") == []
        assert scalar(store, "SELECT COUNT(*) FROM {rx}audit WHERE what = 'end'") == jobs.tasks
        runs = sum(len(numbers) for _, _, numbers, _ in jobs.handles)
        assert scalar(store, "SELECT COUNT(*) FROM {rx}audit WHERE what = 'result'") == runs
