"""The command: `python -m tests.simulator --port 9080`. Owns its flags and its signals."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence

from tests.simulator.document import Document, recorded
from tests.simulator.endpoints import ApiName
from tests.simulator.faults import Fault
from tests.simulator.generation import generate_document
from tests.simulator.pools import Sizes
from tests.simulator.server import Simulator


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM. 0 when stopped, 2 when the start failed."""
    flags = _parser().parse_args(argv)
    try:
        asyncio.run(_serve(flags))
    except (OSError, ValueError, KeyError) as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.simulator", description="A stand-in for Binance.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--symbols", type=int, default=3698, help="size of the generated document")
    parser.add_argument("--document", metavar="FILE", help="serve a recorded exchangeInfo answer")
    parser.add_argument("--weight-limit", type=int, default=6000, metavar="N", help="REQUEST_WEIGHT a minute")
    parser.add_argument(
        "--futures-weight-limit", type=int, default=2400, metavar="N", help="of USD-M and COIN-M together"
    )
    parser.add_argument("--options-weight-limit", type=int, default=400, metavar="N")
    parser.add_argument("--quiet", action="store_true", help="print nothing")
    return parser


async def _serve(flags: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    sizes = Sizes(futures=flags.futures_weight_limit, options=flags.options_weight_limit)
    simulator = Simulator(document=_document(flags), weight_limit=flags.weight_limit, sizes=sizes)
    await simulator.start(flags.host, flags.port)
    try:
        if not flags.quiet:
            print(_welcome(simulator), flush=True)
        await stop.wait()
    finally:
        await simulator.stop()


def _document(flags: argparse.Namespace) -> Document:
    return recorded(flags.document) if flags.document else generate_document(flags.symbols)


def _welcome(simulator: Simulator) -> str:
    url = simulator.url
    fault = """'{"fault":"TOO_MANY_429","retry_after":5}'"""
    return "\n".join(
        (
            f"simulator: {len(simulator.document.symbols)} symbols at {url}",
            *(f"  {api.value} alone: {simulator.url_of(api)}" for api in ApiName),
            f"  what it saw:    curl {url}/_simulator/state",
            f"  a fault:        curl {url}/_simulator/fault -d {fault}",
            f"""  no fault:       curl {url}/_simulator/fault -d '{{"fault":null}}'""",
            f"""  others spend:   curl {url}/_simulator/spend -d '{{"weight":1000}}'""",
            f"  faults: {' '.join(fault.value for fault in Fault)} (DOWN takes seconds)",
        )
    )


if __name__ == "__main__":
    sys.exit(main())
