"""Rewards: what points buy, from the wish to the parcel.

    done = redeeming.act(hub, Scope(requests=...), lambda work: redemptions.request(work, member, "coffee", ...))
    done.vouchers[0].code

`redemptions` (request, confirm, release, give back), `vouchers` (validate, redeem, roll back), `cards` (charge,
refund) and `tasks` (create, check, done) are plain functions over one unit of work, `Rewards`; the pipeline, the
API and the command line call the same ones. `catalogue` says what a member can have; `due` finds what is over; `owners` follows merges.
"""

from hub.rewards import cards, catalogue, owners, reading, redemptions, tasks, vouchers
from hub.rewards.due import due, settle
from hub.rewards.orders import gone
from hub.rewards.records import Needs, Redemption, Refused, Scope, Task, Voucher
from hub.rewards.work import Rewards, look

__all__ = [
    "Needs",
    "Redemption",
    "Refused",
    "Rewards",
    "Scope",
    "Task",
    "Voucher",
    "cards",
    "catalogue",
    "due",
    "gone",
    "look",
    "owners",
    "reading",
    "redemptions",
    "settle",
    "tasks",
    "vouchers",
]
