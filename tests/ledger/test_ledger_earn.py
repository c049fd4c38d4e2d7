"""Earning: points for a fact, once."""

from __future__ import annotations

import contextlib
import threading

import pytest
import sqlalchemy as sa
from shop import Happening, Order

from hub.sdk.errors import InsufficientPoints, KeyReused
from hub.storage.tables import earning, posting


def test_a_purchase_earns_points_that_are_pending_until_their_time(shop):
    posted = shop.earn("shop:order/1", shop.award(40, available=14))
    assert (posted.kind, posted.key, posted.points) == ("earn", "earn:shop:order/1", {"beans": 40})
    assert shop.postings() == [("earn", {"issued": -40, "pending": 40})]
    shop.has(pending=40)


def test_points_without_a_pending_time_are_active_at_once(shop):
    shop.earn("shop:order/1", 40)
    assert shop.postings() == [("earn", {"active": 40, "issued": -40})]
    shop.has(active=40)


def test_rules_and_wallets_make_one_posting_with_a_lot_each(shop):
    posted = shop.earn(
        "shop:order/1",
        40,
        shop.award(10, rule="bonus"),
        shop.award(40, wallet="status"),
        shop.award(0, rule="nil"),
    )
    assert posted.points == {"beans": 50, "status": 40}
    assert shop.lots() == [(0, 40), (0, 10), (0, 40)]
    assert len(shop.postings()) == 1
    shop.has(active=50)


def test_a_fact_without_points_leaves_no_trace(shop):
    assert shop.earn("shop:order/1", 0) is None
    assert shop.postings() == []
    with shop.book(origins=["shop:order/1"]) as book:
        assert book.earning("shop:order/1") is None


@pytest.mark.parametrize("days_later", [0, 1, 400], ids=["at once", "the next day", "after a year"])
def test_the_same_event_again_posts_nothing_and_gets_the_first_answer(shop, days_later):
    """Seen in the wild: a replay of the stored events paid again."""
    at = shop.now
    first = shop.earn("shop:order/1", 40, occurred_at=at)
    shop.later(days_later)
    again = shop.earn("shop:order/1", 40, occurred_at=at)
    assert again == first
    shop.has(active=40)


def test_every_change_of_an_order_s_status_earns_nothing_more(shop):
    """Seen in many shops' plugins: points again whenever an order is saved."""
    for _ in ("paid", "packed", "sent", "delivered"):
        shop.earn("shop:order/1", 40, data={"id": "1"})
    shop.has(active=40)


def test_a_price_that_changed_in_the_meantime_does_not_make_it_another_request(shop):
    first = shop.earn("shop:order/1", 40)
    assert shop.earn("shop:order/1", 80) == first  # the programme pays double now; what was posted stays
    shop.has(active=40)


@pytest.mark.parametrize(
    "changed",
    [{"order": Order(net_minor=1)}, {"order": Order(currency="SEK")}, {"data": {"id": "2"}}, {"ago": 1}],
    ids=["amount", "currency", "content", "time"],
)
def test_the_same_fact_with_other_content_is_for_a_person_to_see(shop, changed):
    shop.earn("shop:order/1", 40, data={"id": "1"})
    with pytest.raises(KeyReused, match="earn:shop:order/1 was posted before with other content"):
        shop.earn("shop:order/1", 40, **{"data": {"id": "1"}, **changed})
    shop.has(active=40)


def test_the_same_fact_for_another_member_is_for_a_person_to_see(shop):
    shop.earn("shop:order/1", 40)
    other = shop.enrol()
    with pytest.raises(KeyReused):
        shop.earn("shop:order/1", 40, member=other)
    assert shop.balance(other)["active"] == 0


def test_twice_in_one_batch_is_once(shop):
    with shop.book(facts=["shop:order/1"]) as book:
        cause = shop.happening(book.tx)
        both = [
            book.earn(
                shop.member, fact="shop:order/1", awards=[shop.award(40)], occurred_at=shop.now, cause=cause
            )
            for _ in range(2)
        ]
    assert both[0] == both[1]
    assert book.posted == both[:1]
    shop.has(active=40)


def test_a_posting_that_was_not_committed_is_made_again(shop):
    """Seen in the wild: points granted before the mark against duplicates was committed, and again on retry."""

    class PowerCut(Exception):
        pass

    with contextlib.suppress(PowerCut), shop.book(facts=["shop:order/1"]) as book:
        cause = shop.happening(book.tx)
        book.earn(
            shop.member, fact="shop:order/1", awards=[shop.award(40)], occurred_at=shop.now, cause=cause
        )
        book.flush(book.tx)
        raise PowerCut
    shop.has()
    shop.earn("shop:order/1", 40)
    shop.has(active=40)


def test_eight_workers_post_the_same_fact_at_once_and_it_counts_once(shop):
    start, lost = threading.Barrier(8), []

    def work() -> None:
        start.wait()
        for _ in range(8):
            try:
                shop.earn("shop:order/1", 40, data={"id": "1"})
                return
            except sa.exc.IntegrityError as error:
                lost.append(error)  # somebody else was first; the next try finds the answer

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(lost) < 8
    shop.has(active=40)


def test_batches_that_share_members_do_not_lock_each_other_out(shop):
    """Locks are taken in the order of ids, whatever the order of events."""
    members = [shop.enrol() for _ in range(6)]
    start, failures = threading.Barrier(2), []

    def work(worker: int) -> None:
        start.wait()
        for batch in range(5):
            facts = {
                f"shop:order/{worker}-{batch}-{m}": m for m in (members if worker else reversed(members))
            }
            try:
                with shop.book(members=list(facts.values()), facts=facts) as book:
                    for fact, owner in facts.items():
                        cause = shop.happening(book.tx, f"{fact}/paid")
                        book.earn(owner, fact=fact, awards=[shop.award(1)], occurred_at=shop.now, cause=cause)
            except Exception as error:  # noqa: BLE001 - shown by the assertion below
                failures.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert [shop.balance(each)["active"] for each in members] == [10] * 6
    shop.adds_up()


def test_a_late_event_counts_its_days_from_when_it_happened(shop):
    shop.earn("shop:order/1", shop.award(40, occurred_at=shop.now, available=-6, expires=345), ago=20)
    shop.has(active=40)


@pytest.mark.parametrize("expired_since", [11, 0], ids=["for days", "this instant"])
def test_what_was_over_before_we_heard_of_it_is_posted_and_expires_at_once(shop, expired_since):
    shop.earn("shop:order/1", 7)
    shop.spend(7)
    shop.settle("shop:order/1", 0)  # the member owes 7
    shop.earn("shop:order/2", shop.award(40, available=-390, expires=-expired_since), ago=400)
    assert shop.postings()[-2:] == [
        ("earn", {"issued": -40, "pending": 40}),
        ("expire", {"expired": 40, "pending": -40}),
    ]
    shop.has(debt=-7)  # a net of zero: such points do not repay what is owed


def test_our_clock_going_back_does_not_turn_the_history_around(shop):
    shop.earn("shop:order/1", 1)
    shop.now = shop.now.replace(hour=3)
    posted = shop.earn("shop:order/2", 1)
    assert posted.posted_at.hour == 9
    shop.has(active=2)


def test_what_a_posting_belongs_to_is_written_with_it(shop):
    posted = shop.earn("shop:order/1", 40, data={"id": "1"})
    with shop.database.read() as connection:
        row = connection.execute(sa.select(earning)).one()
        assert (row.fact, row.posting, row.member) == ("shop:order/1", posted.id, shop.member)
        assert (row.net_minor, row.gross_minor, row.currency) == (10000, 12000, "EUR")
        assert row.program_version == connection.scalar(sa.select(posting.c.program_version))


def test_an_operation_the_book_was_not_opened_for_says_so(shop):
    stranger = shop.enrol()
    happened = {
        "fact": "shop:order/1",
        "awards": [shop.award(1)],
        "occurred_at": shop.now,
        "cause": Happening("e"),
    }
    with shop.book(facts=["shop:order/1"]) as book:
        with pytest.raises(LookupError, match=f"not open for member {stranger}"):
            book.earn(stranger, **happened)
        with pytest.raises(LookupError, match="not open for the key earn:shop:order/2"):
            book.earn(shop.member, **(happened | {"fact": "shop:order/2"}))
        with pytest.raises(LookupError, match="not open for the earning of shop:order/9"):
            book.earning("shop:order/9")
    assert shop.postings() == []


def test_a_person_s_adjustment_carries_who_and_why(shop):
    shop.gift(30, expires=90)
    shop.gift(5)
    with shop.database.read() as connection:
        row = connection.execute(sa.select(posting).order_by(posting.c.id)).first()
    assert (row.kind, row.actor, row.reason, row.event) == ("adjust", "maria", "goodwill", None)
    shop.spend(33)
    assert shop.lots() == [(0, 0), (0, 2)]  # what expires goes first
    with pytest.raises(InsufficientPoints, match="3 points wanted, 2 available"):
        shop.spend(3)
    shop.has(active=2)


def test_points_that_a_person_gives_expire_when_that_was_said(shop):
    shop.gift(30, expires=90)
    shop.later(90)
    shop.has()


def test_a_person_takes_no_more_than_there_is(shop):
    shop.earn("shop:order/1", shop.award(40, available=14))
    shop.gift(5)
    with pytest.raises(InsufficientPoints, match="6 points wanted, 5 available"):
        shop.gift(-6)
    shop.gift(-5)
    shop.has(pending=40)


@pytest.mark.parametrize("missing", [{"points": 0}, {"actor": ""}, {"reason": " "}])
def test_an_adjustment_without_points_actor_or_reason_is_refused(shop, missing):
    asked = {"points": 5, "actor": "maria", "reason": "goodwill", "key": "k", **missing}
    with shop.book(keys=["k"]) as book, pytest.raises(ValueError, match="has points, an actor and a reason"):
        book.adjust(shop.member, "beans", **asked)


def test_a_batch_reads_in_the_same_few_queries_however_many_members_it_has_and_writes_in_bulk(shop):
    reads, writes = [], []
    for many in (2, 50):
        with shop.database.write() as tx:
            facts = {f"shop:order/{many}-{n}": shop.enrol(tx) for n in range(many)}
        with statements(shop.database.hub) as sent, shop.book(members=facts.values(), facts=facts) as book:
            for fact, owner in facts.items():
                book.earn(
                    owner, fact=fact, awards=[shop.award(1)], occurred_at=shop.now, cause=Happening(fact)
                )
        reads.append(sum(each.startswith("SELECT") for each in sent))
        writes.append(len(sent) - reads[-1])
    assert reads[0] == reads[1] <= 6
    assert writes[1] < 50  # of some 450 rows


@contextlib.contextmanager
def statements(engine):
    sent = []

    def note(_connection, _cursor, statement, *_):
        sent.append(statement)

    sa.event.listen(engine, "before_cursor_execute", note)
    yield sent
    sa.event.remove(engine, "before_cursor_execute", note)
