"""Commands about what came in: webhooks, what became of them, and those that were refused."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from typing import Annotated, Any

import typer

from hub.cli.common import (
    DEFAULT,
    AsJson,
    ConfigPath,
    DryRun,
    Limit,
    OfConnection,
    Since,
    ago,
    json_of,
    now,
    one_of,
    opened,
    say,
    show,
    show_one,
)

inbox = typer.Typer(help="Webhooks that came in, and what became of them.", no_args_is_help=True)

InboxId = Annotated[
    int, typer.Argument(metavar="ID", help="A webhook's number, as `hub inbox list` shows it.")
]


@inbox.command("list")
def list_inbox(
    config: ConfigPath = DEFAULT,
    connection: OfConnection = "",
    state: Annotated[
        str, typer.Option(help="Only with an event in this state: parked, waiting, done ...")
    ] = "",
    since: Since = "",
    after: Annotated[int | None, typer.Option(help="The last id of the page before.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List accepted webhooks, newest first, a line for each event in them."""
    from hub import inbox as webhooks
    from hub import journal
    from hub.intake import intake_of

    one_of(state, journal.STATES, "state")
    chosen: list[int] | None = None
    with opened(config) as hub:
        if state:
            with hub.database.read() as tx:
                chosen = journal.webhooks_in(
                    tx, state, of=connection, since=ago(since), after=after, limit=limit
                )
        with hub.database.read_inbox() as tx:
            listed = webhooks.list_rows(
                tx,
                of=connection or None,
                since=ago(since),
                after=after,
                ids=chosen,
                limit=limit,
                newest_first=True,
            )
        ids = [row.id for row in listed]
        fates: dict[int, list[journal.Fate]] = defaultdict(list)
        with hub.database.read() as tx:
            for fate in journal.fates(tx, ids):
                fates[fate.inbox_id].append(fate)
        fresh = intake_of(hub.database).unprocessed(ids)
    rows: list[dict[str, Any]] = []
    for row in listed:
        found = [f for f in fates[row.id] if not state or f.state == state]
        shared = {**asdict(row), "event": None, "type": "", "name": None, "reason": ""}
        # Events of a webhook that were told in an earlier one are in the journal there.
        without = {"state": "new" if row.id in fresh else "repeated"}
        rows += [{**shared, **_fate(fate)} for fate in found] or [{**shared, **without}]
    columns = ["id", "received_at", "connection", "type", "state", "reason", "event"]
    show(rows, columns, as_json=as_json, empty="no webhooks")
    if len(listed) == limit and not as_json:
        say(f"the next page: --after {listed[-1].id}", style="dim")


@inbox.command("show")
def show_webhook(
    webhook: InboxId,
    config: ConfigPath = DEFAULT,
    body: Annotated[
        bool, typer.Option("--body", help="Print the body too. It may hold personal data.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show one webhook: its facts, the headers that were kept, and what became of its events."""
    from hub import inbox as webhooks
    from hub import journal
    from hub.sdk import HubError

    with opened(config) as hub:
        with hub.database.read_inbox() as tx:
            facts = webhooks.facts_of(tx, webhook)
            stored = next(iter(webhooks.get(tx, [webhook])), None)
        with hub.database.read() as tx:
            fates = journal.fates(tx, [webhook])
    if facts is None:
        raise HubError(f"there is no webhook {webhook}; `hub inbox list` shows them")
    request = stored.webhook if stored else None
    text = request.body.decode(errors="replace") if request and body else None
    if as_json:
        kept = {**asdict(facts), "body_hash": facts.body_hash.hex(), "body": text}
        say(json_of({**kept, "events": [_fate(fate) for fate in fates]}))
        return
    show_one({k: v for k, v in asdict(facts).items() if k != "headers"}, title=f"webhook {webhook}")
    show_one(facts.headers, title="headers")
    columns = ["event", "part", "type", "name", "fact", "state", "reason", "member", "attempts", "next_at"]
    show(map(_fate, fates), columns, title="events", empty="none of its own")
    if body:
        say(text if text is not None else "the body is past its retention")
    elif fates:
        say(f"how it was read and what it led to: hub why {fates[0].id}", style="dim")


@inbox.command("replay")
def replay_webhooks(
    webhooks: Annotated[
        list[int] | None,
        typer.Argument(metavar="[ID]...", help="Numbers of webhooks; none is all in --state."),
    ] = None,
    config: ConfigPath = DEFAULT,
    state: Annotated[
        str,
        typer.Option(
            help="parked (as when empty), waiting, unassigned, ready or ignored; with numbers, empty is all of them."
        ),
    ] = "",
    connection: OfConnection = "",
    limit: Limit = 1000,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Give events that could not be finished another chance. Nothing is ever posted twice by it."""
    from hub import journal

    one_of(state, journal.REPLAYABLE, "state that can be replayed")
    chosen = [state] if state else list(journal.REPLAYABLE) if webhooks else ["parked"]
    with opened(config) as hub, hub.database.write() as tx:
        fates = journal.replay(
            tx, now(), chosen, inbox_ids=webhooks or (), of=connection, limit=limit, dry_run=dry_run
        )
    columns = ["id", "received_at", "connection", "type", "state", "reason", "event"]
    show(({**_fate(f), "id": f.inbox_id} for f in fates), columns, as_json=as_json, empty="nothing to replay")
    if fates and not as_json:
        did = "would be tried" if dry_run else "are tried"
        say(f"{len(fates)} event(s) {did} again: within seconds by a running hub, else when it starts")
        if len(fates) == limit:
            say("there may be more: run it again, or raise --limit")


@inbox.command("refused")
def refused(
    config: ConfigPath = DEFAULT,
    connection: OfConnection = "",
    since: Since = "7d",
    limit: Limit = 20,
    explain: Annotated[bool, typer.Option("--explain", help="Say for each sample what went wrong.")] = False,
    as_json: AsJson = False,
) -> None:
    """Count refused webhooks by connection and reason; look closer at some."""
    from hub import inbox as webhooks

    start = ago(since)
    with opened(config) as hub, hub.database.read_inbox() as tx:
        counts = webhooks.refused_counts(tx, since_day=start.date().isoformat() if start else "")
        samples = webhooks.refused_samples(tx, of=connection or None, limit=limit)
    rows = [
        {"connection": name or "(no such connection)", "reason": reason, "count": count}
        for (name, reason), count in sorted(counts.items())
        if not connection or name == connection
    ]
    seen = [{**asdict(s), "next": webhooks.next_step(s.reason, s.wrong_turn)} for s in samples]
    if as_json:
        show(seen if explain else rows, [], as_json=True)
        return
    show(rows, ["connection", "reason", "count"], empty="no webhook was refused")
    if not seen:
        return
    if not explain:
        columns = ["at", "connection", "reason", "size", "header_names"]
        show(seen, columns, title="samples")
        say("what went wrong with each: hub inbox refused --explain", style="dim")
        return
    for sample in seen:
        show_one(
            {
                "found": sample["wrong_turn"] or "nothing we tried would have matched",
                "next": sample["next"],
            },
            title=f"{sample['connection']}, {sample['at']:%Y-%m-%d %H:%M:%S} UTC: {sample['reason']}",
        )


def why(
    reference: Annotated[
        str, typer.Argument(help="A member, a fact key, or the id of a posting, an event or a delivery.")
    ],
    config: ConfigPath = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Account for points: from the bytes that came in to the platforms that were told."""
    from hub.why import why as account

    with opened(config) as hub:
        lines = account(hub, reference)
    if as_json:
        show(map(asdict, lines), [], as_json=True)
        return
    for line in lines:
        say("  " * line.depth + line.said, style="bold" if line.depth == 0 else "")


def _fate(fate: Any) -> dict[str, Any]:
    """Return a journal row as a row of a table, its id as `event`."""
    row = {name: getattr(fate, name) for name in fate.__struct_fields__}
    return {"event": row.pop("id"), **row}
