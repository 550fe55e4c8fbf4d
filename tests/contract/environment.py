"""The environment of schemathesis: built once, and again when its lock or Python change.

Owns: its folder and its lock. Must not know: what is asked.
"""

from __future__ import annotations

from pathlib import Path

from tests.clients.environment import CACHE, Environment

ENVIRONMENT = Environment(CACHE / "contract", Path(__file__).parent / "requirements.lock")

if __name__ == "__main__":
    ENVIRONMENT.python()
