"""Reads YAML for the tests, and checks Kubernetes manifests. Runs in the tools' own virtual environment.

Standard input: a JSON list of YAML texts. Standard output: a JSON list with, for each text, `documents` and `faults`
(one sentence each; none are looked for without `--check`). Kinds of the core API are checked strictly (unknown fields
are faults) against each of VERSIONS; those of the Prometheus operator against its models. Other kinds are faults:
nobody could tell.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from typing import Any

VERSIONS = ("1.29", "1.37")
OPERATOR_GROUP = "monitoring.coreos.com/v1"


def main() -> None:
    """Answer what standard input asks."""
    check = "--check" in sys.argv
    json.dump([_examined(text, check=check) for text in json.load(sys.stdin)], sys.stdout, default=str)


def _examined(text: str, *, check: bool) -> dict[str, Any]:
    yaml = importlib.import_module("yaml")
    documents = [document for document in yaml.safe_load_all(text) if document is not None]
    faults = [fault for document in documents for fault in _faults(document)] if check else []
    return {"documents": documents, "faults": faults}


def _faults(document: Any) -> Iterator[str]:
    if document.get("apiVersion") == OPERATOR_GROUP:
        yield from _operator_faults(document)
    else:
        for version in VERSIONS:
            yield from _core_faults(document, version)


def _core_faults(document: Any, version: str) -> Iterator[str]:
    checker = importlib.import_module("kubernetes_validate")
    try:
        checker.validate(document, version, strict=True)
    except checker.ValidationError as error:
        where = ".".join(str(part) for part in error.path)
        yield f"{document['kind']} {document['metadata']['name']}, Kubernetes {version}: {where}: {error.message}"
    except checker.SchemaNotFoundError:
        yield f"{document.get('apiVersion')} {document.get('kind')} is not in Kubernetes {version}"


def _operator_faults(document: Any) -> Iterator[str]:
    pydantic = importlib.import_module("pydantic")
    models = importlib.import_module("cloudcoil.models.prometheus_operator.v1")
    try:
        getattr(models, document["kind"]).model_validate(document, extra="forbid")
    except pydantic.ValidationError as error:
        for detail in error.errors():
            where = ".".join(str(part) for part in detail["loc"])
            yield f"{document['kind']} {document['metadata']['name']}: {where}: {detail['msg']}"


if __name__ == "__main__":
    main()
