"""Lines and cells of Markdown tables."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from bench.summary import Spread

LACKING = "–"


def head(columns: tuple[str, ...], text: Collection[int] = (0,)) -> Iterator[str]:
    """Begin a table: columns of text stand left, all others right."""
    yield row(*columns)
    marks = ("---" if at in text else "--:" for at in range(len(columns)))
    yield f"|{'|'.join(marks)}|"


def row(*cells: str) -> str:
    """Return a line."""
    return f"| {' | '.join(cells)} |"


def number(value: float | None, digits: int = 1) -> str:
    """Return a figure, if there is one."""
    return LACKING if value is None else f"{value:,.{digits}f}"


def middle(value: Spread | None) -> str:
    """Return a median."""
    return number(value.median if value else None)


def spread(value: Spread | None) -> str:
    """Return a median with the lowest and the highest."""
    if not value:
        return LACKING
    return f"{value.median:.1f} ({value.low:.1f}–{value.high:.1f})"


def times(value: Spread | None) -> str:
    """Return a ratio with the lowest and the highest."""
    if not value:
        return LACKING
    return f"{value.median:.2f} ({value.low:.2f}–{value.high:.2f})"


def share(value: float | None) -> str:
    """Return how much more or less."""
    return LACKING if value is None else f"{value:+.1%}"
