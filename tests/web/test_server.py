"""A real server on the loopback: what it promised is there after it ends, however it ends."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import toy
from served import MAX_BODY

from hub import inbox
from hub.clock import system_clock
from hub.storage import Database

HERE = Path(__file__).parent
RUN = (
    f"import sys; sys.path.insert(0, {str(HERE)!r}); from hub.web.server import serve; "
    "serve(sys.argv[1], '127.0.0.1', int(sys.argv[2]), target='served:create')"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(url: str, folder: Path | None = None, **env):
    """Serve a database; yield the process and its port."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, url, str(port)],
        env={**os.environ, **env},
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until(lambda: answers(port))
        yield process, port
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def answers(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def until(holds, seconds=20.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.05)


class Senders:
    """Threads that post genuine webhooks without a pause and remember what was promised to them."""

    def __init__(self, port: int, count: int = 12) -> None:
        self.port = port
        self.promised: list[str] = []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        turn = 0
        while not self.stopping.is_set():
            turn += 1
            webhook = toy.webhook(delivery=f"{number}-{turn}", at=system_clock())
            try:
                connection.request("POST", "/webhooks/shop", webhook.body, dict(webhook.headers))
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                break
            if answer.status == 200:
                self.promised.append(f"{number}-{turn}")
        connection.close()

    def stop(self) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join(15)
            assert not thread.is_alive()


def delivered(url: str) -> set[str]:
    database = Database(url)
    with database.read_inbox() as connection:
        rows = inbox.read_after(connection, 0, 1_000_000)
    database.close()
    assert all(row.webhook is not None for row in rows)
    return {row.delivery_id for row in rows}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
@pytest.mark.parametrize("lane", ["yes", "no"], ids=["lane", "view"])
def test_no_promise_is_broken_when_the_server_ends_under_load(tmp_path, how, lane):
    url = f"sqlite:///{tmp_path / 'points.db'}"
    with serving(url, FAST_LANE=lane, COMMIT_DELAY_S="0.005") as (process, port):
        senders = Senders(port)
        until(lambda: len(senders.promised) > 300)
        if how is signal.SIGTERM:
            process.send_signal(how)
            assert process.wait(20) == 0
        else:
            os.killpg(process.pid, how)
        senders.stop()
    missing = set(senders.promised) - delivered(url)
    assert not missing, f"{len(missing)} of {len(senders.promised)} promised webhooks are lost"


def test_what_is_in_flight_at_the_end_is_answered_and_its_refusals_are_written(tmp_path):
    """A slow disk: the request is in the writer's hands when SIGTERM comes."""
    url = f"sqlite:///{tmp_path / 'points.db'}"
    statuses = []

    def send():
        statuses.append(talk(port, request(toy.webhook(delivery="slow", at=system_clock())))[:12])

    with serving(url, COMMIT_DELAY_S="1") as (process, port):
        assert talk(port, request(toy.webhook(secret=b"guessed", at=system_clock())))[9:12] == b"401"
        sender = threading.Thread(target=send)
        sender.start()
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        sender.join(10)
    assert statuses == [b"HTTP/1.1 200"]
    assert delivered(url) == {"slow"}
    database = Database(url)
    with database.read_inbox() as connection:
        assert inbox.refused_counts(connection) == {("shop", "bad_signature"): 1}
    database.close()


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    (folder / "__init__.py").touch()  # a folder that looks like a package is not taken for one
    with serving(f"sqlite:///{folder / 'points.db'}", folder) as (_process, port):
        yield port


def request(webhook, *more: bytes, path="/webhooks/shop") -> bytes:
    """Return a request as bytes; `more` are header lines."""
    lines = [f"POST {path} HTTP/1.1".encode(), b"Host: hub", b"Connection: close", *more]
    lines += [f"{name}: {value}".encode() for name, value in webhook.headers.items()]
    lines.append(b"Content-Length: %d" % len(webhook.body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + webhook.body


def talk(port: int, data: bytes, *, hang_up=False) -> bytes:
    """Send bytes and return all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(data)
        if hang_up:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while chunk := connection.recv(65536):
                answer += chunk
        except ConnectionResetError:
            pass
        return answer


def now(*args, **kwargs):
    return toy.webhook(*args, at=system_clock(), **kwargs)


def test_a_genuine_webhook_is_accepted_over_the_wire(port):
    assert talk(port, request(now())).startswith(b"HTTP/1.1 200")


def test_a_declared_length_is_refused_before_a_byte_is_sent(port):
    head = b"POST /webhooks/shop HTTP/1.1\r\nHost: hub\r\nContent-Length: 10000000000\r\n\r\n"
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head)
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413")
    assert time.monotonic() - started < 5


def test_an_endless_chunked_body_is_refused_at_the_limit(port):
    head = b"POST /webhooks/shop HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"1000\r\n" + b"x" * 0x1000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head + chunk * (MAX_BODY // 0x1000 + 1))  # and no end
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")


def test_a_chunked_webhook_is_accepted(port):
    webhook = now()
    lines = [
        b"POST /webhooks/shop HTTP/1.1",
        b"Host: hub",
        b"Connection: close",
        b"Transfer-Encoding: chunked",
    ]
    lines += [f"{name}: {value}".encode() for name, value in webhook.headers.items()]
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(webhook.body), webhook.body)
    assert talk(port, b"\r\n".join(lines) + b"\r\n\r\n" + body).startswith(b"HTTP/1.1 200")


WIRE = {
    "a signature sent twice": [b"X-Toy-Signature: 00"],
    "a time sent twice": [b"X-Toy-Time: 1"],
}


@pytest.mark.parametrize("lines", WIRE.values(), ids=WIRE)
def test_odd_headers_are_refused_and_nothing_more(port, lines):
    assert talk(port, request(now(), *lines)).startswith(b"HTTP/1.1 401")


def test_odd_headers_that_nobody_signed_do_no_harm(port):
    """A value that is not ASCII does not reach us: not even in place of the signature that is genuine."""
    more = (
        b"X-Odd: \xff\xfe",
        b"X-Toy-Signature: \xff\xfe\xe9",
        b"X-Twice: 1",
        b"x-twice: 2",
        b"X-Toy-Topic: \xc3\xa9",
    )
    assert talk(port, request(now(), *more)).startswith(b"HTTP/1.1 200")


def test_a_sender_that_hangs_up_half_way_leaves_nothing(port):
    webhook = now(b"x" * 5000, delivery="half")
    whole = request(webhook)
    talk(port, whole[:-2000], hang_up=True)
    assert talk(port, whole).startswith(b"HTTP/1.1 200")
    metrics = talk(port, b"GET /metrics HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n")
    assert b'points_hub_webhooks_refused_total{connection="shop",reason="cut_short"} 1.0' in metrics


PATHS = {
    "/webhooks/sh%6Fp": b"200",
    "//webhooks/shop": b"200",  # leading slashes count as one in every Flask application
    "/webhooks//shop": b"404",
    "/webhooks/shop%2f": b"404",
    "/webhooks/shop%00": b"404",
    "/webhooks/%ff": b"404",
}


@pytest.mark.parametrize(("path", "status"), PATHS.items(), ids=PATHS)
def test_paths_mean_the_same_over_the_wire(port, path, status):
    assert talk(port, request(now(), path=path))[9:12] == status
