"""Deliveries through a real HTTP server: done, tried again, rejected, never lost."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from hub import outbox
from hub.clock import system_clock
from hub.connections import Rate
from hub.outbox import LEASE_S, Filters
from hub.outbox import deliverer as deliverers
from hub.outbox.deliverer import hand_of
from hub.outbox.gather import Bundle


def wait_until(true, timeout_s: float = 10.0) -> None:
    until = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


def alone(job) -> Bundle:
    return Bundle(job=job, params=job.params)


def shown(bench, row: int = 0) -> outbox.Shown:
    with bench.database.read() as tx:
        return outbox.show(tx, str(bench.rows("id")[row]))


def test_a_delivery_is_sent_once_and_its_receipt_is_kept(bench, till):
    delivery = bench.points(120)
    bench.add(delivery)
    deliverer = bench.deliverer()
    assert deliverer.run_once() == 1
    assert deliverer.run_once() == 0
    [asked] = till.asked
    assert (asked.method, asked.key, asked.body) == ("PUT", delivery.id, b'{"points":120}')
    assert bench.rows("state", "attempts", "remote_id", "done_at") == [("done", 1, "r1", bench.clock())]


def test_an_attempt_shows_what_was_said_and_no_secret(bench, till):
    secret = "till-access-token-0123456789"
    till.script(
        reply(
            500,
            body=f'{{"error": "{secret} may not"}}'.encode(),
            headers={"Set-Cookie": "a=b", "X-Request": "7"},
        )
    )
    bench.add(bench.points(120))
    bench.deliverer().run_once()

    [tried] = shown(bench).attempts
    assert (tried.n, tried.at, tried.outcome) == (1, bench.clock(), "try_later")
    [call] = tried.exchanges
    assert call.method == "PUT"
    assert call.url == f"{till.url}/customers/c1?token=[redacted]"
    assert call.request_body == b'{"points":120}'
    assert (call.status, call.response_body) == (500, b'{"error": "[redacted] may not"}')
    assert call.response_headers["X-Request"] == "7"
    assert "Set-Cookie" not in call.response_headers
    assert tried.reason == 'HTTP 500: {"error": "[redacted] may not"}'
    with bench.database.read() as tx:
        kept = outbox.queries.unpack(tx.exec_driver_sql("select exchanges from attempt").scalar())
    assert secret not in repr(kept) + repr(bench.rows("reason"))


def reply(status: int, body: bytes = b"{}", **more):
    from types import SimpleNamespace

    return SimpleNamespace(status=status, body=body, headers=more.get("headers", {}))


def test_a_failed_delivery_is_tried_again_with_the_same_key(bench, till):
    till.script(500, 429, 200)
    bench.add(bench.saying("hello"))
    deliverer = bench.deliverer()
    for _ in range(3):
        deliverer.run_once()
        bench.clock.on(3600)
    assert len(till.keys) == 3
    assert len(set(till.keys)) == 1
    assert [tried.outcome for tried in shown(bench).attempts] == ["try_later", "try_later", "delivered"]
    assert bench.rows("state", "attempts", "reason") == [("done", 3, "")]


def test_retry_after_is_waited_for(bench, till):
    till.script(reply(429, headers={"Retry-After": "1800"}), reply(200))
    bench.add(bench.saying("hello"))
    deliverer = bench.deliverer()
    deliverer.run_once()
    [next_at] = bench.rows("next_at")
    assert timedelta(seconds=1800) <= next_at - bench.clock() <= timedelta(seconds=1805)
    bench.clock.on(1799)
    assert deliverer.run_once() == 0
    bench.clock.on(6)
    assert deliverer.run_once() == 1


def test_a_delivery_that_always_fails_becomes_a_dead_letter(bench, till):
    till.script(503)
    bench.add(bench.saying("hello"))
    deliverer = bench.deliverer()
    for _ in range(40):
        deliverer.run_once()
        bench.clock.on(100_000)
    assert len(till.asked) == 11
    [(state, attempts, reason)] = bench.rows("state", "attempts", "reason", of="till")
    assert (state, attempts) == ("dead", 11)
    assert reason.startswith("given up after 11 tries: HTTP 503")
    assert [(letter["connection"], letter["action"], letter["attempts"]) for letter in bench.dead] == [
        ("till", "say", 11)
    ]


def test_a_rejected_delivery_is_dead_at_once_and_says_why(bench, till):
    till.script(reply(422, b"no such customer"))
    bench.add(bench.points(120))
    bench.deliverer().run_once()
    assert bench.rows("state", "attempts", "reason") == [("dead", 1, "HTTP 422: no such customer")]
    assert bench.dead[0]["reason"] == "HTTP 422: no such customer"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"action": "dance"}, "Brewline Till has no action 'dance'"),
        ({"params": {"text": 7}}, "the parameters do not fit say: Expected `str`, got `int` - at `$.text`"),
        ({"params": {}}, "the parameters do not fit say: Object missing required field `text`"),
    ],
)
def test_a_delivery_that_cannot_be_made_is_dead_at_once(bench, till, changes, reason):
    bench.add(bench.saying("hello", **changes))
    bench.deliverer().run_once()
    assert bench.rows("state", "reason") == [("dead", reason)]
    assert till.asked == []


def test_a_fault_of_the_connector_is_tried_again_and_logged_without_secrets(bench, capsys):
    bench.add(bench.saying("hello", action="stumble"))
    bench.deliverer().run_once()
    assert bench.rows("state", "reason") == [
        ("ready", "the connector failed: KeyError: 'no such thing as [redacted]'")
    ]
    logged = capsys.readouterr().out
    assert "delivery_error" in logged
    assert "till-access-token" not in logged


def test_a_platform_that_does_not_answer_is_tried_again(bench):
    bench.connect("till", api_base="http://127.0.0.1:1")
    bench.add(bench.saying("hello"))
    bench.deliverer().run_once()
    assert bench.rows("state", "reason") == [("ready", "no answer: ConnectionError")]
    [call] = shown(bench).attempts[0].exchanges
    assert call.status == 0
    assert "Connection refused" in call.error


def test_an_address_that_is_not_allowed_is_a_dead_letter(bench):
    bench.connect("till", api_base="http://169.254.169.254")
    bench.add(bench.saying("hello"))
    bench.deliverer().run_once()
    [(state, reason)] = bench.rows("state", "reason")
    assert state == "dead"
    assert reason == (
        "the address is not allowed: 169.254.169.254 is 169.254.169.254, which is not public and not in "
        "outgoing.allow_private"
    )


def test_when_the_outcome_cannot_be_written_the_row_is_sent_again_with_the_same_key(bench, till, monkeypatch):
    bench.add(bench.saying("hello"))
    deliverer = bench.deliverer()
    with monkeypatch.context() as patched:
        patched.setattr(deliverers, "record", lambda *_: 1 / 0)
        deliverer.run_once()
    assert bench.rows() == ["sending"]
    bench.clock.on(LEASE_S + 1)
    deliverer.run_once()  # takes the row back
    bench.clock.on(10)
    deliverer.run_once()
    assert bench.rows("state", "attempts") == [("done", 2)]
    assert len(till.keys) == 2
    assert len(set(till.keys)) == 1


def test_one_bad_outcome_does_not_take_the_others_with_it(bench, till, monkeypatch):
    bench.add(*(bench.saying(f"{n}") for n in range(5)))
    deliverer = bench.deliverer()
    written = deliverers.record

    def picky(connection, outcomes, *rest):
        if any(outcome.job.params["text"] == "3" for outcome in outcomes):
            raise ValueError("poison")
        return written(connection, outcomes, *rest)

    monkeypatch.setattr(deliverers, "record", picky)
    deliverer._settle([outcome for job in deliverer._claim() for outcome in deliverer._try(alone(job))])
    assert Counter(bench.rows()) == {"done": 4, "sending": 1}


def test_a_null_character_in_an_answer_can_be_kept(bench, till):
    till.script(reply(400, b"a\0b"))
    bench.add(bench.saying("hello"))
    bench.deliverer().run_once()
    assert bench.rows("state", "reason") == [("dead", "HTTP 400: ab")]


def test_a_job_with_little_of_its_lease_left_is_given_back(bench, till):
    bench.add(bench.saying("hello"))
    deliverer = bench.deliverer()
    [job] = deliverer._claim()
    bench.clock.on(LEASE_S - 29)
    deliverer._settle(deliverer._try(alone(job)))
    assert till.asked == []
    assert bench.rows("state", "attempts") == [("ready", 0)]
    assert deliverer.run_once() == 1


def test_threads_deliver_everything_once_and_stop(bench, till):
    deliveries = [bench.saying(f"{n}", created_at=datetime.now(UTC)) for n in range(200)]
    deliverer = bench.deliverer(clock=system_clock)
    deliverer.start()
    bench.add(*deliveries)
    deliverer.wake()
    wait_until(lambda: Counter(bench.rows()) == {"done": 200})
    assert deliverer.stop(timeout_s=10)
    assert sorted(till.keys) == sorted(delivery.id for delivery in deliveries)


def test_threads_gather_what_is_in_hand_and_lose_nothing(storm):
    storm.add(*(storm.saying(f"n{n}") for n in range(192)))
    deliverer = storm.deliverer(clock=system_clock)
    deliverer.start()
    wait_until(lambda: Counter(storm.rows()) == {"done": 200})
    assert deliverer.stop(timeout_s=10)
    assert Counter(storm.rows()) == {"done": 200}
    texts = [text for asked in storm.till.asked for text in json.loads(asked.body)["text"].split("\n")]
    assert sorted(texts) == sorted([*(f"m{n}" for n in range(8)), *(f"n{n}" for n in range(192))])
    assert len(storm.till.asked) < 200


def test_a_stop_finishes_the_calls_under_way_and_gives_back_the_rest(bench, till):
    answering = threading.Event()

    def slowly(_asked):
        answering.wait(5)
        return reply(200)

    till.answer = slowly
    bench.connect("till", concurrency=2)
    bench.add(*(bench.saying(f"{n}", created_at=datetime.now(UTC)) for n in range(10)))
    deliverer = bench.deliverer(clock=system_clock)
    deliverer.start()
    wait_until(lambda: len(till.asked) == 2)
    threading.Timer(0.2, answering.set).start()
    assert deliverer.stop(timeout_s=10)
    assert Counter(bench.rows("state", "attempts")) == {("done", 1): 2, ("ready", 0): 8}


def test_two_deliverers_share_the_work_and_send_nothing_twice(bench, till):
    deliveries = [bench.points(n, customer=f"c{n}", created_at=datetime.now(UTC)) for n in range(150)]
    bench.add(*deliveries)
    pair = [bench.deliverer(clock=system_clock) for _ in range(2)]
    for deliverer in pair:
        deliverer.start()
    wait_until(lambda: Counter(bench.rows()) == {"done": 150})
    assert all(deliverer.stop(timeout_s=10) for deliverer in pair)
    assert sorted(till.keys) == sorted(delivery.id for delivery in deliveries)


@pytest.mark.parametrize(
    ("rate", "call_ms", "rows"),
    [
        (Rate(1000, 1000), None, 64),  # 16 for each of four threads, as long as nothing is known
        (Rate(1000, 1000), 2000, 64),
        (Rate(1000, 1000), 25, 160),  # 40 calls of a thread take a second
        (Rate(1000, 1000), 0, 256),
        (Rate(2, 5), 0, 15),  # what the rate lets out in five seconds: 5 + 2 * 5
        (Rate(0.1, 1), 0, 1),
    ],
)
def test_no_more_rows_are_in_hand_than_can_go_out_soon(small_bench, rate, call_ms, rows):
    assert hand_of(small_bench.connect("till", rate=rate, concurrency=4), call_ms) == rows


def test_a_plugin_that_fails_stops_nothing(small_bench, till):
    till.script(400)
    small_bench.add(small_bench.saying("a"), small_bench.saying("b"))
    deliverer = small_bench.deliverer()
    deliverer._on_dead = lambda _letter: 1 / 0
    assert deliverer.run_once() == 2
    with small_bench.database.read() as tx:
        assert len(outbox.list_deliveries(tx, Filters(state="dead"))) == 2
