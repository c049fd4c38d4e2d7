"""The contract every connector keeps, as a test class to inherit. Plugin authors use it with plain pytest.

    class TestContract(ConnectorContract):
        connector = Acme.with_settings(shop="brewline", access_token="token-of-the-test")
        secret = b"signing-secret-of-the-test"
        no_timestamp = "Acme signs no time"
        outbound = [OutboundCase("update_customer", UpdateCustomer(customer_id="7", points=120), [Reply()])]

Bodies come from the samples beside the connector's module (`hub.sdk.samples`). Attributes named `no_...`
hold the reason why a check does not apply; it is printed as the reason of the skip.
Outbound checks speak to a real HTTP server on the loopback interface.
"""

from __future__ import annotations

import base64
import copy
import itertools
import re
import threading
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
import requests
from pydantic import SecretStr

from hub.sdk.connector import Connector, Params, Receipt
from hub.sdk.errors import Malformed, NotVerified, Rejected, TryLater
from hub.sdk.http import Client, Token
from hub.sdk.samples import Sample, samples_of
from hub.sdk.webhook import Answer, Headers, SourceEvent, Webhook

MOST_CHECKS = 300
"""How many places of a long body are tried: enough to meet every field, few enough to stay quick."""
THREADS = 64
KEY = "01936c5e-7b1a-7c3d-9f00-5a1b2c3d4e5f"
OTHER_KEY = "01936c5e-7b1a-7c3d-9f00-000000000000"
SECRET_NAME = re.compile(r"(secret|token|password|credential|key)s?$")

HOSTILE_SIGNATURES = {
    "one character": "x",
    "spaces": "   ",
    "separators": "=,=,",
    "more separators": ",;=.: ,;=.:",
    "null bytes": "\0\0\0",
    "not ASCII": "sïgnature-✓",
    "undecodable bytes": "\udcff\udc00",
    "odd base64": "YWJj=ZGVm==",
    "unpadded base64": "YWJjZA",
    "odd hex": "abc",
    "digits that are not ASCII": "١٢٣",
    "a huge number": "9" * 5000,
    "a negative number": "-1",
    "very long": "A" * 100_000,
    "many parts": "t=1,v1=a " * 5_000,
    "line break": "a\r\nX-Other: b",
}

FOREIGN_BODIES = {
    "empty": b"",
    "not UTF-8": b"\xff\xfe\x00\x80",
    "form": b"a=1&b=%ff&b=%zz&=",
    "multipart": b'--x\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n1\r\n--x--\r\n',
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xabV\x4a\x2a\x02\x00\xf2\xd1\x8c\x30",
    "XML": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
    "null": b"null",
    "number": b"7",
    "text": b'"text"',
    "empty list": b"[]",
    "list of lists": b"[[], [1], null, 7]",
    "empty object": b"{}",
    "100,000 brackets": b"[" * 100_000,
    "100,000 levels": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "NaN": b'{"id": NaN, "type": Infinity}',
    "a key twice": b'{"id": "1", "id": "2", "type": "a", "type": "b"}',
    "400 digits": b'{"id": 1' + b"0" * 400 + b', "type": 1' + b"0" * 400 + b"}",
    "5,000 digits": b'{"id": 1' + b"0" * 5000 + b"}",
    "a huge exponent": b'{"id": 1e999999999, "created": -1e999}',
    "lone surrogate": b'{"id": "\\ud800", "type": "\\udfff"}',
    "null character": b'{"id": "\\u0000", "type": "\\u0000"}',
    "byte order mark": b'\xef\xbb\xbf{"id": "1"}',
    "trailing text": b'{"id": "1"} {"id": "2"}',
}

WRONG_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 10**17, 10**400, "1e400"),
    *("", "text", "9" * 5000, "0001-01-01T00:00:00+14:00", "2026-11-20T10:15:00"),
    *([], {}, [None], [[]], {"": None}),
)
"""What is put in the place of each field of a sample."""


READS = {"GET", "HEAD"}


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the stub platform, given after `delay_s` seconds."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    """One request the stub platform received. `path` includes the query."""

    method: str
    path: str
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class OutboundCase:
    """An action and what the platform answers when all is well.

    Attributes:
        replies: one for each call the action makes, in order.
        remote_id: the receipt's, when it is worth a check.
        key_header: the header that carries the idempotency key, where the platform has one.
    """

    action: str
    params: Params
    replies: Sequence[Reply] = (Reply(),)
    remote_id: str | None = None
    key_header: str = ""


@dataclass(slots=True)
class StubPlatform:
    """What the loopback server was asked. Answers follow the script; its last one is repeated."""

    script: Sequence[Reply]
    url: str = ""
    calls: list[Call] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def writes(self) -> list[tuple[str, str, bytes]]:
        """Return the calls that can change something: method, path and body."""
        return [(call.method, call.path, call.body) for call in self.calls if call.method not in READS]

    def keys(self, header: str) -> list[str]:
        """Return the idempotency key of each call that can change something; empty where there is none."""
        return [call.headers.get(header, "") for call in self.calls if call.method not in READS]


@contextmanager
def stub_platform(script: Sequence[Reply]) -> Iterator[StubPlatform]:
    """Run an HTTP server on loopback that records what it is asked and answers by the script."""
    platform = StubPlatform(script)

    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with platform.lock:
                reply = script[min(len(platform.calls), len(script) - 1)]
                call = Call(self.command, self.path, Headers(self.headers.items()), body)
                platform.calls.append(call)
            if reply.delay_s and platform.closing.wait(reply.delay_s):
                return
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - names of http.server

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by http.server
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False  # closing waits for the answers under way
    platform.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield platform
    finally:
        platform.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


class HastyAdapter(requests.adapters.HTTPAdapter):
    """Gives every call the same time-out, whatever an SDK asks for."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(max_retries=0)
        self.timeout_s = timeout_s

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        return super().send(request, **{**kwargs, "timeout": self.timeout_s})


@dataclass(slots=True)
class MemoryTokens:
    """OAuth tokens kept in memory; refreshed only when the platform refused the one we have."""

    token: str = "access-token-of-the-test"  # noqa: S105 - a test's
    refresh_token: str = "refresh-token-of-the-test"  # noqa: S105

    def access(self, refresh: Callable[[str], Token], *, rejected: str = "") -> str:
        if rejected == self.token:
            new = refresh(self.refresh_token)
            self.token, self.refresh_token = new.access, new.refresh
        return self.token

    def keep(self, token: Token) -> None:
        self.token, self.refresh_token = token.access, token.refresh


class ConnectorContract:
    """Inherit it in a class named `Test...` and fill the attributes."""

    connector: ClassVar[Connector]
    secret: ClassVar[bytes]
    other_secret: ClassVar[bytes] = b"the-secret-of-somebody-else"
    url: ClassVar[str] = "https://points.example.com/webhooks/acme"
    now: ClassVar[datetime] = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
    tolerance_s: ClassVar[int] = 300
    samples: ClassVar[Path | None] = None
    """The folder of sample bodies; None: `samples/<name>` next to the connector's module."""
    items: ClassVar[str | None] = None
    """Where a body lists its events: "" is the body itself, else a dotted path as "events" or "a.0.b"."""
    unsigned_headers: ClassVar[Sequence[str]] = ()
    """Headers that `sign` returns and the signature does not cover."""
    outbound: ClassVar[Sequence[OutboundCase]] = ()

    # How the platform says no, where it differs from plain HTTP.
    throttled: ClassVar[Reply] = Reply(429, {"Retry-After": "7"}, b'{"error": "slow down"}')
    unauthorised: ClassVar[Reply] = Reply(401, {}, b'{"error": "unauthorised"}')
    down: ClassVar[Reply] = Reply(500, {}, b'{"error": "internal"}')

    # Why a check does not apply; empty: it does.
    no_timestamp: ClassVar[str] = ""
    no_future: ClassVar[str] = ""
    no_signed_url: ClassVar[str] = "the platform does not sign the URL"
    no_signed_body: ClassVar[str] = ""
    """The platform sends the secret along and signs nothing."""
    no_signed_headers: ClassVar[str] = ""
    """That secret is in the address (`Connector.address`), and no header tells anything."""
    no_unknown_type: ClassVar[str] = ""
    no_declared_events: ClassVar[str] = ""

    # Hooks.

    def make_client(self, base_url: str, *, timeout_s: float = 5.0, key: str = KEY) -> Client:
        """Return the client the hub would lend, bound to the stub platform."""
        session = requests.Session()
        session.trust_env = False
        for scheme in ("http://", "https://"):
            session.mount(scheme, HastyAdapter(timeout_s))
        return Client(session, base_url, idempotency_key=key, now=self.now, tokens=MemoryTokens())

    def connector_at(self, base_url: str) -> Connector:
        """Return the connector with its API at the stub platform: its setting `api_base`, if it has one."""
        if "api_base" not in type(self.connector.settings).model_fields:
            return self.connector
        settings = self.connector.settings.model_copy(update={"api_base": base_url})
        return type(self.connector)(settings)

    def unknown(self) -> Sample:
        """Return a sample of a type nobody has heard of; override where renaming a sample does not make one."""
        sample, word = self.smallest(), "brewline.unheard_of"
        headers = {name: value.replace(sample.type, word) for name, value in sample.headers.items()}
        body = sample.body.replace(sample.type.encode(), word.encode())
        return Sample(word, "", body, headers)

    # Helpers.

    @contextmanager
    def lend(self, platform: StubPlatform, **options: Any) -> Iterator[Client]:
        """Lend a client for a while, as the hub does for one call."""
        client = self.make_client(platform.url, **options)
        with client.session:
            yield client

    def attempt(
        self, replies: Sequence[Reply], work: Callable[[Any, Client], Any], **settings: Any
    ) -> tuple[Any, list[Call]]:
        """Do something against a stub platform; return what came of it, TryLater and Rejected too, and the calls made.

        Args:
            replies: what the platform answers, in order.
            work: called with the connector and its client.
            settings: of the connector, in place of its own.
        """
        with stub_platform(replies) as platform, self.lend(platform) as client:
            connector = self.connector_at(platform.url)
            if settings:
                own = {
                    name: getattr(connector.settings, name) for name in type(connector.settings).model_fields
                }
                connector = type(connector).with_settings(**{**own, **settings})
            try:
                outcome = work(connector, client)
            except (TryLater, Rejected) as raised:
                outcome = raised
            return outcome, platform.calls

    def webhook(
        self, body: bytes, headers: Mapping[str, str], at: datetime | None = None, url: str | None = None
    ) -> Webhook:
        """Return a request as the hub receives it."""
        return Webhook("POST", url or self.url, Headers(headers), body, at or self.now)

    def all_samples(self) -> list[Sample]:
        return samples_of(self.connector, self.samples)

    def smallest(self) -> Sample:
        return min(self.all_samples(), key=lambda sample: len(sample.body))

    def signed(
        self, event_type: str | None = None, *, secret: bytes | None = None, body: bytes | None = None
    ) -> Webhook:
        """Return a signed sample: of a type, or the smallest; with another body or secret where given."""
        by_type = {sample.type: sample for sample in reversed(self.all_samples())}
        sample = by_type[event_type] if event_type else self.smallest()
        if body is not None:
            sample = replace(sample, body=body)
        return sample.signed(self.connector, secret or self.secret, self.url, self.now)

    def signing_headers(self, webhook: Webhook) -> list[str]:
        """Return the names of the headers that the signature is or covers."""
        unsigned = {name.lower() for name in self.unsigned_headers}
        return [name for name in self.connector.sign(webhook, self.secret) if name.lower() not in unsigned]

    def forged(self) -> Webhook:
        """Return a request such as a stranger could send."""
        strange = replace(self.signed(), body=b"{}")
        return self.signed(secret=self.other_secret) if self.no_signed_body else strange

    def with_header(self, webhook: Webhook, name: str, value: str | None) -> Webhook:
        """Return the request with one header changed, or without it."""
        headers = {n: v for n, v in webhook.headers.items() if n != name.lower()}
        return replace(webhook, headers=Headers(headers if value is None else {**headers, name: value}))

    def refuses(self, webhook: Webhook, claim: str, secrets: Sequence[bytes] | None = None) -> NotVerified:
        """Assert that verification says NotVerified, and return it."""
        if not self.connector.signed:
            pytest.skip("the platform does not sign")
        try:
            self.connector.verify(webhook, [self.secret] if secrets is None else secrets)
        except NotVerified as refusal:
            return refusal
        except Exception as error:  # noqa: BLE001 - any other exception is the finding
            pytest.fail(f"{claim}: {type(error).__name__} instead of NotVerified: {error}")
        pytest.fail(f"{claim}: accepted")

    def stored(self, webhook: Webhook) -> Webhook:
        """Return the webhook as it comes out of the inbox: with the kept headers only."""
        return replace(webhook, headers=Headers(webhook.headers.only(self.connector.keep_headers)))

    def reads(self, webhook: Webhook, claim: str) -> list[SourceEvent] | None:
        """Assert that parsing gives sound events or Malformed (None), and nothing else."""
        try:
            events = self.connector.parse(self.stored(webhook))
        except Malformed:
            return None
        except Exception as error:  # noqa: BLE001 - any other exception is the finding
            pytest.fail(f"{claim}: {type(error).__name__} instead of Malformed: {error}")
        for event in events:
            assert isinstance(event, SourceEvent), f"{claim}: parse returned {event!r}"
            assert isinstance(event.id, str), f"{claim}: the id is {event.id!r}"
            assert event.id, f"{claim}: the id is empty"
            assert isinstance(event.type, str), f"{claim}: the type is {event.type!r}"
            assert isinstance(event.account, str), f"{claim}: the account is {event.account!r}"
            assert event.at.utcoffset() is not None, f"{claim}: {event.at} has no zone"
            event.at.astimezone(UTC)  # not out of range
            (event.id + event.type + event.account).encode()  # lone surrogates cannot be stored
        return events

    def secret_texts(self) -> list[str]:
        """Return every text that would give a secret away."""
        shown = [self.secret, base64.b64encode(self.secret), self.secret.hex().encode()]
        return [text.decode(errors="replace") for text in shown] + self.connector.redactions()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make one test for each sample and for each outbound case."""
        if "sample" in metafunc.fixturenames:
            samples = self.all_samples()
            metafunc.parametrize(
                "sample", samples, ids=[f"{s.type}~{s.variant}".rstrip("~") for s in samples]
            )
        if "case" in metafunc.fixturenames:
            metafunc.parametrize("case", self.outbound, ids=[case.action for case in self.outbound])

    # Facts.

    def test_facts_are_complete(self) -> None:
        connector = type(self.connector)
        assert re.fullmatch(r"[a-z][a-z0-9_]*", connector.name), connector.name
        assert connector.label.strip(), "the label is empty"
        assert connector.docs_url.startswith("https://"), connector.docs_url
        assert connector.api_version.strip(), "the API version is empty"
        assert isinstance(connector.verified_on, date), connector.verified_on
        for event_type, canonical in connector.events.items():
            assert re.fullmatch(r"[a-z_]+\.[a-z_]+", canonical), (
                f"{event_type}: {canonical!r} is no canonical name"
            )

    def test_every_action_names_its_parameters_and_why_a_repeat_is_harmless(self) -> None:
        for name, action in self.connector.actions.items():
            assert action.summary.strip(), f"{name} has no summary"
            assert action.idempotent.strip(), f"{name} does not say why a repeat is harmless"
            assert issubclass(action.params, Params), f"{name}: {action.params} is not a Params"
            fields = {f.name for f in msgspec.structs.fields(action.params)}
            assert action.target is None or action.target in fields, f"{name}: no parameter {action.target!r}"

    def test_secret_looking_settings_are_secret(self) -> None:
        for name, info in type(self.connector.settings).model_fields.items():
            if SECRET_NAME.search(name):
                assert SecretStr in flat(info.annotation), f"the setting {name} would be shown in logs"

    def test_declared_events_are_the_sampled_events(self) -> None:
        if self.no_declared_events:
            pytest.skip(self.no_declared_events)
        assert self.connector.events, "no events are declared"
        assert {sample.type for sample in self.all_samples()} == set(self.connector.events)

    # Verification.

    def test_a_signed_sample_is_verified(self, sample: Sample) -> None:
        self.connector.verify(sample.signed(self.connector, self.secret, self.url, self.now), [self.secret])

    def test_one_changed_byte_of_the_body_is_refused(self) -> None:
        if self.no_signed_body:
            pytest.skip(self.no_signed_body)
        webhook = self.signed()
        body = webhook.body
        for at in strided(len(body)):
            changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
            self.refuses(replace(webhook, body=changed), f"byte {at} of the body changed")

    def test_a_body_of_another_length_is_refused(self) -> None:
        if self.no_signed_body:
            pytest.skip(self.no_signed_body)
        webhook = self.signed()
        body = webhook.body
        for other in (b"", body[:-1], body[1:], body + b" ", body + b"\n", body + body):
            self.refuses(replace(webhook, body=other), f"a body of {len(other)} bytes, not {len(body)}")

    def test_one_changed_character_of_a_signed_header_is_refused(self) -> None:
        webhook = self.signed()
        if self.no_signed_headers:
            pytest.skip(self.no_signed_headers)
        names = self.signing_headers(webhook)
        assert names, "sign returns no headers"
        for name in names:
            value = webhook.headers[name]
            for at in strided(len(value)):
                changed = value[:at] + chr(ord(value[at]) ^ 1) + value[at + 1 :]
                self.refuses(self.with_header(webhook, name, changed), f"character {at} of {name} changed")

    def test_a_signed_header_that_is_not_there_exactly_once_is_refused(self) -> None:
        webhook = self.signed()
        for name in self.signing_headers(webhook):
            value = webhook.headers[name]
            self.refuses(self.with_header(webhook, name, None), f"{name} was missing")
            self.refuses(self.with_header(webhook, name, ""), f"{name} was empty")
            self.refuses(self.with_header(webhook, name, f"{value}, {value}"), f"{name} was there twice")

    @pytest.mark.parametrize("text", HOSTILE_SIGNATURES.values(), ids=list(HOSTILE_SIGNATURES))
    def test_a_hostile_signed_header_is_refused(self, text: str) -> None:
        webhook = self.signed()
        for name in self.signing_headers(webhook):
            self.refuses(self.with_header(webhook, name, text), f"{name} was {text[:40]!r}")
            with suppress(NotVerified):  # some lists of signatures may hold strangers; nothing may crash
                self.connector.verify(
                    self.with_header(webhook, name, webhook.headers[name] + text), [self.secret]
                )

    def test_another_secret_is_refused(self) -> None:
        self.refuses(self.signed(secret=self.other_secret), "signed with another secret")
        self.refuses(self.signed(), "checked with another secret", [self.other_secret])

    @pytest.mark.parametrize("secrets", [[], [b""]], ids=["none", "an empty one"])
    def test_without_a_secret_nothing_is_verified(self, secrets: list[bytes]) -> None:
        self.refuses(self.signed(), "no secret is set", secrets)

    def test_while_a_secret_rotates_the_old_and_the_new_one_are_good(self) -> None:
        for live in ([self.secret, self.other_secret], [self.other_secret, self.secret]):
            for secret in live:
                self.connector.verify(self.signed(secret=secret), live)

    def test_a_stale_webhook_is_refused(self) -> None:
        if self.no_timestamp:
            pytest.skip(self.no_timestamp)
        webhook = self.signed()
        just = replace(webhook, received_at=self.now + timedelta(seconds=self.tolerance_s))
        self.connector.verify(just, [self.secret])
        late = replace(webhook, received_at=self.now + timedelta(seconds=self.tolerance_s + 1))
        assert self.refuses(late, "a stale webhook").reason == "stale_timestamp"

    def test_a_webhook_from_the_future_is_refused(self) -> None:
        if reason := self.no_timestamp or self.no_future:
            pytest.skip(reason)
        early = replace(self.signed(), received_at=self.now - timedelta(seconds=self.tolerance_s + 1))
        assert self.refuses(early, "a webhook from the future").reason == "future_timestamp"

    def test_a_webhook_to_another_address_is_refused(self) -> None:
        if self.no_signed_url:
            pytest.skip(self.no_signed_url)
        self.refuses(replace(self.signed(), url=self.url + "/other"), "sent to another address")
        self.refuses(replace(self.signed(), url=self.url + "?a=1"), "sent with a query")

    def test_sixty_four_threads_get_the_same_result(self) -> None:
        good, bad = self.signed(), self.forged()
        expected = self.connector.parse(self.stored(good))

        def work(_: int) -> list[SourceEvent]:
            self.connector.verify(good, [self.secret])
            self.refuses(bad, "a forged request")
            return self.connector.parse(self.stored(good))

        with ThreadPoolExecutor(THREADS) as pool:
            assert all(events == expected for events in pool.map(work, range(4 * THREADS)))

    # Reading.

    def test_a_sample_reads_as_its_type(self, sample: Sample) -> None:
        webhook = sample.signed(self.connector, self.secret, self.url, self.now)
        events = self.reads(webhook, sample.type)
        assert events, f"the sample {sample.type} has no events"
        assert sample.type in {event.type for event in events}
        assert events == self.connector.parse(webhook), "parse needs a header that is not in keep_headers"

    def test_ids_are_the_same_when_a_webhook_comes_again(self, sample: Sample) -> None:
        first = sample.signed(self.connector, self.secret, self.url, self.now)
        again = sample.signed(self.connector, self.secret, self.url, self.now + timedelta(hours=3))
        ids = [event.id for event in self.reads(first, sample.type) or []]
        assert ids == [event.id for event in self.reads(again, sample.type) or []]
        assert len(ids) == len(set(ids)), f"two events of one webhook share an id: {ids}"
        delivery = self.connector.delivery_id(first)
        assert delivery is None or (isinstance(delivery, str) and delivery), f"delivery_id is {delivery!r}"
        assert delivery == self.connector.delivery_id(again)

    def test_an_unknown_type_is_an_event_all_the_same(self) -> None:
        if self.no_unknown_type:
            pytest.skip(self.no_unknown_type)
        sample = self.unknown()
        webhook = sample.signed(self.connector, self.secret, self.url, self.now)
        self.connector.verify(webhook, [self.secret])
        events = self.reads(webhook, "an unknown type")
        assert events is not None, "an unknown type is Malformed"
        assert sample.type in {event.type for event in events}

    def test_one_bad_item_spoils_no_other(self) -> None:
        if self.items is None:
            pytest.skip("one webhook carries one event")
        document = msgspec.json.decode(self.smallest().body)
        good = self.reads(self.signed(), "the good batch")
        assert good, "the good batch has no events"
        items = document
        for step in filter(None, self.items.split(".")):
            items = items[int(step) if step.isdigit() else step]
        items.append("not an item")
        events = self.reads(self.signed(body=msgspec.json.encode(document)), "a batch with a bad item")
        assert events is not None, "one bad item makes the batch Malformed"
        assert [event for event in events if event.type != "malformed"] == good
        assert [event.payload for event in events if event.type == "malformed"] == [{"item": "not an item"}]

    @pytest.mark.parametrize("body", FOREIGN_BODIES.values(), ids=list(FOREIGN_BODIES))
    def test_a_foreign_body_is_malformed_or_an_event(self, body: bytes) -> None:
        webhook = self.signed(body=body)
        self.connector.verify(webhook, [self.secret])
        self.reads(webhook, "a foreign body")
        self.reads(replace(webhook, headers=Headers()), "a foreign body without headers")
        self.answers_and_names(webhook)

    def test_a_field_of_the_wrong_kind_is_malformed_or_an_event(self, sample: Sample) -> None:
        try:
            document = msgspec.json.decode(sample.body)
        except msgspec.DecodeError:
            pytest.skip("the body is not JSON")
        shallow_first = sorted(paths(document), key=len)[: MOST_CHECKS // 3]
        for path, value in itertools.product(shallow_first, WRONG_VALUES):
            webhook = self.webhook(msgspec.json.encode(put(document, path, value)), sample.headers)
            self.reads(webhook, f"{'.'.join(map(str, path))} was {str(value)[:20]!r}")
            self.answers_and_names(webhook)

    def answers_and_names(self, webhook: Webhook) -> None:
        """Assert that what runs before the webhook is stored never raises."""
        try:
            delivery, answer = self.connector.delivery_id(webhook), self.connector.answer(webhook)
        except Exception as error:  # noqa: BLE001 - a webhook lost before it is stored
            pytest.fail(f"delivery_id or answer raised {type(error).__name__}: {error}")
        assert delivery is None or isinstance(delivery, str), f"delivery_id is {delivery!r}"
        assert answer is None or isinstance(answer, Answer), f"answer is {answer!r}"

    # Secrecy.

    def test_no_secret_is_shown(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(0)
        webhook = self.signed()
        refusals = [self.refuses(self.forged(), "a forged request")]
        refusals += [
            self.refuses(self.with_header(webhook, n, "x"), n) for n in self.signing_headers(webhook)
        ]
        self.connector.verify(webhook, [self.secret])
        self.connector.parse(self.stored(webhook))
        shown = [
            repr(self.connector),
            repr(self.connector.settings),
            str(self.connector.settings),
            caplog.text,
        ]
        shown += [repr(refusal) for refusal in refusals]
        for text in shown:
            for secret in self.secret_texts():
                assert secret not in text, f"a secret is shown in {text[:80]!r}"

    # Outbound.

    def perform(self, case: OutboundCase, platform: StubPlatform, **options: Any) -> Receipt:
        with self.lend(platform, **options) as client:
            return self.connector_at(platform.url).perform(case.action, case.params, client)

    def fails(self, case: OutboundCase, call: int, reply: Reply, **options: Any) -> TryLater | Rejected:
        """Perform with a platform that answers `reply` from the given call on; return what it led to."""
        with stub_platform([*case.replies[:call], reply]) as platform:
            try:
                self.perform(case, platform, **options)
            except (TryLater, Rejected) as outcome:
                return outcome
            except Exception as error:  # noqa: BLE001 - any other exception is the finding
                pytest.fail(f"{reply.status} at call {call}: {type(error).__name__}: {error}")
        pytest.fail(f"{reply.status} at call {call} counts as success")

    def test_every_action_has_an_outbound_case(self) -> None:
        assert {case.action for case in self.outbound} == set(self.connector.actions)

    def test_an_accepted_action_gives_a_receipt(self, case: OutboundCase) -> None:
        with stub_platform(case.replies) as platform:
            receipt = self.perform(case, platform)
            assert isinstance(receipt, Receipt)
            assert case.remote_id in {None, receipt.remote_id}
            assert len(platform.calls) == len(case.replies), platform.calls

    def test_a_throttled_action_waits_as_long_as_asked(self, case: OutboundCase) -> None:
        for call in range(len(case.replies)):
            outcome = self.fails(case, call, self.throttled)
            assert isinstance(outcome, TryLater), f"throttled at call {call}: {outcome!r}"
            assert outcome.retry_after_s == 7, f"throttled at call {call}: {outcome.retry_after_s}"

    def test_an_unauthorised_action_is_rejected(self, case: OutboundCase) -> None:
        for call in range(len(case.replies)):
            outcome = self.fails(case, call, self.unauthorised)
            assert isinstance(outcome, Rejected), f"unauthorised at call {call}: {outcome!r}"
            assert not any(secret in outcome.reason for secret in self.secret_texts()), "a secret is shown"

    def test_an_action_is_tried_again_when_the_platform_is_down(self, case: OutboundCase) -> None:
        for call in range(len(case.replies)):
            outcome = self.fails(case, call, self.down)
            assert isinstance(outcome, TryLater), f"down at call {call}: {outcome!r}"

    def test_a_time_out_after_sending_is_uncertain(self, case: OutboundCase) -> None:
        for call in range(len(case.replies)):
            outcome = self.fails(case, call, Reply(delay_s=5), timeout_s=0.25)
            assert isinstance(outcome, TryLater), f"no answer at call {call}: {outcome!r}"
            assert outcome.uncertain, f"no answer at call {call}: taken for certain"

    def test_a_repeated_action_writes_the_same_again(self, case: OutboundCase) -> None:
        with stub_platform([*case.replies, *case.replies]) as platform:
            self.perform(case, platform)
            first, keys = platform.writes(), platform.keys(case.key_header)
            self.perform(case, platform)
            assert set(platform.writes()) == set(first), "the repeat wrote something else"
            if case.key_header:
                assert all(keys), f"a write has no {case.key_header}"
                assert set(platform.keys(case.key_header)) == set(keys), "the repeat has another key"

    def test_another_delivery_has_another_key(self, case: OutboundCase) -> None:
        if not case.key_header:
            pytest.skip("writes are absolute: no key is needed")
        keys = []
        for key in (KEY, OTHER_KEY):
            with stub_platform(case.replies) as platform:
                self.perform(case, platform, key=key)
                keys.append(set(platform.keys(case.key_header)))
        assert not keys[0] & keys[1], "two deliveries share a key"


def flat(annotation: Any) -> set[Any]:
    """Return a type and all types it is made of."""
    return {annotation}.union(*(flat(part) for part in typing.get_args(annotation)))


def strided(length: int) -> range:
    """Return at most MOST_CHECKS places below `length`, evenly spread; all of them when they are few."""
    return range(0, length, -(-length // MOST_CHECKS) or 1)


def paths(document: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value inside a JSON document."""
    children: Any = ()
    if isinstance(document, dict):
        children = document.items()
    elif isinstance(document, list):
        children = enumerate(document)
    for step, value in children:
        yield (*above, step)
        yield from paths(value, (*above, step))


def put(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return the document with one value replaced."""
    changed = copy.deepcopy(document)
    place = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return changed
