"""Standard Webhooks: software of the merchant's own that receives and sends by the specification.

Source: https://www.standardwebhooks.com, version 1.0.0; read 2026-11-20. It checks id, time and signature, and drops what came
before by its id. As a sender it has the specification's example of a schedule.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from msgspec import Meta, Struct

from hub.sdk.samples import Sample
from hub.sdk.signatures import encode, hmac_digest
from hub.sdk.simulator.calls import Call, Refused, reply, route, with_body
from hub.sdk.simulator.platform import Platform

KEY = b"twenty-four bytes of it!"
TOLERANCE_S = 300
HOUR_S = 3600


class Message(Struct):
    type: Annotated[str, Meta(pattern=r"^\w+(\.\w+)*$")]
    data: dict[str, Any]
    timestamp: str = ""


class StandardWebhooks(Platform):
    name = "standard_webhooks"
    key = f"whsec_{base64.b64encode(KEY).decode()}"
    waits_s = (5, 300, 1800, *(hours * HOUR_S for hours in (2, 5, 10, 14, 20, 24)))
    jitter = 0.1

    def settings(self) -> dict[str, Any]:
        return {"url": f"{self.url}/hook", "signing_secrets": [self.key]}

    def authorised(self, call: Call) -> bool:
        """Tell whether one of the signatures is good for this id, time and body, and the time near."""
        message_id, time = (call.headers.get(f"webhook-{part}", "") for part in ("id", "timestamp"))
        if not message_id or "." in message_id:
            raise Refused(400, "webhook-id is missing, or has a dot")
        if not time.isdigit() or abs(self.clock.now.timestamp() - int(time)) > TOLERANCE_S:
            raise Refused(400, "webhook-timestamp is missing, or not of now")
        good = encode(hmac_digest(KEY, f"{message_id}.{time}.".encode() + call.body), "base64")
        return f"v1,{good}" in call.headers.get("webhook-signature", "").split()

    @route("HEAD", "/hook", free=True)
    def there(self, call: Call) -> Any:
        return reply(405)

    @route("POST", "/hook", body=Message)
    def receive(self, call: Call) -> Any:
        """Take a webhook, each id once. An endpoint that is gone says so."""
        if self.records["gone"]:
            raise Refused(410, "gone")

        def work() -> Any:
            self.records["received"][call.headers["webhook-id"]] = call.data
            return {"received": True}

        return self.once(call.headers["webhook-id"], call, work)

    # As a sender. The id is made of the body, so the body's time tells one happening from the next.

    def happened(self, sample: Sample, number: int, at: datetime) -> Sample:
        when = f"{at + timedelta(microseconds=number):%Y-%m-%dT%H:%M:%S.%fZ}"
        return with_body(sample, json.dumps({**json.loads(sample.body), "timestamp": when}).encode())

    def retries(self, status: int, headers: Mapping[str, str]) -> Sequence[float]:
        return () if status == 410 else super().retries(status, headers)
