"""A process that sends orders on many connections, as fast as they are answered.

python -m hub.crashtest.storm hub.yaml PORT SECONDS CONNECTIONS SEED
"""

from __future__ import annotations

import os
import resource
import select
import socket
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from random import Random

import msgspec

from hub import plugins
from hub.config import load_config
from hub.crashtest.sender import Platform

SIGNED_PER_S = 1500
"""So many orders are signed beforehand for each second; beyond them, they are signed while the clock runs."""
ANSWERED_WITHIN_S = 30.0


class Load(msgspec.Struct):
    """What the sending process saw: answers by status, ids that were accepted, refusals without a Retry-After."""

    statuses: dict[str, int]
    accepted: list[str]
    impolite: int
    seconds: float


def open_files() -> None:
    """Let this process and those it starts open as many files as it may."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def send(platform: Platform, port: int, seconds: float, connections: int, seed: int) -> Load:
    """Send orders on each connection, one after the other, whatever is answered. Refused ones are not sent again."""
    load, random = Load({}, [], 0, 0.0), Random(seed)
    lines: dict[int, tuple[socket.socket, str]] = {}
    signed = deque(platform.request(random) for _ in range(int(seconds * SIGNED_PER_S)))
    began = time.monotonic()
    with select.epoll() as poll:

        def begin(line: socket.socket) -> None:
            id_, request = signed.popleft() if signed else platform.request(random)
            lines[line.fileno()] = line, id_
            line.sendall(request)

        def connect() -> None:
            line = socket.create_connection(("127.0.0.1", port), 30.0)
            poll.register(line, select.EPOLLIN)
            begin(line)

        for _ in range(connections):
            connect()
        while lines and time.monotonic() - began < seconds + ANSWERED_WITHIN_S:
            for number, _event in poll.poll(1.0):
                line, id_ = lines.pop(number)
                answer = b""
                with suppress(OSError):
                    answer = line.recv(65536)
                status = answer[9:12].decode() or "0"
                load.statuses[status] = load.statuses.get(status, 0) + 1
                if status == "200":
                    load.accepted.append(id_)
                elif status == "503" and b"retry-after" not in answer.lower():
                    load.impolite += 1
                if time.monotonic() - began < seconds and answer:
                    begin(line)
                else:
                    poll.unregister(line)
                    line.close()
    load.seconds = time.monotonic() - began
    return load


def main(file: Path, port: int, seconds: float, connections: int, seed: int) -> None:
    """Send, and print what was seen."""
    open_files()
    config = load_config(file, plugins.load().connectors, os.environ)
    platform = Platform(config.connections["shop"], port, seed)
    load = send(platform, port, seconds, connections, seed)
    sys.stdout.buffer.write(msgspec.json.encode(load))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
