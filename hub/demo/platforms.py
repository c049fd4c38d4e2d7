"""Who is played, and how the hub is connected to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from hub.sdk.signatures import encode, hmac_digest
from hub.sdk.simulator import Call, Platform, Simulator, route

PLAYED = {
    "shop": "shopify",
    "payments": "stripe",
    "till": "square",
    "wholesale": "woocommerce",
    "store": "lightspeed",
    "slips": "google_sheets",
    "app": "standard_webhooks",
    "academy": "generic_hmac",
    "crm": "hubspot",
    "sales": "salesforce",
    "partners": "zoho_crm",
    "service": "dynamics365",
    "books": "quickbooks",
    "chat": "slack",
    "audience": "mailchimp",
    "campaigns": "activecampaign",
    "marketing": "klaviyo",
    "mail": "sendgrid",
    "texts": "twilio",
    "survey": "typeform",
    "tastings": "airtable",
    "messenger": "intercom",
    "helpdesk": "gorgias",
    "support": "zendesk",
    "tickets": "freshdesk",
}
"""Connection -> connector."""

OURS: Mapping[str, Callable[[Platform], dict[str, Any]]] = {
    # The application's id is that in the webhooks: by it the hub knows its own changes.
    "crm": lambda _: {"app_id": 7700412, "currency": "EUR"},
    "sales": lambda _: {"currency": "EUR"},
    "service": lambda _: {"read_contact": True, "user_id": "8c1d0d5e-9a6b-ee11-9ae7-0022489b0042"},
    "store": lambda store: {"client_id": "", "client_secret": "", "access_token": store.key},
    "chat": lambda _: {"app_id": "A07POINTSHUB", "team_id": "T07BREWLINE"},
    "tastings": lambda _: {"table": "", "webhook_secret": ""},  # a script sends: nothing is asked for changes
    "academy": lambda _: {
        "header": "X-Academy-Signature",
        "prefix": "sha256=",
        "time_path": "created_at",
        "test_path": "livemode=false",
    },
}
"""What a connection is set to besides the platform's own settings."""


class Academy(Platform):
    """A booking system for workshops that the hub knows nothing of: it signs, and is told, by a plain HMAC."""

    name = "generic_hmac"

    def settings(self) -> dict[str, Any]:
        return {"url": f"{self.url}/loyalty", "post_secret": self.key}

    def authorised(self, call: Call) -> bool:
        good = encode(hmac_digest(self.key.encode(), call.body), "hex")
        return call.headers.get("X-Academy-Signature") == f"sha256={good}"

    @route("POST", "/loyalty", body=dict[str, str | int])
    def told(self, call: Call) -> Any:
        """Note a balance, once for each key."""

        def work() -> Any:
            self.records["told"][call.headers["Idempotency-Key"]] = call.data
            return {"ok": True}

        return self.once(call.headers.get("Idempotency-Key", ""), call, work)


def playing(at: datetime) -> Simulator:
    """Return the simulator of all platforms; its clock begins at the present, since the hub checks times."""
    return Simulator(now=at, more=[Academy])


def settings(sim: Simulator) -> dict[str, dict[str, Any]]:
    """Return the settings of every connection."""
    own = {name: sim[connector] for name, connector in PLAYED.items()}
    return {
        name: {**platform.settings(), **(OURS[name](platform) if name in OURS else {})}
        for name, platform in own.items()
    }
