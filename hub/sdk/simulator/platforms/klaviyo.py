"""Klaviyo: profiles with properties, events, system webhooks; JSON:API.

Source: the description of revision 2026-07-15 and https://developers.klaviyo.com; read 2026-11-25. Every call names its
revision. Retries of webhooks are not published; those of flows grow, after 429 and 5xx alone: five in an hour here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType
from werkzeug import Response

from hub.sdk.reading import dig, list_at, text_at
from hub.sdk.samples import Sample
from hub.sdk.simulator.calls import Call, Refused, reply, route, with_body
from hub.sdk.simulator.platform import Platform

JSON_API = "application/vnd.api+json"
TOPIC = "event:klaviyo."
TOPICS = (
    "submitted_review",
    "submitted_rating",
    "subscribed_to_email_marketing",
    "opened_email",
    "clicked_email",
)
"""What the account offers."""
MOST_PROPERTIES = 400
SHOWN_OF_ADDRESS = 20
IDENTIFIERS = ("email", "phone_number", "external_id")
TITLES = {
    400: "Invalid input.",
    401: "Authentication credentials are not valid.",
    404: "Not found.",
    410: "Gone.",
    429: "Request was throttled.",
}
Phone = Annotated[str, Meta(pattern=r"^\+[1-9]\d{6,14}$")]


class Person(Struct):
    email: Annotated[str, Meta(pattern="^[^@]+@[^@]+$")] | UnsetType = UNSET
    phone_number: Phone | UnsetType = UNSET
    external_id: str | UnsetType = UNSET
    properties: dict[str, Any] = {}


class ProfileData(Struct, tag_field="type", tag="profile"):
    attributes: Person
    id: str = ""


class ProfileBody(Struct):
    data: ProfileData


class EventBody(Struct):
    data: dict[str, Any]


class HookAttributes(Struct):
    name: str
    endpoint_url: Annotated[str, Meta(pattern="^https://")]
    secret_key: Annotated[str, Meta(min_length=16)]


class HookData(Struct, tag_field="type", tag="webhook"):
    attributes: HookAttributes
    relationships: dict[str, Any]


class HookBody(Struct):
    data: HookData


class Klaviyo(Platform):
    name = "klaviyo"
    key = "pk_of_the_simulator"
    specs = {"klaviyo": ""}
    waits_s = (60, 180, 420, 900, 2040)
    most_in_batch = 1000

    def settings(self) -> dict[str, Any]:
        secret = "webhook-secret-of-the-simulator"  # noqa: S105 - good for nothing
        return {"api_base": self.url, "api_key": self.key, "webhook_secret": secret}

    def authorised(self, call: Call) -> bool:
        return call.headers.get("Authorization") == f"Klaviyo-API-Key {self.key}"

    def error(self, call: Call, said: Refused) -> Response:
        title = TITLES.get(said.status, "A server error occurred.")
        told = {"status": said.status, "code": said.code, "title": title, "detail": said.message}
        answer = reply(
            said.status, {"errors": [{"id": self.new_id(), **told, "source": {"pointer": "/data"}}]}
        )
        answer.content_type = JSON_API
        return answer

    def add_profile(self, key: str, properties: Mapping[str, Any] | None = None, **identifiers: str) -> None:
        self.records["profiles"][key] = {"id": key, "properties": dict(properties or {}), **identifiers}

    # Profiles and events.

    @route("GET", "/api/accounts")
    def accounts(self, call: Call) -> Any:
        of_revision(call)
        name = {"contact_information": {"organization_name": "Brewline"}}
        return {"data": [{"type": "account", "id": "BrW123", "attributes": name}]}

    @route("GET", "/api/profiles/<key>")
    def profile(self, call: Call, key: str) -> Any:
        """With the fields that are asked for."""
        of_revision(call)
        profile = self.found("profiles", key)
        wanted = dig(call.query, "fields", "profile") or ",".join(profile)
        attributes = {name: profile.get(name) for name in wanted.split(",")}
        return {"data": {"type": "profile", "id": key, "attributes": attributes}}

    @route("POST", "/api/profile-import", body=ProfileBody)
    def put_profile(self, call: Call) -> Any:
        """Merge properties into a profile, made where there is none; null clears one."""
        of_revision(call)
        there = self.known(call.data["data"])
        profile = self.merged(call.data["data"], there)
        return reply(200 if there else 201, {"data": {"type": "profile", "id": profile["id"]}})

    @route("POST", "/api/events", body=EventBody)
    def event(self, call: Call) -> Any:
        """Of a person's events of a metric with one unique_id the first one counts; the answer is empty."""
        of_revision(call)
        told = call.data["data"]["attributes"]
        if len(told.get("properties", {})) > MOST_PROPERTIES:
            raise Refused(400, f"more than {MOST_PROPERTIES} properties")
        person = told["profile"]["data"]
        profile = self.merged(person, self.known(person))
        at = told.get("time") or self.clock.now.isoformat(timespec="seconds")
        key = f"{profile['id']} {text_at(told, 'metric', 'data', 'attributes', 'name')} "
        self.records["events"].setdefault(key + (told.get("unique_id") or at), {**told, "time": at})
        return reply(202)

    def known(self, person: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the profile with an id or one of the identifiers.

        Raises:
            Refused: nothing says who it is, or it is two.
        """
        named = {name: person["attributes"][name] for name in IDENTIFIERS if name in person["attributes"]}
        if person.get("id"):
            found: dict[str, Any] = self.found("profiles", person["id"])
            return found
        if not named:
            raise Refused(400, "one of email, phone_number, external_id or id is needed")
        mine = [p for p in self.records["profiles"].values() if any(p.get(n) == v for n, v in named.items())]
        if len(mine) > 1:
            raise Refused(409, "the identifiers belong to two profiles", "duplicate_profile")
        return mine[0] if mine else None

    def merged(self, person: Mapping[str, Any], profile: dict[str, Any] | None) -> dict[str, Any]:
        if profile is None:
            self.add_profile(key := self.new_id("profile-"))
            profile = self.records["profiles"][key]
        attributes = dict(person["attributes"])
        properties = {**profile["properties"], **attributes.pop("properties", {})}
        properties = {name: value for name, value in properties.items() if value is not None}
        profile.update(attributes, properties=properties)
        return profile

    # System webhooks.

    @route("GET", "/api/webhook-topics")
    def topics(self, call: Call) -> Any:
        of_revision(call)
        return {"data": [{"type": "webhook-topic", "id": TOPIC + name} for name in TOPICS]}

    @route("GET", "/api/webhooks")
    def hooks(self, call: Call) -> Any:
        """Addresses are cut short, secrets are not shown, topics where they are asked for."""
        of_revision(call)
        hooks = list(self.records["hooks"].values())
        if call.query.get("include") != "webhook-topics":
            hooks = [{**hook, "relationships": {}} for hook in hooks]
        return {"data": hooks}

    @route("POST", "/api/webhooks", body=HookBody)
    def make_hook(self, call: Call) -> Any:
        of_revision(call)
        made = call.data["data"]
        chosen = [each["id"] for each in list_at(made, "relationships", "webhook-topics", "data")]
        if unknown := set(chosen) - {TOPIC + name for name in TOPICS}:
            raise Refused(400, f"there is no topic {min(unknown)}")
        key, asked = self.new_id("hook-"), made["attributes"]
        shown = {"name": asked["name"], "endpoint_url": f"{asked['endpoint_url'][:SHOWN_OF_ADDRESS]}..."}
        self.records["hooks"][key] = {**made, "id": key, "attributes": {**shown, "enabled": True}}
        return reply(201, {"data": self.records["hooks"][key]})

    @route("DELETE", "/api/webhooks/<key>")
    def drop_hook(self, call: Call, key: str) -> Any:
        of_revision(call)
        self.found("hooks", key)
        del self.records["hooks"][key]
        return reply(204)

    # Webhooks: batches of events, signed; a flow's comes alone.

    def happened(self, sample: Sample, number: int, at: datetime) -> Sample:
        body = json.loads(sample.body)
        if "data" not in body:
            return with_body(sample, json.dumps({**body, "event_id": f"flow-{number}"}).encode())
        for place, item in enumerate(body["data"]):
            item["external_id"] = f"event-{number}-{place}"
            item["payload"]["data"] |= {"id": item["external_id"]}
            item["payload"]["data"]["attributes"] |= {
                "datetime": at.isoformat(),
                "timestamp": int(at.timestamp()),
            }
        return with_body(sample, json.dumps(body).encode())

    def together(self, sample: Sample) -> str:
        return "events" if "data" in json.loads(sample.body) else ""

    def joined(self, samples: Sequence[Sample]) -> Sample:
        bodies = [json.loads(sample.body) for sample in samples]
        items = [item for body in bodies for item in body["data"]]
        return with_body(samples[0], json.dumps({**bodies[0], "data": items}).encode())

    def retries(self, status: int, headers: Mapping[str, str]) -> Sequence[float]:
        return self.waits_s if status in {0, 429} or status >= 500 else ()


def of_revision(call: Call) -> None:
    """Refuse a call without a revision, or with a body that does not say what it is."""
    if not call.headers.get("revision"):
        raise Refused(400, "the header revision is missing")
    if call.body and call.headers.get("Content-Type") != JSON_API:
        raise Refused(415, f"the body must be {JSON_API}")
