"""Backfills: what a simulation found, proposed, allowed, posted and taken back."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from hub import backfill, desk
from hub.approvals import Refused
from hub.backfill import CannotBackfill
from hub.storage.tables import balance, posting
from hub.whatif import simulate
from tests import levelled
from tests.helpers import url_of
from tests.whatif.roastery import Roastery, tried

PROGRAM = """
version: 1
program: {id: brewline, timezone: Europe/Berlin, currency: EUR}
identity: {match: [external_id], enrol: automatic}
wallets: {beans: {expiry: never}}
earning:
  - {id: base, trigger: purchase.paid, rate: {points: 1, per: "1.00 EUR"}}
  - {id: review, trigger: custom.review_published, points: 10}
adjustments: {approval: {if: abs_points > 500, role: loyalty_manager}}
rewards:
  - {id: coffee, kind: voucher, cost: 40, value: "free:espresso"}
"""
BETTER = PROGRAM.replace("points: 1, per", "points: 2, per").replace(
    "published, points: 10", "published, points: 4"
)


@pytest.fixture
def shop(database, tmp_path):
    made = Roastery(tmp_path / "hub", url_of(database), PROGRAM)
    for n, who in enumerate(("mara", "ole", "kim"), start=1):
        made.buys(who, f"{who}-1", 10 * n)
    made.reviews("lea", "V1", 5)
    yield made
    made.hub.close()


@pytest.fixture
def batch(shop):
    """Ten more for Mara, twenty for Ole, thirty for Kim, and six less for Lea."""
    return propose(shop)


def propose(shop, **more):
    result = simulate(shop.database, tried(BETTER), now=shop.clock())
    return backfill.propose(shop.hub, result, actor="staff:ida", reason="correction", **more)


def allow(shop, batch, actor="staff:bo"):
    return desk.decide(shop.hub, batch.approval, approved=True, actor=actor)


def beans(shop):
    with shop.database.read() as tx:
        rows = {row.member: row.active for row in tx.execute(sa.select(balance))}
    return {who: rows[shop.member(who)] for who in ("mara", "ole", "kim", "lea")}


def lines(shop, batch):
    with shop.database.read() as tx:
        return backfill.lines_of(tx, batch.id)


WAS = {"mara": 10, "ole": 20, "kim": 30, "lea": 10}
BECAME = {"mara": 20, "ole": 40, "kim": 60, "lea": 4}


def test_nothing_is_posted_before_somebody_else_has_allowed_it(shop, batch):  # B24
    assert (batch.state, batch.decided, batch.role, batch.lines) == (
        "proposed",
        "requested",
        "loyalty_manager",
        4,
    )
    assert [(line.points, line.state) for line in lines(shop, batch)] == [
        (30, "open"), (20, "open"), (10, "open"), (-6, "open"),
    ]  # fmt: skip
    with pytest.raises(CannotBackfill, match="it takes a loyalty_manager: `hub approvals approve"):
        backfill.post(shop.hub, batch.id)
    with pytest.raises(Refused, match="staff:ida asked for it, so somebody else has to decide"):
        allow(shop, batch, actor="staff:ida")
    assert beans(shop) == WAS


def test_an_allowed_batch_is_posted_once_with_who_and_why(shop, batch):
    allow(shop, batch)
    done = backfill.post(shop.hub, batch.id)
    assert (done.state, done.checker, done.counts, done.credited, done.taken) == (
        "posted", "staff:bo", {"posted": 4}, 60, -6,
    )  # fmt: skip
    assert beans(shop) == BECAME
    with shop.database.read() as tx:
        posted = tx.execute(sa.select(posting).where(posting.c.kind == "adjust")).all()
    mara = shop.member("mara")
    assert f"adjust:backfill:{batch.id}:{mara}:beans" in {row.key for row in posted}
    assert {(row.actor, row.reason) for row in posted} == {
        ("staff:ida", f"correction; backfill {batch.id}, approved by staff:bo")
    }
    assert backfill.post(shop.hub, batch.id) == done
    assert beans(shop) == BECAME
    shop.sound()


def test_a_run_that_is_cut_short_goes_on_where_it_was(shop, batch, monkeypatch):
    monkeypatch.setattr("hub.backfill.work.CHUNK", 1)
    allow(shop, batch)

    def killed(done, _total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backfill.post(shop.hub, batch.id, killed)
    assert backfill.show(shop.hub, batch.id).counts == {"posted": 2, "open": 2}
    assert backfill.show(shop.hub, batch.id).state == "approved"
    assert backfill.post(shop.hub, batch.id).counts == {"posted": 4}
    assert beans(shop) == BECAME


def test_two_who_post_at_once_post_once(shop, batch):
    """The other one has read the lines as open, and comes second."""
    allow(shop, batch)
    stale = lines(shop, batch)
    backfill.post(shop.hub, batch.id)
    with pytest.MonkeyPatch.context() as patch:
        pages = iter([stale, []])
        patch.setattr("hub.backfill.work.lines_of", lambda *_, **__: next(pages))
        backfill.post(shop.hub, batch.id)
    assert beans(shop) == BECAME


def test_a_batch_is_taken_back_exactly(shop, batch):
    allow(shop, batch)
    backfill.post(shop.hub, batch.id)
    with pytest.raises(CannotBackfill, match="this takes a loyalty_manager, and staff:eve is none"):
        backfill.undo(shop.hub, batch.id, actor="staff:eve", reason="a mistake")
    done = backfill.undo(shop.hub, batch.id, actor="staff:bo", reason="a mistake")
    assert (done.state, done.counts, done.credited, done.taken) == ("undone", {"undone": 4}, 0, 0)
    assert beans(shop) == WAS
    with pytest.raises(CannotBackfill, match="nothing of it is posted"):
        backfill.undo(shop.hub, batch.id, actor="staff:bo", reason="again")
    with pytest.raises(CannotBackfill, match="is undone"):
        backfill.post(shop.hub, batch.id)
    shop.sound()


def test_points_that_are_spent_cannot_be_taken_back_and_are_told(shop, batch):
    allow(shop, batch)
    backfill.post(shop.hub, batch.id)
    shop.wishes("kim", "W1")  # 40 of her 60
    done = backfill.undo(shop.hub, batch.id, actor="staff:bo", reason="a mistake")
    assert (done.state, done.counts) == ("posted", {"posted": 1, "undone": 3})
    (left,) = [line for line in lines(shop, batch) if line.state == "posted"]
    assert left.member == shop.member("kim")
    assert "20" in left.reason
    shop.adjust("kim", 10, "gift")
    assert backfill.undo(shop.hub, batch.id, actor="staff:bo", reason="a mistake").state == "undone"


def test_a_debit_that_is_spent_already_waits_and_is_tried_again(shop):
    none = PROGRAM.replace("points: 1, per", "points: 1, per").replace(
        "published, points: 10", "published, points: 0"
    )
    result = simulate(shop.database, tried(none), now=shop.clock())
    batch = backfill.propose(shop.hub, result, actor="staff:ida", reason="correction")
    shop.adjust("lea", -5, "spent")
    allow(shop, batch)
    done = backfill.post(shop.hub, batch.id)
    assert (done.state, done.counts) == ("approved", {"short": 1})
    shop.adjust("lea", 5, "back")
    assert backfill.post(shop.hub, batch.id).state == "posted"
    assert beans(shop)["lea"] == 0


def test_credits_only_takes_nothing_from_anybody(shop):
    batch = propose(shop, credits_only=True)
    assert {line.points for line in lines(shop, batch)} == {10, 20, 30}


def test_the_same_is_not_proposed_twice_unless_it_was_rejected(shop, batch):
    with pytest.raises(CannotBackfill, match=f"the same was proposed before, as {batch.id}"):
        propose(shop)
    desk.decide(shop.hub, batch.approval, approved=False, actor="staff:bo", reason="not now")
    with pytest.raises(CannotBackfill, match="is proposed, and rejected"):
        backfill.post(shop.hub, batch.id)
    assert propose(shop).id != batch.id


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"actor": "ida"}, "'ida' names nobody; write staff:ida"),
        ({"reason": "goodwil"}, "program.yaml has no reason 'goodwil'; did you mean 'goodwill'"),
        ({"role": "manager"}, "hub.yaml has no role 'manager'"),
    ],
)
def test_who_proposes_says_who_and_why(shop, more, said):
    result = simulate(shop.database, tried(BETTER), now=shop.clock())
    with pytest.raises(CannotBackfill) as caught:
        backfill.propose(shop.hub, result, **{"actor": "staff:ida", "reason": "correction", **more})
    assert said in str(caught.value)


def test_nothing_that_differs_is_no_batch(shop):
    result = simulate(shop.database, tried(PROGRAM), now=shop.clock())
    with pytest.raises(CannotBackfill, match="no points that differ"):
        backfill.propose(shop.hub, result, actor="staff:ida", reason="correction")


def test_once_posted_the_ledger_is_what_was_simulated(shop, batch):
    """A simulation over the adjusted past sees the adjustments: what would be given twice shows."""
    allow(shop, batch)
    backfill.post(shop.hub, batch.id)
    again = simulate(shop.database, tried(PROGRAM), now=shop.clock())
    assert not again.differs


def test_who_may_allow_it_is_told(sqlite, tmp_path):
    """A batch is about no member of its own: what is told of it names none."""
    bench = levelled.levels(tmp_path / "hub", url_of(sqlite))
    bench.play("app", "purchase.paid", levelled.order("A", 10))
    new = tried(levelled.PROGRAM.replace("points: 1, per", "points: 2, per") + levelled.TIERS)
    result = simulate(bench.hub.database, new, now=bench.clock())
    batch = backfill.propose(
        bench.hub, result, actor="staff:ida", reason="correction", role="loyalty_manager"
    )
    assert levelled.told(bench) == ["approval.requested"]
    desk.decide(bench.hub, batch.approval, approved=True, actor="staff:bo")
    assert levelled.told(bench) == ["approval.requested", "approval.approved"]
    assert backfill.post(bench.hub, batch.id).state == "posted"
    bench.hub.close()
