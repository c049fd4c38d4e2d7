"""The document is whole, and nothing that fits it makes the hub fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from hub.api import tokens
from hub.api.__main__ import text
from hub.api.app import create_api
from hub.web.app import create_app


def test_the_document_has_every_route_and_its_key(app):
    made = app.test_client().get("/api/v1/openapi.json").json
    for path, operations in made["paths"].items():
        assert path.startswith("/api/v1/")
        for method, operation in operations.items():
            keyed = "Idempotency-Key" in {each["name"] for each in operation.get("parameters", [])}
            assert keyed == (method in {"post", "patch"}), path
            assert operation["security"] == [{"token": []}]


def test_the_document_in_docs_is_this_ones():
    kept = Path(__file__).parents[2] / "docs" / "openapi.json"
    assert kept.read_text(encoding="utf-8") == text(), "run `python -m hub.api > docs/openapi.json`"


def test_every_scope_of_a_route_is_one_and_every_scope_opens_something(app):
    made = app.test_client().get("/api/v1/openapi.json").json
    operations = [each for verbs in made["paths"].values() for each in verbs.values()]
    named = {each["description"].split()[1].rstrip(".") for each in operations}
    assert named == tokens.SCOPES.keys()


def test_an_event_is_described_by_its_own_model(app):
    schemas = app.test_client().get("/api/v1/openapi.json").json["components"]["schemas"]
    paid = schemas["PurchasePaid"]
    assert paid["properties"]["name"] == {"type": "string", "const": "purchase.paid"}
    assert {"name", "fact", "occurred_at", "order"} <= set(paid["required"])
    told = {
        each["$ref"].rpartition("/")[2]
        for each in schemas["Events"]["properties"]["events"]["items"]["oneOf"]
    }
    assert {"PurchasePaid", "PurchaseRefunded", "MemberCreated", "CustomEvent"} <= told
    assert not {"ApprovalDecided", "CommandReceived", "ScheduleDaily"} & told


def test_the_api_is_made_when_it_is_first_asked(counter):
    made = []
    web = create_app(counter.hub, lambda: made.append(1) or create_api(counter.hub)).test_client()
    assert web.get("/healthz").status_code == 200
    assert made == []
    assert web.get("/api/v1/catalogue").status_code == 401
    assert web.get("/api/v1/openapi.json").status_code == 200
    assert made == [1]


def test_no_request_that_fits_makes_it_fail(counter, app, caller):
    schemathesis = pytest.importorskip("schemathesis")
    token = caller().token
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app)
    tried = 0
    quick = settings(
        max_examples=8,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    for result in schema.get_all_operations():
        operation = result.ok()

        def probe(case):
            nonlocal tried
            tried += 1
            answer = case.call(headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code < 500, (case.path, answer.text)
            assert answer.status_code not in {401, 403}

        from hypothesis import given

        quick(given(case=operation.as_strategy())(probe))()
    assert tried >= 30
