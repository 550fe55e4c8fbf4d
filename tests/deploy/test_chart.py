"""The chart by real Helm 3 and Helm 4, its manifests by Kubernetes' own schemas."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy import __version__, settings
from proxy.core.endpoints.endpoint import Api
from tests.deploy.helm import (
    CI_VALUES,
    HELMS,
    environment,
    gateway_in,
    helm,
    manifests,
    only,
    pods,
    refused,
    rendered,
)
from tests.deploy.toolbox import CHART, DEPLOY, examined, load, passes, run, tool
from tests.gateway.harness import stage
from tests.server.certificates import Authority

WITH_REDIS = "redis.url=redis://redis:6379/0"
WITH_VALKEY = ("valkey.enabled=true", "valkey.existingSecret.name=valkey")
WITH_TLS = ("settings.tlsCertFile=/tls/tls.crt", "settings.tlsKeyFile=/tls/tls.key")
SET_BY_THE_CHART = {"host", "port", "ops_host", "ops_port", "redis_url", "quota_domain", "state_dir"}

WITH_A_WORKLOAD = [path for path in CI_VALUES if path.stem != "sidecar-values"]
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
"""The kinds that the restricted profile allows."""

BAD_VALUES = [
    (["unknown=1"], "unknown"),
    (["image.repo=x"], "repo"),
    (["settings.freshSecond=1"], "freshSecond"),
    (["settings.freshSeconds=-1"], "freshSeconds"),
    (["settings.freshSeconds=soon"], "freshSeconds"),
    (["settings.keepWarm=sometimes"], "keepWarm"),
    (["settings.budgetRatio=1.5"], "budgetRatio"),
    (["settings.upstreams={ftp://x}"], "upstreams"),
    (["settings.usdFuturesUpstreams={fapi.binance.com}"], "usdFuturesUpstreams"),
    (["settings.coinFuturesUpstreams={https://x/dapi}"], "coinFuturesUpstreams"),
    (["settings.optionsUpstreams=x"], "optionsUpstreams"),
    (["settings.forward=everything"], "forward"),
    (["settings.time=sundial"], "time"),
    (["settings.historyBytes=1024"], "historyBytes"),
    (["kind=StatefulSet"], "kind"),
    (["replicaCount=two"], "replicaCount"),
    (["image.pullPolicy=Sometimes"], "pullPolicy"),
    (["image.digest=sha256:abc"], "digest"),
    (["quota.domain=pod"], "domain"),
    (["quota.name=a b"], "name"),
    (["redis.url=http://redis"], "url"),
    (["valkey.enabled=true", "valkey.password=p@ss"], "password"),
    (["service.port=0"], "port"),
    (["serviceMonitor.interval=15"], "interval"),
    (["prometheusRule.disabled={Other}"], "disabled"),
    (["replicaCount=2"], "Several replicas without Redis"),
    (["autoscaling.enabled=true"], "Several replicas without Redis"),
    (["replicaCount=2", "redis.url=memory:"], "Several replicas without Redis"),
    (["kind=DaemonSet"], "A DaemonSet without Redis"),
    (["kind=Sidecar"], "Sidecars without Redis"),
    ([WITH_REDIS, "valkey.enabled=true"], "choose one"),
    ([WITH_REDIS, "redis.existingSecret.name=x"], "redis.existingSecret.name are both set"),
    (["valkey.enabled=true"], "valkey.enabled needs a password"),
    (["valkey.image.digest=sha256:abc"], "digest"),
    (["networkPolicy.from=[]"], "from"),
    (["networkPolicy.opsFrom=[]"], "opsFrom"),
    (["valkey.password=x"], "set valkey.enabled, or put the password"),
    (["valkey.enabled=true", "valkey.password=x", "valkey.existingSecret.name=y"], "one of them"),
    (["kind=DaemonSet", "autoscaling.enabled=true", WITH_REDIS], "kind is DaemonSet"),
    (["autoscaling.enabled=true", "autoscaling.minReplicas=9", WITH_REDIS], "larger than autoscaling.maxReplicas"),
    (["quota.domain=node", "quota.name=tokyo"], "the domain is the node's IP"),
    (["serviceMonitor.enabled=true", "podMonitor.enabled=true"], "scrape every pod twice"),
    (["kind=Sidecar", WITH_REDIS, "serviceMonitor.enabled=true"], "use podMonitor.enabled"),
    (["podDisruptionBudget.minAvailable=1"], "leave one of them empty"),
    (["podDisruptionBudget.maxUnavailable="], "needs minAvailable or maxUnavailable"),
    (["terminationGracePeriodSeconds=10"], "would kill the gateway while it drains"),
    (["settings.shutdownSeconds=60"], "would kill the gateway while it drains"),
    (["settings.budgetRatio=0.4", "settings.localBudgetRatio=0.5"], "must not be larger than settings.budgetRatio"),
    (["settings.refreshBudgetRatio=0.95"], "must not be larger than settings.budgetRatio=0.9"),
    (["settings.tlsCertFile=/tls/tls.crt"], "set both, or none"),
    (["settings.tlsKeyFile=/tls/tls.key"], "set both, or none"),
    (["ports.ops=8080"], "the same port"),
]


@pytest.mark.parametrize("name", HELMS)
@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_the_chart_passes_the_strict_lint(name: str, values: Path) -> None:
    ran = helm(name, "lint", "--strict", CHART, "--values", values)
    assert ran.status == 0, ran.text
    assert "[WARNING]" not in ran.text


def test_every_manifest_is_valid_in_the_oldest_and_the_newest_kubernetes() -> None:
    texts = [rendered(name, values) for name in HELMS for values in CI_VALUES]
    texts += [path.read_text() for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))]
    answers = examined(texts, check=True)
    assert [fault for answer in answers for fault in answer["faults"]] == []
    assert all(answer["documents"] for answer in answers)


def test_a_manifest_with_a_fault_is_found() -> None:
    """The test above is of use only if it can fail."""
    text = rendered("helm4").replace("automountServiceAccountToken", "automountServiceToken")
    monitor = rendered("helm4", CHART / "ci" / "daemonset-values.yaml").replace("interval: 15s", "interval: 15x")
    for answer in examined([text, monitor], check=True):
        assert answer["faults"] != []


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_helm_3_and_helm_4_render_the_same(values: Path) -> None:
    old, new = ([line for line in rendered(name, values).splitlines() if line.strip()] for name in HELMS)
    assert old == new


@pytest.mark.parametrize("name", HELMS)
@pytest.mark.parametrize(("sets", "sentence"), BAD_VALUES, ids=lambda value: str(value)[:60])
def test_bad_values_are_refused_with_a_sentence(name: str, sets: list[str], sentence: str) -> None:
    assert sentence in refused(name, sets)


@pytest.mark.parametrize("sets", [("settings.budgetRatio=0.2",), ("settings.refreshBudgetRatio=0.9",)])
def test_a_ratio_that_the_gateway_takes_is_no_contradiction(
    sets: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lower budget alone is fine: the gateway holds the other shares to it."""
    found = manifests(*sets)
    (pod,) = (pod for pod in pods(found) if gateway_in(pod) is not None)
    for name, value in environment(found, pod).items():
        monkeypatch.setenv(name, value)
    settings.load()


def test_the_schema_is_a_schema() -> None:
    passes(tool("check-jsonschema"), "--check-metaschema", CHART / "values.schema.json")


def test_the_schema_is_closed() -> None:
    """An object that lists what may be in it lets in nothing else."""
    for path, part in _objects(_schema(), "$"):
        assert part.get("additionalProperties") is False or "properties" not in part, path


def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
    return schema


def _objects(part: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if part.get("type") == "object":
        yield path, part
    for name, inner in part.get("properties", {}).items():
        yield from _objects(inner, f"{path}.{name}")


def test_every_setting_of_the_gateway_is_a_value() -> None:
    known = _schema()["properties"]["settings"]["properties"]
    assert set(known) == {
        _camel(name) for name in settings.Settings.__dataclass_fields__ if name not in SET_BY_THE_CHART
    }


def _camel(name: str) -> str:
    return re.sub(r"_(.)", lambda match: match[1].upper(), name)


@pytest.mark.parametrize("values", WITH_A_WORKLOAD, ids=lambda path: path.stem)
def test_the_gateway_accepts_the_environment_that_the_chart_gives_it(
    values: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = manifests(values=values)
    (pod,) = (pod for pod in pods(found) if gateway_in(pod) is not None)
    given = environment(found, pod)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    loaded = settings.load()
    assert settings.unknown(given) == []
    assert (loaded.host, loaded.port, loaded.ops_host, loaded.ops_port) == ("0.0.0.0", 8080, "0.0.0.0", 9090)
    if values.stem == "production-values":
        assert loaded.upstreams == ("https://api.binance.com", "https://api-gcp.binance.com")
        assert (loaded.fresh_seconds, loaded.max_body_bytes, loaded.budget_ratio) == (30.0, 134217728, 0.8)
        assert (loaded.keep_warm, loaded.log_level) == (settings.KeepWarm.ALWAYS, settings.LogLevel.WARNING)
        assert loaded.apis == (Api.SPOT, Api.USD_FUTURES, Api.COIN_FUTURES)
        assert (loaded.market_fresh_seconds, loaded.history_seconds) == (0.5, 86400.0)
        assert loaded.history_bytes == 536870912
        assert loaded.time is settings.TimeSource.CLOCK


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_every_pod_keeps_to_the_restricted_profile(values: Path) -> None:
    for pod in pods(manifests(values=values)):
        _assert_restricted(pod["spec"])


def test_the_example_keeps_to_the_restricted_profile() -> None:
    found = examined([(DEPLOY / "kubernetes" / "bot-with-sidecar.yaml").read_text()], check=False)[0]["documents"]
    for pod in pods(found):
        _assert_restricted(pod["spec"])


def _assert_restricted(spec: dict[str, Any]) -> None:
    """Kubernetes, Pod Security Standards, restricted; and a read-only root, limits and no token besides."""
    assert spec["automountServiceAccountToken"] is False
    assert not any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))
    assert {kind for volume in spec.get("volumes", []) for kind in volume if kind != "name"} <= VOLUMES
    assert not spec["securityContext"].keys() & {"sysctls", "seLinuxOptions", "appArmorProfile", "windowsOptions"}
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        context = spec["securityContext"] | container["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] > 0
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not context.keys() & {"privileged", "procMount", "seLinuxOptions", "appArmorProfile"}
        assert all("hostPort" not in port for port in container.get("ports", []))
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_selectors_select_the_pods_of_their_own_component(values: Path) -> None:
    found = manifests(values=values)
    labels = [pod["metadata"]["labels"] for pod in pods(found)]
    for one in found:
        wanted = _selector(one)
        if wanted is None or (values.stem == "sidecar-values" and "binance-sidecar/release" in wanted):
            continue
        assert sum(wanted.items() <= of_pod.items() for of_pod in labels) == 1, one["kind"]


def _selector(manifest: dict[str, Any]) -> dict[str, Any] | None:
    spec = manifest.get("spec", {})
    match manifest["kind"]:
        case "Service":
            selector: dict[str, Any] = spec["selector"]
        case "NetworkPolicy":
            selector = spec["podSelector"]["matchLabels"]
        case "Deployment" | "DaemonSet" | "StatefulSet" | "PodDisruptionBudget" | "PodMonitor":
            selector = spec["selector"]["matchLabels"]
        case _:
            return None
    return selector


def test_the_service_monitor_selects_the_service_of_the_gateway_only() -> None:
    found = manifests("serviceMonitor.enabled=true", *WITH_VALKEY)
    wanted = only(found, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
    services = [
        one for one in found if one["kind"] == "Service" and wanted.items() <= one["metadata"]["labels"].items()
    ]
    assert [one["metadata"]["name"] for one in services] == ["demo-binance-sidecar"]
    assert [port["name"] for port in services[0]["spec"]["ports"]] == ["traffic", "ops"]


def test_the_quota_domain_is_a_name_or_follows_the_node() -> None:
    shared = _quota_domain(manifests("quota.name=tokyo"))
    assert shared == {"name": "SIDECAR_QUOTA_DOMAIN", "value": "tokyo"}
    node = _quota_domain(manifests("quota.domain=node", WITH_REDIS))
    assert node["valueFrom"] == {"fieldRef": {"fieldPath": "status.hostIP"}}


def _quota_domain(found: list[dict[str, Any]]) -> dict[str, Any]:
    container = gateway_in(only(found, "Deployment")["spec"]["template"])
    assert container is not None
    (variable,) = (one for one in container["env"] if one["name"] == "SIDECAR_QUOTA_DOMAIN")
    return dict(variable)


@pytest.mark.parametrize(
    ("url", "ports"),
    [
        ("redis://redis", [6379]),
        ("rediss://user:p%40ss:1@redis:6380/1", [6380]),
        ("redis+sentinel://a\\,b:26380/main/0", [26379, 26380, 6379]),
        ("redis+sentinel://a/main", [26379, 6379]),
        ("rediss+sentinel://a\\,b/main", [26379, 6379]),
        ("redis+cluster://a:7000\\,b:7000", [7000]),
        ("rediss+cluster://:p%40@a:7000\\,[fd00::2]:7001\\,c/0", [7000, 7001, 6379]),
        ("redis+cluster://a?address_map=a:6379=b:7001\\,c:6379=b:7002&protocol=3", [6379, 7001, 7002]),
    ],
)
def test_the_network_policy_lets_redis_through(url: str, ports: list[int]) -> None:
    policy = only(manifests("networkPolicy.enabled=true", f"redis.url={url}"), "NetworkPolicy")
    rules = [[port["port"] for port in rule["ports"]] for rule in policy["spec"]["egress"]]
    assert rules == [[53, 53], [443], ports]


def test_the_network_policy_lets_the_ports_of_the_origin_through() -> None:
    hosts = "settings.upstreams={https://api.example,http://origin:9000/}"
    addresses = "settings.upstreamAddresses={a=10.0.0.1:8443,b=[2001:db8::1]:8444,c=10.0.0.2,d=2001:db8::2}"
    policy = only(manifests(hosts, "settings.optionsUpstreams={http://origin}", addresses), "NetworkPolicy")
    assert [port["port"] for port in policy["spec"]["egress"][1]["ports"]] == [443, 9000, 80, 8443, 8444]


@pytest.mark.parametrize(
    ("values", "scheme"),
    [((), "http"), (WITH_TLS, "https")],
)
def test_who_reaches_the_traffic_port_is_told_whether_it_has_tls(values: tuple[str, ...], scheme: str) -> None:
    found = manifests(*values)
    traffic, ops = only(found, "Service")["spec"]["ports"]
    assert (traffic["appProtocol"], ops["appProtocol"]) == (scheme, "http")
    urls = only(found, "Pod")["spec"]["containers"][0]["args"][1:]
    assert [url.partition(":")[0] for url in urls] == [scheme, "http"]


def test_the_network_policy_is_there_and_lets_in_the_namespace_of_the_release() -> None:
    policy = only(manifests("tests.enabled=false"), "NetworkPolicy")["spec"]
    sources = {rule["ports"][0]["port"]: rule["from"] for rule in policy["ingress"]}
    assert sources == {"traffic": [{"podSelector": {}}], "ops": [{"namespaceSelector": {}}]}
    assert policy["policyTypes"] == ["Ingress", "Egress"]


def test_the_network_policy_lets_the_test_pod_in_whoever_else_is() -> None:
    found = manifests(values=CHART / "ci" / "production-values.yaml")
    labels = only(found, "Pod")["metadata"]["labels"]
    for rule in only(found, "NetworkPolicy")["spec"]["ingress"]:
        wanted = [peer["podSelector"]["matchLabels"] for peer in rule["from"] if "podSelector" in peer]
        assert [each.items() <= labels.items() for each in wanted] == [True]


@pytest.mark.parametrize("values", ["valkey", "sidecar"])
def test_the_password_of_valkey_stays_in_a_secret(values: str) -> None:
    """Neither an argument, nor part of another object, nor a hash that could be tried."""
    text = rendered("helm4", CHART / "ci" / f"{values}-values.yaml")
    assert text.count("not-a-secret") == (values == "valkey")
    assert hashlib.sha256(b"not-a-secret").hexdigest() not in text
    (container,) = only(manifests(values=CHART / "ci" / f"{values}-values.yaml"), "StatefulSet")["spec"]["template"][
        "spec"
    ]["containers"]
    assert "env" not in container
    assert container["args"][0].rstrip() == (DEPLOY / "valkey" / "serve.sh").read_text().rstrip()
    assert container["args"][1:3] == ["serve.sh", "/run/secrets/valkey/password"]


def test_the_gateway_takes_the_password_of_valkey_from_a_file() -> None:
    template = only(manifests(*WITH_VALKEY), "Deployment")["spec"]["template"]
    container = gateway_in(template)
    assert container is not None
    url = next(one["value"] for one in container["env"] if one["name"] == "SIDECAR_REDIS_URL")
    assert url == "redis://demo-binance-sidecar-valkey:6379/0?password_file=/run/secrets/valkey/password"
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == [
        "/var/lib/binance-sidecar",
        "/run/secrets/valkey",
    ]
    (volume,) = (one for one in template["spec"]["volumes"] if "secret" in one)
    assert volume["secret"]["items"] == [{"key": "password", "path": "password"}]
    assert volume["secret"]["secretName"] == "valkey"


def test_bans_outlive_valkeys_pod_and_the_gateways_container() -> None:
    found = manifests(*WITH_VALKEY)
    assert only(found, "StatefulSet")["spec"]["volumeClaimTemplates"][0]["metadata"]["name"] == "data"
    (pod,) = (pod for pod in pods(found) if gateway_in(pod) and "volumes" in pod["spec"])
    assert {"name": "state", "emptyDir": {"sizeLimit": "1Mi"}} in pod["spec"]["volumes"]


def test_a_digest_takes_the_place_of_each_tag() -> None:
    digest = f"sha256:{'0' * 64}"
    found = manifests(*WITH_VALKEY, f"image.digest={digest}", f"valkey.image.digest={digest}")
    images = [container["image"] for pod in pods(found) for container in pod["spec"]["containers"]]
    assert sorted(set(images)) == [f"binance-sidecar@{digest}", f"valkey/valkey@{digest}"]


def test_changed_settings_make_new_pods() -> None:
    def annotations(*sets: str) -> Any:
        return only(manifests(*sets), "Deployment")["spec"]["template"]["metadata"]["annotations"]

    assert annotations() == annotations("service.port=80")
    assert annotations() != annotations("settings.freshSeconds=30")
    assert annotations(WITH_REDIS) != annotations("redis.url=redis://other:6379/0")
    # A secret is not part of it: who may read annotations could try passwords.
    assert annotations("redis.url=redis://u:a@redis") == annotations("redis.url=redis://v:b@redis")
    assert annotations("redis.url=redis://h?db=1&password=a") == annotations("redis.url=redis://h?db=1&password=b")
    assert annotations("redis.url=redis://h?db=1") != annotations("redis.url=redis://h?db=2")


def test_the_rules_of_the_chart_pass_promtool(tmp_path: Path) -> None:
    for values in ("production-values.yaml", "sidecar-values.yaml"):
        rule = only(manifests(values=CHART / "ci" / values), "PrometheusRule")
        path = tmp_path / values.replace(".yaml", ".json")
        path.write_text(json.dumps(rule["spec"]))
        passes(tool("promtool"), "check", "rules", path)


def test_alerts_can_be_left_out_added_labelled_and_pointed_at_a_runbook() -> None:
    rule = only(manifests(values=CHART / "ci" / "production-values.yaml"), "PrometheusRule")
    alerts = {one["alert"]: one for one in rule["spec"]["groups"][-1]["rules"]}
    assert "BinanceSidecarHitRatioLow" not in alerts
    assert "BinanceSidecarOfOurs" in alerts
    banned = alerts["BinanceSidecarBanned"]
    assert banned["labels"] == {"severity": "critical", "team": "trading"}
    assert banned["annotations"]["runbook_url"] == "https://runbooks.example/binance-sidecar#binancesidecarbanned"


def test_the_chart_has_the_rules_the_dashboard_and_the_script_of_deploy() -> None:
    originals = [
        *(DEPLOY / "prometheus" / "rules").glob("*.yml"),
        *(DEPLOY / "grafana" / "dashboards").glob("*.json"),
        DEPLOY / "valkey" / "serve.sh",
    ]
    assert {path.name: path.read_text() for path in originals} == {
        path.name: path.read_text() for path in (CHART / "files").iterdir()
    }


def test_the_dashboard_is_in_a_config_map() -> None:
    found = manifests("dashboard.enabled=true")
    (data,) = (one["data"] for one in found if one["metadata"]["name"] == "demo-binance-sidecar-dashboard")
    original = DEPLOY / "grafana" / "dashboards" / "binance-sidecar.json"
    assert json.loads(data["binance-sidecar.json"]) == json.loads(original.read_text())


def test_the_table_of_values_is_up_to_date() -> None:
    passes(tool("python"), "tests/tools/values_table.py", CHART, "--check")


def test_every_value_with_a_default_is_in_the_schema() -> None:
    known = _schema()["properties"]
    assert set(load(CHART / "values.yaml")) == set(known) - {"global", "enabled"}


def test_the_chart_is_of_the_version_of_the_gateway() -> None:
    assert load(CHART / "Chart.yaml")["appVersion"] == __version__


async def test_what_helm_test_asks_is_answered_by_a_gateway() -> None:
    pod = only(manifests(), "Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (container,) = pod["spec"]["containers"]
    command, (script, traffic, ops) = container["command"], container["args"]
    assert (command, traffic, ops) == (
        ["python", "-c"],
        "http://demo-binance-sidecar:8080",
        "http://demo-binance-sidecar:9090",
    )
    async with stage(ops_port=0) as on:
        assert "the gateway answers" in await _python(script, on.app.url, on.app.ops_url)
        with pytest.raises(AssertionError):
            await _python(script, on.app.ops_url, on.app.ops_url)


@pytest.mark.parametrize("values", [WITH_TLS, ("settings.allowedNetworks={192.0.2.0/24}",)], ids=["tls", "networks"])
async def test_helm_test_passes_whatever_protects_the_traffic(values: tuple[str, ...], tmp_path: Path) -> None:
    script = only(manifests(*values), "Pod")["spec"]["containers"][0]["args"][0]
    changed: dict[str, Any] = {"allowed_networks": "192.0.2.0/24"}
    if values is WITH_TLS:
        changed = Authority(tmp_path).issue("api.binance.com").settings()
    async with stage(ops_port=0, **changed) as on:
        assert "the gateway answers" in await _python(script, on.app.url, on.app.ops_url)


async def _python(script: str, *arguments: str) -> str:
    return await asyncio.to_thread(passes, sys.executable, "-c", script, *arguments)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ("default", "WARNING: there is no Redis"),
        ("production", "http://binance.bots:8080"),
        ("daemonset", "the IP of each node"),
        ("default", 'unless networkPolicy.from names them. Now: [{"podSelector":{}}]'),
        ("default", "the origin on port 443, and nothing else"),
        ("valkey", "rollout restart statefulset/demo-binance-sidecar-valkey"),
        ("sidecar", "lets only pods with the label of this release reach Valkey"),
        ("sidecar", '{{- include "binance-sidecar.container" (index .Subcharts "binance-sidecar") | nindent 4 }}'),
    ],
)
def test_the_notes_tell_what_to_do_next(values: str, sentence: str) -> None:
    path = CHART / "ci" / f"{values}-values.yaml"
    ran = helm("helm4", "install", "demo", CHART, "--namespace", "bots", "--dry-run=client", "--values", path)
    assert sentence in ran.out.partition("NOTES:")[2], ran.text


def test_the_chart_can_be_packaged(tmp_path: Path) -> None:
    for name in HELMS:
        ran = helm(name, "package", CHART, "--destination", tmp_path)
        assert ran.status == 0, ran.text
    (package,) = tmp_path.iterdir()
    names = run("tar", "-tzf", package).out
    assert "binance-sidecar/files/alerts.yml" in names
    assert "/ci/" not in names
