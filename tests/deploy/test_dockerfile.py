"""The Dockerfile, read. `make image-test` builds and runs it."""

from __future__ import annotations

import re

from proxy import __version__
from tests.deploy.toolbox import ROOT, passes, tool
from tests.tools.install import LOCKED

DOCKERFILE = ROOT / "Dockerfile"


def test_hadolint_finds_nothing() -> None:
    passes(tool("hadolint"), "--failure-threshold", "style", DOCKERFILE)


def test_it_runs_as_a_numeric_user_in_exec_form_with_a_health_check() -> None:
    last = DOCKERFILE.read_text().rpartition("\nFROM ")[2]
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", last, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["', last, re.MULTILINE)
    assert re.search(r'^HEALTHCHECK .*CMD \["binance-sidecar", "check"\]$', last, re.MULTILINE)
    assert "SIDECAR_HOST=0.0.0.0" in last


def test_everything_that_is_fetched_has_a_hash() -> None:
    text = DOCKERFILE.read_text().replace("\\\n", " ")
    installs = re.findall(r"pip (?:--python \S+ )?install [^&\n]*", text)
    assert len(installs) == 3
    assert [" ".join(LOCKED) in install for install in installs] == [True, True, False]
    assert all("--no-deps" in install for install in installs)
    assert len(re.findall(r" check +&&", text)) == 1
    assert all("--no-compile" in install for install in installs[1:]), "pip writes times into what it compiles"


def test_its_label_is_of_this_version() -> None:
    assert f"ARG VERSION={__version__}\n" in DOCKERFILE.read_text()


def test_the_build_sees_only_what_it_needs() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    wanted = {name for line in copied for name in line.split()}
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == wanted
