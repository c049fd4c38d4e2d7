"""What a played platform is: routes, credentials, records, its own words for a refusal, and its habits as a sender.

    class Acme(Platform):
        name = "acme"

        def settings(self) -> dict[str, Any]:
            return {"api_base": self.url, "token": self.key}

        @route("PUT", "/v3/guests/<guest>/note", body=Note)
        def note(self, call: Call, guest: str) -> Any:
            self.found("guests", guest)["note"] = call.data["note"]
            return {"id": guest}

A call is: struck by trouble? -> routed -> authorised? -> its body valid? -> the route's method, one call at a time.
"""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from itertools import count
from random import Random
from typing import Any, ClassVar

from werkzeug import Response
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule

from hub.sdk import http
from hub.sdk.samples import Sample
from hub.sdk.simulator.calls import Call, Refused, Route, misfits, reply
from hub.sdk.simulator.clock import Clock
from hub.sdk.simulator.grants import Grants
from hub.sdk.simulator.trouble import Kind, Trouble, Troubles
from hub.sdk.simulator.validation import Descriptions


class Platform:
    """One platform. Subclass it, fill the facts, add routes; what differs from the usual is overridden.

    Attributes:
        url: where it listens.
        records: kind -> id -> what the platform holds; tests fill and read it.
        calls: every request, in order.
        violations: what the vendor's description, or the route's, finds wrong with requests.
    """

    # Facts.
    name: ClassVar[str]
    """The connector's."""
    key: str = ""
    """The API key it takes; empty: one is made up."""
    specs: ClassVar[Mapping[str, str]] = {}
    """Name of a description (file without .json) -> the start of the paths it is for; "" all. It is stripped."""
    excused: ClassVar[Sequence[str]] = ()
    """Parts of faults that are the description's own mistake."""
    invalid: ClassVar[int] = 400
    """The status of a body that is not what it must be."""
    unauthorised: ClassVar[int] = 401
    """The status of credentials that are not good; where there is OAuth it is 401."""
    tells_wait: ClassVar[bool] = True
    """Whether a throttled call is told how long to wait."""
    partial: ClassVar[str] = ""
    """How it accepts a call in part, in words; its routes then look at `call.partial`. Empty: it is all or nothing."""
    token_path: ClassVar[str] = ""
    """Where OAuth tokens are had; empty: no OAuth."""
    rotates: ClassVar[bool] = False
    """Whether each refresh gives a new refresh token, and the old one ends."""

    # Facts of its webhooks.
    waits_s: ClassVar[Sequence[float]] = ()
    """Seconds between a try that failed and the next; after the last it gives up."""
    jitter: ClassVar[float] = 0.0
    """The share by which each wait may be longer or shorter."""
    most_in_batch: ClassVar[int] = 1

    def __init__(self, clock: Clock, random: Random, descriptions: Descriptions) -> None:
        self.url = ""
        self.clock = clock
        self.records: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        self.calls: list[Call] = []
        self.violations: list[str] = []
        self.troubles = Troubles(random)
        self.closing = threading.Event()
        self.key = self.key or f"{self.name}-key-of-the-simulator"
        self.grants = Grants(self.name, self.token_path, rotates=self.rotates)
        self._descriptions = descriptions.of(self.specs, self.excused)
        self._lock = threading.RLock()
        self._done: dict[str, tuple[bytes, Any]] = {}
        self._ids = count(1)
        self._map = Map(list(self._rules()), strict_slashes=False, merge_slashes=False)
        self.begin()

    # To override.

    def begin(self) -> None:
        """Fill the records that every account has."""

    def settings(self) -> dict[str, Any]:
        """Return the settings of a connection to this platform: its addresses here, and credentials it takes."""
        return {"api_base": self.url}

    def authorised(self, call: Call) -> bool:
        """Tell whether a call carries good credentials; by default the key, or a live token, as a bearer."""
        if self.token_path:
            return self.grants.live(call.bearer(), self.clock.now)
        return call.bearer() == self.key

    def error(self, call: Call, said: Refused) -> Response:
        """Return a refusal in the platform's own form."""
        return reply(said.status, {"error": {"message": said.message, "code": said.code}})

    def throttled(self, call: Call, wait_s: float) -> Response:
        """Return the answer to a call too many."""
        answer = self.error(call, Refused(429, "too many requests", "rate_limited"))
        if self.tells_wait:
            answer.headers["Retry-After"] = str(int(wait_s))
        return answer

    # To override, of its webhooks.

    def happened(self, sample: Sample, number: int, at: datetime) -> Sample:
        """Return a sample as a happening of its own: ids by `number`, times by `at`. Called once for each."""
        return sample

    def tried(self, sample: Sample, attempt: int) -> Sample:
        """Return what is sent at the n-th try, from 0, where tries differ."""
        return sample

    def together(self, sample: Sample) -> str:
        """Return a word that samples share which may go in one request; empty: it goes alone."""
        return ""

    def joined(self, samples: Sequence[Sample]) -> Sample:
        """Return several samples as one request."""
        raise NotImplementedError

    def took(self, sample: Sample, answer: http.Response) -> bool:
        """Tell whether what the hub answered counts as delivered; by default any 2xx."""
        return 200 <= answer.status < 300

    def retries(self, status: int, headers: Mapping[str, str]) -> Sequence[float]:
        """Return the waits after an answer that did not count as delivered; status 0 is none."""
        return self.waits_s

    # For routes and tests.

    def cause(self, kind: Kind, **how: Any) -> None:
        """Have something go wrong; the arguments are those of Trouble.

        Raises:
            ValueError: this platform does not know that kind.
        """
        if kind == "partial" and not self.partial:
            raise ValueError(f"{self.name} accepts a call whole or not at all")
        self.troubles.add(Trouble(kind=kind, **how))

    def found(self, kind: str, key: str) -> Any:
        """Return a record.

        Raises:
            Refused: 404, there is none.
        """
        record = self.records[kind].get(key)
        if record is None:
            raise Refused(404, f"no {kind} with id {key}", "not_found")
        return record

    def new_id(self, prefix: str = "") -> str:
        return f"{prefix}{next(self._ids)}"

    def once(self, key: str, call: Call, work: Callable[[], Any], *, clash: int = 409) -> Any:
        """Return what `work` gives; under a key that came before, what it gave then. No key: it is done.

        Raises:
            Refused: `clash`, the key came with another call.
        """
        if not key:
            return work()
        seen = hashlib.sha256(f"{call.method} {call.path}\n".encode() + call.body).digest()
        if key not in self._done:
            self._done[key] = (seen, deepcopy(work()))  # the record itself may go on changing
        before, answer = self._done[key]
        if before != seen:
            raise Refused(clash, "this idempotency key came with another request", "idempotency_error")
        return answer

    def violated(self, call: Call, *faults: str) -> None:
        """Note what the vendor would not have taken of a call."""
        call.faults += faults
        self.violations += [f"{self.name}: {fault}" for fault in faults]

    def writes(self) -> list[Call]:
        """Return the calls that were accepted and could change something."""
        return [call for call in self.calls if call.method != "GET" and 200 <= call.status < 300]

    # The machinery.

    def respond(self, call: Call) -> tuple[Response, Trouble | None]:
        """Answer a call and note it; how slow or lost the answer is, is the server's business."""
        with self._lock:
            self.calls.append(call)
            trouble = self.troubles.strike(call.method, call.path)
            try:
                answer = self._struck(call, trouble) or self._answered(call, trouble)
            except Refused as said:
                answer = self.error(call, said)
            except Exception as error:  # noqa: BLE001 - a mistake of the simulator's own must be seen
                self.violated(call, f"{call.method} {call.path}: the simulator failed: {error!r}")
                answer = self.error(call, Refused(500, "internal error", "internal_error"))
            call.status = answer.status_code
        return answer, trouble

    def _struck(self, call: Call, trouble: Trouble | None) -> Response | None:
        """Return the answer of a platform that does not even look."""
        match trouble:
            case Trouble(kind="throttled", wait_s=wait_s):
                return self.throttled(call, wait_s)
            case Trouble(kind="down"):
                raise Refused(500, "internal error", "internal_error")
        return None

    def _answered(self, call: Call, trouble: Trouble | None) -> Response:
        try:
            (handler, found), parts = self._map.bind("simulator").match(call.path, call.method)
        except HTTPException as error:
            self.violated(call, f"{call.method} {call.path}: the simulator plays no such call")
            raise Refused(error.code or 404, "no such call", "not_found") from error
        if not found.free:
            if trouble and trouble.kind == "expired":
                self.grants.expire()
            if (trouble and trouble.kind == "expired") or not self.authorised(call):
                raise Refused(self.unauthorised, "the credentials are not valid", "unauthorized")
        if faults := [*misfits(found, call), *self._descriptions.faults(call.method, call.path, call.data)]:
            self.violated(call, *faults)
            raise Refused(self.invalid, faults[0], "invalid_request")
        call.partial = trouble is not None and trouble.kind == "partial"
        answer = handler(self, call, **parts)
        return answer if isinstance(answer, Response) else reply(200, answer)

    def _rules(self) -> Iterator[Rule]:
        for name in dir(type(self)):
            handler = getattr(type(self), name)
            for each in getattr(handler, "routes", ()):
                yield Rule(each.rule, methods=[each.method], endpoint=(handler, each))
        if self.token_path:
            granted = Route("POST", self.token_path, free=True)
            yield Rule(self.token_path, methods=["POST"], endpoint=(type(self).granted, granted))

    def granted(self, call: Call) -> Response:
        status, body = self.grants.grant(call.data, call.headers, self.clock.now)
        return reply(status, body)
