"""Signed calls over the socket: what they answer, cost and count, and the bytes that are remembered.

Must not know the gateway.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from tests.simulator import Key, KeyKind, OrderSizes, Simulator
from tests.simulator.account import HMAC_KEY, HMAC_SECRET
from tests.simulator.asking import FakeClock, Received, exchange, get

LIMIT = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=2&price=0.5"
USD = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=2&price=0.5"
COIN = "symbol=BTCUSD_PERP&side=BUY&type=LIMIT&timeInForce=GTC&quantity=2&price=0.5"
FOREVER = "&timestamp=1790000110000"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    sizes = OrderSizes(spot=(3, 4), usd_futures=(2, 4), options=(1, 9))
    async with Simulator(symbols=20, clock=FakeClock(), order_sizes=sizes) as made:
        yield made


async def call(
    simulator: Simulator, method: str, path: str, query: str = "", *, in_body: bool = False, key: str = HMAC_KEY
) -> Received:
    """Signed with the account's HMAC key."""
    signed = (query + FOREVER).lstrip("&")
    signature = hmac.new(HMAC_SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest()
    text = f"{signed}&signature={signature}"
    target, body = (path, text.encode()) if in_body else (f"{path}?{text}", b"")
    return await get(simulator, target, {"X-MBX-APIKEY": key}, method=method, body=body)


def money(answer: Received) -> dict[str, tuple[str, str]]:
    return {row["asset"]: (row["free"], row["locked"]) for row in answer.json["balances"]}


async def test_an_order_lives_on_spot(simulator: Simulator) -> None:
    placed = (await call(simulator, "POST", "/api/v3/order", LIMIT)).json
    assert (placed["status"], placed["price"], placed["origQty"]) == ("NEW", "0.50000000", "2.00000000")
    assert money(await call(simulator, "GET", "/api/v3/account"))["USDT"] == ("999999.00000000", "1.00000000")
    named = f"symbol=BTCUSDT&orderId={placed['orderId']}"
    assert (await call(simulator, "GET", "/api/v3/order", named)).json["clientOrderId"] == placed["clientOrderId"]
    assert len((await call(simulator, "GET", "/api/v3/openOrders")).json) == 1
    cancelled = (await call(simulator, "DELETE", "/api/v3/order", named, in_body=True)).json
    assert (cancelled["status"], cancelled["origClientOrderId"]) == ("CANCELED", placed["clientOrderId"])
    assert money(await call(simulator, "GET", "/api/v3/account"))["USDT"] == ("1000000.00000000", "0.00000000")
    assert (await call(simulator, "GET", "/api/v3/openOrders", "symbol=BTCUSDT")).json == []
    assert len((await call(simulator, "GET", "/api/v3/allOrders", "symbol=BTCUSDT")).json) == 1


async def test_a_market_order_is_filled_at_once(simulator: Simulator) -> None:
    market = "symbol=BTCUSDT&side=SELL&type=MARKET&quantity=1"
    placed = (await call(simulator, "POST", "/api/v3/order", market)).json
    assert (placed["status"], placed["executedQty"], len(placed["fills"])) == ("FILLED", "1.00000000", 1)
    assert money(await call(simulator, "GET", "/api/v3/account"))["BTC"] == ("9.00000000", "0.00000000")
    (trade,) = (await call(simulator, "GET", "/api/v3/myTrades", "symbol=BTCUSDT")).json
    assert (trade["orderId"], trade["isBuyer"]) == (placed["orderId"], False)


async def test_a_cancel_and_replace_takes_the_old_one_away(simulator: Simulator) -> None:
    old = (await call(simulator, "POST", "/api/v3/order", LIMIT)).json["orderId"]
    query = f"{LIMIT.replace('0.5', '0.6')}&cancelReplaceMode=STOP_ON_FAILURE&cancelOrderId={old}"
    done = (await call(simulator, "POST", "/api/v3/order/cancelReplace", query)).json
    assert (done["cancelResult"], done["newOrderResult"]) == ("SUCCESS", "SUCCESS")
    (left,) = (await call(simulator, "GET", "/api/v3/openOrders")).json
    assert left["price"] == "0.60000000"
    again = await call(simulator, "POST", "/api/v3/order/cancelReplace", query)
    assert (again.status, again.json["code"]) == (400, -2022)


@pytest.mark.parametrize(
    ("method", "path", "query", "code"),
    [
        ("POST", "/api/v3/order", LIMIT.replace("quantity=2", "quantity=99999999"), -2010),
        ("POST", "/api/v3/order", LIMIT.replace("BTCUSDT", "NOSUCH"), -1121),
        ("POST", "/api/v3/order", LIMIT.replace("BUY", "HOLD"), -1117),
        ("POST", "/api/v3/order", LIMIT.replace("=LIMIT", "=NONE"), -1116),
        ("POST", "/api/v3/order", LIMIT.replace("timeInForce", "x"), -1102),
        ("POST", "/api/v3/order", LIMIT.replace("quantity=2", "quantity=two"), -1100),
        ("POST", "/api/v3/order", LIMIT.replace("quantity=2", "quantity=0"), -1013),
        ("DELETE", "/api/v3/order", "symbol=BTCUSDT&orderId=1", -2011),
        ("DELETE", "/api/v3/openOrders", "symbol=BTCUSDT", -2011),
    ],
)
async def test_an_order_that_fails_costs_its_weight(
    simulator: Simulator, method: str, path: str, query: str, code: int
) -> None:
    refused = await call(simulator, method, path, query)
    assert (refused.status, refused.json["code"]) == (400, code)
    assert (simulator.weight_spent, simulator.used_weight) == (1, 1)


async def test_an_order_that_succeeds_costs_nothing(simulator: Simulator) -> None:
    simulator.spend(7)
    placed = await call(simulator, "POST", "/api/v3/order", LIMIT)
    assert placed.headers["x-mbx-used-weight-1m"] == "7"
    assert (placed.headers["x-mbx-order-count-10s"], placed.headers["x-mbx-order-count-1d"]) == ("1", "1")
    assert (simulator.weight_spent, simulator.requests[0].weight) == (0, 0)
    await call(simulator, "POST", "/api/v3/order/test", LIMIT)
    assert simulator.weight_spent == 1
    await call(simulator, "POST", "/api/v3/order/test", f"{LIMIT}&computeCommissionRates=true", in_body=True)
    assert simulator.weight_spent == 21


async def test_the_accounts_429_is_not_the_ips(simulator: Simulator) -> None:
    answers = [await call(simulator, "POST", "/api/v3/order", LIMIT) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert answers[3].json == {"code": -1015, "msg": "Too many new orders; current limit is 3 orders per 10 SECOND."}
    assert "retry-after" not in answers[3].headers
    assert (simulator.answers_429, simulator.record.account_refusals) == (0, 1)
    assert (await get(simulator, "/api/v3/ping")).status == 200
    assert simulator.weight_spent == 2


async def test_both_futures_share_a_minute_of_orders(simulator: Simulator) -> None:
    path, other = "/fapi/v1/order", "/dapi/v1/order"
    answers = [await call(simulator, "POST", path, USD) for _ in range(2)]
    assert answers[1].headers["x-mbx-order-count-10s"] == "2"
    assert (await call(simulator, "POST", path, USD)).json["code"] == -1015
    answers = [await call(simulator, "POST", other, COIN) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[1].headers["x-mbx-order-count-1m"] == "4"
    assert "x-mbx-order-count-10s" not in answers[1].headers
    assert simulator.spent["futures"] == 0


async def test_an_order_lives_on_every_derivatives_api(simulator: Simulator) -> None:
    info = (await get(simulator, "/eapi/v1/exchangeInfo")).json
    option = f"symbol={info['optionSymbols'][0]['symbol']}&side=BUY&type=LIMIT&quantity=1&price=0.5"
    for path, query in (("/fapi/v1", USD), ("/dapi/v1", COIN), ("/eapi/v1", option)):
        placed = (await call(simulator, "POST", f"{path}/order", query)).json
        named = f"{query.partition('&')[0]}&orderId={placed['orderId']}"
        assert placed["status"] == "NEW"
        assert [row["orderId"] for row in (await call(simulator, "GET", f"{path}/openOrders")).json] == [
            placed["orderId"]
        ]
        assert (await call(simulator, "DELETE", f"{path}/order", named)).json["status"] == "CANCELED"
        assert (await call(simulator, "DELETE", f"{path}/order", named)).json["code"] == -2011


async def test_a_batch_answers_each_order_and_counts_as_five() -> None:
    good = '{"symbol":"BTCUSDT","side":"BUY","type":"MARKET","quantity":"1"}'
    batch = f"batchOrders=[{good},{good.replace('BTCUSDT', 'NOSUCH')}]"
    async with Simulator(symbols=20, clock=FakeClock()) as simulator:
        answer = await call(simulator, "POST", "/fapi/v1/batchOrders", batch, in_body=True)
    assert (answer.json[0]["status"], answer.json[1]["code"]) == ("FILLED", -1121)
    assert (answer.headers["x-mbx-order-count-10s"], answer.headers["x-mbx-order-count-1m"]) == ("5", "1")
    assert simulator.spent["futures"] == 5


async def test_a_listen_key_needs_a_key_and_no_signature(simulator: Simulator) -> None:
    with_key = {"X-MBX-APIKEY": HMAC_KEY}
    assert (await get(simulator, "/fapi/v1/listenKey", method="POST")).json["code"] == -2014
    assert "listenKey" in (await get(simulator, "/fapi/v1/listenKey", with_key, method="POST")).json
    assert (await get(simulator, "/fapi/v1/listenKey", with_key, method="DELETE")).json == {}
    assert (await get(simulator, "/fapi/v1/historicalTrades?symbol=BTCUSDT&limit=1", with_key)).status == 200
    assert (await get(simulator, "/fapi/v1/historicalTrades?symbol=BTCUSDT&limit=1")).status == 401


async def test_a_request_must_be_the_owners(simulator: Simulator) -> None:
    assert (await call(simulator, "GET", "/api/v3/account", key="someoneElses")).json["code"] == -2015
    wrong = f"/api/v3/account?timestamp=1790000110000&signature={'0' * 64}"
    assert (await get(simulator, wrong, {"X-MBX-APIKEY": HMAC_KEY})).json["code"] == -1022
    assert simulator.weight_spent == 40
    assert (await call(simulator, "GET", "/sapi/v1/capital/config/getall")).json[0]["coin"] == "BTC"
    (fee,) = (await call(simulator, "GET", "/sapi/v1/asset/tradeFee", "symbol=BTCUSDT")).json
    assert fee == {"symbol": "BTCUSDT", "makerCommission": "0.001", "takerCommission": "0.001"}
    assert len((await call(simulator, "GET", "/sapi/v1/asset/tradeFee")).json) == len(simulator.document.symbols)


async def test_every_byte_of_a_request_is_remembered(simulator: Simulator) -> None:
    target = b"/api/v3/order?a=%7e%2B[x]&b"
    head = b"DELETE " + target + b" HTTP/1.1\r\nhOST: x\r\nX-Mbx-ApiKey: k\r\nConnection: close\r\n"
    await exchange(simulator, head + b"Transfer-Encoding: chunked\r\n\r\n2\r\nc=\r\n1\r\n\xff\r\n0\r\n\r\n")
    seen = simulator.requests[0]
    assert (seen.method, seen.target, seen.body) == ("DELETE", target, b"c=\xff")
    assert seen.raw_headers[:2] == ((b"hOST", b"x"), (b"X-Mbx-ApiKey", b"k"))
    assert (seen.pool, seen.status, seen.weight) == ("spot", 401, 1)


async def test_a_packed_body_is_remembered_as_sent(simulator: Simulator) -> None:
    packed = b"\x1f\x8b\x08\x00 not really"
    await get(simulator, "/api/v3/order", {"Content-Encoding": "gzip"}, method="POST", body=packed)
    assert simulator.requests[0].body == packed


def pem(public: rsa.RSAPublicKey | ed25519.Ed25519PublicKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return public.public_bytes(serialization.Encoding.PEM, form).decode()


@pytest.mark.parametrize("kind", [KeyKind.RSA, KeyKind.ED25519])
async def test_keys_of_every_kind_open_the_account(simulator: Simulator, kind: KeyKind) -> None:
    query = FOREVER.lstrip("&")
    if kind is KeyKind.RSA:
        rsa_key = rsa.generate_private_key(65537, 2048)
        public, signature = pem(rsa_key.public_key()), rsa_key.sign(query.encode(), padding.PKCS1v15(), hashes.SHA256())
    else:
        ed25519_key = ed25519.Ed25519PrivateKey.generate()
        public, signature = pem(ed25519_key.public_key()), ed25519_key.sign(query.encode())
    simulator.account.add_key(Key("another", kind, public))
    signed = f"/api/v3/account?{query}&signature={quote(base64.b64encode(signature), safe='')}"
    assert (await get(simulator, signed, {"X-MBX-APIKEY": "another"})).json["canTrade"] is True
    other = signed.replace("account?", "account?omitZeroBalances=true&")
    assert (await get(simulator, other, {"X-MBX-APIKEY": "another"})).json["code"] == -1022


async def test_the_age_of_a_request_can_have_a_clock_of_its_own(simulator: Simulator) -> None:
    assert (await call(simulator, "GET", "/api/v3/account")).status == 200
    simulator.account.age_clock = lambda: 1_790_000_120.0
    assert (await call(simulator, "GET", "/api/v3/account")).json["code"] == -1021
