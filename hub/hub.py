"""The hub, put together: one object that the web app, the engine and the command line share."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path

import sqlalchemy as sa
import structlog

from hub import housekeeping, metrics, plugins
from hub.clock import Clock, system_clock
from hub.config import Config, load_config
from hub.connections import Connection
from hub.engine.local import LocalEngine
from hub.inbox import Inbox
from hub.inbox.refusals import Refusals
from hub.intake import intake_of
from hub.journal import Entry
from hub.mapping import Mapping as MappingFile
from hub.mapping import MappingStore
from hub.outbox import Deliverer, Delivery, Tokens
from hub.plugins import Plugins
from hub.rules import Program, load_program
from hub.sdk import Client, ConfigError, Problem
from hub.storage import Database
from hub.storage.migrations import upgrade
from hub.values import Posted
from hub.versions import Programs, remember

log = structlog.get_logger()


class Hub:
    """Everything one hub.yaml describes. Opened by `open_hub`; nothing runs before `start`."""

    def __init__(
        self,
        config: Config,
        found: Plugins,
        program: Program,
        mappings: MappingStore,
        *,
        clock: Clock = system_clock,
        commit_delay_s: float = 0.0,
    ) -> None:
        self.config = config
        self.plugins = found
        self.clock = clock
        self.connections = config.connections
        self.max_body = config.file.max_body
        self.fast_lane = config.file.fast_lane
        self.database = Database(config.database, commit_delay_s=commit_delay_s)
        upgrade(self.database)
        self.mappings = mappings
        self.programs = Programs(self.database, program)
        self._remember_all()
