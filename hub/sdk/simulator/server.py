"""The simulator: every platform on a loopback port of its own, with one clock and one seed.

A port each, because vendors' libraries and `urljoin` drop what stands before an API's path, and several vendors
have calls of the same path. A platform listens from its first use on.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl

from werkzeug import Request, Response
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from hub.sdk.connector import Connector
from hub.sdk.errors import HubError
from hub.sdk.reading import nested
from hub.sdk.simulator import platforms
from hub.sdk.simulator.calls import Call
from hub.sdk.simulator.clock import Clock
from hub.sdk.simulator.platform import Platform
from hub.sdk.simulator.sender import Habits, Post, Sender
from hub.sdk.simulator.validation import Descriptions
from hub.sdk.webhook import Headers

HOST = "127.0.0.1"
BEGIN = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
POLL_S = 0.02
AnyConnector = TypeVar("AnyConnector", bound=Connector)


class Simulator:
    """Plays platforms. Use it as a context; it runs in threads of its own.

    Attributes:
        clock: what every played platform takes for now.

    Args:
        seed: of everything that is left to chance.
        now: where the clock begins; aware UTC.
        specs: the folder of the vendors' API descriptions; None: the one at hand, if any (`Descriptions.at_hand`).
        more: platforms played besides those that come along, such as a plugin's.
        first_port: where the first platform listens, the next ones behind it; 0: wherever there is room.
        watch: told of every call when it is answered.

    Raises:
        HubError: `specs` cannot be used.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        now: datetime = BEGIN,
        specs: Path | None = None,
        more: Iterable[type[Platform]] = (),
        first_port: int = 0,
        watch: Callable[[Platform, Call], None] | None = None,
    ) -> None:
        self.clock = Clock(now)
        self._seed = seed
        self._descriptions = Descriptions(specs) if specs else Descriptions.at_hand()
        self._more = {each.name: each for each in more}
        self._next_port = first_port
        self._watch = watch
        self._playing: dict[str, _Playing] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        for playing in self._playing.values():
            playing.stop()

    def __getitem__(self, name: str) -> Platform:
        """Return a platform, listening.

        Raises:
            HubError: nobody plays it; names those there are. Or its port is taken.
        """
        with self._lock:
            if name not in self._playing:
                kind = self._more.get(name) or platforms.load(name)
                # Each draws from numbers of its own: what one does never changes what happens to another.
                platform = kind(self.clock, Random(f"{self._seed} {name}"), self._descriptions)
                self._playing[name] = _Playing(platform, self._next_port, self._watch)
                self._next_port += 1 if self._next_port else 0
            return self._playing[name].platform

    def url(self, name: str) -> str:
        """Return where a platform listens."""
        return self[name].url

    def connector(self, kind: type[AnyConnector], **changes: Any) -> AnyConnector:
        """Return the real connector with settings that fit the played platform; `changes` go on top."""
        return kind.with_settings(**{**self[kind.name].settings(), **changes})

    def sender(
        self, connector: Connector, secret: bytes, url: str, post: Post, habits: Habits | None = None
    ) -> Sender:
        """Return the platform's side of a connection's webhooks.

        Args:
            connector: signs, and has the samples.
            secret: the connection's signing secret.
            url: the public address the platform was told.
            post: brings a request there: `over_http(base)`, or a test's own.
            habits: None: every webhook once, in order, at once.
        """
        random = Random(f"{self._seed} webhooks of {connector.name}")
        return Sender(
            self[connector.name], connector, secret, url, post, random=random, habits=habits or Habits()
        )

    @property
    def violations(self) -> list[str]:
        """Every request a vendor would not have taken, of all platforms; tests assert that there are none."""
        return [fault for playing in self._playing.values() for fault in playing.platform.violations]


class _Playing:
    """One platform and its server."""

    def __init__(self, platform: Platform, port: int, watch: Callable[[Platform, Call], None] | None) -> None:
        self.platform = platform
        self._watch = watch
        # werkzeug itself would end the process where a port is taken.
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
            listening.listen(128)
        except (OSError, OverflowError) as error:
            listening.close()
            raise HubError(
                f"{platform.name} cannot listen on {HOST}:{port}: {error}; name another port"
            ) from error
        with listening:
            self._server: BaseWSGIServer = make_server(
                HOST, 0, self._app, threaded=True, request_handler=_Quiet, fd=listening.fileno()
            )
        platform.url = f"http://{HOST}:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_S,), name=f"simulator-{platform.name}", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        self.platform.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _app(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        call = call_of(Request(environ))
        answer, trouble = self.platform.respond(call)
        if self._watch:
            self._watch(self.platform, call)
        if trouble and trouble.kind == "slow":
            self.platform.closing.wait(trouble.wait_s)
        if trouble and trouble.kind == "lost":
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            answer = Response()
        return answer(environ, start_response)


class _Quiet(WSGIRequestHandler):
    def log(self, *_arguments: Any) -> None:
        """Say nothing: calls are recorded."""


def call_of(request: Request) -> Call:
    """Return a request as the platform sees it."""
    body = request.get_data()
    several = {name: values for name, values in request.args.lists() if len(values) > 1}
    return Call(
        request.method,
        request.path,
        {**nested(request.args.to_dict()), **several},
        Headers.from_environ(request.environ),
        body,
        _data(body, request.mimetype),
    )


def _data(body: bytes, mimetype: str) -> Any:
    if "form" in mimetype:
        return nested(dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True)))
    try:
        return json.loads(body) if body else None
    except ValueError:
        return body.decode(errors="replace")
