"""How a Python program tells what its client got. Runs in the clients' environments.

Owns: the lines, and the ranges that are asked for. Must not know: any client, and nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from typing import Any

START_MS = 1_760_000_400_000
END_MS = START_MS + 3_600_000
UNKNOWN = "unknown symbol"
"""The one call that must fail, with the client's own exception."""


def base_url() -> str:
    """What the command line says: scheme, host and port."""
    return sys.argv[1]


def keys() -> dict[str, tuple[str, str]]:
    """By kind (HMAC, RSA, ED25519): the key's name, and the secret or the private key in PEM."""
    found: dict[str, tuple[str, str]] = json.loads(os.environ["CLIENT_KEYS"])
    return found


def tell(package: str, calls: Mapping[str, Callable[[], Any]], *, manner: str = "") -> None:
    """Make each call of a client that blocks, and print a line for each."""
    for name, call in calls.items():
        try:
            line = {"answer": call()}
        except Exception as error:
            line = _failure(error)
        _print(package, manner, name, line)


async def tell_async(package: str, calls: Mapping[str, Callable[[], Awaitable[Any]]], *, manner: str = "async") -> None:
    """The same for a client whose calls are awaited."""
    for name, call in calls.items():
        try:
            line = {"answer": await call()}
        except Exception as error:
            line = _failure(error)
        _print(package, manner, name, line)


def _failure(error: Exception) -> dict[str, Any]:
    """The class and Binance's code: the rest of the text may have headers and addresses in it."""
    code = re.search(r"-[12]\d{3}\b", str(error))
    return {"error": f"{type(error).__name__} {code[0] if code else str(error)[:200]}"}


def _print(package: str, manner: str, call: str, line: dict[str, Any]) -> None:
    client = f"{package} {version(package)} {manner}".strip()
    print(json.dumps({"client": client, "call": call, **line}, sort_keys=True, default=_plain), flush=True)


def _plain(value: Any) -> Any:
    """Models of the official SDKs as what they were made from; anything else by its text."""
    make = getattr(value, "to_dict", None)
    return make() if make is not None else str(value)
