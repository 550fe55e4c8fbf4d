"""The chart and the example before a scanner: each finding is answered in SECURITY.md."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.deploy.helm import CI_VALUES, rendered
from tests.deploy.toolbox import DEPLOY, run, tool
from tests.pages.markdown import ROOT, rows, section

FLAGS = ("--framework", "kubernetes", "--compact", "--quiet", "--skip-download", "--output", "json")


def findings(folder: Path) -> dict[str, set[str]]:
    """For each manifest of a folder, by its name, the checks that fail. Fails the test where nothing was scanned."""
    ran = run(tool("checkov"), "--directory", folder, *FLAGS)
    report = json.loads(ran.out)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 100
    found: dict[str, set[str]] = {}
    for failed in report["results"]["failed_checks"]:
        found.setdefault(Path(failed["file_path"]).stem, set()).add(failed["check_id"])
    return found


def answered() -> set[str]:
    """The checks that the page answers."""
    table = rows(section((ROOT / "SECURITY.md").read_text(), "Answers to a scanner"))
    return {word for cells in table for word in re.findall(r"\bCKV\w+", cells[0])}


@pytest.mark.slow
def test_each_finding_is_answered_and_each_answer_is_of_a_finding(tmp_path: Path) -> None:
    for values in CI_VALUES:
        (tmp_path / f"{values.stem}.yaml").write_text(rendered("helm4", values))
    (tmp_path / "example.yaml").write_text((DEPLOY / "kubernetes" / "bot-with-sidecar.yaml").read_text())
    faulty = rendered("helm4").replace("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true")
    (tmp_path / "faulty.yaml").write_text(faulty)

    found = findings(tmp_path)
    assert found.pop("faulty") - answered() == {"CKV_K8S_20"}, "a fault would be found"
    assert set.union(*found.values()) == answered()
    assert {"default-values", "valkey-values", "sidecar-values", "example"} <= set(found)
