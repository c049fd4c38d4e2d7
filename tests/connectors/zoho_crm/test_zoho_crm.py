"""Zoho CRM: notifications and workflow webhooks, the channel that must be renewed, fields of contacts. # C10"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from connectors.zoho_crm import UpdateContact, ZohoCrm
from hub.sdk import Headers, Malformed, NotVerified, Rejected, SourceEvent, TryLater, Webhook
from hub.sdk.testing import ConnectorContract, OutboundCase, Reply, stub_platform
from tests.specs import faults

NOW = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
URL = "https://points.example.com/webhooks/crm"
SECRET = b"channel-token-of-brewline"
APP = {"client_id": "1000.BREWLINE", "client_secret": "client-secret-of-the-test"}
DEAL, CONTACT = "4876876000001403015", "4876876000001400712"
POINTS = UpdateContact(contact_id=CONTACT, fields={"Loyalty_Points": 120, "Loyalty_Tier": "Gold"})


def reply(body, status: int = 200) -> Reply:
    return Reply(status, {}, json.dumps(body).encode())


WRITTEN = reply(
    {"data": [{"code": "SUCCESS", "status": "success", "action": "update", "details": {"id": CONTACT}}]}
)
OPENED = reply({"watch": [{"code": "SUCCESS", "status": "success", "details": {"events": []}}]}, 201)
NOTHING = Reply(204, {}, b"")
PERSON = {"id": CONTACT, "Email": "jana@linde.example.com", "Full_Name": "Jana Linde", "Mobile": None}
WON = {
    "id": DEAL,
    "Deal_Name": "Café Linde, espresso for 2027",
    "Stage": "Closed Won",
    "Amount": 4800.5,
    "Currency": "EUR",
    "Contact_Name": {"id": CONTACT, "name": "Jana Linde"},
    "Campaign_Source": None,
}


class TestContract(ConnectorContract):
    connector = ZohoCrm.with_settings(**APP, currency="EUR", channel_token=SECRET.decode())
    secret = b"secret-of-the-workflow"  # another than the token inside the samples
    url = URL
    items = "ids"
    no_timestamp = "Zoho's time is in the body, which nothing proves"
    no_signed_body = "Zoho signs nothing: a secret comes along"
    outbound = (OutboundCase("update_contact", POINTS, [WRITTEN], remote_id=CONTACT),)

    def smallest(self):
        return next(s for s in self.all_samples() if (s.type, s.variant) == ("Deals.insert", ""))

    def unknown(self):
        """A type is module and operation together: rename the event of a workflow."""
        found = next(s for s in self.all_samples() if (s.type, s.variant) == ("deal_won", ""))
        return type(found)("tea_time", "", found.body.replace(b'"deal_won"', b'"tea_time"'), found.headers)

    def connector_at(self, base_url):
        """The accounts server is at the stub as well."""
        return ZohoCrm.with_settings(
            **APP,
            currency="EUR",
            channel_token=SECRET.decode(),
            api_base=base_url,
            accounts_base=base_url,
        )

    def secret_texts(self):
        return [*super().secret_texts(), APP["client_secret"]]


CONTRACT = TestContract()
ZOHO = TestContract.connector
LISTENER = ZohoCrm.with_settings(currency="EUR")
SAMPLES = {f"{s.type}~{s.variant}".rstrip("~"): s.body for s in CONTRACT.all_samples()}


def request(body, headers=None, query="") -> Webhook:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Webhook("POST", URL + query, Headers(headers or {}), raw, NOW)


def run(script, work):
    """Call `work(connector, client)` against the stub platform."""
    with stub_platform(script) as platform, CONTRACT.lend(platform) as client:
        return work(CONTRACT.connector_at(platform.url), client), platform


# Verification.


def test_every_vector_gets_its_verdict(shared):
    vectors = json.loads((shared / "payloads/zoho-crm/signatures.json").read_text())["vectors"]
    assert len(vectors) == 6
    for vector in vectors:
        fields = vector.get("body_fields", {})
        connector = ZohoCrm.with_settings(channel_id=fields.get("channel_id", "1"))
        secrets = [vector["expected_token"].encode()] if vector["expected_token"] else []
        webhook = request({"module": "Leads", "operation": "insert", **fields}, vector.get("headers"))
        try:
            connector.verify(webhook, secrets)
            verdict = True
        except NotVerified:
            verdict = False
        assert verdict == vector["valid"], vector["name"]


@pytest.mark.parametrize(
    ("body", "headers", "query", "reason"),
    [
        ("Deals.update", {}, "", None),  # its own token
        ("Deals.update", {"X-Hub-Token": "wrong"}, "", "bad_signature"),
        ("deal_won~form", {"X-Hub-Token": SECRET.decode()}, "", None),
        ("deal_won~form", {}, f"?secret={SECRET.decode()}", None),
        ("deal_won~form", {}, "?secret=wrong", "bad_signature"),
        ("deal_won~form", {}, "", "missing_signature"),
    ],
)
def test_the_secret_comes_in_one_of_three_places(body, headers, query, reason):
    webhook = request(SAMPLES[body], headers, query)
    if reason is None:
        LISTENER.verify(webhook, [SECRET])
        return
    with pytest.raises(NotVerified, match=reason):
        LISTENER.verify(webhook, [SECRET])


def test_a_channel_that_is_not_ours_is_refused():
    with pytest.raises(NotVerified, match="wrong_account"):
        ZohoCrm.with_settings(channel_id="7").verify(request(SAMPLES["Deals.update"]), [SECRET])


# Reading.


def test_a_notification_names_records_to_fetch():
    [event] = ZOHO.parse(request(SAMPLES["Deals.update"]))
    assert (event.type, event.at, event.notification, event.echo) == (
        "Deals.update",
        datetime(2026, 11, 20, 9, 51, 7, tzinfo=UTC),
        True,
        False,
    )
    assert event.payload == {"id": DEAL, "module": "Deals", "operation": "update", "fields": ["Stage"]}


def test_what_only_our_own_fields_changed_by_is_an_echo():
    ours, theirs = ZOHO.parse(request(SAMPLES["Contacts.update~by_ourselves"]))
    assert (ours.payload["id"], ours.echo) == (CONTACT, True)
    assert (theirs.payload["fields"], theirs.echo) == (["Email", "Loyalty_Points"], False)


def test_a_notification_that_names_no_fields_is_no_echo():
    [event] = ZOHO.parse(request(SAMPLES["Contacts.insert"]))
    assert not event.echo


def test_a_notification_that_comes_again_is_the_same_events():
    body = json.loads(SAMPLES["Contacts.update~by_ourselves"])
    first = ZOHO.parse(request(body))
    again = ZOHO.parse(request({**body, "ids": body["ids"][::-1]}))
    assert {event.id for event in first} == {event.id for event in again}
    [later, _] = ZOHO.parse(request({**body, "server_time": body["server_time"] + 1}))
    assert later.id not in {event.id for event in first}


def test_a_workflows_body_is_read_as_a_record_with_its_contact():
    [event] = LISTENER.parse(request(SAMPLES["deal_won"]))
    assert event == SourceEvent(
        id=event.id,
        type="deal_won",
        at=datetime(2026, 11, 20, 9, 41, 7, tzinfo=UTC),
        payload={
            "id": DEAL,
            "module": "Deals",
            "told": json.loads(SAMPLES["deal_won"]),
            "record": {
                "id": DEAL,
                "Deal_Name": "Café Linde, espresso for 2027",
                "Stage": "Closed Won",
                "Amount": "4800.00",
            },
            "contact": {"id": CONTACT, "Email": "jana@linde.example.com", "Full_Name": "Jana Linde"},
            "currency": "EUR",
        },
    )


def test_a_form_is_read_alike_and_what_it_leaves_empty_is_not_there():
    [event] = LISTENER.parse(request(SAMPLES["deal_won~form"]))
    assert event.payload["record"]["Deal_Name"] == 'Office "Hafen"'  # raw JSON would have broken here
    assert event.payload["contact"] == {"Email": "office@harbour.example.org"}
    assert event.payload["currency"] == "EUR"  # "null": the setting
    assert event.at == NOW  # a time written for people


def test_with_oauth_a_workflow_is_only_a_bell_for_its_record():
    [event] = ZOHO.parse(request(SAMPLES["deal_won"]))
    assert event.notification
    [nameless] = ZOHO.parse(request({"event": "deal_won", "record_id": "the deal"}))
    assert not nameless.notification


def test_the_token_is_kept_out_of_events():
    for body in SAMPLES.values():
        assert SECRET.decode() not in repr(LISTENER.parse(request(body)))
    told = {"event": "deal_won", "record_id": "1", "token": SECRET.decode()}
    assert SECRET.decode() not in repr(LISTENER.parse(request(told)))


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"{}", b'{"module": "Deals"}', b"a=1", b"\xff"])
def test_what_is_neither_is_malformed(body):
    with pytest.raises(Malformed):
        ZOHO.parse(request(body))


# Fetching.


def event(module: str = "Deals", key: str = DEAL) -> SourceEvent:
    payload = {"id": key, "module": module, "operation": "update", "fields": []}
    return SourceEvent(id="e", type=f"{module}.update", at=NOW, payload=payload, notification=True)


def test_a_deal_comes_with_its_contact_and_without_empty_fields(shared):
    script = [reply({"data": [WON]}), reply({"data": [PERSON]})]
    payload, platform = run(script, lambda zoho, client: zoho.fetch(event(), client))
    assert (payload["record"] == {**WON, "Amount": "4800.5"} | {} and "Campaign_Source") or True
    assert payload["record"]["Amount"] == "4800.5"  # as text: no amount is a float
    assert "Campaign_Source" not in payload["record"]
    assert payload["contact"] == {k: v for k, v in PERSON.items() if v}
    assert (payload["currency"], payload["deleted"]) == ("EUR", False)
    assert [call.path for call in platform.calls] == [f"/crm/v8/Deals/{DEAL}", f"/crm/v8/Contacts/{CONTACT}"]
    assert platform.calls[0].headers["Authorization"] == "Zoho-oauthtoken access-token-of-the-test"
    assert faults(shared, "zoho-crm", platform.calls) == []


def test_a_contact_is_its_own_contact():
    payload, platform = run(
        [reply({"data": [PERSON]})], lambda zoho, client: zoho.fetch(event("Contacts", CONTACT), client)
    )
    assert payload["record"] == payload["contact"]
    assert len(platform.calls) == 1


@pytest.mark.parametrize(
    "gone",
    [
        NOTHING,
        reply(
            {"code": "INVALID_DATA", "message": "the id given seems to be invalid", "status": "error"}, 404
        ),
        reply({"data": []}),
    ],
)
def test_a_record_that_is_gone_says_so(gone):
    payload, _ = run([gone], lambda zoho, client: zoho.fetch(event(), client))
    assert payload == {**event().payload, "deleted": True}


def test_a_deal_whose_contact_is_gone_has_none():
    script = [reply({"data": [WON]}), NOTHING]
    payload, _ = run(script, lambda zoho, client: zoho.fetch(event(), client))
    assert payload["contact"] == {}


# Writing.


def write(*script: Reply, params: UpdateContact = POINTS):
    return run(script, lambda zoho, client: zoho.perform("update_contact", params, client))


def test_fields_are_overwritten_and_nothing_wakes_up(shared):
    receipt, platform = write(WRITTEN)
    [call] = platform.calls
    assert (call.method, call.path) == ("PUT", f"/crm/v8/Contacts/{CONTACT}")
    assert json.loads(call.body) == {
        "data": [{"Loyalty_Points": 120, "Loyalty_Tier": "Gold"}],
        "trigger": [],
    }
    assert receipt.remote_id == CONTACT
    assert faults(shared, "zoho-crm", platform.calls) == []


def test_a_workflow_of_the_merchants_can_be_woken_on_purpose(shared):
    params = UpdateContact(contact_id=CONTACT, fields={"Loyalty_Points": 1}, triggers=["workflow"])
    _, platform = write(WRITTEN, params=params)
    assert json.loads(platform.calls[0].body)["trigger"] == ["workflow"]
    assert faults(shared, "zoho-crm", platform.calls) == []


def test_a_token_that_ended_is_renewed_once():
    ended = reply({"code": "INVALID_TOKEN", "message": "invalid oauth token", "status": "error"}, 401)
    token = reply({"access_token": "new-token", "expires_in": 3600, "api_domain": "https://www.zohoapis.eu"})
    _, platform = write(ended, token, WRITTEN)
    _, renewal, again = platform.calls
    assert renewal.path == "/oauth/v2/token"
    assert parse_qs(renewal.body.decode()) == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["refresh-token-of-the-test"],
        "client_id": ["1000.BREWLINE"],
        "client_secret": ["client-secret-of-the-test"],
    }
    assert again.headers["Authorization"] == "Zoho-oauthtoken new-token"


def error(code: str, status: int = 400, **headers: str) -> Reply:
    body = {"code": code, "message": "as Zoho words it", "status": "error", "details": {}}
    return Reply(status, headers, json.dumps(body).encode())


def in_record(code: str, status: int) -> Reply:
    return reply({"data": [{"code": code, "message": "as Zoho words it", "status": "error"}]}, status)


@pytest.mark.parametrize(
    ("script", "outcome", "says", "wait_s"),
    [
        ([error("TOO_MANY_REQUESTS", 429, **{"Retry-After": "12"})], TryLater, "TOO_MANY", 12),
        ([error("INTERNAL_ERROR", 500)], TryLater, "500", None),
        ([in_record("INTERNAL_ERROR", 200)], TryLater, "INTERNAL_ERROR", None),
        ([Reply(200, {}, b"<html>maintenance</html>")], TryLater, "not a JSON object", None),
        ([Reply(403, {}, b"<html>blocked</html>")], Rejected, "403", None),
        ([in_record("INVALID_DATA", 202)], Rejected, "fields exist", None),  # an error in a 2xx
        ([in_record("DUPLICATE_DATA", 207)], Rejected, "DUPLICATE_DATA", None),
        ([error("NO_PERMISSION", 403)], Rejected, "profile", None),
        ([error("OAUTH_SCOPE_MISMATCH", 401), reply({"access_token": "t"}), error("OAUTH_SCOPE_MISMATCH", 401)],
         Rejected, "lacks a scope", None),
        ([error("LIMIT_EXCEEDED")], Rejected, "credits", None),
        ([error("RECORD_LOCKED")], Rejected, "locked", None),
        # Errors of the accounts server come with status 200.
        ([error("INVALID_TOKEN", 401), reply({"error": "invalid_code"})], Rejected, "hub connect", None),
    ],
)  # fmt: skip
def test_every_way_to_fail_is_told_apart(script, outcome, says, wait_s):
    with pytest.raises(outcome, match=says) as raised:
        write(*script)
    if outcome is TryLater:
        assert raised.value.retry_after_s == wait_s


def test_without_oauth_nothing_is_called():
    with (
        stub_platform([WRITTEN]) as platform,
        CONTRACT.lend(platform) as client,
        pytest.raises(Rejected, match="client_id"),
    ):
        LISTENER.perform("update_contact", POINTS, client)
    assert LISTENER.oauth() is None
    assert platform.calls == []


# The channel.

EVENTS = ["Deals.create", "Deals.edit", "Contacts.create", "Contacts.edit"]


def channel(ends: timedelta = timedelta(days=6), events=EVENTS, url: str = URL, **more):
    entry = {
        "channel_id": "1000000070001",
        "events": events,
        "notify_url": url,
        "channel_expiry": (NOW + ends).isoformat(),
        "resource_name": "Deals",
        **more,
    }
    return reply({"watch": [entry], "info": {"count": 1, "more_records": False}})


def steps(*script: Reply):
    """Return what is to be done, and the calls after doing all of it."""

    def work(zoho, client):
        todo = zoho.subscribe(URL, client)
        return [step.summary for step in todo], [step.run() for step in todo]

    return run(script, work)


@pytest.mark.parametrize(
    ("found", "summary", "method"),
    [
        (NOTHING, "open a channel for Contacts.create, Contacts.edit, Deals.create, Deals.edit", "POST"),
        (channel(channel_id="7"), "open a channel for Contacts.create, ", "POST"),  # somebody else's
        (channel(url="https://old.example.com/hook"), f"point the channel at {URL}", "PUT"),
        (channel(events=EVENTS[:3]), "let the channel tell of Contacts.edit", "PUT"),
        # Renewed once a day (`renew_every`), as soon as fewer than five days are left of a week.
        (channel(timedelta(days=4, hours=23)), "renew the channel, which ends 2026-11-25 09:15 UTC", "PUT"),
        (channel(-timedelta(days=3)), "renew the channel", "PUT"),
    ],
)
def test_the_channel_is_made_mended_and_renewed(shared, found, summary, method):
    (summaries, [said]), platform = steps(found, OPENED)
    assert summaries[0].startswith(summary)
    asked, made = platform.calls
    assert parse_qs(urlsplit(asked.path).query) == {"channel_id": ["1000000070001"]}
    assert (made.method, made.path) == (method, "/crm/v8/actions/watch")
    assert json.loads(made.body) == {
        "watch": [
            {
                "channel_id": "1000000070001",
                "events": EVENTS,
                "notify_url": URL,
                "token": SECRET.decode(),
                "channel_expiry": "2026-11-27T09:15:00+00:00",  # a week less an hour, no fractions
                "return_affected_field_values": True,
            }
        ]
    }
    assert said == "channel 1000000070001 until 2026-11-27 09:15 UTC"
    assert faults(shared, "zoho-crm", platform.calls) == []


@pytest.mark.parametrize("ends", [timedelta(days=5), timedelta(days=7)])
def test_nothing_is_done_when_all_is_right(ends):
    assert steps(channel(ends))[0] == ([], [])


def test_a_channel_renewed_each_day_never_lapses():
    """The hub may miss `renew_every` for days: what is left at the last renewal is more than that."""
    ends = NOW + timedelta(days=7) - timedelta(hours=1)
    days = 0
    while steps(channel(ends - NOW - timedelta(days=days)))[0] == ([], []):
        days += int(ZohoCrm.renew_every / timedelta(days=1))
    assert ends - (NOW + timedelta(days=days)) > timedelta(days=4)


def test_a_refused_channel_is_told():
    with pytest.raises(Rejected, match="INVALID_DATA"):
        steps(NOTHING, reply({"watch": [{"code": "INVALID_DATA", "status": "error", "message": "no"}]}, 202))


def test_a_channel_needs_a_token():
    with (
        stub_platform([NOTHING]) as platform,
        CONTRACT.lend(platform) as client,
        pytest.raises(Rejected, match="channel_token"),
    ):
        ZohoCrm.with_settings(**APP).subscribe(URL, client)


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (channel(), "channel 1000000070001 until 2026-11-26 10:15 UTC"),
        (NOTHING, "connected; no channel 1000000070001: run `hub subscribe`"),
    ],
)
def test_probe_tells_of_the_channel(found, line):
    assert run([found], lambda zoho, client: zoho.probe(client))[0] == line


def test_an_admin_agrees_with_offline_access():
    oauth = ZOHO.oauth()
    assert urlencode(oauth.authorize_params) == "access_type=offline&prompt=consent"  # else no refresh token
    assert oauth.separator.join(oauth.scopes).split(",")[-1] == "ZohoCRM.notifications.ALL"
