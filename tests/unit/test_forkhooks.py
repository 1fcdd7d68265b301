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
register = os.register_at_fork
with forkhooks.withheld():
    os.register_at_fork(after_in_child=lambda: ran.append(b"first"))
    os.register_at_fork(before=lambda: ran.append(b"before"), after_in_child=lambda: ran.append(b"second"))
assert os.register_at_fork is register
assert copies() == b"none"
forkhooks.restore()
forkhooks.restore()
assert copies() == b"before,first,second"
"""


def test_hooks_are_kept_back_until_they_are_restored():
    """Each runs once then, in the order in which they were registered."""
    subprocess.run([sys.executable, "-c", SCRIPT], check=True)
