"""The Lua script of the leases as a typed call, and the reading of what is pushed.

Owns: the order of its arguments and results. Must not know: when it is called, what happens
while Redis is away. The call raises RedisAway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
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
_WINDOW_WORDS = 7


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
    number, micros, birth, *words = (data.decode() if isinstance(data, bytes) else data).split(" ", 3 + _BLOCK_WORDS)
    if len(words) < _BLOCK_WORDS:
        raise ValueError("a push has too few words")
    windows = _read_windows(words.pop()) if len(words) > _BLOCK_WORDS else {}
    state = State(int(number), int(micros) / 1_000_000, "" if birth == "-" else birth, windows)
    return Push(state, () if words[0] == "-" else tuple(words))


@lru_cache(maxsize=8)
def _read_windows(text: str) -> Mapping[str, WindowState]:
    """The windows of a push, which are often those of the last one. Raises ValueError."""
    words = text.split(" ")
    if len(words) % _WINDOW_WORDS:
        raise ValueError("a push has the wrong number of words")
    windows = {}
    for at in range(0, len(words), _WINDOW_WORDS):
        key, *numbers = words[at : at + _WINDOW_WORDS]
        *usage, exact = map(int, numbers)
        windows[key] = WindowState(WindowUsage(*usage), exact > 0, exact > 1)
    return windows


class _Told(Struct, frozen=True):
    """What a call tells of one window."""

    window: WindowCall
    name: str
    """Of its key in Redis."""
    figures: str


class SyncScript:
    """The script of one quota domain."""

    __slots__ = (
        "_channel",
        "_connection",
        "_constants",
        "_domain_key",
        "_keys",
        "_names",
        "_script",
        "_state",
        "_told",
    )

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
        self._keys = [f"{domain_key}:{name}" for name in ("block", "clock", "leases")]
        self._told: dict[WindowKey, _Told] = {}
        """By the last call."""
        self._state: tuple[bytes | str, Push] | None = None
        """What was read last: a process that pushes is told the same twice, as an answer and as a push."""

    async def call(self, call: Call, *, good_at: float | None, may_teach: bool) -> Synced:
        """One call. `good_at`: when the last request was reserved that got a good answer."""
        told = {window.key: self._tell(window) for window in call.windows}
        self._told = told
        args = [self._channel, self._words(call, good_at=good_at, may_teach=may_teach)]
        for window in call.windows:
            for client, weight in window.clients.items():
                args += [client, str(weight)]
        keys = [*self._keys, *[one.name for one in told.values()]]

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
        for key, one in self._told.items():
            words.append(f"{one.figures} {ttl_ms(key)} {len(one.window.clients)}")
        return " ".join(words)

    def _tell(self, window: WindowCall) -> _Told:
        """The figures of a window are often those of the last call."""
        told = self._told.get(window.key)
        if told is None or told.window != window:
            told = _Told(window, f"{self._domain_key}:{window.key.key}", _figures(window))
        return told

    def _read_answer(self, call: Call, row: Sequence[Any]) -> Synced:
        push, refusal = self.read_push(row[0]), row[1]
        replies: list[WindowReply] = []
        for window, *numbers in zip(call.windows, row[2::3], row[3::3], row[4::3], strict=True):
            state = push.state.windows[window.key.key]
            taken, raised, untold = map(int, numbers)
            replies.append(WindowReply(state.usage, state.is_exact, taken, raised, untold, state.is_lost))
        text = refusal.decode() if isinstance(refusal, bytes) else str(refusal)
        return Synced(Reply(push.state.birth, tuple(replies), push.state.number, push.state.server_seconds), push, text)


def _figures(window: WindowCall) -> str:
    totals, settled = window.totals, window.settled
    return (
        f"{window.budget} {window.ceiling} {window.want} {window.half} {window.is_over:d}"
        f" {totals.taken} {totals.returned} {totals.spent} {window.known_returned}"
        f" {window.header} {window.held} {window.floor} {window.seen}"
        f" {settled.pending} {settled.refunded} {settled.kept}"
    )
