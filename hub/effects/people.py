"""What events say about people: who they are, that two are one, what they allow, that they want to be gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import cast

from hub import birthdays
from hub.effects import touched
from hub.effects.earning import earn
from hub.effects.step import Step
from hub.effects.touched import event_of, merge_key
from hub.journal import Entry
from hub.members import Directory
from hub.members.proposals import Evidence
from hub.people import Wish
from hub.sdk.events import (
    ConsentChanged,
    MemberErased,
    MemberMerged,
)
from hub.tiers import Cause
from hub.values import CHANNELS, MEMBERSHIP, PURPOSES
from hub.yamlfile import did_you_mean


def profile(step: Step, entry: Entry) -> None:
    """Who it is was settled when the member was found; some programmes also earn on it."""
    if entry.member is None:
        entry.reason = "the programme enrols nobody by this"
        return
    told = getattr(event_of(entry), "attributes", {}).get("birthday")
    if told and (day := birthdays.parse(str(told))):
        step.birthdays[entry.member] = day
    earn(step, entry)


def merge(step: Step, entry: Entry) -> None:
    """Merge two members whom the platform itself tells apart and says are one; of others it is a proposal."""
    event = cast("MemberMerged", entry.canonical)
    if told := step.facts.told([event.fact, *event.same_as]):
        entry.witness(told)
        return
    gone, kept = step.directory.find(entry.connection, event.merged), entry.member
    refs = ((event.merged, gone), (event.member, kept))
    if kept is None:
        entry.reason = "nobody is known by it"
    elif gone is None or gone == kept:
        step.directory.adopt(entry.connection, event.merged, kept, entry.id)
        entry.reason = "both are one member here"
    elif all(step.directory.proven(entry.connection, ref) == member for ref, member in refs):
        _merge_members(step, entry, gone, kept)
        entry.reason = f"member {gone} was merged into it"
    else:
        step.directory.propose(kept, gone, Evidence("platform", event.fact), entry.id)
        entry.reason = f"it may be one person with member {gone}: see `hub members proposals list`"
    step.learn(entry, event.fact)


def _merge_members(step: Step, entry: Entry, gone: str, kept: str) -> None:
    key, reason = merge_key(entry), "one customer at the platform"
    step.book.merge(gone, kept, key=key, actor=entry.connection, reason=reason, cause=entry)
    step.activity.merge(gone, kept)
    step.tiers.merge(gone, kept, Cause(key, step.book.now, event=entry.id))
    step.directory.merge(gone, kept, key=key, event_id=entry.id, actor=entry.connection, reason=reason)
    step.merged.append((gone, kept))


def erase(step: Step, entry: Entry) -> None:
    """Note the wish. It waits, so that a person can call off what a platform got wrong."""
    event = cast("MemberErased", entry.canonical)
    wish = Wish(
        member=entry.member,
        keys=step.directory.keys(entry.connection, event.member),
        due_at=step.book.now + step.program.identity.erase_after,
        source=entry.connection,
        event=entry.id,
    )
    step.erasures.append(wish)
    who = f"member {entry.member}" if entry.member else "what is kept of somebody who is no member"
    entry.reason = f"{who} is erased from {wish.due_at:%Y-%m-%d %H:%M} UTC on"
    step.learn(entry, event.fact)


def consent(step: Step, entry: Entry) -> None:
    """Note what somebody said they allow: it counts for everything that has not been sent yet."""
    event = cast("ConsentChanged", entry.canonical)
    if told := step.facts.told([event.fact, *event.same_as]):
        entry.witness(told)
        return
    change = event.consent
    # A merchant's own purpose is kept; what looks like ours and is not would let offers go on.
    purposes = get_close_matches(change.purpose, PURPOSES)
    words = {"purpose": (change.purpose, purposes), "channel": (change.channel, CHANNELS)}
    for what, (word, valid) in words.items():
        if valid and word not in valid:
            hint = did_you_mean(word, valid)
            entry.park(f"consent.{what}: {word!r} is not one that consents are about; {hint}")
            return
    step.directory.say(
        entry.connection, event.member, change, owner=entry.member, at=event.occurred_at, event_id=entry.id
    )
    if entry.member is None and change.granted:
        step.directory.leave_hints(entry.connection, event.member, entry.id)
        entry.state, entry.reason = "unassigned", "nobody can be found for it yet"
        return
    entry.reason = f"{change.purpose} by {change.channel} {'granted' if change.granted else 'withdrawn'}"
    step.learn(entry, event.fact)


def identify(directory: Directory, entry: Entry) -> None:
    """Find out who the event is about. An old event of somebody who was erased since is not taken up again."""
    event = event_of(entry)
    if any(directory.was_erased(entry.connection, ref, event.occurred_at) for ref in touched.people(entry)):
        entry.forget()
    elif entry.member:
        directory.know(entry.connection, event.member, entry.member, entry.id)
    else:
        entry.member = IDENTIFY.get(event.name, _anybody)(directory, entry)


def _anybody(directory: Directory, entry: Entry) -> str | None:
    return directory.resolve(entry.connection, event_of(entry).member, entry.id)


def _merged(directory: Directory, entry: Entry) -> str | None:
    """A customer that replaces one we know is no stranger."""
    event = cast("MemberMerged", entry.canonical)
    known = directory.proven(entry.connection, event.merged)
    if known and directory.find(entry.connection, event.member) is None:
        directory.adopt(entry.connection, event.member, known, entry.id)
    return _anybody(directory, entry)


def _no_stranger(directory: Directory, entry: Entry) -> str | None:
    return directory.find(entry.connection, event_of(entry).member)


def _who_agrees(directory: Directory, entry: Entry) -> str | None:
    """Only who agrees to take part becomes a member by a consent."""
    event = cast("ConsentChanged", entry.canonical)
    joins = event.consent.granted and event.consent.purpose == MEMBERSHIP
    return directory.resolve(entry.connection, event.member, entry.id, enrol=joins)


IDENTIFY: Mapping[str, Callable[[Directory, Entry], str | None]] = {
    "member.merged": _merged,
    "member.erased": _no_stranger,
    "consent.changed": _who_agrees,
}
"""Of every other event: the member it names, enrolled if the programme says so."""
