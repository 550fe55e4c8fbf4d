"""The sidecar form: another chart that includes the container, and the example without Helm."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from proxy import __version__
from tests.deploy.helm import HELMS, helm, only
from tests.deploy.toolbox import CHART, DEPLOY, documents, examined

BOT = {
    "Chart.yaml": f"""\
apiVersion: v2
name: bot
version: 1.0.0
dependencies:
  - name: binance-sidecar
    version: {__version__}
    repository: file://../binance-sidecar
""",
    "values.yaml": """\
binance-sidecar:
  kind: Sidecar
  redis:
    existingSecret:
      name: redis
  podMonitor:
    enabled: true
""",
    "templates/deployment.yaml": """\
{{- $sidecar := index .Subcharts "binance-sidecar" }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: bot
spec:
  selector:
    matchLabels:
      app: bot
  template:
    metadata:
      annotations:
        {{- include "binance-sidecar.podAnnotations" $sidecar | nindent 8 }}
      labels:
        app: bot
        {{- include "binance-sidecar.podLabels" $sidecar | nindent 8 }}
    spec:
      initContainers:
        {{- include "binance-sidecar.container" $sidecar | nindent 8 }}
      containers:
        - name: bot
          image: example/bot:1.0.0
""",
}


@pytest.fixture
def bot(tmp_path: Path) -> Path:
    """The chart of a bot, with ours as a dependency beside it."""
    shutil.copytree(CHART, tmp_path / "binance-sidecar")
    for name, text in BOT.items():
        path = tmp_path / "bot" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "bot"


@pytest.mark.parametrize("name", HELMS)
def test_another_chart_includes_the_container(name: str, bot: Path) -> None:
    built = helm(name, "dependency", "build", bot)
    assert built.status == 0, built.text
    ran = helm(name, "template", "demo", bot)
    assert ran.status == 0, ran.text
    (answer,) = examined([ran.out], check=True)
    assert answer["faults"] == []
    found = answer["documents"]
    assert sorted(one["kind"] for one in found) == ["ConfigMap", "Deployment", "PodMonitor"]
    template = only(found, "Deployment")["spec"]["template"]
    (container,) = template["spec"]["initContainers"]
    _assert_is_a_sidecar(container)
    wanted = only(found, "PodMonitor")["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= template["metadata"]["labels"].items()
    (source,) = container["envFrom"]
    assert source["configMapRef"]["name"] == only(found, "ConfigMap")["metadata"]["name"]


def test_the_example_is_a_native_sidecar() -> None:
    found = list(documents((DEPLOY / "kubernetes" / "bot-with-sidecar.yaml").read_text()))
    template = only(found, "Deployment")["spec"]["template"]
    (container,) = template["spec"]["initContainers"]
    _assert_is_a_sidecar(container)
    monitor = only(found, "PodMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    (bot,) = template["spec"]["containers"]
    assert {"name": "BINANCE_BASE_URL", "value": "http://127.0.0.1:8080"} in bot["env"]


def _assert_is_a_sidecar(container: dict[str, Any]) -> None:
    """Started before the bot and kept; traffic within the pod only, operations for kubelet and Prometheus."""
    assert container["restartPolicy"] == "Always"
    environment = {one["name"]: one.get("value") for one in container["env"]}
    assert environment["SIDECAR_HOST"] == "127.0.0.1"
    assert environment["SIDECAR_OPS_HOST"] == "0.0.0.0"
    assert [(port["name"], port["containerPort"]) for port in container["ports"]] == [
        ("ops", int(str(environment["SIDECAR_OPS_PORT"])))
    ]
    assert container["startupProbe"]["httpGet"] == {"path": "/readyz", "port": "ops"}
