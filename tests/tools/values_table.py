"""Writes the table of values into a chart's README, from values.yaml and values.schema.json.

Owns: the lines between the markers. Runs in the tools' own virtual environment: `values_table.py CHART`, or with
`--check` to change nothing and exit 1 when it would.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- values -->\n", "<!-- /values -->\n"


def main(chart: Path, *, check: bool) -> int:
    """Write the table, or say whether it is up to date."""
    readme = chart / "README.md"
    text = readme.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    new = f"{head}{BEGIN}{_table(chart)}{END}{tail}"
    if check:
        return int(new != text)
    readme.write_text(new)
    return 0


def _table(chart: Path) -> str:
    yaml = importlib.import_module("yaml")
    values = yaml.safe_load((chart / "values.yaml").read_text())
    schema = json.loads((chart / "values.schema.json").read_text())
    rows = [
        f"| `{path}` | {_cell(value)} | {description} |" for path, value, description in _leaves(schema, values, ())
    ]
    return "\n".join(["| value | default | meaning |", "|---|---|---|", *rows]) + "\n"


class _Unset:
    """No default of the chart's."""


def _leaves(schema: Any, values: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any, str]]:
    for name, part in schema["properties"].items():
        value = values.get(name, _Unset) if isinstance(values, dict) else _Unset
        if part.get("properties") and (value is _Unset or isinstance(value, dict)):
            yield from _leaves(part, {} if value is _Unset else value, (*path, name))
        elif value is not _Unset or path:
            yield ".".join((*path, name)), value, str(part["description"]).replace("|", "\\|")


def _cell(value: Any) -> str:
    return "" if value is _Unset else f"`{json.dumps(value, ensure_ascii=False)}`"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), check="--check" in sys.argv))
