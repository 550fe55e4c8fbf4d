"""The compose file, by its schema and by what an operator expects of every service."""

from __future__ import annotations

import re
from typing import Any

import pytest

from proxy import settings
from proxy.core.endpoints.catalogue import UPSTREAM_SETTINGS, Catalogue
from proxy.core.endpoints.endpoint import Api
from proxy.core.endpoints.venues import SPOT_HOSTS
from tests.deploy.load import MARKET_TARGETS, TARGETS
from tests.deploy.toolbox import DEPLOY, ROOT, load, passes, tool
from tests.gateway.harness import client, gateway
from tests.simulator import Simulator

FILE = DEPLOY / "compose" / "compose.yaml"
LIBRARY = ("valkey", "prometheus", "grafana")


@pytest.fixture(name="services")
def _services() -> dict[str, Any]:
    services: dict[str, Any] = load(FILE)["services"]
    return services


def test_it_is_a_compose_file() -> None:
    passes(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", FILE)


def test_all_yaml_of_deploy_is_tidy() -> None:
    rules = "{extends: default, rules: {line-length: disable, document-start: disable, braces: {max-spaces-inside: 1}}}"
    passes(tool("yamllint"), "--strict", "-d", rules, DEPLOY)


def test_every_image_is_pinned_and_a_variable_can_name_another_by_its_digest(services: dict[str, Any]) -> None:
    for service in services.values():
        found = re.fullmatch(r"\$\{[A-Z]+_IMAGE:-[a-z/-]+:v?(\d[\w.-]*)\}", service["image"])
        assert found is not None, service["image"]
    assert services["gateway"]["build"]["args"] == {"PYTHON": "${PYTHON_IMAGE:-python:3.13-slim}"}
    assert "ARG PYTHON=python:3.13-slim\n" in (ROOT / "Dockerfile").read_text()


def test_passwords_come_from_files_that_are_not_in_the_repository(services: dict[str, Any]) -> None:
    files = {name: one["file"] for name, one in load(FILE)["secrets"].items()}
    assert {name for service in services.values() for name in service.get("secrets", ())} == set(files)
    ignored = (FILE.parent / "secrets" / ".gitignore").read_text().splitlines()
    assert "*" in ignored
    assert set(files.values()) == {"secrets/valkey", "secrets/grafana"}
    words = [*services["valkey"]["entrypoint"], *services["valkey"]["command"]]
    assert words[:3] == ["sh", "/serve.sh", "/run/secrets/valkey"]
    assert services["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/secrets/grafana"
    assert services["gateway"]["environment"]["SIDECAR_REDIS_URL"].endswith("?password_file=/run/secrets/valkey")
    assert not [word for word in FILE.read_text().split() if re.search(r"PASSWORD: |:-admin|requirepass", word)]


def test_every_service_has_a_health_check_and_limits(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["healthcheck"]["test"], name
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}, name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name


def test_nothing_is_offered_beyond_this_machine(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_everything_that_is_mounted_exists(services: dict[str, Any]) -> None:
    volumes = load(FILE)["volumes"]
    for service in services.values():
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            assert source in volumes or (FILE.parent / source).exists(), mount


def test_who_is_waited_for_is_there(services: dict[str, Any]) -> None:
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)


def test_only_the_demonstration_needs_the_profile(services: dict[str, Any]) -> None:
    assert {name for name, service in services.items() if service.get("profiles") == ["demo"]} == {"origin", "bots"}
    lines = (FILE.parent / "demo.env").read_text().splitlines()
    demo = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert demo["COMPOSE_PROFILES"] == "demo"
    assert {name: demo[name] for name in UPSTREAM_SETTINGS.values()} == dict.fromkeys(
        UPSTREAM_SETTINGS.values(), "http://origin:9000"
    )
    assert set(UPSTREAM_SETTINGS.values()) <= set(services["gateway"]["environment"])
    catalogue = Catalogue(apis=tuple(Api))
    asked = {catalogue.find(target.partition("?")[0]).api for target in (*TARGETS, *MARKET_TARGETS)}
    assert asked == set(Api)


async def test_the_bots_of_the_demonstration_get_answers() -> None:
    async with Simulator() as origin:
        names = [setting.removeprefix("SIDECAR_").lower() for setting in UPSTREAM_SETTINGS.values()]
        everywhere: dict[str, Any] = dict.fromkeys(names, (origin.url,))
        async with gateway(origin, **everywhere) as app, client(app.url) as asking:
            statuses = {target: (await asking.ask(target)).status for target in (*TARGETS, *MARKET_TARGETS)}
    assert set(statuses.values()) == {200}, statuses


def test_the_gateway_accepts_its_settings(services: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    given = services["gateway"]["environment"]
    for name, value in given.items():
        if value is None:  # passed on where it is set
            continue
        default = value.removeprefix(f"${{{name}:-").removesuffix("}")
        monkeypatch.setenv(name, default)
    loaded = settings.load()
    assert settings.unknown(given) == []
    assert loaded.upstreams == SPOT_HOSTS
    assert loaded.apis == tuple(Api)


def test_prometheus_and_grafana_find_each_other_and_the_gateway() -> None:
    (source,) = load(DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = load(DEPLOY / "grafana" / "provisioning" / "dashboards" / "binance-sidecar.yml")["providers"]
    mounts = load(FILE)["services"]["grafana"]["volumes"]
    assert f"../grafana/dashboards:{provider['options']['path']}:ro" in mounts
    (job,) = load(DEPLOY / "prometheus" / "prometheus.yml")["scrape_configs"]
    assert job["static_configs"][0]["targets"] == ["gateway:9090"]


def test_the_image_of_the_gateway_is_that_of_the_dockerfile(services: dict[str, Any]) -> None:
    assert (FILE.parent / services["gateway"]["build"]["context"]).resolve() == ROOT
    assert (ROOT / "Dockerfile").exists()
