"""A reader of the feed that hides nothing: comments, fields, and how the stream ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

PATIENT_SECONDS = 20.0
"""Only what never comes takes so long."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event."""

    id: str
    kind: str
    data: Any


@dataclass(slots=True)
class Stream:
    """An open stream."""

    response: aiohttp.ClientResponse
    last_id: str = ""
    retry: str = ""
    comments: list[str] = field(default_factory=list)

    async def greeted(self) -> None:
        """Wait for the first id: from now on every change is told."""
        async with asyncio.timeout(PATIENT_SECONDS):
            while not self.last_id:
                await self._block()

    async def event(self) -> Event:
        """The next event. EOFError at the end of the stream."""
        async with asyncio.timeout(PATIENT_SECONDS):
            while True:
                fields = await self._block()
                if "data" in fields:
                    return Event(self.last_id, fields["event"], orjson.loads(fields["data"]))

    async def events(self, count: int) -> list[Event]:
        """So many events."""
        return [await self.event() for _ in range(count)]

    async def rest(self) -> list[Event]:
        """Everything until the gateway ends the stream."""
        found = []
        while True:
            try:
                found.append(await self.event())
            except EOFError:
                return found

    async def _block(self) -> dict[str, str]:
        """The fields up to the next blank line."""
        fields: dict[str, str] = {}
        while line := (await self.response.content.readline()).decode():
            name, _, value = line.rstrip("\n").partition(":")
            if line == "\n":
                self.last_id = fields.get("id", self.last_id)
                return fields
            if not name:
                self.comments.append(value)
                continue
            self.retry = value.strip() if name == "retry" else self.retry
            fields[name] = value.removeprefix(" ")
        raise EOFError


@asynccontextmanager
async def reading(url: str, query: str = "", *, last_id: str | None = None) -> AsyncIterator[Stream]:
    """A reader on a connection of its own. Leaving closes the connection at once."""
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    async with aiohttp.ClientSession() as session, session.get(f"{url}/changes{query}", headers=headers) as response:
        yield Stream(response)
