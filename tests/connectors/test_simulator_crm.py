"""Customer systems, sheets and texts as their vendors play them: what they refuse, what is read of them, what they send. A25, A33."""

from __future__ import annotations

import json
from datetime import timedelta
from urllib.parse import parse_qs

import pytest

from connectors.airtable import Airtable, UpsertMember
from connectors.dynamics365 import Dynamics365, UpdateContact, UpsertPoints
from connectors.google_sheets import GoogleSheets
from connectors.salesforce import Salesforce
from connectors.salesforce import UpsertPoints as UpsertRecord
from connectors.twilio import SendSms, Twilio
from connectors.zoho_crm import UpdateContact as UpdateZohoContact
from connectors.zoho_crm import ZohoCrm
from hub.sdk import Headers, Rejected, SourceEvent, TryLater, Webhook
from hub.sdk.http import Response
from hub.sdk.simulator import Habits, Simulator
from hub.sdk.simulator.platforms.airtable import BASE
from hub.sdk.testing import MemoryTokens
from tests.simulated import lent

SECRET = b"signing-secret-of-the-test"
URL = "https://points.example.com/webhooks/them"
JANA, DEAL = "4876876000001400712", "4876876000001403015"
GUID = "5b9f2a10-7c3d-ee11-bdf4-0022489b0058"
WORK_ORDER = "0f6a4c1e-77aa-4e5f-8a9b-0022489b1042"
EUR = "1f0c6a52-7c3d-ee11-bdf4-0022489b0099"
OURS, IDA = "+4915735990000", "+4915550101234"


@pytest.fixture
def sim():
    with Simulator() as playing:
        yield playing
        assert not playing.violations


def twins(platform):
    for key in ("a01000000000IdaAAA", "a01000000000IdaAAB"):
        platform.records["Loyalty_Points__c"][key] = {"Id": key, "Member_Id__c": "m-7"}


def held(platform):
    """Return what a platform holds, as text."""
    return json.dumps({kind: records for kind, records in platform.records.items() if records})


def row(**fields):
    return UpsertRecord(member_id="m-7", fields=fields)


REFUSALS = [
    (Salesforce, "upsert_points", row(Level__c="gold"), None, "No such column 'Level__c'.*check the points object"),
    (Salesforce, "upsert_points", row(Points_Balance__c="61"), None, "JSON_PARSER_ERROR"),
    (Salesforce, "upsert_points", row(Contact__c="jana@example.com"), None, "MALFORMED_ID"),
    (Salesforce, "upsert_points", row(Tier__c="gold"), twins, "several records of this external id"),
    (ZohoCrm, "update_contact", UpdateZohoContact(contact_id=JANA, fields={"Loyalty_Points": 1}), None, "INVALID_DATA"),
    (Dynamics365, "update_contact", UpdateContact(contact_id=GUID, fields={"lp_tier": "gold"}), None, "no such row"),
    (Dynamics365, "upsert_points", UpsertPoints(key="m-7", fields={"level": "gold"}), None, "'level' cannot be set"),
    (
        Dynamics365, "upsert_points",
        UpsertPoints(key="m-7", fields={"lp_Contact@odata.bind": f"/contacts({GUID})"}), None, "no such row",
    ),
    (Airtable, "upsert_member", UpsertMember(member="m-7", cells={"Tier": "iron"}), None, "add the option"),
    (Airtable, "upsert_member", UpsertMember(member="m-7", cells={"Level": "gold"}), None, "make the column"),
    (Airtable, "upsert_member", UpsertMember(member="m-7", cells={"Points": "61"}), None, "of another kind"),
    (
        Twilio, "send_sms", SendSms(to=IDA, text="61 points"),
        lambda platform: platform.records["stopped"].update({IDA: {}}), "only their START",
    ),
    (Twilio, "send_sms", SendSms(to=IDA, text="x" * 1601), None, "longer than 1600"),
]  # fmt: skip


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda each: f"{each[0].name}-{each[-1][:20]}")
def test_what_a_vendor_does_not_take_is_rejected_with_what_to_do_and_nothing_is_written(sim, refusal):
    kind, action, params, given, says = refusal
    platform = sim[kind.name]
    (given or (lambda _: None))(platform)
    before = held(platform)
    with lent(platform) as client, pytest.raises(Rejected, match=says):
        sim.connector(kind).perform(action, params, client)
    assert held(platform) == before


def test_a_key_of_another_service_account_gets_no_token(sim):
    sheets = sim.connector(GoogleSheets)
    key = json.loads(sheets.settings.service_account.get_secret_value())
    other = sim.connector(
        GoogleSheets, service_account=json.dumps({**key, "client_email": "other@example.com"})
    )
    for connector, name in ((sheets, ""), (other, "iss")):
        with lent(sim["google_sheets"]) as client:
            client.tokens = MemoryTokens("an old one")
            if name:
                with pytest.raises(Rejected, match=f"Invalid JWT: {name}"):
                    connector.probe(client)
            else:
                assert "as points-hub@" in connector.probe(client)


def test_what_the_hub_writes_past_the_steps_of_dataverse_wakes_none(sim):
    crm = sim["dynamics365"]
    crm.records["contacts"][GUID] = {"id": GUID}
    params = UpdateContact(contact_id=GUID, fields={"lp_tier": "gold"})
    for bypass, woken in ((True, 0), (False, 1)):
        with lent(crm) as client:
            sim.connector(Dynamics365, bypass=bypass).update_contact(params, client)
        assert len(crm.records["woken"]) == woken


# Reading.


def fetched(sim, kind, event_type, payload, **settings):
    event = SourceEvent(id="e", type=event_type, at=sim.clock.now, payload=payload, notification=True)
    with lent(sim[kind.name]) as client:
        return sim.connector(kind, **settings).fetch(event, client)


def test_salesforce_names_the_primary_contact_of_a_deal(sim):
    roles, deal = sim["salesforce"].records["OpportunityContactRole"], "006Bw000004Li0nIAC"
    for key, primary in (("1", False), ("2", True)):
        person = {
            "Id": f"003Bw00000{key}JanaIAC",
            "Name": "Jana",
            "Email": f"{key}@example.com",
            "Phone": None,
        }
        roles[key] = {"OpportunityId": deal, "IsPrimary": primary, "Contact": person}
    read = fetched(sim, Salesforce, "Opportunity", {"record": {"Id": deal}})
    assert read["contact"]["Email"] == "2@example.com"
    assert fetched(sim, Salesforce, "Opportunity", {"record": {"Id": deal[:-1] + "X"}})["contact"] == {}


def test_zoho_reads_a_deal_with_its_contact_and_what_is_gone_is_told(sim):
    crm = sim["zoho_crm"]
    crm.records["Contacts"][JANA] = {"Email": "jana@linde.example.com"}
    crm.records["Deals"][DEAL] = {"Stage": "Closed Won", "Amount": 4800.5, "Contact_Name": {"id": JANA}}
    told = {"id": DEAL, "module": "Deals"}
    read = fetched(sim, ZohoCrm, "Deals.update", told)
    assert (read["record"]["Amount"], read["contact"]["Email"]) == ("4800.5", "jana@linde.example.com")
    assert "Deal_Name" not in read["record"], "empty fields are not there"
    del crm.records["Deals"][DEAL]
    assert fetched(sim, ZohoCrm, "Deals.update", told) == {**told, "deleted": True}


def test_a_stripped_webhook_of_dataverse_is_read_with_contact_and_currency(sim):
    crm = sim["dynamics365"]
    crm.records["contacts"][GUID] = {"id": GUID, "emailaddress1": "jana@linde.example.com"}
    crm.records["transactioncurrencies"][EUR] = {"id": EUR, "isocurrencycode": "CHF"}
    crm.records["msdyn_workorders"][WORK_ORDER] = {
        "id": WORK_ORDER, "msdyn_systemstatus": 690970003, "msdyn_totalamount": 128.5,
        "msdyn_reportedbycontact": GUID, "transactioncurrencyid": EUR,
    }  # fmt: skip
    told = {
        "table": "msdyn_workorder", "id": WORK_ORDER, "record": {}, "stripped": True, "currency": "EUR",
    }  # fmt: skip
    read = fetched(sim, Dynamics365, "msdyn_workorder.update", told)
    assert read["record"]["msdyn_totalamount"] == "128.5"
    assert (read["contact"]["emailaddress1"], read["currency"]) == ("jana@linde.example.com", "CHF")
    del crm.records["msdyn_workorders"][WORK_ORDER]
    assert fetched(sim, Dynamics365, "msdyn_workorder.update", told)["deleted"] is True


def test_a_sheet_that_is_too_long_for_one_answer_is_read_in_pages(sim):
    rows = sim["google_sheets"].records["sheets"]["Ledger"]
    rows += [[f"posting-{number}-{'x' * 24}"] for number in range(30_000)]
    with lent(sim["google_sheets"]) as client:
        _, keys = sim.connector(GoogleSheets).read(client, "Ledger", "Posting")
    assert keys == [row[0] for row in rows[1:]]


def test_twilio_lists_the_texts_of_the_time_that_was_asked_for(sim):
    texts, twilio = sim["twilio"], sim.connector(Twilio)
    since = sim.clock.now
    for number in range(250):
        texts.add_message(
            to=OURS, from_=IDA, body=f"BALANCE {number}", direction="inbound", status="received"
        )
        sim.clock.advance(10)
    texts.add_message(to=IDA, from_=OURS, body="61 points", direction="outbound-api", status="sent")
    with lent(texts) as client:
        until = since + timedelta(seconds=2400)
        bodies = [parse_qs(body.decode())["Body"][0] for body in twilio.listing(since, until, client)]
    assert bodies == [f"BALANCE {number}" for number in reversed(range(240))]
    assert len(texts.calls) == 2


# Webhooks.


class Hub:
    """Verifies, answers and reads as the hub does; the first answers are those given."""

    def __init__(self, sim, kind, answers=(), **habits):
        self.connector, self.answers = sim.connector(kind, **TOLD.get(kind, {})), list(answers)
        self.events = []
        self.sender = sim.sender(self.connector, SECRET, URL, self.take, Habits(**habits))

    def take(self, webhook):
        self.connector.verify(webhook, [SECRET])
        if self.answers and (answer := self.answers.pop(0)) is not None:
            return answer
        self.events += self.connector.parse(webhook)
        said = self.connector.answer(webhook)
        return Response(said.status, {}, said.body) if said else Response(200, {}, b"")


TOLD = {Dynamics365: {"organization": "brewline.crm4.dynamics.com"}}
BUSY = Response(503, {}, b"")
SCHEDULES = [
    (Salesforce, "Opportunity", BUSY, 19, timedelta(hours=24)),
    (Salesforce, "Opportunity", Response(200, {}, b"OK"), 19, timedelta(hours=24)),
    (ZohoCrm, "Deals.update", BUSY, 1, timedelta(0)),
    (Dynamics365, "contact.update", BUSY, 2, timedelta(seconds=30)),
    (Dynamics365, "contact.update", Response(500, {}, b""), 1, timedelta(0)),
    (GoogleSheets, "row_added", BUSY, 37, timedelta(hours=1)),
    (Airtable, "record.created", BUSY, 11, timedelta(seconds=10230)),
    (Airtable, "record.created", Response(200, {}, b"thanks"), 11, timedelta(seconds=10230)),
    (Twilio, "inbound.balance", BUSY, 1, timedelta(0)),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda each: f"{each[0].name}-{each[2].status}")
def test_a_platform_tries_as_often_as_its_vendor_does(sim, schedule):
    kind, event, answer, tries, took = schedule
    hub = Hub(sim, kind, [answer] * 99)
    hub.sender.emit(event)
    began = sim.clock.now
    sim.clock.settle()
    assert len(hub.sender.tries) == tries
    assert hub.sender.tries[-1].at - began == took
    assert len(hub.sender.given_up) == 1


@pytest.mark.parametrize(
    ("kind", "event", "variant"),
    [
        (Salesforce, "Opportunity", ""),
        (Salesforce, "Opportunity", "batch"),
        (Salesforce, "Opportunity", "flow"),
        (ZohoCrm, "Deals.update", ""),
        (ZohoCrm, "deal_won", "form"),
        (Dynamics365, "contact.update", ""),
        (GoogleSheets, "form_submit", ""),
        (Airtable, "form_submitted", ""),
        (Twilio, "inbound.redeem", ""),
        (Twilio, "status.delivered", ""),
    ],
)
def test_a_duplicate_is_known_by_its_id_and_another_happening_has_another(sim, kind, event, variant):
    """A21."""
    hub = Hub(sim, kind, duplicates=1.0)
    hub.sender.emit(event, variant)
    hub.sender.emit(event, variant)
    sim.clock.settle()
    assert not hub.sender.given_up
    ids = [each.id for each in hub.events]
    assert len(ids) == 2 * len(set(ids))
    assert {each.type for each in hub.events} == {event}
    assert all(abs(each.at - hub.sender.tries[0].at) < timedelta(minutes=2) for each in hub.events)


def test_salesforce_puts_records_of_one_object_into_one_message(sim):
    hub = Hub(sim, Salesforce, batch=100)
    for event in ("Opportunity", "Contact", "Opportunity", "Opportunity"):
        hub.sender.emit(event)
    sim.clock.settle()
    assert [each.type for each in hub.events] == ["Opportunity"] * 3 + ["Contact"]
    assert len({each.id for each in hub.events}) == 4
    assert len(hub.sender.tries) == 2


def test_airtable_rings_and_its_changes_are_fetched_once_page_by_page(sim):
    base = sim["airtable"]
    hub = Hub(sim, Airtable)
    with lent(base) as client:
        [step] = hub.connector.subscribe(URL, client)
        step.run()
        for _ in range(60):
            hub.sender.emit("record.created")
        hub.sender.emit("record.created", "by_ourselves")  # a source that is not watched
        sim.clock.settle()
        assert {(each.type, each.bell) for each in hub.events} == {("ping", True)}
        base.cause("throttled", path="payloads")
        with pytest.raises(TryLater):
            hub.connector.poll("", client)
        first = hub.connector.poll("", client)
        second = hub.connector.poll(first.cursor, client)
        assert (len(first.bodies), first.more, len(second.bodies), second.more) == (50, True, 10, False)
        assert not hub.connector.poll(second.cursor, client).bodies
    bodies = [*first.bodies, *second.bodies]
    events = [
        event
        for body in bodies
        for event in hub.connector.parse(Webhook("POLL", "", Headers(), body, sim.clock.now))
    ]
    assert {each.type for each in events} == {"record.created"}
    assert len({each.id for each in events}) == len(events) == 120
    assert {each.account for each in events} == {BASE}


def test_airtables_webhook_lives_as_long_as_it_is_asked_and_is_made_anew_when_it_has_ended(sim):
    base, connector = sim["airtable"], sim.connector(Airtable)
    for days, summaries in ((0, ["make a webhook"]), (3, ["refresh"]), (8, ["make a webhook", "delete"])):
        sim.clock.advance(86_400 * days)
        with lent(base) as client:
            steps = connector.subscribe(URL, client)
            assert [step.summary.startswith(said) for step, said in zip(steps, summaries, strict=True)]
            for step in steps:
                step.run()
            assert not connector.subscribe(URL, client)
    assert len(base.records["hooks"]) == 1


def test_zohos_channel_ends_unless_it_is_renewed(sim):
    connector = sim.connector(ZohoCrm)
    for days, said in ((0, "open"), (3, "renew"), (8, "open")):
        sim.clock.advance(86_400 * days)
        with lent(sim["zoho_crm"]) as client:
            [step] = connector.subscribe(URL, client)
            assert step.summary.startswith(said)
            step.run()
            assert not connector.subscribe(URL, client)
