"""Helm 3 and Helm 4, rendering the chart without a cluster.

Owns: how they are run. Must not know: what the chart should say.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tests.deploy.toolbox import CHART, Ran, documents, run, tool

HELMS = ("helm3", "helm4")
CI_VALUES = sorted((CHART / "ci").glob("*-values.yaml"))


def helm(name: str, *arguments: str | Path) -> Ran:
    """Run it with no configuration but our own, and no cluster."""
    with tempfile.TemporaryDirectory() as home:
        kinds = ("CACHE", "CONFIG", "DATA")
        environment = {f"HELM_{kind}_HOME": home for kind in kinds} | {"KUBECONFIG": "/dev/null"}
        return run(tool(name), *arguments, environment=environment)


@cache
def rendered(name: str, values: Path | None = None, sets: tuple[str, ...] = (), chart: Path = CHART) -> str:
    """The manifests as YAML. Fails the test when there are none."""
    ran = helm(name, *_template(values, sets, chart))
    assert ran.status == 0, ran.text
    return ran.out


def refused(name: str, sets: Sequence[str]) -> str:
    """What Helm says about these values. Fails the test when it renders them."""
    ran = helm(name, *_template(None, sets, CHART))
    assert ran.status != 0, f"rendered, though it should not be: {sets}"
    return ran.text


def manifests(*sets: str, values: Path | None = None) -> list[dict[str, Any]]:
    """The manifests by Helm 4."""
    return list(documents(rendered("helm4", values, sets)))


def only(found: Sequence[dict[str, Any]], kind: str, component: str | None = None) -> dict[str, Any]:
    """The only manifest of a kind, and where there are several, of a component."""
    (manifest,) = (
        one
        for one in found
        if one["kind"] == kind
        and component in (None, one["metadata"].get("labels", {}).get("app.kubernetes.io/component"))
    )
    return manifest


def pods(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every pod, or template of one."""
    templates = [one["spec"]["template"] for one in found if "template" in one.get("spec", {})]
    return templates + [one for one in found if one["kind"] == "Pod"]


def gateway_in(pod: dict[str, Any]) -> dict[str, Any] | None:
    """The gateway's container, if it is in this pod."""
    containers = [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
    return next((one for one in containers if one["name"] == "binance-sidecar"), None)


def environment(found: list[dict[str, Any]], pod: dict[str, Any]) -> dict[str, str]:
    """What the kubelet would make of env and envFrom; a Secret of somebody else's holds a URL."""
    container = gateway_in(pod)
    assert container is not None
    given: dict[str, str] = {}
    for source in container["envFrom"]:
        name = source["configMapRef"]["name"]
        (data,) = (one["data"] for one in found if one["kind"] == "ConfigMap" and one["metadata"]["name"] == name)
        given |= data
    for variable in container["env"]:
        if not variable["name"].startswith("SIDECAR_"):
            continue
        given[variable["name"]] = variable.get("value") or _from(variable["valueFrom"], found)
    assert all(isinstance(value, str) for value in given.values())
    return given


def _from(source: dict[str, Any], found: list[dict[str, Any]]) -> str:
    if "fieldRef" in source:
        assert source["fieldRef"]["fieldPath"] == "status.hostIP"
        return "10.1.2.3"
    wanted = source["secretKeyRef"]
    for one in found:
        if one["kind"] == "Secret" and one["metadata"]["name"] == wanted["name"]:
            return str(one["stringData"][wanted["key"]])
    return "redis://theirs:6379/0"


def _template(values: Path | None, sets: Sequence[str], chart: Path) -> list[str]:
    files = [] if values is None else ["--values", str(values)]
    chosen = [word for one in sets for word in (_flag(one), one)]
    return ["template", "demo", str(chart), "--namespace", "bots", *files, *chosen]


def _flag(one: str) -> str:
    """`--set` reads a fraction as text, and has no empty list."""
    return "--set-json" if re.search(r"=(\d+\.\d+|\[\])$", one) else "--set"
