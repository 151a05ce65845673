"""Prints the licences of the crates that are compiled into the command and the library, as their notices ask for.

Cargo downloads what it does not have yet: the lock files also name what only tests use.
"""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
MANIFESTS = [ROOT / "Cargo.toml", ROOT / "cli/Cargo.toml"]
NAMES = ("licen", "copying", "notice", "unlicense")


def compiled_in(manifest: Path, target: str) -> dict[str, dict]:
    """The packages that end in the binary, by id: what is needed at build time alone is left out."""
    command = [
        "cargo",
        "metadata",
        "--locked",
        "--format-version=1",
        f"--filter-platform={target}",
    ]
    output = subprocess.run(
        [*command, f"--manifest-path={manifest}"], check=True, stdout=subprocess.PIPE
    )
    metadata = json.loads(output.stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    found, waiting = {}, [metadata["resolve"]["root"]]
    while waiting:
        package = waiting.pop()
        if package in found or any(
            "proc-macro" in t["kind"] for t in packages[package]["targets"]
        ):
            continue
        found[package] = packages[package]
        for dependency in nodes[package]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                waiting.append(dependency["pkg"])
    del found[metadata["resolve"]["root"]]
    return found


def texts(package: dict) -> list[str]:
    """The licence files of a crate."""
    directory = Path(package["manifest_path"]).parent
    files = sorted(
        file
        for file in directory.iterdir()
        if file.is_file() and file.name.lower().startswith(NAMES)
    )
    return [
        file.read_text(encoding="utf-8", errors="replace").strip() for file in files
    ]


def main() -> None:
    target = sys.argv[1]
    packages = {}
    for manifest in MANIFESTS:
        packages |= compiled_in(manifest, target)
    crates_of = defaultdict(list)
    print(
        "Compiled into autotrim and libautotrim.so, each under the licence that it names:\n"
    )
    for package in sorted(
        packages.values(), key=lambda package: (package["name"], package["version"])
    ):
        name = f"{package['name']} {package['version']}"
        print(f"  {name}: {package['license']}")
        for text in texts(package):
            crates_of[text].append(name)
    for text, crates in crates_of.items():
        print(f"\n{'=' * 78}\n{', '.join(crates)}\n{'=' * 78}\n\n{text}")


if __name__ == "__main__":
    main()
