"""Many small objects, as a list of a REST framework makes them: they come from CPython's own pools, and some are cyclic garbage."""

import json

ROWS = 1_000
# Of each answer a few objects stay for a while, so that no arena of CPython's is ever empty.
_kept = []


class Row:
    """Refers to its list, and so is garbage that only a collection finds."""

    def __init__(self, rows, number):
        self.rows = rows
        self.fields = {
            "id": number,
            "name": f"name {number}",
            "tags": [str(number + k) for k in range(5)],
            "price": number / 4,
        }


def answer():
    """Make the objects, write them as JSON, and read that again: it must be the same."""
    rows = []
    rows.extend(Row(rows, number) for number in range(ROWS))
    text = json.dumps([row.fields for row in rows])
    again = json.loads(text)
    if again != [row.fields for row in rows]:
        raise AssertionError("an object is not what was written")
    _kept.extend(again[::200])
    if any(fields["tags"][1] != str(fields["id"] + 1) for fields in _kept):
        raise AssertionError("an object that was kept has changed")
    del _kept[:-500]
    return text.encode()
