"""The ledger once more, as simple as can be: members in a dict, one wallet, no legs, no SQL. What it says is compared."""

from __future__ import annotations

from datetime import timedelta


class Refused(Exception):
    """The ledger has to refuse this too, and nothing has happened."""


class Thing:
    """A member, an order, a lot, a hold or a redemption. `origin`: whose doing it is, to them it returns by an unmerge."""

    def __init__(self, **fields):
        self.__dict__.update(fields)


def over(lot, at):
    return lot.expires is not None and lot.expires <= at


def left(lot):
    return lot.pending + lot.active + lot.held


class Model:
    def __init__(self, now, members, policy):
        self.now, self.policy = now, policy
        self.members = {name: Thing(debt=0, posted_at=None, into="", due=0) for name in members}
        self.lots, self.orders, self.holds, self.spent = [], {}, [], []

    # --- what everything is made of ------------------------------------------------------------------------

    def path(self, name):
        """Who somebody became, one after the other; the last is who they are now."""
        into = self.members[name].into
        return [name, *self.path(into)] if into else [name]

    def who(self, name):
        return self.path(name)[-1]

    def of(self, name):
        return self.in_order(lot for lot in self.lots if lot.owner == name)

    def in_order(self, lots):
        """As they are spent: what expires first, what never expires last; then what was available first, or older."""
        when = {lot: (lot.expires is None, lot.expires or self.now, lot.available) for lot in lots}
        return sorted(when, key=lambda lot: (*when[lot], self.lots.index(lot)))

    def total(self, name):
        return sum(map(left, self.of(name))) - self.members[name].debt

    def post(self, name, origin="", change=0):
        """Note the time, and what those who were merged would have by now (`due`)."""
        self.members[name].posted_at = self.present(name)
        for each in self.path(origin)[:-1] if origin else ():
            self.members[each].due += change

    def present(self, name):
        return max(self.now, self.members[name].posted_at or self.now)

    def credit(self, lot, points, bucket="active"):
        member = self.members[lot.owner]
        repaid = min(points, member.debt)
        member.debt -= repaid
        setattr(lot, bucket, getattr(lot, bucket) + points - repaid)

    def put_back(self, name, lot, points, at):
        lot.owner = name
        self.credit(lot, points, "expired" if over(lot, at) else "active")

    def open(self, owner, origin, points, available, expires=None, *, order="", active=True):
        dates = {"available": available, "expires": expires}
        lot = Thing(owner=owner, origin=origin, order=order, pending=0, active=0, held=0, expired=0, **dates)
        self.lots.append(lot)
        if active:
            self.credit(lot, points)
        else:
            lot.pending = points
        return lot

    def take(self, name, points):
        if points <= 0 or sum(lot.active for lot in self.of(name)) < points:
            raise Refused
        return self.take_from([(lot, "active") for lot in self.of(name)], points)

    def take_from(self, sources, points):
        parts = []
        for lot, bucket in sources:
            if part := min(points, getattr(lot, bucket)):
                setattr(lot, bucket, getattr(lot, bucket) - part)
                parts.append((lot, part))
                points -= part
        return parts

    def expire(self, name, lot):
        gone = lot.pending + lot.active
        lot.pending, lot.active, lot.expired = 0, 0, lot.expired + gone
        self.post(name, lot.origin, -gone)

    def catch_up(self, name):
        name = self.who(name)
        before = self.members[name].posted_at
        mine = [(n, lot) for n, lot in enumerate(self.lots) if lot.owner == name]
        due = [(lot.expires, 0, f"{n:9}", lot) for n, lot in mine if over(lot, self.now)]
        due += [
            (lot.available, 2, f"{n:9}", lot) for n, lot in mine if lot.pending and lot.available <= self.now
        ]
        due += [(h.deadline, 1, h.id, h) for h in self.holds if h.owner == name and h.deadline <= self.now]
        for at, what, _, thing in sorted(due, key=lambda each: each[:3]):
            if what == 1 and thing.state == "held":
                self.let_go(name, thing, max(at, before or at))
            elif what == 0 and thing.pending + thing.active:
                self.expire(name, thing)
            elif what == 2 and thing.pending:
                points, thing.pending = thing.pending, 0
                self.credit(thing, points)
                self.post(name)
        return name

    # --- what is asked for ---------------------------------------------------------------------------------

    def earn(self, name, order, points, *, gross, available, expires):
        if points:
            name = self.catch_up(name)
            told = {"gross": gross, "refunds": {}, "cancelled_by": set()}
            self.orders[order] = Thing(origin=name, points=points, kept=points, waived=0, **told)
            gone = expires and expires <= self.now
            active = available <= self.now and not gone
            lot = self.open(name, name, points, available, expires, order=order, active=active)
            self.post(name)
            if gone:
                lot.pending, lot.expired = 0, points

    def should_keep(self, order):
        """One point for each whole euro net; net is 5/6 of gross; the source that says most is believed."""
        this = self.orders[order]
        sums = [sum(g for (s, _), g in this.refunds.items() if s == source) for source, _ in this.refunds]
        return (
            0 if this.cancelled_by else min(this.points, max(this.gross - max(sums, default=0), 0) * 5 // 600)
        )

    def settle(self, order):
        this = self.orders[order]
        name = self.catch_up(this.origin)
        before, change = self.total(name), self.should_keep(order) - this.kept
        if change > 0:
            this.kept += change
            borne = min(change, this.waived)
            this.waived -= borne
            if change > borne:
                first = next(lot for lot in self.lots if lot.order == order)
                active = first.available <= self.now
                dates = first.available, first.expires
                self.open(name, this.origin, change - borne, *dates, order=order, active=active)
            self.post(name, this.origin, self.total(name) - before)
            self.catch_up(name)
        elif change < 0:
            own = [lot for lot in self.in_order(self.lots) if lot.order == order]
            others = [lot for lot in self.of(name) if lot.order != order]
            sources = [(lot, bucket) for bucket in ("pending", "active", "expired") for lot in own]
            sources += [(lot, "active") for lot in others if self.policy != "own_lot_only"]
            missing = -change - sum(part for _, part in self.take_from(sources, -change))
            self.members[name].debt += missing if self.policy == "allow" else 0
            this.waived += missing if self.policy == "waive" else 0
            taken = -change if self.policy in ("allow", "waive") else -change - missing
            this.kept -= taken
            if taken:
                self.post(name, this.origin, self.total(name) - before)

    def adjust(self, name, points):
        name = self.catch_up(name)
        if points < 0:
            self.take(name, -points)
        else:
            self.open(name, name, points, self.now)
        self.post(name)

    def migrate(self, name, points, expires):
        name = self.catch_up(name)
        self.open(name, name, points, self.now, expires)
        self.post(name)

    def hold(self, name, points, deadline):
        name = self.catch_up(name)
        parts = self.take(name, points)
        for lot, part in parts:
            lot.held += part
        self.post(name)
        taken_at = self.members[name].posted_at
        made = {"parts": parts, "deadline": deadline, "taken_at": taken_at, "state": "held"}
        self.holds.append(Thing(id="", owner=name, origin=name, **made))
        return self.holds[-1]

    def confirm(self, hold):
        name = self.still_held(hold)
        hold.state = "confirmed"
        for lot, part in hold.parts:
            lot.held -= part
        self.post(name, hold.origin, -sum(part for _, part in hold.parts))
        self.redeemed(name, hold.origin, hold.taken_at, hold.parts)

    def redeem(self, name, points):
        name = self.catch_up(name)
        present, parts = self.present(name), self.take(name, points)
        self.post(name)
        self.redeemed(name, name, present, parts)

    def redeemed(self, name, origin, taken_at, parts):
        self.spent.append(Thing(owner=name, origin=origin, taken_at=taken_at, parts=parts, returned=0))

    def release(self, hold):
        name = self.still_held(hold)
        self.let_go(name, hold, self.present(name))

    def still_held(self, hold):
        name = self.catch_up(hold.owner)
        if hold.state != "held":
            raise Refused
        return name

    def let_go(self, name, hold, at):
        hold.state, before = "released", self.total(name)
        for lot, part in hold.parts:
            lot.held -= part
            self.put_back(name, lot, part, at)
        self.post(name, hold.origin, self.total(name) - before)

    def give_back(self, spent, points, days):
        name = self.catch_up(spent.owner)
        single = [
            lot for lot, part in reversed(spent.parts) for _ in range(part)
        ]  # one by one: slow and plain
        if points > len(single) - spent.returned:
            raise Refused
        before, now, opened = self.total(name), self.present(name), []
        back = single[spent.returned : spent.returned + points]
        spent.returned += points
        for lot in dict.fromkeys(back):
            if over(lot, now) and now <= lot.expires + timedelta(days):
                until = now + max(lot.expires - spent.taken_at, timedelta())
                opened.append(self.open(name, spent.origin, back.count(lot), now, until))
            elif left(lot) and self.who(lot.owner) != name:  # an unmerge has taken it away
                opened.append(self.open(name, spent.origin, back.count(lot), lot.available, lot.expires))
            else:
                self.put_back(name, lot, back.count(lot), now)
        self.post(name, spent.origin, self.total(name) - before)
        for lot in opened:
            if lot.active and over(lot, now):
                self.expire(name, lot)

    def transfer(self, name, to, points):
        if self.who(name) == self.who(to):
            raise Refused
        name, to = self.catch_up(name), self.catch_up(to)
        for lot, part in self.take(name, points):
            self.open(to, to, part, lot.available, lot.expires)
        self.post(name)
        self.post(to)

    def merge(self, name, into):
        if self.members[name].into or self.who(into) == name:
            raise Refused
        name, into = self.catch_up(name), self.catch_up(into)
        loser, winner = self.members[name], self.members[into]
        loser.due, moving = self.total(name), list(filter(left, self.of(name)))
        if moving or loser.debt:
            self.post(name)
            self.post(into)
        paid = self.take_from([(lot, "active") for lot in self.of(into)], loser.debt)
        winner.debt += loser.debt - sum(part for _, part in paid)
        loser.debt, loser.into = 0, into
        for lot in moving:
            lot.owner, active, lot.active = into, lot.active, 0
            self.credit(lot, active)
        for hold in self.holds:
            hold.owner = into if hold.owner == name and hold.state == "held" else hold.owner

    def unmerge(self, name):
        this = self.members[name]
        if not this.into or self.members[this.into].into:
            raise Refused
        winner = self.catch_up(name)
        mine, holds = (
            [each for each in things if each.owner == winner and name in self.path(each.origin)]
            for things in (self.lots, [hold for hold in self.holds if hold.state == "held"])
        )
        reserved = [(lot, part) for hold in holds for lot, part in hold.parts]
        if any(lot.held != sum(part for held, part in reserved if held is lot) for lot in mine):
            raise Refused
        if any(map(left, mine)):
            self.post(winner)
            self.post(name)
        for thing in (*mine, *holds):
            thing.owner = name
        this.into, missing = "", this.due - self.total(name)
        if missing:
            who = name if missing > 0 else winner
            self.open(who, who, abs(missing), self.now)
            self.post(who)
