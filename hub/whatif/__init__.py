"""What if: the stored past lived again in memory, with another programme or mapping, and compared with what was.

    history     what members did, read from the journal and the ledger, in the order in which it counted
    rereading   events as another mapping file reads them
    living      each event by `hub.effects`, each act by `hub.ledger`, at its own time, on units of work in memory
    outcome     what was and what would have been, by rule, level, wallet, month, member and event
    simulate    the three together
    proving     the same with the programmes that counted then: every member's chain has to end as it does

Nothing is written. What a simulation found can be posted as a batch: `hub.backfill`.
"""

from hub.whatif.outcome import Result
from hub.whatif.proving import Proof, prove
from hub.whatif.simulate import Remapped, simulate

__all__ = ["Proof", "Remapped", "Result", "prove", "simulate"]
