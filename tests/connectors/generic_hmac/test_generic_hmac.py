"""An unknown platform connected by settings alone."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import yaml
from pydantic import ValidationError

from connectors.generic_hmac import GenericHmac, Post
from hub.mapping import load, loads
from hub.sdk import Headers, Malformed, NotVerified, Rejected, SourceEvent, Webhook
from hub.sdk.events import CustomEvent, Event, MemberRef, Order, PurchasePaid, PurchaseRefunded, Refund
from hub.sdk.testing import KEY, ConnectorContract, OutboundCase, Reply, stub_platform

DOCUMENT = Post(data={"customer": "brew-20417", "points": 120})
TILL = {
    "header": "X-Till-Signature",
    "algorithm": "sha512",
    "encoding": "base64",
    "prefix": "v1=",
    "signed": "v1:{timestamp}:{url}:{body}",
    "timestamp_header": "X-Till-Time",
    "timestamp_unit": "ms",
    "tolerance_s": 60,
    "items_path": "batch.rows",
    "id_path": "no",
    "type_path": "what",
    "time_path": "when",
    "time_unit": "ms",
    "test_path": "mode=training",
}


class TestContract(ConnectorContract):
    connector = GenericHmac.with_settings(url="https://brewline.example.com/in", post_secret="post-secret")
    secret = b"signing-secret-of-the-test"
    no_timestamp = "these settings sign no time"
    no_declared_events = "the mapping file names the types"
    outbound = [OutboundCase("post", DOCUMENT, remote_id=KEY, key_header="Idempotency-Key")]

    def connector_at(self, base_url):
        return GenericHmac.with_settings(url=f"{base_url}/in", post_secret="post-secret")


class TestContractOfATillThatSignsTimeAndAddressAndSendsBatches(TestContract):
    connector = GenericHmac.with_settings(**TILL)
    samples = Path(__file__).parent / "samples"
    items = "batch.rows"
    tolerance_s = 60
    no_timestamp = ""
    no_signed_url = ""


contract = TestContract()
till = TestContractOfATillThatSignsTimeAndAddressAndSendsBatches()


def verify(settings, headers, body, now=contract.now):
    webhook = Webhook("POST", contract.url, Headers(headers), body, now)
    GenericHmac.with_settings(**settings).verify(webhook, [contract.secret])


def parse(settings, body, headers=()):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    connector = GenericHmac.with_settings(**settings)
    return connector.parse(till.webhook(body, Headers(headers).only(connector.keep_headers)))


def test_githubs_published_vector_passes():
    """docs.github.com, "Validating webhook deliveries", read 2026-11-20."""
    settings = {"header": "X-Hub-Signature-256", "prefix": "sha256="}
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    webhook = contract.webhook(b"Hello, World!", {"X-Hub-Signature-256": signature})
    GenericHmac.with_settings(**settings).verify(webhook, [b"It's a Secret to Everybody"])


@pytest.mark.parametrize(
    ("settings", "text", "encoding"),
    [
        ({"algorithm": "sha1"}, b"{}", "hex"),
        ({"algorithm": "sha256", "encoding": "base64"}, b"{}", "base64"),
        ({"algorithm": "sha512"}, b"{}", "hex"),
        ({"signed": "{url}{body}"}, b"https://points.example.com/webhooks/acme{}", "hex"),
        ({"signed": "{timestamp}.{body}", "timestamp_header": "X-Time"}, b"1795169700.{}", "hex"),
        ({"signed": "{body}|{url}", "prefix": "v0="}, b"{}|https://points.example.com/webhooks/acme", "hex"),
    ],
)
def test_each_scheme_signs_what_it_says(settings, text, encoding):
    digest = hmac.new(contract.secret, text, getattr(hashlib, settings.get("algorithm", "sha256"))).digest()
    signature = digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()
    headers = {"X-Signature": settings.get("prefix", "") + signature, "X-Time": "1795169700"}
    verify(settings, headers, b"{}")
    with pytest.raises(NotVerified, match="bad_signature"):
        verify(settings, headers, b"[]")


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "missing_signature"),
        ({"X-Signature": ""}, "missing_signature"),
        ({"X-Signature": "sha256="}, "missing_signature"),
        ({"X-Signature": "ab" * 32}, "malformed_signature"),
        ({"X-Signature": "sha256=xyz"}, "malformed_signature"),
        ({"X-Signature": "sha256=" + "ab" * 32}, "bad_signature"),
        ({"X-Signature": "sha256=sha256=" + "ab" * 32}, "malformed_signature"),
    ],
)
def test_a_refusal_names_its_reason(headers, reason):
    with pytest.raises(NotVerified, match=reason):
        verify({"prefix": "sha256="}, headers, b"{}")


def test_braces_in_a_body_are_no_placeholders():
    webhook = contract.signed(body=b'{"text": "{url}{timestamp}{body}"}')
    contract.connector.verify(webhook, [contract.secret])
    contract.refuses(
        contract.webhook(b'{"text": "https://points.example.com"}', webhook.headers), "another body"
    )


def test_a_batch_of_the_till_reads_whole():
    assert till.connector.parse(till.signed()) == [
        SourceEvent(
            id="5101",
            type="till.sale",
            at=datetime(2026, 11, 20, 10, 15, tzinfo=UTC),
            payload={
                "no": 5101,
                "what": "till.sale",
                "when": 1795169700000,
                "mode": "live",
                "guest": "brew-7",
                "cents": 480,
            },
        ),
        SourceEvent(
            id="5102",
            type="till.sale",
            at=datetime(2026, 11, 20, 10, 16, tzinfo=UTC),
            payload={
                "no": 5102,
                "what": "till.sale",
                "when": 1795169760000,
                "mode": "training",
                "guest": "brew-8",
                "cents": 1250,
            },
            test=True,
        ),
    ]


def test_the_envelope_may_stand_in_headers():
    settings = {
        "id_path": "header:X-Delivery",
        "type_path": "header:X-Event",
        "time_path": "header:X-Sent-At",
        "test_path": "header:X-Mode=test",
    }
    headers = {"X-Delivery": "d-1", "X-Event": "sale", "X-Sent-At": "2026-11-20T10:15:00Z", "X-Mode": "Test"}
    [event] = parse(settings, {"cents": 480}, headers)
    expected = SourceEvent(id="d-1", type="sale", at=contract.now, payload={"cents": 480}, test=True)
    assert event == expected
    connector = GenericHmac.with_settings(**settings)
    assert connector.delivery_id(contract.webhook(b"{}", headers)) == "d-1"
    assert connector.delivery_id(contract.webhook(b"{}", {})) is None
    assert connector.sample_headers("sale") == {
        "Content-Type": "application/json",
        "X-Event": "sale",
        "X-Delivery": "sample-sale",
    }


def test_a_form_is_one_event():
    [event] = parse({"format": "form", "id_path": "sale_no"}, b"sale_no=17&type=sale&name=Mara+L%C3%B6we")
    assert (event.id, event.type) == ("17", "sale")
    assert event.payload == {"sale_no": "17", "type": "sale", "name": "Mara Löwe"}


def test_a_body_may_be_the_list():
    events = parse({"items_path": "."}, [{"id": 1, "type": "a"}, {"id": 2, "type": "b"}])
    assert [(event.id, event.type) for event in events] == [("1", "a"), ("2", "b")]


def test_paths_go_through_lists_by_number():
    [event] = parse(
        {"id_path": "ids.1", "type_path": "meta.kind"}, {"ids": ["x", "y"], "meta": {"kind": "k"}}
    )
    assert (event.id, event.type) == ("y", "k")


def test_without_an_id_the_hash_of_the_event_stands_in():
    first, again, other = (
        parse({"id_path": ""}, body)[0].id
        for body in (b'{"type":"a","n":1}', b'{ "type": "a", "n": 1 }', b'{"type":"a","n":2}')
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("settings", "body", "said"),
    [
        ({}, [], "an event is an object"),
        ({}, {"type": "a"}, r"there is no text or number at id \(id_path\)"),
        ({}, {"id": "", "type": "a"}, r"there is no text or number at id \(id_path\)"),
        ({}, {"id": 1, "type": {"a": 1}}, r"there is no text or number at type \(type_path\)"),
        ({}, {"id": True, "type": "a"}, r"there is no text or number at id \(id_path\)"),
        ({"type_path": "header:X-Event"}, {"id": 1}, r"at header:X-Event \(type_path\)"),
        ({"items_path": "rows"}, {"row": []}, r"there is no list at rows \(items_path\)"),
        ({"items_path": "."}, {"rows": []}, r"there is no list at \. \(items_path\)"),
    ],
)
def test_a_body_the_settings_do_not_fit_is_malformed_and_says_where(settings, body, said):
    with pytest.raises(Malformed, match=said):
        parse(settings, body)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"algorithm": "md5"}, "'sha256', 'sha512' or 'sha1'"),
        ({"encoding": "base32"}, "'hex' or 'base64'"),
        (
            {"signed": "{body}{secret}"},
            "{secret} is unknown: a signed text is made of {timestamp}, {url}, {body}",
        ),
        ({"signed": "{timestamp}", "timestamp_header": "X-Time"}, "{body} is missing"),
        ({"signed": "{timestamp}.{body}"}, "say in timestamp_header which header holds it"),
        ({"timestamp_header": "X-Time"}, "a time outside `signed` can be changed by anybody"),
        ({"header": "X Signature"}, "'X Signature' is no name of a header"),
        ({"header": ""}, "at least 1 character"),
        ({"type_path": ""}, "at least 1 character"),
        ({"id_path": "data..id"}, "'data..id' is no path: write it as data.order.id"),
        ({"id_path": "header:X Id"}, "'X Id' is no name of a header"),
        ({"test_path": "a..b=test"}, "'a..b' is no path"),
        ({"tolerance_s": 0}, "greater than or equal to 1"),
        ({"tolerance_s": 90_000}, "less than or equal to 86400"),
        ({"format": "form", "items_path": "rows"}, "a form is one event"),
        ({"url": "brewline.example.com"}, "the url must begin with https://"),
        ({"signature_header": "X"}, "Extra inputs are not permitted"),
    ],
)
def test_wrong_settings_are_refused_with_the_reason(settings, said):
    with pytest.raises(ValidationError) as caught:
        GenericHmac.with_settings(**settings)
    assert said in str(caught.value)


@pytest.mark.parametrize("secret", ["post-secret", ""])
def test_a_post_is_signed_by_the_same_scheme_when_it_has_a_secret(secret):
    with stub_platform([Reply(201)]) as platform, till.lend(platform) as client:
        url = f"{platform.url}/in"
        connector = GenericHmac.with_settings(**TILL, url=url, post_secret=secret)
        connector.perform("post", DOCUMENT, client)
        [call] = platform.calls
    assert json.loads(call.body) == DOCUMENT.data
    assert call.headers["Idempotency-Key"] == KEY
    received = till.webhook(call.body, call.headers, url=url)
    if secret:
        connector.verify(received, [secret.encode()])
    else:
        assert "X-Till-Signature" not in call.headers


def test_without_an_address_nothing_is_posted():
    with pytest.raises(Rejected, match="set the url"):
        till.connector.perform("post", DOCUMENT, till.make_client(""))


def test_probe_tells_that_the_endpoint_is_there():
    with stub_platform([Reply(405)]) as platform, contract.lend(platform) as client:
        assert contract.connector_at(platform.url).probe(client) == f"{platform.url}/in answers (HTTP 405)"
    assert till.connector.probe(client) == "receives webhooks; posts nowhere"


ROOT = Path(__file__).parents[3]
MARA = MemberRef(id="brew-20417", email="mara.lindqvist@example.com")
MAPPING = load(ROOT / "mappings/generic_hmac.yaml", GenericHmac)
CANONICAL: dict[str, Event] = {
    "order.completed": PurchasePaid(
        fact="web:order/BL-7741",
        occurred_at=datetime(2026, 11, 20, 9, 12, 55, tzinfo=UTC),
        member=MARA,
        order=Order(id="BL-7741", currency="EUR", net_minor=2790, gross_minor=3380),
    ),
    "order.returned": PurchaseRefunded(
        fact="web:return/evt-48377",
        of="web:order/BL-7741",
        occurred_at=datetime(2026, 11, 24, 15, 40, 2, tzinfo=UTC),
        refund=Refund(id="evt-48377", currency="EUR", gross_minor=1150),
    ),
    "workshop.attended": CustomEvent(
        fact="web:workshop/CUPPING-1/brew-20417",
        occurred_at=datetime(2026, 11, 25, 18, 0, tzinfo=UTC),
        member=MARA,
        data={"code": "CUPPING-1", "minutes": 90},
    ),
}


@pytest.mark.parametrize("event_type", CANONICAL)
def test_the_shipped_mapping_understands_the_sample(event_type):
    [event] = contract.connector.parse(contract.signed(event_type))
    [canonical] = MAPPING.apply(event, connection="web")
    assert msgspec.to_builtins(canonical) == msgspec.to_builtins(CANONICAL[event_type])


def test_every_shipped_sample_is_understood():
    assert {sample.type for sample in contract.all_samples()} == set(CANONICAL)


def test_a_changed_balance_is_posted():
    [rule] = MAPPING.outbound("points.changed")
    member = {"id": "m-1", "id_here": "brew-20417", "ids": {}, "email": "", "phone": "", "name": ""}
    member |= {"balance": 120, "pending": 0, "tier": "gold"}
    variables = {"points": 20, "posting": {"id": "p-1", "kind": "earn", "key": "k"}, "event": {}}
    variables["connection"] = {"name": "web"}
    params = rule.params({**variables, "member": member})
    assert msgspec.convert(params, Post).data == {"customer": "brew-20417", "points": 120, "tier": "gold"}
    assert rule.params({**variables, "member": {**member, "id_here": ""}}) is None


def fenced(language: str) -> list[str]:
    """Return the code blocks of the connector's page."""
    page = (ROOT / "docs/connectors/generic_hmac.md").read_text()
    return [textwrap.dedent(block) for block in re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)]


def test_the_example_of_the_docs_connects_its_platform_by_yaml_alone():
    [body] = fenced("json")
    hub_yaml, mapping_yaml = fenced("yaml")
    settings = yaml.safe_load(hub_yaml)["connections"]["till"]["settings"]
    tillpoint = GenericHmac.with_settings(**settings)
    mapping = loads(mapping_yaml.encode(), "mappings/till.yaml", GenericHmac)

    digest = hmac.new(b"till-secret", f"1795169700.{body}".encode(), hashlib.sha256).hexdigest()
    headers = {"X-Tillpoint-Time": "1795169700", "X-Tillpoint-Signature": f"sha256={digest}"}
    webhook = contract.webhook(body.encode(), headers)
    tillpoint.verify(webhook, [b"till-secret"])

    canonical = [
        event for source in tillpoint.parse(webhook) for event in mapping.apply(source, connection="till")
    ]
    assert [(event.name, msgspec.to_builtins(event)) for event in canonical] == [
        (
            "purchase.paid",
            {
                "fact": "till:sale/5101",
                "occurred_at": "2026-11-20T10:15:00Z",
                "member": {"id": "brew-7"},
                "order": {"id": "5101", "currency": "EUR", "net_minor": 390, "gross_minor": 480},
            },
        ),
        (
            "purchase.refunded",
            {
                "fact": "till:sale/5102",
                "of": "till:sale/5044",
                "occurred_at": "2026-11-20T10:16:00Z",
                "refund": {"id": "5102", "currency": "EUR", "gross_minor": 1250},
            },
        ),
        (
            "custom.tasting",
            {
                "fact": "till:tasting/5103",
                "occurred_at": "2026-11-20T10:16:30Z",
                "member": {"id": "brew-7"},
                "data": {"minutes": 45},
            },
        ),
    ]
