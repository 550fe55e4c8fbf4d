"""What passes of the headers of the origin's answers.

Owns: which of Binance's headers clients get, and their spelling. Must not know: replies, our own headers.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from proxy.core.lines import lines_of
from proxy.core.messages import notice

SBE_DEPRECATED = "X-MBX-SBE-DEPRECATED"
_SPELLED = {"retry-after": "Retry-After", SBE_DEPRECATED.lower(): SBE_DEPRECATED}
Passing = tuple[tuple[str, str], ...]
"""Names and values."""


def passing_headers(headers: Mapping[str, str]) -> tuple[Passing, bytes]:
    """What passes of the origin's headers (names in lower case), and the same as lines of a head."""
    names, spelled, lines = _passing(*headers)
    values = tuple(map(headers.__getitem__, names))
    text = "".join(values)
    if text.isascii() and text.isprintable():  # as in `notice`
        return tuple(zip(spelled, values, strict=True)), (lines % values).encode()
    passing = tuple((name, value) for name, value in zip(spelled, values, strict=True) if notice(value) is not None)
    return passing, lines_of(passing)


@lru_cache(maxsize=64)
def _passing(*names: str) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Those of `names` (in lower case) that pass, as the other answers spell them, and their lines without the values.

    The used weight is told as all replicas know it. Kept, because most answers have the same names.
    """
    passed = tuple(name for name in names if _is_passed(name))
    spelled = tuple(_SPELLED.get(name, name) for name in passed)
    return passed, spelled, "".join("{}: %s\r\n".format(name.replace("%", "%%")) for name in spelled)


def _is_passed(name: str) -> bool:
    is_of_the_exchange = name.startswith(("x-mbx-", "x-sapi-")) and not name.startswith("x-mbx-used-weight")
    return is_of_the_exchange or name == "retry-after"
