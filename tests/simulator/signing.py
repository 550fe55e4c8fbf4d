"""Who signed a request: keys, signatures over the bytes as received, and the age of a request.

Owns the three kinds of signatures and the order of the checks (request security in rest-api.md). Must not know
accounts, endpoints or HTTP.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from urllib.parse import unquote_to_bytes

from tests.simulator.endpoints import Values
from tests.simulator.rules import Refused

_SIGNATURE = b"signature="
_KEY_FORM = re.compile(r"[A-Za-z0-9_-]{1,128}")
_NOT_SENT = "Mandatory parameter '{}' was not sent, was empty/null, or malformed."


class KeyKind(Enum):
    """How the owner of a key signs."""

    HMAC = "HMAC"
    RSA = "RSA"
    ED25519 = "ED25519"


@dataclass(frozen=True, slots=True)
class Key:
    """An API key. `secret` is the shared secret of HMAC, or the public key in PEM."""

    name: str
    kind: KeyKind
    secret: str


def split_signature(raw_query: bytes, body: bytes) -> tuple[bytes, list[bytes]]:
    """The bytes that are signed (the query's, then the body's, both without signature), and the signatures found."""
    payload, found = b"", []
    for part in (raw_query, body):
        pieces = part.split(b"&")
        found += [piece.removeprefix(_SIGNATURE) for piece in pieces if piece.startswith(_SIGNATURE)]
        payload += b"&".join(piece for piece in pieces if not piece.startswith(_SIGNATURE))
    return payload, found


def is_signed_by(key: Key, payload: bytes, signature: bytes) -> bool:
    """Whether this percent-encoded signature is the key's for these bytes."""
    decoded = unquote_to_bytes(signature)
    if key.kind is KeyKind.HMAC:
        expected = hmac.new(key.secret.encode(), payload, hashlib.sha256).hexdigest().encode()
        return hmac.compare_digest(decoded.lower(), expected)
    try:
        return _is_public_key_signature(key, payload, base64.b64decode(decoded, validate=True))
    except binascii.Error:
        return False


def _is_public_key_signature(key: Key, payload: bytes, signature: bytes) -> bool:
    # Loaded here: only the tests of signed requests need the library.
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa  # noqa: PLC0415

    public = serialization.load_pem_public_key(key.secret.encode())
    try:
        if key.kind is KeyKind.RSA and isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, payload, padding.PKCS1v15(), hashes.SHA256())
        elif key.kind is KeyKind.ED25519 and isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(signature, payload)
        else:
            raise ValueError(f"key {key.name} is not of kind {key.kind.value}")
    except InvalidSignature:
        return False
    return True


def check_key(keys: Mapping[str, Key], sent: str | None) -> Key | Refused:
    """The key that X-MBX-APIKEY names."""
    if not sent or not _KEY_FORM.fullmatch(sent):
        return Refused(-2014, "API-key format invalid.", 401)
    return keys.get(sent) or Refused(-2015, "Invalid API-key, IP, or permissions for action.", 401)


def check_signature(key: Key, raw_query: bytes, body: bytes, *, values: Values, now_ms: int) -> Refused | None:
    """None if the request is of the key's owner, and young enough. `values`: parameters of query and body."""
    for name in ("timestamp", "signature"):
        if not values.get(name):
            return Refused(-1102, _NOT_SENT.format(name))
    refused = _check_age(values, now_ms)
    if refused is not None:
        return refused
    payload, found = split_signature(raw_query, body)
    if len(found) != 1:
        return Refused(-1101, "Duplicate values for parameter 'signature'.")
    if not is_signed_by(key, payload, found[0]):
        return Refused(-1022, "Signature for this request is not valid.")
    return None


def _check_age(values: Values, now_ms: int) -> Refused | None:
    if not re.fullmatch(r"\d{1,17}", values["timestamp"], re.ASCII):
        return Refused(-1100, "Illegal characters found in parameter 'timestamp'; legal range is '^[0-9]{1,20}$'.")
    try:
        window = Decimal(values.get("recvWindow") or "5000")
    except InvalidOperation:
        return Refused(-1100, "Illegal characters found in parameter 'recvWindow'; legal range is '^[0-9]{1,20}$'.")
    if window > 60_000:
        return Refused(-1131, "recvWindow must be less than 60000.")
    sent = Decimal(values["timestamp"])
    sent_ms = sent / 1000 if len(values["timestamp"]) > 14 else sent  # microseconds are legal too
    if sent_ms >= now_ms + 1000:
        return Refused(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - sent_ms > window:
        return Refused(-1021, "Timestamp for this request is outside of the recvWindow.")
    return None
