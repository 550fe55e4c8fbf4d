"""Browsers with the status page open: `python -m tests.bench.pages PORT COUNT`.

Owns: loading the page with what belongs to it, and renewing it as its script does. Prints `open` when all are loaded.
Must not know: what the page shows.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import sys

import uvloop

LOADED = ("/", "/page.css", "/page.js", "/page.svg")
RENEWED = "/status"
RENEW_SECONDS = 5.0
"""As often as the script of the page."""
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


async def get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
    """One answer, as large as it may be."""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    if not head.startswith(b"HTTP/1.1 200 ") or length is None:
        raise ConnectionError(head.decode("latin-1"))
    await reader.readexactly(int(length[1]))


async def page(port: int, loaded: asyncio.Semaphore) -> None:
    """One page, open for ever."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with loaded:
        for path in LOADED:
            await get(reader, writer, path)
    await asyncio.sleep(random.uniform(0.0, RENEW_SECONDS))
    while True:
        await get(reader, writer, RENEWED)
        await asyncio.sleep(RENEW_SECONDS)


async def main(port: int, count: int) -> None:
    """All of them, until the process is ended."""
    loading = asyncio.Semaphore(4)
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(page(port, loading))
        await asyncio.sleep(0.1)
        while loading.locked():  # noqa: ASYNC110 - the last ones are on their way
            await asyncio.sleep(0.05)
        print("open", flush=True)


if __name__ == "__main__":
    os.nice(19)  # what is measured is the gateway, and not what browsers take of the core that asks it
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
