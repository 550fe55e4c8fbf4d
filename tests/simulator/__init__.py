"""A stand-in for Binance's API on real sockets: spot, both futures, options.

It is written from the facts about Binance alone and never imports the gateway, so that a difference between
the two is a finding and not a shared mistake.
"""

from __future__ import annotations

from tests.simulator.account import OrderSizes
from tests.simulator.document import Document, Symbol, recorded
from tests.simulator.endpoints import ApiName
from tests.simulator.faults import Fault
from tests.simulator.generation import generate_document
from tests.simulator.limits import Limits
from tests.simulator.pools import Sizes
from tests.simulator.record import Seen
from tests.simulator.server import Simulator
from tests.simulator.signing import Key, KeyKind

__all__ = [
    "ApiName",
    "Document",
    "Fault",
    "Key",
    "KeyKind",
    "Limits",
    "OrderSizes",
    "Seen",
    "Simulator",
    "Sizes",
    "Symbol",
    "generate_document",
    "recorded",
]
