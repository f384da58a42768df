"""A SQLite table whose tree of pages is spoilt: interior pages that share children, so that few pages give rows without end."""

from __future__ import annotations

import sqlite3
import struct
from contextlib import closing
from pathlib import Path


def share_pages(path: Path, table: str, *, levels: int, children: int) -> int:
    """Put a tree of shared pages above the one page of a table.

    Args:
        path: The database; is changed.
        table: It fills one page.
        levels: Of interior pages.
        children: Of each interior page, all of them the same page below.

    Returns:
        How many times the page's rows come.
    """
    with closing(sqlite3.connect(path)) as database:
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        root = database.execute(query, (table,)).fetchone()[0] - 1
    data = bytearray(path.read_bytes())
    page_bytes = struct.unpack(">H", data[16:18])[0]
    n_pages = len(data) // page_bytes
    at = slice(root * page_bytes, (root + 1) * page_bytes)
    below = bytes(data[at])
    for _ in range(levels):
        data += below
        n_pages += 1
        below = _interior(n_pages, children, page_bytes)
    data[at] = below
    data[28:32] = struct.pack(">I", n_pages)
    path.write_bytes(data)
    return int(children**levels)


def _interior(child: int, n_children: int, page_bytes: int) -> bytes:
    """An interior page of a table, whose cells and right pointer all name one child (from 1)."""
    page = bytearray(page_bytes)
    cell = struct.pack(">I", child) + b"\x01"
    start = page_bytes - (n_children - 1) * len(cell)
    page[0] = 5
    page[1:8] = struct.pack(">HHHB", 0, n_children - 1, start, 0)
    page[8:12] = struct.pack(">I", child)
    for number in range(n_children - 1):
        offset = start + number * len(cell)
        page[offset : offset + len(cell)] = cell
        page[12 + 2 * number : 14 + 2 * number] = struct.pack(">H", offset)
    return bytes(page)
