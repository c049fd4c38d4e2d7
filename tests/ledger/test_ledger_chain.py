"""The chain's encoding is for good: what it gives today it has to give for ever."""

from __future__ import annotations

from hashlib import sha256

from hub.ledger.chain import Sealed, request_hash

SEALED = Sealed(
    seq=2,
    key="settle:shop:refund/7",
    request_hash="ab" * 32,
    kind="reverse",
    occurred_at=1772355600000000,
    posted_at=1772355600000001,
    reverses="earn:shop:order/1",
    cause="shop/evt_9/0",
    program_version="c0ffee",
    actor="",
    reason="R\u00f6stung \u201ekr\u00e4ftig\u201c / \U0001f331 <&>\t",
    legs=[(0, "member", "beans", "active", -5), (1, "programme", "beans", "reversed", 5)],
    lots=[("settle:shop:refund/7#0", "beans", 5, 1772355600000000, -1)],
    awards=[(0, "base", "beans", -5, -5)],
    moves=[(0, "earn:shop:order/1#0", "active", -5)],
    deadline=1772355600000002,
)
WRITTEN = (
    '[2,"settle:shop:refund/7","'
    + "ab" * 32
    + '","reverse",1772355600000000,1772355600000001,"earn:shop:order/1",'
    '"shop/evt_9/0","c0ffee","","R\u00f6stung \u201ekr\u00e4ftig\u201c / \U0001f331 <&>\\t",'
    '[[0,"member","beans","active",-5],[1,"programme","beans","reversed",5]],'
    '[["settle:shop:refund/7#0","beans",5,1772355600000000,-1]],[[0,"base","beans",-5,-5]],'
    '[[0,"earn:shop:order/1#0","active",-5]],1772355600000002]'
)


def test_a_posting_is_sealed_as_this_text_and_the_hash_before_it():
    assert SEALED.hash(b"") == sha256(WRITTEN.encode()).digest()
    assert SEALED.hash(b"\x01" * 32) == sha256(WRITTEN.encode() + b"\x01" * 32).digest()


def test_a_request_s_hash_does_not_depend_on_the_order_of_keys():
    assert request_hash([1, {"a": 1, "b": None}]) == request_hash([1, {"b": None, "a": 1}])
    assert request_hash([1, {"a": 1}]) == sha256(b'[1,{"a":1}]').digest()
