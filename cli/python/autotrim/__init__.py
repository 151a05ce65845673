"""The command `autotrim`, which no Python is in; `python -m autotrim` starts it."""
