"""API descriptions of three kinds find the same faults in a request."""

from __future__ import annotations

import pytest

from hub.sdk.specs import Spec

NOTE = {
    "type": "object",
    "properties": {
        "text": {"type": "string", "maxLength": 9},
        "points": {"type": "integer"},
        "id": {"type": "string", "readOnly": True},
    },
    "required": ["text", "id"],
}
OPENAPI = {
    "openapi": "3.0.1",
    "paths": {
        "/guests/{guest}/note": {
            "put": {
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Note"}}},
                }
            }
        },
        "/guests/search": {"get": {}},
        "/guests/{guest}": {"get": {}},
    },
    "components": {"schemas": {"Note": NOTE}},
}
SWAGGER = {
    "swagger": "2.0",
    "paths": {
        "/guests/{guest}/note": {
            "put": {
                "parameters": [
                    {"in": "path", "name": "guest"},
                    {"in": "body", "required": True, "schema": {"$ref": "#/definitions/Note"}},
                ]
            }
        },
    },
    "definitions": {"Note": NOTE},
}
DISCOVERY = {
    "resources": {
        "guests": {
            "methods": {
                "note": {"httpMethod": "PUT", "path": "guests/{guest}/note", "request": {"$ref": "Note"}}
            }
        }
    },
    "schemas": {"Note": NOTE},
}
PATH = "/v1/guests/g-7/note?notify=no"


@pytest.mark.parametrize("document", [OPENAPI, SWAGGER, DISCOVERY], ids=["openapi", "swagger", "discovery"])
def test_a_request_is_held_against_its_description(document):
    spec = Spec(document)
    assert spec.faults("PUT", PATH, {"text": "42 beans", "points": 42}) == []
    assert [fault.partition(": ")[2] for fault in spec.faults("PUT", PATH, {"points": "42"})] == [
        "$: 'text' is missing",  # the platform gives the id itself
        "$.points: '42' is not of type 'integer'",
    ]
    assert "too long" in spec.faults("put", PATH, {"text": "4,200 beans"})[0]
    assert "needs a body" in spec.faults("PUT", PATH)[0]
    assert "no DELETE" in spec.faults("DELETE", PATH)[0]


def test_null_is_fine_where_the_description_says_so():
    schema = {"properties": {"tier": {"type": "string", "enum": ["gold"], "nullable": True}}}
    body = {"content": {"application/json": {"schema": schema}}}
    spec = Spec({"openapi": "3.0.1", "paths": {"/guests": {"post": {"requestBody": body}}}})
    assert spec.faults("POST", "/guests", {"tier": None}) == []
    assert len(spec.faults("POST", "/guests", {"tier": "silver"})) == 1


def test_the_fields_of_a_form_are_described_one_by_one():
    fields = [{"in": "formData", "name": "channel", "required": True}, {"in": "formData", "name": "text"}]
    spec = Spec({"swagger": "2.0", "paths": {"/chat.post": {"post": {"parameters": fields}}}})
    assert spec.faults("POST", "/chat.post", {"channel": "C1"}) == []
    assert "'channel' is missing" in spec.faults("POST", "/chat.post", {"text": "hi"})[0]


def test_fixed_text_in_a_path_beats_a_variable():
    found = Spec(OPENAPI).find("GET", "/guests/search")
    assert found is not None
    assert found.path == "/guests/search"
