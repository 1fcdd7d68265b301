"""The only package that pickles: functions, arguments, results and exceptions as framed bytes, and back.

A frame is a small plain header and a body. The header, with a checksum over the whole, is read before anything is
unpickled: damaged bytes and payloads of another Python minor version are refused by name, not by a crash.
"""

from rxsql.errors import PayloadError, PayloadVersionError, SignatureError
from rxsql.payload.calls import (
    dump_arguments,
    dump_function,
    load_function,
    name_of,
    namespaces_of,
    unpicklable,
)
from rxsql.payload.exceptions import DumpedError, dump_error, load_error, texts_of
from rxsql.payload.frames import PYTHON, Header, frame, read_header
from rxsql.payload.limits import checked
from rxsql.payload.packing import pack, unpack
from rxsql.payload.signing import Keyring
from rxsql.payload.values import Dumper, dump, is_picklable, load

__all__ = [
    "PYTHON",
    "DumpedError",
    "Dumper",
    "Header",
    "Keyring",
    "PayloadError",
    "PayloadVersionError",
    "SignatureError",
    "checked",
    "dump",
    "dump_arguments",
    "dump_error",
    "dump_function",
    "frame",
    "is_picklable",
    "load",
    "load_error",
    "load_function",
    "name_of",
    "namespaces_of",
    "pack",
    "read_header",
    "texts_of",
    "unpack",
    "unpicklable",
]
