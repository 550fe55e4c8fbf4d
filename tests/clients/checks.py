"""What every client is asked to do, and what must come of it. Runs in the clients' environment.

Owns: the calls, the checks, and the lines that tell their results. Must not know: any client, and nothing but the
standard library.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import version
from typing import Any

CLOCK_SECONDS = 60


class Call(Enum):
    """A column of the table."""

    PING = "ping"
    TIME = "time"
    EVERYTHING = "bare"
    ONE = "one"
    SEVERAL = "several"
    PERMISSIONS = "permissions"
    UNKNOWN = "-1121"
    """An unknown symbol must become the client's own exception with this code."""
    IDENTITY = "1 s, identity"
    """The full document within the client's default time-out of one second."""
    GZIP = "1 s, gzip"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where the gateway is, and how many symbols it must give: without filters, and for MARGIN."""

    url: str
    listed: int
    margin: int

    def to_argument(self) -> str:
        return json.dumps([self.url, self.listed, self.margin])


def wanted() -> Wanted:
    """What the command line says."""
    return Wanted(*json.loads(sys.argv[1]))


@dataclass(frozen=True, slots=True)
class Step:
    """A call, and what must be true of its answer. With `error`: of the exception of this type that it must raise."""

    ask: Callable[[], Any]
    must: Callable[[Any], bool]
    error: type[Exception] | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """How one call of one client went; no problem: as it should."""

    client: str
    call: Call
    problem: str | None

    def to_line(self) -> str:
        return json.dumps({"client": self.client, "call": self.call.value, "problem": self.problem})

    @classmethod
    def from_line(cls, line: str) -> Result:
        """ValueError for a line that is none: clients print too."""
        fields = json.loads(line)
        if not isinstance(fields, dict) or fields.keys() != {"client", "call", "problem"}:
            raise ValueError("not a result")
        return cls(fields["client"], Call(fields["call"]), fields["problem"])


def report(package: str, steps: Mapping[Call, Step], *, manner: str = "") -> None:
    """Take each step of a client that blocks, and print a line for each."""
    for call, step in steps.items():
        try:
            outcome = step.ask()
        except Exception as error:
            outcome = error
        _print(package, manner, call, _problem(step, outcome))


async def report_async(package: str, steps: Mapping[Call, Step]) -> None:
    """The same for a client whose calls are awaited."""
    for call, step in steps.items():
        outcome: Any
        try:
            asked: Awaitable[Any] = step.ask()
            outcome = await asked
        except Exception as error:
            outcome = error
        _print(package, "async", call, _problem(step, outcome))


def _print(package: str, manner: str, call: Call, problem: str | None) -> None:
    print(Result(f"{package} {version(package)} {manner}".strip(), call, problem).to_line(), flush=True)


def _problem(step: Step, outcome: Any) -> str | None:
    """None when the outcome is as it must be."""
    text = f"{type(outcome).__name__}: {str(outcome)[:200]}"
    if isinstance(outcome, Exception) and not (step.error is not None and isinstance(outcome, step.error)):
        return text
    if step.error is not None and not isinstance(outcome, Exception):
        return f"no error, but {text}"
    try:
        return None if step.must(outcome) else text
    except Exception as error:
        return f"{error!r} about {text}"


def is_empty(body: Any) -> bool:
    return body in ({}, None)


def is_now(milliseconds: int) -> bool:
    return abs(milliseconds / 1000 - time.time()) < CLOCK_SECONDS


def names_are(*names: str) -> Callable[[Any], bool]:
    """An exchangeInfo body has just these symbols."""
    return lambda body: sorted(symbol["symbol"] for symbol in body["symbols"]) == sorted(names)


def counts(number: int) -> Callable[[Any], bool]:
    """An exchangeInfo body has so many symbols, and the limits."""
    return lambda body: len(body["symbols"]) == number and len(body["rateLimits"]) > 0
