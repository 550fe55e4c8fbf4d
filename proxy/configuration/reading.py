"""Reading every setting from the environment and from flags, and telling every fault at once.

Owns: which text wins, and the sentence for each fault. Must not know: which settings exist, who uses them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, fields
from typing import Any, TypeVar

from proxy.configuration.kinds import SecretStr
from proxy.core.endpoints.base_urls import masked

PREFIX = "SIDECAR_"
S = TypeVar("S")


class BadSettings(ValueError):
    """Settings that cannot be used."""

    def __init__(self, faults: Sequence[str], rest: Any) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)
        """One sentence for each bad setting or flag, which begins with the name of that. Shows no secrets."""
        self.rest = rest
        """The other settings, and the defaults of the bad ones."""


def read(
    kind: Callable[..., S],
    environment: Mapping[str, str],
    flags: Sequence[str],
    check: Callable[[str, Any, Mapping[str, Any]], None],
) -> S:
    """Settings of this dataclass. `check` gets a name, its value, and the values before it with the texts after it.

    `check` raises ValueError for a bad value. Raises BadSettings, or SystemExit(0) after `--help`.
    """
    known = _fields(kind)
    of_flags, faults = _flags(flags, known, str(kind.__doc__))
    given = _variables(environment) | of_flags
    later = dict(given)
    values: dict[str, Any] = {}
    for field in known:
        text = later.pop(field.name, None)
        if text is None:
            continue
        try:
            value = field.metadata["kind"].read(text)
            check(field.name, value, later | values)
        except ValueError as error:
            faults.append(_fault(field, text, str(error)))
        else:
            values[field.name] = value
    if faults:
        raise BadSettings(faults, kind(**values))
    return kind(**values)


def unknown(kind: Callable[..., object], environment: Mapping[str, str]) -> list[str]:
    """Variables with our prefix that are no settings: probably misspelt."""
    existing = {PREFIX + field.name.upper() for field in _fields(kind)}
    return sorted(name for name in environment if name.upper().startswith(PREFIX) and name.upper() not in existing)


def _fields(kind: Any) -> tuple[Field[Any], ...]:
    return fields(kind)


def _variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The texts by the names of settings. A name in capitals wins over other ways to write it."""
    ours = sorted((name for name in environment if name.upper().startswith(PREFIX)), reverse=True)
    return {name.upper().removeprefix(PREFIX).lower(): environment[name] for name in ours}


def _flags(flags: Sequence[str], known: Sequence[Field[Any]], about: str) -> tuple[dict[str, str], list[str]]:
    if not flags:
        return {}, []
    from proxy.configuration.flags import given  # noqa: PLC0415 - argparse takes memory, and most starts have no flags

    return given(flags, known, about)


def _fault(field: Field[Any], given: str, told: str) -> str:
    shown = "" if isinstance(field.default, SecretStr) else f"={masked(given)}"
    return f"{PREFIX}{field.name.upper()}{shown}: {told}"
