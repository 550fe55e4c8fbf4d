"""How a large body gets to the kernel: out of a file in memory, whose pages all clients share.

Owns: these files, and the two calls that send head and body. Must not know: which response it is, when it is outdated.

`writev` copies a body into new pages for each client. A file's pages are only referenced, so nothing is copied but at
the client, and a client on this machine finds them in the processor's cache. Each body that is sent so takes its bytes
again, outside of this process, while its response is remembered for the present second: so the largest are not.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from weakref import WeakValueDictionary

from proxy.core.messages import Entry

JOIN_BYTES = 64 << 10
"""Larger bodies are written separately, so that they are not copied behind the head."""
MAX_BYTES = 1 << 20
"""Of a body that gets a file."""
MAX_FILES = 32
"""Each takes a descriptor."""


class BodyFile:
    """A body in a file without a name, which is gone when nobody needs it. Raises OSError if there is none to have."""

    __slots__ = ("__weakref__", "body", "descriptor")

    def __init__(self, body: bytes) -> None:
        self.descriptor = os.memfd_create("body")
        self.body = body
        if os.write(self.descriptor, body) != len(body):
            raise OSError("a file in memory took a part of a body only")

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


class BodyFiles:
    """The files of the bodies that are sent now."""

    def __init__(self) -> None:
        self._files: WeakValueDictionary[int, BodyFile] = WeakValueDictionary()
        """By the identity of the body, which its file keeps."""
        self._are_usable = sys.platform == "linux" and hasattr(os, "memfd_create")

    def of(self, body: bytes) -> BodyFile | None:
        """The file of this body; None: it is too large, there are too many, or there are no such files here."""
        if not self._are_usable or len(body) > MAX_BYTES:
            return None
        found = self._files.get(id(body))
        if found is None and len(self._files) < MAX_FILES:
            try:
                found = self._files[id(body)] = BodyFile(body)
            except OSError:  # too many descriptors, or a sandbox that forbids them
                return None
        return found


def size_with_files(entry: Entry) -> int:
    """The most bytes that an entry takes, with the files of its bodies."""
    size_bytes = entry.size_bytes
    bodies = (entry.body, entry.gzip or b"") if size_bytes > JOIN_BYTES else ()
    return size_bytes + sum(len(body) for body in bodies if JOIN_BYTES < len(body) <= MAX_BYTES)


def write(transport: asyncio.Transport, head: bytes, body: bytes, file: BodyFile | None) -> None:
    """Write a response whose body is large; `file` has the body, if there is one. What the kernel does not take at once
    is left to the transport, and so is every error.
    """
    if file is None or transport.get_write_buffer_size():
        transport.writelines((head, body))  # one writev: the client wakes once
        return
    sent = _send(transport, head, file)
    if sent < len(head):
        transport.writelines((head[sent:], body))
    elif sent < len(head) + len(body):
        transport.write(memoryview(body)[sent - len(head) :])


def _send(transport: asyncio.Transport, head: bytes, file: BodyFile) -> int:
    """Send what the kernel takes now. Returns how many bytes of head and body that is."""
    outer = transport.get_extra_info("socket")
    descriptor = -1 if outer is None else outer.fileno()
    if descriptor < 0:
        return 0
    sent = 0
    inner = socket.socket(outer.family, socket.SOCK_STREAM, outer.proto, fileno=descriptor)
    try:
        sent = inner.send(head, socket.MSG_MORE | socket.MSG_DONTWAIT)  # more comes: the client wakes once
        if sent == len(head):
            sent += os.sendfile(descriptor, file.descriptor, 0, len(file.body))
    except OSError:
        pass
    finally:
        inner.detach()
    return sent
