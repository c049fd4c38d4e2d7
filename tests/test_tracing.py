"""One trace id from the webhook to the delivery, across processes: A26 (three hops visible as one trace)."""

from __future__ import annotations

import json
import logging
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import sqlalchemy as sa
import structlog

from hub import logs, pipeline
from hub.ids import born, first_id, is_id, new_id
from hub.sdk import ConfigError, Headers, Webhook
from hub.storage.tables import event, inbox, outbox
from hub.tracing import About, Trace, span_of, valid
from hub.why import why
from tests.helpers import Bench, make_hub, url_of
from tests.outbox.conftest import TillServer, serving

SECRET = "whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="
THEIRS = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def till():
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def quiet_again():
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    root.handlers[:], root.level = before
    structlog.reset_defaults()
    for module in list(sys.modules.values()):  # loggers remember how they were set up when first used
        getattr(vars(module).get("log"), "__dict__", {}).pop("bind", None)


@contextmanager
def hub(folder, database, till: TillServer, tracing: str):
    """A hub that an app tells of purchases, and that tells the same app."""
    bench = make_hub(
        folder / "hub",
        url_of(database),
        f"""
  app:
    connector: standard_webhooks
    secrets: ["{SECRET}"]
    settings: {{url: "{till.url}", signing_secrets: ["{SECRET}"]}}
""",
        extra=f"tracing: {tracing}\noutgoing: {{allow_private: [127.0.0.1]}}\n",
    )
    try:
        yield bench
    finally:
        bench.hub.close()


def buy(bench: Bench, **headers: str) -> None:
    """Let a purchase come, and do all there is to do with it."""
    webhook = bench.webhook("app", "purchase.paid")
    given = Webhook(
        webhook.method,
        webhook.url,
        Headers({**dict(webhook.headers.items()), **headers}),
        webhook.body,
        webhook.received_at,
    )
    pipeline.accept(bench.hub.connections["app"], given, bench.hub.inbox)
    bench.work()
    bench.hub.deliverer.run_once()
    bench.hub.inbox.close()  # its writer has told by then


def lines(capsys) -> dict[str, dict]:
    """The log so far, by action."""
    return {line.get("action"): line for line in map(json.loads, capsys.readouterr().err.splitlines())}


class TestTheHeader:
    def test_a_valid_one_is_kept(self):
        assert valid(THEIRS) == THEIRS
        assert Trace.of("app", "d1", THEIRS)[:1] == ("4bf92f3577b34da6a3ce929d0e0e4736",)
        assert Trace.of("app", "d1", THEIRS).parent == "00f067aa0ba902b7"
        assert Trace.of("app", "d1", THEIRS).sampled

    def test_a_later_version_may_say_more(self):
        assert valid(THEIRS.replace("00-", "01-", 1) + "-what-comes") == THEIRS.replace("00-", "01-", 1)

    @pytest.mark.parametrize(
        "header",
        [
            "",
            "00",
            THEIRS[:-1],
            THEIRS + "-more",  # version 00 has four parts
            THEIRS.replace("00-", "ff-", 1),
            THEIRS.upper(),
            "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
            THEIRS + "\n",
            "x" * 100_000,
        ],
    )
    def test_what_is_none_counts_for_nothing(self, header):
        assert valid(header) == ""

    def test_without_one_every_process_makes_the_same(self):
        assert Trace.of("app", "d1") == Trace.of("app", "d1")
        assert Trace.of("app", "d1") != Trace.of("app", "d2")
        assert len({Trace.of("a", "bc").id, Trace.of("ab", "c").id}) == 2

    def test_ours_is_one_too(self):
        id_ = new_id()
        for again in (0, 1, 2):
            assert valid(Trace.alone(id_).header(span_of(id_, again)))
        assert Trace.of("app", "d1", THEIRS).header("00f067aa0ba902b8") == THEIRS[:-4] + "8-01"


def test_one_trace_id_is_in_every_line_from_webhook_to_delivery(tmp_path, database, till, capsys):
    """A26: the three hops of an automation are one trace."""
    with hub(tmp_path, database, till, "{log: true, send: [app]}") as bench:
        logs.setup("json")
        buy(bench, traceparent=THEIRS)
        told = lines(capsys)
        ids = {told[action]["trace_id"] for action in ("webhook_accepted", "event_settled", "delivery_tried")}
        assert ids == {"4bf92f3577b34da6a3ce929d0e0e4736"}
        assert told["event_settled"]["event_id"] in {id_ for (id_,) in rows(bench, event.c.id)}
        assert told["delivery_tried"]["verdict"] == "delivered"
        [asked] = till.asked
        [delivery] = rows(bench, outbox.c.id)
        assert (
            asked.headers["traceparent"] == f"00-4bf92f3577b34da6a3ce929d0e0e4736-{span_of(delivery[0])}-01"
        )
        assert "trace 4bf92f3577b34da6a3ce929d0e0e4736, which its sender named" in account(bench)


def test_a_trace_id_is_made_where_the_webhook_brings_none(tmp_path, database, till, capsys):
    with hub(tmp_path, database, till, "{log: true}") as bench:
        logs.setup("json")
        buy(bench, traceparent="00-not-one")
        [(delivery_id, headers)] = rows(bench, inbox.c.delivery_id, inbox.c.headers)
        assert "traceparent" not in headers
        told = lines(capsys)
        ids = {told[action]["trace_id"] for action in ("webhook_accepted", "event_settled", "delivery_tried")}
        assert ids == {Trace.of("app", delivery_id).id}
        assert f"trace {Trace.of('app', delivery_id).id}: look" in account(bench)
        assert "traceparent" not in till.asked[0].headers  # nobody said that it may go out


def test_lines_of_what_goes_wrong_have_it_without_being_asked_for(tmp_path, database, till, capsys):
    with hub(tmp_path, database, till, "{}") as bench:
        logs.setup("json")
        till.script(400)
        buy(bench, traceparent=THEIRS)
        told = lines(capsys)
        assert told["delivery_dead"]["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
        assert "webhook_accepted" not in told
        assert "event_settled" not in told


def test_a_parked_event_is_found_by_its_trace(tmp_path, database, till, capsys):
    with hub(tmp_path, database, till, "{}") as bench:
        logs.setup("json")
        bench.send("app", "purchase.paid", {"data.order.net_minor": "much"})
        bench.work()
        [(delivery_id,)] = rows(bench, inbox.c.delivery_id)
        assert lines(capsys)["event_parked"]["trace_id"] == Trace.of("app", delivery_id).id


def test_libraries_lines_carry_the_open_trace(capsys):
    logs.setup("json")
    with About(Trace.of("app", "d1", THEIRS)):
        logging.getLogger("vendor").warning("slow")
    logging.getLogger("vendor").warning("over")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert "trace_id" not in second


def test_ids_tell_when_they_were_made(database):
    id_ = new_id()
    assert is_id(first_id(born(id_)))
    assert first_id(born(id_)) <= id_
    assert born(first_id(born(id_))) == born(id_)


def test_a_connection_that_is_not_there_is_told_by_name(tmp_path, till, sqlite):
    with (
        pytest.raises(ConfigError, match=r"no connection is named 'ap'.*app"),
        hub(tmp_path, sqlite, till, "{send: [ap]}"),
    ):
        pass


class Collector:
    """An OpenTelemetry collector: takes spans over HTTP."""

    def __init__(self) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        self.spans: dict[str, object] = {}
        self.services: set[str] = set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    import gzip

                    body = gzip.decompress(body)
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    named = {a.key: a.value.string_value for a in resource.resource.attributes}
                    collector.services.add(named["service.name"])
                    for scope in resource.scope_spans:
                        collector.spans |= {span.name.split()[0]: span for span in scope.spans}
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_spans_hang_together_at_a_collector(tmp_path, database, till, collector):
    """A26: webhook, event and delivery, each below the other, and the first below its sender's."""
    with hub(tmp_path, database, till, f'{{otlp: "{collector.url}", send: [app]}}') as bench:
        buy(bench, traceparent=THEIRS)
        [(event_id,)] = rows(bench, event.c.id)
    spans = collector.spans
    assert spans.keys() == {"webhook", "event", "delivery"}
    assert {span.trace_id.hex() for span in spans.values()} == {"4bf92f3577b34da6a3ce929d0e0e4736"}
    assert spans["webhook"].parent_span_id.hex() == "00f067aa0ba902b7"
    assert spans["event"].parent_span_id == spans["webhook"].span_id
    assert spans["delivery"].parent_span_id == spans["event"].span_id
    assert spans["event"].span_id.hex() == span_of(event_id)
    assert till.asked[0].headers["traceparent"].split("-")[2] == spans["delivery"].span_id.hex()
    assert collector.services == {"points-hub"}


def test_spans_of_a_trace_of_our_own_begin_with_the_webhook(tmp_path, sqlite, till, collector):
    with hub(tmp_path, sqlite, till, f'{{otlp: "{collector.url}"}}') as bench:
        buy(bench)
    assert collector.spans["webhook"].parent_span_id == b""
    assert collector.spans["event"].parent_span_id == collector.spans["webhook"].span_id


def test_what_its_sender_does_not_keep_we_do_not_send_to_the_collector(tmp_path, sqlite, till, collector):
    with hub(tmp_path, sqlite, till, f'{{otlp: "{collector.url}"}}') as bench:
        buy(bench, traceparent=THEIRS[:-1] + "0")
    assert not collector.spans


def test_nothing_of_opentelemetry_is_imported_unless_it_is_wanted():
    import subprocess

    code = "import sys, hub.web.serving; print([m for m in sys.modules if m.startswith('opentelemetry')])"
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert said.stdout.strip() == "[]"


def account(bench: Bench) -> str:
    [(id_,)] = rows(bench, event.c.id)
    return "\n".join(line.said for line in why(bench.hub, id_))


def rows(bench: Bench, *columns) -> list:
    of_inbox = columns[0].table is inbox
    database = bench.hub.database
    with database.read_inbox() if of_inbox else database.read() as tx:
        return tx.execute(sa.select(*columns)).all()
