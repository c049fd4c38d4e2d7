"""OAuth tokens: one refresh at a time, stored before use, unreadable in the database."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
import sqlalchemy as sa

from hub.outbox import OAuthTokens
from hub.sdk import Rejected, Token, TryLater
from hub.storage.tables import oauth_token

KEY = "a-secret-key-of-hub-yaml"


class Platform:
    """Gives out rotating pairs: a refresh token works once."""

    def __init__(self, clock, seed: str = "seed-1", life_s: int = 3600) -> None:
        self.clock = clock
        self.good = seed
        self.life = timedelta(seconds=life_s)
        self.calls: list[str] = []

    def refresh(self, token: str) -> Token:
        self.calls.append(token)
        if token != self.good:
            raise Rejected("invalid_grant", 400)
        n = len(self.calls)
        self.good = f"refresh-{n}"
        return Token(f"access-{n}", self.good, self.clock() + self.life)


@pytest.fixture
def platform(clock) -> Platform:
    return Platform(clock)


def tokens_of(bench, seed: str = "seed-1", key: str = KEY):
    """Return the tokens as a process sees them that has just started."""
    return OAuthTokens(bench.database, key, bench.clock).of(bench.connect("books", refresh_token=seed))


def test_the_first_token_comes_from_the_seed_and_is_kept_until_it_is_old(bench, platform):
    tokens = tokens_of(bench)
    assert [tokens.access(platform.refresh) for _ in range(3)] == ["access-1"] * 3
    bench.clock.on(3600 - 61)
    assert tokens.access(platform.refresh) == "access-1"
    bench.clock.on(2)  # a minute before its end
    assert tokens.access(platform.refresh) == "access-2"
    assert platform.calls == ["seed-1", "refresh-1"]


def test_a_refused_token_is_renewed_once_for_all_who_were_refused(bench, platform):
    tokens = tokens_of(bench)
    tokens.access(platform.refresh)
    assert tokens.access(platform.refresh, rejected="access-1") == "access-2"
    assert tokens.access(platform.refresh, rejected="access-1") == "access-2"
    assert len(platform.calls) == 2


def test_a_restart_goes_on_with_the_rotated_pair(bench, platform):
    tokens_of(bench).access(platform.refresh)
    assert tokens_of(bench).access(platform.refresh) == "access-1"
    assert tokens_of(bench).access(platform.refresh, rejected="access-1") == "access-2"


def test_sixteen_threads_of_two_processes_refresh_once(bench, platform):
    processes = [tokens_of(bench)] * 16
    if not bench.database.is_sqlite:
        processes = [tokens_of(bench), tokens_of(bench)] * 8

    def slowly(token: str) -> Token:
        time.sleep(0.1)
        return platform.refresh(token)

    got: list[str] = []
    threads = [threading.Thread(target=lambda t=tokens: got.append(t.access(slowly))) for tokens in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == ["access-1"] * 16
    assert platform.calls == ["seed-1"]


def test_a_process_that_comes_second_uses_what_the_first_one_got(sqlite, small_bench, platform):
    mine, other = tokens_of(small_bench), tokens_of(small_bench)

    def overtaken(token: str) -> Token:
        other.access(platform.refresh)
        return platform.refresh(token)  # rotated by now: refused

    assert mine.access(overtaken) == "access-1"


def test_the_pair_is_stored_before_anybody_uses_it(bench, platform, monkeypatch):
    tokens = tokens_of(bench)
    with monkeypatch.context() as patched:
        patched.setattr(type(bench.database), "read", bench.database.read)
        patched.setattr("hub.outbox.tokens.insert_new", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            tokens.access(platform.refresh)
    # The pair that could not be stored is not lost: the old one is worth nothing any more.
    assert tokens.access(platform.refresh) == "access-1"
    assert platform.calls == ["seed-1"]
    assert tokens_of(bench).access(platform.refresh) == "access-1"


def test_another_seed_in_the_file_counts_from_then_on(bench, platform):
    tokens_of(bench).access(platform.refresh)
    platform.good = "seed-2"
    again = tokens_of(bench, seed="seed-2")
    assert again.access(platform.refresh) == "access-2"
    assert again.access(platform.refresh, rejected="access-2") == "access-3"
    assert platform.calls == ["seed-1", "seed-2", "refresh-2"]


def test_a_refused_refresh_says_what_to_do(bench, platform):
    platform.good = "something else"
    with pytest.raises(Rejected) as caught:
        tokens_of(bench).access(platform.refresh)
    assert caught.value.reason == (
        "Brewline Till refused the refresh token: reconnect books and put the new refresh_token into hub.yaml"
    )
    assert caught.value.status == 401


def test_a_platform_that_is_away_costs_nothing(bench, platform):
    tokens = tokens_of(bench)

    def away(_token: str) -> Token:
        raise TryLater("no answer")

    with pytest.raises(TryLater):
        tokens.access(away)
    assert tokens.access(platform.refresh) == "access-1"


def test_another_secret_key_is_noticed_and_a_new_seed_helps(bench, platform):
    tokens_of(bench).access(platform.refresh)
    with pytest.raises(Rejected, match="put the former secret_key back"):
        tokens_of(bench, key="another").access(platform.refresh)
    platform.good = "seed-2"
    assert tokens_of(bench, seed="seed-2", key="another").access(platform.refresh) == "access-2"


def test_no_token_can_be_read_in_the_database(bench, platform):
    tokens_of(bench).access(platform.refresh)
    with bench.database.read() as tx:
        row = tx.execute(sa.select(oauth_token)).one()
    for text in (b"access-1", b"refresh-1", b"seed-1"):
        assert text not in row.sealed


def test_connections_without_oauth_have_no_tokens(small_bench):
    store = OAuthTokens(small_bench.database, KEY, small_bench.clock)
    assert store.of(small_bench.connect("till")) is None
    assert store.seen(small_bench.connect("till")) == ()


def test_tokens_are_struck_out_like_any_secret(bench, till, platform):
    store = OAuthTokens(bench.database, KEY, bench.clock)
    store.of(bench.connect("till", refresh_token="seed-1")).access(platform.refresh)
    till.answer = lambda _asked: type(
        "R", (), {"status": 400, "body": b"access-1 and refresh-1 and seed-1", "headers": {}}
    )
    bench.add(bench.saying("hello"))
    bench.deliverer(tokens=store).run_once()
    assert bench.rows("reason") == ["HTTP 400: [redacted] and [redacted] and [redacted]"]
