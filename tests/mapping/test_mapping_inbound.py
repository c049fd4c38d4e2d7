"""One source event in, canonical events out; or a sentence that says why not."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import msgspec
import pytest
from roastery import ORDER, happening, paid

from hub.mapping import Ignored
from hub.sdk import MappingError
from hub.sdk.events import Line, MemberRef, Order, PurchasePaid, PurchaseRefunded, Refund

REFUND = {
    "refund": {"id": 9, "at": 1795168800, "cents": 1290},
    "order": {"id": 5551, "currency": "EUR"},
    "cups": 2,
}


def only(mapping, event):
    (emitted,) = mapping.apply(event, "shop")
    return emitted


def failure(mapping, event):
    with pytest.raises(MappingError) as caught:
        mapping.apply(event, "shop")
    return str(caught.value)


def test_an_order_becomes_a_purchase(mapping):
    assert mapping.apply(paid(), "shop") == [
        PurchasePaid(
            fact="roastery:order/5551",
            same_as=["card:pi_77"],
            occurred_at=datetime(2026, 11, 20, 9, 0, 0, 500000, tzinfo=UTC),
            member=MemberRef(id="42", email="ana@example.com", email_verified=True),
            order=Order(
                id="5551",
                number="B-1001",
                currency="EUR",
                net_minor=3870,
                gross_minor=4510,
                lines=[Line(id="1", net_minor=1290, sku="BL-1"), Line(id="2", net_minor=2580)],
            ),
        )
    ]


def test_every_rule_whose_condition_holds_emits_in_file_order(mapping):
    refunded, returned = mapping.apply(happening("order.refunded", REFUND), "shop")
    assert refunded == PurchaseRefunded(
        fact="roastery:refund/9",
        of="roastery:order/5551",
        occurred_at=datetime(2026, 11, 20, 10, 0, tzinfo=UTC),
        refund=Refund(id="9", currency="EUR", gross_minor=1290),
    )
    assert (returned.name, returned.data) == ("custom.cup_returned", {"cups": 2, "shop": "shop"})
    assert returned.occurred_at == datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def test_only_one_of_several_rules_may_hold(mapping):
    assert only(mapping, happening("order.refunded", {**REFUND, "cups": 0})).name == "purchase.refunded"


def test_test_events_are_marked_whatever_the_file_says(mapping):
    event = paid()
    assert only(mapping, event).test is False
    assert only(mapping, msgspec.structs.replace(event, test=True)).test is True


@pytest.mark.parametrize(
    ("event", "kind", "reason"),
    [
        (happening("order.made", {}), "unknown", "roastery.yaml has no rule for 'order.made'"),
        (happening("newsletter.sent", {}), "rule", "roastery.yaml ignores 'newsletter.sent'"),
        (happening("stock.low", {}), "rule", "says nothing about members"),
        (
            happening("order.paid", {"state": "open"}),
            "condition",
            "`payload.state == 'paid'` (line 5) does not hold; payload.state is 'open'",
        ),
        (
            happening("order.refunded", {"cups": 0}),
            "condition",
            (
                "`has(payload.refund)` (line 21) does not hold; payload.refund is nothing; "
                "`payload.cups > 0` (line 27) does not hold; payload.cups is 0"
            ),
        ),
    ],
)
def test_an_event_that_means_nothing_says_why(mapping, event, kind, reason):
    assert mapping.apply(event, "shop") == Ignored(kind, reason)


class TestAbsence:
    """A missing key, null and a null on the way are the same: nothing there."""

    @pytest.mark.parametrize("number", [None, ...])
    def test_an_optional_field_is_left_out(self, mapping, number):
        assert only(mapping, paid(number=number)).order.number == ""

    @pytest.mark.parametrize("customer", [None, ..., {}, {"id": None}])
    def test_a_guest_has_an_email_and_no_id(self, mapping, customer):
        member = only(mapping, paid(customer=customer)).member
        assert member == MemberRef(email="ana@example.com", email_verified=True)

    @pytest.mark.parametrize("gone", [None, ...])
    def test_an_optional_parent_goes_when_nothing_of_it_is_there(self, mapping, gone):
        assert only(mapping, paid(customer=gone, email=gone)).member == MemberRef()

    @pytest.mark.parametrize(
        ("gone", "error"),
        [
            (..., 'no key "email"; o.email is nothing'),
            (None, "is null; o.email is null"),
        ],
    )
    def test_an_optional_parent_that_is_there_needs_its_other_fields(self, mapping, gone, error):
        assert failure(mapping, paid(email=gone)) == f"roastery.yaml:10:40: order.paid: member.email: {error}"

    def test_an_optional_field_that_is_there_and_wrong_is_no_absence(self, mapping):
        """A platform that turns an object into text must not silently lose every member."""
        assert failure(mapping, paid(customer="cus_42")) == (
            "roastery.yaml:10:18: order.paid: member.id: reads a key of something that is not an object; "
            "o.customer is 'cus_42'"
        )


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        (
            {"net": ...},
            "15:18: order.paid: order.net_minor: no key \"net\"; o.net is nothing, o.currency is 'EUR'",
        ),
        (
            {"net": None},
            "15:18: order.paid: order.net_minor: cannot apply money(null, string); o.net is null, o.currency is 'EUR'",
        ),
        (
            {"net": "38.705"},
            (
                "15:18: order.paid: order.net_minor: '38.705' has more decimals than EUR (2); "
                "o.net is '38.705', o.currency is 'EUR'"
            ),
        ),
        (
            {"net": "-1"},
            "15:18: order.paid: order.net_minor: expected int >= 0; o.net is '-1', o.currency is 'EUR'",
        ),
        ({"id": ["x"]}, "7:11: order.paid: fact: cannot apply string(list); o.id is ['x']"),
        ({"id": True}, "12:11: order.paid: order.id: expected str, got bool; o.id is true"),
        ({"id": "x" * 200}, f"7:11: order.paid: fact: expected str of length <= 200; o.id is '{'x' * 76}..."),
        (
            {"paid_at": "today"},
            "9:18: order.paid: occurred_at: 'today' is not ISO 8601; Unix times need unix(...) or unix_ms(...); o.paid_at is 'today'",
        ),
        (
            {"paid_at": "2026-11-20T10:00:00"},
            "9:18: order.paid: occurred_at: '2026-11-20T10:00:00' has no offset from UTC (such as Z or +02:00); o.paid_at is '2026-11-20T10:00:00'",
        ),
        (
            {"paid_at": "0001-01-01T00:00:00+02:00"},
            "9:18: order.paid: occurred_at: '0001-01-01T00:00:00+02:00' is beyond the years 1 to 9999; o.paid_at is '0001-01-01T00:00:00+02:00'",
        ),
        (
            {"paid_at": 1795168800},
            "9:18: order.paid: occurred_at: a number is no time: use unix(...) for seconds, unix_ms(...) for milliseconds; o.paid_at is 1795168800",
        ),
        (
            {"lines": None},
            "17:14: order.paid: order.lines: goes through something that is not a list; o.lines is null, o.currency is 'EUR'",
        ),
    ],
)
def test_a_field_that_cannot_be_read_names_its_place_and_what_it_saw(mapping, changes, error):
    assert failure(mapping, paid(**changes)) == f"roastery.yaml:{error}"


def test_a_fault_inside_a_list_names_the_item(mapping):
    lines = [{**ORDER["lines"][0]}, {"id": None, "price": "1.00", "sku": ""}]
    assert failure(mapping, paid(lines=lines)).startswith(
        "roastery.yaml:17:14: order.paid: order.lines: order.lines[1].id: expected str, got null; o.lines is [{"
    )


def test_a_condition_that_cannot_be_read_is_an_error_not_a_no(mapping):
    assert failure(mapping, happening("order.paid", {})) == (
        'roastery.yaml:5:9: order.paid: if: no key "state"; payload.state is nothing'
    )


def test_when_one_rule_fails_none_emits(mapping):
    assert "order.refunded: refund.gross_minor" in failure(
        mapping, happening("order.refunded", {**REFUND, "refund": {"id": 9, "at": 1, "cents": "12.90"}})
    )


@pytest.mark.parametrize("payload", [None, [], "text", 7, {"state": {"a": 1}}])
def test_a_payload_of_any_shape_is_an_error_never_a_crash(mapping, payload):
    event = happening("order.refunded", payload)
    with pytest.raises(MappingError):
        mapping.apply(event, "shop")


def test_threads_share_a_mapping(mapping):
    def work(number):
        return all(only(mapping, paid(id=number)).fact == f"roastery:order/{number}" for _ in range(20))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(32)))
