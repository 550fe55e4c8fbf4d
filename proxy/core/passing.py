"""What passes of the headers of the origin's answers.

Owns: which of Binance's headers clients get, and their spelling. Must not know: replies, our own headers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from operator import itemgetter

from proxy.core.lines import lines_of
from proxy.core.messages import notice

SBE_DEPRECATED = "X-MBX-SBE-DEPRECATED"
_SPELLED = {"retry-after": "Retry-After", SBE_DEPRECATED.lower(): SBE_DEPRECATED}
Values = Callable[[Mapping[str, str]], tuple[str, ...]]
"""Takes some values out of the headers of an answer."""


def passing_headers(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """What passes of the origin's headers (names in lower case)."""
    spelled, values_of, _ = _passing(*headers)
    return [(name, value) for name, value in zip(spelled, values_of(headers), strict=True) if notice(value) is not None]


def passing_lines(headers: Mapping[str, str]) -> bytes:
    """The same as lines of a head."""
    _, values_of, lines = _passing(*headers)
    values = values_of(headers)
    text = "".join(values)
    if text.isascii() and text.isprintable():  # as in `notice`
        return (lines % values).encode()
    return lines_of(passing_headers(headers))


@lru_cache(maxsize=64)
def _passing(*names: str) -> tuple[tuple[str, ...], Values, str]:
    """Those of `names` (in lower case) that pass, as the other answers spell them; their values, and their lines.

    The used weight is told as all replicas know it. Kept, because most answers have the same names.
    """
    passed = tuple(name for name in names if _is_passed(name))
    spelled = tuple(_SPELLED.get(name, name) for name in passed)
    lines = "".join("{}: %s\r\n".format(name.replace("%", "%%")) for name in spelled)
    return spelled, itemgetter(*passed) if len(passed) > 1 else partial(_few, passed), lines


def _few(names: tuple[str, ...], headers: Mapping[str, str]) -> tuple[str, ...]:
    """What `itemgetter` makes no tuple of."""
    return (headers[names[0]],) if names else ()


def _is_passed(name: str) -> bool:
    is_of_the_exchange = name.startswith(("x-mbx-", "x-sapi-")) and not name.startswith("x-mbx-used-weight")
    return is_of_the_exchange or name == "retry-after"
