"""Twilio: text messages sent and listed, and the number that texts come to.

Source: https://www.twilio.com/docs/messaging/api and twilio-python 9.13.0; read 2026-11-25. Bodies are forms. A message
takes no key: sent twice it goes out twice. A throttled call is told no wait, and webhooks are not tried again.
"""

from __future__ import annotations

import re
from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from msgspec import Struct
from werkzeug import Response

from hub.sdk.samples import Sample
from hub.sdk.signatures import encode
from hub.sdk.simulator.calls import Call, Refused, reply, route, with_body
from hub.sdk.simulator.platform import Platform

ACCOUNT = "AC00000000000000000000000000000b7e"
NUMBER = "+4915735990000"
API = f"/2010-04-01/Accounts/{ACCOUNT}"
MOST_TEXT = 1600
PHONE = re.compile(r"\+[1-9]\d{5,14}")
CODES = {400: 20001, 401: 20003, 404: 20404, 429: 20429, 500: 20500}


class SendBody(Struct, rename="pascal"):
    to: str
    body: str
    from_: str = ""
    messaging_service_sid: str = ""
    status_callback: str = ""


class Twilio(Platform):
    name = "twilio"
    key = "auth-token-of-the-simulator"
    specs = {"twilio": ""}
    tells_wait = False

    def settings(self) -> dict[str, Any]:
        return {"api_base": self.url, "account_sid": ACCOUNT, "auth_token": self.key, "sender": NUMBER}

    def begin(self) -> None:
        number = {"sid": f"PN{1:032x}", "phone_number": NUMBER, "sms_url": "", "sms_method": "POST"}
        self.records["numbers"][number["sid"]] = number

    def authorised(self, call: Call) -> bool:
        return (
            call.headers.get("Authorization") == f"Basic {encode(f'{ACCOUNT}:{self.key}'.encode(), 'base64')}"
        )

    def error(self, call: Call, said: Refused) -> Response:
        code = int(said.code) if said.code.isdigit() else CODES.get(said.status, 20500)
        told = {
            "code": code,
            "message": said.message,
            "more_info": f"https://www.twilio.com/docs/errors/{code}",
        }
        return reply(said.status, {**told, "status": said.status})

    @route("GET", f"{API}.json")
    def account(self, call: Call) -> Any:
        return {"sid": ACCOUNT, "friendly_name": "Brewline", "status": "active", "type": "Full"}

    # Messages, the newest first.

    @route("POST", f"{API}/Messages.json", body=SendBody)
    def send(self, call: Call) -> Any:
        to, text = call.data["To"], call.data["Body"]
        sender = call.data.get("From") or call.data.get("MessagingServiceSid", "")
        if not PHONE.fullmatch(to):
            raise Refused(400, f"The 'To' number {to} is not a valid phone number.", "21211")
        if not text.strip():
            raise Refused(400, "Message body is required.", "21602")
        if len(text) > MOST_TEXT:
            raise Refused(400, "The concatenated message body exceeds the 1600 character limit.", "21617")
        if sender not in self.senders():
            raise Refused(400, f"'From' {sender} is not a Twilio phone number of this account", "21659")
        if to in self.records["stopped"]:
            raise Refused(400, "Attempt to send to unsubscribed recipient", "21610")
        return reply(
            201, self.add_message(to=to, from_=sender, body=text, direction="outbound-api", status="queued")
        )

    def senders(self) -> set[str]:
        return {each["phone_number"] for each in self.records["numbers"].values()} | self.records[
            "services"
        ].keys()

    def add_message(self, *, to: str, from_: str, body: str, direction: str, status: str) -> dict[str, Any]:
        """Put a message there, as of now."""
        at = format_datetime(self.clock.now)
        sid = f"SM{int(self.new_id()):032x}"
        message: dict[str, Any] = {
            "sid": sid, "account_sid": ACCOUNT, "to": to, "from": from_, "body": body, "direction": direction,
            "status": status, "date_created": at, "date_sent": at, "date_updated": at, "error_code": None,
            "num_segments": "1", "price": None,
        }  # fmt: skip
        self.records["messages"][sid] = message
        return message

    @route("GET", f"{API}/Messages.json")
    def messages(self, call: Call) -> Any:
        """Times are taken for their days: what lies around them is told as well."""
        to, since, until = (call.query.get(name, "") for name in ("To", "DateSent>", "DateSent<"))
        found = [
            each
            for each in reversed(self.records["messages"].values())
            if to in {"", each["to"]}
            if since[:10] <= day_of(each) <= (until[:10] or "9")
        ]
        return listed(call, "messages", found)

    # The number.

    @route("GET", f"{API}/IncomingPhoneNumbers.json")
    def numbers(self, call: Call) -> Any:
        asked = call.query.get("PhoneNumber")
        found = [each for each in self.records["numbers"].values() if asked in {None, each["phone_number"]}]
        return listed(call, "incoming_phone_numbers", found)

    @route("POST", f"{API}/IncomingPhoneNumbers/<key>.json")
    def change_number(self, call: Call, key: str) -> Any:
        number = self.found("numbers", key)
        for field, name in (("SmsUrl", "sms_url"), ("SmsMethod", "sms_method")):
            number[name] = call.data.get(field, number[name])
        return number

    # Webhooks: forms, each of another message.

    def happened(self, sample: Sample, number: int, at: datetime) -> Sample:
        form = dict(parse_qsl(sample.body.decode(), keep_blank_values=True))
        ids = [name for name in ("MessageSid", "SmsSid", "SmsMessageSid") if name in form]
        form.update(dict.fromkeys(ids, f"SM{number:032x}"))
        return with_body(sample, urlencode(form).encode())


def day_of(message: dict[str, Any]) -> str:
    return parsedate_to_datetime(message["date_sent"]).date().isoformat()


def listed(call: Call, kind: str, found: list[Any]) -> dict[str, Any]:
    """Return a page of a list, with the address of the next one."""
    size, page = int(call.query.get("PageSize", 50)), int(call.query.get("Page", 0))
    end = (page + 1) * size
    again = urlencode({**call.query, "Page": page + 1, "PageToken": "PA"})
    following = f"{call.path}?{again}" if end < len(found) else None
    told = {"page": page, "page_size": size, "next_page_uri": following, "uri": call.path}
    return {kind: found[page * size : end], **told}
