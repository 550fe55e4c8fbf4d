"""What of a path may be told: names of places, and nothing that a client put there by mistake."""

from __future__ import annotations

import pytest

from proxy.event_log import shown_path
from tests.core.endpoints.test_tables import BY_PLACE

TOKEN = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/api/v3/account?signature=5ec2e7", "/api/v3/account…"),
        ("/api/v3/account&timestamp=1&signature=5ec2e7", "/api/v3/account…"),
        ("/api/v3/order;signature=5ec2e7/x", "/api/v3/order…"),
        (f"/api/v3/userDataStream/{TOKEN}", "/api/v3/userDataStream/…"),
        (f"/api/v3/userDataStream/{TOKEN}/x", "/api/v3/userDataStream/…"),
        ("/api/v3/new/../x%", "/api/v3/new/../x…"),
        ("/api/v3/new thing", "/api/v3/new…"),
        ("/a" * 60, "/a" * 50 + "…"),
        ("nothing", "…"),
        ("", ""),
        ("/api//v3/x/", "/api//v3/x/"),
    ],
)
def test_a_path_is_told_up_to_what_may_be_a_secret(path: str, shown: str) -> None:
    assert shown_path(path) == shown


def test_every_endpoint_is_told_whole() -> None:
    assert [path for _, _, path in BY_PLACE if shown_path(path) != path] == []
