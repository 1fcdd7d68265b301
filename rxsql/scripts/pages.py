"""Tables between store, supervisor and child: pages as text, several of them as one run of bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass

IN, OUT, PARAM = "in", "out", "param"


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a table: its header is the same in all of the table's pages."""

    direction: str
    page: int
    row_count: int
    header: str
    body: str


def pack(pages: list[Page]) -> bytes:
    """Return pages as bytes: a line of JSON that says how long each part is, and the parts."""
    parts = [(page.header.encode(errors="replace"), page.body.encode(errors="replace")) for page in pages]
    lengths = [
        [page.direction, page.page, page.row_count, len(header), len(body)]
        for page, (header, body) in zip(pages, parts, strict=True)
    ]
    head = json.dumps(lengths).encode() + b"\n"
    return b"".join((head, *(part for pair in parts for part in pair)))


def unpack(data: bytes | memoryview) -> list[Page]:
    """Return the pages that `pack` made bytes of; their text is not looked at.

    Raises:
        ValueError: These are no such bytes.
    """
    found = bytes(data)
    end = found.index(b"\n")
    at = end + 1
    pages = []
    for direction, number, row_count, header, body in json.loads(found[:end]):
        texts = found[at : at + header], found[at + header : at + header + body]
        pages.append(Page(direction, number, row_count, *(text.decode(errors="replace") for text in texts)))
        at += header + body
    return pages
