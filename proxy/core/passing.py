"""What passes of the headers of the origin's answers.

Owns: which of Binance's headers clients get, and their spelling. Must not know: replies, our own headers.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

SBE_DEPRECATED = "X-MBX-SBE-DEPRECATED"
_SPELLED = {"retry-after": "Retry-After", SBE_DEPRECATED.lower(): SBE_DEPRECATED}


def passing_headers(headers: Mapping[str, str]) -> tuple[list[tuple[str, str]], str]:
    """What passes of the origin's headers (names in lower case), and the same as lines of a head."""
    passing, lines = [], ""
    for name, spelled in _passing(*headers):
        value = headers[name]
        if value.isascii() and value.isprintable():  # as in `notice`
            passing.append((spelled, value))
            lines += f"{spelled}: {value}\r\n"
    return passing, lines


@lru_cache(maxsize=64)
def _passing(*names: str) -> tuple[tuple[str, str], ...]:
    """Those of `names` (in lower case) that pass, and as the other answers spell them.

    The used weight is told as all replicas know it. Kept, because most answers have the same names.
    """
    return tuple((name, _SPELLED.get(name, name)) for name in names if _is_passed(name))


def _is_passed(name: str) -> bool:
    is_of_the_exchange = name.startswith(("x-mbx-", "x-sapi-")) and not name.startswith("x-mbx-used-weight")
    return is_of_the_exchange or name == "retry-after"
