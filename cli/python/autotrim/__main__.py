"""`python -m autotrim`: becomes the command that was installed with this package."""

import os
import signal
import sys
import sysconfig
from pathlib import Path


def places():
    """Directories in which pip may have put the command, the nearest first."""
    packages = Path(__file__).resolve().parent.parent
    # With --target; else in PREFIX/lib/pythonX.Y/site-packages.
    yield packages / "bin"
    yield packages.parents[2] / "bin"
    yield Path(sysconfig.get_path("scripts"))
    yield Path(sysconfig.get_path("scripts", f"{os.name}_user"))


def main():
    """Becomes the command."""
    for place in places():
        command = place / "autotrim"
        if os.access(command, os.X_OK):
            # Python ignores them, and what is ignored stays so in the program that `autotrim run` starts.
            for ignored in signal.SIGPIPE, signal.SIGXFSZ:
                signal.signal(ignored, signal.SIG_DFL)
            os.execv(command, [str(command), *sys.argv[1:]])
    searched = ", ".join(str(place) for place in places())
    sys.exit(f"autotrim: the command is not in {searched}: install the package again")


if __name__ == "__main__":
    main()
