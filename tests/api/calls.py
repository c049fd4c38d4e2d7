"""Calls the API as one token."""

from __future__ import annotations

from hub.api import tokens


class Caller:
    """Calls the API with one token."""

    def __init__(self, app, token):
        self.client, self.token, self.keys = app.test_client(), token, 0

    def get(self, path, **more):
        path = path.removeprefix("/api/v1")
        return self.client.get(f"/api/v1{path}", headers={"Authorization": f"Bearer {self.token}"}, **more)

    def post(self, path, key=None, **body):
        return self.client.post(f"/api/v1{path}", headers=self.headers(key), json=body)

    def patch(self, path, key=None, **body):
        return self.client.patch(f"/api/v1{path}", headers=self.headers(key), json=body)

    def headers(self, key=None):
        self.keys += 1
        return {"Authorization": f"Bearer {self.token}", "Idempotency-Key": key or f"key-{self.keys}"}


def caller_of(hub, app, *scopes, name="till"):
    """Return a caller whose token has these scopes; by default all."""
    with hub.database.write() as tx:
        token = tokens.create(tx, name, scopes or tokens.SCOPES, hub.clock())
    return Caller(app, token)


def kind(answer):
    """(status, word) of a refusal, which is whole."""
    assert answer.content_type == "application/problem+json"
    assert answer.json["status"] == answer.status_code
    assert answer.json["detail"]
    assert answer.json["next"]
    return answer.status_code, answer.json["type"].rpartition(":")[2]
