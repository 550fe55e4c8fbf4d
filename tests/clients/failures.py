"""Which exception a client raises: asked and told by lines. Runs in the clients' environment.

Owns: the lines, and the loop that answers them. Must not know: any client, and nothing but the standard library.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import version
from typing import Any

TIMEOUT_SECONDS = 2.5
"""Of every client: a quarter of the 10 s of most."""


NO_ERROR = "no error"


class FailingCall(Enum):
    """What is asked of an origin that fails. The value is the word in the table."""

    INFO = "exchangeInfo"
    """A path whose answers are stored."""
    TIME = "time"
    """A path whose answers are passed on."""


@dataclass(frozen=True, slots=True)
class Raised:
    """What one call at one base URL has come to: the class of the exception and its bases; empty for no error."""

    client: str
    classes: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.classes[0] if self.classes else NO_ERROR

    def to_line(self) -> str:
        return json.dumps({"client": self.client, "raised": self.classes})

    @classmethod
    def from_line(cls, line: str) -> Raised:
        """ValueError for a line that is none: clients print too."""
        fields = json.loads(line)
        if not isinstance(fields, dict) or fields.keys() != {"client", "raised"}:
            raise ValueError("no such line")
        return cls(fields["client"], tuple(fields["raised"]))


def question(call: FailingCall, url: str) -> str:
    """The line that asks."""
    return json.dumps([call.value, url])


def answer(package: str, ask: Callable[[FailingCall, str], Any], *, manner: str) -> None:
    """Answer the lines on standard input to their end. `ask` takes a call and a base URL; it may be awaited."""
    client = f"{package} {version(package)} {manner}".strip()
    for line in sys.stdin:
        call, url = json.loads(line)
        print(Raised(client, _raised(ask, FailingCall(call), url)).to_line(), flush=True)


def _raised(ask: Callable[[FailingCall, str], Any], call: FailingCall, url: str) -> tuple[str, ...]:
    try:
        outcome = ask(call, url)
        if asyncio.iscoroutine(outcome):
            asyncio.run(_finish(outcome))
    except Exception as error:
        return tuple(kind.__name__ for kind in type(error).__mro__ if issubclass(kind, Exception))
    return ()


async def _finish(outcome: Awaitable[Any]) -> None:
    await outcome
