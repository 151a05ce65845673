"""The data: rows of text in an SQLite file, and the query that reads them."""

from __future__ import annotations

import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path

ROWS = 5_000
TEXT_SIZES = (1_000, 8_000)
SEED = 1


def create(path: Path) -> None:
    """Write a new database; the seed makes it the same in every demo."""
    rng = random.Random(SEED)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 10))) for _ in range(2_000)]

    def text() -> str:
        size = rng.randint(*TEXT_SIZES)
        return " ".join(rng.choices(words, k=size // 3))[
            :size
        ]  # 3: the shortest word and a space

    rows = ((rng.choice(words), rng.randrange(100_000), text()) for _ in range(ROWS))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE article (id INTEGER PRIMARY KEY, author TEXT, views INTEGER, body TEXT)"
        )
        connection.executemany(
            "INSERT INTO article (author, views, body) VALUES (?, ?, ?)", rows
        )


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
