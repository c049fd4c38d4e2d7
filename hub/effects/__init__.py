"""What each canonical event does to members and points.

touched    what events name, so that all of it is read at once
step       the units of work they share
people, earning, returning, asking    what they do
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hub.effects.asking import SEEN, decide_approval, note, redeem, see
from hub.effects.earning import earn
from hub.effects.people import consent, erase, identify, merge, profile
from hub.effects.returning import cancel, refund, reinstate, reopen, win
from hub.effects.step import Step
from hub.effects.touched import event_of
from hub.facts import Conflict
from hub.journal import Entry
from hub.sdk.errors import KeyReused, MergeRefused, PricingError

__all__ = ["EFFECTS", "Step", "apply", "identify"]


def apply(step: Step, entry: Entry) -> None:
    """Do what the entry's event asks for. Trouble that a person must see parks it; then nothing is posted."""
    if entry.member:
        entry.member = step.directory.living(entry.member)
    try:
        EFFECTS.get(event_of(entry).name, earn)(step, entry)
        step.rank(entry)
    except (Conflict, KeyReused, MergeRefused, PricingError) as error:
        entry.park(str(error))


EFFECTS: Mapping[str, Callable[[Step, Entry], None]] = {
    "deal.won": win,
    "deal.reopened": reopen,
    "purchase.refunded": refund,
    "purchase.cancelled": cancel,
    "purchase.reinstated": reinstate,
    "member.created": profile,
    "member.updated": profile,
    "member.merged": merge,
    "member.erased": erase,
    "consent.changed": consent,
    "command.received": note,
    "approval.decided": decide_approval,
    "redemption.requested": redeem,
    **dict.fromkeys(SEEN, see),
}
"""Every other event earns what the programme's rules give for it."""
