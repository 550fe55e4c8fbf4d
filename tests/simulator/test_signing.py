"""Signatures by known vectors, and the age of a request. Must not know the gateway."""

from __future__ import annotations

import pytest

from tests.simulator import Key, KeyKind
from tests.simulator.rules import Refused, parse_query
from tests.simulator.signing import check_key, check_signature, is_signed_by, split_signature

NOW_MS = 1_790_000_110_000
# The example key of the spot documents (request security): published there, and of no account.
HMAC = Key("documented", KeyKind.HMAC, "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j")
QUERY = b"symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC"
BODY = b"quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
# RFC 8032, 7.1, test 3; the key as PEM.
ED25519 = Key(
    "rfc8032",
    KeyKind.ED25519,
    "-----BEGIN PUBLIC KEY-----\n"
    "MCowBQYDK2VwAyEA/FHNjmIYoaONpH7QAjDwWAgW7RO6MwOsXeuRFUiQgCU=\n"
    "-----END PUBLIC KEY-----\n",
)
ED25519_SIGNATURE = b"YpHWV97sJAJIJ%2BacOr4BowzlSKKEdDpEXjaA19taw6wY%2F5tTjRbykK5n92CYTcZZSnwV6XFu0o3AJ77O6h7ECg%3D%3D"
# Signed with `openssl dgst -sha256 -sign`; the private key was thrown away.
RSA = Key(
    "openssl",
    KeyKind.RSA,
    """-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAlMicLd0kNRo20IXP48tu
Hz5LU+f05xog1IsiPLbPDE/PV9RrW8Q65S7O36XzaAwz8tM/w7vBDWyHJFiQOILP
HUAfg+55yBI2ZMLpiN6uUFt+IRc4Ugw+0G7D7uRg/HLobcvsrFFSxoxV/1aRrW/M
mh/bDRj4IcQS3mucM7d9WuiEnwc3GHxS0EsLG2hr1hdXyFb5xS+WKrYULFJ3cX6W
juyAzBtYTLlEQ7pl/XA/I5a5cUQOAw0/UNVGZ/gM+UYJC2H+XqfNHCCgxgcSxxn+
RxzKKUY2iTngh3yZryDUIcjr0H3uY2Ed4HOZU4tnLh5yA0cAR4V+Ho+z/eb6kQC2
rQIDAQAB
-----END PUBLIC KEY-----
""",
)
RSA_PAYLOAD = b"symbol=BTCUSDT&side=BUY&timestamp=1790000110000"
RSA_SIGNATURE = (
    b"UQ9F0ImxXRgA+E37nygxWAyAYh3B5SfXpCMuKLvBMJ0ydWAcEovbz8DKq9p8zgsmSaaK281nl+PvIT7jZjesZmJYQ+9pIulj4l3x9Fp6ewSZ"
    b"n/FIJCDpk5/1ECmLHE8nCEgfxXiLF4Ea40Fbp/mYUOvWWBX/zAT8uHV2wQxEzrxZL1RjRYbqAyOgXjajALXKnH/U5hBW8d01XBA9X2QX82W+"
    b"/+vQS8pbVZ/ILr0mpyqMChPvsGmtPdxrf8Bea5D6z7IT0gsjA0qvu/USqoqCdpakFKSWv2VPGyQBnS7lbUTILXOLWI/0L/U6oFMv5pXoOjt6"
    b"BuXjpKrnqTMz/Jx6GA=="
)


@pytest.mark.parametrize(
    ("key", "payload", "signature"),
    [
        (HMAC, QUERY + b"&" + BODY, b"c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"),
        (HMAC, QUERY + BODY, b"0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77"),
        (ED25519, b"\xaf\x82", ED25519_SIGNATURE),
        (RSA, RSA_PAYLOAD, RSA_SIGNATURE),
        (RSA, RSA_PAYLOAD, RSA_SIGNATURE.replace(b"+", b"%2B").replace(b"/", b"%2f")),
    ],
)
def test_a_known_signature_is_good_for_its_bytes_only(key: Key, payload: bytes, signature: bytes) -> None:
    assert is_signed_by(key, payload, signature)
    assert not is_signed_by(key, payload + b"&", signature)
    assert not is_signed_by(key, payload, signature[:-6] + b"AAAA==")
    assert not is_signed_by(key, payload, b"not base64 at all")


@pytest.mark.parametrize(
    ("query", "body", "payload", "signatures"),
    [
        (b"a=1&signature=x", b"", b"a=1", [b"x"]),
        (b"", b"a=%7e&signature=x", b"a=%7e", [b"x"]),
        (b"a=1", b"b=%2B&signature=x", b"a=1b=%2B", [b"x"]),
        (b"signature=x&a=[1]", b"", b"a=[1]", [b"x"]),
        (b"a=1&signature=x", b"signature=y", b"a=1", [b"x", b"y"]),
        (b"a=1", b"", b"a=1", []),
    ],
)
def test_the_signed_bytes_are_those_received_without_the_signature(
    query: bytes, body: bytes, payload: bytes, signatures: list[bytes]
) -> None:
    assert split_signature(query, body) == (payload, signatures)


@pytest.mark.parametrize(("sent", "code"), [(None, -2014), ("", -2014), ("no key", -2014), ("unknown", -2015)])
def test_a_key_must_be_known(sent: str | None, code: int) -> None:
    refused = check_key({HMAC.name: HMAC}, sent)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.status) == (code, 401)
    assert check_key({HMAC.name: HMAC}, HMAC.name) is HMAC


def checked(query: str) -> tuple[int, str] | None:
    values = dict(parse_query(query))
    refused = check_signature(HMAC, query.encode(), b"", values=values, now_ms=NOW_MS)
    return None if refused is None else (refused.code, refused.text)


OUTSIDE = (-1021, "Timestamp for this request is outside of the recvWindow.")
AHEAD = (-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
UNSIGNED = (-1022, "Signature for this request is not valid.")
NOT_SENT = "Mandatory parameter '{}' was not sent, was empty/null, or malformed."


@pytest.mark.parametrize(
    ("query", "refused"),
    [
        ("signature=00", (-1102, NOT_SENT.format("timestamp"))),
        (f"timestamp={NOW_MS}", (-1102, NOT_SENT.format("signature"))),
        (f"timestamp={NOW_MS}&signature=00", UNSIGNED),
        (f"timestamp={NOW_MS}000&signature=00", UNSIGNED),
        (f"timestamp={NOW_MS + 999}&signature=00", UNSIGNED),
        (f"timestamp={NOW_MS + 1000}&signature=00", AHEAD),
        (f"timestamp={NOW_MS - 5000}&signature=00", UNSIGNED),
        (f"timestamp={NOW_MS - 5001}&signature=00", OUTSIDE),
        (f"timestamp={NOW_MS - 5001}&recvWindow=6000.123&signature=00", UNSIGNED),
        (f"timestamp={NOW_MS}&recvWindow=60001&signature=00", (-1131, "recvWindow must be less than 60000.")),
        (f"timestamp={NOW_MS}&signature=00&signature=00", (-1101, "Duplicate values for parameter 'signature'.")),
    ],
)
def test_a_request_must_be_young_and_signed(query: str, refused: tuple[int, str]) -> None:
    assert checked(query) == refused
