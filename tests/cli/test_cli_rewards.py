"""Rewards, vouchers and tasks from the command line, as somebody at the till uses them."""

from __future__ import annotations

import pytest

PROGRAM = """
version: 1
program: {id: brewline, timezone: Europe/Berlin, currency: EUR}
identity: {match: [external_id, verified_email], enrol: automatic}
wallets: {beans: {expiry: never}}
earning:
  - {id: base, trigger: purchase.paid, rate: {points: 100, per: "1.00 EUR"}}
rewards:
  - {id: coffee, kind: voucher, cost: 150, value: "free:espresso", valid: 60 days}
  - {id: card, kind: gift_card, cost: 500, value: "25.00 EUR"}
  - {id: mug, kind: physical, cost: 800, stock: 1, task: {queue: warehouse, checklist: [picked, packed]}}
"""
MARA = "mara.lindqvist@example.com"


@pytest.fixture
def till(hub):
    """A hub in which Mara has 3350 beans: 33.50 EUR at a hundred for each euro."""
    from hub import pipeline
    from hub.hub import open_hub
    from hub.sending import sample, signed

    (hub.folder / "program.yaml").write_text(PROGRAM)
    running = open_hub(hub.folder / "hub.yaml")
    source = running.connections["standard_webhooks"]
    pipeline.accept(source, signed(source, sample(source, "purchase.paid"), running.clock()), running.inbox)
    while pipeline.process(running):
        pass
    running.close()
    return hub


def test_the_catalogue_shows_what_is_in_a_member_s_way(till):
    rows = {row["reward"]: row for row in till("rewards", "list", "--member", MARA, "--json").rows}
    assert [(name, row["affordable"]) for name, row in rows.items()] == [
        ("mug", True),
        ("card", True),
        ("coffee", True),
    ]
    assert rows["mug"]["left"] == 1
    assert "free:espresso" in till("rewards", "list").out


def test_a_voucher_is_bought_checked_used_and_rolled_back(till):
    bought = till("rewards", "redeem", MARA, "coffee", "--as", "staff:ida", "--json")
    assert bought.status == 0
    (done,) = bought.rows
    (code,) = done["codes"]
    assert (done["state"], done["points"]) == ("fulfilled", 150)

    (verdict,) = till("vouchers", "validate", code, "--member", MARA, "--json").rows
    assert (verdict["valid"], verdict["value"]) == (True, "free:espresso")
    assert till("vouchers", "redeem", code.lower(), "--member", MARA, "--key", "till:1").status == 0
    again = till("vouchers", "redeem", code, "--member", MARA)
    assert (again.status, "is redeemed since" in again.out) == (1, True)
    assert till("vouchers", "roll-back", code, "--reason", "the machine broke").status == 0
    shown = till("vouchers", "show", code).out
    assert all(word in shown for word in ("issued", "redeemed", "rolled_back", "the machine broke", "till:1"))


def test_points_are_held_confirmed_released_and_given_back(till):
    held = [till("rewards", "redeem", MARA, "coffee", "--hold", "--json").rows[0]["id"] for _ in range(2)]
    assert till("rewards", "confirm", held[0]).status == 0
    assert till("rewards", "release", held[1], "--reason", "changed their mind").status == 0
    assert till("rewards", "give-back", held[0], "--points", "50").status == 0
    rows = till("rewards", "history", "--member", MARA, "--json").rows
    assert [(row["state"], row["returned"]) for row in rows] == [("released", 0), ("fulfilled", 50)]
    late = till("rewards", "confirm", held[1])
    assert (late.status, "is released: only what is held can be confirmed" in late.out) == (1, True)


def test_a_parcel_is_a_task_in_the_warehouse(till):
    (done,) = till("rewards", "redeem", MARA, "mug", "--json").rows
    assert done["state"] == "confirmed"
    assert "[ ] picked, [ ] packed" in till("tasks", "list", "--queue", "warehouse").out
    early = till("tasks", "done", done["task"], "--as", "staff:ben")
    assert (early.status, "not done yet: picked, packed" in early.out) == (1, True)
    assert "packed left" in till("tasks", "check", done["task"], "picked", "--as", "staff:ben").out
    ended = till("tasks", "done", done["task"], "--as", "staff:ben", "--all", "--tracking", "JD0146")
    assert "done by staff:ben, parcel JD0146" in ended.out
    assert [row["state"] for row in till("tasks", "list", "--state", "done", "--json").rows] == ["done"]
    refused = till("rewards", "redeem", MARA, "mug", "--json")
    assert (refused.status, refused.rows[0]["reason"]) == (1, "mug is out of stock")
    assert till("ledger", "verify").status == 0


def test_a_gift_card_is_charged_and_refunded(till):
    code = till("rewards", "redeem", MARA, "card", "--json").rows[0]["codes"][0]
    (charged,) = till("vouchers", "charge", code, "12.90 EUR", "--key", "till:7", "--json").rows
    assert charged["balance_minor"] == 2500 - 1290
    (back,) = till("vouchers", "refund", code, "2.90 EUR", "--of", "till:7", "--json").rows
    assert back["balance_minor"] == 2500 - 1290 + 290
    too_much = till("vouchers", "charge", code, "15.01 EUR")
    assert (too_much.status, "has 15.00 EUR left, and 15.01 EUR are wanted" in too_much.out) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("rewards", "redeem", "nobody@example.com", "coffee"), 1, "no member is known as 'nobody@example.com'"),
        (("rewards", "redeem", MARA, "cofee"), 1, "no reward is named 'cofee'; did you mean 'coffee'?"),
        (("rewards", "confirm", "7"), 1, "'7' is no id: copy it from a list"),
        (("rewards", "confirm", "0197a000-0000-7000-8000-000000000000"), 1, "no redemption has the id"),
        (("rewards", "history", "--state", "gone"), 2, "'gone' is no state"),
        (("vouchers", "show", "nonsense"), 1, "no voucher has the code nonsense"),
        (("vouchers", "validate", "nonsense"), 1, "no voucher has the code nonsense"),
        (("vouchers", "charge", "nonsense", "a lot"), 2, "write '12.90 EUR'"),
        (("tasks", "done", "0197a000-0000-7000-8000-000000000000", "--as", "staff:ben"), 1, "no task has the id"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_sentence(till, arguments, status, told):
    got = till(*arguments)
    assert got.status == status
    assert told in " ".join(got.out.split())
