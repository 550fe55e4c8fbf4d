"""Tools that the checks of chart, image, rules and units run: how they are fetched, and where they are then."""

from __future__ import annotations
