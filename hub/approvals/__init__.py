"""Approvals: what needs a person waits for one, before it has any effect.

    requested ──> applied     a person with the role allowed it, and it was done in the same transaction
              └─> lapsed      not possible any more, whether allowed or not; the reason says why
              └─> rejected

What is asked for is data (`kind`, `subject`); what allowing it does is in `kinds`, one entry for each kind. Whoever
asked never decides, and what is decided stays decided.

    approvals = Approvals.open(tx, ids, now=now, roles=roles)
    approvals.request("tier", key=..., member=..., ...)      # once for each key
    decide(step, id, approved=True, actor="staff:ida")       # Refused tells why not
    approvals.flush(tx)
"""

from hub.approvals.kinds import KINDS, Kind
from hub.approvals.reading import by_key, listed, overdue, show
from hub.approvals.redemptions import ask_for, key_of, lapse
from hub.approvals.work import PROGRAMME, Approval, Approvals, Refused, Roles, decide

__all__ = [
    "KINDS",
    "PROGRAMME",
    "Approval",
    "Approvals",
    "Kind",
    "Refused",
    "Roles",
    "ask_for",
    "by_key",
    "decide",
    "key_of",
    "lapse",
    "listed",
    "overdue",
    "show",
]
