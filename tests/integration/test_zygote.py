"""A child that is interrupted while it starts or ends: it ends, and never goes on as its zygote."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rxsql import RxInSqlServer, rx_cancel_job, rx_exec, rx_get_job_results, rx_wait_for_job

SCRIPT = """
import os, signal, socket, sys, tempfile
from rxsql.worker import zygote
from rxsql.worker.capture import new_file
from rxsql.worker.outfit import Outfit

me = os.getpid()
leave = os._exit
control, far_end = socket.socketpair()

def interrupted():
    if os.getpid() != me:
        os.kill(os.getpid(), signal.SIGINT)

def left(code):
    os._exit = leave
    interrupted()
    leave(code)

zygote.child.serve = zygote.child.rehearse = lambda *_: None
outfit = Outfit()
with tempfile.TemporaryDirectory() as folder:
    made = zygote.Zygote(control, outfit)
    if sys.argv[1] == "between its steps":
        zygote.give_way = interrupted
    else:
        os._exit = left
    made._fork(0, f"{folder}/child", [far_end.detach(), *(new_file(name) for name in "oes")])
    assert os.getpid() == me
    leave(os.waitstatus_to_exitcode(os.wait()[1]) & 255)
"""


@pytest.mark.parametrize(("when", "code"), [("between its steps", 130), ("as it leaves", 1)])
def test_an_interrupted_child_ends(when: str, code: int) -> None:
    """With an exit code, wherever the signal finds it."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, when], check=False, timeout=60)
    assert done.returncode == code


def test_canceling_one_job_spares_the_others(store_url, start_worker):
    """Of many jobs that are canceled at any moment of their short lives, none takes another's child along."""
    start_worker(slots=2)
    where = RxInSqlServer(store_url, wait=False, num_tasks=1)

    def wait_for_end():
        import os
        import time

        while not os.path.exists("../end"):  # beside the children's folders
            time.sleep(0.01)
        return os.getpid()

    def first():
        import os

        return os.path.dirname(os.getcwd())

    job = rx_exec(first, compute_context=where)
    rx_wait_for_job(job)
    (folder,) = rx_get_job_results(job)
    long = rx_exec(wait_for_end, compute_context=where)
    for _ in range(60):
        rx_cancel_job(rx_exec(lambda: None, compute_context=where))
    with open(f"{folder}/end", "w"):
        pass
    rx_wait_for_job(long)
    assert len(rx_get_job_results(long)) == 1
