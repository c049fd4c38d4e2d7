"""Platforms that must be asked, subscriptions that lapse, days that are compared, connections that fall silent."""

from __future__ import annotations

import json
from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from helpers import make_hub, url_of

from connectors.square import Square
from hub import housekeeping, upkeep
from hub.sdk import HubError, Polled, Rejected, Step, TryLater
from hub.storage.tables import inbox, outbox, posting, reconciliation
from hub.storage.tables import upkeep as rows

TILL = """
  till:
    connector: square
    secrets: [square-signature-key-of-the-test]
    settings: {access_token: access-token-of-the-seller}
    outbound: false
  team:
    connector: slack
    secrets: [slack-signing-secret-of-the-test]
    settings: {webhook_url: "https://hooks.slack.com/services/T/B/x"}
    outbound: false
"""


@pytest.fixture
def bench(tmp_path, database):
    made = make_hub(tmp_path, url_of(database), TILL, extra="alerts: team\n")
    yield made
    made.hub.close()


def payment(number: int) -> bytes:
    money = {"amount": 1200 + number, "currency": "EUR"}
    paid = {
        "id": f"pay-{number}",
        "status": "COMPLETED",
        "created_at": "2026-11-21T09:00:00Z",
        "customer_id": "C-1",
    }
    paid |= {"amount_money": money, "total_money": money}
    return json.dumps(
        {
            "merchant_id": "M-1",
            "type": "payment.updated",
            "event_id": f"listed-{number}",
            "created_at": "2026-11-21T09:00:00Z",
            "data": {"type": "payment", "id": f"pay-{number}", "object": {"payment": paid}},
        }
    ).encode()


def posted(bench) -> list[str]:
    bench.work()
    with bench.hub.database.read() as tx:
        return sorted(tx.scalars(sa.select(posting.c.key)))


def task(bench, name="poll"):
    with bench.hub.database.read() as tx:
        return tx.execute(sa.select(rows).where(rows.c.task == name)).one()


class Till:
    """What a platform has, in pages of two, behind a cursor that counts."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.trouble: Exception | None = None
        self.asked: list[str] = []

    def poll(self, cursor):
        self.asked.append(cursor)
        if self.trouble:
            raise self.trouble
        begin = int(cursor or len(self.bodies))  # the first time: begin now, not with the past
        page = self.bodies[begin : begin + 2]
        return Polled(bodies=page, cursor=str(begin + len(page)), more=begin + len(page) < len(self.bodies))


@pytest.fixture
def till(monkeypatch):
    there = Till()
    monkeypatch.setattr(Square, "poll_every", timedelta(minutes=5))
    monkeypatch.setattr(Square, "poll", lambda _self, cursor, _client: there.poll(cursor))
    return there


def test_what_a_platform_has_new_comes_in_page_by_page_and_once(bench, till):
    till.bodies = [payment(0)]
    upkeep.plan(bench.hub)
    assert upkeep.run_due(bench.hub) == 1
    assert (till.asked, posted(bench)) == ([""], [])
    till.bodies += [payment(n) for n in range(1, 6)]
    assert upkeep.run_due(bench.hub) == 0  # not yet
    bench.clock.move(minutes=5)
    assert upkeep.run_due(bench.hub) == 1
    assert till.asked[1:] == ["1", "3", "5"]
    assert posted(bench) == [f"earn:square:payment/pay-{n}" for n in range(1, 6)]
    with bench.hub.database.read_inbox() as tx:
        assert set(tx.scalars(sa.select(inbox.c.method))) == {"POLL"}
    assert bench.play("till", "payment.updated", {"data.object.payment.id": "pay-1"}).status == 200
    assert len(posted(bench)) == 5  # the webhook that came after all tells the same fact


@pytest.mark.parametrize(
    ("trouble", "minutes", "says"),
    [
        (TryLater("HTTP 503"), 0.5, "HTTP 503"),
        (TryLater("slow down", 900), 15, "slow down"),
        (Rejected("the token was revoked: reconnect"), 60, "reconnect"),
        (KeyError("odd"), 0.5, "KeyError"),
    ],
)
def test_a_failure_is_tried_again_later_and_tells_why(bench, till, trouble, minutes, says):
    upkeep.plan(bench.hub)
    till.trouble = trouble
    upkeep.run_due(bench.hub)
    row = task(bench)
    assert (row.failures, row.lease_until, row.done_at) == (1, None, None)
    assert says in row.reason
    assert row.next_at == bench.clock() + timedelta(minutes=minutes)
    till.trouble = None
    bench.clock.now = row.next_at
    upkeep.run_due(bench.hub)
    assert (task(bench).failures, task(bench).reason) == (0, "")


def test_a_task_that_another_process_has_is_left_to_it_until_its_lease_ends(bench, till):
    upkeep.plan(bench.hub)
    with bench.hub.database.write() as tx:
        tx.execute(rows.update().values(lease_until=bench.clock() + timedelta(minutes=3)))
    assert upkeep.run_due(bench.hub) == 0
    bench.clock.move(minutes=4)
    assert upkeep.run_due(bench.hub) == 1


def test_a_bell_has_the_platform_asked_at_once(bench, till, monkeypatch):
    upkeep.plan(bench.hub)
    upkeep.run_due(bench.hub)
    till.bodies = [payment(1)]
    parse = Square.parse
    monkeypatch.setattr(
        Square,
        "parse",
        lambda self, webhook: (
            [_bell(e) for e in parse(self, webhook)] if webhook.method == "POST" else parse(self, webhook)
        ),
    )
    bench.play("till", "customer.updated")
    assert upkeep.run_due(bench.hub) == 1
    assert posted(bench) == ["earn:square:payment/pay-1"]


def _bell(event):
    import msgspec

    return msgspec.structs.replace(event, bell=True)


def test_subscriptions_that_lapse_are_renewed(bench, monkeypatch):
    done = []
    monkeypatch.setattr(Square, "renew_every", timedelta(days=1))
    step = Step("renew the channel", lambda: done.append("renewed") or "until tomorrow")
    monkeypatch.setattr(
        Square, "subscribe", lambda _self, url, _client: [step] if url.endswith("/till") else []
    )
    upkeep.plan(bench.hub)
    upkeep.run_due(bench.hub)
    bench.clock.move(hours=23)
    upkeep.run_due(bench.hub)
    bench.clock.move(hours=1)
    upkeep.run_due(bench.hub)
    assert done == ["renewed", "renewed"]


def test_a_dropped_webhook_is_found_and_let_in(bench, monkeypatch):  # B22
    bench.play("till", "payment.updated", {"data.object.payment.id": "pay-1"})
    listed = [payment(1), payment(2)]
    asked = []

    def listing(_self, since, until, _client):
        asked.append((since.isoformat(), until.isoformat()))
        yield from listed

    monkeypatch.setattr(Square, "lists", True)
    monkeypatch.setattr(Square, "listing", listing)
    connection, day = bench.hub.connections["till"], date(2026, 11, 21)
    seen = upkeep.reconcile(bench.hub, connection, day, heal=False)
    assert (seen.listed, seen.missing, seen.healed) == (2, ["square:payment/pay-2"], 0)
    assert asked == [("2026-11-21T00:00:00+01:00", "2026-11-22T00:00:00+01:00")]  # of the programme's zone
    assert posted(bench) == ["earn:square:payment/pay-1"]
    assert upkeep.reconcile(bench.hub, connection, day).healed == 1
    assert posted(bench) == ["earn:square:payment/pay-1", "earn:square:payment/pay-2"]
    again = upkeep.reconcile(bench.hub, connection, day)
    assert (again.listed, again.missing, again.healed) == (2, [], 0)
    with bench.hub.database.read() as tx:
        assert tx.execute(sa.select(reconciliation.c.missing)).scalar_one() == 0


def test_what_has_no_list_says_so(bench):
    with pytest.raises(HubError, match="no list"):
        upkeep.reconcile(bench.hub, bench.hub.connections["team"], date(2026, 11, 21))


def test_a_connection_that_falls_silent_is_told_once_and_when_it_speaks_again(bench):
    def hear():
        bench.clock.move(minutes=1)
        housekeeping.hear(bench.hub)
        with bench.hub.database.read() as tx:
            return [params["text"] for params in tx.scalars(sa.select(outbox.c.params).order_by(outbox.c.id))]

    for number in range(25):  # something comes every half hour, and once there was a night of eight hours
        bench.clock.move(hours=8 if number == 12 else 0.5)
        bench.send("till", "payment.updated", {"event_id": f"e-{number}"})
        assert hear() == []
    bench.clock.move(hours=18)
    assert hear() == []  # less than three times the night, which is not forgotten yet
    bench.clock.move(hours=8)
    (told,) = hear()
    assert told.startswith("Nothing has come from till since 2026-11-22")
    bench.clock.move(hours=30)
    assert len(hear()) == 1
    bench.send("till", "payment.updated", {"event_id": "again"})
    assert hear()[1].startswith("till speaks again")
