"""Each check of the contract suite fails for a connector with the matching fault, and for a sound one none does."""

from __future__ import annotations

import inspect
import itertools
import logging
from datetime import date, datetime
from hashlib import sha256
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from hub.sdk import (
    Action,
    Client,
    Connector,
    Malformed,
    NotVerified,
    Params,
    Receipt,
    Rejected,
    Settings,
    SourceEvent,
    TryLater,
    Webhook,
)
from hub.sdk.signatures import check_hmac, check_secret, check_timestamp, hmac_digest
from hub.sdk.testing import KEY, ConnectorContract, OutboundCase, Reply
from hub.sdk.times import read_time


class AcmeSettings(Settings):
    access_token: SecretStr
    api_base: str = "https://api.example.com"


class Update(Params, frozen=True):
    customer: str
    points: int


def update(acme: Acme, params: Update, client: Client) -> Receipt:
    token = acme.settings.access_token.get_secret_value()
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": client.idempotency_key}
    client.request("GET", f"/customers/{params.customer}", headers=headers)
    client.request("PUT", f"/customers/{params.customer}", json={"points": params.points}, headers=headers)
    return Receipt(remote_id=params.customer)


UPDATE = Action(
    summary="Set the points.", params=Update, idempotent="absolute", run=update, target="customer"
)


class Acme(Connector):
    """A sound connector: signs URL, time and body; several events in one webhook."""

    name = "acme"
    label = "Acme"
    docs_url = "https://example.com/docs"
    api_version = "2026-10"
    verified_on = date(2026, 11, 20)
    Settings = AcmeSettings
    events = {"order.paid": "purchase.paid", "member.joined": "member.created"}
    actions = {"update": UPDATE}
    keep_headers = ("X-Acme-Shop",)

    def signed_text(self, webhook: Webhook) -> bytes:
        return f"{webhook.url}.{webhook.headers.get('X-Acme-Time', '')}.".encode() + webhook.body

    def verify(self, webhook, secrets):
        if not webhook.headers.get("X-Acme-Time", "0").isascii():
            raise NotVerified("malformed_timestamp")
        check_hmac(self.signed_text(webhook), webhook.headers.get("X-Acme-Signature"), secrets)
        check_timestamp(webhook.headers.get("X-Acme-Time"), webhook.received_at)

    def sign(self, webhook, secret):
        time = str(int(webhook.received_at.timestamp()))
        signed_text = f"{webhook.url}.{time}.".encode() + webhook.body
        return {"X-Acme-Time": time, "X-Acme-Signature": hmac_digest(secret, signed_text).hex()}

    def delivery_id(self, webhook):
        return sha256(webhook.body).hexdigest()

    def sample_headers(self, event_type):
        return {"Content-Type": "application/json", "X-Acme-Shop": "brewline"}

    def parse(self, webhook):
        body = webhook.json()
        if not isinstance(body, dict) or not isinstance(body.get("events"), list):
            raise Malformed
        return [self.event(item, webhook) for item in body["events"]]

    def event(self, item: Any, webhook: Webhook) -> SourceEvent:
        shop = webhook.headers.get("X-Acme-Shop", "")
        match item:
            case {"id": str(id), "kind": str(kind)} if id:
                at = read_time(item.get("at"), webhook.received_at)
                return SourceEvent(id=id, type=kind, at=at, account=shop, payload=item)
        return SourceEvent(
            id=sha256(repr(item).encode()).hexdigest(),
            type="malformed",
            at=webhook.received_at,
            account=shop,
            payload={"item": item},
        )


class TestSoundConnector(ConnectorContract):
    connector = Acme.with_settings(access_token="token-of-the-test")
    secret = b"signing-secret-of-the-test"
    items = "events"
    no_signed_url = ""
    outbound = [
        OutboundCase("update", Update(customer="7", points=120), [Reply(), Reply()], "7", "Idempotency-Key")
    ]


class SharedSecret(Acme):
    """A sound connector of a platform that cannot sign: it sends the secret along."""

    def verify(self, webhook, secrets):
        check_secret(webhook.headers.get("X-Acme-Token"), secrets)

    def sign(self, webhook, secret):
        return {"X-Acme-Token": secret.decode()}


class TestSoundSharedSecret(TestSoundConnector):
    connector = SharedSecret.with_settings(access_token="token-of-the-test")
    no_timestamp = "Acme sends no time"
    no_signed_body = "Acme sends a secret along and signs nothing"
    no_signed_url = "Acme sends a secret along and signs nothing"


class Desk(Acme):
    """A sound connector of a platform that can do no more than send the secret along, in the address."""

    def address(self, url, secret):
        return f"{url}?secret={secret.decode()}"

    def sign(self, webhook, secret):
        return {}

    def verify(self, webhook, secrets):
        check_secret(webhook.url.partition("?secret=")[2], secrets)


class TestSecretInTheAddress(TestSoundConnector):
    connector = Desk.with_settings(access_token="token-of-the-test")
    no_timestamp = no_signed_body = no_signed_headers = "the platform sends a secret and signs nothing"
    no_signed_url = "the secret is in it"


# Faults. Each is the sound connector with one thing wrong, under the check that must find it.


def checks(text_of, **options):
    """Return a verify over another text than the sender signed: what a careless author writes."""

    def verify(self, webhook, secrets):
        check_hmac(text_of(self, webhook), webhook.headers.get("X-Acme-Signature"), secrets)
        check_timestamp(webhook.headers.get("X-Acme-Time"), webhook.received_at, **options)

    return verify


def runs(run):
    return {"actions": {"update": Action(summary="x", params=Update, idempotent="x", run=run)}}


def first_of_several(self, webhook, secrets):
    for name in ("X-Acme-Signature", "X-Acme-Time"):
        webhook = TestSoundConnector().with_header(
            webhook, name, webhook.headers.get(name, "").split(", ")[0]
        )
    Acme.verify(self, webhook, secrets)


def unguarded_hex(self, webhook, secrets):
    bytes.fromhex(webhook.headers.get("X-Acme-Signature", ""))
    Acme.verify(self, webhook, secrets)


def unguarded_number(self, webhook, secrets):
    int(webhook.headers.get("X-Acme-Time", "0"))
    Acme.verify(self, webhook, secrets)


def any_secret_will_do(self, webhook, secrets):
    Acme.verify(self, webhook, [*secrets, TestSoundConnector.other_secret])


def no_secret_will_do(self, webhook, secrets):
    if any(secrets):
        Acme.verify(self, webhook, secrets)


def newest_secret_only(self, webhook, secrets):
    Acme.verify(self, webhook, secrets[:1])


def path_only(self, webhook, secrets):
    url = webhook.url.partition("?")[0]
    Acme.verify(self, Webhook("POST", url, webhook.headers, webhook.body, webhook.received_at), secrets)


def logs_the_secret(self, webhook, secrets):
    logging.getLogger("acme").info("checking with %s", secrets)
    Acme.verify(self, webhook, secrets)


def refuses_all(self, webhook, secrets):
    raise NotVerified("bad_signature")


def renamed(self, webhook):
    return [SourceEvent(id=e.id, type="event", at=e.at) for e in Acme.parse(self, webhook)]


def by_content_type(self, webhook):
    shop = webhook.headers.get("Content-Type", "")
    return [SourceEvent(id=e.id, type=e.type, at=e.at, account=shop) for e in Acme.parse(self, webhook)]


def without_zone(self, webhook):
    return [
        SourceEvent(id=e.id, type=e.type, at=e.at.replace(tzinfo=None)) for e in Acme.parse(self, webhook)
    ]


def numbered(self, webhook):
    self.seen = getattr(self, "seen", 0) + 1
    return [SourceEvent(id=f"{e.id}/{self.seen}", type=e.type, at=e.at) for e in Acme.parse(self, webhook)]


def one_id_for_all(self, webhook):
    return [SourceEvent(id="one", type=e.type, at=e.at) for e in Acme.parse(self, webhook)]


def id_from_the_time(self, webhook):
    stamp = webhook.received_at.isoformat()
    return [SourceEvent(id=e.id + stamp, type=e.type, at=e.at) for e in Acme.parse(self, webhook)]


def known_types_only(self, webhook):
    events = Acme.parse(self, webhook)
    if not {e.type for e in events} <= {*self.events, "malformed"}:
        raise Malformed
    return events


def all_or_nothing(self, webhook):
    events = Acme.parse(self, webhook)
    if "malformed" in {e.type for e in events}:
        raise Malformed
    return events


def good_ones_only(self, webhook):
    return [e for e in Acme.parse(self, webhook) if e.type != "malformed"]


def trusting(self, webhook):
    return [
        SourceEvent(id=item["id"], type=item["kind"], at=datetime.fromisoformat(item["at"]))
        for item in webhook.json()["events"]
    ]


def trusting_the_time(self, webhook):
    good = [event.payload for event in Acme.parse(self, webhook) if event.type != "malformed"]
    return [SourceEvent(id=i["id"], type=i["kind"], at=datetime.fromisoformat(i["at"])) for i in good]


def once_more(acme, params, client):
    update(acme, params, client)
    return update(acme, params, client)


def without_retry_after(acme, params, client):
    try:
        return update(acme, params, client)
    except TryLater as error:
        raise TryLater(error.reason, uncertain=error.uncertain) from error


def always_later(acme, params, client):
    try:
        return update(acme, params, client)
    except Rejected as error:
        raise TryLater(error.reason) from error


def never_again(acme, params, client):
    try:
        return update(acme, params, client)
    except TryLater as error:
        if "HTTP 5" in error.reason:
            raise Rejected(error.reason) from error
        raise


def swallowing(acme, params, client):
    try:
        return update(acme, params, client)
    except TryLater:
        return Receipt()


def telling_the_token(acme, params, client):
    try:
        return update(acme, params, client)
    except Rejected as error:
        raise Rejected(f"{error.reason} with {acme.settings.access_token.get_secret_value()}") from error


def certain(acme, params, client):
    try:
        return update(acme, params, client)
    except TryLater as error:
        raise TryLater(error.reason, error.retry_after_s) from error


def sends(**fields):
    """Return an action whose key or body is made anew for each call by the given functions."""

    def run(acme, params, client):
        key = fields.get("key", lambda client: client.idempotency_key)(client)
        body = fields.get("body", lambda client: {"points": params.points})(client)
        for method in ("GET", "PUT"):
            client.request(method, "/customers/7", json=body, headers={"Idempotency-Key": key} if key else {})
        return Receipt(remote_id="7")

    return run


class OpenSettings(Settings):
    access_token: str = "token-of-the-test"


FAULTS: dict[str, list[dict[str, Any]]] = {
    "test_facts_are_complete": [
        {"label": " "},
        {"docs_url": "http://example.com"},
        {"api_version": ""},
        {"verified_on": "2026-11-20"},
        {"name": "Acme Inc."},
        {"events": {"order.paid": "Purchase Paid"}},
    ],
    "test_every_action_names_its_parameters_and_why_a_repeat_is_harmless": [
        {"actions": {"update": Action(summary="", params=Update, idempotent="x", run=update)}},
        {"actions": {"update": Action(summary="x", params=Update, idempotent="", run=update)}},
        {"actions": {"update": Action(summary="x", params=dict, idempotent="x", run=update)}},
        {"actions": {"update": Action(summary="x", params=Update, idempotent="x", run=update, target="y")}},
    ],
    "test_secret_looking_settings_are_secret": [{"Settings": OpenSettings}],
    "test_declared_events_are_the_sampled_events": [
        {"events": {}},
        {"events": {**Acme.events, "order.refunded": "purchase.refunded"}},
        {"events": {"order.paid": "purchase.paid"}},
    ],
    "test_a_signed_sample_is_verified": [{"verify": refuses_all}],
    "test_one_changed_byte_of_the_body_is_refused": [
        {"verify": lambda *_: None},
        {"verify": checks(lambda _, w: w.body[:-1]), "sign_text": lambda w: w.body[:-1]},
    ],
    "test_a_body_of_another_length_is_refused": [
        {"verify": checks(lambda _, w: w.body.rstrip()), "sign_text": lambda w: w.body.rstrip()},
    ],
    "test_one_changed_character_of_a_signed_header_is_refused": [
        {"verify": checks(lambda _, w: w.body), "sign_text": lambda w: w.body},
        {"sign": lambda *_: {}},
    ],
    "test_a_signed_header_that_is_not_there_exactly_once_is_refused": [{"verify": first_of_several}],
    "test_a_hostile_signed_header_is_refused": [{"verify": unguarded_hex}, {"verify": unguarded_number}],
    "test_another_secret_is_refused": [{"verify": any_secret_will_do}],
    "test_without_a_secret_nothing_is_verified": [{"verify": no_secret_will_do}],
    "test_while_a_secret_rotates_the_old_and_the_new_one_are_good": [{"verify": newest_secret_only}],
    "test_a_stale_webhook_is_refused": [
        {"verify": checks(Acme.signed_text, tolerance_s=86_400)},
        {"verify": checks(Acme.signed_text, tolerance_s=299)},
    ],
    "test_a_webhook_from_the_future_is_refused": [{"verify": checks(Acme.signed_text, allow_future=True)}],
    "test_a_webhook_to_another_address_is_refused": [{"verify": path_only}],
    "test_sixty_four_threads_get_the_same_result": [{"parse": numbered}],
    "test_a_sample_reads_as_its_type": [
        {"parse": renamed},
        {"parse": by_content_type},
        {"parse": without_zone},
        {"parse": lambda *_: []},
    ],
    "test_ids_are_the_same_when_a_webhook_comes_again": [
        {"parse": numbered},
        {"parse": one_id_for_all},
        {"parse": id_from_the_time},
        {"delivery_id": lambda _, w: w.headers.get("X-Acme-Time")},
        {"delivery_id": lambda *_: 7},
    ],
    "test_an_unknown_type_is_an_event_all_the_same": [{"parse": known_types_only}],
    "test_one_bad_item_spoils_no_other": [{"parse": all_or_nothing}, {"parse": good_ones_only}],
    "test_a_foreign_body_is_malformed_or_an_event": [
        {"parse": trusting},
        {"delivery_id": lambda _, w: w.json()["id"]},
        {"answer": lambda _, w: w.json() and None},
    ],
    "test_a_field_of_the_wrong_kind_is_malformed_or_an_event": [{"parse": trusting_the_time}],
    "test_no_secret_is_shown": [
        {"verify": logs_the_secret},
        {"__repr__": lambda self: f"Acme({self.settings.access_token.get_secret_value()})"},
    ],
    "test_every_action_has_an_outbound_case": [{"actions": {"update": UPDATE, "erase": UPDATE}}],
    "test_an_accepted_action_gives_a_receipt": [
        runs(lambda *_: None),
        runs(lambda *_: Receipt("8")),
        runs(once_more),
    ],
    "test_a_throttled_action_waits_as_long_as_asked": [runs(without_retry_after), runs(swallowing)],
    "test_an_unauthorised_action_is_rejected": [runs(always_later), runs(telling_the_token)],
    "test_an_action_is_tried_again_when_the_platform_is_down": [runs(never_again), runs(swallowing)],
    "test_a_time_out_after_sending_is_uncertain": [runs(certain)],
    "test_a_repeated_action_writes_the_same_again": [
        runs(sends(body=lambda _: {"points": str(uuid4())})),
        runs(sends(key=lambda _: str(uuid4()))),
        runs(sends(key=lambda _: "")),
    ],
    "test_another_delivery_has_another_key": [runs(sends(key=lambda _: KEY))],
}


def faulty(fault: dict[str, Any]) -> TestSoundConnector:
    """Return the contract over the sound connector with one fault; `sign_text`: what the sender signs."""
    members = dict(fault)
    if text := members.pop("sign_text", None):
        stamp = {"X-Acme-Time": str(int(TestSoundConnector.now.timestamp()))}
        members["sign"] = lambda _, w, secret: {
            **stamp,
            "X-Acme-Signature": hmac_digest(secret, text(w)).hex(),
        }
    connector = type("Faulty", (Acme,), {"__module__": __name__, **members})
    settings = {} if "Settings" in fault else {"access_token": "token-of-the-test"}
    contract = type("Contract", (TestSoundConnector,), {"connector": connector.with_settings(**settings)})
    return contract()


def run(contract: ConnectorContract, check: str, caplog) -> None:
    """Run a check with every combination of its arguments, as pytest would."""
    method = getattr(contract, check)
    tables = {"sample": contract.all_samples(), "case": contract.outbound, "caplog": [caplog]}
    for mark in getattr(method, "pytestmark", []):
        tables[mark.args[0]] = list(mark.args[1])
    for values in itertools.product(*(tables[name] for name in inspect.signature(method).parameters)):
        method(*values)


@pytest.mark.parametrize(
    ("check", "fault"),
    [
        pytest.param(check, fault, id=f"{check}-{n}")
        for check, row in FAULTS.items()
        for n, fault in enumerate(row)
    ],
)
def test_the_check_finds_the_fault(check, fault, caplog):
    contract = faulty(fault)
    with pytest.raises((AssertionError, pytest.fail.Exception, NotVerified)):
        run(contract, check, caplog)


def test_every_check_has_a_fault_it_finds():
    assert set(FAULTS) == {name for name in dir(ConnectorContract) if name.startswith("test_")}


def test_the_suite_skips_what_a_platform_does_not_do():
    contract = TestSoundConnector()
    contract.no_timestamp = "Acme signs no time"
    for check in (
        contract.test_a_stale_webhook_is_refused,
        contract.test_a_webhook_from_the_future_is_refused,
    ):
        with pytest.raises(pytest.skip.Exception, match="Acme signs no time"):
            check()


def test_samples_and_cases_become_tests_of_their_own():
    made = {}
    metafunc = SimpleNamespace(
        fixturenames=["sample", "case"], parametrize=lambda name, _, ids: made.__setitem__(name, ids)
    )
    TestSoundConnector().pytest_generate_tests(metafunc)
    assert made == {"sample": ["member.joined", "order.paid"], "case": ["update"]}
