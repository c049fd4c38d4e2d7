"""Lightspeed Retail: sales, returns and customers of the till come in; the balance goes to the customer.

Two unrelated products under one name; the setting `series` says which. X-Series (formerly Vend) sends webhooks and has
API 2026-07; R-Series has none and is polled, API V3. Read 2026-11-21. Amounts are decimals in major units, often with
more digits than anybody pays; the currency is in neither, so it is a setting. Times of X-Series webhooks are UTC without
saying so. Plain HTTP: there is no official SDK for Python.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import msgspec
from pydantic import Field, SecretStr, model_validator

from connectors.lightspeed_r import NONE, is_return, lines_of, listed, polled_events
from hub.sdk import (
    Action,
    Client,
    Connector,
    Malformed,
    NotVerified,
    OAuth,
    Params,
    Polled,
    Receipt,
    Rejected,
    Response,
    Settings,
    SourceEvent,
    Step,
    Webhook,
    bearer,
    dig,
    hookimpl,
    id_at,
    list_at,
    parse_json,
    text_at,
    with_token,
)
from hub.sdk.signatures import (
    body_digest,
    check_address,
    check_hmac,
    encode,
    hmac_digest,
    secret_address,
)
from hub.sdk.times import read_time

API = "/api/2026-07"
SIGNATURE, ALGORITHM = "X-Signature", "HMAC-SHA256"
SUBSCRIBED = ("sale.update", "customer.update")
"""What X-Series webhooks there are for us. There is no sale.created or sale.refunded, whatever blogs say."""
RELATIONS = '["Customer","Customer.Contact","SaleLines"]'
ADVICE = {
    401: "Lightspeed refused the token: run `hub connect`, or put a new personal token into access_token",
    403: "the application lacks a scope, or the plan does not have it",
    404: "there is no such record; check `store`",
    409: "the same call was made with other content",
    422: "Lightspeed does not take what was sent",
}
FIELDS = Literal["", "custom_field_1", "custom_field_2", "custom_field_3", "custom_field_4"]


def home(known: Mapping[str, Any]) -> str:
    """Return where the API of a store is."""
    if known.get("series") == "r":
        return "https://api.lightspeedapp.com"
    return f"https://{known.get('store')}.retail.lightspeed.app"


class LightspeedSettings(Settings):
    """One store.

    Attributes:
        series: "x" (addresses end in .retail.lightspeed.app) or "r".
        store: of X-Series, what stands before .retail.lightspeed.app; of R-Series, the account's number.
        currency: of the store, ISO 4217.
        access_token: a personal token (X-Series, Plus plan) instead of OAuth.
        signed_part: what X-Series signs is not told: the raw `body`, or the `payload` field in it.
        secret_in_address: take webhooks made by hand in /setup/api, which are unsigned, with the secret in their address.
        points_field, tier_field: where the balance is shown; empty: nowhere.
        point_value: what a point is worth in Lightspeed's own loyalty, in major units, for `adjust_loyalty`.
    """

    series: Literal["x", "r"] = "x"
    store: str = Field(pattern=r"^[a-z0-9-]+$")
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    access_token: SecretStr = SecretStr("")
    signed_part: Literal["body", "payload"] = "body"
    secret_in_address: bool = False
    points_field: FIELDS = "custom_field_1"
    tier_field: FIELDS = ""
    point_value: Decimal = Field(Decimal("0.01"), gt=0)
    api_base: str = Field(default_factory=home)
    oauth_url: str = ""

    @model_validator(mode="after")
    def _names_its_store(self) -> LightspeedSettings:
        if self.series == "r" and not self.store.isdigit():
            raise ValueError("series r: the store is the account's number")
        return self


class UpdateCustomer(Params, frozen=True):
    """What to show on a customer, in the custom fields of the settings."""

    customer_id: str
    points: int
    tier: str = ""


class AdjustLoyalty(Params, frozen=True):
    """`points` is a change, negative to take away; Lightspeed keeps it as money, by `point_value`."""

    customer_id: str
    points: int
    reason: str = ""


class Lightspeed(Connector):
    name = "lightspeed"
    label = "Lightspeed Retail"
    docs_url = "https://x-series-api.lightspeedhq.com/docs/webhooks"
    api_version = "X-Series 2026-07, R-Series V3"
    verified_on = date(2026, 11, 21)
    Settings = LightspeedSettings
    settings: LightspeedSettings
    events = {
        "sale.update": "purchase.paid",
        "customer.update": "member.updated",
        "r_series.sale": "purchase.paid",
        "r_series.return": "purchase.refunded",
    }
    poll_every = timedelta(minutes=5)

    # X-Series: webhooks.

    def verify(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        """`X-Signature: signature=...,algorithm=HMAC-SHA256`, under the application's client secret; no time.

        The vendor does not tell whether the digest is hex or base64: both are read, being the same digest.
        """
        header = webhook.headers.get(SIGNATURE, "")
        if not header and self.settings.secret_in_address:
            check_address(webhook.url, secrets)
            return
        signature = signature_in(header)
        encoding: Literal["hex", "base64"] = "hex" if len(signature) == 64 else "base64"
        check_hmac(self._signed(webhook), signature, secrets, encoding=encoding)

    def sign(self, webhook: Webhook, secret: bytes) -> dict[str, str]:
        if self.settings.secret_in_address:
            return {}
        digest = encode(hmac_digest(secret, self._signed(webhook)), "hex")
        return {SIGNATURE: f"signature={digest},algorithm={ALGORITHM}"}

    def address(self, url: str, secret: bytes) -> str:
        return secret_address(url, secret) if self.settings.secret_in_address else url

    def _signed(self, webhook: Webhook) -> bytes:
        if self.settings.signed_part == "body":
            return webhook.body
        try:
            return webhook.form().get("payload", "").encode()
        except Malformed:
            raise NotVerified("bad_signature") from None

    def sample_headers(self, event_type: str) -> dict[str, str]:
        kind = "json" if event_type.startswith("r_series.") else "x-www-form-urlencoded"
        return {"Content-Type": f"application/{kind}"}

    def parse(self, webhook: Webhook) -> list[SourceEvent]:
        """Read a webhook's form, or the JSON that `poll` has stored. What it is about is told by its shape alone."""
        if webhook.body.lstrip()[:1] == b"{":
            return polled_events(
                webhook.json(), self.settings.store, self.settings.currency, webhook.received_at
            )
        text = webhook.form().get("payload", "")
        body = parse_json(text)
        record_id = id_at(body, "id")
        if not record_id:
            raise Malformed("the field payload holds no record with an id")
        event = SourceEvent(
            # The same record is sent at each change; a repeat of one change is the same text.
            id=f"{kind_of(body)}:{record_id}:{body_digest(text.encode()).hex()[:16]}",
            type=kind_of(body),
            at=utc(body.get("updated_at"), webhook.received_at),
            account=self.settings.store,
            payload={"record": body, "currency": self.settings.currency},
        )
        return [event]

    def subscribe(self, url: str, client: Client) -> list[Step]:
        """Make a webhook for sales and one for customers; R-Series has none and is polled."""
        if self.settings.series == "r":
            return []
        here = [
            hook
            for hook in list_at(self._call(client, "GET", f"{API}/webhooks").object(), "data")
            if text_at(hook, "url") == url
        ]
        steps = []
        for kind in SUBSCRIBED:
            wanted = {"active": True, "type": kind, "url": url}
            hooks = [hook for hook in here if text_at(hook, "type") == kind]
            if not hooks:
                change = partial(self._subscribed, client, "POST", f"{API}/webhooks", wanted)
                steps.append(Step(f"create a webhook for {kind}", change))
            elif not any(dig(hook, "active") is True for hook in hooks):
                path = f"{API}/webhooks/{quote(id_at(hooks[0], 'id'), safe='')}"
                change = partial(self._subscribed, client, "PUT", path, wanted)
                steps.append(Step(f"switch the webhook for {kind} on again", change))
        return steps

    def _subscribed(self, client: Client, method: str, path: str, body: Any) -> str:
        return f"webhook {id_at(self._call(client, method, path, body).object(), 'data', 'id')}"

    # R-Series: polling.

    def poll(self, cursor: str, client: Client) -> Polled:
        """Return a page of completed sales that changed, oldest change first.

        The cursor is the time of the last change read and, while there is one, the address of the next page. Changes
        of that very second may still come, so it is asked for again; what has come already is known by its content.
        """
        if self.settings.series == "x":
            return Polled(bodies=(), cursor=cursor)
        if not cursor:
            return Polled(bodies=(), cursor=client.now.astimezone(UTC).isoformat(timespec="seconds"))
        last, _, page = cursor.partition(" ")
        if page:
            answer = self._call(client, "GET", page).object()
        else:
            since = read_time(last, client.now) - timedelta(seconds=1)
            query = {
                "completed": "true",
                "sort": "timeStamp",
                "timeStamp": f">,{since.isoformat(timespec='seconds')}",
                "load_relations": RELATIONS,
            }
            path = f"/API/V3/Account/{self.settings.store}/Sale.json"
            answer = self._call(client, "GET", path, query=query).object()
        sales = listed(answer.get("Sale"))
        last = (text_at(sales[-1], "timeStamp") if sales else "") or last
        following = text_at(answer, "@attributes", "next")
        return Polled(
            bodies=[self._body(sale, client) for sale in sales],
            cursor=f"{last} {below_host(following)}" if following else last,
            more=bool(following),
        )

    def _body(self, sale: Any, client: Client) -> bytes:
        """Return a sale as it is stored: with its lines as a list, and with the sales that its returns are of."""
        returns = defaultdict(list)
        for line in lines_of(sale):
            if is_return(line):
                returns[self._origin(line, client)].append(line)
        return msgspec.json.encode({"sale": sale, "returns": returns})

    def _origin(self, line: Any, client: Client) -> str:
        """Return the sale a returned line was sold by, empty where the till does not know."""
        parent = id_at(line, "parentSaleLineID")
        if parent in NONE:
            return ""
        path = f"/API/V3/Account/{self.settings.store}/SaleLine/{quote(parent, safe='')}.json"
        try:
            return id_at(self._call(client, "GET", path).object(), "SaleLine", "saleID")
        except Rejected as error:
            if error.status != 404:
                raise
            return ""

    # Outbound.

    def update_customer(self, params: UpdateCustomer, client: Client) -> Receipt:
        """Set the custom fields. Lightspeed wants the names in every update, so the customer is read first."""
        self._x_series_only()
        fields = {self.settings.points_field: str(params.points), self.settings.tier_field: params.tier}
        fields.pop("", None)
        path = f"{API}/customers/{quote(params.customer_id, safe='')}"
        now = dig(self._call(client, "GET", path).object(), "data")
        if any((text_at(now, name) or "") != value for name, value in fields.items()):
            names = {"first_name": dig(now, "first_name"), "last_name": dig(now, "last_name")}
            self._call(client, "PUT", path, {**names, **fields})
        return Receipt(params.customer_id)

    def adjust_loyalty(self, params: AdjustLoyalty, client: Client) -> Receipt:
        """Add to or take from Lightspeed's own loyalty balance, by our key at most once."""
        self._x_series_only()
        # A number, exact: msgspec would write a Decimal as text.
        amount = msgspec.Raw(format(abs(params.points) * self.settings.point_value, "f").encode())
        change = {
            "customer_id": params.customer_id,
            "credit" if params.points > 0 else "debit": amount,
            "reason": params.reason,
        }
        session = session_of(client.idempotency_key)
        body = {"session_id": session, "adjustments": [change]}
        answer = self._call(client, "POST", f"{API}/loyalty/adjustments/bulk", body).object()
        for error in list_at(answer, "errors"):
            raise Rejected(f"Lightspeed: {text_at(error, 'error') or 'the adjustment failed'}")
        return Receipt(session)

    def _x_series_only(self) -> None:
        if self.settings.series == "r":
            raise Rejected("R-Series is only read: the hub writes nothing there; switch `outbound` off")

    def probe(self, client: Client) -> str:
        if self.settings.series == "r":
            answer = self._call(client, "GET", f"/API/V3/Account/{self.settings.store}.json").object()
            return f"R-Series account {text_at(answer, 'Account', 'name') or self.settings.store}"
        hooks = list_at(self._call(client, "GET", f"{API}/webhooks").object(), "data")
        return f"X-Series store {self.settings.store}, {len(hooks)} webhooks"

    def oauth(self) -> OAuth | None:
        """Both series rotate the refresh token at each renewal."""
        if not self.settings.client_id:
            return None
        x_series = self.settings.series == "x"
        token_url = f"{self.settings.api_base}/api/1.0/token"
        return OAuth(
            token_url=self.settings.oauth_url
            or (token_url if x_series else "https://cloud.lightspeedapp.com/auth/oauth/token"),
            authorize_url="https://secure.retail.lightspeed.app/connect"
            if x_series
            else "https://cloud.lightspeedapp.com/auth/oauth/authorize",
            client_id=self.settings.client_id,
            client_secret=self.settings.client_secret,
            scopes=("sales:read", "customers:read", "customers:write", "webhooks")
            if x_series
            else ("employee:register_read", "employee:customers_read"),
        )

    def _call(
        self, client: Client, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None
    ) -> Response:
        def send(token: str) -> Response:
            headers = {**bearer(token), "Accept": "application/json"}
            return client.request(
                method, path, json=body, params=query, headers=headers, accept=tuple(ADVICE)
            )

        oauth = self.oauth()
        token = self.settings.access_token.get_secret_value()
        if not (token or oauth):
            raise Rejected("not connected: set client_id and client_secret, or a personal access_token")
        response = with_token(oauth, client, send) if oauth and not token else send(token)
        if response.status in ADVICE:
            said = response.body[:200].decode(errors="replace").strip()
            raise Rejected(f"{ADVICE[response.status]} ({response.status}: {said})", response.status)
        return response

    actions = {
        "update_customer": Action(
            summary="Show balance and tier in the customer's custom fields (X-Series).",
            params=UpdateCustomer,
            idempotent="Sets absolute values: writing them again changes nothing.",
            run=update_customer,
            target="customer_id",
        ),
        "adjust_loyalty": Action(
            summary="Add to, or take from, the customer's balance in Lightspeed's own loyalty (X-Series, beta).",
            params=AdjustLoyalty,
            idempotent="The delivery's key makes the session_id; Lightspeed applies it once.",
            run=adjust_loyalty,
        ),
    }


def signature_in(header: str) -> str:
    """Return the digest in `signature=...,algorithm=HMAC-SHA256`; a space after the comma has been seen.

    Raises:
        NotVerified: missing or malformed, or another algorithm.
    """
    if not header:
        raise NotVerified("missing_signature")
    parts = [part.strip(" ").partition("=")[::2] for part in header.split(",")]
    match parts:
        case [("signature", signature), ("algorithm", "HMAC-SHA256")] if signature:
            return signature
    raise NotVerified("malformed_signature")


def kind_of(record: Any) -> str:
    """Return what a record is: the event's type is not in the webhook."""
    if "register_sale_products" in record:
        return "sale.update"
    return "customer.update" if "customer_code" in record else "other"


def utc(text: Any, otherwise: datetime) -> datetime:
    """Read "2026-11-20 09:15:00", which is UTC; newer records say so themselves."""
    at = read_time(text, otherwise)
    return read_time(f"{text}Z", otherwise) if at is otherwise and isinstance(text, str) else at


def session_of(key: str) -> str:
    """Return the UUID of version 4 that stands for a delivery's key, the same for every try."""
    return str(uuid.UUID(bytes=body_digest(key.encode())[:16], version=4))


def below_host(address: str) -> str:
    """Return the path and query of an address: whatever it says, it is our host that is called with our token."""
    parts = urlsplit(address)
    return f"{parts.path}?{parts.query}"


@hookimpl
def register_connectors() -> list[type[Connector]]:
    return [Lightspeed]
