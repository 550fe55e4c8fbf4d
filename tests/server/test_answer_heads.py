"""The heads that are made of kept pieces: those that the slow path writes of the same reply."""

from __future__ import annotations

from itertools import product

import pytest
from msgspec import structs

from proxy.core.lines import begin_of
from proxy.core.quota.pools import SPOT
from proxy.core.reply import Outcome, Reply
from proxy.server.answer_heads import AnswerHeads
from proxy.server.api import Headers
from proxy.server.response_head import render_head

USED = {SPOT: 1234, "usd-futures": 0}
HEADERS = (("Content-Type", "text/100%d"), ("Cache-Status", "100%"))


def test_every_kind_of_head_is_the_one_of_the_slow_path_in_every_second() -> None:
    now = [1_800_000_000.25]
    headers = Headers(USED.get, lambda: now[0], 120.0)
    heads = AnswerHeads(headers)
    kinds = list(
        product((SPOT, "usd-futures", "unserved", None), (200, 204, 304), (b"", b"{}"), (0, 1235), (True, False))
    )
    for seconds, (pool, status, body, told_weight, has_begin) in product((0.0, 0.5, 0.5, -3600.0), kinds):
        now[0] += seconds
        reply = Reply(
            status=status,
            headers=HEADERS,
            body=body,
            outcome=Outcome.BYPASS,
            pool=pool,
            told_weight=told_weight,
        )
        if has_begin:
            reply = structs.replace(reply, headers=(), begin=begin_of(status, HEADERS))
        for is_public, closes in product((True, False), repeat=2):
            told = headers(reply, is_public=is_public, is_kept=not closes)
            expected = render_head(reply, told, head_only=False, closes=closes)
            assert heads.render(reply, is_public=is_public, closes=closes) == expected


def test_what_cannot_be_written_is_refused() -> None:
    heads = AnswerHeads(Headers(USED.get, lambda: 0.0, 120.0))
    reply = Reply(status=200, headers=(("Retry-After", "\udcff"),), body=b"", outcome=Outcome.FAILED)
    with pytest.raises(ValueError, match="surrogates"):
        heads.render(reply, is_public=True, closes=False)
