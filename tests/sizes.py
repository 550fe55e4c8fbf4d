"""How much the larger tests do: SIDECAR_TEST_SIZE is `quick`, `usual` (the default) or `long`.

Owns: the sizes, and the profile of hypothesis for each. Must not know: any test.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum

import hypothesis

VARIABLE = "SIDECAR_TEST_SIZE"


class Size(StrEnum):
    """A test does the same in every size, only with other numbers."""

    QUICK = "quick"
    """What one runs while writing."""
    USUAL = "usual"
    """What must pass before a change lands."""
    LONG = "long"
    """What looks for the rare."""


def chosen(environment: Mapping[str, str] = os.environ) -> Size:
    """The size of this run. ValueError for a word that is none."""
    return Size(environment.get(VARIABLE) or Size.USUAL)


def sized(*, quick: int, usual: int, long: int) -> int:
    """The number for the size of this run: of examples, steps, lives, replicas."""
    return {Size.QUICK: quick, Size.USUAL: usual, Size.LONG: long}[chosen()]


def load_profile() -> None:
    """Let properties that ask for no number of their own have that of the size. A slow machine is no failure."""
    hypothesis.settings.register_profile(
        "project", deadline=None, print_blob=True, max_examples=sized(quick=15, usual=20, long=100)
    )
    hypothesis.settings.load_profile("project")
