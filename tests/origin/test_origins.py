"""Which pool and which gate a request passes, and whom a refusal of the origin stops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from proxy.core.endpoints.catalogue import Forward
from proxy.core.endpoints.endpoint import Api, CachePolicy, Endpoint, Security
from proxy.core.endpoints.weight_rules import Fixed
from proxy.core.messages import OriginResponse
from proxy.core.query.upstream_query import UpstreamQuery
from proxy.core.quota.replicas import ReplicaCount
from proxy.errors import BackedOff, Banned, SidecarError
from proxy.origin.origins import SAPI_SLOTS, Origins
from proxy.ports import Outbound
from proxy.quota.build import build_ledgers
from proxy.quota.pools import PoolLedgers
from proxy.settings import Settings
from tests.origin.test_guarded import PING, World, answer
from tests.origin.test_keyed import READ, Signed
from tests.quota.doubles import ManualClock, Tally


def sapi(pool: str) -> Signed:
    line = Endpoint(
        name="sapi",
        path="/sapi/v1/asset/assetDetail",
        security=Security.SIGNED,
        weight=Fixed(1),
        policy=CachePolicy.FORWARDED,
        pool=pool,
    )
    return Signed(line)


ONE, TWO = sapi("sapi-01"), sapi("sapi-02")


@dataclass
class Host:
    """An origin that answers what it is told to."""

    answers: list[OriginResponse] = field(default_factory=list)
    asked: list[UpstreamQuery] = field(default_factory=list)

    def candidates(self, endpoint: Endpoint) -> tuple[str, ...]:
        return ("http://one",)

    def begin(self, base_url: str, query: UpstreamQuery, *, flight: Outbound, seconds: float) -> bool:
        return False

    async def send(
        self, base_url: str, query: UpstreamQuery, *, check: Callable[[], None], seconds: float
    ) -> OriginResponse:
        check()
        self.asked.append(query)
        return self.answers.pop(0)


@dataclass
class Stage:
    """The way to one host, with the ledgers in this process."""

    host: Host = field(default_factory=Host)
    clock: ManualClock = field(default_factory=ManualClock)
    labels: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ledgers: PoolLedgers = build_ledgers(
            Settings(forward=Forward.GENERAL),
            None,
            clock=self.clock,
            replica_count=ReplicaCount(),
            observer_of=lambda _: Tally(),
        )
        self.origins = Origins(
            {Api.SPOT: self.host},
            self.ledgers,
            self.clock,
            observer=World(),
            refusals_of=self._refusals_of,
            total_seconds=10.0,
        )

    def _refusals_of(self, pool: str) -> Tally:
        self.labels.append(pool)
        return Tally()

    async def ask(self, query: UpstreamQuery, response: OriginResponse) -> type[SidecarError] | None:
        """The error, if any. The origin is asked at most once."""
        self.host.answers = [response]
        try:
            await self.origins.ask(query)
        except SidecarError as error:
            return type(error)
        return None


def told(status: int, **headers: str) -> OriginResponse:
    return replace(answer(status, b"{}"), headers=headers)


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_a_429_of_a_sapi_path_stops_that_path_alone(stage: Stage) -> None:
    assert await stage.ask(ONE, told(429)) is BackedOff
    assert await stage.ask(ONE, told(200)) is BackedOff
    for query in (TWO, READ, PING):
        assert await stage.ask(query, told(200)) is None
    assert stage.host.asked == [ONE, TWO, READ, PING]


@pytest.mark.parametrize("query", [TWO, READ, PING], ids=["sapi", "signed", "ping"])
async def test_a_418_of_a_sapi_path_is_a_ban_of_the_ip(stage: Stage, query: UpstreamQuery) -> None:
    assert await stage.ask(ONE, told(418)) is Banned
    assert await stage.ask(query, told(200)) is Banned
    assert stage.host.asked == [ONE]


async def test_a_block_of_the_api_stops_its_sapi_paths(stage: Stage) -> None:
    assert await stage.ask(READ, told(429)) is BackedOff
    assert await stage.ask(ONE, told(200)) is BackedOff


async def test_a_sapi_path_is_corrected_by_its_own_header_alone(stage: Stage) -> None:
    headers = {"x-sapi-used-ip-weight-1m": "700", "x-mbx-used-weight-1m": "5000"}
    response = replace(answer(200), headers=headers)
    assert await stage.ask(ONE, response) is None
    assert (stage.ledgers.used_weight("sapi-01"), stage.ledgers.spot.used_weight()) == (700, 0)
    assert await stage.ask(READ, response) is None
    assert (stage.ledgers.used_weight("sapi-01"), stage.ledgers.spot.used_weight()) == (700, 5000)


async def test_all_sapi_paths_have_one_label_and_few_connections_each(stage: Stage) -> None:
    for query in (ONE, TWO, PING):
        await stage.ask(query, told(200))
    assert stage.labels == ["spot", "sapi", "sapi"]
    assert 0 < SAPI_SLOTS <= 8
