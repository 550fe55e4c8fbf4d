"""When a ban ends by our clock, if one of three clocks is wrong: the origin's Date, our own, or none."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from proxy.core.quota.origin_headers import ban_end, banned_until, is_api_answer, retry_after_seconds

TRUE = 1_800_000_000.0
BANNED = f"Way too much request weight used; IP banned until {int(TRUE * 1000) + 112_000}. Please"
WRONG = [-86_400, -3600, -60, 60, 3600, 86_400]


def date(at: float) -> str:
    return formatdate(at, usegmt=True)


@pytest.mark.parametrize("retry_after", [{}, {"retry-after": "112"}])
@pytest.mark.parametrize("wrong", [0, *WRONG])
def test_a_wrong_date_neither_prolongs_a_ban_nor_ends_it(wrong: int, retry_after: dict[str, str]) -> None:
    headers = {"date": date(TRUE + wrong)} | retry_after
    end = ban_end(headers, BANNED, TRUE)
    assert end is not None
    # Where the text alone tells the end, a Date that is a minute behind makes it a minute late.
    assert end - TRUE == pytest.approx(172 if wrong == -60 and not retry_after else 112)


@pytest.mark.parametrize("retry_after", [{}, {"retry-after": "112"}])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_clock_of_ours_neither_prolongs_a_ban_nor_ends_it(wrong: int, retry_after: dict[str, str]) -> None:
    ours = TRUE + wrong
    end = ban_end({"date": date(TRUE)} | retry_after, BANNED, ours)
    assert end is not None
    assert end - ours == pytest.approx(172 if wrong == -60 and not retry_after else 112)


@pytest.mark.parametrize("wrong", WRONG)
def test_a_retry_after_that_is_a_date_goes_by_the_answers_own_date(wrong: int) -> None:
    headers = {"date": date(TRUE + wrong), "retry-after": date(TRUE + wrong + 90)}
    seconds = retry_after_seconds(headers, TRUE)
    assert seconds is not None
    assert 0 < seconds <= 90


@pytest.mark.parametrize(
    ("headers", "is_api"),
    [
        ({"x-mbx-used-weight": "1"}, True),
        ({"x-mbx-used-weight-1m": "1"}, True),
        ({"x-mbx-uuid": "a"}, True),
        ({}, False),
        ({"date": date(TRUE), "server": "CloudFront", "x-cache": "Error from cloudfront"}, False),
        ({"x-mbx": "1"}, False),
    ],
)
def test_what_the_api_answered(headers: dict[str, str], *, is_api: bool) -> None:
    assert is_api_answer(headers) is is_api


def test_the_ban_of_futures_names_the_address_before_its_end() -> None:
    text = "Way too many requests; IP(203.0.113.7) banned until 1780765249479. Please use the websocket"
    assert banned_until(text) == 1780765249.479
