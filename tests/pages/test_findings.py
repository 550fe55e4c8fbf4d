"""The scripts of `findings/`, which nobody runs with the tests: what can be seen of them without running them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "findings"
SCRIPTS = sorted(FOLDER.glob("*.sh"))


def test_each_script_has_one_row_in_the_table() -> None:
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert sorted(rows) == [script.stem for script in SCRIPTS]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_can_be_read_and_looks_where_it_unpacks(script: Path) -> None:
    text = script.read_text()
    subprocess.run(("bash", "-n", script), check=True)
    for program in re.findall(r"<<'PY'[^\n]*\n(.*?)\nPY\n", text, re.DOTALL):
        compile(program, str(script), "exec")
    unpacked = set(re.findall(r'dpkg -x .*"\$work/(\w+)"', text))
    assert set(re.findall(r'work(?: / "|\}/|"?/)(\w+)/usr\b', text)) == unpacked
