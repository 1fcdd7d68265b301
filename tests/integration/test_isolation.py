"""Isolation: a child serves one job, knows nothing of the store or the keys, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa
from conftest import is_alive, wait_until

from rxsql import RxInSqlServer, rx_cancel_job, rx_exec, rx_get_job_results, rx_wait_for_job
from rxsql.settings import Settings
from rxsql.store import workers
from rxsql.store.engine import Store
from rxsql.worker import isolation

KEY = "a-key-that-nobody-else-knows"
PASSWORD = "a-password-of-a-worker"
BOTH = pytest.mark.parametrize("any_url", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def worker_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files, in which only this test's workers have any."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def look_around() -> dict[str, Any]:
    """Return all that a child can see of where it is."""
    import os
    import tempfile
    from pathlib import Path

    def text_of(path):
        try:
            return Path(path).read_bytes().decode(errors="replace")
        except OSError:
            return None

    def parent(pid):
        return int(text_of(f"/proc/{pid}/stat").rpartition(")")[2].split()[1])

    open_files = []
    for name in os.listdir("/proc/self/fd"):
        try:
            open_files.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:  # the listing's own
            continue
    zygote = os.getppid()
    return {
        "pid": os.getpid(),
        "environment": dict(os.environ),
        "own environ": text_of("/proc/self/environ"),
        "zygote's environ": text_of(f"/proc/{zygote}/environ"),
        "worker's environ": text_of(f"/proc/{parent(zygote)}/environ"),
        "commands": [text_of(f"/proc/{pid}/cmdline") for pid in (os.getpid(), zygote, parent(zygote))],
        "open files": open_files,
        "folder": os.getcwd(),
        "temporary": [tempfile.gettempdir(), tempfile.mkdtemp()],
        "memory": text_of("/proc/self/maps"),
    }


def with_password(url: str, store: Store) -> str:
    """Return the URL with a password in it; the test's server lets everybody in, whatever theirs is."""
    if not store.dialect.schema:
        return url
    made = sa.make_url(url)
    return made.set(username=made.username or "postgres", password=PASSWORD).render_as_string(
        hide_password=False
    )


@BOTH
def test_child_knows_no_secret(store, any_url, start_worker_on, monkeypatch, worker_tmp):
    """Neither environment, /proc, process list nor open files lead a child to the store, its password or the keys."""
    monkeypatch.setenv("MY_SECRET", "shown to nobody")
    monkeypatch.setenv("MY_NAMED", "shown by name")
    url = with_password(any_url, store)
    start_worker_on(url, slots=1, environment="MY_NAMED, RXSQL_SIGNING_KEYS", signing_keys=f"k1:{KEY}")
    (seen,) = rx_exec(look_around, compute_context=RxInSqlServer(any_url))
    # A process always may read its own; others of the same user may not read the worker's.
    assert seen["own environ"] and seen["zygote's environ"]
    if os.getuid() != 0:
        assert seen["worker's environ"] is None
    shown = [seen["environment"], seen["own environ"], seen["zygote's environ"], seen["commands"]]
    for secret in (KEY, PASSWORD, "shown to nobody", "RXSQL_STORE", any_url):
        assert secret not in str(shown)
    assert seen["environment"]["MY_NAMED"] == "shown by name"
    allowed = isolation.ENVIRONMENT | {"MY_NAMED"}
    strange = [
        name for name in seen["environment"] if name not in allowed and not name.startswith(("LC_", "PYTHON"))
    ]
    assert strange == []
    files = [name for name in seen["open files"] if not name.startswith("/proc/")]
    assert len([name for name in files if name.startswith("socket:")]) == 1, files  # to its supervisor
    # Its standard streams, each once more under another number, and its last words: others stand by, and have theirs.
    assert len([name for name in files if name.startswith("/memfd:")]) == 5, files
    assert not any("jobs.db" in name or "inotify" in name or name.startswith("pipe:") for name in files)
    assert "sqlite" not in seen["memory"] and "psycopg" not in seen["memory"]


@BOTH
def test_child_serves_one_job(store, any_url, start_worker_on):
    """What a job changes in its process is never seen by another job, though one worker with one slot runs both."""
    start_worker_on(any_url, slots=1)

    def change(run):
        import builtins
        import os

        builtins.left_behind = getattr(builtins, "left_behind", 0) + 1
        return os.getpid(), os.getcwd(), builtins.left_behind

    where = RxInSqlServer(any_url, wait=False, auto_cleanup=False)
    jobs = [rx_exec(change, run=[1, 2, 3], compute_context=where) for _ in range(3)]
    found = []
    for job in jobs:
        rx_wait_for_job(job)
        found.append(rx_get_job_results(job))
    pids = [{pid for pid, _, _ in runs} for runs in found]
    folders = [{folder for _, folder, _ in runs} for runs in found]
    assert not any(pids[i] & pids[j] or folders[i] & folders[j] for i, j in ((0, 1), (0, 2), (1, 2)))
    for runs in found:
        for pid in {pid for pid, _, _ in runs}:
            counts = [count for own, _, count in runs if own == pid]
            assert counts == list(range(1, len(counts) + 1))  # its own jobs' runs, and nobody else's


def test_late_children_are_forked_from_the_same_memory_as_early_ones(store_url, start_worker):
    """What the zygote imports after its start, each child would look through again, page by page, before its job."""
    start_worker(slots=1)

    def look():
        import sys

        return sorted(sys.modules)

    where = RxInSqlServer(store_url)
    first, *_, last = [rx_exec(look, compute_context=where) for _ in range(8)]  # more than stand by at first
    assert first == last


def fork_beside_a_thread() -> dict[str, Any]:
    """Fork while another thread holds a lock of `logging`; return what the copy finds."""
    import logging
    import os
    import pickle
    import threading

    handler = logging.StreamHandler()
    held, end = threading.Event(), threading.Event()

    def hold():
        with handler.lock:
            held.set()
            end.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    reader, writer = os.pipe()
    if os.fork() == 0:
        found = {
            "lock is free": handler.lock.acquire(timeout=10),
            "threads": threading.active_count(),
        }
        os.write(writer, pickle.dumps(found))
        os._exit(0)
    os.wait()
    end.set()
    thread.join()
    return {**pickle.loads(os.read(reader, 4096)), "own id": threading.main_thread().native_id == os.getpid()}


AS_EVER = {"lock is free": True, "threads": 1, "own id": True}


def test_user_code_can_fork_beside_its_threads(store_url, start_worker):
    """Its locks are put right in the copy, as in any Python process; the zygote's own forks go without that."""
    start_worker(slots=1)
    assert rx_exec(fork_beside_a_thread, compute_context=RxInSqlServer(store_url)) == [AS_EVER]


def test_a_module_to_preload_may_have_a_thread(store_url, start_worker, tmp_path, monkeypatch):
    """It is not in the children, and no child takes it for alive."""
    module = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    (tmp_path / "has_a_thread.py").write_text(module)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    start_worker(slots=1, preload="has_a_thread")

    def threads():
        import threading

        return [thread.name for thread in threading.enumerate()]

    where = RxInSqlServer(store_url)
    assert rx_exec(threads, compute_context=where) == [["MainThread"]]
    assert rx_exec(fork_beside_a_thread, compute_context=where) == [AS_EVER]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the system lets nobody choose processors")
def test_jobs_may_use_the_workers_processors(store_url, start_worker):
    """Children keep to half of them only while they start; those forked later follow what somebody has changed."""
    worker = psutil.Process(start_worker(slots=1).pid)
    mine = worker.cpu_affinity()
    where = RxInSqlServer(store_url)

    def processors():
        import os

        return sorted(os.sched_getaffinity(0))

    assert rx_exec(processors, compute_context=where) == [mine]
    (zygote,) = worker.children()
    assert len(zygote.cpu_affinity()) == len(mine) - len(mine) // 2
    worker.cpu_affinity(mine[:1])
    *_, last = [rx_exec(processors, compute_context=where)[0] for _ in range(8)]  # more than stand by
    assert last == mine[:1]


def test_children_draw_numbers_of_their_own(store_url, start_worker, tmp_path, monkeypatch):
    """Forked from the same memory, they would all begin with the same random number; as would what they fork."""
    (tmp_path / "draws_early.py").write_text(
        "import random\n\nrandom.gauss(0, 1)\n"
    )  # and keeps a second number
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    start_worker(slots=1, preload="draws_early")

    def draw():
        import os
        import random

        reader, writer = os.pipe()
        if os.fork() == 0:
            os.write(writer, str(random.random()).encode())
            os._exit(0)
        os.wait()
        return [random.gauss(0, 1), random.random(), float(os.read(reader, 100))]

    drawn = [rx_exec(draw, compute_context=RxInSqlServer(store_url))[0] for _ in range(3)]
    assert len({number for numbers in drawn for number in numbers}) == 9


def test_child_has_a_folder_of_its_own(store_url, start_worker, worker_tmp, tmp_path, monkeypatch):
    """A child's temporary files go into its folder, which nobody else may enter and which is gone with it."""
    (tmp_path / "asks_early.py").write_text("import tempfile\n\ntempfile.gettempdir()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    start_worker(slots=1, preload="asks_early")

    def leave_files():
        import os
        import stat
        import tempfile
        from pathlib import Path

        file = tempfile.NamedTemporaryFile(delete=False)
        locked = Path("locked")
        (locked / "inner").mkdir(parents=True)
        (locked / "inner" / "file").write_text("x")
        (locked / "inner").chmod(0)
        locked.chmod(0)
        modes = [stat.S_IMODE(os.stat(path).st_mode) for path in (".", "..")]
        return os.getcwd(), file.name, tempfile.gettempdir(), os.environ["TMPDIR"], modes

    ((folder, file, *places, modes),) = rx_exec(leave_files, compute_context=RxInSqlServer(store_url))
    assert Path(file).parent == Path(folder)
    assert places == [folder, folder]
    assert worker_tmp in Path(folder).parents
    assert modes == [0o700, 0o700]
    wait_until(lambda: not Path(folder).exists())


def hold(path):
    import os
    import pathlib
    import time

    pathlib.Path(path).write_text(os.getcwd())
    time.sleep(600)


def test_folders_may_have_names_that_are_no_text(store_url, start_worker, tmp_path, monkeypatch):
    """As on any Unix: a name is bytes, and need not be UTF-8."""
    folder = tmp_path / os.fsdecode(b"tmp\xff")
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    start_worker(slots=1)
    (where,) = rx_exec(os.getcwd, compute_context=RxInSqlServer(store_url))
    assert Path(where).is_relative_to(folder)


@pytest.mark.parametrize("whole_family", [False, True], ids=["worker", "worker and zygote"])
def test_folders_of_a_killed_worker_are_removed(store_url, start_worker, tmp_path, worker_tmp, whole_family):
    """SIGKILL leaves no folder: the zygote removes those of its worker, and the next worker those of both."""
    worker = start_worker(slots=1)
    mark = tmp_path / "mark"
    job = rx_exec(hold, path=str(mark), compute_context=RxInSqlServer(store_url, wait=False))
    wait_until(lambda: mark.exists() and mark.read_text())
    folder = Path(mark.read_text())
    root = folder.parent
    assert root.parent == worker_tmp
    family = psutil.Process(worker.pid).children(recursive=True)
    if whole_family:
        worker.send_signal(signal.SIGSTOP)  # it must not see their end, nor end first: orphans are continued
        for process in family:
            process.suspend()
        for process in reversed(family):  # a child does not outlive the zygote
            process.kill()
    worker.kill()
    worker.wait()
    wait_until(lambda: not any(is_alive(process) for process in family))
    if whole_family:
        assert folder.exists()
        os.utime(root, (0, 0))
        start_worker(slots=1)
    wait_until(lambda: not root.exists())
    rx_cancel_job(job)


def test_folders_of_a_living_worker_are_left_alone(store_url, start_worker, tmp_path, worker_tmp):
    """A worker that starts removes nothing of a worker that lives, however old its folder looks."""
    worker = start_worker(slots=1)
    (root,) = worker_tmp.glob("rxsql-worker-*")
    worker.send_signal(signal.SIGSTOP)  # it would make folders, and look younger
    os.utime(root, (0, 0))
    start_worker(slots=1)
    assert root.exists()
    worker.send_signal(signal.SIGCONT)
    assert len(list(worker_tmp.glob("rxsql-worker-*"))) == 2


def test_nothing_is_left_when_a_worker_ends(store_url, start_worker, worker_tmp):
    """After a worker has ended by itself, its temporary folder is gone."""
    worker = start_worker(slots=1)
    assert rx_exec(lambda: 1, compute_context=RxInSqlServer(store_url)) == [1]
    worker.send_signal(signal.SIGTERM)
    worker.wait()
    assert list(worker_tmp.iterdir()) == []


def test_keys_are_never_on_the_allow_list(monkeypatch):
    """The signing keys stay with the worker, even where RXSQL_ENVIRONMENT names their variable."""
    monkeypatch.setenv("RXSQL_SIGNING_KEYS", f"k1:{KEY}")
    monkeypatch.setenv("MY_NAMED", "1")
    seen = isolation.child_environment(Settings(environment="RXSQL_SIGNING_KEYS, MY_NAMED"))
    assert "RXSQL_SIGNING_KEYS" not in seen and seen["MY_NAMED"] == "1"


@pytest.mark.parametrize("any_url", ["postgresql"], indirect=True)
def test_password_of_the_command_line_is_not_in_the_process_list(store, any_url):
    """`rxsql worker --store` with a password in it is the same process without it, before it is listed."""
    command = [sys.executable, "-m", "rxsql.cli", "worker", "--slots", "1", "--store"]
    process = subprocess.Popen([*command, with_password(any_url, store)], stderr=subprocess.DEVNULL)
    try:
        (worker,) = wait_until(lambda: workers.list_workers(store))
        assert (worker.pid, worker.slots) == (process.pid, 1)
        family = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
        commands = [Path(f"/proc/{pid}/cmdline").read_text() for pid in family]
        assert "worker" in commands[0] and len(commands) > 1
        assert PASSWORD not in str(commands)
    finally:
        process.terminate()
        process.wait()


LOOK = """
import os
from rxsql.worker import isolation
import ctypes
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as a process is that was started as this user
for step in (lambda: None, isolation.hide):
    step()
    if os.fork() == 0:
        try:
            open(f"/proc/{os.getppid()}/environ").close()
            os.write(1, b"read ")
        except PermissionError:
            os.write(1, b"refused ")
        os._exit(0)
    os.wait()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_hidden_process_cannot_be_looked_into():
    """Another process of the same user reads an ordinary process's environment, and not that of a hidden one."""
    ran = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    assert ran.stdout == "read refused "


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there are immortal objects from Python 3.12 on")
def test_what_children_share_is_not_counted(store_url):
    """A module that was there before the fork has no count that a child would write to; the child's own objects do."""

    def counts():
        import sys

        import rxsql

        mine = []
        return sys.getrefcount(rxsql), sys.getrefcount(mine)

    ((shared, own),) = rx_exec(counts, compute_context=RxInSqlServer(store_url))
    assert shared > 2**30
    assert own < 10
