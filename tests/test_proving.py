"""Every night the ledger is proved, once, and who wants to hear of trouble hears what does not hold."""

from __future__ import annotations

import sys
import time

import pytest
import sqlalchemy as sa
from helpers import make_hub, url_of

from hub.doctor import examine
from hub.proving import prove_due
from hub.storage.tables import balance, cursor, outbox

TEAM = """
  team:
    connector: slack
    secrets: [slack-signing-secret-of-the-test]
    settings: {webhook_url: "https://hooks.slack.com/services/T/B/x"}
    outbound: false
"""


@pytest.fixture
def bench(tmp_path, database):
    made = make_hub(tmp_path, url_of(database), TEAM, extra="alerts: team\n")
    prove_due(made.hub)
    yield made
    made.hub.close()


def night(bench) -> bool:
    """Let a night pass; return whether a proof began, and wait for its end."""
    bench.clock.move(days=1)
    prove_due(bench.hub)
    began = bench.hub.proof is not None
    give_up = time.monotonic() + 120
    while bench.hub.proof is not None and time.monotonic() < give_up:
        time.sleep(0.05)
        prove_due(bench.hub)
    assert bench.hub.proof is None
    return began


def doctor(bench) -> list[tuple[str, str]]:
    """Return what `hub doctor` says of the ledger."""
    rows = examine(bench.hub.config.path, offline=True, clock=bench.clock)
    return [(row.state, row.said) for row in rows if row.what == "ledger"]


def told(bench) -> list[str]:
    with bench.hub.database.read() as tx:
        return [params["text"] for params in tx.scalars(sa.select(outbox.c.params).order_by(outbox.c.id))]


def test_a_sound_ledger_is_proved_every_night_without_a_word(bench):
    assert bench.hub.proof is None  # on its first day there is nothing to prove
    assert doctor(bench) == [("ok", "it is proved every night; no proof has ended yet")]
    assert night(bench)
    ((state, said),) = doctor(bench)
    assert (state, said.endswith(" found nothing wrong")) == ("ok", True)
    prove_due(bench.hub)
    assert bench.hub.proof is None  # once a day
    assert told(bench) == []


def test_what_does_not_hold_is_told(bench):
    with bench.hub.database.write() as tx:
        row = {"member": "0190aaaa-0000-7000-8000-000000000001", "wallet": "beans"}
        tx.execute(balance.insert().values(**row, pending=0, active=7, held=0, debt=0))
    assert night(bench)
    (text,) = told(bench)
    assert text.startswith("The ledger does not add up: ")
    assert text.endswith("Look at it with `hub ledger verify`.")
    ((state, said),) = doctor(bench)
    assert (state, said.endswith(" things that do not hold")) == ("bad", True)


def test_a_day_is_proved_by_one_process(bench, monkeypatch):
    """Another one that keeps house was there before."""
    with bench.hub.database.write() as tx:
        tx.execute(cursor.update().where(cursor.c.name == "proved").values(position=cursor.c.position + 1))
    assert not night(bench)


def test_a_proof_that_cannot_be_made_is_told_too(bench):
    file = bench.hub.config.path
    file.write_text(file.read_text().replace("connector: slack", "connector: slick"))
    assert night(bench)
    (text,) = told(bench)
    assert text.startswith("The ledger could not be proved: ")


def test_a_process_that_ends_as_one_with_findings_does_but_tells_of_none_has_proved_nothing(
    bench, monkeypatch
):
    """`hub` also ends with 1 where the database does not answer."""
    command = [
        sys.executable,
        "-c",
        "import sys; print('hub: the database does not answer: gone'); sys.exit(1)",
    ]
    monkeypatch.setattr("hub.proving.command", lambda _path: command)
    assert night(bench)
    (text,) = told(bench)
    assert text.startswith("The ledger could not be proved: hub: the database does not answer")
    ((state, said),) = doctor(bench)
    assert (state, said.endswith(" could not be made")) == ("bad", True)
