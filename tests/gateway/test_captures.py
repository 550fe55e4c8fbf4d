"""Recorded documents, served whole and filtered: through the gateway byte for byte as straight from the stand-in.

Where SIDECAR_CAPTURES names a folder, every recording in it is served; the generated document always is.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from tests.captures import captures
from tests.gateway.harness import INFO, Answer, Stage, stage
from tests.simulator import Document, generate_document, recorded

GENERATED = "generated"
HIDDEN = "TRD_GRP_003"
"""A permission of symbols that the full document does not show: only the origin can answer it."""
SURELY_COMPRESSED_BYTES = 8192


def recordings() -> list[str]:
    """The generated document, then every recording."""
    return [GENERATED, *map(str, captures())]


def load(name: str) -> Document:
    return generate_document(400) if name == GENERATED else recorded(name)


def queries(document: Document) -> list[str]:
    """The bare query, then filters that the documentation offers, made of what the document has."""
    names = list(document.symbols)
    some = sorted({names[0], names[len(names) // 2], names[-1]})
    listed = "[" + ",".join(f'"{name}"' for name in some) + "]"
    statuses = sorted({symbol.status for symbol in document.symbols.values()} | {"TRADING", "HALT", "BREAK"})
    return [
        "",
        *(f"symbol={quote(name)}" for name in some),
        f"symbols={quote(listed)}",
        f"showPermissionSets=false&symbols={quote(listed)}",
        "permissions=SPOT",
        "permissions=MARGIN",
        "permissions=%5B%22MARGIN%22%2C%22SPOT%22%5D",
        f"permissions={HIDDEN}",
        *(f"symbolStatus={status}" for status in statuses),
        "showPermissionSets=false",
        "permissions=SPOT&symbolStatus=TRADING&showPermissionSets=false",
    ]


def is_unproven(query: str, document: Document) -> bool:
    """Whether the full document does not prove the answer: a hidden group, or sets left out of a record without any."""
    has_sets = any(b'"permissionSets"' in symbol.full for symbol in document.symbols.values())
    return HIDDEN in query or ("showPermissionSets=false" in query and not has_sets)


@pytest.mark.no_cover
@pytest.mark.parametrize("name", recordings(), ids=lambda name: Path(name).name)
async def test_the_gateway_answers_what_the_origin_answers(name: str) -> None:
    document = load(name)
    async with stage(origin={"document": document}) as on:
        for query in queries(document):
            await assert_same(on, f"{INFO}?{query}" if query else INFO)
        ours = [seen for seen in on.origin.requests if seen.headers["user-agent"].startswith("binance-sidecar/")]
        unproven = [query for query in queries(document) if is_unproven(query, document)]
        assert len(ours) == 1 + len(unproven), "everything else comes from the full document"


async def assert_same(on: Stage, target: str) -> None:
    """Both codings; the clock of the stage stands still, so that even `serverTime` is the same."""
    theirs = await on.client.ask(target, url=on.origin.url)
    plain, packed = await on.ask(target), await on.ask(target, Accept_Encoding="gzip")
    assert theirs.status == 200, target
    assert "content-encoding" not in plain.headers
    if len(theirs.body) > SURELY_COMPRESSED_BYTES:
        assert packed.headers["content-encoding"] == "gzip", target
    for ours in (plain, packed):
        assert seen(ours) == seen(theirs), target
        assert ours.body == theirs.body, target


def seen(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.headers["content-type"]
