"""The programme file: what canonical events are worth in points. Pure: no database, no clock of its own.

program = load_program(Path("program.yaml"))                # ConfigError carries every problem, file:line:column
if event.name in program.triggers:
priced = program.price(event, {"tier": "", "balance": 0}, usage)   # awards, counters, what came about, a trace
kept = refunds.keep(program, earning, member)                # after refunds, by the version that priced it
"""

from hub.rules import refunds
from hub.rules.amounts import Left, Money, amounts_of
from hub.rules.counters import Key, Usage, Used
from hub.rules.pricing import Priced, Reached, Tried
from hub.rules.program import SAMPLE_PROGRAM, Program, load_program, parse_program

__all__ = [
    "SAMPLE_PROGRAM",
    "Key",
    "Left",
    "Money",
    "Priced",
    "Program",
    "Reached",
    "Tried",
    "Usage",
    "Used",
    "amounts_of",
    "load_program",
    "parse_program",
    "refunds",
]
