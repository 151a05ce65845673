"""The rows, and what an application has in memory before it forks: live articles, and between them what the start left free."""

from __future__ import annotations

import random
from typing import Any

from bench.apps.rows import wsgi

__all__ = ["ARTICLES", "wsgi"]
# So many files of ten articles are 60 MB when they are read, and leave 45 MB free.
FILES = 1_400


def _articles() -> list[dict[str, Any]]:
    """Read articles. The texts of the files are let go of when all are read: each is a hole between articles that stay."""
    rng = random.Random(1)
    texts, articles = [], []
    for number in range(FILES):
        words = [f"word{number} " * rng.randint(50, 800) for _ in range(10)]
        texts.append("\n".join(words))
        for line in texts[-1].splitlines():
            tags = [f"tag {rng.randrange(1_000)}" for _ in range(5)]
            articles.append({"title": line[:30], "tags": tags, "body": line.upper()})
    return articles


# Nobody asks for them: a worker's copies of their pages are its allocator's or its runtime's doing.
ARTICLES = _articles()
