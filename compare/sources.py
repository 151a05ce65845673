"""Debian's source packages, fetched with this machine's own apt and kept in the target directory."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path

from compare.unit import MissingError

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve()
_LOCK = threading.Lock()


def need(*programs: str) -> None:
    """Fail if one of these programs is missing."""
    for program in programs:
        if not shutil.which(program):
            raise MissingError(f"{program} is missing: scripts/packages installs it")


def source(package: str) -> Path:
    """Return the unpacked source of a package, for the release of Debian that this is."""
    need("apt-get", "dpkg-source")
    home = TARGET / "compare" / "sources" / package
    with _LOCK:
        if not home.is_dir():
            _fetch(package, home)
    [unpacked] = (entry for entry in home.iterdir() if entry.is_dir())
    return unpacked


def _fetch(package: str, home: Path) -> None:
    new = home.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    state = home.parent / "apt"
    for directory in ("lists/partial", "cache/archives/partial"):
        (state / directory).mkdir(parents=True, exist_ok=True)
    # Whatever mirror this machine's own apt uses; its lists need not know of sources.
    form = "$(REPO_URI) $(CODENAME)"
    known = _apt(
        ["indextargets", "--format", form, "Created-By: Packages", "Label: Debian"]
    )
    if not known:
        raise MissingError("apt on this machine knows no Debian mirror")
    mirror, release = known.splitlines()[0].split()
    (state / "sources.list").write_text(f"deb-src {mirror} {release} main\n")
    options = [
        *("-o", f"Dir::Etc::SourceList={state}/sources.list"),
        *("-o", "Dir::Etc::SourceParts=-"),
        *("-o", f"Dir::State::Lists={state}/lists"),
        *("-o", f"Dir::Cache={state}/cache"),
        *("-o", "APT::Sandbox::User="),
    ]
    _apt([*options, "update"])
    _apt([*options, "source", package], new)
    # Last: an interrupted download starts again.
    new.rename(home)


def _apt(arguments: list[str], directory: Path | None = None) -> str:
    return call(["apt-get", "-qq", *arguments], directory)


def call(command: list[str], directory: Path | None = None) -> str:
    """Run a command that must succeed, and return what it printed."""
    done = subprocess.run(
        command,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        errors="replace",
        # Ctrl-C is for this program to handle.
        start_new_session=True,
        timeout=900,
    )
    if done.returncode:
        lines = (done.stdout + done.stderr).splitlines()[-20:]
        raise MissingError("\n".join([f"{' '.join(command)} failed:", *lines]))
    return done.stdout
