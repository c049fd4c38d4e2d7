"""What a platform tells of a message is told of the voucher in it: it reached its member, who looked at it."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from hub.storage.tables import outbox, voucher, voucher_step

SHIPPED = Path(__file__).parents[2] / "mappings" / "twilio.yaml"
SMS = """
  sms:
    connector: twilio
    secrets: [auth-token-of-the-test]
    settings:
      account_sid: AC00000000000000000000000000000b7e
      auth_token: auth-token-of-the-test
      sender: "+4915735990000"
"""
SENDS = """
outbound:
  send_sms:
    trigger: voucher.issued
    params: {to: "'+4915550101234'", text: "'Your code: ' + voucher.code"}
"""
SID = "SM0000000000000000000000000000b101"


@pytest.fixture
def counter(open_counter, tmp_path):
    """A counter that texts every new code."""
    folder = tmp_path / "hub" / "mappings"
    folder.mkdir(parents=True)
    mapping = SHIPPED.read_text(encoding="utf-8")
    (folder / "twilio.yaml").write_text(mapping[: mapping.index("\noutbound:")] + SENDS)
    return open_counter(connections=SMS)


def texted(counter, reward, sid=SID):
    """Buy a reward, and have Twilio take the text about it; return the voucher."""
    bought = counter.ask(reward).vouchers[0]
    (row,) = counter.rows(sa.select(outbox).where(outbox.c.voucher == bought.id))
    assert row.params["text"] == f"Your code: {bought.code}"
    with counter.hub.database.write() as tx:
        tx.execute(outbox.update().where(outbox.c.id == row.id).values(state="done", remote_id=sid))
    return bought


def test_a_code_is_delivered_and_viewed_by_what_the_platform_tells(counter):  # B61
    bought, other = texted(counter, "coffee"), texted(counter, "five_off", "SM" + "9" * 32)
    counter.bench.play("sms", "status.delivered", {"MessageSid": SID})
    assert (counter.state(bought), counter.state(other)) == ("delivered", "issued")
    counter.bench.play("sms", "status.read", {"MessageSid": SID})
    counter.bench.play("sms", "status.delivered", {"MessageSid": SID})  # late: it was looked at by now
    assert counter.state(bought) == "viewed"
    assert counter.uses(bought) == ["issued", "delivered", "viewed"]
    steps = sa.select(voucher_step.c.channel, voucher_step.c.event).where(voucher_step.c.voucher == bought.id)
    first, *seen = counter.rows(steps.order_by(voucher_step.c.n))
    assert first.event is None
    assert [row.channel for row in seen] == ["sms", "whatsapp"]  # Twilio tells of reading by WhatsApp alone
    assert all(row.event for row in seen)
    counter.use(bought.code)
    assert counter.state(bought) == "redeemed"
    counter.adds_up()


def test_a_message_without_a_voucher_changes_none(counter):
    bought = texted(counter, "coffee")
    counter.bench.play("sms", "status.delivered", {"MessageSid": "SM" + "1" * 32})
    assert counter.state(bought) == "issued"


def test_a_used_code_stays_used(counter):
    bought = texted(counter, "coffee")
    counter.use(bought.code)
    counter.bench.play("sms", "status.read", {"MessageSid": SID})
    assert counter.state(bought) == "redeemed"
    assert counter.rows(sa.select(sa.func.count()).select_from(voucher))[0][0] == 1
