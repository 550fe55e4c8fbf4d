"""The Lua script of the leases as a typed call, and the reading of what is pushed.

Owns: the order of its arguments and results. Must not know: when it is called, what happens
while Redis is away. The call raises RedisAway.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from itertools import count
from typing import Any

from msgspec import Struct

from proxy.core.quota.block import STRIKE_MEMORY_SECONDS, Block, BlockReason
from proxy.core.quota.charges import WindowKey, WindowUsage
from proxy.core.quota.client_share import MAX_CLIENTS
from proxy.core.quota.clock_offset import JUMP_SECONDS
from proxy.core.quota.lease_calls import Call, Reply, State, WindowCall, WindowReply, WindowState
from proxy.core.quota.lease_store import GRACE_SECONDS
from proxy.quota.script_replies import StoredBlock
from proxy.quota.scripts import CLOCK_SECONDS, ScriptRunner, push_channel, push_command, ttl_ms
from proxy.redis_client.connection import RedisOperation

STATE_MS = 86_400_000
"""How long Redis keeps the birth mark after the last call."""
_BLOCK_WORDS = 4
_WINDOW_WORDS = 6


class Push(Struct, frozen=True):
    """What was pushed."""

    state: State
    block: tuple[str, ...]
    """Reason, end as its writer wrote it, strikes, milliseconds until its hash expires; empty: there is no block."""

    def stored_block(self, now: float) -> StoredBlock | None:
        """The block by the caller's clock, read as `lua/read_block.lua` does."""
        if not self.block:
            return None
        reason, written, strikes, expiry_ms = self.block
        until, left_ms = float(written), float(expiry_ms)
        if left_ms >= 0:
            counted = now + left_ms / 1000 - STRIKE_MEMORY_SECONDS
            until = counted if abs(counted - until) > JUMP_SECONDS else until
        return StoredBlock(Block(BlockReason(reason), until, int(strikes)), written)


class Synced(Struct, frozen=True):
    """The answer to a call."""

    reply: Reply
    push: Push
    """What all processes were told, or would have been."""
    refusal: str
    """Why nothing could be pushed; empty: it was, or was not asked for."""


def read_push(data: bytes | str) -> Push:
    """Read a push. Raises ValueError."""
    words = (data.decode() if isinstance(data, bytes) else data).split(" ")
    if len(words) < 3 + _BLOCK_WORDS or (len(words) - 3 - _BLOCK_WORDS) % _WINDOW_WORDS:
        raise ValueError("a push has the wrong number of words")
    block = tuple(words[3 : 3 + _BLOCK_WORDS])
    windows = {}
    for at in range(3 + _BLOCK_WORDS, len(words), _WINDOW_WORDS):
        key, *numbers = words[at : at + _WINDOW_WORDS]
        used, pending, refundable, leased, exact = map(int, numbers)
        windows[key] = WindowState(WindowUsage(used, pending, refundable, leased), exact != 0)
    birth = "" if words[2] == "-" else words[2]
    state = State(int(words[0]), int(words[1]) / 1_000_000, birth, windows)
    return Push(state, () if block[0] == "-" else block)


class SyncScript:
    """The script of one quota domain."""

    __slots__ = ("_channel", "_connection", "_constants", "_domain_key", "_names", "_script", "_state", "_told")

    def __init__(self, connection: ScriptRunner, domain_key: str) -> None:
        self._connection = connection
        self._domain_key = domain_key
        self._channel = push_channel(domain_key)
        self._names = count()
        self._constants = (
            f"{GRACE_SECONDS!r} {CLOCK_SECONDS} {STRIKE_MEMORY_SECONDS} {JUMP_SECONDS!r} {MAX_CLIENTS}"
            f" {push_command(connection.client)} {STATE_MS}"
        )
        source = resources.files("proxy.quota").joinpath("lua", "sync.lua").read_bytes()
        self._script = connection.client.register_script(source)
        self._told: dict[WindowKey, tuple[WindowCall, str]] = {}
        """What the last call told of each window, and in which words."""
        self._state: tuple[bytes | str, Push] | None = None
        """What was read last: a process that pushes is told the same twice, as an answer and as a push."""

    async def call(self, call: Call, *, good_at: float | None, may_teach: bool) -> Synced:
        """One call. `good_at`: when the last request was reserved that got a good answer."""
        names = ("block", "clock", "leases", *(window.key.key for window in call.windows))
        keys = [f"{self._domain_key}:{name}" for name in names]
        args = [self._channel, self._words(call, good_at=good_at, may_teach=may_teach)]
        for window in call.windows:
            for client, weight in window.clients.items():
                args += [client, str(weight)]

        async def run() -> Synced:
            return self._read_answer(call, await self._script(keys=keys, args=args))

        return await self._connection.run(RedisOperation.SYNC, run)

    def read_push(self, data: bytes | str) -> Push:
        """Read a push. Raises ValueError."""
        if self._state is None or self._state[0] != data:
            self._state = data, read_push(data)
        return self._state[1]

    def _words(self, call: Call, *, good_at: float | None, may_teach: bool) -> str:
        """All numbers in one argument: the driver takes longer for an argument than the script for a word."""
        now, birth = repr(call.now), call.birth or "-"
        news = f"{now if may_teach else '-'} {'-' if good_at is None else repr(good_at)}"
        words = [
            f"{now} {call.run} {call.number} {call.parts} {birth} {call.run}.{next(self._names)}"
            f" {call.suspects_loss:d} {news} {call.publishes:d}",
            self._constants,
        ]
        told = {window.key: self._words_of(window) for window in call.windows}
        self._told = told
        for key, (window, figures) in told.items():
            words.append(f"{figures} {ttl_ms(key, call.now)} {len(window.clients)}")
        return " ".join(words)

    def _words_of(self, window: WindowCall) -> tuple[WindowCall, str]:
        """The figures of a window, which are often those of the last call."""
        told = self._told.get(window.key)
        return told if told is not None and told[0] == window else (window, _figures(window))

    def _read_answer(self, call: Call, row: Sequence[Any]) -> Synced:
        push, refusal = self.read_push(row[0]), row[1]
        states = [push.state.windows[window.key.key] for window in call.windows]
        replies = tuple(
            WindowReply(state.usage, state.is_exact, int(taken), int(raised))
            for state, taken, raised in zip(states, row[2::2], row[3::2], strict=True)
        )
        text = refusal.decode() if isinstance(refusal, bytes) else str(refusal)
        return Synced(Reply(push.state.birth, replies, push.state.number, push.state.server_seconds), push, text)


def _figures(window: WindowCall) -> str:
    totals, settled = window.totals, window.settled
    return (
        f"{window.budget} {window.ceiling} {window.want} {window.half}"
        f" {totals.taken} {totals.returned} {totals.spent} {window.is_known:d}"
        f" {window.header} {window.held} {window.floor} {window.seen}"
        f" {settled.pending} {settled.refunded} {settled.kept}"
    )
