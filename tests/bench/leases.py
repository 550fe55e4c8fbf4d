"""A fleet that takes its quota in leases, in virtual time, with all that can go wrong.

Owns: the demand, the faults, the order of a replica's calls as in `proxy/quota/leasing.py`, the figures of a run. The
decisions are the real ones: `ProcessLeases` on one side, `LeaseStore` on the other. Must not know: sockets, asyncio,
the wall clock. The same seed gives the same demand to both ways.

A heartbeat is one event for the whole fleet, and a replica reads the last one when it needs it: that is what it would
know, and a thousand replicas cost no more.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from msgspec.structs import replace

from proxy.core.quota.budget import Blocked, Budget, Reservation
from proxy.core.quota.charges import WindowKey, WindowUsage, budget_of, cost_of
from proxy.core.quota.client_share import share_of
from proxy.core.quota.demand import demand_of
from proxy.core.quota.lease_calls import Call, Reply, State
from proxy.core.quota.lease_news import EARLY_SETTLE_SECONDS, SETTLE_SECONDS
from proxy.core.quota.lease_store import LeaseStore
from proxy.core.quota.process_leases import ProcessLeases
from proxy.core.quota.push_trust import TRUST_SECONDS
from proxy.core.quota.ratios import Purpose, Ratios
from proxy.core.quota.refusal import Refused
from proxy.core.quota.replica_view import ReplicaView, Wanted
from proxy.core.quota.unsynced_usage import Total
from proxy.core.quota.usage_report import UsageReport
from proxy.core.quota.windows import DEFAULT_WINDOWS, GUARD_SECONDS, MINUTE_SECONDS
from proxy.errors import RedisAway
from proxy.quota.leasing import EARLY_BEAT_SECONDS, TICK_SECONDS
from proxy.quota.push_proof import beat_after
from tests.bench.virtual import LIMIT, Process, World

T = TypeVar("T")
RATIOS = Ratios()
BUDGET = budget_of(LIMIT, RATIOS.budget)
WEIGHTS = ((1, 55), (2, 25), (5, 8), (10, 7), (20, 3), (25, 2))
"""Weights and how many in a hundred requests have them."""
MEAN_WEIGHT = sum(weight * share for weight, share in WEIGHTS) / 100
CLIENTS = 10
START_MINUTES = 2
"""The fleet starts in these: each replica's first request finds no lease."""
DEADLINE_SECONDS = 0.25
PUSH_SECONDS = 0.0011
"""A push is heard so long after it was called for."""
TICKS_SECONDS = (2.2, 12.0, 22.0, 32.0, 42.0, 52.0, 58.7)
"""In each minute something is due by the time alone at these seconds, or less than a tick later: a first grant, an
idle lease, one that is given back before the edge."""
SILENT_SECONDS = 1.0
"""After so long without proof everything is given back."""
REFUSAL_SECONDS = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is played."""

    replicas: int
    demand: float
    """As a part of the budget."""
    swings: bool = False
    """Whether every other minute, from half a second before it begins, has a tenth of that demand: leases are then
    spent around the edges of full minutes."""
    minutes: int = 5
    leases: bool = True
    redis: bool = True
    crashes: float = 0.0
    """Of each replica in a minute."""
    flush_every: float = 0.0
    """Seconds; 0: never."""
    roll_back_every: float = 0.0
    """Each time a fail-over loses the last half second."""
    freeze_every: float = 0.0
    """Each time the master stands still for two seconds, and then does what was asked meanwhile."""
    deaf: float = 0.0
    """The part of the time in which a replica hears no push and does not know it yet."""


@dataclass(frozen=True, slots=True)
class Steady:
    """What a fleet did in so many minutes."""

    minutes: int
    sent: int
    refused: int
    waited: int
    calls: int
    beats: int

    @property
    def calls_a_request(self) -> float:
        """Without heartbeats."""
        return self.calls / max(1, self.sent)

    @property
    def waiting(self) -> float:
        """The part of all requests that waited for Redis."""
        return self.waited / max(1, self.sent + self.refused)

    @property
    def beats_a_second(self) -> float:
        """Calls of the whole fleet for the sake of a heartbeat alone."""
        return self.beats / max(1, self.minutes) / MINUTE_SECONDS

    def calls_a_replica_and_minute(self, replicas: int) -> float:
        """Without heartbeats."""
        return self.calls / max(1, self.minutes) / replicas

    def requests_a_second(self, replicas: int) -> float:
        """Of one replica."""
        return self.sent / max(1, self.minutes) / MINUTE_SECONDS / replicas


@dataclass
class Figures:
    """What an onlooker counted."""

    counted: Counter[int] = field(default_factory=Counter)
    """Weight by minute, as the origin counts."""
    charged: Counter[int] = field(default_factory=Counter)
    """The same as we count: around an edge in both minutes."""
    refused: Counter[int] = field(default_factory=Counter)
    sent: Counter[int] = field(default_factory=Counter)
    waited: Counter[int] = field(default_factory=Counter)
    calls: Counter[int] = field(default_factory=Counter)
    """Of Redis, without heartbeats but those that another reason called for as well."""
    beats: Counter[int] = field(default_factory=Counter)
    """Calls of Redis for the sake of a heartbeat alone."""
    start_minutes: int = START_MINUTES

    def minutes(self) -> list[int]:
        """All but the first."""
        return sorted(self.counted)[1:]

    def steady(self) -> Steady:
        """Of all minutes but those in which the fleet starts."""
        return self._of(sorted(self.counted)[self.start_minutes :])

    def under_half(self) -> Steady:
        """The same of the minutes in which less than half of the budget was charged."""
        return self._of([at for at in sorted(self.counted)[self.start_minutes :] if 2 * self.charged[at] < BUDGET])

    def _of(self, minutes: list[int]) -> Steady:
        return Steady(
            len(minutes),
            *(sum(counts[at] for at in minutes) for counts in (self.sent, self.refused, self.waited)),
            *(sum(counts[at] for at in minutes) for counts in (self.calls, self.beats)),
        )

    @property
    def over_spend(self) -> int:
        """Of the heaviest minute beyond the budget."""
        return max((weight - BUDGET for weight in self.counted.values()), default=0)

    @property
    def unused(self) -> list[float]:
        """The part of the budget that was left, of each minute in which something was refused for long."""
        return [1 - self.counted[minute] / BUDGET for minute in self.minutes() if self.refused[minute] > 5]


class Store:
    """One Redis."""

    def __init__(self, world: World, figures: Figures, *, replicas: int) -> None:
        self.world = world
        self._replicas = replicas
        self.away = self.frozen = False
        self.pushes: list[State] = []
        self.beat_at = world.now
        """When the next heartbeat is due."""
        self.callers = 1
        """How many call for it, because they have not heard it from the first."""
        self.on_push: Callable[[State], None] = lambda state: None
        self._figures = figures
        self._births = 0
        self._late: list[Callable[[], object]] = []
        self.leases = self._new()

    def _new(self) -> LeaseStore:
        self._births += 1
        return LeaseStore(Budget(), birth=str(self._births), born_at=self.world.now)

    def flush(self) -> None:
        """Lose everything."""
        self.leases = self._new()

    def snapshot(self) -> LeaseStore:
        """What a replica of this server has."""
        return copy.deepcopy(self.leases)

    def thaw(self) -> None:
        """Go on, with what was asked meanwhile."""
        self.frozen = False
        for act in self._late:
            act()
        self._late.clear()

    def call(self, act: Callable[[], T]) -> Process[T]:
        """One round trip. Raises RedisAway."""
        if self.away:
            raise RedisAway("away")
        slow = self.world.chance.uniform(0.005, 0.02) if self.world.chance.random() < 0.01 else 0.0
        yield 0.00045 + slow
        if self.frozen:
            self._late.append(act)
            yield DEADLINE_SECONDS
            raise RedisAway("no answer")
        self._figures.calls[self.world.minute] += 1
        result = act()
        yield 0.00045
        return result

    def publish(self, keys: tuple[WindowKey, ...]) -> None:
        """Push the state."""
        if not (self.away or self.frozen):
            state = self.leases.state(self.world.now, keys)
            self.pushes = [*self.pushes[-7:], state]
            after_seconds, self.callers = next_beat(self.world.chance, self._replicas)
            self.beat_at = self.world.now + after_seconds
            self.on_push(state)


def next_beat(chance: Random, replicas: int) -> tuple[float, int]:
    """In how many seconds the first of so many replicas calls for a heartbeat, and how many do before they hear it."""
    first, callers, above = math.inf, 0, 1.0
    for left in range(replicas, 0, -1):
        above *= chance.random() ** (1 / left)  # the next smallest of so many random numbers is 1 less this
        at = beat_after(1 - above, replicas)
        if at > first + PUSH_SECONDS:
            break
        first, callers = min(at, first), callers + 1
    return first, callers


class Replica:
    """One gateway."""

    def __init__(self, run: str, world: World, store: Store, scenario: Scenario, figures: Figures) -> None:
        self.run, self.world, self.store, self.scenario, self.figures = run, world, store, scenario, figures
        self.leases = ProcessLeases(run, RATIOS)
        self.seen = ReplicaView()
        self.alive = True
        self.deaf_until = self._heard_until = -math.inf
        self._heard: State | None = None
        self._calling = False
        self._refused_until = -math.inf
        self._refused_weight = 0

    def listen(self) -> None:
        """Read the last push that has arrived."""
        now = self.world.now
        if now < self.deaf_until:
            return
        arrived = [state for state in self.store.pushes if state.server_seconds + 0.001 <= now]
        if arrived and arrived[-1] is not self._heard:
            self._heard = arrived[-1]
            if self.leases.observe(self._heard):
                self._heard_until = self._heard.server_seconds + TRUST_SECONDS

    def is_proven(self) -> bool:
        """Whether it would know of a block by now."""
        return self.scenario.leases and self.world.now < self._heard_until

    def tick(self) -> None:
        """What is due by the time alone."""
        self.listen()
        self.leases.may_hold = self.is_proven()
        if self.world.now > self._heard_until + SILENT_SECONDS:
            self.leases.give_back()
        self.leases.frame(self.world.now, DEFAULT_WINDOWS, GUARD_SECONDS)
        self.leases.tick(self.world.now)
        self.mind()

    def mind(self) -> None:
        """Call the store if it is time."""
        if self.alive and not self._calling and self.leases.due_at(self.world.now) <= self.world.now:
            self._calling = True
            self.world.start(self._sync())

    def live(self) -> Process[None]:
        """Tick until it crashes."""
        while self.alive:
            self.tick()
            second = self.world.now % MINUTE_SECONDS
            at = next((at for at in TICKS_SECONDS if at > second), TICKS_SECONDS[0] + MINUTE_SECONDS)
            yield at - second + self.world.chance.uniform(0, TICK_SECONDS)

    def _sync(self) -> Process[None]:
        pause_seconds = 0.0
        try:
            yield from self._merge()
            self.leases.frame(self.world.now, DEFAULT_WINDOWS, GUARD_SECONDS)
            call = self.leases.call(self.world.now, replicas=self.scenario.replicas, floors=self.seen.floors)
            try:
                reply = yield from self.store.call(lambda: self._called(call))
            except RedisAway:
                self.leases.failed(call)
                raise
            self.leases.answered(call, reply)
            told = zip(call.windows, reply.windows, strict=True)
            self.seen.adopt({window.key: said.usage for window, said in told})
        except RedisAway:
            pause_seconds = 0.25
        yield pause_seconds
        self._calling = False
        self.mind()

    def _called(self, call: Call) -> Reply:
        was_exact = [self.store.leases.is_exact(window.key) for window in call.windows]
        reply = self.store.leases.call(call)
        is_beat = self.scenario.leases and self.world.now >= self.store.beat_at - EARLY_BEAT_SECONDS
        if is_beat or was_exact != [window.is_exact for window in reply.windows]:
            self.store.publish(tuple(window.key for window in call.windows))
        return reply

    def request(self, weight: int, client: str) -> Process[None]:
        """One request of a client."""
        self.listen()
        self.leases.may_hold = self.is_proven()
        wanted = self._wanted(weight, client)
        reservation = self._leased(wanted, client)
        if reservation is None:
            self.figures.waited[self.world.minute] += 1
            self.leases.demand(weight, self.world.now)
            self.mind()
            reservation = yield from self._reserve(weight, client)
        self.mind()
        if reservation is None:
            self.figures.refused[self.world.minute] += 1
            return
        for charge in reservation.charges:
            if charge.window_key.interval_seconds == MINUTE_SECONDS:
                self.figures.charged[charge.window_key.start // MINUTE_SECONDS] += weight
        yield self.world.chance.uniform(0.001, 0.02)
        if not self.alive or not reservation.covers(self.world.now):
            return
        self.figures.sent[self.world.minute] += 1
        self.figures.counted[self.world.minute] += weight
        told, at = self.figures.counted[self.world.minute], self.world.now
        yield 0.0125
        if self.alive:
            self._settle(reservation, told, at)

    def _leased(self, wanted: Wanted, client: str) -> Reservation | None:
        if not self.is_proven():
            return None
        demand = demand_of(wanted.weight, wanted.purpose, False, client)
        charges = self.leases.spend(wanted.now, demand, wanted.windows, GUARD_SECONDS)
        if charges is None:
            return None
        return Reservation(charges, wanted.now, leased=True, is_proven=self.is_proven)

    def _settle(self, reservation: Reservation, told: int, at: float) -> None:
        now = self.world.now
        if reservation.local:
            self.seen.settle_alone(reservation, now)
        elif not reservation.leased:
            is_first = self.leases.news.settled_at == math.inf
            self.leases.news.settle(reservation, now, ok=True)
            self.leases.is_urgent |= not self.scenario.leases
            if is_first and self.scenario.leases:
                self.world.start(self._later(), after_seconds=EARLY_SETTLE_SECONDS)
                self.world.start(self._later(), after_seconds=SETTLE_SECONDS)
        report = UsageReport(at, {MINUTE_SECONDS: told}, ok=True)
        self.leases.record_headers(report, reservation.at, now, GUARD_SECONDS)
        self.mind()

    def _later(self) -> Process[None]:
        self.mind()
        yield 0.0

    def _reserve(self, weight: int, client: str) -> Process[Reservation | None]:
        now, wanted = self.world.now, self._wanted(weight, client)
        if now < self._refused_until and weight >= self._refused_weight:
            return None
        outcome: Reservation | Refused | Blocked | None = self.seen.refuse(wanted)
        if outcome is None:
            try:
                yield from self._merge()
                outcome, usages = yield from self.store.call(lambda: self._reserved(wanted))
                self.seen.adopt(usages)
                self.leases.see(usages)
            except RedisAway:
                outcome = self.seen.reserve_alone(self._wanted(weight, client), replicas=self.scenario.replicas)
        if isinstance(outcome, Reservation):
            return outcome
        self._refused_until, self._refused_weight = self.world.now + REFUSAL_SECONDS, weight
        return None

    def _reserved(self, wanted: Wanted) -> tuple[Reservation | Refused | Blocked, dict[WindowKey, WindowUsage]]:
        store, charges = self.store.leases, wanted.charges()
        for charge in charges:
            floor, budget = self.seen.floors.get(charge.window_key, 0), budget_of(charge.window.limit, wanted.ratio)
            store.restore(charge.window_key, floor=floor, budget=budget)
        share = wanted.client_share
        outcome = store.budget.reserve(
            wanted.now, cost_of(wanted.weight), wanted.windows, ratio=wanted.ratio, client_share=share
        )
        return outcome, {charge.window_key: store.budget.usage(charge.window_key) for charge in charges}

    def _merge(self) -> Process[None]:
        totals = self.seen.unsynced.to_merge(self.world.now)
        if totals:
            yield from self.store.call(lambda: self._add(totals))
            self.seen.unsynced.mark_merged(totals)

    def _add(self, totals: dict[WindowKey, Total]) -> None:
        for key in totals:
            missing, usage = self.seen.unsynced.lacking(key), self.store.leases.budget.usage(key)
            used, pending = usage.used + missing.used, max(0, usage.pending + missing.pending)
            self.store.leases.budget.put(key, replace(usage, used=used, pending=pending))

    def _wanted(self, weight: int, client: str) -> Wanted:
        return Wanted(
            now=self.world.now,
            weight=weight,
            windows=DEFAULT_WINDOWS,
            ratios=RATIOS,
            purpose=Purpose.PUBLIC,
            guard_seconds=GUARD_SECONDS,
            client_share=share_of(client, RATIOS.client),
        )


class LeasedFleet:
    """All replicas of one scenario."""

    def __init__(self, scenario: Scenario, *, seed: int) -> None:
        self.scenario = scenario
        self.world, self.figures = World(seed), Figures()
        self.store = Store(self.world, self.figures, replicas=scenario.replicas)
        self.store.away = not scenario.redis
        self.store.on_push = self._pushed
        self._demand, self._faults = Random(seed), Random(seed + 1)
        self._born = 0
        self._told: tuple[str, frozenset[str], int] = ("", frozenset(), 0)
        """What the last push told: the birth mark, the windows that are exact, its number."""
        self.replicas = [self._new() for _ in range(scenario.replicas)]

    def play(self) -> Figures:
        """Let the time pass."""
        scenario, world = self.scenario, self.world
        world.start(self._clients())
        world.start(self._beats())
        if scenario.crashes or scenario.deaf:
            world.start(self._crashes())
        for every, act in (
            (scenario.flush_every, self._flush),
            (scenario.roll_back_every, self._roll_back),
            (scenario.freeze_every, self._freeze),
        ):
            if every:
                world.start(self._repeat(every, act))
        world.run(scenario.minutes * MINUTE_SECONDS)
        return self.figures

    def _new(self) -> Replica:
        self._born += 1
        replica = Replica(f"run{self._born}", self.world, self.store, self.scenario, self.figures)
        self.world.start(replica.live(), after_seconds=self.world.chance.uniform(0, TICK_SECONDS))
        return replica

    def _clients(self) -> Process[None]:
        per_second = self.scenario.demand * BUDGET / MEAN_WEIGHT / MINUTE_SECONDS
        weights, shares = zip(*WEIGHTS, strict=True)
        while True:
            is_low = self.scenario.swings and (self.world.now + 0.5) % (2 * MINUTE_SECONDS) < MINUTE_SECONDS
            yield self._demand.expovariate(per_second / 10 if is_low else per_second)
            (weight,) = self._demand.choices(weights, shares)
            replica = self._demand.choice(self.replicas)
            self.world.start(replica.request(weight, f"client{self._demand.randrange(CLIENTS)}"))

    def _beats(self) -> Process[None]:
        while self.scenario.leases:
            pause_seconds = self.store.beat_at - self.world.now
            if pause_seconds > 0:
                yield pause_seconds
                continue
            if not (self.store.away or self.store.frozen):
                keys = tuple(
                    WindowKey(window.name, window.interval_seconds, window.start(self.world.now))
                    for window in DEFAULT_WINDOWS
                )
                self.figures.beats[self.world.minute] += self.store.callers
                self.store.publish(keys)
            else:
                yield TICK_SECONDS

    def _pushed(self, state: State) -> None:
        """What changes what may be spent reaches every replica by itself; the rest it reads when it needs it."""
        exact = frozenset(key for key, window in state.windows.items() if window.is_exact)
        before, self._told = self._told, (state.birth, exact, state.number)
        if before[0] != state.birth or not exact <= before[1] or state.number <= before[2]:
            for replica in self.replicas:
                self.world.start(self._hear(replica), after_seconds=PUSH_SECONDS)

    def _hear(self, replica: Replica) -> Process[None]:
        if replica.alive:
            replica.tick()
        yield 0.0

    def _repeat(self, every: float, act: Callable[[], Process[None]]) -> Process[None]:
        while True:
            yield every * self._faults.uniform(0.7, 1.3)
            yield from act()

    def _flush(self) -> Process[None]:
        self.store.flush()
        yield 0.0

    def _roll_back(self) -> Process[None]:
        before = self.store.snapshot()
        yield 0.5
        self.store.leases = before

    def _freeze(self) -> Process[None]:
        self.store.frozen = True
        yield TRUST_SECONDS + SILENT_SECONDS + TICK_SECONDS
        for replica in self.replicas:
            self.world.start(self._hear(replica))
        yield 0.5
        self.store.thaw()

    def _crashes(self) -> Process[None]:
        while True:
            yield 0.5
            for number, replica in enumerate(self.replicas):
                if self._faults.random() < self.scenario.crashes * 0.5 / MINUTE_SECONDS:
                    replica.alive = False
                    self.replicas[number] = self._new()
                if self._faults.random() < self.scenario.deaf / 4:
                    replica.deaf_until = self.world.now + 2.0
                    self.world.start(self._hear(replica), after_seconds=TRUST_SECONDS + SILENT_SECONDS + TICK_SECONDS)
                    self.world.start(self._hear(replica), after_seconds=2.0 + TICK_SECONDS)


def play(scenario: Scenario, *, seed: int) -> Figures:
    """The figures of one run."""
    return LeasedFleet(scenario, seed=seed).play()
