"""The command behind `make sbom`: writes what the gateway is made of as CycloneDX 1.6, from the locks.

Owns: what is a component, and of which scope: the runtime is required, the embedded Valkey optional, and what builds
excluded. Must not know: what is installed. Runs in the tools' own virtual environment: `sbom.py VERSION SECONDS FILE`
with the time of the version in seconds since the epoch, so that one commit has one SBOM.
"""

from __future__ import annotations

import importlib
import re
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LOCKS = {
    "requirements.lock": "required",
    "deploy/build-requirements.lock": "excluded",
    "run-requirements.lock": "optional",
}
"""The locks with their scope: a package has that of the first that names it."""
NAME = "binance-sidecar"
_PIN = re.compile(
    r"^(?P<name>[\w.-]+)(?:\[[\w,-]+\])?==(?P<version>[^\s;]+)(?: ; (?P<marker>[^\\\n]+))?"
    r"(?P<hashes>(?: \\\n    --hash=\S+)+)",
    re.MULTILINE,
)


def main(version: str, seconds: int, path: Path, root: Path = ROOT) -> None:
    """Write the SBOM. Ends the program when it is no valid one."""
    bom = _bom(version, seconds, root)
    text = importlib.import_module("cyclonedx.output.json").JsonV1Dot6(bom).output_as_string(indent=1)
    schema = importlib.import_module("cyclonedx.schema").SchemaVersion.V1_6
    fault = importlib.import_module("cyclonedx.validation.json").JsonStrictValidator(schema).validate_str(text)
    if fault is not None:
        sys.exit(f"sbom: it is no valid CycloneDX: {fault}")
    path.parent.mkdir(exist_ok=True)
    path.write_text(text + "\n")
    print(f"sbom: {path} names {len(bom.components)} packages")


def _bom(version: str, seconds: int, root: Path) -> Any:
    model = importlib.import_module("cyclonedx.model.bom")
    component = importlib.import_module("cyclonedx.model.component")
    licenses = importlib.import_module("cyclonedx.contrib.license.factories").LicenseFactory()
    itself = component.Component(
        name=NAME,
        version=version,
        type=component.ComponentType.APPLICATION,
        bom_ref=f"{NAME}@{version}",
        licenses=[licenses.make_from_string("MIT")],
    )
    parts = list(_components(root))
    named = "\n".join(sorted(f"{part.purl} {part.scope}" for part in parts))
    serial = uuid.uuid5(uuid.NAMESPACE_OID, f"{NAME} {version} {seconds}\n{named}")
    bom = model.Bom(components=parts, serial_number=serial)
    bom.metadata.timestamp = datetime.fromtimestamp(seconds, UTC)
    bom.metadata.component = itself
    bom.register_dependency(itself, parts)
    return bom


def _components(root: Path) -> Iterator[Any]:
    seen: set[tuple[str, str]] = set()
    for lock, scope in LOCKS.items():
        for found in _PIN.finditer((root / lock).read_text()):
            key = (found["name"], found["version"])
            if key not in seen:
                seen.add(key)
                yield _component(found, lock, scope)


def _component(found: re.Match[str], lock: str, scope: str) -> Any:
    model = importlib.import_module("cyclonedx.model")
    hashed = importlib.import_module("cyclonedx.contrib.hash.factories").HashTypeFactory()
    component = importlib.import_module("cyclonedx.model.component")
    url = importlib.import_module("packageurl").PackageURL("pypi", None, found["name"].lower(), found["version"])
    facts = {"lock": lock, "marker": (found["marker"] or "").strip()}
    return component.Component(
        name=found["name"],
        version=found["version"],
        bom_ref=str(url),
        purl=url,
        scope=component.ComponentScope(scope),
        hashes=[hashed.from_composite_str(text) for text in re.findall(r"sha256:\w+", found["hashes"])],
        properties=[model.Property(name=f"{NAME}:{name}", value=value) for name, value in facts.items() if value],
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
