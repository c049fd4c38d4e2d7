"""A wish that comes as a webhook: redeemed once, refused with its reason, and given back with its order."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from hub.storage.tables import event, identity, redemption

SHIPPED = Path(__file__).parents[2] / "mappings" / "standard_webhooks.yaml"
HEARD = (
    "redemption.held",
    "redemption.confirmed",
    "redemption.refused",
    "redemption.returned",
    "voucher.issued",
    "task.created",
)
TOLD = """
  - trigger: {trigger}
    params:
      type: "'{trigger}'"
      data: "{{'{word}': {word}}}"
"""


@pytest.fixture
def shop(open_counter, tmp_path):
    """The counter, its member known to the app as brew-20417, and the app listening."""
    folder = tmp_path / "hub" / "mappings"
    folder.mkdir(parents=True)
    rules = "".join(TOLD.format(trigger=each, word=each.partition(".")[0]) for each in HEARD)
    mapping = SHIPPED.read_text()
    start = mapping.index("  send:")
    (folder / "standard_webhooks.yaml").write_text(mapping[:start] + "  send:" + rules)
    counter = open_counter()
    row = {"source": "app", "value": "brew-20417", "member": counter.member, "created_at": counter.now}
    with counter.hub.database.write() as tx:
        tx.execute(identity.insert(), row)
    return counter


def wish(reward: str, number: str = "r1", **more: str) -> dict:
    return {
        "data.redemption.id": number,
        "data.redemption.reward": reward,
        "data.redemption.order": more.pop("order", "none"),
        **{f"data.redemption.{name}": value for name, value in more.items()},
    }


def order(number: str, net: int, gross: int) -> dict:
    return {
        "data.order.id": number,
        "data.order.net_minor": net,
        "data.order.gross_minor": gross,
        "data.order.lines": [],
    }


def refund(number: str, of: str, gross: int) -> dict:
    return {
        "data.refund.id": number,
        "data.order.id": of,
        "data.refund.gross_minor": gross,
        "data.refund.net_minor": gross,
    }


def events(counter, name: str) -> list[tuple[str, str]]:
    query = sa.select(event.c.state, event.c.reason).where(event.c.name == name).order_by(event.c.id)
    return [tuple(row) for row in counter.rows(query)]


def redemptions(counter) -> list[tuple[str, str, int]]:
    query = sa.select(redemption.c.reward, redemption.c.state, redemption.c.returned).order_by(
        redemption.c.id
    )
    return [tuple(row) for row in counter.rows(query)]


def test_a_wish_is_redeemed_once_however_often_it_is_delivered(shop):
    for _ in range(3):
        shop.bench.play("app", "redemption.requested", wish("coffee", channel="app"))

    assert redemptions(shop) == [("coffee", "fulfilled", 0)]
    assert shop.points() == (9_850, 0)
    told = shop.told()
    assert [each["type"] for each in told] == ["redemption.confirmed", "voucher.issued"]
    assert (
        told[0]["data"]["redemption"].items() >= {"reward": "coffee", "points": 150, "channel": "app"}.items()
    )
    assert told[1]["data"]["voucher"]["value"] == "free:espresso"
    assert (
        shop.use(told[1]["data"]["voucher"]["code"]).state == "redeemed"
    )  # the code that was told is the code
    shop.adds_up()


def test_a_wish_that_cannot_be_granted_leaves_its_reason_and_is_told(shop):
    shop.bench.play("app", "redemption.requested", wish("advent"))
    reason = "advent is not there before 2026-12-01 00:00"
    assert events(shop, "redemption.requested") == [("done", f"refused: {reason}")]
    assert redemptions(shop) == [("advent", "refused", 0)]
    (told,) = shop.told()
    assert (told["type"], told["data"]["redemption"]["reason"]) == ("redemption.refused", reason)
    shop.adds_up()


def test_a_choice_names_its_option(shop):
    shop.bench.play("app", "redemption.requested", wish("treat", option="mug"))
    assert shop.tasks() == [("warehouse", "open")]
    assert [each["type"] for each in shop.told()] == ["redemption.confirmed", "task.created"]
    assert shop.told()[1]["data"]["task"]["checklist"] == ["picked", "packed", "dispatched"]


def test_a_wish_that_needs_a_yes_waits_for_it(shop):
    for number in ("r1", "r2"):  # of one batch: the first counts for the second
        shop.bench.send("app", "redemption.requested", wish("tasting", number))
    shop.bench.work()
    assert events(shop, "redemption.requested") == [("done", ""), ("done", "waits for a loyalty_manager")]
    assert [state for _, state, _ in redemptions(shop)] == ["fulfilled", "held"]


def test_wishes_of_one_batch_share_points_stock_and_limits(shop):  # D10
    for number in range(4):
        shop.bench.send("app", "redemption.requested", wish("sticker", f"s{number}"))
    for number in range(2):
        shop.bench.send("app", "redemption.requested", wish("mug", f"m{number}"))
    shop.bench.work()
    assert [state for _, state, _ in redemptions(shop)] == [
        "fulfilled", "fulfilled", "refused", "refused", "confirmed", "refused",
    ]  # fmt: skip
    assert shop.points() == (10_000 - 2 * 50 - 800, 0)
    shop.adds_up()


def test_a_stranger_redeems_nothing(shop):
    nobody = {"data.member": {"email": "stranger@example.com"}}
    shop.bench.play("app", "redemption.requested", wish("coffee") | nobody)
    assert events(shop, "redemption.requested") == [
        ("done", "nobody is known by it, so nothing was redeemed")
    ]
    assert redemptions(shop) == []


# 400 points were spent on an order of 40.00 EUR gross, which earned 30 points by its 30.00 EUR net.
REFUNDS = [
    ([1000], [100]),  # a quarter of it: 100 of 400
    ([1000, 1000], [100, 200]),
    ([1, 3999], [0, 400]),  # 0.1 points, then all of it
    ([1333, 1333, 1334], [133, 267, 400]),  # 133.3, then 266.6: rounded once, of the whole
    ([4000], [400]),
]


@pytest.mark.parametrize(("amounts", "returned"), REFUNDS)
@pytest.mark.parametrize("earns", [True, False])
def test_points_spent_on_an_order_come_back_as_far_as_it_is_refunded(shop, amounts, returned, earns):
    net = 3000 if earns else 999  # below the 10.00 EUR that the rule asks for
    shop.bench.play("app", "redemption.requested", wish("five_off", order="A1"))
    shop.bench.play("app", "purchase.paid", order("A1", net, 4000))
    for n, (amount, back) in enumerate(zip(amounts, returned, strict=True)):
        shop.bench.play("app", "purchase.refunded", refund(f"R{n}", "A1", amount))
        shop.bench.play("app", "purchase.refunded", refund(f"R{n}", "A1", amount))  # told twice
        assert redemptions(shop)[0][2] == back
    assert redemptions(shop)[0][1] == ("returned" if returned[-1] == 400 else "fulfilled")
    shop.adds_up()


@pytest.mark.parametrize("earns", [True, False])
def test_a_cancelled_order_gives_back_all_that_was_spent_on_it(shop, earns):
    shop.bench.play("app", "redemption.requested", wish("five_off", order="A1"))
    shop.bench.play("app", "purchase.paid", order("A1", 3000 if earns else 999, 4000))
    shop.bench.play("app", "purchase.cancelled", {"data.order.id": "A1"})
    assert redemptions(shop) == [("five_off", "returned", 400)]
    assert events(shop, "purchase.cancelled") == [
        ("done", "400 points spent on app:order/A1 were given back")
    ]
    assert shop.points() == (10_000, 0)
    assert shop.told()[-1]["type"] == "redemption.returned"
    shop.adds_up()


def test_a_refund_in_the_same_batch_as_its_order_gives_back_too(shop):
    shop.bench.send("app", "redemption.requested", wish("five_off", order="A1"))
    shop.bench.send("app", "purchase.paid", order("A1", 999, 4000))
    shop.bench.send("app", "purchase.refunded", refund("R1", "A1", 2000))
    shop.bench.work()
    assert redemptions(shop) == [("five_off", "fulfilled", 200)]
    shop.adds_up()


def test_an_order_without_redemptions_is_refunded_as_ever(shop):
    shop.bench.play("app", "purchase.paid", order("A1", 3000, 4000))
    shop.bench.play("app", "purchase.refunded", refund("R1", "A1", 2000))
    assert shop.points() == (10_010, 0)  # 30.00 EUR less 20.00
    assert events(shop, "purchase.refunded") == [("done", "")]
