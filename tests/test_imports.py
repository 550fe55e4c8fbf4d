"""Who may import whom: the import-linter contracts of pyproject.toml."""

from __future__ import annotations

from pathlib import Path

import pytest
from importlinter import cli

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


def test_every_module_keeps_to_the_import_contracts(capsys: pytest.CaptureFixture[str]) -> None:
    status = cli.lint_imports(config_filename=str(PYPROJECT), no_cache=True)

    assert status == cli.EXIT_STATUS_SUCCESS, capsys.readouterr().out
