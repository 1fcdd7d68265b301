"""Objects that are not counted: what all children share stays shared, also where they use it.

CPython counts an object's references in the object itself, so a forked process copies each page of memory of which it
uses an object. From 3.12 on there are immortal objects, whose counts nobody writes (PEP 683); it makes some itself,
and has no call to make others. This writes their mark.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import sysconfig

_SINCE = (3, 12)


def immortalise() -> bool:
    """Make all objects of this process immortal, for itself and all that it forks; whether that could be done.

    None of them is ever freed, so this is for a process that has made what it will have.
    """
    if not _is_possible():
        return False
    mark = _count_of(None).value
    tracked = gc.get_objects()
    # Strings and numbers have no entry of their own there; tuples of such have none either, but what they hold.
    held = gc.get_referents(*tracked)
    inner = gc.get_referents(*(each for each in held if type(each) is tuple))
    # The lists keep them alive meanwhile.
    for address in {*map(id, tracked), *map(id, held), *map(id, inner)}:
        _count_at(address).value = mark
    return True


_count_at = ctypes.c_uint32.from_address


def _count_of(thing: object) -> ctypes.c_uint32:
    return _count_at(id(thing))


def _is_possible() -> bool:
    """Whether this is CPython as we know it: it has immortal objects, and counts where we think."""
    if sys.implementation.name != "cpython" or sys.version_info < _SINCE or sys.byteorder != "little":
        return False
    # Builds without the lock, and those that trace references, lay objects out differently.
    if sysconfig.get_config_var("Py_GIL_DISABLED") or hasattr(sys, "getobjects"):
        return False
    probe: list[object] = []
    count, mark = _count_of(probe), _count_of(None).value
    known = count.value
    if known not in (sys.getrefcount(probe), sys.getrefcount(probe) - 1):
        return False
    count.value = mark
    others = [probe, probe]
    is_kept = count.value == mark
    others.clear()
    is_kept = is_kept and count.value == mark
    count.value = known
    return is_kept
