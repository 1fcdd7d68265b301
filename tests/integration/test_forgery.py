"""What user code can send to its worker by hand, and do to what they share: it costs its own job at most."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from conftest import wait_until

from rxsql import rx_exec, rx_get_job_status


@pytest.fixture
def worker(start_worker, tmp_path, monkeypatch) -> subprocess.Popen[bytes]:
    """A worker of two children, with a temporary folder of its own: its children do as they like there."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    return start_worker(slots=2)


def inside() -> tuple[Any, dict[str, Any]]:
    """Return the socket of this process's worker, and what is known of the run."""
    import sys

    frame: Any = sys._getframe()
    while frame.f_code.co_name != "_run":
        frame = frame.f_back
    return frame.f_locals["self"]._sock, frame.f_locals


def head(
    known: dict[str, Any], *, ahead: int = 0, seconds: float = 0.1, out: int = 0, error: int = 0
) -> bytes:
    from rxsql.worker import wire

    number, run = known["number"] + ahead, known["run"] + ahead
    return wire._OUTCOME.pack(b"O", number, run, 1, seconds, out, 0, error, 0)


def send_not_a_number() -> None:
    sock, known = inside()
    sock.send(b"\0" + head(known, seconds=float("nan")))


def send_infinity() -> None:
    sock, known = inside()
    sock.send(b"\0" + head(known, seconds=float("inf")))


def claim_much_output() -> None:
    sock, known = inside()
    sock.send(b"\0" + head(known, out=2**64 - 1))


def end_what_has_not_begun() -> None:
    import os

    sock, known = inside()
    for ahead in range(1, 20):
        sock.send(b"\0" + head(known, ahead=ahead))
    os._exit(3)


def hang_up() -> None:
    import socket

    sock, _ = inside()
    sock.shutdown(socket.SHUT_RDWR)
    while True:
        pass


def give_no_reason() -> None:
    sock, _ = inside()
    sock.send(b"\0B")


def send_hollow_file() -> None:
    import os
    import socket

    sock, known = inside()
    file = os.memfd_create("hollow", os.MFD_ALLOW_SEALING)
    os.ftruncate(file, 2**42)
    socket.send_fds(sock, [b"\1" + head(known)], [file])
    while True:
        pass


def send_long_text() -> None:
    import os
    import socket

    sock, known = inside()
    file = os.memfd_create("long", os.MFD_ALLOW_SEALING)
    os.write(file, bytes(2**22))
    socket.send_fds(sock, [b"\1" + head(known, error=2**22)], [file])
    while True:
        pass


def stretch_output() -> None:
    import os

    os.ftruncate(1, 2**60)


def dig() -> None:
    import os

    for _ in range(1500):
        os.mkdir("deeper")
        os.chdir("deeper")
    os.chmod(".", 0)
    os._exit(3)


def lead_astray() -> None:
    import os

    here = os.getcwd()
    os.makedirs("../../kept/inside", exist_ok=True)
    os.rmdir(here)
    os.symlink("../kept", here)
    os._exit(3)


def unwelcome(poison: Callable[[], Any], number: int) -> Any:
    return poison() if number == 2 else number


POISONS = [
    send_not_a_number,
    send_infinity,
    claim_much_output,
    end_what_has_not_begun,
    hang_up,
    give_no_reason,
    send_hollow_file,
    send_long_text,
    stretch_output,
    dig,
    lead_astray,
]


@pytest.mark.parametrize("poison", POISONS, ids=lambda value: value.__name__)
def test_a_forgery_costs_its_own_job_at_most(worker, context, poison, tmp_path):
    """The job ends, the one after it has its result, worker and zygote live, and nothing is left in their folder."""
    family = psutil.Process(worker.pid).children()
    job = rx_exec(unwelcome, poison=poison, number=list(range(30)), compute_context=context(wait=False))
    wait_until(lambda: rx_get_job_status(job).is_final)
    after = rx_exec(pow, base=2, exp=3, compute_context=context(wait=False))
    wait_until(lambda: rx_get_job_status(after).is_final)
    assert rx_get_job_status(after) == "finished"
    assert worker.poll() is None
    assert psutil.Process(worker.pid).children() == family
    worker.terminate()
    worker.wait(timeout=20)
    assert list((tmp_path / "temporary").glob("rxsql-worker-*")) == []
    if poison is lead_astray:
        assert (tmp_path / "temporary" / "kept" / "inside").is_dir()


def test_descriptors_that_nobody_asked_for(worker, context):
    """A thousand open files that a child sends its worker are closed there."""

    def leave_files():
        import os
        import socket

        sock, _ = inside()
        file = os.open("/dev/null", os.O_RDONLY)
        for _ in range(1000):
            socket.send_fds(sock, [b"\0?"], [file])

    rx_exec(leave_files, compute_context=context())
    assert psutil.Process(worker.pid).num_fds() < 100


def test_a_task_of_many_runs_goes_on_behind_a_deadly_one(worker, context):
    """What runs a child is not to do again is told it, however many they are."""

    def die_once(number):
        import os

        if number == 69_999:
            os._exit(3)

    job = rx_exec(
        die_once,
        number=list(range(70_000)),
        task_chunk_size=70_000,
        compute_context=context(wait=False),
    )
    wait_until(lambda: rx_get_job_status(job).is_final, seconds=60)
    assert rx_get_job_status(job) == "finished"
    assert worker.poll() is None


def test_a_zygote_that_was_stopped(worker, context):
    """User code stops the process that forks children: it goes on, children end at the time limit, and others begin."""

    def stop_parent(number):
        import os
        import signal

        if number == 1:
            os.kill(os.getppid(), signal.SIGSTOP)
            while True:
                pass

    where = context(wait=False, execution_timeout_seconds=1)
    job = rx_exec(stop_parent, number=[0, 1, 2], compute_context=where)
    wait_until(lambda: rx_get_job_status(job).is_final)
    for _ in range(8):  # more than stand by
        after = rx_exec(pow, base=2, exp=3, compute_context=context(wait=False))
        wait_until(lambda job=after: rx_get_job_status(job).is_final)
    assert worker.poll() is None
