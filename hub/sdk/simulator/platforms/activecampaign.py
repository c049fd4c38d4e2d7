"""ActiveCampaign: contacts with fields and tags, webhooks; lists in pages of 20.

Source: https://developers.activecampaign.com/reference, API 3; read 2026-11-25. Ids are texts in answers. A wrong key is a
403. Webhooks are forms with PHP's brackets, never tried again, and 410 switches one off for good.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

from msgspec import Meta, Struct
from werkzeug import Response

from hub.sdk.reading import list_at, text_at
from hub.sdk.samples import Sample
from hub.sdk.simulator.calls import Call, Refused, reply, route, with_body
from hub.sdk.simulator.platform import Platform

API = "/api/3"
PAGE, MOST_PER_PAGE = 20, 100
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class FieldValue(Struct):
    field: Annotated[str, Meta(pattern=r"^\d+$")] | int
    value: str


class Contact(Struct, rename="camel"):
    email: str = ""
    field_values: list[FieldValue] = []


class ContactBody(Struct):
    contact: Contact


class Tag(Struct, rename="camel"):
    tag: Annotated[str, Meta(min_length=1)]
    tag_type: str


class TagBody(Struct):
    tag: Tag


class ContactTag(Struct):
    contact: int | str
    tag: int | str


class LinkBody(Struct, rename="camel"):
    contact_tag: ContactTag


class ActiveCampaign(Platform):
    name = "activecampaign"
    specs = {"activecampaign": API}
    invalid = 422
    unauthorised = 403

    def settings(self) -> dict[str, Any]:
        secret = "address-secret-of-the-simulator"  # noqa: S105 - good for nothing
        return {"api_base": self.url, "api_token": self.key, "webhook_secret": secret}

    def begin(self) -> None:
        """Two fields of ours, behind more of the account's own than a page holds."""
        for number in range(1, 25):
            self.add_field(f"FIELD_{number}")
        self.add_field("LOYALTY_POINTS")
        self.add_field("LOYALTY_TIER")

    def authorised(self, call: Call) -> bool:
        return call.headers.get("Api-Token") == self.key

    def error(self, call: Call, said: Refused) -> Response:
        if said.status == 422:
            return reply(422, {"errors": [{"title": said.message, "detail": "", "code": said.code}]})
        return reply(said.status, {"message": said.message})

    def add_field(self, tag: str) -> None:
        key = self.new_id()
        self.records["fields"][key] = {"id": key, "type": "text", "title": tag.title(), "perstag": tag}

    def add_contact(self, key: str, email: str, **values: str) -> None:
        """Put a contact there; `values` are by personalisation tag."""
        numbers = {field["perstag"]: number for number, field in self.records["fields"].items()}
        fields = {numbers[tag]: value for tag, value in values.items()}
        self.records["contacts"][key] = {"id": key, "email": email, "fields": fields}

    def add_tag(self, name: str, *contacts: str) -> None:
        """Put a tag there, and on contacts."""
        key = self.new_id()
        self.records["tags"][key] = {"id": key, "tag": name, "tagType": "contact"}
        for contact in contacts:
            link = self.new_id()
            self.records["links"][link] = {"id": link, "contact": contact, "tag": key}

    def values(self, key: str) -> dict[str, str]:
        """Return a contact's fields, by personalisation tag."""
        fields = self.records["contacts"][key]["fields"]
        return {self.records["fields"][number]["perstag"]: value for number, value in fields.items()}

    def tags_of(self, key: str) -> list[str]:
        links = (link for link in self.records["links"].values() if link["contact"] == key)
        return [self.records["tags"][link["tag"]]["tag"] for link in links]

    # Contacts.

    @route("GET", f"{API}/users/me")
    def me(self, call: Call) -> Any:
        return {"user": {"id": "1", "username": "mia", "email": "mia@brewline.example"}}

    @route("GET", f"{API}/fields")
    def fields(self, call: Call) -> Any:
        return paged(call, "fields", self.records["fields"].values())

    @route("POST", f"{API}/contact/sync", body=ContactBody)
    def sync(self, call: Call) -> Any:
        """Change the contact with an address, or make one."""
        email = call.data["contact"].get("email", "").lower()
        if not EMAIL.fullmatch(email):
            raise Refused(422, "Email address is not valid", "email_invalid")
        known = (key for key, each in self.records["contacts"].items() if each["email"] == email)
        key = next(known, "") or self.new_id()
        status = 200 if key in self.records["contacts"] else 201
        if status == 201:
            self.add_contact(key, email)
        return reply(status, self.set_fields(call, key))

    @route("PUT", f"{API}/contacts/<int:key>", body=ContactBody)
    def update(self, call: Call, key: int) -> Any:
        return self.set_fields(call, str(key))

    def set_fields(self, call: Call, key: str) -> Any:
        """Fields go by number; one that is not there is an error."""
        contact = self.found("contacts", key)
        values = {str(v["field"]): v["value"] for v in list_at(call.data, "contact", "fieldValues")}
        if unknown := values.keys() - self.records["fields"].keys():
            raise Refused(422, f"there is no field {min(unknown)}", "field_invalid")
        contact["fields"].update(values)
        return {"contact": {"id": key, "email": contact["email"]}, "fieldValues": list(values)}

    # Tags. A contact has one once; the link between them has a number of its own.

    @route("GET", f"{API}/tags")
    def tags(self, call: Call) -> Any:
        """The search finds parts of names."""
        part = call.query.get("search", "").lower()
        return paged(call, "tags", (t for t in self.records["tags"].values() if part in t["tag"].lower()))

    @route("POST", f"{API}/tags", body=TagBody)
    def make_tag(self, call: Call) -> Any:
        name = call.data["tag"]["tag"]
        if any(tag["tag"].lower() == name.lower() for tag in self.records["tags"].values()):
            raise Refused(422, "the tag exists", "duplicate")
        self.add_tag(name)
        return reply(201, {"tag": list(self.records["tags"].values())[-1]})

    @route("POST", f"{API}/contactTags", body=LinkBody)
    def link(self, call: Call) -> Any:
        contact, tag = (str(call.data["contactTag"][name]) for name in ("contact", "tag"))
        self.found("contacts", contact)
        self.found("tags", tag)
        pair = {"contact": contact, "tag": tag}
        there = (link for link in self.records["links"].values() if link.items() >= pair.items())
        key = next((link["id"] for link in there), "") or self.new_id()
        self.records["links"][key] = {"id": key, **pair}
        return reply(201, {"contactTag": self.records["links"][key]})

    @route("GET", f"{API}/contacts/<int:key>/contactTags")
    def links(self, call: Call, key: int) -> Any:
        self.found("contacts", str(key))
        mine = (link for link in self.records["links"].values() if link["contact"] == str(key))
        return paged(call, "contactTags", mine)

    @route("DELETE", f"{API}/contactTags/<int:key>")
    def unlink(self, call: Call, key: int) -> Any:
        self.found("links", str(key))
        del self.records["links"][str(key)]
        return {}

    # The account's webhooks.

    @route("GET", f"{API}/webhooks")
    def hooks(self, call: Call) -> Any:
        return paged(call, "webhooks", self.records["hooks"].values())

    @route("POST", f"{API}/webhooks")
    def make_hook(self, call: Call) -> Any:
        key = self.new_id()
        self.records["hooks"][key] = {"id": key, **call.data["webhook"]}
        return reply(201, {"webhook": self.records["hooks"][key]})

    @route("PUT", f"{API}/webhooks/<int:key>")
    def mend_hook(self, call: Call, key: int) -> Any:
        self.found("hooks", str(key)).update(call.data["webhook"])
        return {"webhook": self.found("hooks", str(key))}

    def happened(self, sample: Sample, number: int, at: datetime) -> Sample:
        """No id tells one from another; an automation's has no time either."""
        fields = dict(parse_qsl(sample.body.decode(), keep_blank_values=True))
        if text_at(fields, "date_time"):
            fields["date_time"] = at.isoformat(timespec="seconds")
        return with_body(sample, urlencode(fields).encode())


def paged(call: Call, name: str, found: Iterable[Any]) -> dict[str, Any]:
    """Return a page: 20 records where no `limit` is asked for, never more than 100."""
    records = list(found)
    start, limit = int(call.query.get("offset", 0)), int(call.query.get("limit", PAGE))
    page = records[start : start + min(limit, MOST_PER_PAGE)]
    return {name: page, "meta": {"total": str(len(records))}}
