"""Commands about the files an admin edits."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.common import DEFAULT, AsJson, ConfigPath, Limit, Since, ago, configured, now, opened, say, show

mappings = typer.Typer(help="Check, try and compare mapping files.", no_args_is_help=True)
connectors = typer.Typer(help="The platforms that can be connected.", no_args_is_help=True)

MappingPath = Annotated[
    Path, typer.Argument(metavar="FILE", help="A mapping file.", exists=True, dir_okay=False)
]
Connection = Annotated[
    str, typer.Option(help="Whose events; needed where several connections use the connector.")
]


def check(config: ConfigPath = DEFAULT) -> None:
    """Check hub.yaml, the mappings and the programme, and print every problem; touch nothing."""
    from hub.hub import read_files

    files = read_files(config)
    for warning in files.warnings:
        say(f"warning: {warning}", style="yellow")
    count = len(files.config.connections)
    say(f"{config}, its mappings and its programme are sound ({count} connection{'s' if count != 1 else ''})")


def init(
    folder: Annotated[Path, typer.Argument(help="Where to put the files.")] = Path(),
    connector: Annotated[
        list[str] | None, typer.Option("--connector", help="A platform to connect; give it once for each.")
    ] = None,
) -> None:
    """Write hub.yaml, program.yaml and the mapping files to start from."""
    from hub import plugins
    from hub.config import shipped_mapping
    from hub.rules import SAMPLE_PROGRAM
    from hub.sdk import HubError
    from hub.starting import starter
    from hub.yamlfile import did_you_mean

    found = plugins.load().connectors
    chosen = list(dict.fromkeys(connector or ["standard_webhooks"]))
    for name in chosen:
        if name not in found:
            raise HubError(f"no connector is named {name!r}; {did_you_mean(name, found)}")
    targets = {folder / "program.yaml": SAMPLE_PROGRAM} | {
        folder / "mappings" / f"{name}.yaml": shipped_mapping(name) for name in chosen
    }
    there = [path for path in (folder / "hub.yaml", *targets) if path.exists()]
    if there:
        raise HubError(f"{there[0]} is there already, and stays as it is; choose another folder")
    text, variables = starter([found[name] for name in chosen])
    for target, source in targets.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    (folder / "hub.yaml").write_text(text, encoding="utf-8")
    for path in (folder / "hub.yaml", *targets):
        say(f"wrote {path}")
    where = f" -c {folder / 'hub.yaml'}" if folder != Path() else ""
    say("next: set these variables, with what the platforms show you, then check and serve:")
    for variable in variables:
        say(f"  export {variable}=...")
    say(f"  hub check{where} && hub serve{where}")


@connectors.command("list")
def list_connectors(as_json: AsJson = False) -> None:
    """List the connectors that are installed."""
    from hub import plugins
    from hub.grading import grade, word
    from hub.sdk import Connector

    found = plugins.load()
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "label": kind.label,
            "inbound": kind.parse is not Connector.parse,
            "outbound": bool(kind.actions),
            "events": dict(kind.events),
            "actions": list(kind.actions),
            "api_version": kind.api_version,
            "verified_on": kind.verified_on,
            "docs_url": kind.docs_url,
            "grade": word(grade(kind, now().date())),
        }
        for name, kind in sorted(found.connectors.items())
    ]
    if not as_json:
        rows = [{**row, "actions": ", ".join(row["actions"])} for row in rows]
    columns = ["name", "label", "inbound", "outbound", "actions", "api_version", "verified_on", "grade"]
    show(rows, columns, as_json=as_json)
    for name, reason in found.broken.items():
        say(f"{name} was set aside: {reason}", style="red")


@mappings.command("coverage")
def cover_mappings(
    folder: Annotated[
        Path, typer.Argument(help="Bodies, in one folder for each platform.", exists=True, file_okay=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Tell what the shipped mappings make of a folder of bodies; exit 1 when one is unexplained."""
    from dataclasses import asdict

    from hub import plugins
    from hub.config import shipped_mapping
    from hub.coverage import cover

    kinds = plugins.load().connectors
    rows = [asdict(row) for row in cover(folder, kinds, {name: shipped_mapping(name) for name in kinds})]
    show(rows, ["platform", "file", "type", "state", "said"], as_json=as_json)
    raise typer.Exit(1 if any(row["state"] == "unexplained" for row in rows) else 0)


@connectors.command("grade")
def grade_connectors(
    name: Annotated[str, typer.Argument(help="One of them; empty: all.")] = "",
    as_json: AsJson = False,
) -> None:
    """Hold connectors against the quality checklist; exit 1 when something is to do that nobody excuses."""
    from hub import plugins
    from hub.grading import grade
    from hub.sdk import HubError
    from hub.yamlfile import did_you_mean

    found = plugins.load().connectors
    if name and name not in found:
        raise HubError(f"no connector is named {name!r}; {did_you_mean(name, found)}")
    rows = [
        {"connector": each, "point": mark.point, "state": mark.state, "said": mark.said}
        for each, kind in sorted(found.items())
        if name in {"", each}
        for mark in grade(kind, now().date())
    ]
    shown = [row for row in rows if as_json or name or row["state"] == "todo"]
    columns = ["connector", "point", "state", "said"]
    show(shown, columns, as_json=as_json, empty=f"all {len(rows)} points are done or excused")
    raise typer.Exit(1 if any(row["state"] == "todo" for row in rows) else 0)


@mappings.command("check")
def check_mappings(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="None: those that hub.yaml uses.")
    ] = None,
    config: ConfigPath = DEFAULT,
) -> None:
    """Check mapping files; print every problem with its line."""
    from hub.sdk import ConfigError, Problem

    problems: list[Problem] = []
    for file in files or sorted(set(configured(config).mappings.values())):
        try:
            mapping = load_mapping(file)
        except ConfigError as error:
            problems += error.problems
            continue
        for warning in mapping.warnings:
            say(f"warning: {warning}", style="yellow")
        say(f"{file}: sound, version {mapping.version[:12]}")
    if problems:
        raise ConfigError(problems)


@mappings.command("try")
def try_mapping(
    file: MappingPath,
    event: Annotated[
        str,
        typer.Option(
            help="A stored event's id, the path of a body, or a sample's name as `hub send` has it."
        ),
    ],
    config: ConfigPath = DEFAULT,
    connection: Connection = "",
    event_type: Annotated[
        str, typer.Option("--type", help="With a body: the event type, where a header tells it.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Show how a mapping file reads one event: every field, its line and its value."""
    from hub import trying
    from hub.mapping import Ignored, explain

    mapping = load_mapping(file)
    read = configured(config)
    source = trying.connection_for(read, mapping.connector, connection)
    if identifier := trying.uuid_of(event):
        with opened(config) as hub:
            sources = [trying.stored_source(hub.database, source, identifier)]
    elif Path(event).is_file():
        sources = trying.saved_sources(source, Path(event), event_type, now())
    else:
        sources = trying.sample_sources(source, event, now())
    failed = False
    for each in sources:
        rules = explain(mapping, each, source.name)
        rows: list[dict[str, Any]] = []
        for rule in rules:
            for field in [*([rule.condition] if rule.condition else []), *rule.fields]:
                value = f"error: {field.error}" if field.error and not field.optional else field.value
                rows.append(
                    {
                        "emits": rule.emit,
                        "line": field.line,
                        "field": field.path,
                        "value": value,
                        "from": field.expression,
                    }
                )
        show(
            rows, ["emits", "line", "field", "value", "from"], as_json=as_json, title=f"{each.type} {each.id}"
        )
        if each.notification:
            say("this webhook only names a record: try it with a stored event's id, whose record was fetched")
        elif not rules and isinstance(ignored := mapping.apply(each, source.name), Ignored):
            say(ignored.reason)
        for error in filter(None, (rule.error for rule in rules)):
            failed = True
            say(f"it would be parked: {error}", style="red")
    raise typer.Exit(1 if failed else 0)


@mappings.command("diff")
def diff_mapping(
    file: MappingPath,
    config: ConfigPath = DEFAULT,
    connection: Connection = "",
    since: Since = "7d",
    limit: Limit = 1000,
    as_json: AsJson = False,
) -> None:
    """Show which stored events a mapping file would read differently from how they were read."""
    from hub import trying
    from hub.mapping import diff

    new = load_mapping(file)
    with opened(config) as hub:
        source = trying.connection_for(hub.config, new.connector, connection)
        rows, seen = [], 0
        for old, events in trying.stored_sources(hub.database, source, ago(since), limit):
            listed = list(events)
            seen += len(listed)
            for change in diff(old, new, listed, source.name):
                rows += [
                    {
                        "event": change.event.id,
                        "type": change.event.type,
                        "field": path,
                        "was": change.was.get(path),
                        "becomes": change.becomes.get(path),
                    }
                    for path in dict.fromkeys([*change.was, *change.becomes])
                ]
    show(
        rows,
        ["event", "type", "field", "was", "becomes"],
        as_json=as_json,
        empty="no event would be read differently",
    )
    if not as_json:
        changed = len({row["event"] for row in rows})
        say(f"{changed} of {seen} stored event(s) would be read differently")


def load_mapping(file: Path) -> Any:
    """Return the mapping in a file, checked for the connector it names."""
    from hub import plugins
    from hub.mapping import load
    from hub.sdk import ConfigError
    from hub.yamlfile import did_you_mean, read

    kinds = plugins.load().connectors
    document = read(file)
    name = str(document.value.get("connector") or "") if isinstance(document.value, dict) else ""
    if name not in kinds:
        message = f"no connector is named {name!r}" if name else "`connector` is missing"
        raise ConfigError([document.problem(("connector",), message, did_you_mean(name, kinds))])
    return load(file, kinds[name])
