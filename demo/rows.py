"""The data: rows of text, in an SQLite file with the query that reads them, or in lines of JSON."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

ROWS = 5_000
TEXT_SIZES = (1_000, 8_000)
SEED = 1
COLUMNS = ("id", "author", "views", "body")
Row = tuple[int, str, int, str]


def _made_up() -> Iterator[Row]:
    """Return the rows; the seed makes them the same in every demo."""
    rng = random.Random(SEED)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 10))) for _ in range(2_000)]

    def text() -> str:
        size = rng.randint(*TEXT_SIZES)
        return " ".join(rng.choices(words, k=size // 3))[
            :size
        ]  # 3: the shortest word and a space

    for number in range(1, ROWS + 1):
        yield number, rng.choice(words), rng.randrange(100_000), text()


def create(path: Path) -> None:
    """Write a new database."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE article (id INTEGER PRIMARY KEY, author TEXT, views INTEGER, body TEXT)"
        )
        connection.executemany("INSERT INTO article VALUES (?, ?, ?, ?)", _made_up())


def write_lines(path: Path) -> None:
    """Write them for runtimes that have no SQLite of their own: row after row, each a JSON object in a line."""
    with path.open("w", encoding="utf-8") as file:
        for row in _made_up():
            file.write(json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n")


def as_json(path: str, first: int, count: int) -> bytes:
    """Return `count` rows, from id `first` on, as a JSON array."""
    # One connection per request, as small applications do; it also fits every kind of worker.
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        rows = connection.execute(
            "SELECT id, author, views, body FROM article WHERE id >= ? ORDER BY id LIMIT ?",
            (first, count),
        ).fetchall()
    return json.dumps([dict(row) for row in rows]).encode()
