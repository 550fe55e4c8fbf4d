"""The flags of the command line.

Owns: their spelling, and what `--help` prints. Must not know: which settings exist, what a value means.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import Field
from typing import Any

from proxy.configuration.kinds import SecretStr
from proxy.core.endpoints.base_urls import masked


def given(flags: Sequence[str], fields: Sequence[Field[Any]], about: str) -> tuple[dict[str, str], list[str]]:
    """The text of each setting that has a flag, and a sentence for each flag that cannot be read.

    Ends with SystemExit(0) after `--help`.
    """
    parser = argparse.ArgumentParser(
        "binance-sidecar",
        usage="binance-sidecar [command] [--flag value ...]",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        exit_on_error=False,
    )
    for field in fields:
        _add(parser, field)
    found, faults = _parsed(parser, list(flags))
    kinds = {field.name: field.metadata["kind"] for field in fields}
    texts = {
        name: ",".join(several) if kinds[name].is_list else several[-1]
        for name, several in vars(found).items()
        if several is not None
    }
    return texts, faults


def _parsed(parser: argparse.ArgumentParser, words: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """What argparse finds, and a sentence for each fault. It stops at the first, which is then left out."""
    faults: list[str] = []
    while True:
        try:
            found, rest = parser.parse_known_args(words)
        except argparse.ArgumentError as error:
            faults.append(_without_fault(words, str(error.argument_name).split("/")))
        else:
            return found, [*faults, *_faults(rest)]


def _without_fault(words: list[str], options: Sequence[str]) -> str:
    """Take the first word out that argparse cannot read as one of these options. Returns what is wrong with it."""
    for at, word in enumerate(words):
        option, equals, _ = word.partition("=")
        if option in options and len(options) > 1 and equals:
            del words[at]
            return f"{option}: takes no value"
        if word in options and len(options) == 1 and (at + 1 == len(words) or words[at + 1].startswith("-")):
            del words[at]
            return f"{option}: expected one argument"
    raise AssertionError("argparse refuses nothing else")


def _faults(rest: Sequence[str]) -> Iterator[str]:
    """A sentence for each word that is no flag. The value of such a flag may be a secret, and is not shown."""
    for before, word in zip(("", *rest), rest, strict=False):
        if word.startswith("-"):
            yield f"{word.partition('=')[0]}: there is no such flag; serve --help lists all"
        elif not before.startswith("-") or "=" in before:
            yield f"{masked(word)}: only flags and their values may stand here"


def _add(parser: argparse.ArgumentParser, field: Field[Any]) -> None:
    kind, flag = field.metadata["kind"], field.name.replace("_", "-")
    told = f"{field.metadata['description']} (default: {_shown(field.default)})".replace("%", "%%")
    if isinstance(field.default, bool):
        parser.add_argument(f"--{flag}", f"--no-{flag}", dest=field.name, nargs=0, action=_Switch, help=told)
    else:
        parser.add_argument(f"--{flag}", metavar=kind.name, action="append", dest=field.name, help=told)


def _shown(default: object) -> str:
    """As it would be written. A default is no secret."""
    match default:
        case None:
            return "unset"
        case bool():
            return str(default).lower()
        case float():
            return f"{default:g}"
        case tuple():
            return ",".join(map(str, default)) or "none"
        case SecretStr():
            return default.get_secret_value()
        case _:
            return str(getattr(default, "value", default))


class _Switch(argparse.Action):
    """`--snapshot` and `--no-snapshot`, as the texts of the setting."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        del parser, values
        setattr(namespace, self.dest, ["false" if str(option).startswith("--no-") else "true"])
