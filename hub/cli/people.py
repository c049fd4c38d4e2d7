"""Commands about members: who they are, what they allow, who may be one person, and what is kept of them."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.common import (
    DEFAULT,
    AsJson,
    ConfigPath,
    Limit,
    json_of,
    now,
    one_of,
    opened,
    say,
    show,
    show_one,
)

if TYPE_CHECKING:
    import sqlalchemy as sa

members = typer.Typer(help="Who collects points.", no_args_is_help=True)
proposals = typer.Typer(help="Members that may be one person.", no_args_is_help=True)
members.add_typer(proposals, name="proposals")

Member = Annotated[
    str,
    typer.Argument(
        metavar="MEMBER", help="An id, connection:external id, an e-mail address or a phone number."
    ),
]
ProposalId = Annotated[str, typer.Argument(metavar="ID", help="As `hub members proposals list` shows it.")]
Actor = Annotated[str, typer.Option("--as", help="Who does it, for the record: staff:ida.")]
Reason = Annotated[str, typer.Option(help="Why, for the record.")]


def _found(tx: sa.Connection, reference: str) -> list[str]:
    """Return the members a reference may mean.

    Raises:
        HubError: it means nobody.
    """
    from hub import members as people
    from hub.sdk import HubError

    if found := people.find(tx, reference):
        return found
    raise HubError(f"no member is known as {reference!r}; try connection:external id, or an e-mail address")


def _only(tx: sa.Connection, reference: str) -> str:
    """Return the one member a reference means: what is done to them cannot be done to a guess.

    Raises:
        HubError: it means nobody, or may mean several.
    """
    from hub.sdk import HubError

    found = _found(tx, reference)
    if len(found) > 1:
        raise HubError(f"{reference!r} may mean several members: {', '.join(found)}; give the id of one")
    return found[0]


@members.command("show")
def show_member(
    reference: Member, config: ConfigPath = DEFAULT, limit: Limit = 10, as_json: AsJson = False
) -> None:
    """Show a member: balances, lots with their dates, what they allow, and the last postings."""
    from hub import ledger as books
    from hub import members as people
    from hub.members.consents import standing

    with opened(config) as hub, hub.database.read() as tx:
        found = _found(tx, reference)
        person = people.person(tx, found[0])
        balances = books.balances(tx, person.id)
        lots = books.open_lots(tx, person.id)
        postings = books.last_postings(tx, person.id, limit)
        allowed = [row._asdict() for row in standing(tx, person.id)]
    if as_json:
        lists = {"balances": balances, "lots": lots, "postings": postings, "also_known": found[1:]}
        say(json_of({**asdict(person), **lists, "consents": allowed}))
        return
    known: dict[str, Any] = {
        **asdict(person),
        "ids": ", ".join(f"{source}:{value}" for source, value in person.ids),
    }
    known |= known.pop("contacts")
    show_one(known, title=f"member {person.id}")
    if len(found) > 1:
        say(f"others gave {reference} too: {', '.join(found[1:])}", style="yellow")
    show(
        map(asdict, balances),
        ["wallet", "active", "pending", "held", "debt"],
        title="balance",
        empty="no points yet",
    )
    columns = ["wallet", "active", "pending", "held", "available_at", "expires_at", "posting"]
    show(map(asdict, lots), columns, title="lots", empty="none open")
    show(allowed, ["purpose", "channel", "granted", "at"], title="consents", empty="nothing is agreed to")
    rows = [
        {**asdict(p), "points": ", ".join(f"{n:+} {wallet}" for wallet, n in p.points.items())}
        for p in postings
    ]
    show(rows, ["seq", "posted_at", "kind", "points", "key", "id"], title="last postings", empty="none")


@members.command("consent")
def change_consent(
    reference: Member,
    actor: Actor,
    channel: Annotated[str, typer.Option(help="email, sms, whatsapp, push, chat, phone or post.")],
    grant: Annotated[bool, typer.Option("--grant/--withdraw", help="What the person said.")],
    evidence: Annotated[str, typer.Option(help="How they said it, in words.")] = "",
    purpose: Annotated[str, typer.Option(help="marketing or membership.")] = "marketing",
    config: ConfigPath = DEFAULT,
) -> None:
    """Write down what a member said they allow. A withdrawal counts at once."""
    from hub.members.consents import Word, record
    from hub.values import CHANNELS, PURPOSES

    one_of(channel, CHANNELS, "channel")
    one_of(purpose, PURPOSES, "purpose")
    with opened(config) as hub, hub.database.write() as tx:
        who = _only(tx, reference)
        said = Word(
            member=who, purpose=purpose, channel=channel, granted=grant, at=now(), source=actor, evidence=evidence or None
        )  # fmt: skip
        changed = record(tx, [said], now())
    stands = f"{purpose} by {channel} is {'granted' if grant else 'not allowed'}"
    say(f"member {who}: {stands}" + ("" if changed else ", as before"))


@members.command("consents")
def show_consents(
    reference: Member, config: ConfigPath = DEFAULT, limit: Limit = 50, as_json: AsJson = False
) -> None:
    """Show every word by which a member's consents changed, with its evidence; newest first."""
    import msgspec

    from hub.members.consents import history

    with opened(config) as hub, hub.database.read() as tx:
        rows = [msgspec.structs.asdict(change) for change in history(tx, _found(tx, reference)[0], limit)]
    columns = ["recorded_at", "at", "purpose", "channel", "granted", "source", "event", "evidence", "why"]
    show(rows, columns, as_json=as_json, empty="they never said anything")


@members.command("merge")
def merge_members(
    reference: Member,
    into: Annotated[str, typer.Argument(metavar="INTO", help="Who has everything from then on.")],
    actor: Actor,
    reason: Reason = "",
    config: ConfigPath = DEFAULT,
) -> None:
    """Make one member of two: points, identities, contacts and consents go over. It can be taken back."""
    from hub import people
    from hub.hub import open_hub

    hub = open_hub(config)
    try:
        with hub.database.read() as tx:
            gone, kept = _only(tx, reference), _only(tx, into)
        people.merge(hub, gone, kept, actor=actor, reason=reason or "merged by hand")
    finally:
        hub.close()
    say(f"member {gone} is merged into {kept}; to take it back: hub members unmerge {gone} --as {actor}")


@members.command("unmerge")
def unmerge_member(
    member: Annotated[str, typer.Argument(metavar="ID", help="The id of the member who was merged.")],
    actor: Actor,
    reason: Reason = "",
    config: ConfigPath = DEFAULT,
) -> None:
    """Take a merge back: what came from the merged member goes back to them, by its evidence."""
    from hub import people
    from hub.hub import open_hub

    hub = open_hub(config)
    try:
        with hub.database.read() as tx:
            gone = _only(tx, member)
        kept = people.unmerge(hub, gone, actor=actor, reason=reason or "a merge was taken back")
    finally:
        hub.close()
    say(f"member {gone} is apart from {kept} again")


@members.command("erase")
def erase_member(
    reference: Member,
    actor: Actor,
    at_once: Annotated[bool, typer.Option("--now", help="Without waiting. It cannot be undone.")] = False,
    off: Annotated[bool, typer.Option("--call-off", help="Call off an erasure that still waits.")] = False,
    config: ConfigPath = DEFAULT,
) -> None:
    """Erase all that is kept of a member, after the programme's wait; their points are given up."""
    from hub import people
    from hub.members.proposals import list_proposals
    from hub.rules import load_program
    from hub.sdk import HubError

    with opened(config) as hub:
        program = load_program(hub.config.program)
        due = now() if at_once else now() + program.identity.erase_after
        with hub.database.write() as tx:
            who = _only(tx, reference)
            if off:
                if not people.call_off(tx, who):
                    raise HubError(f"no erasure of member {who} waits")
                say(f"member {who} is not erased")
                return
            alike = list_proposals(tx, member=who)
            (erasure,) = people.request(tx, [people.Wish(member=who, due_at=due, source=actor)], now())
        for proposal in alike:
            other = proposal.other if proposal.member == who else proposal.member
            say(f"member {other} may be the same person: hub members show {other}", style="yellow")
        if not at_once:
            say(f"member {who} is erased from {due:%Y-%m-%d %H:%M} UTC on; until then: --call-off")
            return
        counts = people.erase(hub.database, erasure, now(), program)
    show([{"table": name, "rows": rows} for name, rows in sorted(counts.items())], ["table", "rows"])
    say(f"member {who} is erased")


@members.command("export")
def export_member(reference: Member, config: ConfigPath = DEFAULT) -> None:
    """Print all that is kept of a member as JSON: hub members export MEMBER > person.json."""
    import json

    from hub import people

    with opened(config) as hub:
        with hub.database.read() as tx:
            who = _only(tx, reference)
        whole = people.export(hub.database, who, now())
    sys.stdout.write(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")


@proposals.command("list")
def show_proposals(
    config: ConfigPath = DEFAULT,
    state: Annotated[str, typer.Option(help="open, accepted or rejected.")] = "open",
    after: Annotated[str, typer.Option(help="The last id of the page before.")] = "",
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List pairs of members that may be one person, the oldest first."""
    import msgspec

    from hub.members.proposals import STATES, list_proposals

    one_of(state, STATES, "state")
    with opened(config) as hub, hub.database.read() as tx:
        found = list_proposals(tx, state or "open", after=after or None, limit=limit)
    rows = [
        {**msgspec.structs.asdict(each), "evidence": [f"{e.kind} {e.value}" for e in each.evidence]}
        for each in found
    ]
    columns = ["id", "created_at", "member", "other", "score", "evidence", "state", "actor", "reason"]
    show(rows, columns, as_json=as_json, empty="no proposals")
    if len(found) == limit and not as_json:
        say(f"the next page: --after {found[-1].id}", style="dim")


@proposals.command("accept")
def accept_proposal(
    proposal: ProposalId,
    actor: Actor,
    keep: Annotated[str, typer.Option(help="The id of who stays; empty: who came first.")] = "",
    reason: Reason = "",
    config: ConfigPath = DEFAULT,
) -> None:
    """They are one person: merge them."""
    from hub import people
    from hub.hub import open_hub

    hub = open_hub(config)
    try:
        gone, kept = people.accept(hub, _uuid(proposal), actor=actor, reason=reason, keep=keep)
    finally:
        hub.close()
    say(f"member {gone} is merged into {kept}; to take it back: hub members unmerge {gone} --as {actor}")


@proposals.command("reject")
def reject_proposal(
    proposal: ProposalId, actor: Actor, reason: Reason = "", config: ConfigPath = DEFAULT
) -> None:
    """They are two people: the pair is not proposed again by the same evidence."""
    from hub import people

    with opened(config) as hub:
        people.reject(hub.database, _uuid(proposal), actor=actor, reason=reason, now=now())
    say(f"proposal {proposal} is rejected")


def _uuid(text: str) -> str:
    """Return the id of a proposal as it is stored.

    Raises:
        HubError: it is none.
    """
    from hub.sdk import HubError
    from hub.trying import uuid_of

    if found := uuid_of(text):
        return found
    raise HubError(f"there is no proposal {text}; `hub members proposals list` shows them")
