"""Upkeep of connections: asking platforms that do not tell, renewing subscriptions, finding what never came.

`run_due` does what is due and is called by the engine; the others are commands' (`hub subscribe`, `hub connect`,
`hub reconcile`). Whatever a platform is found to have goes through the inbox like a webhook.
"""

from hub.upkeep.connecting import Authorisation
from hub.upkeep.pulse import Silence, listen
from hub.upkeep.reconciling import Reconciliation, reconcile
from hub.upkeep.tasks import TASKS, Due, plan, ring, run_due

__all__ = [
    "TASKS",
    "Authorisation",
    "Due",
    "Reconciliation",
    "Silence",
    "listen",
    "plan",
    "reconcile",
    "ring",
    "run_due",
]
