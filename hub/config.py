"""hub.yaml: read once at start, checked whole, every problem with its file and line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_core import PydanticCustomError

from hub.connections import Connection, Rate, Secret
from hub.journal import API, OWN
from hub.sdk import ConfigError, Connector, Problem
from hub.yamlfile import Document, Keys, did_you_mean, in_file_order, problems_of, read

DEFAULT_MAPPINGS = Path(__file__).parents[1] / "mappings"
DATABASES = ("sqlite:///", "postgresql://", "postgresql+psycopg://")
BROKERS = ("amqp://", "amqps://", "redis://", "rediss://")
_SIZES = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20}
_SPANS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}


def _size(value: Any) -> Any:
    match = re.fullmatch(r"(\d+)\s*(KiB|MiB|)", str(value))
    if not match:
        raise PydanticCustomError("size", "write a size as 512 KiB or 2 MiB")
    return int(match[1]) * _SIZES[match[2]]


def _span(value: Any) -> Any:
    match = re.fullmatch(r"(\d+)\s+(second|minute|hour|day)s?", str(value))
    if not match:
        raise PydanticCustomError("span", "write a time as 30 seconds, 5 minutes, 12 hours or 90 days")
    return timedelta(seconds=int(match[1]) * _SPANS[f"{match[2]}s"])


Size = Annotated[int, BeforeValidator(_size), Field(gt=0)]
Span = Annotated[timedelta, BeforeValidator(_span)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SecretEntry(_Part):
    value: SecretStr
    until: AwareDatetime | None = None


def _secret(value: Any) -> Any:
    return {"value": value} if isinstance(value, str) else value


class RateEntry(_Part):
    per_s: Annotated[float, Field(gt=0)] = 10.0
    burst: Annotated[int, Field(ge=1)] = 10


class ConnectionEntry(_Part):
    connector: str
    secrets: list[Annotated[SecretEntry, BeforeValidator(_secret)]] = []
    settings: dict[str, Any] = {}
    mapping: str = ""
    url: str = ""
    waiver: str = ""
    live: bool = True
    outbound: bool = True
    rate: RateEntry | None = None
    concurrency: Annotated[int, Field(ge=1, le=64)] = 4


class Retention(_Part):
    """How long what is only kept for support stays. Postings and the audit trail stay for good.

    On PostgreSQL whole months go, when their last day is past its time. `webhooks` is what is kept of a webhook besides its
    body; it goes on PostgreSQL alone, and only where hub.yaml says so.
    """

    bodies: Span = timedelta(days=90)
    attempts: Span = timedelta(days=30)
    webhooks: Span | None = None


class Outgoing(_Part):
    """Which private addresses outbound calls may reach: sandboxes and services on the same network."""

    allow_private: list[str] = []


class Api(_Part):
    """How fast one token may ask; each serving process counts for itself."""

    rate: RateEntry = RateEntry(per_s=50.0, burst=100)


class Engine(_Part):
    """Who does the work: the serving process itself, or workers that are rung through a broker."""

    kind: Literal["local", "celery"] = "local"
    broker: SecretStr | None = None
    queues: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")] = "points-hub"
    slow: list[str] = []


class Tracing(_Part):
    """What is told of the way of each webhook, besides the trace id in the lines there are anyway.

    Attributes:
        log: a line for each webhook, event and delivery.
        send: connections whose calls carry the trace id (`traceparent`).
        otlp: where spans go: the address of an OpenTelemetry collector, http://collector:4318/v1/traces.
    """

    log: bool = False
    send: list[str] = []
    otlp: str = ""


class HubFile(_Part):
    """The whole of hub.yaml."""

    public_url: str
    database: str = "sqlite:///points.db"
    calls: str = "calls"
    program: str = "program.yaml"
    mappings: str = "mappings"
    listen: str = "127.0.0.1:8080"
    secret_key: SecretStr | None = None
    max_body: Size = 2 << 20
    fast_lane: bool = True
    alerts: str = ""
    logs: Literal["auto", "json", "console"] = "auto"
    retention: Retention = Retention()
    outgoing: Outgoing = Outgoing()
    engine: Engine = Engine()
    tracing: Tracing = Tracing()
    api: Api = Api()
    roles: dict[str, list[str]] = {}
    connections: dict[str, ConnectionEntry] = {}


@dataclass(frozen=True, slots=True)
class Config:
    """What hub.yaml says, resolved.

    Attributes:
        path: of hub.yaml; relative paths in it are relative to its folder.
        connections: by name, with their connectors made.
        mappings: connection name -> its mapping file.
        silent: connections whose mapping's `outbound:` part is off.
        calls: the folder in which each process that delivers notes the calls under way.
    """

    path: Path
    file: HubFile
    program: Path
    database: str
    calls: Path
    connections: Mapping[str, Connection]
    mappings: Mapping[str, Path]
    silent: frozenset[str]

    @property
    def address(self) -> tuple[str, int]:
        """Where to listen: host and port."""
        host, _, port = self.file.listen.rpartition(":")
        return host, int(port)


def load_config(
    path: Path,
    connectors: Mapping[str, type[Connector]],
    env: Mapping[str, str],
    broken: Mapping[str, str] | None = None,
) -> Config:
    """Read hub.yaml.

    Args:
        path: of hub.yaml.
        connectors: the installed ones by name.
        env: what `${NAME}` in the file stands for.
        broken: plugins that did not load and why, to explain an unknown connector.

    Raises:
        ConfigError: with every problem found.
    """
    config, problems = read_config(path, connectors, env, broken)
    if config is None or problems:
        raise ConfigError(problems)
    return config


def read_config(
    path: Path,
    connectors: Mapping[str, type[Connector]],
    env: Mapping[str, str],
    broken: Mapping[str, str] | None = None,
) -> tuple[Config | None, list[Problem]]:
    """Return what is sound of hub.yaml, for those who report on it, and every problem found.

    The arguments are those of `load_config`. None: there is nothing to go on with.
    """
    unset: list[Problem] = []
    try:
        document = read(path, env)
    except ConfigError as error:
        unset = error.problems
        try:
            document = read(path)  # its variables stay as they are written, so that the rest is checked too
        except ConfigError:
            return None, unset
    file, problems = _sound_part(document)
    if file is None:
        return None, in_file_order([*unset, *problems])
    reader = _Reader(document, file, path.parent, connectors, broken or {})
    connections = {
        name: made for name, entry in file.connections.items() if (made := reader.connection(name, entry))
    }
    reader.check_file(connections)
    places = {(problem.line, problem.column) for problem in unset}
    problems += reader.problems
    config = Config(
        path=path,
        file=file,
        program=path.parent / file.program,
        database=_database_url(file.database, path.parent),
        calls=path.parent / file.calls,
        connections=connections,
        mappings={name: reader.mapping_of(entry) for name, entry in file.connections.items()},
        silent=frozenset(name for name, entry in file.connections.items() if not entry.outbound),
    )
    return config, in_file_order([*unset, *(p for p in problems if (p.line, p.column) not in places)])


def _sound_part(document: Document) -> tuple[HubFile | None, list[Problem]]:
    """Return the file without its faulty keys and connections, and what is wrong with those."""
    try:
        return HubFile.model_validate(document.value), []
    except ValidationError as error:
        problems = problems_of(error, document, HubFile)
        faulty = {
            fault["loc"][: 2 if fault["loc"][:1] == ("connections",) else 1] for fault in error.errors()
        }
    if not isinstance(document.value, dict):
        return None, problems
    sound = {key: value for key, value in document.value.items() if (key,) not in faulty}
    connections = sound.pop("connections", {}).items()
    sound["connections"] = {name: entry for name, entry in connections if ("connections", name) not in faulty}
    return HubFile.model_validate({"public_url": "https://unknown.invalid", **sound}), problems


class _Reader:
    """Checks what one model cannot: that the parts of the file fit each other and what is installed."""

    def __init__(
        self,
        document: Document,
        file: HubFile,
        folder: Path,
        connectors: Mapping[str, type[Connector]],
        broken: Mapping[str, str],
    ) -> None:
        self.document, self.file, self.folder = document, file, folder
        self.connectors, self.broken = connectors, broken
        self.problems: list[Problem] = []

    def complain(self, keys: Keys, message: str, fix: str = "", *, of_key: bool = False) -> None:
        self.problems.append(self.document.problem(keys, message, fix, of_key=of_key))

    def check_file(self, connections: Mapping[str, Connection]) -> None:
        """Check what stands outside the connections; those that could be made are given."""
        address = urlsplit(self.file.public_url)
        if address.scheme not in {"http", "https"} or not address.netloc:
            self.complain(
                ("public_url",),
                f"{self.file.public_url!r} is not an address",
                "write https://points.example.com",
            )
        if not re.fullmatch(r".+:\d{1,5}", self.file.listen):
            self.complain(("listen",), f"{self.file.listen!r} is not an address", "write 127.0.0.1:8080")
        if not self.file.database.startswith(DATABASES):
            self.complain(
                ("database",),
                "the hub keeps its data in SQLite or PostgreSQL",
                "write sqlite:///points.db or postgresql://user:password@host/name",
            )
        oauth = [name for name, each in connections.items() if each.connector.oauth()]
        if oauth and self.file.secret_key is None:
            self.complain(
                ("secret_key",),
                f"'secret_key' is missing, and the tokens of {oauth[0]} are encrypted with it",
                'add `secret_key: "${HUB_SECRET_KEY}"`, any long random text',
            )
        written = self.document.value.get("connections")
        names = written if isinstance(written, dict) else {}  # those with faults have a name too
        for name in OWN:
            if name in names:
                self.complain(
                    ("connections", name), f"{name!r} is the hub's own: give it another name", of_key=True
                )
        if self.file.alerts and self.file.alerts not in names:
            self.complain(
                ("alerts",),
                f"no connection is named {self.file.alerts!r}",
                did_you_mean(self.file.alerts, names),
            )
        self._check_engine(names)
        self._check_tracing(names)
        self.check_roles(["staff", API, *names])
        for index, network in enumerate(self.file.outgoing.allow_private):
            try:
                ip_network(network, strict=False)
            except ValueError as error:
                self.complain(
                    ("outgoing", "allow_private", index), str(error), "write 10.1.2.0/24 or 127.0.0.1"
                )

    def _check_engine(self, names: Mapping[str, Any]) -> None:
        engine = self.file.engine
        for index, name in enumerate(engine.slow):
            if name not in names:
                hint = did_you_mean(name, names)
                self.complain(("engine", "slow", index), f"no connection is named {name!r}", hint)
        if engine.kind == "local":
            return
        if self.file.database.startswith("sqlite"):
            self.complain(
                ("engine", "kind"),
                "several processes cannot share the work of a SQLite database",
                "name a PostgreSQL database (`hub move` takes the data there), or write kind: local",
            )
        broker = engine.broker.get_secret_value() if engine.broker else ""
        if not broker.startswith(BROKERS):
            self.complain(
                ("engine", "broker") if broker else ("engine",),
                "Celery needs a broker",
                'write broker: "amqp://user:password@host//" or "redis://host:6379/0"',
            )

    def _check_tracing(self, names: Mapping[str, Any]) -> None:
        tracing = self.file.tracing
        for index, name in enumerate(tracing.send):
            if name not in names:
                hint = did_you_mean(name, names)
                self.complain(("tracing", "send", index), f"no connection is named {name!r}", hint)
        if tracing.otlp and urlsplit(tracing.otlp).scheme not in {"http", "https"}:
            self.complain(
                ("tracing", "otlp"),
                f"{tracing.otlp!r} is not an address",
                "write http://collector:4318/v1/traces",
            )

    def check_roles(self, sources: list[str]) -> None:
        """Check who may decide what: each is `staff:name`, `api:token`, or `connection:user`."""
        for role, holders in self.file.roles.items():
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", role):
                self.complain(
                    ("roles", role), f"{role!r} is no name for a role", "use a-z, 0-9 and _", of_key=True
                )
            for index, holder in enumerate(holders):
                source, _, user = holder.partition(":")
                if not user:
                    fix = "write staff:ida, api:token, or a connection's name and the user's id there"
                    self.complain(("roles", role, index), f"{holder!r} names nobody", fix)
                elif source not in sources:
                    self.complain(
                        ("roles", role, index),
                        f"no connection is named {source!r}",
                        did_you_mean(source, sources),
                    )

    def connection(self, name: str, entry: ConnectionEntry) -> Connection | None:
        at: Keys = ("connections", name)
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", name):
            self.complain(at, f"{name!r} cannot be part of an address", "use a-z, 0-9, _ and -", of_key=True)
        kind = self.connectors.get(entry.connector)
        if kind is None:
            why = self.broken.get(entry.connector)
            fix = f"its plugin did not load: {why}" if why else did_you_mean(entry.connector, self.connectors)
            self.complain((*at, "connector"), f"no connector is named {entry.connector!r}", fix)
            return None
        if not self.mapping_of(entry).is_file():
            self.complain(
                (*at, "mapping"),
                f"{self.mapping_of(entry)} does not exist",
                "run `hub init` or name the file in `mapping:`",
            )
        try:
            settings = kind.Settings.model_validate(entry.settings)
        except ValidationError as error:
            self.problems += self._settings_problems(error, at, kind)
            return None
        self._check_proof(at, entry, kind)
        return Connection(
            name=name,
            connector=kind(settings),
            url=entry.url or f"{self.file.public_url.rstrip('/')}/webhooks/{name}",
            secrets=tuple(Secret(s.value.get_secret_value().encode(), s.until) for s in entry.secrets),
            waiver=entry.waiver,
            rate=Rate(entry.rate.per_s, entry.rate.burst) if entry.rate else Rate(*kind.pace),
            concurrency=entry.concurrency,
            live=entry.live,
        )

    def mapping_of(self, entry: ConnectionEntry) -> Path:
        """Return the mapping file: the one named, else the merchant's, else the one we ship."""
        if entry.mapping:
            return self.folder / entry.mapping
        own = self.folder / self.file.mappings / f"{entry.connector}.yaml"
        return own if own.is_file() else shipped_mapping(entry.connector)

    def _check_proof(self, at: Keys, entry: ConnectionEntry, kind: type[Connector]) -> None:
        if entry.waiver or (not kind.events and not kind.keep_headers and not entry.secrets and kind.actions):
            return
        if not kind.signed:
            self.complain(
                at,
                f"{kind.label} cannot sign its webhooks",
                "say in `waiver:` who accepts that and why, or leave the connection out",
                of_key=True,
            )
        elif not any(s.value.get_secret_value() for s in entry.secrets):
            self.complain(
                at,
                "a signing secret is missing",
                f'add `secrets: ["${{NAME}}"]`; see {kind.docs_url}',
                of_key=True,
            )

    def _settings_problems(self, error: ValidationError, at: Keys, kind: type[Connector]) -> list[Problem]:
        found = problems_of(error, self.document.part((*at, "settings")), kind.Settings)
        return [replace(problem, message=f"{at[1]}: settings: {problem.message}") for problem in found]


def shipped_mapping(connector: str) -> Path:
    """Return the mapping file that ships for a connector; it may not exist."""
    packaged = Path(__file__).parents[1] / "connectors" / "mappings" / f"{connector}.yaml"
    return packaged if packaged.is_file() else DEFAULT_MAPPINGS / f"{connector}.yaml"


def _database_url(url: str, folder: Path) -> str:
    """Resolve a relative SQLite path against the file's folder."""
    prefix = "sqlite:///"
    if url.startswith(prefix) and not url.startswith("sqlite:////"):
        return f"{prefix}{(folder / url.removeprefix(prefix)).resolve()}"
    return url
