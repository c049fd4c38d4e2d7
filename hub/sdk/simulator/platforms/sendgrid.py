"""SendGrid: mails from dynamic templates, and the account's event webhooks.

Source: the v3 descriptions (sendgrid-oai of 2026-01) and the pages on the event webhook at https://www.twilio.com/docs/sendgrid;
read 2026-11-25. A send is taken with an empty 202. A throttled call is told when the count begins anew, not how long to wait.
Events are tried again for a day; the gaps are not published.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from msgspec import Meta, Struct
from werkzeug import Response

from hub.sdk.samples import Sample
from hub.sdk.simulator.calls import Call, Refused, reply, route, with_body
from hub.sdk.simulator.platform import Platform

SENDER = "hello@brewline.example"
WEBHOOKS = "/v3/user/webhooks/event/settings"
SWITCHES = (
    "enabled", "bounce", "click", "deferred", "delivered", "dropped", "group_resubscribe", "group_unsubscribe",
    "open", "processed", "spam_report", "unsubscribe",
)  # fmt: skip


class Address(Struct):
    email: str
    name: str = ""


class Personalization(Struct):
    to: Annotated[list[Address], Meta(min_length=1)]
    dynamic_template_data: dict[str, Any] = {}
    custom_args: dict[str, str] = {}


class MailBody(Struct, rename={"from_": "from"}):
    from_: Address
    personalizations: Annotated[list[Personalization], Meta(min_length=1, max_length=1000)]
    template_id: Annotated[str, Meta(pattern="^d-[0-9a-f]{32}$")]
    mail_settings: dict[str, dict[str, bool]] = {}


class SendGrid(Platform):
    name = "sendgrid"
    key = "SG.key-of-the-simulator"
    specs = {"sendgrid": ""}
    waits_s = (60, 300, 900, 1800, 3600, 7200, 10800, 14400, 21600, 26340)
    jitter = 0.2
    most_in_batch = 1000

    def settings(self) -> dict[str, Any]:
        return {"api_base": self.url, "api_key": self.key, "from_email": SENDER}

    def begin(self) -> None:
        self.records["senders"][SENDER] = {"verified": True}
        self.records["scopes"] |= dict.fromkeys(("mail.send", "user.webhooks.event.settings.update"), True)

    def error(self, call: Call, said: Refused) -> Response:
        told = {"message": said.message, "field": said.code if "." in said.code else None, "help": None}
        return reply(said.status, {"errors": [told]})

    def throttled(self, call: Call, wait_s: float) -> Response:
        answer = self.error(call, Refused(429, "too many requests"))
        anew = self.clock.now + timedelta(seconds=wait_s)
        answer.headers["X-RateLimit-Reset"] = str(int(anew.timestamp()))
        return answer

    @route("GET", "/v3/scopes")
    def scopes(self, call: Call) -> Any:
        return {"scopes": sorted(self.records["scopes"])}

    @route("POST", "/v3/mail/send", body=MailBody)
    def send(self, call: Call) -> Response:
        """Take a mail, and give its id in a header; in the sandbox it is looked at and dropped, with status 200."""
        mail = call.data
        if mail["from"]["email"] not in self.records["senders"]:
            raise Refused(403, "The from address does not match a verified Sender Identity", "from.email")
        if mail.get("mail_settings", {}).get("sandbox_mode", {}).get("enable"):
            return reply(200)
        key = self.new_id("mail")
        self.records["mails"][key] = mail
        return reply(202, headers={"X-Message-Id": key})

    # Event webhooks as records.

    @route("GET", f"{WEBHOOKS}/all")
    def hooks(self, call: Call) -> Any:
        return {"max_allowed": 5, "webhooks": list(self.records["webhooks"].values())}

    @route("POST", WEBHOOKS)
    def make_hook(self, call: Call) -> Response:
        key = self.new_id("hook")
        self.records["webhooks"][key] = {"id": key}
        return reply(201, self.changed(key, call.data))

    @route("PATCH", f"{WEBHOOKS}/<key>")
    def mend_hook(self, call: Call, key: str) -> Any:
        self.found("webhooks", key)
        return self.changed(key, call.data)

    def changed(self, key: str, wanted: Any) -> Any:
        """Set a webhook: what is left out is switched off. Its key stays."""
        self.records["webhooks"][key] |= {**dict.fromkeys(SWITCHES, False), **wanted}
        return self.records["webhooks"][key]

    @route("PATCH", f"{WEBHOOKS}/signed/<key>")
    def sign(self, call: Call, key: str) -> Any:
        """Give a webhook a key pair, of which the public half is told."""
        hook = self.found("webhooks", key)
        hook["public_key"] = f"public-key-of-{key}" if call.data["enabled"] else ""
        return {"id": key, "public_key": hook["public_key"]}

    # Webhooks as requests: lists of events.

    def happened(self, sample: Sample, number: int, at: datetime) -> Sample:
        events = [
            {**each, "sg_event_id": f"event-{number}-{place}", "timestamp": int(at.timestamp())}
            for place, each in enumerate(json.loads(sample.body))
        ]
        return with_body(sample, written(events))

    def together(self, sample: Sample) -> str:
        return "events"

    def joined(self, samples: Sequence[Sample]) -> Sample:
        return with_body(samples[0], written([each for one in samples for each in json.loads(one.body)]))


def written(events: list[Any]) -> bytes:
    """Return a list as SendGrid writes it: the line ends within are signed too."""
    return b"[" + b",\r\n".join(json.dumps(each).encode() for each in events) + b"]\r\n"
