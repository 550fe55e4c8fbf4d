"""Names that are ours: no instruction asks an index for the project by its name, which anybody could register."""

from __future__ import annotations

import re

from tests.deploy.toolbox import ROOT

TEXTS = ("*.md", "Dockerfile", "Makefile", "pyproject.toml", "proxy/**/*.py", "deploy/**/*", "helm/**/*")
BY_NAME = re.compile(r"(?:pipx?|uv)(?: tool| pip)? (?:install|run|add)\b[^&|;\n]*[ '\"]binance-sidecar\b(?![-/.])")


def test_no_instruction_installs_the_project_by_its_name() -> None:
    paths = [path for pattern in TEXTS for path in ROOT.glob(pattern) if path.is_file()]
    found = {str(path.relative_to(ROOT)): BY_NAME.findall(path.read_text(errors="replace")) for path in paths}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_such_an_instruction_would_be_found() -> None:
    assert BY_NAME.search("/opt/binance-sidecar/bin/pip install binance-sidecar")
    assert BY_NAME.search("pip install 'binance-sidecar[embedded]'")
    assert not BY_NAME.search("bin/pip install --no-deps dist/*.whl && systemctl start binance-sidecar")
