"""Typeform: responses to list, a webhook with a name for each form.

Source: https://www.typeform.com/developers/webhooks and the Responses API; read 2026-11-25. A busy receiver is asked again
every few minutes for ten hours, another failure seven times; 404 and 410 switch a webhook off. Whether a throttled call is
told a wait is not published: it is here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import Meta, Struct
from werkzeug import Response

from hub.sdk.samples import Sample
from hub.sdk.simulator.calls import Call, Refused, reply, route, with_body
from hub.sdk.simulator.platform import Platform

FORM = "D4e5F6"
PAGE, MOST_PER_PAGE = 25, 1000
BUSY = frozenset({408, 423, 429, 503})
BUSY_WAITS_S = (150.0,) * 240
"""Ten hours."""
GONE = frozenset({404, 410})
CODES = {
    400: "VALIDATION_ERROR",
    401: "AUTHENTICATION_FAILED",
    404: "FORM_NOT_FOUND",
    429: "TOO_MANY_REQUESTS",
}


class HookBody(Struct):
    url: Annotated[str, Meta(pattern="^https?://")]
    enabled: bool = False
    secret: str = ""
    verify_ssl: bool = False


class Typeform(Platform):
    name = "typeform"
    key = "tfp_of_the_simulator"
    waits_s = (300, 600, 1200, 3600, 7200, 10800, 14400)

    def settings(self) -> dict[str, Any]:
        secret = "webhook-secret-of-the-simulator"  # noqa: S105 - good for nothing
        return {"api_base": self.url, "access_token": self.key, "forms": [FORM], "webhook_secret": secret}

    def begin(self) -> None:
        self.records["forms"][FORM] = {"id": FORM, "title": "How was your tasting?"}

    def error(self, call: Call, said: Refused) -> Response:
        code = CODES.get(said.status, "INTERNAL_SERVER_ERROR")
        return reply(said.status, {"code": code, "description": said.message})

    @route("GET", "/me")
    def me(self, call: Call) -> Any:
        return {"alias": "Brewline", "email": "owner@brewline.example", "language": "en"}

    # A webhook is known by the name its owner gave it, one for each form.

    @route("GET", "/forms/<form>/webhooks/<tag>")
    def hook(self, call: Call, form: str, tag: str) -> Any:
        self.found("forms", form)
        return self.found("hooks", f"{form}/{tag}")

    @route("PUT", "/forms/<form>/webhooks/<tag>", body=HookBody)
    def put_hook(self, call: Call, form: str, tag: str) -> Any:
        """Make it, or set it whole: what is left out is off."""
        self.found("forms", form)
        before = self.records["hooks"].get(f"{form}/{tag}", {})
        same = {"id": before.get("id") or self.new_id("hook-"), "form_id": form, "tag": tag}
        hook = {"enabled": False, "verify_ssl": False, **call.data, **same}
        self.records["hooks"][f"{form}/{tag}"] = hook
        return hook

    @route("GET", "/forms/<form>/responses")
    def responses(self, call: Call, form: str) -> Any:
        """Newest first, from the one after `before` on; `since` and `until` are UTC and both count."""
        self.found("forms", form)
        asked = call.query
        if asked.get("before") and asked.get("sort"):
            raise Refused(400, "before cannot be combined with sort")
        since, until = (naive(asked.get(side, "")) for side in ("since", "until"))
        found = sorted(
            (
                each
                for each in self.records["responses"].values()
                if each["form_id"] == form and since <= naive(each["submitted_at"])
                if not until or naive(each["submitted_at"]) <= until
            ),
            key=lambda each: each["submitted_at"],
            reverse=True,
        )
        tokens = [each["token"] for each in found]
        start = tokens.index(asked["before"]) + 1 if asked.get("before") in tokens else 0
        size = min(int(asked.get("page_size", PAGE)), MOST_PER_PAGE)
        items = [
            {name: value for name, value in each.items() if name not in {"form_id", "definition"}}
            for each in found[start : start + size]
        ]
        return {"total_items": len(found), "page_count": -(-len(found) // size), "items": items}

    # Webhooks: one response in each.

    def happened(self, sample: Sample, number: int, at: datetime) -> Sample:
        event = json.loads(sample.body)
        ids = {"token": f"response-{number}", "response_id": f"response-{number}"}
        times = {"submitted_at": f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"}
        response = {**event["form_response"], **ids, **times}
        told = {**event, "event_id": f"event-{number}", "form_response": response}
        return with_body(sample, json.dumps(told).encode())

    def retries(self, status: int, headers: Mapping[str, str]) -> Sequence[float]:
        if status in BUSY:
            return BUSY_WAITS_S
        return () if status in GONE else super().retries(status, headers)


def naive(text: str) -> str:
    """Return a time to the second, as text that sorts."""
    return text.removesuffix("Z")[:19]
