"""Inputs that led to something new, one a line, as a Python literal of bytes.

Owns: the file's form and its bounds. Must not know: what an input is for, what came of it.
"""

from __future__ import annotations

import ast
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent / "corpus"
MOST_BYTES = 600
"""Longer inputs are not kept."""
MOST_INPUTS = 120


class Found(AssertionError):
    """An input that the gateway does not take as it should."""


@dataclass(slots=True)
class Corpus:
    """The inputs of one file, and which outcomes are known."""

    path: Path
    inputs: list[bytes] = field(default_factory=list)
    known: set[Hashable] = field(default_factory=set)

    @classmethod
    def read(cls, name: str) -> Corpus:
        """The corpus with this name; empty if there is none."""
        path = FOLDER / f"{name}.txt"
        lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
        return cls(path, [ast.literal_eval(line) for line in lines])

    def note(self, given: bytes, outcome: Hashable) -> bool:
        """Keep an input whose outcome nobody has seen. Returns whether it was kept."""
        if outcome in self.known:
            return False
        self.known.add(outcome)
        if given in self.inputs or len(given) > MOST_BYTES or len(self.inputs) >= MOST_INPUTS:
            return False
        self.inputs.append(given)
        return True

    def write(self) -> None:
        """Write the file anew."""
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text("".join(f"{given!r}\n" for given in sorted(self.inputs)), encoding="ascii")
