"""The table of variants: what is preloaded and set, for the same server and the same load."""

from __future__ import annotations

import functools
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

OFF = {
    "AUTOTRIM_INTERVAL": "0",
    "AUTOTRIM_IDLE": "0",
    "AUTOTRIM_GROWTH": "0",
    "AUTOTRIM_PERIOD": "0",
}
MAX_REQUESTS = ("--max-requests", "1000", "--max-requests-jitter", "100")


@dataclass(frozen=True)
class Variant:
    """One way to run a server."""

    title: str
    environment: dict[str, str] = field(default_factory=dict)
    library: bool = False  # libautotrim is preloaded
    commit: str = ""  # as it was then
    trims: bool = False  # bench/memtrim.c is preloaded
    allocator: str = ""  # the file name of another allocator to preload
    patched: bool = False  # the application calls gc.collect() and malloc_trim(0)
    gunicorn: tuple[str, ...] = ()  # further arguments

    @property
    def glibc(self) -> bool:
        """Tell whether malloc is glibc's."""
        return not self.allocator


def _alone(**trigger: str) -> dict[str, str]:
    return OFF | {f"AUTOTRIM_{name.upper()}": value for name, value in trigger.items()}


VARIANTS: dict[str, Variant] = {
    "plain": Variant("plain"),
    "defaults": Variant("libautotrim, defaults", library=True),
    "interval": Variant(
        "libautotrim, AUTOTRIM_INTERVAL=1024 alone", _alone(interval="1024"), True
    ),
    "growth": Variant(
        "libautotrim, AUTOTRIM_GROWTH=4M,5% alone", _alone(growth="4M,5%"), True
    ),
    "growth-absolute": Variant(
        "libautotrim, AUTOTRIM_GROWTH=4M alone", _alone(growth="4M"), True
    ),
    "idle": Variant("libautotrim, AUTOTRIM_IDLE=1s alone", _alone(idle="1s"), True),
    "period": Variant(
        "libautotrim, AUTOTRIM_PERIOD=10s alone", _alone(period="10s"), True
    ),
    "overhead-0.5": Variant(
        "libautotrim, AUTOTRIM_OVERHEAD=0.5", {"AUTOTRIM_OVERHEAD": "0.5"}, True
    ),
    "overhead-2": Variant(
        "libautotrim, AUTOTRIM_OVERHEAD=2", {"AUTOTRIM_OVERHEAD": "2"}, True
    ),
    "overhead-5": Variant(
        "libautotrim, AUTOTRIM_OVERHEAD=5", {"AUTOTRIM_OVERHEAD": "5"}, True
    ),
    "malloc-alone": Variant(
        "libautotrim, malloc alone",
        {
            "AUTOTRIM_TRIM_THRESHOLD": "0",
            "AUTOTRIM_POOLS": "off",
            "AUTOTRIM_GC": "off",
        },
        True,
    ),
    "and-tops": Variant(
        "libautotrim, malloc and tops",
        {"AUTOTRIM_POOLS": "off", "AUTOTRIM_GC": "off"},
        True,
    ),
    "and-pools": Variant(
        "libautotrim, malloc, tops and pools", {"AUTOTRIM_GC": "off"}, True
    ),
    "0.1.0": Variant("libautotrim 0.1.0", library=True, commit="932bd61"),
    "gc": Variant("libautotrim, AUTOTRIM_GC=python", {"AUTOTRIM_GC": "python"}, True),
    "patch": Variant("patched: gc.collect() + malloc_trim(0)", patched=True),
    "arenas-2": Variant("MALLOC_ARENA_MAX=2", {"MALLOC_ARENA_MAX": "2"}),
    "arenas-1": Variant("MALLOC_ARENA_MAX=1", {"MALLOC_ARENA_MAX": "1"}),
    "trim-threshold": Variant(
        "MALLOC_TRIM_THRESHOLD_=131072", {"MALLOC_TRIM_THRESHOLD_": "131072"}
    ),
    "trim-on-free": Variant("malloc_trim in free, once a second", trims=True),
    "python-malloc": Variant("PYTHONMALLOC=malloc", {"PYTHONMALLOC": "malloc"}),
    "java-trim": Variant(
        "-XX:TrimNativeHeapInterval=1000",
        {"JAVA_TOOL_OPTIONS": "-XX:TrimNativeHeapInterval=1000"},
    ),
    "jemalloc": Variant("jemalloc", allocator="libjemalloc.so.2"),
    "jemalloc-tuned": Variant(
        "jemalloc, background thread, 2 arenas, decay 1 s",
        {
            "MALLOC_CONF": "background_thread:true,narenas:2,dirty_decay_ms:1000,muzzy_decay_ms:0"
        },
        allocator="libjemalloc.so.2",
    ),
    "mimalloc": Variant("mimalloc", allocator="libmimalloc.so.2"),
    "tcmalloc": Variant("tcmalloc-minimal", allocator="libtcmalloc_minimal.so.4"),
    "max-requests": Variant(
        "gunicorn --max-requests 1000 ± 100", gunicorn=MAX_REQUESTS
    ),
}

# Those between which promises are made: more repetitions, and always next to each other.
PAIR = ("plain", "defaults")
BUDGETS = ("overhead-0.5", "overhead-2", "overhead-5")
LAYERS = ("malloc-alone", "and-tops", "and-pools")
TRIGGERS = ("interval", "growth", "idle", "period")
GLIBC_SETTINGS = ("arenas-2", "arenas-1", "trim-threshold")
ALLOCATORS = ("jemalloc", "jemalloc-tuned", "mimalloc", "tcmalloc")
OTHERS = (*GLIBC_SETTINGS, "trim-on-free", *ALLOCATORS)


def register(name: str) -> str:
    """Return the name of a variant; one such as `AUTOTRIM_GROWTH=8M+AUTOTRIM_IDLE=0` makes the variant that it says."""
    if name not in VARIANTS:
        settings = dict(part.split("=", 1) for part in name.split("+"))
        if not all(option.startswith("AUTOTRIM_") for option in settings):
            raise ValueError(name)
        VARIANTS[name] = Variant(f"libautotrim, {name}", settings, library=True)
    return name


def is_registered(name: str) -> bool:
    """Tell whether a variant was made from its name."""
    return "=" in name


@functools.cache
def shared_object(name: str) -> Path:
    """Return where the compiler finds a library; Debian's names are in scripts/packages.txt."""
    found = subprocess.run(
        ["cc", f"-print-file-name={name}"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not found.startswith("/"):
        raise FileNotFoundError(f"{name} is missing: scripts/packages installs it")
    return Path(found)
