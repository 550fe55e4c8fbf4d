"""Prints the defaults of the gateway's settings, or of the chart's values, as JSON: `defaults.py settings` or `values`.

Owns: how a default is written down. Must not know: what the defaults should be. Runs in the root of a checkout, the
values in the tools' own virtual environment.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

VALUES = Path("helm/binance-sidecar/values.yaml")


def settings() -> dict[str, str]:
    """Each setting with its default."""
    sys.path.insert(0, str(Path.cwd()))
    listed = fields(importlib.import_module("proxy.settings").Settings)
    return {field.name: str(field.default) for field in listed}


def values() -> dict[str, Any]:
    """Each value that is not a map, by its path."""
    return dict(_leaves(importlib.import_module("yaml").safe_load(VALUES.read_text()), ()))


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, (*path, name))
    else:
        yield ".".join(path), value


if __name__ == "__main__":
    print(json.dumps(settings() if sys.argv[1] == "settings" else values()))
