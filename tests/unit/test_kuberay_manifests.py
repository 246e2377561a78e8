"""The Kubernetes manifests against KubeRay's own CRDs, strictly: a misspelt key is an error."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = {"raycluster.yaml": "ray.io_rayclusters.yaml", "rayjob.yaml": "ray.io_rayjobs.yaml"}


@pytest.fixture(scope="session")
def shared_crds() -> Path:
    folder = ROOT.parent / "shared" / "kuberay-crds"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here: KubeRay's CRDs lie beside the checkout in CI")
    return folder


def strict(schema: Any) -> Any:
    """The schema with unknown keys forbidden wherever Kubernetes would prune them."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    keeps = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not keeps:
        closed["additionalProperties"] = False
    return closed


@functools.cache
def crd_versions(crd: Path) -> Any:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a megabyte each: seconds in Python
    return yaml.load(crd.read_text(), Loader=loader)["spec"]["versions"]


def problems(manifest: Any, crd: Path) -> list[str]:
    versions = crd_versions(crd)
    schema = next(each["schema"]["openAPIV3Schema"] for each in versions if each["name"] == "v1")
    return [error.message for error in Draft202012Validator(strict(schema)).iter_errors(manifest)]


def load(name: str) -> Any:
    return yaml.safe_load((ROOT / "cluster" / "kuberay" / name).read_text())


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_fits_its_crd(shared_crds: Path, name: str) -> None:
    assert load(name)["apiVersion"] == "ray.io/v1"
    assert problems(load(name), shared_crds / MANIFESTS[name]) == []


def test_the_check_sees_a_misspelt_key_and_a_wrong_value(shared_crds: Path) -> None:
    wrong = load("raycluster.yaml")
    wrong["spec"]["workerGroupSpec"] = []
    wrong["spec"]["authOptions"]["mode"] = "tokens"
    assert len(problems(wrong, shared_crds / "ray.io_rayclusters.yaml")) == 2


@pytest.mark.parametrize("name", MANIFESTS)
def test_every_pod_is_unprivileged_and_the_cluster_has_a_token(name: str) -> None:
    spec = load(name)["spec"]
    cluster = spec.get("rayClusterSpec", spec)
    assert cluster["authOptions"]["mode"] == "token"
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert "MLFLOW_TRACKING_URI" in [each["name"] for each in container["env"]]
