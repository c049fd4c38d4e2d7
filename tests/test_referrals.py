"""Members who bring friends: both are rewarded, or neither."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from hub.ledger import verify
from hub.members import find
from hub.referrals import code_of, listed, move
from hub.sdk import ConfigError
from hub.storage.tables import event, leg, posting
from tests.helpers import PROGRAM, Clock, make_hub, url_of

APP = """
  app:
    connector: standard_webhooks
    secrets: ["whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="]
    outbound: false
"""
REFERRAL = """
referral:
  code: {pattern: "BREW-########"}
  claim:
    - {trigger: member.created, code: "attributes.?referral.orValue('')"}
    - {trigger: purchase.paid, code: "order.channel.startsWith('BREW-') ? order.channel : ''"}
  converts: {trigger: purchase.paid, if: order.net_minor >= 1000}
  within: 90 days
  referrer: {points: 200, pending: 30 days}
  friend: {points: 100}
  block_if: ref.same_email || ref.same_phone || ref.converted_30d >= 2
"""
START = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def bench(database, tmp_path):
    made = make_hub(tmp_path / "hub", url_of(database), APP, program=PROGRAM + REFERRAL, clock=Clock(START))
    yield made
    made.hub.close()


def enrol(bench, who, code="", email=""):
    values = {
        "data.member.id": who,
        "data.member.email": email or f"{who}@example.com",
        "data.member.phone": None,
    }
    bench.play(
        "app", "member.created",
        {**values, "timestamp": bench.clock().isoformat(), "data.attributes": {"referral": code} if code else {}},
    )  # fmt: skip


def buy(bench, order, who, net=1000, channel="till"):
    amounts = {
        "data.order.net_minor": net,
        "data.order.gross_minor": net,
        "timestamp": bench.clock().isoformat(),
    }
    bench.play(
        "app",
        "purchase.paid",
        {
            "data.order.id": order,
            "data.member.id": who,
            "data.member.email": None,
            "data.order.channel": channel,
            **amounts,
        },
    )


def refund(bench, order, gross):
    values = {
        "data.refund.id": f"{order}-{gross}",
        "data.refund.gross_minor": gross,
        "data.refund.net_minor": gross,
    }
    bench.play(
        "app", "purchase.refunded", {"data.order.id": order, "timestamp": bench.clock().isoformat(), **values}
    )


def id_of(bench, who):
    with bench.hub.database.read() as tx:
        return find(tx, f"app:{who}")[0]


def code(bench, who):
    with bench.hub.database.write() as tx:
        return code_of(tx, id_of(bench, who), bench.hub.programs.current.referral, bench.clock())


def points(bench):
    """What everybody has, pending included, by posting key and sign."""
    query = (
        sa.select(posting.c.key, sa.func.sum(leg.c.delta).label("points"))
        .join(leg, leg.c.posting == posting.c.id)
        .where(leg.c.owner == posting.c.member)
        .group_by(posting.c.id, posting.c.key)
    )
    with bench.hub.database.read() as tx:
        found = {row.key: int(row.points) for row in tx.execute(query)}
    assert verify(bench.hub.database, bench.clock()).findings == []
    return found


def reason(bench, fact):
    with bench.hub.database.read() as tx:
        return tx.scalar(sa.select(event.c.reason).where(event.c.fact == fact))


BOTH = {"earn:app:order/A": 10, "earn:app:order/A/referral": 100, "earn:app:order/A/referrer": 200}


def test_both_are_rewarded_when_the_friend_first_buys(bench):  # B36, B19
    enrol(bench, "mara")
    enrol(bench, "ole", code(bench, "mara").lower().replace("0", "o"))
    assert points(bench) == {}
    buy(bench, "small", "ole", 999)
    buy(bench, "A", "ole")
    buy(bench, "B", "ole")
    assert points(bench) == {**BOTH, "earn:app:order/small": 9, "earn:app:order/B": 10}
    with bench.hub.database.read() as tx:
        members = dict(tx.execute(sa.select(posting.c.key, posting.c.member)).all())
        (row,) = listed(tx, id_of(bench, "mara"))
    assert members["earn:app:order/A/referrer"] == id_of(bench, "mara")
    assert members["earn:app:order/A/referral"] == id_of(bench, "ole")
    assert (row.state, row.fact, row.friend) == ("converted", "app:order/A", id_of(bench, "ole"))


def test_both_are_told(bench):
    enrol(bench, "mara")
    enrol(bench, "ole", code(bench, "mara"))
    told = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hub.pipeline.fan_out", lambda *_a, happenings, **_k: told.extend(happenings) or 0)
        buy(bench, "A", "ole")
    assert [(each.trigger, each.data["role"]) for each in told] == [
        ("referral.converted", "friend"),
        ("referral.converted", "referrer"),
    ]
    assert told[0].data["other"] == told[1].member == id_of(bench, "mara")


@pytest.mark.parametrize(("parts", "kept"), [([400], 300), ([400, 600], 0), ([1000], 0)])
def test_a_refund_of_all_takes_from_both_sides(bench, parts, kept):
    enrol(bench, "mara")
    enrol(bench, "ole", code(bench, "mara"))
    buy(bench, "A", "ole")
    for part in parts:
        refund(bench, "A", part)
    found = points(bench)
    assert sum(n for key, n in found.items() if "refer" in key) == kept
    assert sum(found.values()) == kept + (6 if parts == [400] else 0)


def test_a_purchase_and_its_refund_in_one_batch_leave_nothing(bench):
    enrol(bench, "mara")
    enrol(bench, "ole", code(bench, "mara"))
    stamp = {"timestamp": bench.clock().isoformat()}
    order = {"data.order.id": "A", "data.order.net_minor": 1000, "data.order.gross_minor": 1000}
    bench.send("app", "purchase.paid", {**order, "data.member.id": "ole", "data.member.email": None, **stamp})
    back = {"data.refund.gross_minor": 1000, "data.refund.net_minor": 1000}
    bench.send("app", "purchase.refunded", {"data.order.id": "A", **back, **stamp})
    bench.work()
    assert sum(points(bench).values()) == 0


def test_a_code_that_means_nobody_or_oneself_is_told_as_the_reason(bench):
    enrol(bench, "ole", "BREW-NOBODY77")
    assert reason_of_last(bench).startswith("nobody has the referral code it tells")
    enrol(bench, "mara")
    buy(bench, "A", "mara", channel=code(bench, "mara"))
    assert reason_of_last(bench) == "the referral code it tells is the member's own"
    enrol(bench, "kim", code(bench, "mara"))
    enrol(bench, "lea")
    buy(bench, "B", "kim", 500, channel=code(bench, "lea"))
    assert reason_of_last(bench) == "somebody has brought this member already"
    assert points(bench) == {"earn:app:order/A": 10, "earn:app:order/B": 5}


def test_a_code_told_at_the_till_counts_for_that_purchase(bench):
    enrol(bench, "mara")
    enrol(bench, "ole")
    buy(bench, "A", "ole", channel=code(bench, "mara"))
    assert points(bench) == BOTH


def reason_of_last(bench):
    with bench.hub.database.read() as tx:
        return tx.scalar(sa.select(event.c.reason).order_by(event.c.id.desc()).limit(1))


def test_one_mailbox_under_two_names_is_no_friend(bench):
    enrol(bench, "mara", email="mara@example.com")
    enrol(bench, "ole", code(bench, "mara"), email="Mara+second@example.com")
    buy(bench, "A", "ole")
    assert points(bench) == {"earn:app:order/A": 10}
    with bench.hub.database.read() as tx:
        (row,) = listed(tx, id_of(bench, "mara"))
    assert (row.state, row.reason) == ("blocked", "`block_if` holds (same_email = True)")
    buy(bench, "B", "ole")
    assert points(bench) == {"earn:app:order/A": 10, "earn:app:order/B": 10}


def test_there_are_only_so_many_friends_a_month(bench):
    enrol(bench, "mara")
    for who in ("a", "b", "c"):
        enrol(bench, who, code(bench, "mara"))
        buy(bench, who, who)
    assert sum(key.endswith("/referrer") for key in points(bench)) == 2


def test_friends_of_one_batch_are_counted_too(bench):
    enrol(bench, "mara")
    for who in ("a", "b", "c"):
        enrol(bench, who, code(bench, "mara"))
    for who in ("a", "b", "c"):
        order = {"data.order.id": who, "data.order.net_minor": 1000, "data.order.gross_minor": 1000}
        bench.send(
            "app", "purchase.paid",
            {**order, "data.member.id": who, "data.member.email": None, "timestamp": bench.clock().isoformat()},
        )  # fmt: skip
    bench.work()
    assert sum(key.endswith("/referrer") for key in points(bench)) == 2


def test_a_friend_who_comes_too_late_is_a_customer_like_any_other(bench):
    enrol(bench, "mara")
    enrol(bench, "ole", code(bench, "mara"))
    bench.clock.move(days=91)
    buy(bench, "A", "ole")
    assert points(bench) == {"earn:app:order/A": 10}


def test_a_member_has_one_code(bench):
    enrol(bench, "mara")
    own = code(bench, "mara")
    assert code(bench, "mara") == own
    assert own.startswith("BREW-")


def test_a_merge_takes_codes_and_friends_along(bench):
    for who in ("mara", "twin"):
        enrol(bench, who)
    both = code(bench, "mara"), code(bench, "twin")
    enrol(bench, "ole", both[0])
    enrol(bench, "kim", both[1])
    enrol(bench, "self", both[1])
    with bench.hub.database.write() as tx:
        move(tx, id_of(bench, "mara"), id_of(bench, "twin"))
        move(tx, id_of(bench, "self"), id_of(bench, "twin"))
        brought = {row.friend: (row.state, row.reason) for row in listed(tx, id_of(bench, "twin"))}
    assert code(bench, "twin") in both
    assert brought == {
        id_of(bench, "ole"): ("claimed", ""),
        id_of(bench, "kim"): ("claimed", ""),
        id_of(bench, "self"): ("blocked", "both became one member"),
    }
    enrol(bench, "lea", both[0])
    with bench.hub.database.read() as tx:
        assert id_of(bench, "lea") in {row.friend for row in listed(tx, id_of(bench, "twin"))}


def test_crashes_between_both_sides_are_impossible(bench, monkeypatch):  # B36
    """The second posting breaks: the first goes with it, and the event stays for another try."""
    enrol(bench, "mara")
    enrol(bench, "ole", code(bench, "mara"))
    from hub.ledger.book import Book

    earn = Book.earn

    def breaks(book, member, **more):
        if more["fact"].endswith("/referrer"):
            raise RuntimeError("the power fails")
        return earn(book, member, **more)

    monkeypatch.setattr(Book, "earn", breaks)
    buy(bench, "A", "ole")
    assert points(bench) == {}
    monkeypatch.setattr(Book, "earn", earn)
    from hub import journal

    with bench.hub.database.write() as tx:
        journal.replay(tx, bench.clock(), ["parked"])
    bench.work()
    assert points(bench) == BOTH


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("BREW-########", "BREW-###", "are wanted so that nobody guesses one: write 8 # or more"),
        ("trigger: member.created", "trigger: member.creatd", "nothing can be earned on 'member.creatd'"),
        ("ref.same_email", "ref.same_mail", "ref has no 'same_mail' (did you mean 'same_email'?)"),
        ("order.net_minor >= 1000", "order.net_minor", None),
        ("order.net_minor >= 1000", "1 + 1", "gives int, and true or false is wanted"),
        ("friend: {points: 100}", "friend: {points: 100, wallet: bean}", "no wallet is named 'bean'"),
        ("friend: {points: 100}", "friend: {points: 0}", "greater than 0"),
    ],
)
def test_a_referral_that_cannot_be_meant_is_refused(old, new, told):
    from hub.rules import parse_program

    source = (PROGRAM + REFERRAL).replace(old, new).encode()
    if told is None:
        assert parse_program(source, "program.yaml").referral
        return
    with pytest.raises(ConfigError) as caught:
        parse_program(source, "program.yaml")
    assert told in str(caught.value)
