"""Who may import whom: the import-linter contracts of pyproject.toml."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from importlinter import cli

from proxy.event_log import LOGGER

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


def test_every_module_keeps_to_the_import_contracts(capsys: pytest.CaptureFixture[str]) -> None:
    status = cli.lint_imports(config_filename=str(PYPROJECT), no_cache=True)
    logging.getLogger(LOGGER).disabled = False  # import-linter disables every logger that it finds

    assert status == cli.EXIT_STATUS_SUCCESS, capsys.readouterr().out
