"""The flags of the command line.

Owns: their spelling, and what `--help` prints. Must not know: which settings exist, what a value means.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import Field
from typing import Any

from proxy.configuration.kinds import SecretStr


def given(flags: Sequence[str], fields: Sequence[Field[Any]], about: str) -> dict[str, str]:
    """The text of each setting that has a flag. Ends with SystemExit: 2 for a wrong flag, 0 after `--help`."""
    parser = argparse.ArgumentParser(
        "binance-sidecar",
        usage="binance-sidecar [command] [--flag value ...]",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for field in fields:
        _add(parser, field)
    texts = vars(parser.parse_args(flags))
    kinds = {field.name: field.metadata["kind"] for field in fields}
    return {
        name: ",".join(found) if kinds[name].is_list else found[-1]
        for name, found in texts.items()
        if found is not None
    }


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
