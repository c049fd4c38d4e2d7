"""The programme: what events are worth. Loaded and checked whole, then applied to many events from any thread. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hub.expressions import Activation
from hub.rules.amounts import Left
from hub.rules.check import Checker
from hub.rules.clauses import first_false
from hub.rules.compiled import EARNED, Compiled, body_of, environment, variables
from hub.rules.counters import ALL, NO_CEILING, Ceiling, Counters, Key, Usage, Used, key_of
from hub.rules.pricing import Priced, Pricing
from hub.rules.referrals import Referral, referral
from hub.rules.rewards import Catalogue, catalogue
from hub.rules.schema import ProgramFile
from hub.rules.tiers import Adjusting, Ladder, adjusting, ladder
from hub.rules.times import Inactivity, instant
from hub.sdk.errors import ConfigError
from hub.sdk.events import Event
from hub.values import DebtPolicy
from hub.yamlfile import Document, in_file_order, parse, read, validate

SAMPLE_PROGRAM = Path(__file__).with_name("program.yaml")
"""The programme a merchant starts from."""

_ALWAYS = datetime.min.replace(tzinfo=UTC)
_NO_USAGE: Usage = {}


class Program:
    """One version of program.yaml.

    Attributes:
        hash: SHA-256 of the file, hex; pinned on what it prices.
        text: the file, for storing the version.
        active_from: what happened before is priced by the version before this one; None: it counts for all.
        triggers: canonical names of the events that may earn.
        spendable: the wallet whose balance is meant when none is named.
        rules: by id.
        totalled: wallets whose earnings milestones look at.
        remembers: some rule looks at the member or at counters.
        referral: what members get who bring friends; None where the file says nothing of it.
        rewards: what points buy.
        ladder: the levels members rise to; None: there are none.
        adjusting: what people may do by hand.
        member_reads: the keys of MEMBER_FACTS that any expression may read; None: any.
        file: all that the file says.
    """

    def __init__(
        self,
        document: Document,
        file: ProgramFile,
        compiled: list[Compiled],
        *,
        referral: Referral | None,
        rewards: Catalogue,
        ladder: Ladder | None,
        adjusting: Adjusting,
    ) -> None:
        self.path = document.path
        self.text = document.text
        self.hash = document.sha256
        self.file = file
        self.referral = referral
        self.version = file.version
        self.id = file.program.id
        self.zone = file.program.timezone
        self.active_from = instant(file.active_from, self.zone) if file.active_from else None
        self.currency = file.program.currency
        self.unit = file.program.unit
        self.identity = file.identity
        self.wallets = file.wallets
        self.spendable = next(name for name, wallet in file.wallets.items() if wallet.spendable)
        self.rules = {each.rule.id: each.rule for each in compiled}
        self.totalled = frozenset(
            each.rule.milestone.earned
            for each in compiled
            if each.rule.milestone and each.rule.milestone.earned
        )
        self._compiled = {each.rule.id: each for each in compiled}
        self.rewards = rewards
        self._by_trigger: dict[str, list[Compiled]] = defaultdict(list)
        for each in compiled:
            self._by_trigger[each.rule.trigger].append(each)
        self._late = self._by_trigger.pop(EARNED, [])
        also = (referral.entry.converts.trigger, *referral.claims) if referral else ()
        self.triggers = frozenset([*self._by_trigger, *also])
        self._environments = {trigger: environment(trigger) for trigger in (*self.triggers, EARNED)}
        self._reads = {trigger: self._read_by(trigger) for trigger in self.triggers}
        self._keys = {trigger: self._counted_on(trigger) for trigger in self.triggers}
        self.remembers = any(self.pins(trigger) for trigger in self.triggers)
        self._measured_by = {each.rule.id: self._measure(each) for each in compiled}
        self.ladder = ladder
        self.adjusting = adjusting
        conditions = (ladder.condition if ladder else None, adjusting.condition)
        self.member_reads = _together(
            [
                *(reads["member"] for reads in self._reads.values()),
                *(condition.reads() for condition in conditions if condition),
                rewards.reads,
            ]
        )

    @property
    def shared_by(self) -> frozenset[str]:
        """The triggers of rules that count what all members get together: a budget, a cap of a campaign."""
        counting = (each for each in self._compiled.values() if any(period == ALL for _, period in each.keys))
        return frozenset(each.rule.trigger for each in counting)

    @property
    def roles(self) -> frozenset[str]:
        """The roles that decide something here."""
        asked = (
            self.ladder.tiers.approval if self.ladder else None,
            self.adjusting.rules.approval,
            *(reward.entry.approval for reward in self.rewards),
        )
        return frozenset(approval.role for approval in asked if approval)

    def level(self, written: str) -> str:
        """Return the level of a member of whom this one is written down; who never rose has the first."""
        return written or (self.ladder.start if self.ladder else "")

    def spends(self, wallet: str) -> bool:
        """Return whether points of a wallet can be spent; those of one it does not know cannot."""
        return wallet in self.wallets and self.wallets[wallet].spendable

    def debt_policy(self, wallet: str) -> DebtPolicy:
        """Return what happens when a reversal finds the points spent; in a wallet it does not know they are owed."""
        return self.wallets[wallet].debt if wallet in self.wallets else "allow"

    @property
    def inactive_after(self) -> dict[str, Inactivity]:
        """Wallets whose points end with their owner's activity."""
        found = {name: wallet.expiry for name, wallet in self.wallets.items()}
        return {name: expiry for name, expiry in found.items() if isinstance(expiry, Inactivity)}

    def price(
        self,
        event: Event,
        member: Mapping[str, Any],
        usage: Usage = _NO_USAGE,
        left: Left | None = None,
        *,
        trace: bool = False,
    ) -> Priced:
        """Return what an event gives, and what is to be remembered of it.

        Args:
            event: one from a platform's test mode earns nothing.
            member: what expressions may read as `member`, plain values; see `reads_of_member`.
            usage: the counters of `keys`, as they stood before the event.
            left: price what refunds have left of the event, instead of all of it.
            trace: say of every rule why it gave what it gave.

        Raises:
            PricingError: a rule cannot be evaluated, or its rate is in another currency than the event.
        """
        if event.test or event.name not in self.triggers:
            return Priced()

        def activation(trigger: str) -> Activation:
            values = variables(event, member, left, self._reads[event.name])
            return self._environments[trigger].activation(values)

        pricing = Pricing(
            self,
            event,
            activation,
            counters=Counters(usage, event.occurred_at, self.zone),
            left=left,
            trace=[] if trace else None,
        )
        return pricing.run(self._by_trigger[event.name], self._late)

    def keys(self, event: Event) -> list[Key]:
        """Return the counters that pricing an event reads and changes; for most programmes none."""
        named = self._keys.get(event.name)
        return [key_of(*each, event.occurred_at, self.zone) for each in named] if named else []

    def counted(self, rule: str, wallets: Mapping[str, int], at: datetime, times: int) -> dict[Key, Used]:
        """Return what points of a rule count, to be added when they are given and taken off when they go back.

        Args:
            rule: its id.
            wallets: points by wallet; the counters of rules count what the first of them has.
            at: when the event occurred.
            times: 1, -1, or 0 where a part of the points changes.
        """
        compiled = self._compiled[rule]
        first = next((points for points in wallets.values() if points), 0)
        counted = {
            key_of(name, period, at, self.zone): Used(first, times)
            for name, period in compiled.keys
            if not name.startswith(("streak/", "milestone/"))
        }
        for wallet in self.totalled & wallets.keys():
            counted[key_of(f"wallet/{wallet}", "ever", at, self.zone)] = Used(wallets[wallet], times)
        return counted

    def room(self, rule: str, usage: Usage, at: datetime, *, again: bool) -> int | None:
        """Return how many more points the caps and budgets over periods leave a rule; None: any number.

        Args:
            again: this is one of the times that are counted already.
        """
        limits = [
            limit
            for limit in self._compiled[rule].limits
            if limit.period and not (again and limit.what == "times")
        ]
        return Counters(usage, at, self.zone).room(limits)[0]

    @property
    def ceilings(self) -> dict[Key, Ceiling]:
        """How far every counter with a cap or budget may go, by (counter, kind of period)."""
        found: dict[Key, Ceiling] = {}
        for each in self._compiled.values():
            for limit in each.limits:
                if limit.period:
                    key = limit.name, limit.period
                    found[key] = found.get(key, NO_CEILING).under(limit)
        return found

    def measured(self, rule: str) -> tuple[str, str]:
        """Return a rule's (`refund`, `basis`); of a rule that multiplies those of what it multiplies."""
        return self._measured_by[rule]

    def reads_of_member(self, trigger: str) -> frozenset[str] | None:
        """Return which facts of a member the rules on a trigger read; None: any."""
        return self._reads[trigger]["member"] if trigger in self._reads else frozenset()

    def pins(self, trigger: str) -> bool:
        """Return whether what is read of members and counters has to be kept for refunds of such an event."""
        return bool(self._keys.get(trigger)) or self.reads_of_member(trigger) != frozenset()

    def shares_facts(self, trigger: str) -> frozenset[str]:
        """Return the triggers whose events tell the same facts, as rules on this one say."""
        return frozenset(
            other for each in self._by_trigger.get(trigger, ()) for other in each.rule.same_fact_as
        )

    def false_clause(self, each: Compiled, activation: Activation) -> tuple[str, str]:
        """Return the part of a rule's `if` that does not hold, and the values it reads."""
        assert each.condition is not None, "asked for because it does not hold"
        return first_false(self._environments[each.rule.trigger], each.condition, activation)

    def _read_by(self, trigger: str) -> dict[str, frozenset[str] | None]:
        """Return what a trigger's rules may read: variable -> its keys; None: any."""
        reads: dict[str, frozenset[str] | None] = {}
        for name in ("event", "member", *body_of(trigger)):
            own = self._environments[trigger].keys_read(name, self._expressions(trigger))
            late = self._environments[EARNED].keys_read(name, self._expressions(EARNED))
            reads[name] = None if own is None or late is None else own | late
        return reads

    def _expressions(self, trigger: str) -> Iterator[Any]:
        rules = self._late if trigger == EARNED else self._by_trigger[trigger]
        for each in rules:
            yield from each.expressions

    def _counted_on(self, trigger: str) -> list[Key]:
        """Return (counter, period) of all that a trigger's events may count."""
        rules = [*self._by_trigger[trigger], *self._late]
        wallets = {wallet for each in rules for wallet in each.wallets} & self.totalled
        named = [key for each in rules for key in each.keys]
        return list(dict.fromkeys([*named, *((f"wallet/{wallet}", "ever") for wallet in sorted(wallets))]))

    def _measure(self, each: Compiled) -> tuple[str, str]:
        multiplied = next((base for base in self._compiled.values() if each in base.factors), None)
        rule = multiplied.rule if multiplied else each.rule
        return rule.refund, rule.basis


def load_program(path: Path | str) -> Program:
    """Read program.yaml.

    Raises:
        ConfigError: with every problem found, each with its line and column.
    """
    return _program(read(path))


def parse_program(raw: bytes, path: str) -> Program:
    """Read a programme from the bytes of its file; `path` is the name problems carry. Otherwise as `load_program`."""
    return _program(parse(raw, path))


def _program(document: Document) -> Program:
    file = validate(document, ProgramFile)
    checker = Checker(document, file)
    compiled = checker.rules()
    referrals = referral(checker)
    rewards = catalogue(checker, file)
    levels, by_hand = ladder(checker, file), adjusting(checker, file)
    checker.file_as_a_whole()
    if checker.problems:
        raise ConfigError(in_file_order(checker.problems))
    return Program(
        document, file, compiled, referral=referrals, rewards=rewards, ladder=levels, adjusting=by_hand
    )


def _together(reads: Iterable[frozenset[str] | None]) -> frozenset[str] | None:
    """Return all keys that are read; None: any."""
    together: set[str] = set()
    for keys in reads:
        if keys is None:
            return None
        together |= keys
    return frozenset(together)
