"""A stand-in for Binance's general endpoints on a real socket.

It is written from the facts about Binance alone and never imports the gateway, so that a difference between
the two is a finding and not a shared mistake.
"""

from __future__ import annotations

from tests.simulator.document import Document, Symbol, recorded
from tests.simulator.faults import Fault
from tests.simulator.generation import generate_document
from tests.simulator.limits import Limits
from tests.simulator.server import Seen, Simulator

__all__ = ["Document", "Fault", "Limits", "Seen", "Simulator", "Symbol", "generate_document", "recorded"]
