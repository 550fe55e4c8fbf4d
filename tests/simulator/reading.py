"""How market data endpoints read their parameters, and how they refuse them.

Owns the checks that many endpoints share. Must not know what is answered.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from tests.simulator import rules
from tests.simulator.endpoints import Endpoint, Values
from tests.simulator.rules import Refused
from tests.simulator.weights import number

_NUMBERS = ("limit", "fromId", "startTime", "endTime", "orderId")
_LIST = re.compile(r'"([^"]*)"')


class RefusedError(Exception):
    """The origin refuses the request for its parameters."""

    def __init__(self, code: int, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.refused = Refused(code, text, status)


def check_spot(endpoint: Endpoint, pairs: rules.Pairs) -> None:
    """Duplicates, too many, unread and empty parameters of a public spot endpoint."""
    keys = endpoint.keys
    if keys is None:
        return
    sent = [key for key, _ in pairs]
    twice = next((key for place, key in enumerate(sent) if key in sent[:place]), None)
    if twice is not None:
        raise RefusedError(-1101, f"Duplicate values for parameter '{twice}'.")
    if len(sent) > len(keys):
        raise RefusedError(-1101, f"Too many parameters; expected '{len(keys)}' and received '{len(sent)}'.")
    read = sum(key in keys for key in sent)
    if read != len(sent):
        text = f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{len(sent)}'."
        raise RefusedError(-1104, text)
    empty = next((key for key, value in pairs if not value), None)
    if empty is not None:
        raise RefusedError(-1105, f"Parameter '{empty}' was empty.")


def check_numbers(values: Values) -> None:
    """The parameters that are numbers everywhere."""
    for key in _NUMBERS:
        if values.get(key) and number(values[key]) is None:
            raise RefusedError(
                -1100, f"Illegal characters found in parameter '{key}'; legal range is '^[0-9]{{1,20}}$'."
            )


def mandatory(values: Values, key: str) -> str:
    value = values.get(key)
    if not value:
        raise RefusedError(-1102, f"Mandatory parameter '{key}' was not sent, was empty/null, or malformed.")
    return value


def optional_number(values: Values, key: str) -> int | None:
    check_numbers(values)
    return number(values.get(key, ""))


def limit(values: Values, *, default: int, most: int) -> int:
    """A limit above the highest one is the highest one."""
    asked = optional_number(values, "limit")
    return default if asked is None else max(1, min(asked, most))


def interval(values: Values, known: Collection[str]) -> str:
    asked = mandatory(values, "interval")
    if asked not in known:
        raise RefusedError(-1120, "Invalid interval.")
    return asked


def names(values: Values) -> list[str]:
    """The symbols of a `symbols` list of spot. It must be a JSON array of legal names, none twice."""
    text = values["symbols"]
    refused = rules.illegal(values, ("symbols",))
    if refused is not None:
        raise RefusedError(refused.code, refused.text)
    listed = _LIST.findall(text)
    if len(set(listed)) != len(listed):
        raise RefusedError(-1151, "Symbol is present multiple times in the list.")
    return listed


def spot_symbol(values: Values) -> str:
    """The legal name in `symbol`."""
    mandatory(values, "symbol")
    refused = rules.illegal(values, ("symbol",))
    if refused is not None:
        raise RefusedError(refused.code, refused.text)
    return values["symbol"]


def unknown_symbol() -> RefusedError:
    return RefusedError(-1121, "Invalid symbol.")
