"""The comparison of signed calls: what is equal about them, and what the origin must have got."""

from __future__ import annotations

import json

from tests.clients import signed
from tests.simulator import Seen, Simulator


def seen(method: str, target: str, body: bytes = b"", **headers: str) -> Seen:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Seen(0.0, method, target.partition("?")[0], target.partition("?")[2], names, 200, 1, target, body)


QUERY = seen("GET", "/api/v3/order?a=%7e&timestamp=1&signature=x", x_mbx_apikey="k", user_agent="bot")
BODY = seen("DELETE", "/api/v3/order", b"timestamp=2&a=1&signature=y", content_type="text/plain")


def test_time_and_signature_are_left_out_and_nothing_else_of_the_bytes() -> None:
    (_, forms, error), _ = signed.told([QUERY, BODY], ["DELETE"])
    assert error is None
    assert forms == [
        {"method": "GET", "target": "/api/v3/order?a=%7e&timestamp=&signature=", "body": "", "x-mbx-apikey": "k"},
        {
            "method": "DELETE",
            "target": "/api/v3/order",
            "body": "timestamp=&a=1&signature=",
            "content-type": "text/plain",
        },
    ]


def test_bodies_must_be_where_the_client_puts_them() -> None:
    assert [error for _, _, error in signed.told([QUERY, BODY], ["DELETE"])] == [None, None]
    assert [error for _, _, error in signed.told([QUERY, BODY], [])] == [None, "of ['DELETE'], not of []"]
    assert [error for _, _, error in signed.told([], [])] == ["no signed request", None]


async def test_the_origin_knows_the_keys_that_the_clients_get() -> None:
    async with Simulator(clock=lambda: 1_790_000_000.0) as origin:
        signed.admit(origin)
        keys = json.loads(signed.variables()[signed.VARIABLE])
        assert {origin.account.keys[name].kind.value for name, _ in keys.values()} == {"HMAC", "RSA", "ED25519"}
        assert origin.account.age_clock is not None
