"""Recorded exchangeInfo answers of Binance, for tests that also run on real ones where a developer has some.

Owns: where they are, `SIDECAR_CAPTURES`. Must not know: what is done with them.
"""

from __future__ import annotations

import os
from pathlib import Path

PATTERNS = ("spot-*.json", "binanceus-*.json")


def captures() -> list[Path]:
    """The answers in the folder that the variable names; none without it. FileNotFoundError if it has none."""
    folder = os.environ.get("SIDECAR_CAPTURES")
    if not folder:
        return []
    found = [path for pattern in PATTERNS for path in sorted(Path(folder).glob(pattern))]
    if not found:
        raise FileNotFoundError(f"SIDECAR_CAPTURES: no {' and no '.join(PATTERNS)} in {folder}")
    return found
