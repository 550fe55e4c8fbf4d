"""The kinds of values that a setting may have, each read from one text.

Owns: reading a text, its bounds, and the sentence for one that cannot be read. Must not know: which settings exist,
where a text came from.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Choice = TypeVar("Choice", bound=Enum)

_YES = frozenset({"1", "on", "t", "true", "y", "yes"})
_NO = frozenset({"0", "off", "f", "false", "n", "no"})


class Kind(Struct, Generic[T_co], frozen=True):
    """How the text of a setting is read."""

    name: str
    """What stands for a value in `--help`."""
    read: Callable[[str], T_co]
    """Raises ValueError with a sentence."""
    is_list: bool = False
    """Whether several flags add up."""


@dataclass(frozen=True, slots=True)
class SecretStr:
    """A text that no log, error or `repr` shows."""

    value: str = field(repr=False)

    def get_secret_value(self) -> str:
        """The text itself."""
        return self.value

    def __str__(self) -> str:
        return "**********"


def setting(kind: Kind[T], default: T, description: str) -> T:
    """A field of the settings' dataclass."""
    return field(default=default, metadata={"kind": kind, "description": description})


def text() -> Kind[str]:
    """Any text that is not empty."""

    def read(given: str) -> str:
        _check(given != "", "must not be empty")
        return given

    return Kind("TEXT", read)


def word(pattern: str, told: str) -> Kind[str]:
    """A text that a regular expression describes from end to end. `told`: what it must be, in words."""
    compiled = re.compile(pattern)

    def read(given: str) -> str:
        if compiled.fullmatch(given) is None:
            raise ValueError(f"must be {told}")
        return given

    return Kind("TEXT", read)


def whole(least: int, most: int) -> Kind[int]:
    """A whole number; its decimals may be zeros."""

    def read(given: str) -> int:
        digits, _, decimals = given.strip().partition(".")
        try:
            if decimals.strip("0") or not digits.isascii():
                raise ValueError
            number = int(digits)
        except ValueError:
            raise ValueError("must be a whole number") from None
        _check(number >= least, f"must be at least {least}")
        _check(number <= most, f"must be at most {most}")
        return number

    return Kind("COUNT", read)


def number(least: float, most: float, *, is_above: bool = False) -> Kind[float]:
    """A finite number from `least` on, or above it."""

    def read(given: str) -> float:
        try:
            value = float(given if given.isascii() else "")
        except ValueError:
            raise ValueError("must be a number") from None
        _check(math.isfinite(value), "must be a finite number")
        if is_above:
            _check(value > least, f"must be above {least:g}")
        else:
            _check(value >= least, f"must be at least {least:g}")
        _check(value <= most, f"must be at most {most:.15g}")
        return value

    return Kind("NUMBER", read)


def switch() -> Kind[bool]:
    """On or off, in one of the usual words."""

    def read(given: str) -> bool:
        _check(given.lower() in _YES | _NO, "must be true or false")
        return given.lower() in _YES

    return Kind("SWITCH", read)


def choice(members: type[Choice]) -> Kind[Choice]:
    """One of the values of an enum, in any case."""
    values = [f"'{member.value}'" for member in members]
    told = f"must be {', '.join(values[:-1])} or {values[-1]}"

    def read(given: str) -> Choice:
        try:
            return members(given.lower())
        except ValueError:
            raise ValueError(told) from None

    return Kind(f"{{{','.join(member.value for member in members)}}}", read)


def words(check: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Kind[tuple[str, ...]]:
    """Texts separated by commas."""

    def read(given: str) -> tuple[str, ...]:
        return check(tuple(part.strip() for part in given.split(",") if part.strip()))

    return Kind("LIST", read, is_list=True)


def path() -> Kind[Path]:
    """A path, which need not exist."""
    return Kind("PATH", Path)


def secret(check: Callable[[str], str]) -> Kind[SecretStr]:
    """A text that is not shown."""
    return Kind("SECRET", lambda given: SecretStr(check(given)))


def optional(kind: Kind[T]) -> Kind[T | None]:
    """The same, or unset where the text is empty."""
    return Kind(kind.name, lambda given: kind.read(given) if given else None)


def _check(holds: bool, told: str) -> None:
    if not holds:
        raise ValueError(told)
