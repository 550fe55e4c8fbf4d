"""How a transcript looks: a line for each answer, the Cache-Status header in words, the sums of counters.

Owns: columns, units and wording. Must not know: what is asked, and in which order.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from proxy.app import Application
from tests.gateway.harness import Answer, Client
from tests.simulator import Simulator

REASONS = {"ban": "the IP is banned", "quota": "the budget is used up", "rejected": "refused here, in Binance's words"}


@dataclass(frozen=True, slots=True)
class Teller:
    """Asks, and prints what was asked, how long it took, what it cost, and where the answer came from."""

    origin: Simulator
    asking: Client

    async def ask(self, target: str, **headers: str) -> Answer:
        """One question, one line. `headers` with `_` for `-`."""
        spent, started = self.origin.weight_spent, time.perf_counter()
        answer = await self.asking.ask(target, **headers)
        seconds, cost = time.perf_counter() - started, self.origin.weight_spent - spent
        what = target.removeprefix("/api/v3/") + (" (gzip)" if "Accept_Encoding" in headers else "")
        numbers = f"{answer.status} {_size(answer.raw):>8} {milliseconds(seconds):>9} {cost:>5}"
        print(f"  {cut(what, 45):<45} {numbers}  {where(answer.cache_status)}")
        return answer


def counted(app: Application, name: str) -> float:
    """One of the gateway's counters, summed over its labels."""
    families = (family for family in app.metrics.registry.collect() if family.name == f"binance_sidecar_{name}")
    return sum(sample.value for family in families for sample in family.samples if sample.name.endswith("_total"))


def where(cache_status: str) -> str:
    """The Cache-Status header in words (RFC 9211)."""
    parts = dict(part.partition("=")[::2] for part in cache_status.split("; ")[1:])
    detail = parts.get("detail", "")
    if "hit" in parts:
        return _hit(int(parts["ttl"]), detail)
    if "fwd" in parts:
        sent = {"stored": "asked of Binance, now kept", "collapsed": "joined another client's request"}
        return next((words for name, words in sent.items() if name in parts), "asked of Binance")
    return REASONS.get(detail, detail)


def _hit(ttl_seconds: int, detail: str) -> str:
    if ttl_seconds >= 0:
        source = "selected from cache" if detail == "snapshot" else "cache"
        return f"{source}, fresh for {ttl_seconds} s"
    reason = REASONS.get(detail, "a newer one is on its way")
    return f"cache, stale for {-ttl_seconds} s: {reason}"


def _size(body: bytes) -> str:
    count = len(body)
    if count < 1000:
        return f"{count} B"
    return f"{count / 1e3:.1f} kB" if count < 1_000_000 else f"{count / 1e6:.1f} MB"


def milliseconds(seconds: float) -> str:
    """A duration: milliseconds below a second."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def cut(text: str, width: int) -> str:
    """At most so many characters; an ellipsis stands for the rest."""
    return text if len(text) <= width else text[: width - 1] + "…"


def section(title: str, *, answers: bool = True) -> None:
    """A heading, and the names of the columns where answers follow."""
    print(f"\n{title}", flush=True)
    if answers:
        print(f"  {'asked: /api/v3/…':<45} {'got':<3} {'size':>8} {'time':>9} {'cost':>5}  answered from")
