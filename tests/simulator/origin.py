"""The right answer to any request of any API: who may ask, which part answers, what an order does.

Owns security, the limits of ORDERS and the bodies kept for a second. Must not know sockets, pools or faults.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import orjson

from tests.simulator import reading, rules, sbe
from tests.simulator.account import Account
from tests.simulator.api import Api, Asked, missing
from tests.simulator.derivatives import Derivatives, World
from tests.simulator.document import Document
from tests.simulator.endpoints import SAPI, ApiName, Endpoint, Endpoints, Security
from tests.simulator.faults import error_body
from tests.simulator.reading import RefusedError
from tests.simulator.rules import Refused
from tests.simulator.signing import check_key, check_signature
from tests.simulator.spot_market import SpotMarket
from tests.simulator.spot_trading import SpotTrading
from tests.simulator.wire import Answer, Body, Tail

_GENERAL = frozenset((rules.PING, rules.TIME, rules.INFO, rules.EXECUTION_RULES))
_SPOT = "/api/v3/"
_KEPT = 32
_WHOLE_MARKET = ("ticker", "premiumIndex", "mark")


class Origin:
    """Answers from one document, one invented market and one account."""

    def __init__(self, *, document: Document, endpoints: Endpoints, account: Account, world: World) -> None:
        self.general = Api(document)
        self.account = account
        self._endpoints = endpoints
        self._spot = SpotMarket(lambda: self.general.document, world.seed)
        self._trading = SpotTrading(account, lambda values: self._spot.instrument(reading.spot_symbol(values)))
        apis = (ApiName.USD_FUTURES, ApiName.COIN_FUTURES, ApiName.OPTIONS)
        self._derivatives = {api: Derivatives(api, world, account) for api in apis}
        self._kept: dict[tuple[str, str, int], tuple[int, Tail]] = {}

    def answer(self, asked: Asked, endpoint: Endpoint, pairs: rules.Pairs) -> Answer:
        """The answer without the headers of the IP's limits."""
        if asked.path in _GENERAL:
            return self.general.answer(asked, pairs)
        is_wallet = asked.path.startswith(SAPI)
        methods = self._endpoints.methods(endpoint.api, asked.path)
        if not is_wallet and not methods:
            return missing(asked)
        if not is_wallet and endpoint.method not in methods:
            return Answer(405)
        schema = sbe.negotiate(asked.headers.get("accept"), asked.headers.get("x-mbx-sbe"))
        if not endpoint.api.is_spot or (schema is not None and not schema.is_good):
            schema = None
        try:
            answer = Answer(200, self._body(asked, endpoint, pairs))
        except RefusedError as error:
            answer = Answer(error.refused.status, Body(error_body(error.refused.code, error.refused.text)))
        if schema is None:
            return self._with_order_counts(answer, endpoint)
        wrapped = sbe.message(sbe.Template.OTHER, schema, tail=answer.body.identity())
        return replace(answer, body=Body(wrapped), content_type=sbe.CONTENT_TYPE)

    def missing(self, asked: Asked, host: ApiName) -> Answer:
        """404 of a path that no API on this host has."""
        return replace(missing(asked), is_spot=host.is_spot)

    def _body(self, asked: Asked, endpoint: Endpoint, pairs: rules.Pairs) -> Body:
        values = dict(pairs)
        now_ms = int(asked.at * 1000)
        unit = rules.read_time_unit(asked.headers.get("x-mbx-time-unit")) if endpoint.api.is_spot else 1000
        if isinstance(unit, Refused):
            raise RefusedError(unit.code, unit.text)
        self._check_security(asked, endpoint, values)
        reading.check_spot(endpoint, pairs)
        text = self.account.order_limit_text(endpoint.api, endpoint.orders)
        if text is not None:
            raise RefusedError(-1015, text, 429)
        if _is_whole_market(endpoint, values):
            return self._kept_body(asked, unit, lambda at: self._made(endpoint, values, at, unit // 1000))
        made = self._made(endpoint, values, now_ms, unit // 1000)
        self.account.count_orders(endpoint.api, endpoint.orders)
        return made if isinstance(made, Body) else Body(orjson.dumps(made))

    def _made(self, endpoint: Endpoint, values: dict[str, str], now_ms: int, unit: int) -> Body | object:
        method, path = endpoint.method, endpoint.path
        if path.startswith(SAPI):
            return self._wallet(path, values)
        if endpoint.api is not ApiName.SPOT:
            return self._derivatives[endpoint.api].answer(method, path, endpoint.security, values, now_ms)
        name = path.removeprefix(_SPOT)
        if endpoint.security is Security.PUBLIC:
            return self._spot.answer(name, values, now_ms, unit)
        return self._trading.answer(method, name, values, now_ms, unit)

    def _check_security(self, asked: Asked, endpoint: Endpoint, values: dict[str, str]) -> None:
        if endpoint.security is Security.PUBLIC:
            return
        key = check_key(self.account.keys, asked.headers.get("x-mbx-apikey"))
        refused = key if isinstance(key, Refused) else None
        if not isinstance(key, Refused) and endpoint.security is Security.SIGNED:
            query = asked.raw_query.encode("utf-8", "surrogateescape")
            now = asked.at if self.account.age_clock is None else self.account.age_clock()
            refused = check_signature(key, query, asked.body, values=values, now_ms=int(now * 1000))
        if refused is not None:
            raise RefusedError(refused.code, refused.text, refused.status)

    def _kept_body(self, asked: Asked, unit: int, make: Callable[[int], object]) -> Body:
        """The whole market as it was at the beginning of this second: made and compressed once."""
        second = int(asked.at)
        key = (asked.path, asked.raw_query, unit)
        kept = self._kept.get(key)
        if kept is None or kept[0] != second:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            kept = self._kept[key] = second, Tail(orjson.dumps(make(second * 1000)))
        return Body(b"", kept[1])

    def _with_order_counts(self, answer: Answer, endpoint: Endpoint) -> Answer:
        if answer.status != 200 or not any(endpoint.orders):
            return answer
        counts = self.account.order_counts(endpoint.api)
        return replace(
            answer, extra=tuple((f"x-mbx-order-count-{name.lower()}", str(used)) for name, used, _ in counts)
        )

    def _wallet(self, path: str, values: dict[str, str]) -> object:
        match path.removeprefix(SAPI):
            case "v1/system/status":
                return {"status": 0, "msg": "normal"}
            case "v1/capital/config/getall":
                return [_coin(name) for name in self.account.balances]
            case "v1/margin/allPairs" | "v1/margin/isolated/allPairs":
                return []
            case "v1/asset/tradeFee":
                return [_fee(name) for name in self.general.document.symbols if values.get("symbol", name) == name]
            case _:
                return {}


def _is_whole_market(endpoint: Endpoint, values: dict[str, str]) -> bool:
    if endpoint.security is not Security.PUBLIC or any(values.get(key) for key in ("symbol", "symbols", "pair")):
        return False
    return endpoint.path.split("/", 3)[3].startswith(_WHOLE_MARKET)


def _fee(name: str) -> dict[str, object]:
    return {"symbol": name, "makerCommission": "0.001", "takerCommission": "0.001"}


def _coin(name: str) -> dict[str, object]:
    allowed = dict.fromkeys(("depositAllEnable", "withdrawAllEnable", "trading"), True)
    amounts = dict.fromkeys(("free", "locked", "freeze", "withdrawing", "ipoing", "ipoable", "storage"), "0")
    return {"coin": name, "name": name, "isLegalMoney": False, **allowed, **amounts, "networkList": []}
