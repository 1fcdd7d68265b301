"""The store's contract: each operation, on every kind of database, without any worker process."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from conftest import STORES
from support import claim, counted, ended, line, new_job, register, rows_of, scalar, skip_on_babelfish, submit

from rxsql.errors import JobExistsError, JobNotFoundError
from rxsql.client import collecting
from rxsql.models import NewTask, RxRemoteJobStatus, Task
from rxsql.reports import ConsoleChunk, Outcome, Report, RunOutcome, TaskEnd
from rxsql.pages import OUT, Page, Spool
from rxsql.store import jobs, outputs, reaping, scripts, tasks, workers, workitems
from rxsql.store.engine import Store, connect
from rxsql.settings import Settings
from rxsql.store.submission import add_job
from rxsql.worker.outbox import Outbox
from rxsql.worker.poller import Poller

pytestmark = pytest.mark.parametrize("any_url", STORES, indirect=True)


@pytest.fixture
def worker(store: Store) -> int:
    """A registered worker's key."""
    return register(store, "w1")


# ------------------------------------------------------------------------------------------- submitting


def test_submitted_job_is_queued_with_its_tasks(store, worker):
    """A new job is queued, has all its tasks, and is seen by a look of a worker of its Python version."""
    job_key = submit(store, tasks=3)
    job = jobs.get_job(store, "j")
    assert (job.status, job.run_count, job.done_runs, job.percent) == ("queued", 3, 0, 0)
    (found,) = tasks.open_jobs(store, worker, "3.11", limit=10)
    assert (found.job_key, found.has_queued, found.slots) == (job_key, True, 0)
    assert tasks.open_jobs(store, worker, "3.99", limit=10) == []


def test_taken_id_is_refused_and_nothing_is_stored(store):
    """A second job of the same id is an error that names it, and leaves no rows."""
    submit(store)
    with pytest.raises(JobExistsError, match="'j'"):
        submit(store, function=b"other")
    assert scalar(store, "SELECT COUNT(*) FROM {rx}task_rows") == 4
    assert scalar(store, "SELECT COUNT(*) FROM {rx}functions") == 1


def test_function_is_stored_once_and_leaves_with_its_last_job(store):
    """Two jobs of the same function share its row, which goes when both were purged."""
    submit(store, "a")
    submit(store, "b")
    count = "SELECT COUNT(*) FROM {rx}functions"
    assert scalar(store, count) == 1
    jobs.purge(store, "a")
    assert scalar(store, count) == 1
    jobs.purge(store, "b")
    assert scalar(store, count) == 0


def test_the_function_of_the_job_collected_last_is_left_for_the_next(store):
    """In a loop that has it, too; another one's takes its place, and a worker that ends sweeps up the last."""
    functions = "SELECT body FROM {rx}functions"
    leaving = Poller(store, Settings())
    for job_id, body in (("a", b"function"), ("b", b"function"), ("c", b"other")):
        submit(store, job_id, function=body)
        jobs.purge_ended(store, jobs.job_state(store, job_id))
        assert rows_of(store, functions) == [(body,)]
    leaving.stop()
    assert rows_of(store, functions) == []


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 100_001])
def test_inputs_of_any_size_reach_the_worker(store, worker, size):
    """Small inputs stand in their row and large ones apart; the bytes are the same."""
    body = bytes(range(256)) * (size // 256 + 1)
    job = replace(new_job(), tasks=[NewTask(first_run=0, run_count=1, input=body[:size])], run_count=1)
    job_key = add_job(store, job, inline_bytes=512)
    (task,) = claim(store, worker, job_key)
    found = task.input if task.input is not None else tasks.task_inputs(store, job_key, [0])[0]
    assert found == body[:size]


# --------------------------------------------------------------------------------------------- claiming


def test_claims_come_in_order_and_never_twice(store, worker):
    """Two workers get disjoint tasks, each in the order of their numbers, as attempt 1."""
    job_key = submit(store, tasks=10)
    other = register(store, "w2")
    first = claim(store, worker, job_key, limit=4)
    second = claim(store, other, job_key, limit=100)
    assert [task.task for task in first] == [0, 1, 2, 3]
    assert [task.task for task in second] == [4, 5, 6, 7, 8, 9]
    assert {task.attempt for task in first + second} == {1}
    assert claim(store, worker, job_key) == []


def test_slots_never_exceed_the_cap(store, worker):
    """A job of three slots gives three altogether, whoever asks, and gives them anew when they are given up."""
    job_key = submit(store, tasks=50, num_tasks=3)
    other = register(store, "w2")
    assert tasks.claim(store, worker, job_key, slots_wanted=2, limit=1)[0] == 2
    assert tasks.claim(store, other, job_key, slots_wanted=4, limit=1)[0] == 1
    assert tasks.claim(store, worker, job_key, slots_wanted=4, limit=0)[0] == 2
    tasks.release_slots(store, worker, job_key)
    assert tasks.claim(store, other, job_key, slots_wanted=4, limit=0)[0] == 3


def test_no_slot_no_tasks(store, worker):
    """A worker without a slot claims nothing."""
    job_key = submit(store, num_tasks=1)
    claim(store, worker, job_key, limit=1)
    assert tasks.claim(store, register(store, "w2"), job_key, slots_wanted=1, limit=5) == (0, [])


def test_job_runs_from_its_first_claim(store, worker):
    """The first claim makes the job running, and writes when; a canceled job cannot be claimed."""
    job_key = submit(store)
    claim(store, worker, job_key, limit=1)
    job = jobs.get_job(store, "j")
    assert job.status == "running"
    assert abs(datetime.now(UTC) - job.started_at) < timedelta(minutes=1)
    assert jobs.cancel(store, "j")
    assert tasks.claim(store, worker, job_key, slots_wanted=1, limit=5) == (0, [])
    assert workitems.work_item(store, job_key) is None


def test_racing_claimers_share_every_task_once(store):
    """Eight threads with connections of their own claim 400 tasks: each exactly once, the cap of 3 never exceeded."""
    skip_on_babelfish(store, "ignores locking hints, by which the cap is kept")
    job_key = submit(store, tasks=400, num_tasks=3)
    claimed: list[int] = []
    most: list[int] = []
    failures: list[BaseException] = []

    def race(number: int) -> None:
        own = connect(store.url)
        try:
            key = register(own, f"racer-{number}")
            while True:
                slots, found = tasks.claim(own, key, job_key, slots_wanted=2, limit=7)
                most.append(int(scalar(own, "SELECT COALESCE(SUM(slots), 0) FROM {rx}slots")))
                claimed.extend(task.task for task in found)
                tasks.release_slots(own, key, job_key)
                if slots and not found:
                    return
        except BaseException as error:
            failures.append(error)
        finally:
            own.close()

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(claimed) == list(range(400))
    assert max(most) <= 3


# -------------------------------------------------------------------------------------------- reporting


def test_report_writes_results_and_ends_the_job(store, worker):
    """With its last task's end a job is finished, its slots are free, and its outcomes are read in order."""
    job_key = submit(store, tasks=2)
    first, second = claim(store, worker, job_key)
    assert tasks.report(store, worker, ended(second)).ended_jobs == set()
    written = tasks.report(store, worker, ended(first))
    assert written.ended_jobs == {job_key} and written.refused == set()
    job = jobs.get_job(store, "j")
    assert (job.status, job.done_runs, job.failed_runs, job.percent) == ("finished", 2, 0, 100)
    assert [o.run for o in outputs.fetch_outcomes(store, job_key, after=-1, limit=10)] == [0, 1]
    assert [o.run for o in outputs.fetch_outcomes(store, job_key, after=0, limit=10)] == [1]
    assert scalar(store, "SELECT COUNT(*) FROM {rx}slots") == 0


def test_large_results_are_read_a_few_megabytes_at_a_time(store, worker, monkeypatch):
    """Whoever collects results holds some megabytes of payloads, however many there are; small ones come together."""
    fetch, pages = outputs.fetch_outcomes, []

    def fetch_and_tell(*arguments, **options):
        page = fetch(*arguments, **options)
        pages.append(len(page))
        return page

    monkeypatch.setattr(outputs, "fetch_outcomes", fetch_and_tell)
    for job_id, count, value in (("large", 40, bytes(2**20)), ("small", 400, b"value")):
        job_key = submit(store, job_id, tasks=count)
        done = [
            RunOutcome(job_key, task.task, task.attempt, Outcome(task.first_run, value))
            for task in claim(store, worker, job_key, limit=count)
        ]
        ends = [
            TaskEnd(job_key=job_key, task=o.task, attempt=1, failed_runs=0, seconds=0.0, error=None)
            for o in done
        ]
        tasks.report(store, worker, Report(number=job_key, outcomes=done, ends=ends))
        pages.clear()
        found = list(collecting.each_outcome(store, jobs.get_job(store, job_id)))
        assert [(outcome.run, outcome.value) for outcome in found] == [(run, value) for run in range(count)]
        assert pages == {"large": [16, 8, 8, 8, 0], "small": [16, 256, 128]}[job_id]


@pytest.mark.parametrize(
    ("failing", "go_on", "status"),
    [([0], True, "finished"), ([0, 1], True, "failed"), ([1], False, "failed"), ([], False, "finished")],
)
def test_status_of_a_job_with_failed_runs(store, worker, failing, go_on, status):
    """Failed when every run failed, or when one did and the rest was not to go on; else finished."""
    job_key = submit(store, tasks=2, continue_on_failure=go_on)
    for task in claim(store, worker, job_key):
        tasks.report(store, worker, ended(task, error="E: no" if task.task in failing else None))
    job = jobs.get_job(store, "j")
    assert (job.status, job.failed_runs) == (status, len(failing))
    assert ("E: no" in (job.error or "")) == bool(failing)


def test_second_report_of_the_same_end_is_refused(store, worker):
    """The same end twice counts once; the result of the first stays."""
    job_key = submit(store, tasks=2)
    first, _ = claim(store, worker, job_key)
    tasks.report(store, worker, ended(first))
    again = ended(first)
    again.outcomes[0] = RunOutcome(job_key, 0, 1, Outcome(0, b"other"))
    assert tasks.report(store, worker, again).refused == {(job_key, 0)}
    (outcome,) = outputs.fetch_outcomes(store, job_key, after=-1, limit=10)
    assert outcome.value == b"value"


@pytest.mark.parametrize("how", ["other worker", "older attempt", "canceled", "purged"])
def test_late_writers_change_nothing(store, worker, how):
    """Results, lines and ends of a task that is not the writer's any more are refused, and the writer is told."""
    job_key = submit(store, tasks=2)
    task, _ = claim(store, worker, job_key)
    writer = worker
    if how == "other worker":
        writer = register(store, "w2")
    elif how == "older attempt":
        tasks.release(store, worker, [(task, task.attempt)])
        claim(store, worker, job_key)
    elif how == "canceled":
        jobs.cancel(store, "j")
    else:
        jobs.purge(store, "j")
    news = ended(task)
    news.chunks.append(line(task, "late"))
    assert tasks.report(store, writer, news).refused == {(job_key, 0)}
    assert outputs.fetch_outcomes(store, job_key, after=-1, limit=10) == []
    assert outputs.fetch_console(store, job_key, after=0, limit=10) == []


def test_runs_of_a_chunk_are_kept_when_its_task_goes_back(store, worker):
    """Outcomes written before a task was given back are known to its next attempt."""
    job_key = submit(store, tasks=1, chunk=3)
    (task,) = claim(store, worker, job_key)
    tasks.report(store, worker, Report(outcomes=[RunOutcome(job_key, 0, 1, Outcome(0, b"a"))]))
    tasks.release(store, worker, [(task, task.attempt)])
    (again,) = claim(store, worker, job_key)
    assert again.attempt == 2
    assert tasks.runs_with_results(store, job_key, again) == {0: None}


def test_what_a_worker_holds(store, worker):
    """A worker is told the tasks that it has claimed and not ended, in any job, and no other's."""
    first, second = submit(store, tasks=4), submit(store, "k", tasks=2)
    other = register(store, "other")
    claimed = claim(store, worker, first, limit=2) + claim(store, worker, second, limit=1)
    claim(store, other, first, limit=1)
    tasks.report(store, worker, ended(claimed[0]))
    found = sorted(tasks.held_tasks(store, worker), key=lambda task: task.key)
    assert found == [replace(task, input=None) for task in claimed[1:]]


def test_released_task_that_was_not_begun_has_its_attempt_back(store, worker):
    """Given back unbegun, a task's next claim is attempt 1 again."""
    job_key = submit(store, tasks=1)
    (task,) = claim(store, worker, job_key)
    tasks.release(store, worker, [(task, task.attempt - 1)])
    assert claim(store, worker, job_key)[0].attempt == 1


def test_console_lines_are_read_in_order_and_from_a_place(store, worker):
    """Chunks come in the order of writing, a page at a time; the view has a row a line."""
    job_key = submit(store, tasks=1)
    (task,) = claim(store, worker, job_key)
    text = 'quote " backslash \\ tab \t emoji \N{SNAKE} nul \N{SYMBOL FOR NULL} end'
    chunks = [
        ConsoleChunk(job_key, 0, 0, 1, "stdout", 0, f"a\n{text}", partial=False),
        ConsoleChunk(job_key, 0, 0, 1, "stderr", 2, "", partial=True),
    ]
    tasks.report(store, worker, Report(chunks=chunks))
    found = outputs.fetch_console(store, job_key, after=0, limit=10)
    assert [chunk for _, chunk in found] == chunks
    assert outputs.fetch_console(store, job_key, after=found[0][0], limit=10) == found[1:]
    tasks.report(store, worker, Report(number=2, chunks=[replace(chunks[0], text="nul \0\nhalf \ud800")]))
    assert outputs.fetch_console(store, job_key, after=found[1][0], limit=1)[0][1].lines == [
        "nul \N{SYMBOL FOR NULL}",
        "half ?",
    ]
    skip_on_babelfish(store, "leaves JSON's escapes in what OPENJSON returns")
    found = rows_of(
        store, "SELECT job_id, task, run, stream, line, text FROM {rx}console ORDER BY chunk_key, line"
    )
    assert found[:3] == [
        ("j", 0, 0, "stdout", 0, "a"),
        ("j", 0, 0, "stdout", 1, text),
        ("j", 0, 0, "stderr", 2, ""),
    ]


# ------------------------------------------------------------------------------- ending, reaping, purging


def test_job_can_be_failed_for_a_reason_of_its_own(store, worker):
    """end_job ends a job and its open tasks once; a second end changes nothing."""
    job_key = submit(store, tasks=3)
    first, _ = claim(store, worker, job_key, limit=2)
    tasks.report(store, worker, ended(first))
    assert tasks.end_job(store, job_key, RxRemoteJobStatus.FAILED, "the limit") is True
    assert tasks.end_job(store, job_key, RxRemoteJobStatus.CANCELED, None) is False
    job = jobs.get_job(store, "j")
    assert (job.status, job.error, job.done_runs) == ("failed", "the limit", 1)
    states = rows_of(store, "SELECT status, error FROM {rx}tasks ORDER BY task")
    assert states == [
        ("finished", None),
        ("failed", "the limit"),
        ("canceled", "the limit"),
    ]


def test_tasks_of_a_dead_worker_return_or_fail(store, worker):
    """Reaping returns a dead worker's tasks to the queue, and fails those without attempts left."""
    job_key = submit(store, tasks=2, max_attempts=2)
    claim(store, worker, job_key)
    reaping.reap(store, worker, "the worker died")
    other = register(store, "w2")
    first, second = claim(store, other, job_key)
    assert first.attempt == 2
    tasks.report(store, other, ended(second))
    reaping.reap(store, other, "the worker died")
    job = jobs.get_job(store, "j")
    assert (job.status, job.failed_runs) == ("finished", 1)
    assert [o.error for o in outputs.fetch_outcomes(store, job_key, after=-1, limit=9)] == [
        "the worker died",
        None,
    ]


def test_worker_is_dead_when_its_lease_is_over(store, worker):
    """A worker without a heartbeat within its lease is not alive; stopped ones are not counted among the dead."""
    late = register(store, "late", lease_seconds=0)
    alive = {w.worker_id: w.is_alive for w in workers.list_workers(store)}
    assert alive == {"w1": True, "late": False}
    assert "late" in [
        w.worker_id for w in workers.dead_workers(store, workers.other_workers(store, but=worker))
    ]
    reaping.reap(store, late, "")
    assert "late" not in [
        w.worker_id for w in workers.dead_workers(store, workers.other_workers(store, but=worker))
    ]
    assert workers.heartbeat(store, late) is False


def test_idle_worker_stays_while_there_is_work(store, worker):
    """A worker cannot leave as idle between a job's submission and its own look."""
    submit(store)
    assert workers.stop_if_idle(store, worker) is False
    jobs.cancel(store, "j")
    assert workers.stop_if_idle(store, worker) is True


def test_purge_leaves_a_tombstone(store, worker):
    """A purged job has no rows but its own, and is undetermined; an unknown id is missing, and an error by name."""
    job_key = submit(store, tasks=2)
    for task in claim(store, worker, job_key):
        tasks.report(store, worker, ended(task))
    purged = jobs.purge(store, "j")
    assert (purged.tasks, purged.results) == (2, 2)
    assert jobs.job_status(store, "j") is RxRemoteJobStatus.UNDETERMINED
    assert jobs.job_status(store, "never") is RxRemoteJobStatus.MISSING
    for operation in (jobs.purge, jobs.cancel, jobs.get_job):
        with pytest.raises(JobNotFoundError, match="never"):
            operation(store, "never")


def test_retention_spares_what_is_young_or_open(store, worker):
    """Only final jobs older than the retention are purged; tombstones go after their own time."""
    submit(store, "open")
    job_key = submit(store, "done", tasks=1)
    tasks.report(store, worker, ended(claim(store, worker, job_key)[0]))
    assert jobs.purge_expired(store, retention_seconds=3600, tombstone_seconds=3600) == 0
    assert jobs.purge_expired(store, retention_seconds=0, tombstone_seconds=3600) == 1
    assert jobs.job_status(store, "done") == "undetermined"
    assert jobs.purge_expired(store, retention_seconds=0, tombstone_seconds=0) == 0
    assert jobs.job_status(store, "done") == "missing"
    assert jobs.job_status(store, "open") == "queued"


def test_list_filters_by_state_and_time(store):
    """Jobs are listed newest first, filtered by state and by time of submission."""
    submit(store, "a")
    submit(store, "b")
    jobs.cancel(store, "a")
    assert [job.job_id for job in jobs.list_jobs(store)] == ["b", "a"]
    assert [job.job_id for job in jobs.list_jobs(store, states=[RxRemoteJobStatus.CANCELED])] == ["a"]
    later = datetime.now(UTC) + timedelta(minutes=1)
    assert jobs.list_jobs(store, start_time=later) == []
    assert len(jobs.list_jobs(store, end_time=later)) == 2


def test_statements_do_not_grow_with_the_number_of_runs(store, worker):
    """Submitting, claiming and reporting 500 tasks takes as many statements as 5, or one more a bulk insert."""
    found = []
    for size in (5, 500):
        job_key = submit(store, f"warm-{size}", tasks=1)
        counts = [
            counted(store, lambda size=size: submit(store, f"job-{size}", tasks=size, function=b"%d" % size))
        ]
        job_key = jobs.get_job(store, f"job-{size}").job_key
        claimed: list[Task] = []
        counts.append(
            counted(store, lambda key=job_key: claimed.extend(claim(store, worker, key, limit=500)))
        )
        news = Report()
        for task in claimed:
            one = ended(task)
            news.outcomes += one.outcomes
            news.ends += one.ends
        counts.append(counted(store, lambda news=news: tasks.report(store, worker, news)))
        assert len(claimed) == size
        found.append(counts)
    few, many = found
    assert all(more - less <= 1 for less, more in zip(few, many, strict=True))
    assert sum(many) <= 20


def test_a_damaged_table_fails_its_run_only(store, worker):
    """What a script's process sends in place of pages is refused; the run fails with the reason, the rest is stored."""
    task, other = claim(store, worker, submit(store, tasks=2))
    outbox = Outbox({})
    for each, pages in ((task, Spool.of(b"nonsense")), (other, Spool([Page(OUT, 0, 0, "[]", "[]")]))):
        report = ended(each)
        outcome = Outcome(each.first_run, None, None)
        report.outcomes[:] = [RunOutcome(each.job_key, each.task, each.attempt, outcome, pages)]
        outbox.put(report)
    outbox.send(lambda report: tasks.report(store, worker, report))
    failed, fine = outputs.fetch_outcomes(store, task.job_key, after=-1, limit=10)
    assert (
        "StoreRefusedError: The result could not be stored. The table that run 0 returned is damaged"
        in failed.error
    )
    assert fine.error is None
    assert [number for number, _ in scripts.fetch_pages(store, task.job_key, OUT)] == [1]
