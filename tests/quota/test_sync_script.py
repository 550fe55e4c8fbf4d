"""The script of the leases, held to its model on a real Valkey, step by step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from random import Random

import pytest
from msgspec.structs import replace

from proxy.core.quota import lease_store
from proxy.core.quota.budget import Budget, Reservation
from proxy.core.quota.charges import WindowKey, cost_of
from proxy.core.quota.client_share import ClientShare
from proxy.core.quota.demand import demand_of
from proxy.core.quota.lease_calls import Call, Reply, WindowCall
from proxy.core.quota.lease_store import LeaseStore
from proxy.core.quota.process_leases import ProcessLeases
from proxy.core.quota.ratios import Purpose, Ratios
from proxy.core.quota.usage_report import UsageReport
from proxy.core.quota.windows import DEFAULT_WINDOWS, GUARD_SECONDS, RateLimitKind, Window
from proxy.quota import sync_script
from proxy.quota.script_replies import Reserved
from proxy.quota.scripts import Request, Scripts
from proxy.quota.sync_script import Push, SyncScript, read_push
from tests.quota.conftest import Domain
from tests.quota.doubles import HOUR, Copied
from tests.sizes import sized

WINDOWS = (Window(RateLimitKind.REQUEST_WEIGHT, 60, 1000), Window(RateLimitKind.RAW_REQUESTS, 300, 600))
RATIOS = Ratios(client=1.0)
PROCESSES = 2


@dataclass(frozen=True)
class Spend:
    which: int
    weight: int
    refundable: bool


@dataclass(frozen=True)
class End:
    """One of the requests under way is answered."""

    number: int
    used: int
    ok: bool


@dataclass(frozen=True)
class Sync:
    which: int
    answered: bool
    """Whether the process gets the answer."""


@dataclass(frozen=True)
class GiveBack:
    which: int


@dataclass(frozen=True)
class Copy:
    pass


@dataclass(frozen=True)
class Replace:
    """The store is replaced by the last copy, or by an empty one."""

    is_empty: bool


@dataclass(frozen=True)
class Pass:
    seconds: float


Step = Spend | End | Sync | GiveBack | Copy | Replace | Pass


def step(dice: Random) -> Step:
    """Often what grants and spends, seldom what ends it."""
    number = dice.randrange(PROCESSES)
    acts: list[Step] = [
        Spend(number, dice.choice([1, 1, 2, 5, 20, 60]), dice.random() < 0.3),
        End(dice.randrange(20), dice.choice([-1, -1, 10, 100, 500]), dice.random() < 0.7),
        Sync(number, dice.random() < 0.8),
        GiveBack(number),
        Pass(dice.choice([0.2, 0.5, 2.0, 15.0])),
        Copy(),
        Replace(is_empty=True),
        Replace(is_empty=False),
    ]
    return dice.choices(acts, [10, 6, 6, 0.5, 3, 0.5, 0.15, 0.15])[0]


def new_store() -> LeaseStore:
    return LeaseStore(Budget(), birth="", born_at=0.0)


class Sides:
    """The same calls to the model and to the script."""

    def __init__(self, domain: Domain, ratios: Ratios, *, replicas: int = PROCESSES) -> None:
        domain.renew()
        self.replicas = replicas
        self.domain = domain
        self.script = SyncScript(domain.switched(), domain.key)
        self.scripts = Scripts(domain.switched(), domain.key)
        self.store = new_store()
        self.processes = [ProcessLeases(f"run{number}", ratios) for number in range(PROCESSES)]
        for process in self.processes:
            process.may_hold = True
        self.now = HOUR + 2.0
        self.under_way: list[tuple[ProcessLeases, Reservation]] = []
        self.seen: Counter[str] = Counter()
        self.floors: list[dict[WindowKey, int]] = [{} for _ in range(PROCESSES)]
        self.copy: tuple[Copied, LeaseStore] = [], new_store()

    async def take(self, step: Step) -> None:
        match step:
            case Spend(number, weight, refundable):
                await self._spend(number, weight, refundable=refundable)
            case End(number, used, ok) if self.under_way:
                process, reservation = self.under_way.pop(number % len(self.under_way))
                if reservation.leased:
                    process.settle(reservation, ok=ok)
                else:
                    process.news.settle(reservation, self.now, ok=ok)
                start = reservation.charges[0].window_key.start
                if used >= 0:
                    report = UsageReport(start, {60: used}, ok)
                    process.record_headers(report, reservation.at, self.now, GUARD_SECONDS)
            case Sync(number, answered):
                await self._sync(number, answered=answered)
            case GiveBack(number):
                self.processes[number].give_back()
            case Copy():
                self.copy = await self.domain.copy(), deepcopy(self.store)
            case Replace(is_empty):
                copied, store = ([], new_store()) if is_empty else self.copy
                await self.domain.replace_by(copied)
                self.store = deepcopy(store)
            case Pass(seconds):
                self.now += seconds

    async def _spend(self, number: int, weight: int, *, refundable: bool) -> None:
        process = self.processes[number]
        demand = demand_of(weight, Purpose.KEYED, refundable, "a")
        charges = process.spend(self.now, demand, WINDOWS, GUARD_SECONDS)
        if charges is not None:
            self.under_way.append((process, Reservation(charges, self.now, leased=True)))
            return
        process.demand(weight, self.now)
        ratio = RATIOS.of(Purpose.KEYED, local=False)
        model = self.store.budget.reserve(self.now, cost_of(weight), WINDOWS, ratio=ratio, refundable=refundable)
        made = Budget().reserve(self.now, cost_of(weight), WINDOWS, ratio=100.0, refundable=refundable)
        assert isinstance(made, Reservation)
        request = Request(made.charges, ratio, None, self.now, is_synchronized=True)
        reserved = await self.scripts.reserve(request, floors={}, client_usages={})
        assert isinstance(reserved, Reserved)
        assert (reserved.exceeded is None) == isinstance(model, Reservation)
        if isinstance(model, Reservation):
            self.under_way.append((process, model))

    async def _sync(self, number: int, *, answered: bool) -> None:
        process = self.processes[number]
        process.frame(self.now, WINDOWS, GUARD_SECONDS)
        call = process.call(self.now, replicas=self.replicas, floors=self.floors[number])
        synced = await self.script.call(call, good_at=None, may_teach=False)
        self.store.birth = synced.reply.birth
        self.seen["returned after the copy"] += any(self._lacks_return(call, told) for told in call.windows)
        reply = self.store.call(call)
        self._note(call, reply)
        for told, did, does in zip(call.windows, synced.reply.windows, reply.windows, strict=True):
            assert did == does, told
        self._compare(call, {told.key.key: said.usage for told, said in zip(call.windows, reply.windows, strict=True)})
        if answered:
            process.answered(call, synced.reply)
            for told, said in zip(call.windows, reply.windows, strict=True):
                self.floors[number][told.key] = max(self.floors[number].get(told.key, 0), said.usage.kept)
        else:
            process.failed(call)

    def _lacks_return(self, call: Call, told: WindowCall) -> bool:
        record = self.store._known(told.key).records.get(call.run)
        return record is not None and record.returned < told.known_returned

    def _note(self, call: Call, reply: Reply) -> None:
        for told, said in zip(call.windows, reply.windows, strict=True):
            self.seen["granted"] += said.taken > told.totals.taken
            held = said.taken - told.totals.returned - told.totals.spent
            self.seen["told at once"] += told.half > 0 and said.untold < held and not said.is_exact
            self.seen["returned"] += told.totals.returned > 0
            self.seen["exact"] += said.is_exact
            self.seen["leased when over"] += said.is_exact and said.taken > told.totals.taken
            self.seen["raised"] += said.raised > 0
            self.seen["refunded"] += told.settled.refunded > 0
            self.seen["clients"] += bool(told.clients)
            self.seen["lost"] += told.known_returned >= 0 and call.birth != reply.birth

    def _compare(self, call: Call, usages: Mapping[str, object]) -> None:
        for told in call.windows:
            usage = self.store.budget.usage(told.key)
            assert usage == usages[told.key.key]
            assert 0 <= usage.untold <= usage.leased <= usage.refundable <= usage.used


@pytest.mark.no_cover
@pytest.mark.parametrize("share", [1.0, 0.25])
async def test_the_script_does_what_the_model_does(share: float, domain: Domain) -> None:
    seen: Counter[str] = Counter()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sync_script, "GRACE_SECONDS", 0.0)
        patch.setattr(lease_store, "GRACE_SECONDS", 0.0)
        for seed in range(sized(quick=2, usual=3, long=40)):
            dice, sides = Random(seed), Sides(domain, Ratios(client=share))
            for _ in range(500):
                await sides.take(step(dice))
            seen += sides.seen
    assert (seen.pop("told at once", 0) > 0) == (share < 1.0)
    assert seen.pop("leased when over", 0) > 0 or share == 1.0
    assert set(seen) == {
        "granted",
        "returned",
        "exact",
        "raised",
        "refunded",
        "clients",
        "lost",
        "returned after the copy",
    }


@pytest.mark.parametrize("replicas", [1, 2, 9])
async def test_near_half_of_the_budget_the_script_allows_what_the_model_allows(replicas: int, domain: Domain) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sync_script, "GRACE_SECONDS", 0.0)
        patch.setattr(lease_store, "GRACE_SECONDS", 0.0)
        sides = Sides(domain, Ratios(), replicas=replicas)
        one, sync, others = Spend(0, 1, refundable=False), Sync(0, answered=True), [Spend(1, 60, refundable=False)] * 5
        acts: list[Step] = [one, sync, *others, one, sync, Spend(1, 60, refundable=False), one, sync]
        for act in acts:
            await sides.take(act)
        assert sides.seen["told at once"] > 0


@pytest.mark.parametrize("loses", [False, True])
async def test_a_minute_over_half_is_leased_again_when_it_is_over(loses: bool, domain: Domain) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sync_script, "GRACE_SECONDS", 0.0)
        patch.setattr(lease_store, "GRACE_SECONDS", 0.0)
        sides = Sides(domain, Ratios())
        one, sync = Spend(0, 1, refundable=False), Sync(0, answered=True)
        half: list[Step] = [one, sync, *[Spend(1, 60, refundable=False)] * 8, *[one] * 40]
        for act in half:
            await sides.take(act)
        sides.now = HOUR + 59.5
        loss: list[Step] = [Replace(is_empty=True)] * loses
        for act in [sync, sync, *loss, sync, sync]:
            await sides.take(act)
        assert sides.seen["exact"] > 0
        sides.now = HOUR + 60.0
        which = 1 if loses else 0  # the one that has not heard that the window is exact
        one, sync = Spend(which, 1, refundable=False), Sync(which, answered=True)
        last: list[Step] = [one, sync, one, sync]
        for act in last:
            await sides.take(act)
        assert sides.seen["leased when over"] == (not loses)
        assert len(sides.under_way[-1][1].charges) == 2 + 1
        assert sides.under_way[-1][1].leased is not loses


async def test_lost_data_ends_no_calls_where_more_was_spent_than_leased(domain: Domain) -> None:
    """As in a window that needs no lease: its counters are told, and nothing of it is taken."""
    script, process = SyncScript(domain.switched(), domain.key), ProcessLeases("run", RATIOS)
    frame = process.frame(HOUR + 2.0, DEFAULT_WINDOWS, GUARD_SECONDS)
    assert frame is not None
    for part in frame.parts:
        part.lease.charge(5)
    for _ in range(2):
        for _ in range(2):
            call = process.call(HOUR + 3.0, replicas=1, floors={})
            process.answered(call, (await script.call(call, good_at=None, may_teach=False)).reply)
        await domain.forget_all()
    assert [part.lease.seen >= 5 for part in frame.parts] == [True, True]


async def test_what_may_be_spent_counts_where_shares_begin(domain: Domain) -> None:
    scripts, store = Scripts(domain.switched(), domain.key), Budget()
    process = ProcessLeases("run", Ratios())
    process.may_hold = True
    window, client = Window(RateLimitKind.REQUEST_WEIGHT, 60, 1000), ClientShare("client:a", 0.25)
    outcomes = []

    async def reserve(weight: int, share: ClientShare | None) -> None:
        made = Budget().reserve(HOUR + 2.0, cost_of(weight), (window,), ratio=1.0)
        assert isinstance(made, Reservation)
        request = Request(made.charges, 0.9, share, HOUR + 2.0, is_synchronized=True)
        reserved = await scripts.reserve(request, floors={}, client_usages={})
        model = store.reserve(HOUR + 2.0, cost_of(weight), (window,), ratio=0.9, client_share=share)
        assert isinstance(reserved, Reserved)
        assert reserved.usages == {made.charges[0].window_key: store.usage(made.charges[0].window_key)}
        outcomes.append((reserved.exceeded is None, isinstance(model, Reservation)))

    await reserve(225, client)
    await reserve(100, None)
    process.demand(10, HOUR + 2.0)
    process.frame(HOUR + 2.0, (window,), GUARD_SECONDS)
    call = process.call(HOUR + 2.0, replicas=1, floors={})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sync_script, "GRACE_SECONDS", 0.0)
        patch.setattr(lease_store, "GRACE_SECONDS", 0.0)
        script = SyncScript(domain.switched(), domain.key)
        script_reply = (await script.call(call, good_at=None, may_teach=False)).reply
        assert LeaseStore(store, birth="", born_at=0.0).call(call).windows == script_reply.windows
    usage = script_reply.windows[0].usage
    assert (usage.leased, usage.untold, usage.most_spent) == (143, 121, 446)
    await reserve(4, client)
    await reserve(1, client)
    assert outcomes == [(True, True)] * 3 + [(False, False)]


def test_a_push_is_read_as_it_was_written() -> None:
    push = read_push(b"7 1785024030250000 b1 ban 1785024090.000 2 86400000 REQUEST_WEIGHT:1m:1785024000 9 1 4 3 2 1")

    assert (push.state.number, push.state.server_seconds, push.state.birth) == (7, HOUR + 30.25, "b1")
    window = push.state.windows[f"REQUEST_WEIGHT:1m:{HOUR}"]
    usage = window.usage
    assert (usage.used, usage.spent, usage.kept, usage.most_spent, window.is_exact) == (9, 6, 5, 8, True)
    stored = push.stored_block(HOUR + 30.0)
    assert stored is not None
    assert (stored.block.reason.value, stored.block.strikes, stored.written_until) == ("ban", 2, "1785024090.000")
    assert stored.block.until == HOUR + 30.0  # its expiry says that nothing of it is left
    assert replace(push, block=()).stored_block(HOUR) is None


@pytest.mark.parametrize("words", [b"", b"1 2 3", b"1 2 b - - - - x 1 2 3 4", b"a 2 b - - - -"])
def test_what_is_no_push_is_refused(words: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_push(words)


def test_a_push_without_a_block_has_none() -> None:
    push: Push = read_push("1 2 - - - - -")

    assert push.block == ()
    assert push.state.birth == ""
