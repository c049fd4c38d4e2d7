"""Dynamics 365: execution contexts with their keys and kinds, stripped ones, rows by alternate key. # C11"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import parse_qs

import pytest

from connectors.dynamics365 import Dynamics365, UpdateContact, UpsertPoints, iso, plain
from hub.sdk import Headers, Malformed, NotVerified, Rejected, TryLater, Webhook
from hub.sdk.testing import ConnectorContract, OutboundCase, Reply, stub_platform

NOW = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
URL = "https://points.example.com/webhooks/crm"
SECRET = b"key-of-the-service-hook"
ORG = "b4e11e00-1111-4222-8333-0022489b0042"
USER = "8c1d0d5e-9a6b-ee11-9ae7-0022489b0001"
JANA = "5b9f2a10-7c3d-ee11-bdf4-0022489b0058"
EUR = "1f0c6a52-7c3d-ee11-bdf4-0022489b0099"
WORK_ORDER = "0f6a4c1e-77aa-4e5f-8a9b-0022489b1042"
ROW = "7a11ce00-2222-4222-8333-0022489b0007"
API = {
    "api_base": "https://brewline.crm4.dynamics.com",
    "tenant_id": "brewline.example.com",
    "client_id": "5d0b6a8e-points-hub",
    "client_secret": "client-secret-of-the-test",
}
TAGS = 'odata.include-annotations="Microsoft.Dynamics.CRM.lookuplogicalname"'
CONTACT = UpdateContact(contact_id=JANA.upper(), fields={"lp_pointsbalance": 120, "lp_tier": "gold"})
POINTS = UpsertPoints(key="m/7's", fields={"lp_pointsbalance": 120, "lp_tier": None})
WRITTEN = Reply(
    204,
    {"OData-EntityId": f"https://brewline.crm4.dynamics.com/api/data/v9.2/lp_loyaltyaccounts({ROW})"},
    b"",
)


def reply(body, status: int = 200) -> Reply:
    return Reply(status, {}, json.dumps(body).encode())


class TestContract(ConnectorContract):
    connector = Dynamics365.with_settings(**API, currency="EUR")
    secret = SECRET
    url = URL
    no_timestamp = "Dataverse sends no time with a webhook"
    no_signed_body = "Dataverse signs nothing: a header of ours comes along"
    outbound = (
        OutboundCase("update_contact", CONTACT, [Reply(204, {}, b"")]),
        OutboundCase("upsert_points", POINTS, [WRITTEN], remote_id=ROW),
    )

    def smallest(self):
        return next(s for s in self.all_samples() if s.type == "contact.create")

    def unknown(self):
        """A type is table and message together."""
        found = self.smallest()
        body = found.body.replace(b'"MessageName": "Create"', b'"MessageName": "Brew"')
        return type(found)("contact.brew", "", body, found.headers)

    def connector_at(self, base_url):
        """The log-in is at the stub as well."""
        return at_stub(base_url)


def at_stub(base_url: str, **more) -> Dynamics365:
    return Dynamics365.with_settings(
        **{**API, "api_base": base_url, "login_base": base_url, "currency": "EUR", **more}
    )


CONTRACT = TestContract()
DYNAMICS = TestContract.connector
LISTENER = Dynamics365.with_settings(currency="EUR")
SAMPLES = {f"{s.type}~{s.variant}".rstrip("~"): s.body for s in CONTRACT.all_samples()}


def request(body, headers=None, query="") -> Webhook:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Webhook("POST", URL + query, Headers(headers or {}), raw, NOW)


def parse(name: str, connector: Dynamics365 = LISTENER, **changes):
    body = {**json.loads(SAMPLES[name]), **changes}
    [event] = connector.parse(request(body))
    return event


def run(script, work, **settings):
    """Call `work(connector, client)` against the stub platform."""
    with stub_platform(script) as platform, CONTRACT.lend(platform) as client:
        return work(at_stub(platform.url, **settings), client), platform


# Verification.


def test_a_secret_in_the_address_is_not_stored():
    assert LISTENER.hidden_query == ("code",)
    assert Dynamics365.with_settings(secret_query="key").hidden_query == ("key",)


def test_every_vector_gets_its_verdict(shared):
    vectors = json.loads((shared / "payloads/dynamics365/signatures.json").read_text())["vectors"]
    assert len(vectors) == 6
    for vector in vectors:
        (name, expected) = next(
            iter(vector.get("expected_headers", {"": vector.get("expected", "")}).items())
        )
        connector = Dynamics365.with_settings(secret_header=name or "X-Hub-Key")
        query = "".join(f"?{key}={value}" for key, value in vector.get("query", {}).items())
        try:
            connector.verify(request({}, vector.get("headers"), query), [expected.encode()])
            verdict = True
        except NotVerified:
            verdict = False
        assert verdict == vector["valid"], vector["name"]


@pytest.mark.parametrize(
    ("organization", "told", "verified"),
    [
        ("brewline.crm4.dynamics.com", "brewline.crm4.dynamics.com", True),
        ("brewline.crm4.dynamics.com", "Brewline.crm4.dynamics.com", True),
        ("brewline.crm4.dynamics.com", "other.crm4.dynamics.com", False),
        ("brewline.crm4.dynamics.com", "", False),
        ("", "other.crm4.dynamics.com", True),
    ],
)
def test_another_environment_is_refused(organization, told, verified):
    connector = Dynamics365.with_settings(organization=organization)
    webhook = request({}, {"X-Hub-Key": SECRET.decode(), "x-ms-dynamics-organization": told})
    if verified:
        connector.verify(webhook, [SECRET])
        return
    with pytest.raises(NotVerified, match="wrong_account"):
        connector.verify(webhook, [SECRET])


# Reading.


def test_a_context_becomes_a_plain_record():
    event = parse("msdyn_workorder.update")
    assert (event.type, event.at, event.account) == (
        "msdyn_workorder.update",
        datetime(2026, 11, 20, 9, 41, 7, tzinfo=UTC),
        ORG,
    )
    assert (event.notification, event.echo) == (False, False)
    assert event.payload == {
        "table": "msdyn_workorder",
        "message": "Update",
        "id": WORK_ORDER,
        "organization_id": ORG,
        "currency": "EUR",
        "stripped": False,
        "before": {"msdyn_systemstatus": 690970002},
        "record": {
            "msdyn_workorderid": WORK_ORDER,
            "msdyn_name": "01042",
            "msdyn_systemstatus": 690970003,
            "msdyn_serviceaccount": {
                "id": "5b9f2a10-7c3d-ee11-bdf4-0022489b0060",
                "type": "account",
                "name": "Café Linde",
            },
            "msdyn_reportedbycontact": {"id": JANA, "type": "contact", "name": "Jana Linde"},
            "msdyn_subtotalamount": "200.0",  # as text: no amount is a float
            "msdyn_totalamount": "238.0",
            "transactioncurrencyid": {"id": EUR, "type": "transactioncurrency"},
            "modifiedon": "2026-11-20T09:41:07Z",
            "modifiedby": {"id": USER, "type": "systemuser"},
        },
    }


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("/Date(1506384247000)/", "2017-09-26T00:04:07Z"),
        ("/Date(1506409448000-0700)/", "2017-09-26T07:04:08Z"),  # the offset is for show: not added
        ("/Date(1506409448123+0000)/", "2017-09-26T07:04:08.123000Z"),
        ("/Date(-1000)/", "1969-12-31T23:59:59Z"),
        ("/Date(999999999999999)/", "/Date(999999999999999)/"),  # beyond any calendar
        ("2025-09-25T02:04:18.000Z", "2025-09-25T02:04:18.000Z"),
        ("Date", "Date"),
    ],
)
def test_times_come_in_two_forms(value, read):
    assert iso(value) == read


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ({"__type": "Money:x", "Value": "240.5"}, "240.5"),
        ({"__type": "OptionSetValue:x", "Value": 3}, 3),
        ([{"__type": "OptionSetValue:x", "Value": 1}, {"__type": "OptionSetValue:x", "Value": 2}], [1, 2]),
        ({"LogicalName": "contact", "Id": JANA.upper(), "Name": None}, {"id": JANA, "type": "contact"}),
        (False, False),
        ("text", "text"),
    ],
)
def test_each_kind_of_value_is_unwrapped(value, read):
    assert plain(value) == read


def test_a_merge_names_the_contact_that_went():
    event = parse("contact.merge")
    assert event.payload["merged_id"] == "5b9f2a10-7c3d-ee11-bdf4-0022489b0061"
    assert event.payload["record"] == {}


def test_a_resumed_job_is_the_same_event_and_another_step_is_not():
    first = parse("msdyn_workorder.update")
    assert parse("msdyn_workorder.update", CorrelationId="other").id == first.id
    assert parse("msdyn_workorder.update", OwningExtension={"Id": "other"}).id != first.id
    assert parse("msdyn_workorder.update", OperationId="other").id != first.id
    nameless = {"OperationId": None}
    assert parse("msdyn_workorder.update", **nameless).id != parse("contact.update", **nameless).id


@pytest.mark.parametrize(
    ("stage", "kind"), [(40, "contact.create"), (20, "before_save"), (10, "before_save")]
)
def test_what_is_not_saved_yet_never_counts(stage, kind):
    event = parse("contact.create", Stage=stage)
    assert event.type == kind


def test_our_own_writes_are_echoes():
    ours = Dynamics365.with_settings(user_id=USER.upper())
    assert parse("contact.update", ours).echo
    assert not parse("contact.update", ours, UserId="x", InitiatingUserId="y").echo
    assert not parse("contact.update", LISTENER, UserId="", InitiatingUserId="").echo


def test_a_byte_order_mark_is_read_over():
    [event] = LISTENER.parse(request(b"\xef\xbb\xbf" + SAMPLES["contact.create"]))
    assert event.payload["record"]["birthdate"] == "1990-01-01T00:00:00Z"
    assert "telephone1" not in event.payload["record"]  # null


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"7", b'{"MessageName": "Update"}'])
def test_what_is_no_context_is_malformed(body):
    with pytest.raises(Malformed):
        LISTENER.parse(request(body))


@pytest.mark.parametrize(
    ("name", "settings", "fetched"),
    [
        ("msdyn_workorder.update~stripped", {}, True),
        ("msdyn_workorder.update", {}, False),
        ("msdyn_workorder.update", {"read_contact": True}, True),
        ("contact.update", {"read_contact": True}, False),
        ("contact.merge", {"read_contact": True}, False),
    ],
)
def test_a_stripped_context_is_read_and_others_where_wished(name, settings, fetched):
    assert parse(name, Dynamics365.with_settings(**settings)).notification is fetched


# Fetching.

API_ROW = {
    "@odata.context": "https://brewline.crm4.dynamics.com/api/data/v9.2/$metadata#msdyn_workorders/$entity",
    "@odata.etag": 'W/"1042"',
    "msdyn_workorderid": WORK_ORDER,
    "msdyn_systemstatus": 690970003,
    "msdyn_subtotalamount": 200.5,
    "msdyn_workordersummary": None,
    "_msdyn_reportedbycontact_value": JANA.upper(),
    "_msdyn_reportedbycontact_value@Microsoft.Dynamics.CRM.lookuplogicalname": "contact",
    "_transactioncurrencyid_value": EUR,
    "_transactioncurrencyid_value@Microsoft.Dynamics.CRM.lookuplogicalname": "transactioncurrency",
}
PERSON = {
    "@odata.etag": "x",
    "emailaddress1": "jana@linde.example.com",
    "mobilephone": None,
    "contactid": JANA,
}
GONE = reply({"error": {"code": "0x80040217", "message": "Does Not Exist"}}, 404)


def test_a_stripped_work_order_is_read_in_the_shape_of_a_webhook():
    event = parse("msdyn_workorder.update~stripped")
    assert event.payload["record"] == {}
    script = [reply(API_ROW), reply(PERSON), reply({"isocurrencycode": "CHF"})]
    payload, platform = run(script, lambda crm, client: crm.fetch(event, client))
    assert payload["record"] == {
        "msdyn_workorderid": WORK_ORDER,
        "msdyn_systemstatus": 690970003,
        "msdyn_subtotalamount": "200.5",
        "msdyn_reportedbycontact": {"id": JANA, "type": "contact"},
        "transactioncurrencyid": {"id": EUR, "type": "transactioncurrency"},
    }
    assert payload["contact"] == {"emailaddress1": "jana@linde.example.com", "contactid": JANA}
    assert (payload["currency"], payload["deleted"]) == ("CHF", False)
    assert [call.path for call in platform.calls] == [
        f"/api/data/v9.2/msdyn_workorders({WORK_ORDER})",
        f"/api/data/v9.2/contacts({JANA})?$select=emailaddress1,mobilephone,telephone1,fullname",
        f"/api/data/v9.2/transactioncurrencies({EUR})?$select=isocurrencycode",
    ]
    for call in platform.calls:
        assert call.headers["Prefer"] == TAGS
        assert call.headers["OData-Version"] == "4.0"


def test_of_a_whole_context_only_contact_and_currency_are_read():
    event = parse("msdyn_workorder.update", Dynamics365.with_settings(read_contact=True))
    script = [GONE, reply({"isocurrencycode": "EUR"})]
    payload, platform = run(script, lambda crm, client: crm.fetch(event, client))
    assert payload["record"] == event.payload["record"]
    assert payload["contact"] == {}  # gone
    assert len(platform.calls) == 2


def test_a_row_that_is_gone_says_so():
    event = parse("msdyn_workorder.update~stripped")
    payload, _ = run([GONE], lambda crm, client: crm.fetch(event, client))
    assert payload == {**event.payload, "deleted": True}


def test_a_table_may_have_another_name_in_addresses():
    event = parse("msdyn_workorder.update~stripped", PrimaryEntityName="cr4_repairbox")
    _, platform = run(
        [GONE], lambda crm, client: crm.fetch(event, client), entity_sets={"cr4_repairbox": "cr4_repairboxes"}
    )
    assert platform.calls[0].path == f"/api/data/v9.2/cr4_repairboxes({WORK_ORDER})"


def test_an_id_that_is_none_never_reaches_an_address():
    event = parse("msdyn_workorder.update~stripped", PrimaryEntityId="1)?$expand=owner(")
    with pytest.raises(Rejected, match="not an id"):
        run([GONE], lambda crm, client: crm.fetch(event, client))


# Writing.


def write(params, *script: Reply, **settings):
    action = "update_contact" if isinstance(params, UpdateContact) else "upsert_points"
    return run(script, lambda crm, client: crm.perform(action, params, client), **settings)


def test_a_contacts_columns_are_overwritten_and_no_contact_is_made():
    _, platform = write(CONTACT, WRITTEN)
    [call] = platform.calls
    assert (call.method, call.path) == ("PATCH", f"/api/data/v9.2/contacts({JANA})")
    assert call.headers["If-Match"] == "*"
    assert json.loads(call.body) == {"lp_pointsbalance": 120, "lp_tier": "gold"}
    assert call.headers["Authorization"] == "Bearer access-token-of-the-test"
    assert "MSCRM.BypassBusinessLogicExecution" not in call.headers


def test_points_are_upserted_by_alternate_key():
    receipt, platform = write(POINTS, WRITTEN, bypass=True)
    [call] = platform.calls
    assert call.path == "/api/data/v9.2/lp_loyaltyaccounts(lp_memberid='m%2F7%27%27s')"  # a quote is doubled
    assert "If-Match" not in call.headers  # else nothing would be made
    assert call.headers["MSCRM.BypassBusinessLogicExecution"] == "CustomAsync"
    assert json.loads(call.body) == {"lp_pointsbalance": 120, "lp_tier": None}
    assert receipt.remote_id == ROW


def test_a_refused_token_is_renewed_once_with_the_apps_own_credentials():
    token = reply({"token_type": "Bearer", "expires_in": 3599, "access_token": "new-token"})
    _, platform = write(POINTS, Reply(401), token, WRITTEN)
    _, renewal, again = platform.calls
    assert renewal.path == "/brewline.example.com/oauth2/v2.0/token"
    form = parse_qs(renewal.body.decode())
    assert form["grant_type"] == ["client_credentials"]
    assert form["scope"] == [f"{platform.url}/.default"]
    assert again.headers["Authorization"] == "Bearer new-token"


def error(status: int, code: str, said: str = "as Dataverse words it", **headers: str) -> Reply:
    return Reply(status, headers, json.dumps({"error": {"code": code, "message": said}}).encode())


@pytest.mark.parametrize(
    ("reply", "outcome", "says", "wait_s"),
    [
        (error(429, "0x80072322", **{"Retry-After": "40"}), TryLater, "429", 40),
        (error(503, "0x8004f063"), TryLater, "503", None),
        (error(412, "0x80060882"), TryLater, "same moment", None),
        (error(400, "0x80048d19", "Invalid property 'lp_teir'"), Rejected, "lp_teir.*columns' names", None),
        (error(403, "0x80040220", "missing prvWriteContact"), Rejected, "role", None),
        (error(404, "0x80040217"), Rejected, "no such row", None),
        (error(409, "0x80040237"), Rejected, "0x80040237", None),
        (error(413, "0x80048d1a"), Rejected, "0x80048d1a", None),
        (Reply(404, {}, b"<html>proxy</html>"), Rejected, "404", None),
        (Reply(302, {"Location": "https://login.example.com"}, b""), Rejected, "302", None),
    ],
)
def test_every_way_to_fail_is_told_apart(reply, outcome, says, wait_s):
    with pytest.raises(outcome, match=says) as raised:
        write(POINTS, reply)
    if outcome is TryLater:
        assert raised.value.retry_after_s == wait_s


def test_a_contact_id_that_is_none_is_rejected():
    with pytest.raises(Rejected, match="not an id"):
        write(UpdateContact(contact_id="0031", fields={}), WRITTEN)


def test_without_the_apps_settings_nothing_is_called():
    with (
        stub_platform([WRITTEN]) as platform,
        CONTRACT.lend(platform) as client,
        pytest.raises(Rejected, match="tenant_id"),
    ):
        LISTENER.perform("upsert_points", POINTS, client)
    assert LISTENER.oauth() is None
    assert platform.calls == []


@pytest.mark.parametrize(
    ("ours", "line"),
    [
        (USER, f"application user {USER}, organization {ORG}"),
        ("", f"application user {USER}, organization {ORG}; set user_id to the former"),
    ],
)
def test_probe_names_user_and_organization(ours, line):
    who = reply({"@odata.context": "x", "BusinessUnitId": "b", "UserId": USER, "OrganizationId": ORG})
    assert run([who], lambda crm, client: crm.probe(client), user_id=ours)[0] == line
