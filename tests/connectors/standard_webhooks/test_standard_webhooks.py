"""Standard Webhooks: the published vectors, the body, and what we send."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from pydantic import ValidationError

from connectors.standard_webhooks import Send, StandardWebhooks, signatures
from hub.mapping import load
from hub.sdk import Headers, NotVerified, Rejected, SourceEvent, TryLater, Webhook
from hub.sdk.events import (
    CustomEvent,
    Event,
    Line,
    MemberCreated,
    MemberErased,
    MemberRef,
    Order,
    PurchaseCancelled,
    PurchasePaid,
    PurchaseRefunded,
    RedemptionRequested,
    Refund,
    Wish,
)
from hub.sdk.testing import KEY, ConnectorContract, OutboundCase, Reply, stub_platform

SECRET = b"whsec_QnJld2xpbmUtdGVzdC1zZWNyZXQtb25lLTI0Kw=="
OTHER = b"whsec_QnJld2xpbmUtdGVzdC1zZWNyZXQtdHdvLTI0Kw=="
POINTS = Send(type="points.changed", data={"member": "brew-20417", "balance": 120})


class TestContract(ConnectorContract):
    connector = StandardWebhooks.with_settings(
        url="https://brewline.example.com/hooks", signing_secrets=[SECRET.decode()]
    )
    secret = SECRET
    other_secret = OTHER
    outbound = [
        OutboundCase("send", POINTS, remote_id="evt_" + KEY.replace("-", ""), key_header="webhook-id")
    ]

    def connector_at(self, base_url):
        return StandardWebhooks.with_settings(url=f"{base_url}/hooks", signing_secrets=[SECRET.decode()])


contract = TestContract()


def test_every_published_vector_is_judged_as_published(shared):
    published = json.loads((shared / "payloads/standard-webhooks/signatures.json").read_text())
    for vector in published["vectors"]:
        now = datetime.fromtimestamp(vector["now"], UTC)
        webhook = Webhook("POST", "/", Headers(vector["headers"]), vector["body"].encode(), now)
        try:
            StandardWebhooks.with_settings().verify(webhook, [vector["secret"].encode()])
            verified = True
        except NotVerified:
            verified = False
        assert verified == vector["valid"], vector["name"]


def test_the_example_of_the_specification_reads(shared):
    body = (shared / "payloads/standard-webhooks/example_full.json").read_bytes()
    webhook = contract.webhook(body, {"webhook-id": "evt_1"})
    [event] = contract.connector.parse(webhook)
    assert (event.id, event.type) == ("evt_1", "contact.created")
    assert event.at == datetime(2022, 11, 3, 20, 26, 10, 344522, UTC)


def test_a_review_reads_whole():
    body = b'{"type": "review.published", "timestamp": "2026-11-20T14:05:44+01:00", "data": {"stars": 4.5}}'
    webhook = contract.webhook(body, {"webhook-id": "evt_77", "X-Other": "dropped"})
    assert contract.connector.parse(webhook) == [
        SourceEvent(
            id="evt_77",
            type="review.published",
            at=datetime(2026, 11, 20, 13, 5, 44, tzinfo=UTC),
            payload={
                "type": "review.published",
                "timestamp": "2026-11-20T14:05:44+01:00",
                "data": {"stars": "4.5"},
            },
        )
    ]


@pytest.mark.parametrize("timestamp", ["yesterday", "2026-11-20T10:00:00", 7, None])
def test_an_unreadable_time_is_the_time_of_arrival(timestamp):
    body = json.dumps({"type": "a.b", "timestamp": timestamp, "data": {}}).encode()
    [event] = contract.connector.parse(contract.webhook(body, {"webhook-id": "evt_1"}))
    assert event.at == contract.now


def test_svix_header_names_are_understood():
    webhook = contract.signed()
    renamed = {name.replace("webhook-", "svix-"): value for name, value in webhook.headers.items()}
    renamed_webhook = contract.webhook(webhook.body, renamed)
    contract.connector.verify(renamed_webhook, [SECRET])
    assert contract.connector.delivery_id(renamed_webhook) == webhook.headers["webhook-id"]
    assert contract.connector.parse(contract.stored(renamed_webhook)) == contract.connector.parse(webhook)


@pytest.mark.parametrize("message_id", ["evt_1.2", "evt_\udcff", "evt_ü"])
def test_an_id_that_could_be_read_two_ways_is_refused(message_id):
    webhook = contract.webhook(b"{}", contract.signed().headers)
    refusal = contract.refuses(contract.with_header(webhook, "webhook-id", message_id), message_id)
    assert refusal.reason == "malformed_signature"


def test_the_id_and_the_time_of_one_signed_text_cannot_be_shifted():
    """`a` + `1.2.x` and `a.1` + `2.x` give one signed text; only the first may pass."""
    stamp = str(int(contract.now.timestamp()))
    webhook = contract.webhook(stamp.encode() + b".x", {"webhook-id": "a", "webhook-timestamp": stamp})
    message = f"a.{stamp}.{stamp}.x".encode()
    signed = contract.with_header(webhook, "webhook-signature", signatures(message, [SECRET]))
    contract.connector.verify(signed, [SECRET])
    shifted = contract.with_header(contract.webhook(b"x", signed.headers), "webhook-id", f"a.{stamp}")
    contract.refuses(shifted, "the id took a part of the body")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "https://example.com"}, "set both url and signing_secrets"),
        ({"signing_secrets": [SECRET.decode()]}, "set both url and signing_secrets"),
        ({"url": "ftp://example.com", "signing_secrets": [SECRET.decode()]}, "must begin with https://"),
        ({"url": "https://example.com", "signing_secrets": ["not base64!"]}, "`whsec_` and base64"),
        ({"url": "https://example.com", "signing_secrets": [""]}, "`whsec_` and base64"),
    ],
)
def test_wrong_settings_are_refused_with_the_reason(settings, said):
    with pytest.raises(ValidationError, match=said):
        StandardWebhooks.with_settings(**settings)


def test_what_we_send_is_what_we_would_accept():
    with stub_platform([Reply(204, body=b"")]) as platform:
        perform(platform)
        [call] = platform.calls
    received = contract.webhook(call.body, call.headers)
    contract.connector.verify(received, [SECRET])
    [event] = contract.connector.parse(received)
    assert event.payload == {"type": "points.changed", "data": {"member": "brew-20417", "balance": 120}}


def perform(platform, *, now=contract.now, secrets=(SECRET,), **settings):
    settings = {"url": f"{platform.url}/hooks", "signing_secrets": [s.decode() for s in secrets], **settings}
    with contract.lend(platform) as client:
        client.now = now
        return StandardWebhooks.with_settings(**settings).perform("send", POINTS, client)


def test_every_try_has_the_same_id_and_a_time_of_its_own():
    with stub_platform([Reply()]) as platform:
        perform(platform)
        perform(platform, now=contract.now + timedelta(hours=5))
        first, second = platform.calls
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 5 * 3600
    later = Webhook("POST", "/", second.headers, second.body, contract.now + timedelta(hours=5))
    contract.connector.verify(later, [SECRET])


def test_while_secrets_rotate_the_receiver_may_know_either():
    with stub_platform([Reply()]) as platform:
        perform(platform, secrets=(OTHER, SECRET))
        [call] = platform.calls
    received = contract.webhook(call.body, call.headers)
    for secret in (SECRET, OTHER):
        contract.connector.verify(received, [secret])


@pytest.mark.parametrize(
    ("status", "outcome", "said"),
    [
        (410, Rejected, "the endpoint is gone (HTTP 410): correct its url or switch this connection off"),
        (302, Rejected, "HTTP 302: {}"),
        (404, Rejected, "HTTP 404: {}"),
        (502, TryLater, "HTTP 502: {}"),
    ],
)
def test_an_answer_that_is_no_success(status, outcome, said):
    with stub_platform([Reply(status, {"Location": "https://example.org"})]) as platform:
        with pytest.raises(outcome) as caught:
            perform(platform)
        assert len(platform.calls) == 1, "a redirect was followed"
    assert caught.value.reason == said


def test_without_an_address_nothing_is_sent():
    with pytest.raises(Rejected, match="set url and signing_secrets"):
        StandardWebhooks.with_settings().perform("send", POINTS, contract.make_client(""))


@pytest.mark.parametrize("status", [200, 405, 301])
def test_probe_tells_that_the_endpoint_is_there(status):
    with stub_platform([Reply(status)]) as platform, contract.lend(platform) as client:
        said = contract.connector_at(platform.url).probe(client)
        assert [call.method for call in platform.calls] == ["HEAD"]
    assert said == f"{platform.url}/hooks answers (HTTP {status})"


def test_a_connection_that_only_receives_says_so():
    assert StandardWebhooks.with_settings().probe(contract.make_client("")) == "receives webhooks; sends none"


def test_samples_are_under_the_size_the_specification_asks_for():
    for sample in contract.all_samples():
        assert len(sample.body) < 20_000
        assert msgspec.json.decode(sample.body)["type"] == sample.type


MAPPING = load(Path(__file__).parents[3] / "mappings/standard_webhooks.yaml", StandardWebhooks)
MARA = MemberRef(id="brew-20417", email="mara.lindqvist@example.com")


def at(hour, minute, second=0, millisecond=0) -> datetime:
    return datetime(2026, 11, 20, hour, minute, second, millisecond * 1000, UTC)


CANONICAL: dict[str, Event] = {
    "purchase.paid": PurchasePaid(
        fact="till:order/BL-2026-88213",
        occurred_at=at(10, 14, 31),
        member=MemberRef(id=MARA.id, email=MARA.email, email_verified=True, name="Mara Lindqvist"),
        order=Order(
            id="BL-2026-88213",
            number="88213",
            channel="till",
            currency="EUR",
            net_minor=3350,
            gross_minor=4060,
            lines=[
                Line(id="1", sku="YIRG-500", product="Yirgacheffe, 500 g", category="beans", net_minor=1850),
                Line(id="2", sku="DRIP-V2", product="Ceramic dripper", category="equipment", net_minor=1500),
            ],
        ),
    ),
    "purchase.refunded": PurchaseRefunded(
        fact="till:refund/RF-5501",
        of="till:order/BL-2026-88213",
        occurred_at=at(16, 2, 9),
        refund=Refund(id="RF-5501", currency="EUR", gross_minor=1818, net_minor=1500),
    ),
    "purchase.cancelled": PurchaseCancelled(
        fact="till:cancelled/BL-2026-88213",
        of="till:order/BL-2026-88213",
        occurred_at=at(16, 40),
        reason="parcel came back",
    ),
    "member.created": MemberCreated(
        fact="till:member/brew-20418",
        occurred_at=at(9, 0),
        member=MemberRef(
            id="brew-20418",
            email="tomas.reyes@example.org",
            phone="+34600555010",
            name="Tomás Reyes",
            locale="es-ES",
        ),
        attributes={"favourite_roast": "light", "shop": "Valencia"},
    ),
    "member.erased": MemberErased(
        fact="till:erased/brew-20418",
        occurred_at=at(12, 30),
        member=MemberRef(id="brew-20418"),
        request="GDPR-2026-031",
    ),
    "redemption.requested": RedemptionRequested(
        fact="till:redemption/rdm-3307",
        occurred_at=at(15, 20, 9, 870),
        member=MARA,
        redemption=Wish(reward="coffee", channel="app", order="till:order/BL-2026-88213"),
    ),
    "review.published": CustomEvent(
        fact="till:review/rev-902",
        occurred_at=at(13, 5, 44, 120),
        member=MARA,
        data={"id": "rev-902", "product": "YIRG-500", "stars": 5, "words": 84},
    ),
}


@pytest.mark.parametrize("event_type", CANONICAL)
def test_the_shipped_mapping_understands_the_sample(event_type):
    [event] = contract.connector.parse(contract.signed(event_type))
    [canonical] = MAPPING.apply(event, connection="till")
    assert canonical.name == StandardWebhooks.events[event_type]
    assert msgspec.to_builtins(canonical) == msgspec.to_builtins(CANONICAL[event_type])


def test_every_declared_event_has_its_canonical_event_above():
    assert CANONICAL.keys() == StandardWebhooks.events.keys()


def test_a_changed_balance_is_sent():
    [rule] = MAPPING.outbound("points.changed")
    member = {"id": "m-1", "id_here": "brew-20417", "ids": {}, "email": "mara.lindqvist@example.com"}
    member |= {"phone": "", "name": "", "balance": 120, "pending": 15, "tier": "gold"}
    variables = {"member": member, "points": 20, "posting": {"id": "p-1", "kind": "earn", "key": "k"}}
    params = rule.params({**variables, "event": {}, "connection": {"name": "till"}})
    assert rule.action == "send"
    assert msgspec.convert(params, Send) == Send(
        type="points.changed",
        data={
            "member": "brew-20417",
            "email": "mara.lindqvist@example.com",
            "balance": 120,
            "pending": 15,
            "tier": "gold",
            "points": 20,
            "posting": "p-1",
            "kind": "earn",
        },
    )


def test_the_secrets_we_sign_with_are_struck_out_of_what_support_sees():
    assert contract.connector.redactions() == [SECRET.decode()]
