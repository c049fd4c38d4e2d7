"""Typeform: what it sends, what we read of it, how its webhooks are made and its responses listed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from connectors.typeform import SIGNATURE, Typeform
from hub.sdk import Headers, Malformed, NotVerified, Rejected, SourceEvent, TryLater, Webhook
from hub.sdk.samples import Sample, samples_of
from hub.sdk.testing import ConnectorContract, Reply
from hub.storage.tables import balance, event, posting
from tests.helpers import make_hub

NOW = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
URL = "https://points.example.com/webhooks/surveys"
SECRET = b"signing-secret-of-the-test"
SETTINGS = {"access_token": "tfp_of_the_test", "forms": ["D4e5F6"], "webhook_secret": SECRET.decode()}
FORMS = Typeform.with_settings(**SETTINGS)


def reply(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, headers or {}, json.dumps(body).encode())


class TestContract(ConnectorContract):
    connector = FORMS
    secret = SECRET
    url = URL
    no_timestamp = "Typeform signs no time; the response's token guards against replay"

    def unknown(self) -> Sample:
        sample, word = self.smallest(), "brewline.unheard_of"
        body = sample.body.replace(b'"event_type": "form_response"', f'"event_type": "{word}"'.encode())
        return Sample(word, "", body, sample.headers)


CONTRACT = TestContract()


def run(replies, work, **settings):
    """Return what `work(connector, client)` gave or raised, and the calls."""
    outcome, calls = CONTRACT.attempt(replies, work, **settings)
    assert {call.headers["authorization"] for call in calls} <= {"Bearer tfp_of_the_test"}
    return outcome, calls


def webhook(body: bytes | dict, headers: dict[str, str] | None = None) -> Webhook:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Webhook("POST", URL, Headers(headers or {}), raw, NOW)


def sample(variant: str = "") -> dict:
    (found,) = [s for s in samples_of(FORMS) if s.variant == variant]
    return json.loads(found.body)


def read_out(variant: str = "", **form_response) -> dict:
    """Return what is read out of a sample with parts of its response replaced."""
    body = sample(variant)
    body["form_response"] |= form_response
    payload = FORMS.parse(webhook(body))[0].payload
    return {name: value for name, value in payload.items() if name not in body}


# Verification.


def test_every_vector_gets_its_verdict(shared):
    folder = shared / "payloads/typeform"
    for vector in json.loads((folder / "signatures.json").read_text())["vectors"]:
        request = webhook((folder / vector["body_file"]).read_bytes(), vector["headers"])
        try:
            FORMS.verify(request, [vector["secret"].encode()])
            verdict = True
        except NotVerified:
            verdict = False
        assert verdict == vector["valid"], vector["name"]


@pytest.mark.parametrize(
    ("header", "reason"),
    [("", "missing_signature"), ("sha1=AAAA", "malformed_signature"), ("sha256=AAAA", "bad_signature")],
)
def test_a_request_without_our_signature_is_refused(header, reason):
    with pytest.raises(NotVerified, match=reason):
        FORMS.verify(webhook(b"{}", {SIGNATURE: header}), [SECRET])


# Reading.


def test_a_response_reads_whole():
    body = sample()
    assert FORMS.parse(webhook(body)) == [
        SourceEvent(
            id="01JDBREWSURVEY0001",
            type="form_response",
            at=datetime(2026, 11, 20, 9, 12, 30, tzinfo=UTC),
            account="D4e5F6",
            payload={
                **body,
                "answers": {
                    "nps_score": 9,
                    "tasted": ["Yirgacheffe", "Sidamo", "Ca phê"],
                    "favourite": "Yirgacheffe",
                    "email": "ida@example.com",
                },
                "email": "ida@example.com",
                "score": 9,
            },
        )
    ]


def test_answers_without_a_reference_go_by_the_definition_or_by_their_id():
    assert read_out("old") == {
        "answers": {"Q9aaaaaaaaaa": False, "nps_score": 7, "phone": "+4530123456"},  # no file
        "phone": "+4530123456",
        "score": 4,
    }


@pytest.mark.parametrize(
    ("parts", "score"),
    [
        ({"calculated": None}, None),
        ({"calculated": {}}, None),
        ({"calculated": {"score": 0}}, 0),
        ({"calculated": {"score": None}, "variables": [{"key": "score", "type": "number", "number": 3}]}, 3),
        ({"calculated": {"score": True}}, None),
        ({"calculated": {"score": 4.5}}, None),
        ({"calculated": None, "variables": [{"key": "score", "type": "text", "text": "3"}, 7]}, None),
    ],
)
def test_the_score_is_where_the_form_has_it(parts, score):
    assert read_out(**parts).get("score") == score


def answer(ref: str, kind: str, value: object) -> dict:
    return {"type": kind, kind: value, "field": {"id": f"id-{ref}", "ref": ref, "type": "x"}}


def test_each_kind_of_answer_has_its_value():
    given = [
        answer("name", "text", "Ida"),
        answer("day", "date", "2026-11-20"),
        answer("site", "url", "https://ida.example"),
        answer("agreed", "boolean", True),
        answer("cups", "number", 2.5),
        answer("other", "choice", {"other": "Chemex"}),
        answer("paid", "payment", {"amount": "12.90", "last4": "4242", "success": True}),
        answer("file", "file_url", "https://api.typeform.com/x"),
        answer("film", "multi_format", {"video_url": "https://x"}),
        answer("none", "choice", {}),
        answer("name", "text", "again"),  # the first counts
        {"type": "text", "text": "nowhere"},
        "no answer",
    ]
    assert read_out(answers=given)["answers"] == {
        "name": "Ida",
        "day": "2026-11-20",
        "site": "https://ida.example",
        "agreed": True,
        "cups": "2.5",
        "other": "Chemex",
        "paid": "12.90",
    }


def test_the_first_address_typed_counts():
    given = [answer("a", "email", "ida@example.com"), answer("b", "email", "max@example.org")]
    assert read_out(answers=given)["email"] == "ida@example.com"


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"",
        {"event_type": "form_response"},
        {"event_id": "1"},
        {"event_id": "1", "event_type": "form_response", "form_response": {"form_id": "a"}},
        {"event_id": "1", "event_type": "form_response"},
    ],
)
def test_what_is_no_response_is_malformed(body):
    with pytest.raises(Malformed):
        FORMS.parse(webhook(body))


PROGRAM = """
version: 1
program: {id: brewline, timezone: Europe/Berlin, currency: EUR, unit: {one: bean, other: beans}}
identity: {match: [external_id, verified_email, verified_phone], enrol: automatic}
wallets:
  beans: {expiry: never}
earning:
  - {id: survey, trigger: survey.submitted, if: "survey.id == 'D4e5F6'", points: 40, credit: [beans]}
"""
CONNECTIONS = """\
  surveys:
    connector: typeform
    secrets: [signing-secret-of-the-test]
  shop:
    connector: standard_webhooks
    outbound: false
    secrets: [whsec_c2VjcmV0LW9mLXRoZS10ZXN0LW9mLXRoZS1zaG9w]
"""


def test_the_same_response_twice_earns_once(tmp_path):  # C29
    bench = make_hub(tmp_path, f"sqlite:///{tmp_path}/points.db", CONNECTIONS, program=PROGRAM)
    try:
        # Nobody has proved to own what was typed: the bonus waits.
        bench.play("surveys", "form_response")
        assert account(bench) == (0, [])
        with bench.hub.database.read() as tx:
            assert tx.scalar(sa.select(event.c.state)) == "unassigned"

        ida = {"data.member.email": "ida@example.com", "data.member.email_verified": True}
        bench.play("shop", "member.created", ida)
        assert account(bench) == (1, [40])
        bench.play("surveys", "form_response")
        bench.play("surveys", "form_response", {"event_id": "another delivery of the same response"})
        assert account(bench) == (1, [40])
        half = {"event_id": "half", "event_type": "form_response_partial", "form_response.token": "other"}
        bench.play("surveys", "form_response", half)
        assert account(bench) == (1, [40])
        bench.play("surveys", "form_response", {"event_id": "2", "form_response.token": "another response"})
        assert account(bench) == (2, [80])
    finally:
        bench.hub.close()


def test_a_hidden_field_proves_nothing(tmp_path):  # C29
    bench = make_hub(tmp_path, f"sqlite:///{tmp_path}/points.db", CONNECTIONS, program=PROGRAM)
    try:
        shop = {"data.member.email": "ida@example.com", "data.member.email_verified": True}
        bench.play("shop", "member.created", shop)
        forged = {
            "form_response.hidden.email": "ida@example.com",
            "form_response.hidden.user_id": "brew-20418",
        }
        bench.play("surveys", "form_response", forged, variant="hidden")
        assert account(bench) == (1, [40])  # for her whose address it is, as if somebody had typed it
        with bench.hub.database.read() as tx:
            found = tx.execute(sa.text("SELECT source, value FROM identity ORDER BY source")).all()
        assert [tuple(row) for row in found] == [("email", "ida@example.com"), ("shop", "brew-20418")]
    finally:
        bench.hub.close()


def account(bench) -> tuple[int, list[int]]:
    """Return how many postings there are, and the active points."""
    with bench.hub.database.read() as connection:
        counted = connection.scalar(sa.select(sa.func.count()).select_from(posting))
        return counted, list(connection.scalars(sa.select(balance.c.active)))


# Listing.


def item(token: str, at: str) -> dict:
    return {"token": token, "response_id": token, "submitted_at": at, "answers": [], "hidden": {}}


def test_a_listing_tells_responses_as_their_webhooks_do():
    first = [item(f"t{n}", "2026-11-20T12:00:00Z") for n in range(1000)]
    replies = [
        reply({"items": first}),
        reply({"items": [item("late", "2026-11-21T00:00:00Z"), item("t1000", "2026-11-20T11:00:00Z")]}),
        reply({"items": []}),
    ]
    since, until = datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC)
    bodies, calls = run(
        replies, lambda forms, client: list(forms.listing(since, until, client)), forms=["D4e5F6", "a/b"]
    )
    events = [FORMS.parse(webhook(body))[0] for body in bodies]
    assert len(events) == 1001  # 1000 and one; the one of the next day is its own day's
    assert (events[-1].account, events[-1].payload["form_response"]["token"]) == ("D4e5F6", "t1000")
    assert parse_qs(urlsplit(calls[0].path).query) == {
        "since": ["2026-11-20T00:00:00"],
        "until": ["2026-11-21T00:00:00"],
        "completed": ["true"],
        "page_size": ["1000"],
    }
    assert parse_qs(urlsplit(calls[1].path).query)["before"] == ["t999"]
    assert urlsplit(calls[2].path).path == "/forms/a%2Fb/responses"


def test_a_list_that_repeats_itself_comes_to_an_end():
    page = reply({"items": [item("t", "2026-11-20T12:00:00Z")] * 1000})
    _, calls = run([page], lambda forms, client: list(forms.listing(NOW, NOW, client)))
    assert len(calls) == 2


# Subscribing.

HOOK = {"id": "yRtagDm8AT", "tag": "points-hub", "url": URL, "enabled": True, "verify_ssl": True}
GONE = reply({"code": "NOT_FOUND", "description": "Webhook not found"}, 404)


def subscribed(*replies: Reply, **settings):
    def work(forms, client):
        return [(step.summary, step.run()) for step in forms.subscribe(URL, client)]

    return run([*replies, reply(HOOK)], work, **settings)


def test_a_webhook_is_made_for_each_form_that_has_none():
    replies = [GONE, reply(HOOK)]
    done, calls = subscribed(*replies, forms=["D4e5F6", "Zz9"])
    assert done == [("create a webhook for form D4e5F6", "webhook yRtagDm8AT")]
    assert [(call.method, call.path) for call in calls] == [
        ("GET", "/forms/D4e5F6/webhooks/points-hub"),
        ("GET", "/forms/Zz9/webhooks/points-hub"),
        ("PUT", "/forms/D4e5F6/webhooks/points-hub"),
    ]
    assert json.loads(calls[2].body) == {
        "url": URL,
        "enabled": True,
        "secret": "signing-secret-of-the-test",
        "verify_ssl": True,
    }


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"enabled": False}, "enabled"),
        ({"url": f"{URL}2", "verify_ssl": False}, "url, verify_ssl"),
        ({"secret": "the old one"}, "secret"),
    ],
)
def test_a_webhook_that_differs_is_mended(change, wrong):
    done, calls = subscribed(reply({**HOOK, **change}))
    assert done == [(f"mend {wrong} of the webhook for form D4e5F6", "webhook yRtagDm8AT")]
    assert calls[1].method == "PUT"


@pytest.mark.parametrize("more", [{}, {"secret": "signing-secret-of-the-test"}])
def test_where_all_is_right_nothing_is_done(more):
    assert subscribed(reply({**HOOK, **more}))[0] == []


@pytest.mark.parametrize("settings", [{"webhook_secret": ""}, {"forms": []}, {"access_token": ""}])
def test_what_is_missing_is_told_before_any_call(settings):
    outcome, calls = subscribed(GONE, **settings)
    assert isinstance(outcome, Rejected)
    assert calls == []


@pytest.mark.parametrize("tag", ["", "points hub", "a/b"])
def test_the_tag_is_a_word(tag):
    with pytest.raises(ValidationError, match="tag"):
        Typeform.with_settings(tag=tag)


def test_the_probe_tells_the_account():
    said, (call,) = run([reply({"alias": "Brewline"})], lambda forms, client: forms.probe(client))
    assert (said, call.path) == ("account Brewline, 1 forms", "/me")


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (
            reply({"code": "UNAUTHORIZED", "description": "No token"}, 401),
            Rejected,
            "No token (put a new token",
        ),
        (reply({"description": "scope missing"}, 403), Rejected, "webhooks:write"),
        (GONE, Rejected, "no such form"),
        (Reply(400, {}, b"<html>"), Rejected, "400"),
        (Reply(429, {"Retry-After": "2"}), TryLater, "429"),
        (reply({}, 503), TryLater, "503"),
        (Reply(200, {}, b"[]"), TryLater, "not a JSON object"),
    ],
)
def test_what_typeform_says_becomes_an_outcome(answer, kind, said):
    outcome, _ = run([answer], lambda forms, client: list(forms.listing(NOW, NOW, client)))
    assert isinstance(outcome, kind), outcome
    assert said in outcome.reason
    assert getattr(outcome, "retry_after_s", None) == (2 if answer.status == 429 else None)
