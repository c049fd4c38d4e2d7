"""Where calls may go, how long they may take, and what is kept of them."""

from __future__ import annotations

import datetime as dt
import gzip
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address

import pytest
import requests
import stripe
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hub.connections import Rate
from hub.http import Bucket, Guard, GuardedSession, Outgoing
from hub.sdk import Client, Rejected, TryLater
from hub.sdk.http import MAX_RESPONSE

LOOPBACK = Guard(["127.0.0.1"])


def session_with(guard: Guard = LOOPBACK, budget_s: float = 10.0) -> GuardedSession:
    session = GuardedSession(guard, lambda: None)
    session.begin(budget_s)
    return session


def resolving(*answers: str):
    """Return a resolver that gives one address after the other, and the list of what it was asked."""
    asked: list[str] = []
    left = list(answers)

    def resolve(host, port, **_):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (left.pop(0), port))]

    return resolve, asked


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",  # metadata of AWS, Google, Azure and others
        "168.63.129.16",  # Azure's host agent
        "100.100.100.200",  # Alibaba's metadata
        "192.0.0.192",  # Oracle's metadata
        "100.64.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "198.51.100.7",
        "203.0.113.7",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::10.0.0.1",  # NAT64 of a private address
        "64:ff9b:1::1",
        "2002:7f00:1::",  # 6to4 of 127.0.0.1
        "2002:a9fe:a9fe::",  # 6to4 of 169.254.169.254
        "2001::1",  # Teredo
        "2001:db8::1",
        "fc00::1",
        "fd00:ec2::254",  # AWS's metadata
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "100::1",
        "4000::1",
    ],
)
def test_no_call_goes_to_an_address_that_is_not_public(address):
    assert not Guard().permits(ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2002:101:101::"],
)
def test_public_addresses_are_free(address):
    assert Guard().permits(ip_address(address))


@pytest.mark.parametrize(
    ("allowed", "address", "permitted"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", "::ffff:127.0.0.1", True),
        ("127.0.0.1", "::1", False),
        ("10.1.2.0/24", "10.1.2.77", True),
        ("10.1.2.9/24", "10.1.2.77", True),
        ("10.1.2.0/24", "10.1.3.1", False),
        ("fd12::/16", "fd12::7", True),
    ],
)
def test_private_addresses_can_be_allowed_one_by_one(allowed, address, permitted):
    assert Guard([allowed]).permits(ip_address(address)) is permitted


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:{port}/",
        "http://127.0.0.1:{port}/",
        "http://127.1:{port}/",
        "http://2130706433:{port}/",
        "http://0x7f000001:{port}/",
        "http://0177.0.0.1:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://[::ffff:7f00:1]:{port}/",
        "http://user@127.0.0.1:{port}/",
        "http://0:{port}/",
    ],
)
def test_no_spelling_of_loopback_gets_through(till, url):
    port = till.url.rpartition(":")[2]
    with pytest.raises(requests.exceptions.InvalidURL, match="not public"):
        session_with(Guard()).get(url.format(port=port))
    assert till.asked == []


def test_a_name_without_labels_is_refused():
    with pytest.raises(requests.exceptions.InvalidURL, match="no host name"):
        session_with(Guard()).get("http://a..example.com/")


def test_a_name_is_resolved_once_for_each_connection_and_not_again(till):
    resolve, asked = resolving("127.0.0.1", "169.254.169.254")
    session = session_with(Guard(["127.0.0.1"], resolve))
    url = till.url.replace("127.0.0.1", "till.example.com")
    assert session.get(url).status_code == 200
    assert session.get(url).status_code == 200  # over the same socket
    assert asked == ["till.example.com"]
    assert till.asked[0].headers["host"] == url.removeprefix("http://")

    session.adapters["http://"].poolmanager.clear()
    with pytest.raises(requests.exceptions.InvalidURL, match=r"till\.example\.com is 169\.254\.169\.254"):
        session.get(url)


def test_only_the_permitted_addresses_of_a_name_are_tried(till):
    port = till.url.rpartition(":")[2]

    def resolve(_host, port, **_):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ("10.9.9.9", "127.0.0.1")]

    assert session_with(Guard(["127.0.0.1"], resolve)).get(f"http://till.example.com:{port}/").ok


@pytest.fixture
def certificate(tmp_path):
    """Return the files of a self-signed certificate for till.example.com."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "till.example.com")])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("till.example.com")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain, private = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return chain, private


def test_tls_goes_by_the_name_though_the_socket_goes_by_the_address(certificate):
    chain, private = certificate
    names: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    class Server(HTTPServer):
        def handle_error(self, *_):  # the client hangs up on a wrong name
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, private)
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        resolve, _ = resolving("127.0.0.1", "127.0.0.1")
        session = session_with(Guard(["127.0.0.1"], resolve))
        right = f"https://till.example.com:{server.server_port}/"
        assert session.get(right, verify=str(chain)).status_code == 200
        with pytest.raises(requests.exceptions.SSLError):
            session.get(right.replace("till", "bank"), verify=str(chain))
        assert names == ["till.example.com", "bank.example.com"]
    finally:
        session.close()
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_redirect_is_an_answer_and_is_not_followed(till):
    till.script(reply(302, headers={"Location": f"{till.url}/elsewhere"}))
    session = session_with()
    assert session.get(till.url, allow_redirects=True).status_code == 302
    with pytest.raises(Rejected, match="HTTP 302"):
        Client(session, till.url).request("GET", "/")
    assert [asked.path for asked in till.asked] == ["/", "/"]


def reply(status: int = 200, body: bytes = b"{}", headers: dict[str, str] | None = None):
    from types import SimpleNamespace

    return SimpleNamespace(status=status, body=body, headers=headers or {})


def test_proxies_of_the_environment_do_not_count(till, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    session = session_with()
    assert session.get(till.url).ok
    assert session.get(till.url, proxies={"http": "http://127.0.0.1:1"}).ok


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_an_answer_is_read_up_to_a_limit(till, encoding):
    pack = gzip.compress if encoding == "gzip" else bytes
    session = session_with()
    till.script(
        reply(body=pack(b"a" * MAX_RESPONSE), headers={"Content-Encoding": encoding}),
        reply(body=pack(b"a" * (MAX_RESPONSE + 1)), headers={"Content-Encoding": encoding}),
    )
    assert len(session.get(till.url).content) == MAX_RESPONSE
    with pytest.raises(Rejected, match="longer than 1048576 bytes"):
        Client(session, till.url).request("GET", "/")


def test_sockets_are_kept_open_between_calls(till):
    session = session_with()
    for _ in range(5):
        session.get(till.url)
    pools = session.adapters["http://"].poolmanager.pools
    [pool] = [pools[key] for key in pools.keys()]  # noqa: SIM118 - the container forbids iteration
    assert (pool.num_connections, pool.num_requests) == (1, 5)


def test_a_server_that_drips_bytes_does_not_hold_us(till):
    listener = socket.create_server(("127.0.0.1", 0))

    def drip():
        peer, _ = listener.accept()
        with peer:
            peer.recv(65536)
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            try:
                for _ in range(100):
                    peer.sendall(b"a")
                    time.sleep(0.05)
            except OSError:
                pass

    thread = threading.Thread(target=drip)
    thread.start()
    session = session_with(budget_s=0.4)
    began = time.monotonic()
    with pytest.raises(TryLater) as caught:
        Client(session).request("GET", f"http://127.0.0.1:{listener.getsockname()[1]}/")
    assert caught.value.uncertain
    assert time.monotonic() - began < 2
    assert session.exchanges[0].error == "ReadTimeout: the answer took too long"
    thread.join()
    listener.close()


def test_no_call_begins_when_the_time_is_over(till):
    with pytest.raises(TryLater) as caught:
        Client(session_with(budget_s=0.0), till.url).request("GET", "/")
    assert not caught.value.uncertain
    assert till.asked == []


@pytest.mark.parametrize(
    ("wanted", "given"),
    [(None, (5.0, 20.0)), (80, (5.0, 20.0)), ((1, 90), (1, 20.0)), (2, (2, 2)), ((None, None), (5.0, 20.0))],
)
def test_time_outs_are_ours_or_shorter(wanted, given):
    assert session_with(budget_s=1000)._timeout(wanted, time.monotonic()) == given


def test_stripe_s_sdk_works_over_it(till):
    till.script(reply(body=b'{"id": "cus_1", "object": "customer"}'))
    session = session_with()
    client = stripe.StripeClient(
        "sk_test_brewline",
        base_addresses={"api": till.url},
        http_client=stripe.RequestsClient(session=session),
        max_network_retries=0,
    )
    assert client.v1.customers.retrieve("cus_1").id == "cus_1"
    assert [(call.method, call.status) for call in session.exchanges] == [("GET", 200)]


def test_every_call_is_recorded_also_those_without_an_answer(till):
    till.script(reply(404, b"gone", {"X-Request": "7"}))
    session = session_with()
    session.post(till.url + "/a?b=c", data={"d": "e"})
    with pytest.raises(requests.ConnectionError):
        session.get("http://127.0.0.1:1/")
    first, second = session.exchanges
    assert (first.method, first.url, first.request_body) == ("POST", till.url + "/a?b=c", b"d=e")
    assert (first.status, first.response_body, first.response_headers["X-Request"]) == (404, b"gone", "7")
    assert (second.status, second.error[:16]) == (0, "ConnectionError:")
    session.begin(1)
    assert session.exchanges == []


def test_a_bucket_lets_a_burst_out_and_then_its_rate(clock):
    bucket = Bucket(Rate(per_s=2, burst=3), clock)
    assert [bucket.take() for _ in range(6)] == [0, 0, 0, 0.5, 1.0, 1.5]
    clock.on(1.5)
    assert bucket.take() == 0.5  # the three in advance have used what came since
    clock.on(1000)
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, 0.5]
    clock.on(-1000)
    assert bucket.take() == 1.0  # a clock that jumps back


def test_all_threads_of_a_connection_share_its_rate(small_bench, till):
    waits: list[float] = []
    connection = small_bench.connect("till", rate=Rate(per_s=1, burst=2))
    outgoing = Outgoing(small_bench.clock, LOOPBACK, sleep=waits.append)

    def call():
        outgoing.client(connection).request("GET", "/")

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == [1.0, 2.0]
    assert len(till.asked) == 4


def test_a_pause_the_platform_asks_for_costs_the_task_no_time(small_bench, till):
    waits: list[float] = []
    outgoing = Outgoing(small_bench.clock, LOOPBACK, sleep=waits.append)
    client = outgoing.client(small_bench.connections["till"], budget_s=-5.0)
    with pytest.raises(TryLater):
        client.request("GET", till.url)
    client.pause(10)
    assert client.request("GET", till.url).status == 200
    assert waits == [10]
