"""What a quiet Node holds after its work: plain, with trims alone, with its garbage collected, and by hand."""

from __future__ import annotations

import argparse
import base64
import json
import os
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import ROOT, client, quiet
from bench.client import Phase
from bench.server import Launch, Server, environment
from bench.server import node as node_server
from bench.services import Services, free_port
from bench.variants import VARIANTS, register

APPS = ROOT / "bench" / "apps"
SETTINGS = {
    "plain": "plain",
    "trims alone": "AUTOTRIM_GC=off",
    "and garbage": "defaults",
}
QUIET_SECONDS = (3, 10)
CLIENTS = 200


@dataclass(frozen=True)
class Application:
    """A server, and its work; what that returns is held until all is measured."""

    launch: Callable[[str, Services], Launch]
    work: Callable[[Launch], object]


def script(name: str, modules: Callable[[Services], str]) -> Callable[..., Launch]:
    """Return how a program in bench/apps is started."""

    def launch(node: str, services: Services) -> Launch:
        port = free_port()
        command = [node, str(APPS / name), str(port)]
        return node_server(command, port, {"NODE_PATH": modules(services)})

    return launch


def next_js(node: str, services: Services) -> Launch:
    """Return Next.js in production mode."""
    port = free_port()
    command = [node, f"{services.web}/next/dist/bin/next", "start"]
    command += [str(services.next_site), "--hostname", "127.0.0.1", "--port", str(port)]
    variables = {"NEXT_TELEMETRY_DISABLED": "1", "NODE_ENV": "production"}
    return node_server(command, port, variables)


def ask(targets: list[str]) -> Callable[[Launch], None]:
    """Return the work of a server: to answer these, on four connections."""

    def work(launch: Launch) -> None:
        outcome = client.send(Phase(launch.port, targets, 4, 120, keep_alive=False))
        if outcome.failed or outcome.answered < len(targets):
            raise SystemExit(f"requests failed: {outcome.errors}")

    return work


def converse(launch: Launch) -> list[socket.socket]:
    """Have each of many WebSockets ask three times for rows, and leave all of them open."""
    clients = [_upgraded(launch.port) for _ in range(CLIENTS)]
    for _ in range(3):
        # All ask before one of them reads.
        for each in clients:
            # A text of three bytes, under a mask of zeros (RFC 6455, section 5.2).
            each.sendall(b"\x81\x83\0\0\0\0" + b"500")
        for each in clients:
            if len(json.loads(_message(each))) != 500:
                raise SystemExit("a WebSocket has another answer")
    return clients


def _upgraded(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), 120)
    key = base64.b64encode(os.urandom(16)).decode()
    head = ["GET / HTTP/1.1", "Host: localhost", "Upgrade: websocket"]
    head += ["Connection: Upgrade", "Sec-WebSocket-Version: 13"]
    head += [f"Sec-WebSocket-Key: {key}", "", ""]
    connection.sendall("\r\n".join(head).encode())
    while not (received := connection.recv(1024)).endswith(b"\r\n\r\n"):
        if not received:
            raise SystemExit("no WebSocket")
    return connection


def _message(connection: socket.socket) -> bytes:
    """Read one message, which a server masks not."""
    length = _exactly(connection, 2)[1]
    if length >= 126:
        length = int.from_bytes(_exactly(connection, 2 if length == 126 else 8))
    return _exactly(connection, length)


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        if not (received := connection.recv(length - len(data))):
            raise SystemExit("a WebSocket has ended")
        data += received
    return bytes(data)


APPLICATIONS = {
    "Express": Application(
        script("rows_express.js", lambda services: services.web),
        ask(["/rows?count=5000"] * 40),
    ),
    f"ws, {CLIENTS} clients": Application(
        script("rows_ws.js", lambda services: services.web), converse
    ),
    "Next.js": Application(next_js, ask(["/rows?count=2000"] * 40)),
    "sharp": Application(
        script("pictures.js", lambda services: services.sharp),
        ask([f"/picture?width={200 + 60 * n}" for n in range(30)] * 2),
    ),
}


def held(
    application: Application,
    node: str,
    setting: str,
    library: Path,
    services: Services,
) -> tuple[list[float], float | None]:
    """Return anonymous MiB in quiet, after so many seconds each, and what is left by hand where nothing else has been done."""
    launch = application.launch(node, services)
    variant = VARIANTS[register(setting) if "=" in setting else setting]
    log = services.scratch / f"server-{time.monotonic_ns()}.log"
    preload = services.preload(variant, library)
    started = environment(variant, preload, launch.environment)
    with Server(launch, started, log) as server:
        kept = application.work(launch)
        found = quiet.held(server, QUIET_SECONDS)
        left = quiet.by_hand(server) if setting == "plain" else None
        del kept
        return found, left


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench-node", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--library", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--node", default="node", help="another node than PATH's")
    parser.add_argument(
        "--application",
        choices=APPLICATIONS,
        action="append",
        metavar="NAME",
        help=f"only this: {'; '.join(APPLICATIONS)}",
    )
    options = parser.parse_args()
    quiet.print_head(SETTINGS, QUIET_SECONDS)
    with (
        tempfile.TemporaryDirectory(prefix="autotrim-bench-") as scratch,
        Services(Path(scratch)) as services,
    ):
        for name in options.application or APPLICATIONS:
            found = {
                title: held(
                    APPLICATIONS[name], options.node, setting, options.library, services
                )
                for title, setting in SETTINGS.items()
            }
            [hand] = [left for _, left in found.values() if left is not None]
            cells = [
                f"{soon:.1f} / {late:.1f} ({soon / hand:.2f})"
                for (soon, late), _ in found.values()
            ]
            print(f"| {name} | {' | '.join(cells)} | {hand:.1f} |", flush=True)


if __name__ == "__main__":
    main()
