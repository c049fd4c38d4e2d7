"""Twilio: text messages. People text for their balance or a reward and stop or start messages; the hub texts them.

Vendor: https://www.twilio.com/docs/messaging/guides/webhook-request, API 2010-04-01 as of twilio-python 9.13.0; facts
checked 2026-11-25. Requests are forms and carry no time: that of arrival counts. There are no amounts.

Calls go through the vendor's SDK over the hub's client (`Lent`). The signature is checked here: the SDK's
RequestValidator compares against one token at a time, raises on a missing signature and on JSON without its hash, and
would have to be installed just to receive. The tests hold both against each other.
"""

from __future__ import annotations

import base64
import hmac
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from xml.sax.saxutils import escape

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from hub.sdk import (
    Action,
    Answer,
    Card,
    Client,
    Connector,
    Malformed,
    MemberRef,
    NotVerified,
    Params,
    Receipt,
    Rejected,
    Response,
    Settings,
    SourceEvent,
    Step,
    TryLater,
    Webhook,
    hookimpl,
    id_at,
    text_at,
)
from hub.sdk.signatures import check_hmac, encode, hmac_digest
from hub.sdk.sms import segments, shortest
from hub.sdk.texts import CardTexts

SIGNATURE, SCHEME = "X-Twilio-Signature", "X-Twilio-Webhooks-Signature-Settings"
ALGORITHMS = {"HMAC_SHA1": "sha1", "HMAC_SHA256": "sha256"}
PORTS = {"https": 443, "http": 80}
PHONE = re.compile(r"\+[1-9]\d{5,14}", re.ASCII)
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
"""What XML 1.0 has no place for, and line feeds of other systems."""
SEEN = 20
"""How many of the newest messages to a number are looked at before another is sent."""

PAGE = 200
"""Messages in a page of a listing."""

EXPLAINED = (400, 401, 403, 404)
"""Statuses whose body says in `code` what is wrong."""
ADVICE = {
    "20003": "check account_sid and auth_token",
    "20404": "check account_sid, and that the sender is this account's",
    "21211": "the number is no phone number in the form +4930123456",
    "21408": "switch the country on in the Console, Messaging, Settings, Geo permissions",
    "21606": "check `sender`: it must be a number of this account that can send texts",
    "21610": "the recipient has texted STOP; only their START undoes it",
    "21614": "the number takes no texts",
    "21617": "the text is longer than 1600 characters",
    "21659": "check `sender`: it must be a number of this account that can send texts",
}


class Words(BaseModel):
    """Words by which people ask. Case and a full stop do not matter. `stop` and `start` count when they stand alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    balance: tuple[str, ...] = ("BALANCE", "POINTS")
    redeem: tuple[str, ...] = ("REDEEM",)
    help: tuple[str, ...] = ("HELP", "INFO")
    # Twilio's own words: it stops and resumes messages by them, whatever stands here. Its YES is left out, since it
    # answers other questions too.
    stop: tuple[str, ...] = ("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "OPTOUT", "REVOKE")
    start: tuple[str, ...] = ("START", "UNSTOP")


class Texts(CardTexts):
    """Answers to a text; an empty one is not sent."""

    unknown: str = "We know no account with this number. Ask in the shop to add it to yours."
    redeem: str = "Got it. You will have a text as soon as it is done."
    redeem_how: str = "Text REDEEM and the code of the reward."
    help: str = "Text BALANCE for your points, REDEEM and a code for a reward, STOP to get no more messages."


class TwilioSettings(Settings):
    """One account. `sender` is a number, an alphanumeric name or a Messaging Service (MG...)."""

    account_sid: str = Field(pattern=r"^AC\w{32}$")
    auth_token: SecretStr
    api_key_sid: str = ""
    """When set (SK...), `auth_token` is that key's secret."""
    sender: str
    status_callback: str = ""
    look_back_minutes: int = Field(default=10, ge=0, le=1440)
    words: Words = Words()
    texts: Texts = Texts()
    api_base: str = "https://api.twilio.com"


class SendSms(Params, frozen=True):
    """`to` is a number as +4930123456. `text` is spelt so that it takes the fewest segments (`hub.sdk.sms`)."""

    to: str
    text: str


class Twilio(Connector):
    name = "twilio"
    label = "Twilio SMS"
    docs_url = "https://www.twilio.com/docs/messaging/guides/webhook-request"
    api_version = "2010-04-01"
    verified_on = date(2026, 11, 25)
    Settings = TwilioSettings
    settings: TwilioSettings
    events = {
        "inbound.balance": "command.received",
        "inbound.redeem": "redemption.requested",
        "inbound.stop": "consent.changed",
        "inbound.start": "consent.changed",
        "status.delivered": "message.delivered",
        "status.read": "message.opened",
        "status.failed": "message.failed",
        "status.undelivered": "message.failed",
    }
    shows = True
    lists = True

    def verify(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        """Check the base64 HMAC over address and sorted parameters: SHA-1 with the auth token, or as a SharedKey says.

        Twilio signs an address now with and now without its default port. Secrets may be auth tokens and SharedKeys.
        """
        algorithm = ALGORITHMS.get(scheme(webhook.headers.get(SCHEME, "")))
        if not algorithm:
            raise NotVerified("malformed_signature")
        if (digest := body_hash(webhook.url)) is not None:
            ours = sha256(webhook.body).hexdigest()
            if not hmac.compare_digest(ours.encode(), digest.encode(errors="replace")):
                raise NotVerified("bad_signature")
        *others, last = spellings(webhook.url)
        for url in others:
            with suppress(NotVerified):
                return check(webhook, url, algorithm, secrets)
        return check(webhook, last, algorithm, secrets)

    def sign(self, webhook: Webhook, secret: bytes) -> dict[str, str]:
        signed = signed_bytes(webhook.url, webhook.body)
        return {SIGNATURE: encode(hmac_digest(secret, signed, "sha1"), "base64")}

    def sample_headers(self, event_type: str) -> dict[str, str]:
        return {"Content-Type": "application/x-www-form-urlencoded"}

    def delivery_id(self, webhook: Webhook) -> str | None:
        try:
            return identity(webhook.form())
        except Malformed:
            return None

    def answer(self, webhook: Webhook) -> Answer | None:
        """Answer a text in TwiML. Plain text would be sent on as a message, so nothing is ever answered in it."""
        try:
            form = webhook.form()
        except Malformed:
            return None
        kind, rest = self._read(form)
        texts = self.settings.texts
        said = {
            "inbound.balance": texts.unknown,  # a sender without a number, so that nobody can be asked about
            "inbound.redeem": texts.redeem if rest else texts.redeem_how,
            "inbound.help": texts.help,
            "inbound.other": texts.help,
        }.get(kind, "")
        # With OptOutType Twilio has answered by itself; a text from our own number would go round in circles.
        silent = bool(form.get("OptOutType")) or form.get("From") == form.get("To")
        return twiml("" if silent else said) if kind.startswith("inbound.") else None

    def asks_about(self, webhook: Webhook) -> MemberRef | None:
        try:
            form = webhook.form()
        except Malformed:
            return None
        phone = phone_of(form.get("From", ""))
        if not phone or self._read(form)[0] != "inbound.balance" or form.get("From") == form.get("To"):
            return None
        # Who sends can be forged; the answer still goes to the number's owner. Nobody is enrolled by it.
        return MemberRef(phone=phone)

    def show(self, webhook: Webhook, card: Card) -> Answer:
        """Say the balance, and what is pending or ends soon as long as all of it stays one segment."""
        return twiml(*self.settings.texts.lines(card))

    def parse(self, webhook: Webhook) -> list[SourceEvent]:
        """One event: a text, or the status of one of ours. `payload` has the form, and `phone`, `channel`, `words`."""
        form = webhook.form()
        event_id = identity(form)
        if event_id is None:
            raise Malformed("neither a text message nor the status of one")
        kind, rest = self._read(form)
        theirs = form.get("From" if kind.startswith("inbound.") else "To", "")
        ours = {
            "phone": phone_of(theirs),
            "channel": "whatsapp" if theirs.startswith("whatsapp:") else "sms",
            "words": rest,
        }
        return [
            SourceEvent(
                id=event_id,
                type=kind,
                at=webhook.received_at,
                account=form.get("AccountSid", ""),
                payload={**form, **ours},
            )
        ]

    def _read(self, form: Mapping[str, str]) -> tuple[str, str]:
        """Return the type of a request and, of a text, what stands after its first word."""
        if status := form.get("MessageStatus"):
            return f"status.{status}", ""
        text = unicodedata.normalize("NFKC", form.get("Body", "")).strip()
        first, _, rest = re.sub(r"\s+", " ", text).partition(" ")
        word = bare(first)
        words = self.settings.words
        said = form.get("OptOutType", "").lower()
        if said in {"stop", "start", "help"}:
            return f"inbound.{said}", rest
        for kind, known in words:
            if word in map(bare, known) and not (rest and kind in {"stop", "start"}):
                return f"inbound.{kind}", rest
        return "inbound.other", rest

    def send_sms(self, params: SendSms, client: Client) -> Receipt:
        """Send a text, unless the same one went to the same number a few minutes ago."""
        to = params.to.strip()
        text = UNPRINTABLE.sub(" ", shortest(params.text)).strip()
        if not phone_of(to):
            raise Rejected(f"Twilio: {to!r} is no phone number in the form +4930123456")
        if not text:
            raise Rejected("Twilio: the text is empty")
        service = self.settings.sender.startswith("MG")
        with sense():
            messages = self._api(client).messages
            if sid := self._sent_before(messages, to, text, client.now):
                return Receipt(sid)
            sent = messages.create(
                to=to,
                body=text,
                status_callback=self.settings.status_callback or None,
                **{"messaging_service_sid" if service else "from_": self.settings.sender},
            )
        if not sent.sid:
            raise TryLater("Twilio answered without the message's id", uncertain=True)
        return Receipt(str(sent.sid))

    def _sent_before(self, messages: Any, to: str, text: str, now: datetime) -> str:
        """Return the id of a message of the last minutes with these words: the trace of a call that timed out."""
        since = now - timedelta(minutes=self.settings.look_back_minutes)
        if since == now:
            return ""
        for each in messages.list(to=to, limit=SEEN, page_size=SEEN):
            made = each.date_created
            ours = str(each.direction).startswith("outbound") and each.status not in {"failed", "canceled"}
            if ours and each.body == text and made and made.replace(tzinfo=made.tzinfo or UTC) >= since:
                return str(each.sid)
        return ""

    def listing(self, since: datetime, until: datetime, client: Client) -> Iterator[bytes]:
        """Yield the texts that came to our number; what became of ours is not listed. A lost STOP is found by it."""
        if not phone_of(self.settings.sender):
            raise Rejected("only the texts to one number can be listed, not those of a Messaging Service")
        with sense():
            # Twilio takes days as well as times for DateSent (2026-11): what lies outside is left out here.
            pages = self._api(client).messages.stream(
                to=self.settings.sender, date_sent_after=since, date_sent_before=until, page_size=PAGE
            )
            for each in pages:
                sent = each.date_sent
                if (
                    each.direction == "inbound"
                    and sent
                    and since <= sent.replace(tzinfo=sent.tzinfo or UTC) < until
                ):
                    form = {"MessageSid": each.sid, "AccountSid": each.account_sid, "SmsStatus": "received"}
                    yield urlencode(
                        {**form, "From": each.from_, "To": each.to, "Body": each.body or ""}
                    ).encode()

    def subscribe(self, url: str, client: Client) -> list[Step]:
        if not phone_of(self.settings.sender):
            raise Rejected(
                f"only a number's address can be set: enter {url} for {self.settings.sender} in the Console"
            )
        with sense():
            numbers = self._api(client).incoming_phone_numbers
            found = numbers.list(phone_number=self.settings.sender, limit=1)
        if not found:
            raise Rejected(f"{self.settings.sender} is no number of this account")
        number = found[0]
        if (number.sms_url, number.sms_method) == (url, "POST"):
            return []

        def run() -> str:
            with sense():
                numbers(number.sid).update(sms_url=url, sms_method="POST")
            return f"texts to {self.settings.sender} come to {url}"

        was = f" instead of {number.sms_url}" if number.sms_url else ""
        return [Step(f"send texts to {self.settings.sender} to {url}{was}", run)]

    def probe(self, client: Client) -> str:
        with sense():
            account = self._api(client).fetch()
        return f"account {account.friendly_name}, {account.status}, sends as {self.settings.sender}"

    def _api(self, client: Client) -> Any:
        from twilio.rest import Client as Sdk

        settings = self.settings
        username = settings.api_key_sid or settings.account_sid
        sdk = Sdk(
            username,
            settings.auth_token.get_secret_value(),
            settings.account_sid,
            http_client=Lent(client),
        )
        return sdk.api.v2010.accounts(settings.account_sid)

    actions = {
        "send_sms": Action(
            summary="Send a text message.",
            params=SendSms,
            idempotent="Twilio takes no key: the newest messages to the number are read first, and one of the last "
            "`look_back_minutes` with the same words is not sent again.",
            run=send_sms,
        ),
    }


@dataclass(frozen=True, slots=True)
class Lent:
    """The HTTP client the SDK wants, over the hub's: guarded, timed, recorded; refusals never reach the SDK."""

    client: Client
    is_async: bool = False

    def request(  # noqa: PLR0917 - as the SDK calls it
        self,
        method: str,
        uri: str,
        params: Any = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] = ("", ""),
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Any:
        from twilio.http.response import Response as Answered

        parts = urlsplit(uri)
        basic = base64.b64encode(":".join(auth).encode()).decode()
        response = self.client.request(
            method,
            parts._replace(scheme="", netloc="").geturl(),  # a next page's address has its query already
            params=params,
            data=data or None,
            headers={**(headers or {}), "Authorization": f"Basic {basic}"},
            accept=EXPLAINED,
        )
        if response.status in EXPLAINED:
            raise refusal(response)  # the SDK's own errors of lists have no code
        return Answered(response.status, response.body.decode(errors="replace"), dict(response.headers))


@contextmanager
def sense() -> Iterator[None]:
    """Turn what the SDK raises into an outcome: it stumbles over what is not JSON, or is not Twilio's (9.13, 2026-11).

    Raises:
        TryLater: a proxy's page, say, came in place of an answer.
    """
    from twilio.base.exceptions import TwilioException

    try:
        yield
    except (TwilioException, ValueError, TypeError, AttributeError, KeyError) as error:
        raise TryLater("something that is not Twilio answered in its place", uncertain=True) from error


def refusal(response: Response) -> Rejected:
    """Return what Twilio's error means."""
    try:
        body = response.json()
    except Malformed:
        body = None
    code, said = id_at(body, "code") or str(response.status), text_at(body, "message") or "no reason given"
    advice = ADVICE.get(code)
    return Rejected(f"Twilio said {code}: {said}" + (f" ({advice})" if advice else ""), response.status)


def check(webhook: Webhook, url: str, algorithm: str, secrets: Sequence[bytes]) -> None:
    """Check the signature with the address in one spelling."""
    signed, given = signed_bytes(url, webhook.body), webhook.headers.get(SIGNATURE)
    check_hmac(signed, given, secrets, algorithm=algorithm, encoding="base64")


def scheme(header: str) -> str:
    """Return the algorithm a SharedKey's header names; without one it is the auth token's."""
    named = [part.strip().removeprefix("algorithm=") for part in header.split(",") if "algorithm=" in part]
    return named[0].upper() if named else "HMAC_SHA1"


def body_hash(url: str) -> str | None:
    """Return the hash an address carries of a body that is no form, or None."""
    return next(iter(parse_qs(urlsplit(url).query).get("bodySHA256", [])), None)


def signed_bytes(url: str, body: bytes) -> bytes:
    """Return the address with every parameter's name and values after it, each once and sorted, blank ones too."""
    form = (
        {} if body_hash(url) is not None else parse_qs(body.decode(errors="replace"), keep_blank_values=True)
    )
    return (url + "".join(name + value for name in sorted(form) for value in sorted(set(form[name])))).encode(
        errors="replace"
    )


def spellings(url: str) -> list[str]:
    """Return an address as Twilio may have signed it: as it is, without a port, with the one it has or its scheme's."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    try:
        port = parts.port
    except ValueError:
        return [url]
    bare_host = parts.netloc.removesuffix(f":{port}") if port else parts.netloc
    ported = parts.netloc if port or not host else f"{parts.netloc}:{PORTS.get(parts.scheme, 80)}"
    others = (parts._replace(netloc=netloc).geturl() for netloc in (bare_host, ported))
    return list(dict.fromkeys([url, *others]))


def identity(form: Mapping[str, str]) -> str | None:
    """Return what stays the same when a request comes again; None where it is about no message."""
    sid = form.get("MessageSid") or form.get("SmsSid")
    return f"{sid}:{form.get('MessageStatus') or 'received'}" if sid else None


def phone_of(address: str) -> str:
    """Return the number in an address (+49..., whatsapp:+49...); empty for short codes and names."""
    number = address.removeprefix("whatsapp:").strip()
    return number if PHONE.fullmatch(number) else ""


def bare(word: str) -> str:
    """Return a word as it is compared."""
    return unicodedata.normalize("NFKC", word).strip(" .,!?\"'").casefold()


def twiml(*sentences: str) -> Answer:
    """Return a text as answer: the first sentence, and of the others those that leave it one segment."""
    said = ""
    for sentence in filter(None, sentences):
        longer = shortest(f"{said} {sentence}".strip())
        if not said or segments(longer) == 1:
            said = longer
    text = escape(UNPRINTABLE.sub(" ", said))
    body = f"<Response><Message>{text}</Message></Response>" if text.strip() else "<Response/>"
    return Answer(f'<?xml version="1.0" encoding="UTF-8"?>{body}'.encode(), "text/xml; charset=utf-8")


@hookimpl
def register_connectors() -> list[type[Connector]]:
    return [Twilio]
