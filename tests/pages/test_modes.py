"""Each place that says what `SIDECAR_FORWARD` may be names every mode."""

from __future__ import annotations

import re

import pytest

from proxy.core.endpoints.catalogue import Forward
from tests.pages.markdown import ROOT

PLACES = (
    "README.md",
    "deploy/SETTINGS.md",
    "deploy/systemd/binance-sidecar.env",
    "deploy/kubernetes/bot-with-sidecar.yaml",
    "helm/binance-sidecar/README.md",
    "helm/binance-sidecar/values.schema.json",
)


def names(text: str, mode: Forward) -> bool:
    """Whether the text explains this mode: between backticks, or before a colon."""
    return re.search(rf"[`=]{mode.value}`|\b{mode.value}: ", text) is not None


@pytest.mark.parametrize("place", PLACES)
def test_a_place_that_explains_one_mode_explains_all(place: str) -> None:
    parts = re.split(r"\n(?=\n|\|)|\n +\"", (ROOT / place).read_text())
    told = [part for part in parts if names(part, Forward.GENERAL)]
    assert told
    assert [(mode.value, part) for part in told for mode in Forward if not names(part, mode)] == []
