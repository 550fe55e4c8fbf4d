"""The switches over HTTP, for testers in another process: `/_simulator/…`. Nothing here is counted.

Owns those paths and their JSON. Must not know how a fault or a limit works.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from tests.simulator.endpoints import SPOT_POOL
from tests.simulator.faults import Fault, active_fault

if TYPE_CHECKING:
    from tests.simulator.server import Simulator

PREFIX = "/_simulator/"


async def respond(simulator: Simulator, request: web.BaseRequest, path: str) -> web.Response:
    """Act, and answer with the state. 400 with a reason for a bad request, 404 for an unknown path."""
    act = path.removeprefix(PREFIX)
    try:
        given = orjson.loads(await request.read() or b"{}")
        if not _perform(simulator, f"{request.method} {act}", given):
            return _json({"error": f"no such switch: {request.method} {path}"}, 404)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        return _json({"error": f"{type(error).__name__}: {error}"}, 400)
    return _json(state(simulator), 200)


def state(simulator: Simulator) -> dict[str, Any]:
    """The counters, as JSON values."""
    fault = simulator.fault
    return {
        "requests": simulator.count(),
        "by_path": simulator.counts(),
        "weight_spent": simulator.weight_spent,
        "used_weight": simulator.used_weight,
        "answers_429": simulator.answers_429,
        "answers_418": simulator.answers_418,
        "account_refusals": simulator.record.account_refusals,
        "spent_by_pool": dict(simulator.spent),
        "used_by_pool": dict(simulator.pools.used()),
        "fault": None if fault is None else fault.value,
        "symbols": len(simulator.document.symbols),
    }


def _perform(simulator: Simulator, switch: str, given: Any) -> bool:
    match switch:
        case "GET state":
            pass
        case "POST fault":
            _switch_fault(simulator, given)
        case "POST spend":
            simulator.spend(int(given["weight"]), str(given.get("pool", SPOT_POOL)))
        case "POST status":
            simulator.set_status(str(given["symbol"]), str(given["status"]))
        case "POST reset":
            simulator.clear_fault()
            simulator.reset_counters()
            simulator.pools.reset()
        case _:
            return False
    return True


def _switch_fault(simulator: Simulator, given: Any) -> None:
    """`fault` is a name or null; `times`, `paths`, `pools`, `delay_seconds`, `retry_after` may follow.

    DOWN takes `seconds` alone, and needs it.
    """
    options = dict(given)
    name = options.pop("fault")
    if name is None:
        simulator.clear_fault()
        return
    fault = Fault(name)
    if fault is Fault.DOWN:
        # Nobody could clear it over HTTP, so it must end by itself; it begins once this answer is out.
        seconds = float(options["seconds"])
        loop = asyncio.get_running_loop()
        loop.call_later(0.05, simulator.set_fault, fault)
        loop.call_later(0.05 + seconds, simulator.clear_fault)
        return
    active_fault(fault, **options)
    simulator.set_fault(fault, **options)


def _json(value: object, status: int) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value) + b"\n", content_type="application/json")
