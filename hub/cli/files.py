"""Commands about the files an admin edits."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.common import DEFAULT, AsJson, ConfigPath, Since, ago, opened, say, show

mappings = typer.Typer(help="Check, try and compare mapping files.", no_args_is_help=True)
connectors = typer.Typer(help="The platforms that can be connected.", no_args_is_help=True)


def check(config: ConfigPath = DEFAULT) -> None:
    """Check hub.yaml, the mappings and the programme without starting anything."""
    from hub.config import check_config
    from hub.hub import read_files

    check_config(config, os.environ)
    files = read_files(config)
    for warning in files.warnings:
        say(f"[yellow]{warning}[/yellow]")
    say(f"{config}: {len(files.config.connections)} connections, all files are sound")


def init(folder: Path, connector: Annotated[list[str] | None, typer.Option(help="Platforms to connect.")] = None) -> None:
    """Write hub.yaml, program.yaml and mapping files to start from into a new folder."""
    from hub.config import shipped_mapping
    from hub.rules import SAMPLE_PROGRAM
    from hub.starting import hub_yaml

    if (folder / "hub.yaml").exists():
        raise typer.BadParameter(f"{folder / 'hub.yaml'} is there already")
    chosen = connector or ["standard_webhooks"]
    text = hub_yaml(chosen)
    (folder / "mappings").mkdir(parents=True, exist_ok=True)
    for name in chosen:
        shutil.copy(shipped_mapping(name), folder / "mappings" / f"{name}.yaml")
    shutil.copy(SAMPLE_PROGRAM, folder / "program.yaml")
    (folder / "hub.yaml").write_text(text, encoding="utf-8")
    say(f"wrote {folder}/hub.yaml, program.yaml and {len(chosen)} mapping file(s)")
    say(f"set the variables it names, then: hub check -c {folder}/hub.yaml && hub serve -c {folder}/hub.yaml")


@connectors.command("list")
def list_connectors(as_json: AsJson = False) -> None:
    """List the connectors that are installed."""
    from hub import plugins

    found = plugins.load()
    rows = [
        {
            "name": name,
            "label": kind.label,
            "inbound": bool(kind.events) or bool(kind.signed),
            "outbound": bool(kind.actions),
            "actions": ", ".join(kind.actions),
            "api_version": kind.api_version,
            "verified_on": kind.verified_on.isoformat(),
        }
        for name, kind in sorted(found.connectors.items())
    ]
    show(rows, ["name", "label", "inbound", "outbound", "actions", "api_version", "verified_on"], as_json=as_json)
    for name, reason in found.broken.items():
        say(f"[red]{name} was set aside: {reason}[/red]")


@mappings.command("check")
def check_mappings(files: list[Path]) -> None:
    """Check mapping files; print every problem with its line."""
    from hub import plugins
    from hub.mapping import load
    from hub.sdk import ConfigError, Problem
    from hub.yamlfile import did_you_mean, read

    kinds = plugins.load().connectors
    problems: list[Problem] = []
    for file in files:
        try:
            document = read(file)
            name = document.value.get("connector") if isinstance(document.value, dict) else None
            if name not in kinds:
                place = document.place(("connector",))
                fix = did_you_mean(str(name), kinds)
                raise ConfigError([Problem(str(file), *place, f"no connector is named {name!r}", fix)])
            mapping = load(file, kinds[name])
            for warning in mapping.warnings:
                say(f"[yellow]{warning}[/yellow]")
            say(f"{file}: sound, version {mapping.version[:12]}")
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)


@mappings.command("try")
def try_mapping(
    file: Path,
    event: Annotated[str, typer.Option(help="An event's id, or the path of a body.")],
    config: ConfigPath = DEFAULT,
    connection: Annotated[str, typer.Option(help="With a body: the connection it would come from.")] = "",
    event_type: Annotated[str, typer.Option("--type", help="With a body: the event type, where a header tells it.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show how a mapping file reads one event: every field, its line and its value."""
    from hub.mapping import explain, load
    from hub.trying import source_of

    hub = opened(config)
    name, source = source_of(hub, event, connection, event_type)
    mapping = load(file, type(hub.connections[name].connector))
    rules = explain(mapping, source, name)
    rows: list[dict[str, Any]] = []
    for rule in rules:
        for field in ([rule.condition] if rule.condition else []) + rule.fields:
            value = f"error: {field.error}" if field.error else field.value
            rows.append({"emits": rule.emit, "line": field.line, "field": field.path, "value": value, "from": field.expression})
    show(rows, ["emits", "line", "field", "value", "from"], as_json=as_json)
    if not rules:
        say(str(getattr(mapping.apply(source, connection=name), "reason", "nothing")))
    failed = [rule.error for rule in rules if rule.error]
    for error in failed:
        say(f"[red]{error}[/red]")
    raise typer.Exit(1 if failed else 0)


@mappings.command("diff")
def diff_mapping(
    file: Path,
    connection: Annotated[str, typer.Option(help="Whose stored events to read.")],
    since: Since = "7d",
    config: ConfigPath = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Show what a changed mapping file would have made of stored events."""
    from hub.mapping import diff, load
    from hub.trying import stored_sources

    hub = opened(config)
    new = load(file, type(hub.connections[connection].connector))
    changes = list(diff(hub.mapping(connection), new, stored_sources(hub, connection, ago(since)), connection=connection))
    show(({"event": c.event.id, "type": c.event.type, "was": c.was, "becomes": c.becomes} for c in changes), ["event", "type", "was", "becomes"], as_json=as_json)
    say(f"{len(changes)} of the stored events would be read differently")
