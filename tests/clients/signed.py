"""Signed calls: keys of the three kinds for the clients, and what the origin saw of the calls.

Owns: the keys of this run, which no account anywhere has, and the form in which two ways are compared. Must not know:
any client.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from tests.simulator import Key, KeyKind, Seen, Simulator

VARIABLE = "CLIENT_KEYS"
ON_THE_WIRE = "on the wire"
IN_THE_BODY = "in the body"
_COMPARED = ("content-type", "accept", "x-mbx-apikey", "x-mbx-time-unit")


@cache
def _keys() -> tuple[tuple[Key, str], ...]:
    """Each key as the origin knows it, and what its owner signs with: the secret, or the private key in PEM."""
    secret = secrets.token_hex(32)
    made = [(Key(secrets.token_hex(32), KeyKind.HMAC, secret), secret)]
    private: Mapping[KeyKind, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey] = {
        KeyKind.RSA: rsa.generate_private_key(public_exponent=65537, key_size=2048),
        KeyKind.ED25519: ed25519.Ed25519PrivateKey.generate(),
    }
    for kind, each in private.items():
        public = each.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        own = each.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        made.append((Key(secrets.token_hex(32), kind, public.decode()), own.decode()))
    return tuple(made)


def variables() -> dict[str, str]:
    """The keys for a client's process: for each kind its name and what it signs with."""
    return {VARIABLE: json.dumps({key.kind.value: [key.name, own] for key, own in _keys()})}


def admit(origin: Simulator) -> None:
    """Let the origin know the keys. The clients' clocks go on, also where the origin's stands still."""
    for key, _ in _keys():
        origin.account.add_key(key)
    origin.account.age_clock = time.time


def sent(origin: Simulator) -> list[Seen]:
    """The signed requests that the origin saw, oldest first."""
    return [seen for seen in origin.requests if b"signature=" in seen.target + seen.body]


def told(requests: Sequence[Seen], in_body: Sequence[str]) -> Iterable[tuple[str, Any, str | None]]:
    """(call, answer, error): the requests without time and signature, and whether bodies are where they should be."""
    forms = sorted(map(_form, requests), key=_text)  # some clients send several at once
    yield ON_THE_WIRE, forms, None if requests else "no signed request"
    found = sorted({seen.method for seen in requests if b"signature=" in seen.body})
    yield IN_THE_BODY, found, None if found == sorted(in_body) else f"of {found}, not of {sorted(in_body)}"


def _form(seen: Seen) -> Mapping[str, str]:
    headers = {name: value for name, value in seen.headers.items() if name in _COMPARED}
    target, body = (_masked(part.decode("latin-1")) for part in (seen.target, seen.body))
    return {"method": seen.method, "target": target, "body": body, **headers}


def _masked(text: str) -> str:
    return re.sub(r"\b(timestamp|signature)=[^&]*", r"\1=", text)


def _text(form: Mapping[str, str]) -> str:
    return json.dumps(form, sort_keys=True)  # some clients send their headers in any order
