"""Signatures between real clients and real workers: rows that others changed, moved or made are refused by name."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from support import rows_of, scalar

from rxsql import RxInSqlServer, payload, rx_exec, rx_get_job_results, rx_get_job_status, rx_wait_for_job
from rxsql.errors import (
    FailedRunsWarning,
    JobFailedError,
    PayloadVersionError,
    SettingsError,
    SignatureError,
    WorkerStartError,
)
from rxsql.payload import Keyring, signing
from rxsql.settings import Settings
from rxsql.store.engine import Store

KEY, OTHER = "a-key-that-is-long-enough", "another-key-that-is-long"
BOTH = pytest.mark.parametrize("any_url", ["sqlite", "postgresql"], indirect=True)
EMBEDDED = pytest.mark.parametrize("any_url", ["sqlite"], indirect=True)


class Bomb:
    """Makes a folder when it is unpickled, by whomever."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


class Scene:
    """A store with one worker, which stands still until everything is in place."""

    def __init__(self, store: Store, url: str, worker: Any, folder: Path) -> None:
        self.store = store
        self.url = url
        self.worker = worker
        self.ran = folder / "ran"
        self.ran.mkdir()
        self.exploded = folder / "exploded"

    def submit(self, name: str, *, x: Any = (1, 2), **options: Any) -> Any:
        """Submit a job with two tasks, whose runs leave a mark each."""

        def mark(x, folder, name):
            import pathlib

            (pathlib.Path(folder) / f"{name} {len(x) if isinstance(x, bytes) else x}").touch()
            return x if isinstance(x, bytes) else 10 * x

        where = RxInSqlServer(self.url, wait=False, auto_cleanup=False, job_id=name, **options)
        return rx_exec(mark, x=list(x), folder=str(self.ran), name=name, compute_context=where)

    def change(self, statement: str, **values: Any) -> None:
        """Change rows as somebody would who may write to the tables; `{rx}` stands for the schema's prefix."""
        prefix = f"{self.store.dialect.schema}." if self.store.dialect.schema else ""
        with self.store.write() as connection:
            changed = connection.execute(sa.text(statement.replace("{rx}", prefix)), values).rowcount
        assert changed > 0, statement

    def change_of(self, job: Any, statement: str, **values: Any) -> None:
        """Change rows of one job: `{key}` stands for its key."""
        self.change(statement.replace("{key}", str(self.key(job))), **values)

    def key(self, job: Any) -> Any:
        return scalar(self.store, f"SELECT job_key FROM {{rx}}jobs WHERE job_id = '{job.job_id}'")

    def bytes_at(self, job: Any, column: str, table: str, place: str) -> bytes:
        found = scalar(
            self.store, f"SELECT {column} FROM {{rx}}{table} WHERE job_key = {self.key(job)} AND {place}"
        )
        return bytes(found)

    def input(self, job: Any, task: int) -> bytes:
        return self.bytes_at(job, "input", "task_rows", f"task = {task}")

    def set_input(self, job: Any, task: int, body: bytes) -> None:
        self.change_of(
            job,
            "UPDATE {rx}task_rows SET input = :body WHERE job_key = {key} AND task = :task",
            body=body,
            task=task,
        )

    def go(self, *jobs: Any) -> None:
        """Let the worker run, and wait for jobs."""
        self.worker.send_signal(signal.SIGCONT)
        for job in jobs:
            rx_wait_for_job(job)
        assert self.worker.poll() is None

    def marks(self, job: Any) -> set[str]:
        """Return which runs of a job began, by their arguments."""
        return {path.name.partition(" ")[2] for path in self.ran.glob(f"{job.job_id} *")}


def use_keys(monkeypatch: pytest.MonkeyPatch, keys: str, *, require: bool = False) -> None:
    """Give this process signing keys."""
    monkeypatch.setenv("RXSQL_SIGNING_KEYS", keys)
    monkeypatch.setenv("RXSQL_REQUIRE_SIGNATURE", str(int(require)))


@pytest.fixture
def scene(
    store: Store,
    any_url: str,
    start_worker_on: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Scene]:
    """Client and worker with one key, both of which require signatures."""
    use_keys(monkeypatch, f"k1:{KEY}", require=True)
    worker = start_worker_on(any_url, slots=2)
    worker.send_signal(signal.SIGSTOP)
    yield Scene(store, any_url, worker, tmp_path)
    worker.send_signal(signal.SIGCONT)


def with_other_body(sealed: bytes, body: bytes) -> bytes:
    """Return another body in the envelope of a signed one."""
    return sealed[: 5 + sealed[4] + 32] + body


# ------------------------------------------------------------------------------------------------ inputs, by task


@BOTH
def test_refused_inputs_fail_their_tasks_only(scene, tmp_path):
    """Of tampered, cut, replayed, swapped, unsigned and strangely signed inputs, none reaches a child; the rest runs."""
    bomb = payload.dump(Bomb(scene.exploded))
    stranger = Keyring({"k2": OTHER.encode()})
    intact = scene.submit("intact")

    def replay(job):
        scene.set_input(job, 0, scene.input(intact, 0))

    def swap(job):
        first, second = scene.input(job, 0), scene.input(job, 1)
        scene.set_input(job, 0, second)
        scene.set_input(job, 1, first)

    changes = {
        "tampered": lambda job: scene.set_input(job, 0, with_other_body(scene.input(job, 0), bomb)),
        "cut": lambda job: scene.set_input(job, 0, scene.input(job, 0)[:-1]),
        "cut-within": lambda job: scene.set_input(job, 0, scene.input(job, 0)[:20]),
        "replayed": replay,
        "swapped": swap,
        "unsigned": lambda job: scene.set_input(job, 0, bomb),
        "unknown-key": lambda job: scene.set_input(
            job, 0, stranger.seal(bomb, signing.task_input("unknown-key", 0, 0, 1))
        ),
        "forged": lambda job: scene.set_input(
            job,
            0,
            Keyring({"k1": OTHER.encode()}).seal(bomb, signing.task_input("forged", 0, 0, 1)),
        ),
        "other-runs": lambda job: scene.change_of(
            job, "UPDATE {rx}task_rows SET first_run = 1 WHERE job_key = {key} AND task = 0"
        ),
    }
    jobs = {name: scene.submit(name) for name in changes}
    for name, job in jobs.items():
        changes[name](job)
    scene.go(intact, *jobs.values())

    assert rx_get_job_results(intact) == [10, 20]
    unfit = "its signature does not fit"
    reasons = dict.fromkeys(changes, unfit) | {
        "cut-within": "it is cut off within its signature",
        "unsigned": "it is not signed, and RXSQL_REQUIRE_SIGNATURE is set here",
        "unknown-key": "it is signed with the key 'k2', and this process believes: k1",
    }
    for name, job in jobs.items():
        error = scalar(
            scene.store,
            f"SELECT error FROM {{rx}}task_rows WHERE task = 0 AND job_key = {scene.key(job)}",
        )
        assert error.startswith(f"SignatureError: Refused the input of task 0 of job {name}: {reasons[name]}")
        assert scene.marks(job) == ({"2"} if name != "swapped" else set()), name
    assert rx_get_job_status(jobs["swapped"]) == "failed"
    with pytest.warns(FailedRunsWarning, match="Refused the input of task 0"):
        refused, kept = rx_get_job_results(jobs["tampered"])
    assert "SignatureError: Refused the input of task 0 of job tampered" in str(refused) and kept == 20
    assert not scene.exploded.exists()


@BOTH
def test_refused_large_inputs_fail_their_tasks_only(scene):
    """Inputs that stand apart from their tasks are signed too: a swap of two and a deleted one are found."""
    large = [b"a" * 5000, b"b" * 6000, b"c" * 7000]
    swapped, gone = scene.submit("swapped", x=large), scene.submit("gone", x=large)
    scene.change_of(
        swapped,
        "UPDATE {rx}inputs SET body = (SELECT o.body FROM {rx}inputs AS o WHERE o.job_key = {key} AND o.task = 1) "
        "WHERE job_key = {key} AND task = 0",
    )
    scene.change_of(gone, "DELETE FROM {rx}inputs WHERE job_key = {key} AND task = 0")
    scene.go(swapped, gone)
    for job, reason in (
        (swapped, "Refused the input of task 0 of job swapped"),
        (gone, "is not in the store any more"),
    ):
        with pytest.warns(FailedRunsWarning):
            lost, *kept = rx_get_job_results(job)
        assert reason in str(lost)
        assert kept == large[1:]
        assert scene.marks(job) == {"6000", "7000"}


@EMBEDDED
def test_refusal_ends_a_job_that_must_not_go_on(scene):
    """Without `continue_on_failure`, a refused input ends the job as any failed run does."""
    job = rx_exec(
        lambda x: x,
        x=[1, 2],
        continue_on_failure=False,
        compute_context=RxInSqlServer(scene.url, wait=False, job_id="strict"),
    )
    scene.set_input(job, 1, payload.dump({"x": 5}))
    scene.go(job)
    assert rx_get_job_status(job) == "failed"
    assert "Refused the input of task 1 of job strict: it is not signed" in rx_get_job_results(job)


# ------------------------------------------------------------------------------------------------------ whole jobs


@BOTH
def test_refused_jobs_start_no_code(scene):
    """A job whose function, packages, shared input or row somebody changed fails by name; none of it is loaded."""
    intact = scene.submit("intact")
    other = rx_exec(
        lambda: "another function", compute_context=RxInSqlServer(scene.url, wait=False, job_id="other")
    )
    other_hash = scalar(scene.store, "SELECT function_hash FROM {rx}jobs WHERE job_id = 'other'")
    row = "UPDATE {rx}jobs SET "
    shared = "UPDATE {rx}inputs SET body = :body WHERE job_key = {key} AND task = -1"
    unfit = "its signature does not fit"
    bomb = payload.dump(Bomb(scene.exploded))

    def replace_function(job):
        # The function of all jobs here is one row; this job gets a row of its own, whose body is not what its hash says.
        scene.change(
            "INSERT INTO {rx}functions (function_hash, body) VALUES (:hash, :body)",
            hash="f" * 64,
            body=payload.dump((Bomb(scene.exploded), {})),
        )
        keyring = Keyring({"k1": KEY.encode()})
        item = scene_item(scene, job)
        signed = signing._mac(keyring._keys["k1"], signing._row(item.job_id), signing._facts(item, "f" * 64))
        scene.change_of(
            job,
            row + "function_hash = :hash, signature = :signature WHERE job_key = {key}",
            hash="f" * 64,
            signature=f"k1:{signed.hex()}",
        )

    changes = {
        "function": (replace_function, "the function of job function: its bytes are not those"),
        "hash": (
            lambda job: scene.change_of(
                job, row + "function_hash = :hash WHERE job_key = {key}", hash=other_hash
            ),
            f"the row of job hash: {unfit}",
        ),
        "packages": (
            lambda job: scene.change_of(job, row + "packages_to_load = '[\"this\"]' WHERE job_key = {key}"),
            f"the row of job packages: {unfit}",
        ),
        "runs": (
            lambda job: scene.change_of(job, row + "run_count = 3 WHERE job_key = {key}"),
            f"the row of job runs: {unfit}",
        ),
        "inputs-off": (
            lambda job: scene.change_of(job, row + "has_inputs = 0 WHERE job_key = {key}"),
            f"the row of job inputs-off: {unfit}",
        ),
        "unsigned": (
            lambda job: scene.change_of(job, row + "signature = NULL WHERE job_key = {key}"),
            "the row of job unsigned: it is not signed",
        ),
        "other-signature": (
            lambda job: scene.change_of(
                job,
                row + "signature = (SELECT o.signature FROM {rx}jobs AS o WHERE o.job_id = 'intact') "
                "WHERE job_key = {key}",
            ),
            f"the row of job other-signature: {unfit}",
        ),
        "shared-replaced": (
            lambda job: scene.change_of(job, shared, body=bomb),
            "the shared input of job shared-replaced: it is not signed",
        ),
        "shared-replayed": (
            lambda job: scene.change_of(
                job, shared, body=scene.bytes_at(intact, "body", "inputs", "task = -1")
            ),
            f"the shared input of job shared-replayed: {unfit}",
        ),
        "shared-deleted": (
            lambda job: scene.change_of(job, "DELETE FROM {rx}inputs WHERE job_key = {key} AND task = -1"),
            f"the row of job shared-deleted: {unfit}",
        ),
    }
    jobs = {name: scene.submit(name) for name in changes}
    for name, job in jobs.items():
        changes[name][0](job)
    scene.go(intact, other, *jobs.values())
    assert rx_get_job_results(intact) == [10, 20]
    assert rx_get_job_results(other) == ["another function"]
    for name, job in jobs.items():
        assert rx_get_job_status(job) == "failed", name
        assert f"Refused {changes[name][1]}" in rx_get_job_results(job)
        assert scene.marks(job) == set(), name
    assert not scene.exploded.exists()


def scene_item(scene: Scene, job: Any) -> Any:
    from rxsql.store.workitems import work_item

    return work_item(scene.store, scene.key(job))


@EMBEDDED
def test_replaced_function_fails_all_its_jobs(scene):
    """The body of a stored function, replaced by another whole one, is refused for each job that would run it."""
    jobs = [scene.submit(name) for name in ("first", "second")]
    scene.change("UPDATE {rx}functions SET body = :body", body=payload.dump((Bomb(scene.exploded), {})))
    scene.go(*jobs)
    for job in jobs:
        assert f"Refused the function of job {job.job_id}" in rx_get_job_results(job)
    assert not scene.exploded.exists()


@EMBEDDED
def test_task_of_runs_that_the_job_does_not_have_fails_the_job(scene):
    """A task's row that names other runs than its job has ends the job; the worker does not even count them."""
    where = RxInSqlServer(scene.url, wait=False, job_id="strange")
    job = rx_exec(lambda: 1, times_to_run=2, compute_context=where)
    scene.change_of(job, "UPDATE {rx}task_rows SET run_count = 2000000000 WHERE job_key = {key} AND task = 1")
    healthy = scene.submit("healthy")
    scene.go(job, healthy)
    assert "The row of task 1 names runs that the job does not have" in rx_get_job_results(job)
    assert rx_get_job_results(healthy) == [10, 20]


@EMBEDDED
def test_text_in_place_of_bytes_fails_its_task_only(scene):
    """SQLite takes text where bytes belong; the task fails, not the worker."""
    task, job = scene.submit("task"), scene.submit("job")
    scene.change_of(task, "UPDATE task_rows SET input = 'text' WHERE job_key = {key} AND task = 0")
    scene.change_of(job, "UPDATE inputs SET body = 'text' WHERE job_key = {key} AND task = -1")
    scene.go(task, job)
    with pytest.warns(FailedRunsWarning, match="Refused the input of task 0 of job task: it is no bytes"):
        assert rx_get_job_results(task)[1] == 20
    assert "shared input" in rx_get_job_results(job)


# --------------------------------------------------------------------------------------------------------- results


@BOTH
def test_refused_results_stand_at_their_places(scene):
    """Replaced, swapped, replayed and unsigned results are errors at their indexes, and are not unpickled."""
    other = scene.submit("other")
    job = scene.submit("job", x=[1, 2, 3, 4, 5, 6, 7])
    scene.go(other, job)
    bomb = payload.dump(Bomb(scene.exploded))

    def at(run: int, of: Any = job) -> bytes:
        return scene.bytes_at(of, "body", "results", f"run = {run}")

    bodies = {
        0: bomb,
        1: at(2),
        2: at(1),
        3: at(3, job)[:-2],
        4: with_other_body(at(4), bomb),
        5: Keyring({"k1": OTHER.encode()}).seal(bomb, signing.result("job", 5, failed=False)),
    }
    bodies[6] = scene.bytes_at(other, "body", "results", "run = 0")
    for run, body in bodies.items():
        scene.change_of(
            job,
            "UPDATE {rx}results SET body = :body WHERE job_key = {key} AND run = :run",
            body=body,
            run=run,
        )
    with pytest.warns(FailedRunsWarning, match="7 of 7 runs failed"):
        found = rx_get_job_results(job)
    for run, error in enumerate(found):
        why = "it is not signed" if run == 0 else "its signature does not fit"
        assert isinstance(error, SignatureError)
        assert f"Refused the result of run {run} of job job: {why}" in str(error)
    assert rx_get_job_results(other) == [10, 20]
    assert not scene.exploded.exists()


@EMBEDDED
def test_refused_exceptions_are_not_unpickled(scene):
    """An exception's row is signed as such: one replaced by another object, or by a value, is refused."""

    def fail(x):
        raise ValueError(f"no {x}")

    where = RxInSqlServer(scene.url, wait=False, auto_cleanup=False, job_id="failing")
    job = rx_exec(fail, x=[1, 2], compute_context=where)
    values = scene.submit("values")
    scene.go(job, values)
    bomb = payload.dump(Bomb(scene.exploded))
    scene.change_of(job, "UPDATE {rx}results SET body = :body WHERE job_key = {key} AND run = 0", body=bomb)
    # A signed exception is no signed value.
    scene.change_of(job, "UPDATE {rx}results SET error = NULL WHERE job_key = {key} AND run = 1")
    scene.change_of(job, "UPDATE {rx}jobs SET status = 'finished' WHERE job_key = {key}")
    with pytest.warns(FailedRunsWarning):
        first, second = rx_get_job_results(job)
    assert "Refused the exception of run 0 of job failing: it is not signed" in str(first)
    assert "Refused the result of run 1 of job failing: its signature does not fit" in str(second)
    assert not scene.exploded.exists()


@EMBEDDED
def test_refused_exception_of_a_waiting_call(scene):
    """A waiting call whose job failed has the refusal as its cause, and the text that the worker wrote."""
    from rxsql.client import jobs as client
    from rxsql.client.waiting import wait_for

    where = RxInSqlServer(scene.url, wait=False, auto_cleanup=False, job_id="one")
    job = rx_exec(lambda: 1 / 0, compute_context=where)
    scene.go(job)
    scene.change_of(
        job,
        "UPDATE {rx}results SET body = :body WHERE job_key = {key}",
        body=payload.dump(Bomb(scene.exploded)),
    )
    with pytest.raises(JobFailedError, match="ZeroDivisionError") as caught:
        client.take_results(
            job, wait_for(scene.store, job.job_id), Settings.from_environment(), auto_cleanup=False
        )
    assert isinstance(caught.value.__cause__, SignatureError)
    assert not scene.exploded.exists()


@EMBEDDED
def test_refused_results_on_the_command_line(scene):
    """`rxsql results` checks signatures too."""
    job = scene.submit("shown")
    scene.go(job)
    scene.change_of(
        job,
        "UPDATE {rx}results SET body = :body WHERE job_key = {key} AND run = 0",
        body=payload.dump(Bomb(scene.exploded)),
    )
    command = [sys.executable, "-m", "rxsql.cli", "results", "shown", "--store", scene.url]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "SignatureError: Refused the result of run 0 of job shown: it is not signed" in ran.stderr
    assert "20" in ran.stdout
    assert not scene.exploded.exists()


# ------------------------------------------------------------------------------------------------- keys and settings


@EMBEDDED
def test_keys_are_changed_one_after_another(scene, monkeypatch):
    """With both keys everywhere, old and new signatures are taken, and each side signs with its first key."""
    first = scene.submit("first")  # signed with k1, which the worker here still has alone
    scene.go(first)
    use_keys(monkeypatch, f"k2:{OTHER},k1:{KEY}", require=True)
    assert rx_get_job_results(first) == [10, 20]
    second = scene.submit("second")
    rx_wait_for_job(second)
    assert "signed with the key 'k2', and this process believes: k1" in rx_get_job_results(second)
    signatures = dict(rows_of(scene.store, "SELECT job_id, signature FROM {rx}jobs"))
    assert signatures["first"].startswith("k1:") and signatures["second"].startswith("k2:")


@BOTH
def test_worker_with_both_keys(store, any_url, start_worker_on, monkeypatch):
    """A worker that signs with the new key still runs what was signed with the old one."""
    use_keys(monkeypatch, f"k1:{KEY},k2:{OTHER}", require=True)
    start_worker_on(any_url, slots=1, signing_keys=f"k2:{OTHER},k1:{KEY}")
    job = rx_exec(
        lambda: 5, compute_context=RxInSqlServer(any_url, wait=False, auto_cleanup=False, job_id="j")
    )
    rx_wait_for_job(job)
    assert rx_get_job_results(job) == [5]
    assert str(scalar(store, "SELECT signature FROM {rx}jobs")).startswith("k1:")
    assert bytes(scalar(store, "SELECT body FROM {rx}results")).startswith(b"RXS1\x02k2")


@EMBEDDED
def test_mixed_company_without_the_requirement(store, any_url, start_worker_on, monkeypatch):
    """Where signatures are not required, clients and workers with and without keys understand each other."""
    start_worker_on(any_url, slots=1, signing_keys=f"k1:{KEY}")
    where = RxInSqlServer(any_url)
    assert rx_exec(lambda x: x, x=[1, 2], compute_context=where) == [1, 2]
    use_keys(monkeypatch, f"k1:{KEY}")
    assert rx_exec(lambda x: x, x=[3, 4], compute_context=where) == [3, 4]


@EMBEDDED
def test_worker_without_keys_takes_signed_jobs(store, any_url, start_worker_on, monkeypatch):
    """A worker without keys takes the signatures off; a client that requires them refuses its results by name."""
    start_worker_on(any_url, slots=1)
    use_keys(monkeypatch, f"k1:{KEY}")
    where = RxInSqlServer(any_url)
    assert rx_exec(lambda x, y: x + y, x=[1, 2], y=1, compute_context=where) == [2, 3]
    use_keys(monkeypatch, f"k1:{KEY}", require=True)
    with pytest.warns(FailedRunsWarning, match="Refused the result of run 0 of job .*: it is not signed"):
        (refused,) = rx_exec(lambda: 1, compute_context=where)
    assert isinstance(refused, SignatureError)


@EMBEDDED
def test_keys_from_a_file(store, any_url, start_worker_on, monkeypatch, tmp_path):
    """Client and worker read their keys from a file that is theirs alone; one that others may read starts no worker."""
    file = tmp_path / "keys"
    file.write_text(f"k1 {KEY}\n")
    file.chmod(0o600)
    monkeypatch.setenv("RXSQL_SIGNING_KEY_FILE", str(file))
    monkeypatch.setenv("RXSQL_REQUIRE_SIGNATURE", "1")
    start_worker_on(any_url, slots=1)
    assert rx_exec(lambda x: x, x=[1, 2], compute_context=RxInSqlServer(any_url)) == [1, 2]
    file.chmod(0o644)
    with pytest.raises(SettingsError, match=f"chmod 600 {file}"):
        rx_exec(lambda: 1, compute_context=RxInSqlServer(any_url))
    assert scalar(store, "SELECT COUNT(*) FROM {rx}jobs WHERE purged_at IS NULL") == 0


@EMBEDDED
def test_requirement_without_a_key_starts_nothing(store, any_url, monkeypatch):
    """A client or worker that requires signatures and has no key says so, and does nothing."""
    from rxsql.client import autostart

    monkeypatch.setenv("RXSQL_REQUIRE_SIGNATURE", "1")
    with pytest.raises(SettingsError, match="RXSQL_REQUIRE_SIGNATURE is 1, and there is no key"):
        rx_exec(lambda: 1, compute_context=RxInSqlServer(any_url))
    assert scalar(store, "SELECT COUNT(*) FROM {rx}jobs") == 0
    with pytest.raises(WorkerStartError, match="there is no key"):
        autostart.ensure_worker(store)
    assert scalar(store, "SELECT COUNT(*) FROM {rx}workers") == 0


# ------------------------------------------------------------------------------------------- other Python versions


def made_by(version: tuple[int, int], body: bytes) -> bytes:
    """Return a whole frame as another Python would have made it."""
    head = struct.pack("<4sBBBxI", b"RXP1", 0, *version, 0)
    return head + struct.pack("<I", zlib.crc32(body, zlib.crc32(head))) + body


@BOTH
def test_payloads_of_another_python_are_refused_by_name(
    store, any_url, start_worker_on, tmp_path, monkeypatch
):
    """Function, shared input, input and result of another Python are refused with both versions, not unpickled."""
    import pickle

    worker = start_worker_on(any_url, slots=2)
    worker.send_signal(signal.SIGSTOP)
    scene = Scene(store, any_url, worker, tmp_path)
    foreign = made_by((3, 4), pickle.dumps(Bomb(scene.exploded)))
    by_input, by_shared, by_result = (scene.submit(name) for name in ("input", "shared", "result"))
    by_function = rx_exec(
        lambda: "own", compute_context=RxInSqlServer(any_url, wait=False, job_id="function")
    )
    scene.set_input(by_input, 0, foreign)
    scene.change_of(
        by_shared, "UPDATE {rx}inputs SET body = :body WHERE job_key = {key} AND task = -1", body=foreign
    )
    scene.change_of(
        by_function,
        "UPDATE {rx}functions SET body = :body "
        "WHERE function_hash = (SELECT function_hash FROM {rx}jobs WHERE job_key = {key})",
        body=foreign,
    )
    scene.go(by_input, by_shared, by_result, by_function)
    scene.change_of(
        by_result, "UPDATE {rx}results SET body = :body WHERE job_key = {key} AND run = 0", body=foreign
    )
    names_both = f"made by Python 3.4 and this is Python {sys.version_info.major}.{sys.version_info.minor}"
    for job in (by_shared, by_function):
        assert rx_get_job_status(job) == "failed"
        assert names_both in rx_get_job_results(job)
    for job in (by_input, by_result):
        with pytest.warns(FailedRunsWarning):
            refused, kept = rx_get_job_results(job)
        assert isinstance(refused, PayloadVersionError) and kept == 20
        assert names_both in str(refused)
    assert not scene.exploded.exists()
