"""`make contract-test`: schemathesis asks a gateway whatever its OpenAPI document allows.

Owns: the gateway and the stand-in that are asked, and which checks count. Must not know: what the document says.

The gateway serves everything (SIDECAR_FORWARD=all), and no limit is ever reached: else most answers would be 429.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

from proxy.app import run_gateway
from proxy.core.endpoints.catalogue import Forward
from proxy.settings import LogFormat, LogLevel
from proxy.telemetry import logs
from tests.clients.environment import CACHE, client_environment
from tests.contract.environment import ENVIRONMENT
from tests.environment import forget_settings
from tests.gateway.harness import hosts, settings
from tests.simulator import Simulator, generate_document
from tests.simulator.pools import Sizes

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
UNLIMITED = 10**9
EXAMPLES = 3
"""Generated requests for each operation."""


async def contract(phases: str, examples: int, more: Sequence[str]) -> int:
    """Run it. The exit status of schemathesis."""
    python = ENVIRONMENT.python()
    sizes = Sizes(futures=UNLIMITED, options=UNLIMITED, funding=UNLIMITED, futures_data=UNLIMITED, sapi=UNLIMITED)
    document = generate_document(60)
    async with Simulator(document=document, weight_limit=UNLIMITED, raw_limit=UNLIMITED, sizes=sizes) as origin:
        chosen = settings(origin, **hosts(origin), forward=Forward.ALL, log_level=LogLevel.ERROR)
        async with run_gateway(chosen) as app:
            await app.refresher.started.wait()
            process = await asyncio.create_subprocess_exec(
                str(python.parent / "st"),
                "run",
                f"{app.url}/openapi.json",
                *("--checks", ",".join(CHECKS), "--phases", phases, "--seed", "1"),
                *("--max-examples", str(examples), "--suppress-health-check", "all", "--no-color", "--warnings", "off"),
                # A stream has no end: schemathesis would wait for it.
                *("-H", "Accept: application/json", "--continue-on-failure", "--request-timeout", "10"),
                *more,
                cwd=CACHE,
                env=client_environment(),
            )
            return await process.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 if nothing contradicts the document."""
    parser = argparse.ArgumentParser("python -m tests.contract", description="What the gateway says of itself is true.")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="generated requests for each operation")
    parser.add_argument("--whole", action="store_true", help="also each bound of each parameter: some minutes")
    chosen, more = parser.parse_known_args(arguments)
    phases = "coverage,fuzzing" if chosen.whole else "fuzzing"
    forget_settings(os.environ)
    logs.configure(LogLevel.ERROR, LogFormat.CONSOLE)
    return asyncio.run(contract(phases, chosen.examples, more))


if __name__ == "__main__":
    sys.exit(main())
