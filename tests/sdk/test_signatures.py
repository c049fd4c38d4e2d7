"""Signature schemes: what passes, what is refused and under which reason."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from hub.sdk import Headers, NotVerified, Webhook
from hub.sdk.signatures import (
    body_digest,
    check_address,
    check_any,
    check_ecdsa,
    check_hmac,
    check_script,
    check_secret,
    check_timestamp,
    decode,
    encode,
    hmac_digest,
    secret_address,
    sign_ecdsa,
    sign_script,
    without_secret,
)

BODY = b'{"order": 88213}'
SECRET, OLD = b"brewline-new", b"brewline-old"
NOW = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
UNIX = int(NOW.timestamp())


def refusal(check, *args, **kwargs) -> str:
    with pytest.raises(NotVerified) as caught:
        check(*args, **kwargs)
    return caught.value.reason


def signature(encoding="hex", algorithm="sha256", secret=SECRET) -> str:
    return encode(hmac_digest(secret, BODY, algorithm), encoding)


def test_the_published_vector_of_hmac_sha256_holds():
    """RFC 4231, test case 2."""
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert hmac_digest(b"Jefe", b"what do ya want for nothing?").hex() == expected
    check_hmac(b"what do ya want for nothing?", expected, [b"Jefe"])


@pytest.mark.parametrize("size", [0, 1, 2046, 2047, 2048, 4094, 4095, 2**16, 2**16 + 1, 200_000])
def test_a_digest_is_of_the_whole_message(size):  # hashed piece by piece
    message = random.Random(size).randbytes(size)
    for algorithm in ("sha1", "sha256", "sha512"):
        assert hmac_digest(SECRET, message, algorithm) == hmac.digest(SECRET, message, algorithm)
    assert body_digest(message) == hashlib.sha256(message).digest()


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize("encoding", ["hex", "base64"])
def test_a_signature_passes_in_every_algorithm_and_encoding(algorithm, encoding):
    digest = hmac.new(SECRET, BODY, getattr(hashlib, algorithm)).digest()
    text = digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()
    check_hmac(BODY, text, [SECRET], algorithm=algorithm, encoding=encoding)
    assert (
        refusal(check_hmac, BODY + b" ", text, [SECRET], algorithm=algorithm, encoding=encoding)
        == "bad_signature"
    )


@pytest.mark.parametrize("secrets", [[SECRET, OLD], [OLD, SECRET], [b"", SECRET]])
def test_any_live_secret_is_good(secrets):
    check_hmac(BODY, signature(), secrets)


@pytest.mark.parametrize("secrets", [[], [b""], [OLD]])
def test_without_the_right_secret_nothing_passes(secrets):
    assert refusal(check_hmac, BODY, signature(), secrets) == "bad_signature"


def test_an_empty_secret_never_verifies_even_its_own_signature():
    assert refusal(check_hmac, BODY, signature(secret=b""), [b""]) == "bad_signature"


@pytest.mark.parametrize(
    ("given", "encoding", "reason"),
    [
        (None, "hex", "missing_signature"),
        ("", "hex", "missing_signature"),
        ("zz", "hex", "malformed_signature"),
        ("abc", "hex", "malformed_signature"),
        (signature().upper(), "hex", "malformed_signature"),
        (signature() + " ", "hex", "malformed_signature"),
        ("ab " * 32, "hex", "malformed_signature"),
        (signature()[:-2], "hex", "bad_signature"),
        (signature() + "00", "hex", "bad_signature"),
        (signature("base64"), "hex", "malformed_signature"),
        (signature("base64").rstrip("="), "base64", "malformed_signature"),
        (signature("base64") + "\n", "base64", "malformed_signature"),
        ("YWJj=ZGVm", "base64", "malformed_signature"),
        ("ï" * 44, "base64", "malformed_signature"),
        ("\udcff", "hex", "malformed_signature"),
        ("\0", "base64", "malformed_signature"),
    ],
)
def test_a_wrong_signature_is_refused_with_its_reason(given, encoding, reason):
    assert refusal(check_hmac, BODY, given, [SECRET], encoding=encoding) == reason


@given(
    text=st.text() | st.binary().map(lambda raw: raw.decode("latin-1")),
    encoding=st.sampled_from(["hex", "base64"]),
)
def test_hostile_text_is_only_ever_refused(text, encoding):
    assert refusal(check_hmac, BODY, text, [SECRET], encoding=encoding) in NotVerified.REASONS


@given(raw=st.binary(min_size=1, max_size=64), encoding=st.sampled_from(["hex", "base64"]))
def test_a_digest_has_one_text_only(raw, encoding):
    """Stray bits in base64, capitals in hex: other texts of the same bytes do not count."""
    text = encode(raw, encoding)
    assert decode(text, encoding) == raw
    alphabet = "0123456789abcdefABCDEF" if encoding == "hex" else "ABwxyz0189+/="
    others = {text[:-1] + last for last in alphabet} | {text + "=", text + " ", " " + text} - {text}
    assert all(decode(other, encoding) != raw for other in others - {text})


def test_one_right_signature_among_several_is_enough():
    def digest(secret):
        return hmac_digest(secret, BODY)

    check_any(["00" * 32, "", "garbage", signature()], digest, [OLD, SECRET], encoding="hex")
    assert refusal(check_any, ["00" * 32, "garbage"], digest, [SECRET], encoding="hex") == "bad_signature"
    assert refusal(check_any, ["", ""], digest, [SECRET], encoding="hex") == "missing_signature"
    assert refusal(check_any, ["garbage", "zz"], digest, [SECRET], encoding="hex") == "malformed_signature"


@pytest.mark.parametrize("unit", ["s", "ms"])
@pytest.mark.parametrize(
    ("age_s", "reason"),
    [(0, None), (300, None), (301, "stale_timestamp"), (-300, None), (-301, "future_timestamp")],
)
def test_a_time_may_lie_five_minutes_off_either_way(age_s, unit, reason):
    text = str((UNIX - age_s) * (1 if unit == "s" else 1000))
    if reason is None:
        check_timestamp(text, NOW, unit=unit)
    else:
        assert refusal(check_timestamp, text, NOW, unit=unit) == reason


def test_the_edge_in_milliseconds_is_exact():
    check_timestamp(str(UNIX * 1000 - 300_000), NOW, unit="ms")
    assert refusal(check_timestamp, str(UNIX * 1000 - 300_001), NOW, unit="ms") == "stale_timestamp"
    assert refusal(check_timestamp, str(UNIX * 1000 + 300_001), NOW, unit="ms") == "future_timestamp"


def test_a_platform_whose_clock_runs_ahead_can_be_let_through():
    check_timestamp(str(UNIX + 86_400), NOW, allow_future=True)
    assert refusal(check_timestamp, str(UNIX - 301), NOW, allow_future=True) == "stale_timestamp"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "missing_timestamp"),
        ("", "missing_timestamp"),
        ("yesterday", "malformed_timestamp"),
        (f" {UNIX}", "malformed_timestamp"),
        (f"+{UNIX}", "malformed_timestamp"),
        (f"-{UNIX}", "malformed_timestamp"),
        (f"{UNIX}.0", "malformed_timestamp"),
        ("1_000", "malformed_timestamp"),
        ("\u0661\u0667\u0660\u0660", "malformed_timestamp"),
        ("²", "malformed_timestamp"),
        ("9" * 17, "malformed_timestamp"),
        ("9" * 16, "future_timestamp"),
        ("0", "stale_timestamp"),
    ],
)
def test_a_wrong_time_is_refused_with_its_reason(text, reason):
    assert refusal(check_timestamp, text, NOW) == reason


@given(text=st.text())
def test_hostile_time_is_only_ever_refused(text):
    assert refusal(check_timestamp, text, NOW) in NotVerified.REASONS


def test_a_body_is_known_by_its_sha256():
    assert body_digest(b"abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_refusal_has_a_known_reason_or_is_a_bug():
    with pytest.raises(ValueError, match="is not one of"):
        NotVerified("because")


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ("a-shared-secret", None),
        ("an-older-secret", None),
        ("another-secret", "bad_signature"),
        ("a-shared-secret ", "bad_signature"),
        ("sécret-\udcff", "bad_signature"),
        ("", "missing_signature"),
        (None, "missing_signature"),
    ],
)
def test_a_secret_sent_along_is_compared_whole(sent, reason):
    live = [b"a-shared-secret", b"an-older-secret", b""]
    if reason is None:
        check_secret(sent, live)
        return
    with pytest.raises(NotVerified) as refused:
        check_secret(sent, live)
    assert refused.value.reason == reason


ADDRESS = "https://points.example.com/webhooks/crm"


@pytest.mark.parametrize("secret", [b"a-long-secret", b"s p/a&c=e+\xc3\xa9"])
def test_a_secret_can_be_part_of_the_address(secret):
    for url in (ADDRESS, f"{ADDRESS}?event=sale"):
        check_address(secret_address(url, secret), [b"newer", secret])


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("", "missing_signature"),
        ("?secret=", "missing_signature"),
        ("?other=a-long-secret", "missing_signature"),
        ("?secret=a-long-secret&secret=guess", "missing_signature"),  # which of the two?
        ("?secret=guess", "bad_signature"),
        ("?secret=a-long-secret%00", "bad_signature"),
        ("?secret=%ff", "bad_signature"),
    ],
)
def test_an_address_without_the_secret_is_refused(query, reason):
    assert refusal(check_address, ADDRESS + query, [b"a-long-secret"]) == reason


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (ADDRESS, ADDRESS),
        (f"{ADDRESS}?event=sale", f"{ADDRESS}?event=sale"),
        (f"{ADDRESS}?secret=a%20b&event=sale", f"{ADDRESS}?secret=***&event=sale"),
        (f"{ADDRESS}?event=sale&secret=a&secret=b", f"{ADDRESS}?event=sale&secret=***&secret=***"),
        (f"{ADDRESS}?nosecret=a", f"{ADDRESS}?nosecret=a"),
    ],
)
def test_a_secret_in_an_address_is_struck_out_before_it_is_kept(url, shown):
    assert without_secret(url) == shown


# Elliptic curves.


def pair() -> tuple[bytes, bytes]:
    """Return a private and a public key in base64."""
    private = ec.generate_private_key(ec.SECP256R1())
    inside = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    outside = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(inside), base64.b64encode(outside)


PRIVATE, PUBLIC = pair()
_, STRANGER = pair()
PEM = b"-----BEGIN PUBLIC KEY-----\n" + PUBLIC[:64] + b"\n" + PUBLIC[64:] + b"\n-----END PUBLIC KEY-----\n"
RSA = b"MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAK7ttYaE/1ldsb0OJQDQhhDWqwuFWIyt7xgIJH1HYA7WqlkBCYzkwd1CMhYdOgXXgYL1vDbVmkOt/UbGbWSjGYMCAwEAAQ=="


@pytest.mark.parametrize("keys", [[PUBLIC], [PEM], [PRIVATE], [STRANGER, PUBLIC], [b"no key", RSA, PUBLIC]])
def test_a_curves_signature_passes_with_any_live_key(keys):
    check_ecdsa(BODY, sign_ecdsa(BODY, PRIVATE), keys)


@pytest.mark.parametrize(
    ("signature", "keys", "reason"),
    [
        (sign_ecdsa(BODY, PRIVATE), [STRANGER], "bad_signature"),
        (sign_ecdsa(BODY, PRIVATE), [], "bad_signature"),
        (sign_ecdsa(BODY, PRIVATE), [b"", b"no key", RSA], "bad_signature"),
        (sign_ecdsa(BODY + b" ", PRIVATE), [PUBLIC], "bad_signature"),
        ("AAAA", [PUBLIC], "bad_signature"),  # base64, but no pair of numbers
        ("!!!", [PUBLIC], "malformed_signature"),
        ("", [PUBLIC], "missing_signature"),
        (None, [PUBLIC], "missing_signature"),
    ],
    ids=["stranger", "no key", "no good key", "other body", "no pair", "no base64", "empty", "none"],
)
def test_a_curves_wrong_signature_is_refused_with_its_reason(signature, keys, reason):
    with pytest.raises(NotVerified, match=reason):
        check_ecdsa(BODY, signature, keys)


@pytest.mark.parametrize("key", [PUBLIC, b"", b"no key"])
def test_without_a_private_key_nothing_is_signed(key):
    assert sign_ecdsa(BODY, key) == ""


@pytest.mark.parametrize(
    ("age_s", "changes", "reason"),
    [
        (0, {}, ""),
        (300, {}, ""),
        (301, {}, "stale_timestamp"),
        (0, {"X-Hub-Timestamp": ""}, "missing_timestamp"),
        (0, {"X-Hub-Timestamp": str(int(NOW.timestamp()) - 1)}, "bad_signature"),
        (0, {"X-Hub-Signature": ""}, "missing_signature"),
        (0, {"X-Hub-Signature": "v2=00"}, "malformed_signature"),
    ],
)
def test_a_script_of_our_documentation_signs_time_and_body(age_s, changes, reason):
    sent = Webhook("POST", "https://points.example.com/webhooks/sheet", Headers({}), BODY, NOW)
    headers = Headers({**sign_script(sent, SECRET), **changes})
    came = replace(sent, headers=headers, received_at=NOW + timedelta(seconds=age_s))
    with pytest.raises(NotVerified, match=reason) if reason else nullcontext():
        check_script(came, [OLD, SECRET])
