"""What a platform is answered, and that each way to the answer gives the same: the front's lane, the front with
Flask's view, and Flask alone on a WSGI server."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import toy
from flask import Flask
from fronted import Protocol, Scope, client_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import MAX_BODY, ToyHub

from hub import inbox
from hub.sdk import Headers
from hub.web.app import create_app
from hub.web.front import Front

WAYS = ("lane", "view", "wsgi")


def make_hub(database, way, **more):
    return ToyHub(database, clock=lambda: toy.NOW, fast_lane=way == "lane", **more)


def client_by(way, hub):
    app = create_app(hub)
    return app.test_client() if way == "wsgi" else client_of(Front(app))


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


@pytest.fixture
def hub(way, sqlite):
    made = make_hub(sqlite, way)
    yield made
    made.close()


@pytest.fixture
def client(way, hub):
    return client_by(way, hub)


def post(client, webhook=None, path="/webhooks/shop", **options):
    webhook = webhook or toy.webhook()
    options = {"data": webhook.body, "headers": dict(webhook.headers), **options}
    return client.post(path, **options)


def stored(hub):
    with hub.database.read_inbox() as connection:
        return inbox.read_after(connection, 0, 1000)


def refused(hub):
    hub.refusals.close()
    with hub.database.read_inbox() as connection:
        return inbox.refused_counts(connection)


def test_a_genuine_webhook_is_stored_and_answered_with_nothing(hub, client):
    answer = post(client, toy.webhook(delivery="d-1", headers={"X-Toy-Topic": "order.paid"}))
    assert (answer.status_code, answer.data) == (200, b"")
    [row] = stored(hub)
    assert (row.delivery_id, row.webhook.body, row.webhook.url) == ("d-1", b'{"order": 1}', toy.URL)
    assert dict(row.webhook.headers) == {"x-toy-topic": "order.paid"}
    assert row.webhook.received_at == toy.NOW


def test_a_redelivery_is_a_success_too(hub, client):
    assert [post(client, toy.webhook(delivery="d-1")).status_code for _ in range(3)] == [200] * 3
    assert len(stored(hub)) == 1


def test_a_platform_reads_the_answer_it_wants(hub, client):
    answer = post(client, toy.webhook(headers={"X-Toy-Topic": "order.held"}))
    assert (answer.status_code, answer.json) == (200, {"taken": True})
    assert len(stored(hub)) == 1


def test_a_challenge_is_answered_and_not_stored(hub, client):
    assert post(client, toy.webhook(b"challenge:abc")).data == b"abc"
    assert stored(hub) == []


def test_a_compressed_body_is_kept_as_it_was_signed(hub, client):
    body = gzip.compress(b'{"order": 1}')
    assert post(client, toy.webhook(body, headers={"Content-Encoding": "gzip"})).status_code == 200
    assert stored(hub)[0].webhook.body == body


def changed(**headers):
    webhook = toy.webhook()
    return replace(webhook, headers=Headers({**webhook.headers, **headers}))


REFUSED = {
    "no signature": (replace(toy.webhook(), headers=Headers()), "missing_timestamp"),
    "an altered body": (replace(toy.webhook(), body=b'{"order": 2}'), "bad_signature"),
    "another secret": (toy.webhook(secret=b"guessed"), "bad_signature"),
    "an old webhook": (toy.webhook(at=toy.later(-301)), "stale_timestamp"),
    "a signature that is no hex": (changed(**{"x-toy-signature": "zz"}), "malformed_signature"),
    "an empty signature": (changed(**{"x-toy-signature": ""}), "missing_signature"),
    # A server gives a header that came twice as one, with a comma.
    "a signature sent twice": (
        changed(**{"x-toy-signature": ",".join([toy.webhook().headers["x-toy-signature"]] * 2)}),
        "malformed_signature",
    ),
    "bytes beyond ASCII in the signature": (
        changed(**{"x-toy-signature": "\xff\xfe"}),
        "malformed_signature",
    ),
}


@pytest.mark.parametrize(("webhook", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_genuine_is_refused_in_a_word_and_counted(hub, client, webhook, reason):
    answer = post(client, webhook)
    assert (answer.status_code, answer.json) == (401, {"error": reason})
    assert stored(hub) == []
    assert refused(hub) == {("shop", reason): 1}


def test_an_unknown_connection_is_told_the_next_step_and_no_names(hub, client):
    answer = post(client, path="/webhooks/shap")
    assert answer.status_code == 404
    assert answer.json["error"] == "unknown_connection"
    assert "hub connectors" in answer.json["next"]
    assert not any(name in answer.text for name in hub.connections)
    assert refused(hub) == {("", "unknown_connection"): 1}


PATHS = {
    "/webhooks/shop": 200,
    "/webhooks/shop?": 200,
    "/webhooks/sh%6Fp": 200,
    "/webhooks/shop/": 404,
    "/webhooks//shop": 404,
    "/webhooks/": 404,
    "/webhooks": 404,
    "/Webhooks/shop": 404,
    "/webhooks/SHOP": 404,
    "/webhooks/shop%2F": 404,
    "/webhooks/shop%00": 404,
    "/webhooks/%ff": 404,
    "/webhooks/../webhooks/shop": 404,
    "/webhooks/./shop": 404,
    "/webhooks/shop;x=1": 404,
    "/": 404,
}


@pytest.mark.parametrize(("path", "status"), PATHS.items(), ids=PATHS)
def test_only_the_exact_path_is_the_connection(hub, client, path, status):
    assert post(client, path=path).status_code == status
    assert len(stored(hub)) == (status == 200)


def test_the_query_belongs_to_the_address_that_is_signed(hub, client):
    query = "?source=brewline&empty=&enc=%2F"
    assert post(client, toy.webhook(url=toy.URL + query), f"/webhooks/shop{query}").status_code == 200
    assert stored(hub)[0].webhook.url == toy.URL + query
    assert post(client, toy.webhook(), f"/webhooks/shop{query}").status_code == 401


def test_the_host_header_does_not_make_the_address(client):
    assert post(client, base_url="http://evil.example").status_code == 200


METHODS = {
    ("GET", "shop"): 200,
    ("HEAD", "shop"): 200,
    ("PUT", "shop"): 405,
    ("OPTIONS", "shop"): 405,
    ("GET", "plain"): 405,
    ("DELETE", "plain"): 405,
    ("GET", "nobody"): 404,
}


@pytest.mark.parametrize(("call", "status"), METHODS.items(), ids=str)
def test_only_the_probes_a_platform_uses_are_answered(hub, client, call, status):
    method, name = call
    answer = client.open(f"/webhooks/{name}", method=method)
    assert (answer.status_code, stored(hub)) == (status, [])
    if status == 405:
        assert answer.headers["Allow"] == ("POST, GET, HEAD" if name == "shop" else "POST")
        assert answer.json == {"error": "method_not_allowed"}


def test_a_probe_gets_the_connectors_answer(client):
    assert client.get("/webhooks/shop?challenge=1").data == b"pong"
    assert client.get("/webhooks/shop").data == b""
    assert client.get("/webhooks/tripping").status_code == 200


class Unread(io.BytesIO):
    def read(self, *_size):
        raise AssertionError("the body was read")


def test_a_body_that_says_it_is_too_large_is_not_read(hub, client):
    for length in (str(MAX_BODY + 1), "9" * 40):
        answer = post(client, data=None, input_stream=Unread(), environ_overrides={"CONTENT_LENGTH": length})
        assert (answer.status_code, answer.json) == (413, {"error": "too_large"})
    assert refused(hub) == {("shop", "too_large"): 2}


def chunked(client, webhook, path="/webhooks/shop", *, ended=True):
    """Post without a length, as a server hands on a chunked body."""
    return post(
        client,
        webhook,
        path,
        data=None,
        input_stream=io.BytesIO(webhook.body),
        environ_overrides={"CONTENT_LENGTH": "", **({"wsgi.input_terminated": True} if ended else {})},
    )


def test_a_chunked_body_is_read_up_to_the_limit(hub, client):
    assert chunked(client, toy.webhook(b"x" * MAX_BODY)).status_code == 200
    answer = chunked(client, toy.webhook(b"x" * (MAX_BODY + 1)))
    assert (answer.status_code, answer.json) == (413, {"error": "too_large"})
    assert len(stored(hub)) == 1


@pytest.mark.parametrize("way", ["wsgi"], indirect=True)
def test_a_body_whose_end_nobody_knows_needs_a_length(hub, client):
    """The front's server tells a chunked body that ended early from a whole one."""
    answer = chunked(client, toy.webhook(), ended=False)
    assert (answer.status_code, answer.json) == (411, {"error": "length_required"})
    assert chunked(client, toy.webhook(), "/webhooks/free").status_code == 411
    assert post(client, path="/webhooks/free").status_code == 200
    assert [(row.connection, row.verdict) for row in stored(hub)] == [("free", "waived")]


@pytest.mark.parametrize(
    ("length", "error"), [("13", "cut_short"), ("1e1", "bad_length"), ("-1", "bad_length")]
)
def test_a_body_cut_short_is_not_stored(hub, client, length, error):
    body = io.BytesIO(b'{"order": 1}')
    answer = post(
        client,
        path="/webhooks/free",
        data=None,
        input_stream=body,
        environ_overrides={"CONTENT_LENGTH": length},
    )
    assert (answer.status_code, answer.json) == (400, {"error": error})
    assert stored(hub) == []


def test_overload_is_told_and_costs_nothing_that_was_promised(sqlite, way):
    sqlite.commit_delay_s = 0.1
    hub = make_hub(sqlite, way, limit=2)
    client = client_by(way, hub)

    def send(n):
        answer = post(client, toy.webhook(delivery=f"d-{n}"))
        return answer.status_code, answer.headers.get("Retry-After"), answer.data

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(send, range(32)))
    hub.close()
    assert set(answers) == {(200, None, b""), (503, "5", b'{"error":"overloaded"}')}
    promised = {f"d-{n}" for n, answer in enumerate(answers) if answer[0] == 200}
    assert {row.delivery_id for row in stored(hub)} == promised


def test_a_database_that_refuses_is_a_503(hub, client, monkeypatch):
    monkeypatch.setattr("hub.inbox.sqlite._insert_inbox", lambda _count: "INSERT INTO nowhere VALUES (1)")
    answer = post(client)
    assert (answer.status_code, answer.json) == (503, {"error": "not_stored"})
    assert answer.headers["Retry-After"] == "5"
    monkeypatch.undo()
    assert post(client).status_code == 200


def test_a_connector_that_trips_after_the_check_costs_no_event(hub, client):
    url = toy.URL.replace("/shop", "/tripping")
    assert post(client, toy.webhook(url=url), "/webhooks/tripping").status_code == 200
    assert len(stored(hub)) == 1


def test_a_check_that_trips_proves_nothing(hub, client):
    answer = post(client, path="/webhooks/faulty")
    assert (answer.status_code, answer.json) == (401, {"error": "not_checked"})
    assert stored(hub) == []


def test_the_lane_goes_around_flask_and_the_view_does_not(client, way, monkeypatch):
    dispatched = []
    ordinary = Flask.wsgi_app
    monkeypatch.setattr(Flask, "wsgi_app", lambda *args: dispatched.append(args) or ordinary(*args))
    assert post(client).status_code == 200
    assert len(dispatched) == (way != "lane")


def test_a_row_that_is_promised_and_waits_too_long_is_a_503(sqlite):
    """The front answers by a look now and then, and the row may be stored all the same."""
    sqlite.commit_delay_s = 1.5
    hub = make_hub(sqlite, "lane")
    hub.inbox = inbox.Inbox(sqlite, wait_s=0.2)
    answer = post(client_by("lane", hub))
    assert (answer.status_code, answer.json) == (503, {"error": "overloaded"})
    hub.close()
    assert len(stored(hub)) == 1


def test_a_server_that_ends_takes_no_more_webhooks(hub):
    front = Front(create_app(hub))
    asyncio.run(front.drained())
    answer = post(client_of(front))
    assert (answer.status_code, answer.json, answer.headers["Retry-After"]) == (503, {"error": "ending"}, "5")
    assert client_of(front).get("/healthz").status_code == 200


def test_all_ways_answer_with_the_same_bytes(sqlite, tmp_path):
    """Status, headers and body of every case above, compared."""
    answers = []
    webhooks = [webhook for webhook, _reason in REFUSED.values()]
    webhooks += [
        toy.webhook(),
        toy.webhook(b"challenge:a"),
        toy.webhook(headers={"X-Toy-Topic": "order.held"}),
    ]
    for way in WAYS:
        hub = make_hub(sqlite, way)
        client = client_by(way, hub)
        got = [post(client, webhook, path) for webhook in webhooks for path in PATHS]
        answers.append([(a.status_code, sorted(a.headers), a.data) for a in got])
        hub.close()
    assert answers[0] == answers[1] == answers[2]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(["shop", "plain", "tripping", "faulty", "nobody", ""]),
    method=st.sampled_from(["POST", "GET", "HEAD", "PUT"]),
    body=st.binary(max_size=200),
    headers=st.dictionaries(
        st.sampled_from(["X-Toy-Time", "X-Toy-Signature", "X-Toy-Delivery", "Content-Type", "Host"]),
        st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=40),
    ),
)
def test_nothing_a_stranger_sends_is_an_error_of_ours(client, name, method, body, headers):
    answer = client.open(f"/webhooks/{name}", method=method, data=body, headers=headers)
    assert answer.status_code < 500


def test_health_readiness_and_figures(hub, client):
    assert client.get("/healthz").json == {"ok": True}
    assert client.get("/readyz").json == {"ready": True, "problems": []}
    hub.problems.append("the database cannot be written: disk full")
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json == {"ready": False, "problems": ["the database cannot be written: disk full"]}
    post(client, toy.webhook(delivery="d-1"))
    post(client, toy.webhook(delivery="d-1"))
    post(client, toy.webhook(secret=b"guessed"))
    text = client.get("/metrics").text
    for line in (
        'points_hub_webhooks_total{connection="shop",outcome="stored"} 1.0',
        'points_hub_webhooks_total{connection="shop",outcome="duplicate"} 1.0',
        'points_hub_webhooks_refused_total{connection="shop",reason="bad_signature"} 1.0',
        "points_hub_webhooks_waiting 0.0",
        "points_hub_accept_seconds_count 3.0",
    ):
        assert line in text


def test_an_error_of_ours_says_nothing_to_strangers(hub, client, monkeypatch):
    monkeypatch.setattr(hub, "ready", lambda: {}["secret detail"])
    answer = client.get("/readyz")
    assert (answer.status_code, json.loads(answer.data)) == (500, {"error": "internal_error"})


def test_a_body_that_dribbles_is_given_up(sqlite, monkeypatch):
    monkeypatch.setattr("hub.web.front.BODY_S", 0.05)
    monkeypatch.setattr("hub.web.front.GLANCE_S", 0.01)

    class Dribbling(Protocol):
        async def __call__(self):
            await asyncio.sleep(60)

    hub = make_hub(sqlite, "lane")
    front, protocol = Front(create_app(hub)), Dribbling(None)
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/webhooks/shop", "CONTENT_LENGTH": "12"}
    asyncio.run(front.__rsgi__(Scope(environ), protocol))
    assert (protocol.sent[0], protocol.sent[2]) == (408, b'{"error":"too_slow"}')
    hub.close()
