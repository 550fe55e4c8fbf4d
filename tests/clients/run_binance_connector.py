"""binance-connector: the older official client, on requests."""

from __future__ import annotations

from binance.error import ClientError
from binance.spot import Spot

from tests.clients.checks import Call, Step, counts, is_empty, is_now, names_are, report, wanted


def main() -> None:
    """Only the base URL is another."""
    want = wanted()
    client = Spot(base_url=want.url)
    report(
        "binance-connector",
        {
            Call.PING: Step(client.ping, is_empty),
            Call.TIME: Step(client.time, lambda body: is_now(body["serverTime"])),
            Call.EVERYTHING: Step(client.exchange_info, counts(want.listed)),
            Call.ONE: Step(lambda: client.exchange_info(symbol="BTCUSDT"), names_are("BTCUSDT")),
            Call.SEVERAL: Step(
                lambda: client.exchange_info(symbols=["BTCUSDT", "ETHUSDT"]), names_are("BTCUSDT", "ETHUSDT")
            ),
            Call.PERMISSIONS: Step(lambda: client.exchange_info(permissions=["MARGIN"]), counts(want.margin)),
            Call.UNKNOWN: Step(
                lambda: client.exchange_info(symbol="NOSUCH"), lambda error: error.error_code == -1121, ClientError
            ),
        },
    )


if __name__ == "__main__":
    main()
