"""binance-sdk-spot: the official SDK, which gives up after one second and parses answers into models.

It tries thrice more when a request failed: not here, so that a time-out shows.
"""

from __future__ import annotations

from typing import Any

from binance_common.errors import BadRequestError
from binance_sdk_spot.rest_api.models import ExchangeInfoPermissionsEnum
from binance_sdk_spot.spot import ConfigurationRestAPI, Spot

from tests.clients.checks import Call, Step, is_now, report, wanted


def api(url: str, **options: Any) -> Any:
    """A client with its default time-out."""
    return Spot(config_rest_api=ConfigurationRestAPI(base_path=url, retries=0, **options)).rest_api


def reads_weight(response: Any) -> bool:
    """The used weight comes in headers that the SDK understands."""
    return [limit.rateLimitType for limit in response.rate_limits] != []


def names(response: Any) -> list[str]:
    return sorted(symbol.symbol for symbol in response.data().symbols)


def main() -> None:
    """Only the base URL is another, and where it is said the coding."""
    want = wanted()
    client = api(want.url)
    plain = api(want.url, compression=False, custom_headers={"Accept-Encoding": "identity"})
    margin = ExchangeInfoPermissionsEnum.MARGIN
    report(
        "binance-sdk-spot",
        {
            Call.PING: Step(client.ping, reads_weight),
            Call.TIME: Step(client.time, lambda response: is_now(response.data().server_time)),
            Call.EVERYTHING: Step(client.exchange_info, lambda response: len(names(response)) == want.listed),
            Call.ONE: Step(
                lambda: client.exchange_info(symbol="BTCUSDT"), lambda response: names(response) == ["BTCUSDT"]
            ),
            Call.SEVERAL: Step(
                lambda: client.exchange_info(symbols=["ETHUSDT", "BTCUSDT"]),
                lambda response: names(response) == ["BTCUSDT", "ETHUSDT"],
            ),
            Call.PERMISSIONS: Step(
                lambda: client.exchange_info(permissions=margin), lambda response: len(names(response)) == want.margin
            ),
            Call.UNKNOWN: Step(
                lambda: client.exchange_info(symbol="NOSUCH"),
                lambda error: error.status_code == -1121,
                BadRequestError,
            ),
            Call.IDENTITY: Step(plain.exchange_info, lambda response: is_whole(response, None, want.listed)),
            Call.GZIP: Step(client.exchange_info, lambda response: is_whole(response, "gzip", want.listed)),
        },
    )


def is_whole(response: Any, coding: str | None, listed: int) -> bool:
    """The full document, in this Content-Encoding."""
    return response.headers.get("Content-Encoding") == coding and len(names(response)) == listed


if __name__ == "__main__":
    main()
