"""What a Redis URL may look like, and that a password never shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.redis_client.connection import connect
from proxy.redis_client.password_file import PasswordFile
from proxy.redis_client.url import RedisTarget, Topology, masked, parse
from tests.redis_client.fixtures import NullRedisObserver

SINGLE, SENTINEL, CLUSTER = Topology.SINGLE, Topology.SENTINEL, Topology.CLUSTER


def target(topology: Topology, **fields: Any) -> RedisTarget:
    return RedisTarget(topology=topology, **{"options": {}, **fields})


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://cache", target(SINGLE, options={"host": "cache"})),
        (
            "redis://:p%40ss@cache:7000/2",
            target(SINGLE, options={"host": "cache", "port": 7000, "db": 2, "password": "p@ss"}),
        ),
        ("redis://cache?max_connections=3", target(SINGLE, options={"host": "cache"}, connections=3)),
        ("redis+sentinel://a/main", target(SENTINEL, addresses=(("a", 26379),), service="main")),
        (
            "redis+sentinel://:p%40ss@a:1,b,[::1]:3/main/4",
            target(
                SENTINEL,
                addresses=(("a", 1), ("b", 26379), ("::1", 3)),
                service="main",
                options={"password": "p@ss", "db": 4},
            ),
        ),
        (
            "redis+sentinel://me:p@a/main?sentinel_password=q",
            target(
                SENTINEL,
                addresses=(("a", 26379),),
                service="main",
                options={"username": "me", "password": "p", "sentinel_password": "q"},
            ),
        ),
        (
            "rediss+sentinel://a/main",
            target(SENTINEL, addresses=(("a", 26379),), service="main", tls=True, connections=8),
        ),
        ("redis+cluster://a,b:7001", target(CLUSTER, addresses=(("a", 6379), ("b", 7001)))),
        (
            "redis+cluster://me:p@a/0?max_connections=9",
            target(
                CLUSTER,
                addresses=(("a", 6379),),
                options={"username": "me", "password": "p"},
                connections=9,
            ),
        ),
        ("rediss+cluster://a", target(CLUSTER, addresses=(("a", 6379),), tls=True, connections=8)),
        ("rediss://a?max_connections=64", target(SINGLE, options={"host": "a"}, tls=True, connections=64)),
        (
            "redis+cluster://a?address_map=10.0.0.1:6379=nat:7001,[::2]=nat:7002",
            target(
                CLUSTER,
                addresses=(("a", 6379),),
                address_map={("10.0.0.1", 6379): ("nat", 7001), ("::2", 6379): ("nat", 7002)},
            ),
        ),
        (
            "rediss://me%40home:p%2Fa%3Fs%23s%25@a?ssl_ca_certs=/etc/a%20b.pem&protocol=3",
            target(
                SINGLE,
                options={
                    "host": "a",
                    "username": "me@home",
                    "password": "p/a?s#s%",
                    "ssl_ca_certs": "/etc/a b.pem",
                    "protocol": 3,
                },
                tls=True,
                connections=8,
            ),
        ),
        (
            "redis+cluster://me@a?password_file=/run/p",
            target(
                CLUSTER, options={"credential_provider": PasswordFile(Path("/run/p"), "me")}, addresses=(("a", 6379),)
            ),
        ),
    ],
)
def test_a_url_says_where_redis_is(url: str, expected: RedisTarget) -> None:
    assert parse(url) == expected


@pytest.mark.parametrize("url", ["unix:/run/r.sock", "unix:///run/r.sock"])
def test_a_unix_url_names_a_socket(url: str) -> None:
    assert parse(url).options["path"] == "/run/r.sock"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://:hush@h", "unknown scheme"),
        ("unix://", "the path of the socket is missing"),
        ("redis://:hu#sh@h", "it cannot be parsed"),
        ("redis://h?db=hush", "it cannot be parsed"),
        ("redis://h/zero", "the database must be a number"),
        ("redis://h/0/1", "the database must be a number"),
        ("redis://hush/hush@h/0", "the database must be a number"),
        ("redis://:hush@h?max_connections=0", "max_connections must be at least 1"),
        ("redis+sentinel://:hush@h", "the name of the service is missing after the hosts"),
        ("redis+sentinel://:hush@h/main/x", "the database must be a number"),
        ("redis+sentinel://:hush@h,/main", "a host is missing or invalid"),
        ("redis+sentinel://:hush@h:0/main", "a port is out of range"),
        ("redis+sentinel://:hush@h:99999/main", "a port is out of range"),
        ("redis+cluster://:hush@", "a host is missing or invalid"),
        ("redis+cluster://:hush@h/1", "a cluster has database 0 only"),
        ("redis+cluster://:hush@h?address_map=a:1", "a host is missing or invalid"),
        ("redis+cluster://:hush@h?address_map=a:1=b:x", "a host is missing or invalid"),
        ("redis://:hush@h?password_file=/run/p", "password and password_file are both given"),
        ("redis://:hush@h?ssl_ca_certs=/run/ca.pem", "ssl_ca_certs is of use over TLS only"),
        ("unix:///s?ssl_cert_reqs=none&password=hush", "ssl_cert_reqs is of use over TLS only"),
        ("redis+sentinel://:hush@h/main?ssl_certfile=/run/c", "ssl_certfile is of use over TLS only"),
        ("redis+cluster://:hush@h?ssl_check_hostname=true", "ssl_check_hostname is of use over TLS only"),
        ("redis://:hush@h?colour=blue", "redis-py refuses one of its options"),
        ("unix:///s?colour=blue&password=hush", "redis-py refuses one of its options"),
        ("redis+sentinel://:hush@h/main?colour=blue", "redis-py refuses one of its options"),
        ("redis+cluster://:hush@h?colour=blue", "redis-py refuses one of its options"),
    ],
)
async def test_a_url_that_cannot_be_used_is_refused_at_once_and_its_password_does_not_show(
    url: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        connect(url, prefix="p", deadline_seconds=1.0, observer=NullRedisObserver())

    assert "hush" not in str(caught.value).replace("db=hush", "")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis://h?password_file=/nowhere/p", "No such file"),
        ("redis+cluster://h?password_file=/dev/null", "it is empty or too large"),
        ("redis+sentinel://h/main?password_file=/dev/zero&sentinel_password=hush", "it is empty or too large"),
    ],
)
async def test_a_password_file_that_cannot_be_used_is_told_at_once(url: str, reason: str) -> None:
    with pytest.raises(OSError, match=rf"^the password file of .* cannot be used: .*{reason}") as caught:
        connect(url, prefix="p", deadline_seconds=1.0, observer=NullRedisObserver())

    assert "hush" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://cache:6379/0", "redis://cache:6379/0"),
        ("redis://:hush@cache/0", "redis://***@cache/0"),
        ("redis://me:hush@cache", "redis://***@cache"),
        ("redis://me:hu@sh@cache", "redis://***@cache"),
        ("rediss://:hu/s#h@cache", "rediss://***@cache"),
        ("redis:me:hush@cache", "redis:***@cache"),
        ("unix:///s?db=1&password=hush", "unix:///s?db=1&password=***"),
        ("redis+sentinel://:hush@a,b/m?sentinel_password=hush", "redis+sentinel://***@a,b/m?sentinel_password=***"),
    ],
)
def test_a_masked_url_keeps_the_place_and_hides_the_rest(url: str, shown: str) -> None:
    assert masked(url) == shown


@given(st.text(alphabet="0aZ:/?#[]@!$&'()*+,;=% é\n", min_size=1))
def test_no_password_survives_masking(noise: str) -> None:
    assert "hush" not in masked(f"redis://me:hush{noise}hush@cache/0")
