"""`hub doctor`: what is misconfigured, stuck or about to end, each with its fix.

It reads the files and the database as they are now, from beside a running hub, and changes nothing. Each check is
a function that yields rows; a broken part is a row, and the checks that need it are passed over.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import sqlalchemy as sa

from hub import inbox, journal, outbox, people, plugins, proving
from hub.clock import Clock, system_clock
from hub.config import Config, read_config
from hub.connections import Connection
from hub.http import Guard, Outgoing
from hub.hub import STALE, read_files
from hub.intake import intake_of
from hub.outbox import OAuthTokens
from hub.sdk import ConfigError, Rejected, TryLater
from hub.storage import Database, partitions
from hub.storage.migrations import status
from hub.storage.tables import pulse, upkeep

SOON = timedelta(days=14)
"""How long before its end a secret is reported."""
LONG = timedelta(days=1)
"""After this, waiting and unassigned events are worth a look."""
PROBE_S = 10.0
SHORTEST_SECRET = 12
"""Characters; platforms make secrets of 16 and more."""

_PLACEHOLDER = re.compile(
    r"change.?me|^your[-_ ]|example|^(secret|password)$|^x+$|^\.+$|^<.*>$|\$\{", re.IGNORECASE
)
_TEST = re.compile(r"(^|_)test(_|$)", re.IGNORECASE)
"""How platforms mark secrets of their test mode."""
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class Row:
    """One finding. `said` is what was found, `fix` the next step."""

    state: Literal["ok", "warn", "bad"]
    what: str
    said: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """What the checks look at."""

    found: plugins.Plugins
    config: Config
    clock: Clock

    @property
    def now(self) -> datetime:
        return self.clock()


def examine(path: Path, *, offline: bool = False, clock: Clock = system_clock) -> list[Row]:
    """Return what there is to say of a hub.

    Args:
        path: of hub.yaml.
        offline: call no platform.
        clock: for ages and ends.
    """
    found = plugins.load()
    config, _ = read_config(path, found.connectors, os.environ, found.broken)
    rows = list(_files(path))
    if config is None:
        return rows
    patient = Patient(found, config, clock)
    for check in FILE_CHECKS:
        rows += check(patient)
    try:
        database = Database(config.database, pool_size=2)
    except (sa.exc.SQLAlchemyError, ImportError) as error:
        return [
            *rows,
            Row("bad", "database", f"cannot be used: {error}", "correct `database:`, install its driver"),
        ]
    try:
        reachable = _database(database)
        rows.append(reachable)
        if reachable.state == "ok":
            for look in DATABASE_CHECKS:
                rows += look(patient, database)
            rows += [] if offline else _probes(patient, database)
    finally:
        database.close()
    return rows


# The files.


def _files(path: Path) -> Iterator[Row]:
    try:
        files = read_files(path)
    except ConfigError as error:
        for problem in error.problems:
            place = f"{problem.file}:{problem.line}" if problem.line else problem.file
            yield Row(
                "bad",
                place,
                problem.message,
                problem.fix or "mend the file; `hub check` says when it is sound",
            )
        return
    yield Row("ok", "files", f"{path}, its mappings and its programme are sound")
    for warning in files.warnings:
        place = f"{warning.file}:{warning.line}" if warning.line else warning.file
        yield Row("warn", place, warning.message, warning.fix or "see the line")


def _plugins(patient: Patient) -> Iterator[Row]:
    for name, reason in patient.found.broken.items():
        yield Row(
            "warn",
            f"plugin {name}",
            f"was set aside: {reason}",
            "install a version that fits, or uninstall it",
        )


def _addresses(patient: Patient) -> Iterator[Row]:
    given = {"public_url": patient.config.file.public_url}
    given |= {f"connection {c.name}": c.url for c in patient.config.connections.values()}
    shared = given["public_url"].rstrip("/")
    for what, url in given.items():
        address = urlsplit(url)
        if what != "public_url" and url.startswith(f"{shared}/"):
            continue
        if address.hostname in _LOOPBACK:
            yield Row(
                "warn",
                what,
                f"no platform can reach {url}",
                "name the public address, as https://points.example.com",
            )
        elif address.scheme != "https":
            yield Row(
                "bad",
                what,
                f"webhooks to {url} travel unencrypted",
                "put a proxy with TLS before it, write https://",
            )


def _waivers(patient: Patient) -> Iterator[Row]:
    for connection in patient.config.connections.values():
        if connection.waiver:
            yield Row(
                "bad",
                f"connection {connection.name}",
                f"accepts webhooks from anybody who knows the address, because: {connection.waiver}",
                "add `secrets:` and remove the waiver where the platform can sign; else narrow who reaches the address",
            )


def _secrets(patient: Patient) -> Iterator[Row]:
    owners: dict[bytes, str] = {}
    for connection in patient.config.connections.values():
        what = f"connection {connection.name}"
        if connection.secrets and not connection.live_secrets(patient.now):
            yield Row(
                "bad",
                what,
                "every signing secret has ended: all webhooks are refused",
                "add the current secret",
            )
        for number, secret in enumerate(connection.secrets, 1):
            owner = owners.setdefault(secret.value, connection.name)
            if owner != connection.name:
                said = f"signing secret {number} is also the one of {owner}"
                yield Row("warn", what, said, "give each connection the secret its own platform shows")
            if secret.until and patient.now < secret.until < patient.now + SOON:
                said = f"signing secret {number} ends on {secret.until:%Y-%m-%d}"
                fix = "see that the platform signs with the newer one, or move `until`"
                yield Row("warn" if len(connection.live_secrets(secret.until)) else "bad", what, said, fix)
        texts = [secret.value.decode(errors="replace") for secret in connection.secrets]
        for text in [*texts, *connection.connector.redactions()]:
            if fault := _fault(text):
                yield Row("warn", what, f"a secret {fault}", "copy it again from the platform, whole")
            if connection.live and _TEST.search(text):
                fix = "use the live mode's secret, or say `live: false`"
                yield Row("bad", what, "a secret of the platform's test mode on a live connection", fix)


def _fault(secret: str) -> str:
    """Return what looks wrong with a secret, without telling anything of it."""
    if secret != secret.strip() or secret[:1] in {'"', "'"}:
        return "begins or ends with a space or a quote"
    if _PLACEHOLDER.search(secret):
        return "looks like a placeholder"
    if len(secret) < SHORTEST_SECRET:
        return f"has only {len(secret)} characters"
    return ""


# The database.


def _database(database: Database) -> Row:
    try:
        behind = [part for part, (current, head) in status(database).items() if current != head]
    except sa.exc.SQLAlchemyError as error:
        cause = str(getattr(error, "orig", error))
        return Row(
            "bad", "database", f"does not answer: {cause}", "see that it runs and that `database:` is right"
        )
    if behind:
        said = f"has not this version's tables ({', '.join(behind)})"
        return Row("bad", "database", said, "run `hub db upgrade`, or start `hub serve`")
    return Row("ok", "database", "answers, and its schema is current")


def _intake(patient: Patient, database: Database) -> Iterator[Row]:
    intake = intake_of(database)
    with database.read_inbox() as tx:
        newest = inbox.last_id(tx)
    position = intake.position()
    if position is not None and position > newest:
        yield Row(
            "bad",
            "inbox",
            f"webhooks up to {position} count as processed, and the newest stored is {newest}: new ones would be passed over",
            "stop the hub and restore both database files from the same backup",
        )
    oldest = intake.oldest()
    if oldest is not None and patient.now - oldest > STALE:
        said = f"the oldest unprocessed webhook waits for {_age(patient.now - oldest)}"
        yield Row("bad", "inbox", said, "start `hub serve`; if it runs, look for errors in its log")
    else:
        yield Row(
            "ok", "inbox", "everything that came in is processed" if oldest is None else "the hub keeps up"
        )


_OPEN = {
    "parked": (
        timedelta(0),
        "see why with `hub inbox list --state parked`, mend it, then `hub inbox replay`",
    ),
    "unassigned": (LONG, "nobody is known for them: see `hub inbox list --state unassigned`"),
    "waiting": (LONG, "the purchases they refer to have not come: see `hub inbox list --state waiting`"),
}
"""State -> from which age of the oldest it is worth a look, and the next step."""


def _months(patient: Patient, database: Database) -> Iterator[Row]:
    if database.is_sqlite:
        return
    with database.read() as tx:
        missing, astray = partitions.missing(tx, patient.now), partitions.astray(tx)
    for names, said in (
        (missing, "months are not there yet"),
        (astray, "rows are of months that are not there"),
    ):
        if names:
            fix = "start `hub serve` or `hub scheduler`, which makes them within the hour; if it runs, look for errors in its log"
            yield Row("warn", "partitions", f"{said}: {', '.join(names)}", fix)
    if not missing and not astray:
        yield Row("ok", "partitions", "this month and the next are there")


def _journal(patient: Patient, database: Database) -> Iterator[Row]:
    with database.read() as tx:
        left = journal.left_open(tx)
    for state, count, oldest in left:
        age = patient.now - oldest
        patience, fix = _OPEN[state]
        said = f"{count} {state}, the oldest for {_age(age)}"
        yield Row("warn", "events", said, fix) if age >= patience else Row("ok", "events", said)


def _proof(_patient: Patient, database: Database) -> Iterator[Row]:
    with database.read() as tx:
        last = proving.last(tx)
    if last is None:
        yield Row("ok", "ledger", "it is proved every night; no proof has ended yet")
        return
    day, findings = last
    look = "look at it with `hub ledger verify`"
    if findings == proving.UNPROVED:
        yield Row("bad", "ledger", f"the proof of {day} could not be made", look)
    elif findings:
        yield Row("bad", "ledger", f"the proof of {day} found {findings} things that do not hold", look)
    else:
        yield Row("ok", "ledger", f"the proof of {day} found nothing wrong")


def _erasures(patient: Patient, database: Database) -> Iterator[Row]:
    with database.read() as tx:
        waiting = people.pending(tx)
    for each in waiting:
        who = f"member {each.member}" if each.member else "somebody who is no member"
        asked = f"{each.source} asked on {each.requested_at:%Y-%m-%d} to erase {who}"
        if each.due_at > patient.now:
            fix = f"it is done by itself; hub members erase {each.member} --call-off" if each.member else ""
            yield Row("ok", "erasure", f"{asked}: due {each.due_at:%Y-%m-%d %H:%M} UTC", fix)
        elif patient.now - each.due_at > LONG:
            said = f"{asked}: overdue for {_age(patient.now - each.due_at)}"
            yield Row("bad", "erasure", said, "start `hub serve`; if it runs, look for errors in its log")


def _outbox(patient: Patient, database: Database) -> Iterator[Row]:
    with database.read() as tx:
        counts, breakers = outbox.counts(tx), outbox.breakers(tx)
    for row in counts:
        what, age = f"deliveries to {row.connection}", patient.now - row.oldest
        if row.state == "dead":
            said = f"{row.count} given up, the oldest {_age(age)} ago"
            where = f"--connection {row.connection}"
            yield Row(
                "bad",
                what,
                said,
                f"see `hub outbox list --state dead {where}`, then `hub outbox replay {where}`",
            )
        elif row.state == "ready" and age > STALE:
            said = f"{row.count} wait, the oldest for {_age(age)}"
            yield Row(
                "warn",
                what,
                said,
                f"see why with `hub outbox list --state ready --connection {row.connection}`",
            )
    for breaker in breakers:
        if breaker.state != "closed":
            said = f"on hold since {breaker.changed_at:%Y-%m-%d %H:%M} UTC: {breaker.reason}"
            fix = "nothing is lost: they flow again when the platform answers; mend what the reason names"
            yield Row("bad", f"deliveries to {breaker.connection}", said, fix)


# The platforms.


def _probes(patient: Patient, database: Database) -> Iterator[Row]:
    """Ask every platform we call who we are there, all at once and not for long."""
    config = patient.config
    called = [c for c in config.connections.values() if c.connector.actions and c.name not in config.silent]
    if not called:
        return
    key = config.file.secret_key
    tokens = OAuthTokens(database, key.get_secret_value(), patient.clock) if key else None
    outgoing = Outgoing(patient.clock, Guard(config.file.outgoing.allow_private), tokens)
    pool = ThreadPoolExecutor(len(called), thread_name_prefix="doctor")
    asked = {connection.name: pool.submit(_probe, outgoing, connection) for connection in called}
    for name, answer in asked.items():
        try:
            yield answer.result(PROBE_S + 1)
        except TookTooLong:
            yield Row(
                "warn",
                f"connection {name}",
                f"no answer in {PROBE_S:.0f} s",
                "try again; is the platform up?",
            )
    pool.shutdown(wait=False, cancel_futures=True)


def _probe(outgoing: Outgoing, connection: Connection) -> Row:
    what = f"connection {connection.name}"
    try:
        said = connection.connector.probe(outgoing.client(connection, budget_s=PROBE_S))
    except NotImplementedError:
        return Row("ok", what, "its connector has nothing to ask with")
    except TryLater as error:
        said = outgoing.redactor(connection).sentence(error.reason)
        return Row(
            "warn", what, f"cannot be asked now: {said}", "try again; is the platform up, is the network?"
        )
    except Rejected as error:
        said = outgoing.redactor(connection).sentence(error.reason)
        return Row("bad", what, said, f"correct its settings; see {connection.connector.docs_url}")
    except Exception as error:  # noqa: BLE001 - a connector's fault is a finding
        said = outgoing.redactor(connection).sentence(f"{type(error).__name__}: {error}")
        return Row("bad", what, f"its connector failed: {said}", "report it to who wrote the connector")
    return Row("ok", what, outgoing.redactor(connection).sentence(said))


def _age(span: timedelta) -> str:
    minutes = max(0, int(span.total_seconds())) // 60
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} days"


def _upkeep(patient: Patient, database: Database) -> Iterator[Row]:
    with database.read() as connection:
        for row in connection.execute(sa.select(upkeep).where(upkeep.c.failures > 0)):
            if row.connection not in patient.config.connections:
                continue
            said = f"{row.task} failed {row.failures} times in a row: {row.reason}"
            fix = f"mend what it says; the next try is at {row.next_at:%Y-%m-%d %H:%M} UTC"
            yield Row("bad" if row.failures > 3 else "warn", f"connection {row.connection}", said, fix)
        for row in connection.execute(sa.select(pulse).where(pulse.c.silent_at.is_not(None))):
            said = f"silent since {row.last_at:%Y-%m-%d %H:%M} UTC, though something usually comes"
            fix = (
                "check the webhooks at the platform; `hub reconcile` finds what never came, where it can list"
            )
            yield Row("warn", f"connection {row.connection}", said, fix)


FILE_CHECKS: tuple[Callable[[Patient], Iterator[Row]], ...] = (_plugins, _addresses, _waivers, _secrets)
DATABASE_CHECKS: tuple[Callable[[Patient, Database], Iterator[Row]], ...] = (
    _intake,
    _months,
    _journal,
    _proof,
    _erasures,
    _outbox,
    _upkeep,
)
