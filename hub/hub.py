"""The hub, put together: the one object that the web app, the engine and the command line share."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import sqlalchemy as sa
import structlog
from prometheus_client import CollectorRegistry

from hub import account, housekeeping, journal, outbox, plugins, proving, upkeep
from hub.clock import Clock, system_clock
from hub.config import Config, read_config
from hub.connections import Connection
from hub.crashpoints import here
from hub.engine import Engine, engine_of
from hub.http import Guard, Outgoing
from hub.inbox import Inbox, Refusals
from hub.intake import intake_of
from hub.journal import Settled
from hub.mapping import Mapping as MappingFile
from hub.mapping import MappingStore
from hub.metrics import Figures
from hub.outbox import CallLog, Deliverer, Delivery, OAuthTokens
from hub.plugins import Plugins
from hub.processes import Reporter
from hub.rules import Program, load_program
from hub.sdk import Card, Client, ConfigError, MemberRef, Problem
from hub.storage import Database
from hub.storage.migrations import upgrade
from hub.telemetry import Telemetry
from hub.versions import Programs, remember

STALE = timedelta(minutes=10)
"""How old the oldest unprocessed webhook may be before the hub calls itself not ready."""

log = structlog.get_logger()


class Hub:
    """Everything one hub.yaml describes. `open_hub` makes it; nothing runs before `start`.

    Attributes:
        programs: the programme that counts now and those that counted before.
        outbound: connections that are told things, each with its mapping.
        triggers: what any of them listens for.
        reporter: writes this process's figures down where there are several; set by the engine.
    """

    def __init__(
        self,
        config: Config,
        found: Plugins,
        program: Program,
        mappings: MappingStore,
        *,
        clock: Clock = system_clock,
        commit_delay_s: float = 0.0,
        engine: Callable[[Hub], Engine] = engine_of,
    ) -> None:
        self.config, self.plugins, self.clock, self.mappings = config, found, clock, mappings
        self.connections = config.connections
        self.max_body, self.fast_lane = config.file.max_body, config.file.fast_lane
        self.metrics = CollectorRegistry()
        self.figures = Figures(self.metrics)
        self.database = Database(config.database, commit_delay_s=commit_delay_s)
        upgrade(self.database)
        self.programs = Programs(self.database, program, clock)
        self._remember(config.program, program.hash, "program")
        for path in set(config.mappings.values()):
            self._remember(path, mappings[path].version, "mapping")
        self._listen()
        self.telemetry = Telemetry(self.database, config.file.tracing, clock, self.figures.tried)
        self.reporter: Reporter | None = None
        self.engine = engine(self)
        self.inbox = Inbox(
            self.database,
            on_stored=self.engine.ring_inbox,
            on_duplicate=lambda again: housekeeping.redelivered(self, again),
            on_each=self.telemetry.webhook if self.telemetry.wanted else None,
        )
        self.refusals = Refusals(self.database, self.connections, clock)
        self.intake = intake_of(self.database)
        key = config.file.secret_key
        self.outgoing = Outgoing(
            clock,
            Guard(config.file.outgoing.allow_private),
            OAuthTokens(self.database, key.get_secret_value(), clock) if key else None,
        )
        self.deliverer = Deliverer(
            self.database,
            self.connections,
            self.outgoing,
            clock,
            calls=CallLog(config.calls),
            alert=self._alert,
            on_dead=lambda letter: found.tell("delivery_failed", delivery=letter),
            telling=self.telemetry,
        )
        self._program_stamp = _stamp(config.program)
        self.prune_next = self.look_next = self.hear_next = self.prove_next = datetime.min.replace(tzinfo=UTC)
        self.proof: proving.Proof | None = None

    def mapping(self, connection: str) -> MappingFile:
        """Return the live mapping of a connection."""
        return self.mappings[self.config.mappings[connection]]

    def client(self, connection: Connection, key: str) -> Client:
        """Return the client with which a connector reads a record; `key` tells its calls apart."""
        return self.outgoing.client(connection, key)

    def start(self) -> None:
        """Start the threads that do the work."""
        self.engine.start()

    def close(self) -> None:
        """Finish what is at hand and let go of everything. What is left waits in the database."""
        self.inbox.close()
        self.engine.stop()
        if self.proof is not None:
            self.proof.stop()
        self.refusals.close()
        self.telemetry.close()
        self.database.close()

    def ready(self) -> list[str]:
        """Return what keeps the hub from its work, one sentence each. Costs two look-ups by index."""
        try:
            with self.database.write() as connection:
                connection.execute(sa.text("SELECT 1"))
            oldest = self.intake.oldest()
        except sa.exc.SQLAlchemyError as error:
            return [f"the database cannot be written: {getattr(error, 'orig', error)}"]
        if oldest is not None and self.clock() - oldest > STALE:
            return [
                f"webhooks wait since {oldest:%Y-%m-%d %H:%M} UTC to be processed; look for errors in the log"
            ]
        return []

    def tell(self, settled: Settled) -> None:
        """Count and tell what a transaction did, after its commit."""
        here("after ledger commit")
        self.figures.count(settled.entries, settled.posted, self.clock())
        self.telemetry.events(settled.entries)
        for entry in settled.entries:
            if entry.state == "parked":
                # Its reason quotes the payload: it is for `hub inbox show`, not for the log.
                log.warning(
                    "an event is parked",
                    action="event_parked",
                    event_id=entry.id,
                    connection=entry.connection,
                    trace_id=entry.trace_id,
                )
        if settled.posted or any(entry.state in {"ready", "done"} for entry in settled.entries):
            self.engine.ring_journal()
        if settled.deliveries:
            self.engine.ring_outbox()
        if bells := {entry.connection for entry in settled.entries if entry.bell}:
            upkeep.ring(self, bells)
        for posting in settled.posted if self.plugins.listens("points_posted") else ():
            self.plugins.tell("points_posted", posting=msgspec.structs.asdict(posting))

    def reload_if_changed(self) -> int:
        """Put changed mapping and programme files into force, each whole or not at all; return how many."""
        changed = self.mappings.reload_if_changed()
        for path in changed:
            self._remember(path, self.mappings[path].version, "mapping")
            log.info("a mapping is in force", action="mapping_reloaded", file=str(path))
        program = self._reload_program()
        if not changed and not program:
            return 0
        self._listen()
        names = [name for name, path in self.config.mappings.items() if program or path in changed]
        names += [journal.API] if program else []  # it has no mapping
        with self.database.write() as connection:
            journal.wake_parked(connection, self.clock(), names)
        self.engine.ring_journal()
        return len(changed) + program

    def _reload_program(self) -> int:
        stamp = _stamp(self.config.program)
        if stamp == self._program_stamp:
            return 0
        self._program_stamp = stamp
        try:
            program = load_program(self.config.program)
        except ConfigError:
            return 0  # the last good one stays; `hub check` and `hub doctor` say what is wrong
        if program.hash == self.programs.newest.hash:
            return 0
        self._remember(self.config.program, program.hash, "program")
        self.programs.set(program)
        log.info("a programme is in force", action="program_reloaded", file=str(self.config.program))
        return 1

    def alert(self, text: str, dedupe: str) -> Delivery | None:
        """Return a message to whoever wants to hear of what goes wrong; told once under its name."""
        found = self._alert("", text)
        return found and msgspec.structs.replace(found, dedupe=dedupe)

    def say(self, connection: str, text: str, *, once: str) -> None:
        """Tell people about a connection, where somebody wants to hear of it; only the first time under `once`."""
        delivery = self._alert(connection, text)
        if delivery is not None:
            with self.database.write() as tx:
                outbox.add(tx, [msgspec.structs.replace(delivery, dedupe=once)])
            self.engine.ring_outbox()

    def card(self, connection: Connection, ref: MemberRef) -> Card:
        """Return the account of whoever a reference of this connection means. A handful of look-ups."""
        return account.card(self, connection, ref)

    def _alert(self, connection: str, text: str) -> Delivery | None:
        """Return the message about a connection's trouble, where somebody wants to hear of it."""
        listener = self.connections.get(self.config.file.alerts)
        if listener is None or listener.name == connection:
            return None
        return Delivery(
            connection=listener.name,
            action="post_message",
            params={"text": text},
            dedupe="",
            created_at=self.clock(),
        )

    def _listen(self) -> None:
        self.outbound = [
            (connection, self.mapping(name))
            for name, connection in self.connections.items()
            if name not in self.config.silent
        ]
        self.triggers = {trigger for _, mapping in self.outbound for trigger in mapping.outbounds}

    def _remember(self, path: Path, digest: str, kind: str) -> None:
        remember(self.database, kind, path, digest, self.clock())


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


@dataclass(frozen=True, slots=True)
class Files:
    """Every file of a hub, read and found sound.

    Attributes:
        warnings: what does not stop it.
    """

    config: Config
    plugins: Plugins
    program: Program
    mappings: MappingStore
    warnings: list[Problem]


def read_files(path: Path) -> Files:
    """Read every file of the hub whose hub.yaml is at `path`; touch no database.

    Raises:
        ConfigError: with every problem found, in hub.yaml, the mappings and the programme.
    """
    found = plugins.load()
    config, problems = read_config(path, found.connectors, os.environ, found.broken)
    if config is None:
        raise ConfigError(problems)
    kinds = {name: found.connectors.get(entry.connector) for name, entry in config.file.connections.items()}
    mappings = MappingStore(
        {
            config.mappings[name]: kind
            for name, kind in kinds.items()
            if kind and config.mappings[name].is_file()
        }
    )
    problems += [problem for faults in mappings.problems.values() for problem in faults]
    try:
        program = load_program(config.program)
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from error
    if problems:
        raise ConfigError(problems)
    warnings = [
        Problem(str(path), 0, 0, f"connection {name!r} cannot call out: a package is missing", line)
        for name, entry in config.file.connections.items()
        if entry.outbound and (line := plugins.pip_line(entry.connector))
    ]
    warnings += [
        Problem(str(path), 0, 0, f"nobody may decide as {role!r}", f"add `roles: {{{role}: [staff:ida]}}`")
        for role in sorted(program.roles - config.file.roles.keys())
    ]
    for used in sorted(set(config.mappings.values())):
        warnings += mappings[used].warnings
    return Files(config, found, program, mappings, warnings)


def open_hub(
    files: Path | Files,
    *,
    clock: Clock = system_clock,
    commit_delay_s: float = 0.0,
    engine: Callable[[Hub], Engine] = engine_of,
) -> Hub:
    """Read every file of a hub and open its database.

    Args:
        files: hub.yaml's path, or all of them as they were read.
        engine: makes what does the work, once the hub is started.

    Raises:
        ConfigError: as `read_files`.
    """
    files = read_files(files) if isinstance(files, Path) else files
    return Hub(
        files.config,
        files.plugins,
        files.program,
        files.mappings,
        clock=clock,
        commit_delay_s=commit_delay_s,
        engine=engine,
    )
