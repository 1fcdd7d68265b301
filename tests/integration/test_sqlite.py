"""The embedded store: opening, locks, syncs and hints of an SQLite file."""

from __future__ import annotations

import errno
import os
import select
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import wait_until
from support import submit
from turns import supervisor, turn_until

from rxsql import payload
from rxsql.client import waiting, watch
from rxsql.errors import JobExistsError, SchemaVersionError, StoreError, StoreLockedError
from rxsql.store import install, jobs, tasks
from rxsql.store.dialects import fileconnections, filelog, filewakeup, sqlite
from rxsql.store.engine import Store, connect, dialect_for, open_store

if TYPE_CHECKING:
    from rxsql.store.protocols import Wakeup

__all__ = ["supervisor"]


@pytest.fixture
def store(store_path: Path) -> Store:
    """A fresh store."""
    return open_store(str(store_path))


# ------------------------------------------------------------------------------------- opening the store


def test_empty_file_becomes_a_store_and_stays_one(tmp_path):
    """Opening makes folder, file and schema; a second installation changes nothing."""
    store = connect(str(tmp_path / "new folder" / "jobs.db"))
    assert install.installed_version(store) == 0
    install.install(store)
    submit(store)
    assert install.install(store) == install.installed_version(store) == 2
    assert jobs.job_status(store, "j") == "queued"
    store.close()


@pytest.mark.parametrize(
    ("version", "remedy"), [(99, "99.*pip install --upgrade rxsql"), (1, "1.*Name another store")]
)
def test_schema_of_another_version_is_refused(tmp_path, version, remedy):
    """A store of another rxsql is an error that names both versions and the remedy, and stays untouched."""
    path = tmp_path / "jobs.db"
    open_store(str(path)).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE schema_version SET version = {version}")
    connection.close()
    fresh = connect(str(path))
    with pytest.raises(SchemaVersionError, match=remedy):
        install.install(fresh)
    fresh.close()


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("", "is empty"),
        ("sqlite://", "memory"),
        ("sqlite:///:memory:", "memory"),
        ("oracle://host/db", "no store for 'oracle'"),
        ("http//broken://", "neither a path nor a URL"),
        ("sqlite:////tmp/x.db?synchronous=off", "full or normal"),
    ],
)
def test_unusable_names_are_refused(name, what):
    """A store's name that cannot be served is an error that says what can."""
    with pytest.raises(Exception, match=what) as caught:
        dialect_for(name)
    assert type(caught.value).__module__ == "rxsql.errors"


def test_file_that_is_no_database_is_refused(tmp_path):
    """A file of something else is named, and left as it was."""
    path = tmp_path / "notes.txt"
    path.write_text("something else entirely, and long enough to be read as a header" * 20)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="is not an SQLite file.*--store"):
        open_store(str(path))
    assert path.read_bytes() == before


def test_folder_that_cannot_be_made_is_refused(tmp_path):
    """Where a file stands in the way of the store's folder, the error names the folder."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="folder .*file/sub.* cannot be made"):
        open_store(str(tmp_path / "file" / "sub" / "jobs.db"))


def test_folder_in_place_of_the_file_is_refused(tmp_path):
    """A folder of the store's name cannot be opened, and the error says so."""
    (tmp_path / "jobs.db").mkdir()
    with pytest.raises(StoreError, match=r"jobs\.db is a folder\. Name a file"):
        open_store(str(tmp_path / "jobs.db"))


def test_locked_store_is_named_with_the_remedy(store_path, store, monkeypatch):
    """A lock that lasts is an error that tells how to find its holder; the store works again afterwards."""
    monkeypatch.setenv("RXSQL_BUSY_TIMEOUT_SECONDS", "0.05")
    impatient = connect(str(store_path))
    holder = sqlite3.connect(store_path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreLockedError, match="fuser.*RXSQL_BUSY_TIMEOUT_SECONDS"):
        submit(impatient)
    holder.execute("ROLLBACK")
    holder.close()
    submit(impatient)
    impatient.close()


MOUNTS = """\
/dev/vda / ext4 rw 0 0
server:/export /mnt/team nfs4 rw,vers=4.2 0 0
//server/share /mnt/with\\040space cifs rw 0 0
/dev/vdb /mnt/team/local xfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/jobs.db", "ext4"),
        ("/mnt/team/jobs.db", "nfs4"),
        ("/mnt/team-two/jobs.db", "ext4"),
        ("/mnt/with space/jobs.db", "cifs"),
        ("/mnt/team/local/jobs.db", "xfs"),
    ],
)
def test_file_system_of_a_path_is_told_from_the_mounts(tmp_path, path, kind):
    """The innermost mount that holds a path tells its file system."""
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    assert sqlite.file_system(Path(path), mounts) == kind


def test_network_file_system_is_refused(tmp_path, monkeypatch):
    """A store on a network file system is refused by the file system's name before anything is made."""
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/export {tmp_path}/far nfs4 rw 0 0\n")
    monkeypatch.setattr(sqlite, "MOUNTS", mounts)
    with pytest.raises(StoreError, match="network file system .nfs4."):
        open_store(str(tmp_path / "far" / "jobs.db"))
    assert not (tmp_path / "far").exists()


def test_synchronous_is_full_for_what_must_last_and_normal_for_claims(store):
    """A submission syncs its commit, a claim leaves that to the next one that does."""
    with store.write() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    with store.write(durable=False) as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1
    with store.write() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


@pytest.fixture
def syncs(monkeypatch):
    """What is to be called before each sync of a log, and how many there were."""
    done = []

    def sync(log, *, is_new):
        for look in looks:
            look()
        done.append(is_new)
        real(log, is_new=is_new)

    looks, real = [], filelog.sync
    monkeypatch.setattr(fileconnections, "sync", sync)
    return looks, done


def test_a_submission_is_synced_when_others_see_it_already(store, store_path, syncs):
    """A worker may begin with it at once; who submits hears of it when it would survive a loss of power."""
    looks, done = syncs
    seen = []
    with closing(connect(str(store_path))) as other:
        looks.append(lambda: seen.append(jobs.job_status(other, "j")))
        submit(store)
        assert seen == ["queued"]
        submit(store, "another")
    assert done == [True, False]  # with the folder, once: the log may be new


def test_a_submission_that_cannot_be_synced(store, monkeypatch):
    """The call fails: it cannot promise that the job would survive."""

    def refuse(_log, *, is_new):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fileconnections, "sync", refuse)
    with pytest.raises(StoreError, match="its log cannot be synced \\(Input/output error\\)"):
        submit(store)


def test_a_submission_that_fails_is_not_synced(store, syncs):
    """Nothing was written."""
    _, done = syncs
    submit(store)
    with pytest.raises(JobExistsError):
        submit(store)
    assert len(done) == 1


def test_synchronous_normal_is_an_option_of_the_url(tmp_path, monkeypatch):
    """synchronous=normal in the URL holds for all writes, and travels with the store's URL to its worker."""
    store = connect(f"sqlite:///{tmp_path}/jobs.db?synchronous=normal")
    with store.write() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1
    monkeypatch.delattr(fileconnections, "sync")
    install.install(store)
    submit(store)
    assert store.url.endswith("?synchronous=normal")
    store.close()


def test_wakeup_hints_at_others_commits_only(store_path, store):
    """Another connection's commit is a change, the own one is none."""
    wakeup = store.wakeup()
    submit(store, "own")
    assert wakeup.wait(0) is False
    other = connect(str(store_path))
    submit(other, "others")
    assert wakeup.wait(5) is True
    assert wakeup.wait(0) is False
    other.close()
    wakeup.close()


def test_a_store_that_cannot_be_read_is_worth_a_look(store_path, store):
    """The hint is no place for errors: the look that follows names the file, and what to do."""
    wakeup = store.wakeup()
    for path in (store_path, store_path.with_name(f"{store_path.name}-wal")):
        with path.open("r+b") as file:
            file.write(bytes(4096))
    with closing(connect(str(store_path))) as other:
        with pytest.raises(StoreError, match="is not an SQLite file"):
            jobs.list_jobs(other)
        with closing(other.wakeup()) as spoiled:
            assert spoiled.changed() is True
    wakeup.close()


def test_wakeup_without_inotify_polls(store_path, store, monkeypatch):
    """Where the platform has no watch, a change is seen all the same."""
    monkeypatch.setattr(filewakeup, "_watch", lambda: None)
    wakeup = store.wakeup()
    assert wakeup.fileno() is None
    thread = threading.Thread(target=lambda: _submit_elsewhere(store_path))
    thread.start()
    assert wakeup.wait(10) is True
    thread.join()
    wakeup.close()


@pytest.fixture
def clock(monkeypatch):
    """The wake-up's time, which passes only where a test says so."""
    now = [time.monotonic()]
    monkeypatch.setattr(filewakeup.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def writer(store, store_path):
    """Somebody else's connection, which writes to the log before it commits: its cache is too small."""
    other = sqlite3.connect(store_path, isolation_level=None)
    other.execute("PRAGMA cache_size = 1")
    yield other
    other.close()


def watching(store: Store) -> Wakeup:
    """Return a wake-up that is asked for its descriptor, as by those who wait for other things, too."""
    wakeup = store.wakeup()
    wakeup.fileno()
    wakeup.drain()
    return wakeup


def begin_to_write(writer: sqlite3.Connection) -> None:
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("CREATE TABLE IF NOT EXISTS much (body)")
    writer.executemany("INSERT INTO much VALUES (zeroblob(100000))", [()] * 5)


def test_a_wait_looks_where_nobody_knocks(store, writer, clock, monkeypatch):
    """Who commits without rxsql tells nobody; it is seen soon all the same."""
    wakeup = store.wakeup()
    pauses = []

    def pause(_read, _write, _error, seconds):
        pauses.append(seconds)
        clock[0] += seconds
        if len(pauses) == 5:
            writer.execute("UPDATE schema_version SET version = version")
        return [], [], []

    monkeypatch.setattr(filewakeup.select, "select", pause)
    assert wakeup.wait(10) is True
    assert len(pauses) == 5 and max(pauses) <= 0.1
    wakeup.close()


def is_told(wakeup: Wakeup) -> bool:
    """Whether something woke who waits, within no time at all."""
    return bool(select.select([wakeup.fileno()], [], [], 0)[0])


def test_news_are_told_of_with_their_commit(store, store_path, writer):
    """No look is needed to find them; what is written before the commit wakes who watches once."""
    wakeup = watching(store)
    assert not is_told(wakeup)
    begin_to_write(writer)
    assert is_told(wakeup)
    wakeup.drain()
    assert not wakeup.changed()
    assert not is_told(wakeup)
    writer.execute("INSERT INTO much VALUES (zeroblob(100000))")
    assert not is_told(wakeup)
    writer.execute("ROLLBACK")
    with closing(connect(str(store_path))) as other:
        submit(other)
    assert is_told(wakeup)
    wakeup.drain()
    assert wakeup.changed()
    assert wakeup.look_in is None  # who has told of one commit would tell of another
    assert not is_told(wakeup)
    wakeup.close()


def test_who_looks_often_anyway_is_woken_by_knocks_only(store, store_path, writer):
    """A worker with work: what its clients clear away would wake it for a look in vain."""
    wakeup = store.wakeup()
    watch = wakeup.fileno(knocks_only=True)
    wakeup.drain()
    begin_to_write(writer)
    writer.execute("COMMIT")
    assert select.select([watch], [], [], 0)[0] == []
    with closing(connect(str(store_path))) as other:
        submit(other)
    assert select.select([watch], [], [], 0)[0] == [watch]
    wakeup.close()


def test_what_is_no_news_wakes_nobody(store, store_path):
    """Neither a transaction that nobody waits for, nor one that is taken back."""
    wakeup = store.wakeup()
    with closing(connect(str(store_path))) as other:
        submit(other)
        wakeup.drain()
        assert tasks.claim(other, 1, 1, slots_wanted=1, limit=1)[1]
        with pytest.raises(ZeroDivisionError), other.write() as connection:
            other.notify(connection)
            raise ZeroDivisionError
        with other.write() as connection:
            connection.exec_driver_sql("UPDATE schema_version SET version = version")
    assert select.select([wakeup._watch], [], [], 0)[0] == []
    assert wakeup.wait(0) is True
    wakeup.close()


@pytest.mark.parametrize("before", [True, False])
def test_a_knock_without_a_commit_ends_no_wait(store, store_path, clock, monkeypatch, before):
    """Somebody may open the log to copy it: that wakes once, and the wait goes on."""
    wakeup = store.wakeup()
    if before:
        filelog.knock(filelog.log_of(store_path))
    selected = 0
    real = select.select

    def select_at_once(read, write, error, seconds):
        nonlocal selected
        selected += 1
        if selected == 1:
            filelog.knock(filelog.log_of(store_path))
        found = real(read, write, error, 0)
        clock[0] += 0 if found[0] else seconds
        return found

    monkeypatch.setattr(filewakeup.select, "select", select_at_once)
    assert wakeup.wait(1) is False
    assert 10 <= selected <= 12
    wakeup.close()


def test_to_tell_of_a_commit_ends_no_lock(store, store_path):
    """On POSIX, closing a file ends the locks that the process has on it, whoever in it took them."""
    with store.write():
        filelog.knock(filelog.log_of(store_path))
        code = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
        done = subprocess.run(
            [sys.executable, "-c", code, str(store_path)], check=False, capture_output=True, text=True
        )
    assert "database is locked" in done.stderr


def test_a_hint_is_followed_until_its_commit_is_seen(store, writer, clock):
    """However long the disk takes: the looks get rarer, and end soon after the commit."""
    wakeup = watching(store)
    assert wakeup.look_in is None
    begin_to_write(writer)
    wakeup.drain()
    assert not wakeup.changed()
    pauses = []
    for _ in range(40):
        pauses.append(wakeup.look_in)
        clock[0] += pauses[-1]
    assert pauses == sorted(pauses)
    assert pauses[0] < 0.005 and pauses[-1] == 0.1
    assert sum(pauses) > 1
    writer.execute("COMMIT")
    wakeup.drain()
    assert wakeup.changed()
    assert wakeup.look_in < 0.005  # who wrote may have written twice, and only one commit is seen
    clock[0] += 0.02
    assert wakeup.look_in is None
    wakeup.close()


def test_what_is_never_committed_is_not_followed_for_ever(store, writer, clock):
    """Its writer took it back, or died."""
    wakeup = watching(store)
    begin_to_write(writer)
    wakeup.drain()
    writer.execute("ROLLBACK")
    clock[0] += 30
    assert wakeup.look_in is not None
    clock[0] += 31
    assert wakeup.look_in is None
    wakeup.close()


def test_own_writing_is_no_hint(store, writer):
    """Also when some of it changed nothing, and so left no trace in the log."""
    wakeup = watching(store)
    submit(store, "own")
    wakeup.drain()
    assert wakeup.look_in is None
    assert jobs.cancel(store, "own")
    wakeup.drain()
    assert not jobs.cancel(store, "own")
    begin_to_write(writer)
    wakeup.drain()
    assert wakeup.look_in is not None
    writer.execute("ROLLBACK")
    wakeup.close()


@pytest.mark.parametrize("is_deaf", [False, True])
def test_looks_without_a_hint(store, writer, clock, monkeypatch, is_deaf):
    """Where own writing was heard, others' is too, and the looks are rare; on some file systems neither is."""
    if is_deaf:
        monkeypatch.setattr(filewakeup.FileWakeup, "_heard", lambda _self: b"")
    wakeup = store.wakeup()
    submit(store, "own")
    wakeup.drain()
    writer.execute("UPDATE schema_version SET version = version")
    assert wakeup.wait(0) is True
    clock[0] += 1
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        clock[0] += seconds
        return [], [], []

    monkeypatch.setattr(filewakeup.select, "select", lambda _read, _write, _error, seconds: pause(seconds))
    assert wakeup.wait(1) is False
    assert pauses[0] == pytest.approx(0.002 if is_deaf else 0.1)
    assert pauses[-2] == pytest.approx(0.1)
    wakeup.close()


def test_a_worker_with_nothing_to_do_follows_a_hint(store, writer, supervisor):
    """It would sleep for longer otherwise, and find the job a second late where the disk is slow."""
    turn_until(supervisor, supervisor._pool.standby)
    supervisor._last_work -= 10
    supervisor._wakeup.drain()  # its own writing
    supervisor._wait()  # from now on with an ear for those who do not knock
    begin_to_write(writer)
    wait_until(lambda: (supervisor._wait(), supervisor._wakeup.look_in)[1] is not None)
    assert supervisor._timeout() <= 0.1
    writer.execute("COMMIT")
    turn_until(supervisor, lambda: supervisor._wakeup.look_in is None)
    assert supervisor._timeout() > 0.1


def test_a_knock_during_ones_own_report_is_heard(store, store_path, supervisor, monkeypatch):
    """Who waited for a job may submit the next one before its worker is done with the report."""
    write = supervisor._dispatcher.write

    def write_and_be_overtaken():
        is_written = write()
        if is_written:
            _submit_elsewhere(store_path)
        return is_written

    monkeypatch.setattr(supervisor._dispatcher, "write", write_and_be_overtaken)
    submit(store, "first", tasks=1, python=payload.PYTHON, function=payload.dump_function(lambda: None, {}))
    turn_until(supervisor, lambda: jobs.job_status(store, "first").is_final)
    # After the very turn that reported the first.
    assert [job.item.job_id for job in supervisor._jobs.values()] == ["elsewhere"]


def _submit_elsewhere(path: Path) -> None:
    other = connect(str(path))
    submit(other, "elsewhere")
    other.close()


def test_old_sqlite_is_refused_by_its_version():
    """A library without what the statements need is named with its version, and the remedy."""
    with pytest.raises(StoreError, match="has SQLite 3.34.1, and rxsql needs 3.38.0"):
        sqlite.refuse_old((3, 34, 1))
    sqlite.refuse_old((3, 38, 0))


def test_a_waiting_call_soon_looks_whether_the_worker_has_left(store, monkeypatch):
    """It was seen before the job came in; the first look is not put off by a long wait for a change."""
    submit(store, "waited-for")
    waits = []

    def wait(self, seconds):
        waits.append(seconds)
        return jobs.cancel(store, "waited-for")

    monkeypatch.setattr(filewakeup.FileWakeup, "wait", wait)
    assert waiting.wait_for(store, "waited-for").status == "canceled"
    (first,) = waits
    assert first <= watch._FIRST_LOOK_SECONDS
