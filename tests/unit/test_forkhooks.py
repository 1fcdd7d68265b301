"""Hooks that are kept back, and registered later."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import os
from rxsql.worker import forkhooks

def copies():
    reader, writer = os.pipe()
    ran.clear()
    if os.fork() == 0:
        os.write(writer, b",".join(ran) or b"none")
        os._exit(0)
    os.wait()
    return os.read(reader, 100)

ran = []
def noted(what):
    return lambda: ran.append(what)

register = os.register_at_fork
with forkhooks.withheld():
    os.register_at_fork(before=noted(b"last before"), after_in_child=noted(b"first"))
    os.register_at_fork(before=noted(b"before"), after_in_child=noted(b"second"))
assert os.register_at_fork is register
assert copies() == b"none"
if os.fork() == 0:
    for _ in range(2):
        assert copies() == b"before,last before,first,second"
    os._exit(0)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
assert copies() == b"none"
forkhooks.restore()
forkhooks.restore()
assert copies() == b"before,last before,first,second"
"""


def test_hooks_are_kept_back_until_they_are_restored():
    """Each runs once then, as if it had been there always; in a forked process when that forks in turn."""
    subprocess.run([sys.executable, "-c", SCRIPT], check=True)
