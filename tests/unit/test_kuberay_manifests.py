"""The Kubernetes manifests: rendered by kustomize, held against the schemas of KubeRay and Kubernetes, and each other.

A schema is read strictly (a misspelt key is an error), and what no schema knows is checked here: that names meet.
"""

from __future__ import annotations

import functools
import importlib.metadata
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator

from t2s.cli.job_entry import as_job, read_arguments
from t2s.config import load
from t2s.serve.deploy import read_args, serve_config

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "cluster" / "kubernetes"
DOCS = ROOT / "docs" / "cluster-kubernetes.md"
OVERLAYS = ["cpu", "cpu/train", "cpu/serve", "gpu", "gpu/train", "gpu/serve"]
RAY = {
    "RayCluster": ("ray.io_rayclusters.yaml", ()),
    "RayJob": ("ray.io_rayjobs.yaml", ("rayClusterSpec",)),
    "RayService": ("ray.io_rayservices.yaml", ("rayClusterConfig",)),
}
OLDEST, NEWEST = "1.29", "1.37"


@functools.cache
def rendered(overlay: str) -> list[Any]:
    """The documents that `kubectl apply -k` would send."""
    kubectl = Path(sys.executable).with_name("kubectl")
    done = subprocess.run([kubectl, "kustomize", KUBERNETES / "overlays" / overlay], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return list(yaml.safe_load_all(done.stdout))


def whole(hardware: str) -> list[Any]:
    """The platform, and the three Ray kinds beside it."""
    return [document for overlay in OVERLAYS if overlay.startswith(hardware) for document in rendered(overlay)]


def ray_spec(document: Any) -> Any:
    spec = document["spec"]
    for key in RAY[document["kind"]][1]:
        spec = spec[key]
    return spec


def pods(documents: list[Any]) -> Iterator[tuple[str, Any]]:
    """(name, pod template) of all pods that the documents ask for."""
    for document in documents:
        kind, name = document["kind"], document["metadata"]["name"]
        if kind in RAY:
            spec = ray_spec(document)
            for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
                yield f"{name}/{group.get('groupName', 'head')}", group["template"]
            if "submitterPodTemplate" in document["spec"]:
                yield f"{name}/submitter", document["spec"]["submitterPodTemplate"]
        elif kind in ("Deployment", "StatefulSet"):
            yield name, document["spec"]["template"]


def of_kind(documents: list[Any], kind: str) -> list[Any]:
    return [document for document in documents if document["kind"] == kind]


def matches(selector: Any, template: Any) -> bool:
    labels = template["metadata"].get("labels", {})
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def port_names(template: Any) -> set[str]:
    return {port["name"] for container in template["spec"]["containers"] for port in container.get("ports", [])}


# --- schemas


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
def crd_schema(crd: Path) -> Draft202012Validator:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a megabyte each: seconds in Python
    versions = yaml.load(crd.read_text(), Loader=loader)["spec"]["versions"]
    schema = next(each["schema"]["openAPIV3Schema"] for each in versions if each["name"] == "v1")
    return Draft202012Validator(strict(schema))


def problems(document: Any, crds: Path) -> list[str]:
    assert document["apiVersion"] == "ray.io/v1"
    return [error.message for error in crd_schema(crds / RAY[document["kind"]][0]).iter_errors(document)]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_document_of_ray_fits_its_crd(shared_crds: Path, overlay: str) -> None:
    found = [document for document in rendered(overlay) if document["kind"] in RAY]
    assert len(found) == 1, "an overlay brings one cluster, job or endpoint"
    assert problems(found[0], shared_crds) == []


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("overlay", ["cpu", "gpu"])
def test_every_document_of_kubernetes_fits_its_schema(overlay: str, version: str) -> None:
    documents = [document for document in rendered(overlay) if document["kind"] not in RAY]
    assert {document["kind"] for document in documents} >= {"Namespace", "Deployment", "Service", "NetworkPolicy"}
    for document in documents:
        kubernetes_validate.validate(document, version, strict=True)


def test_the_checks_see_a_misspelt_key_and_a_wrong_value(shared_crds: Path) -> None:
    wrong = yaml.safe_load(yaml.safe_dump(of_kind(rendered("cpu"), "RayCluster")[0]))
    wrong["spec"]["workerGroupSpec"] = []
    wrong["spec"]["authOptions"]["mode"] = "tokens"
    assert len(problems(wrong, shared_crds)) == 2
    wrong = yaml.safe_load(yaml.safe_dump(of_kind(rendered("cpu"), "Deployment")[0]))
    wrong["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError, match="imagePullPolice"):
        kubernetes_validate.validate(wrong, NEWEST, strict=True)


# --- Ray


@pytest.mark.parametrize("hardware", ["cpu", "gpu"])
def test_cluster_job_and_endpoint_have_the_same_nodes_of_the_installed_ray_with_a_token(hardware: str) -> None:
    specs = [ray_spec(document) for document in whole(hardware) if document["kind"] in RAY]
    assert len(specs) == 3 and specs[0] == specs[1] == specs[2]
    assert specs[0]["rayVersion"] == importlib.metadata.version("ray")
    assert specs[0]["authOptions"] == {"mode": "token", "secretName": "t2s-ray-token"}
    assert specs[0]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0", "no work on the head"


def test_names_of_ray_documents_differ_since_their_services_are_named_after_them() -> None:
    names = [document["metadata"]["name"] for document in whole("cpu") if document["kind"] in RAY]
    assert len(set(names)) == len(names) == 3


def test_gpu_workers_ask_for_a_gpu_tolerate_its_taint_and_run_the_gpu_image() -> None:
    for document in whole("gpu"):
        if document["kind"] in RAY:
            worker = ray_spec(document)["workerGroupSpecs"][0]["template"]["spec"]
            assert worker["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
            assert worker["tolerations"][0]["key"] == "nvidia.com/gpu"
            images = {each["image"] for _, pod in pods([document]) for each in pod["spec"]["containers"]}
            assert images == {"t2s-gpu:0.1.0"}


def test_the_endpoint_is_what_t2s_itself_would_deploy() -> None:
    written = yaml.safe_load(of_kind(rendered("cpu/serve"), "RayService")[0]["spec"]["serveConfigV2"])
    config, generator = read_args(written["applications"][0]["args"])
    assert written == serve_config(config, generator) | {"proxy_location": "EveryNode"}
    head = next(pod for name, pod in pods(rendered("cpu/serve")) if name.endswith("head"))
    variables = {each["name"]: each for each in head["spec"]["containers"][0]["env"]}
    assert config.serve.host == "0.0.0.0" and "T2S_SERVE_TOKEN" in variables, "a public address wants a token"


def test_the_jobs_command_is_one_of_t2s_and_a_second_attempt_goes_on_with_its_run(tmp_path: Path) -> None:
    spec = of_kind(rendered("cpu/train"), "RayJob")[0]["spec"]
    python, script, *arguments = shlex.split(spec["entrypoint"].replace("$MLFLOW_TRACKING_URI", "http://mlflow:5000"))
    assert python == "python" and (ROOT / Path(script).relative_to("/home/t2s")).is_file()
    arguments = [each.replace("/home/t2s", str(ROOT)) for each in arguments]
    given = read_arguments("train", arguments)
    assert load(given["config"], given["overrides"]).training.num_workers == 2
    job = yaml.safe_load(spec["runtimeEnvYAML"])["env_vars"]
    words = as_job("train", arguments, job | {"T2S_ROOT": str(tmp_path)})
    assert words[-2:] == ["--name", "t2s-train"] and f"output_dir={tmp_path / 'runs'}" in words
    assert spec["backoffLimit"] > 0, "as_job resumes, so that another attempt is worth it"


# --- pods


@pytest.mark.parametrize("hardware", ["cpu", "gpu"])
def test_every_pod_keeps_to_the_restricted_standard_with_a_read_only_root(hardware: str) -> None:
    found = list(pods(whole(hardware)))
    assert len(found) == 2 + 3 * 2 + 1
    for name, pod in found:
        spec = pod["spec"]
        context = spec["securityContext"]
        assert context["runAsNonRoot"] is True and context["runAsUser"] > 0, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["automountServiceAccountToken"] is False, f"{name}: nothing here asks Kubernetes for anything"
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        kinds = {kind for volume in spec.get("volumes", []) for kind in volume.keys() - {"name"}}
        assert kinds <= {"emptyDir", "configMap", "persistentVolumeClaim"}, name
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False and own["readOnlyRootFilesystem"] is True, name
            assert own["capabilities"] == {"drop": ["ALL"]}, name
            assert "/tmp" in [mount["mountPath"] for mount in container["volumeMounts"]], f"{name}: nowhere to write"


@pytest.mark.parametrize("hardware", ["cpu", "gpu"])
def test_every_container_has_a_pinned_image_resources_and_if_it_stays_a_probe(hardware: str) -> None:
    for name, pod in pods(whole(hardware)):
        for container in pod["spec"]["containers"]:
            assert re.fullmatch(r"[a-z0-9-]+:\d+\.\d+[\w.-]*", container["image"]), container["image"]
            resources = container["resources"]
            assert resources["requests"].keys() == resources["limits"].keys() >= {"cpu", "memory"}, name
            if not name.endswith("submitter"):
                assert "livenessProbe" in container, name
                ports = {port["name"] for port in container["ports"]}
                probes = [container[key] for key in container if key.endswith("Probe")]
                assert {probe["httpGet"]["port"] for probe in probes if "httpGet" in probe} <= ports, name


def test_images_are_those_that_the_dockerfiles_say_they_build() -> None:
    ours = {c["image"] for h in ("cpu", "gpu") for _, pod in pods(whole(h)) for c in pod["spec"]["containers"]}
    heads = [path.read_text().splitlines()[0] for path in (ROOT / "cluster" / "docker").glob("Dockerfile.*")]
    built = {word for line in heads for word in line.split() if re.fullmatch(r"t2s[a-z-]*:[\d.]+", word)}
    assert {image for image in ours if image.startswith("t2s")} == built
    assert {image.split(":")[1] for image in built} == {importlib.metadata.version("t2s")}


# --- names that must meet


def references(documents: list[Any]) -> tuple[set[tuple[str, str]], set[tuple[str, str]], set[str]]:
    """(secret, key), (config map, key or ""), and claims that pods name."""
    secrets, maps, claims = set(), set(), set()
    for _, pod in pods(documents):
        for container in pod["spec"]["containers"]:
            for variable in container.get("env", []):
                source = variable.get("valueFrom", {})
                if "secretKeyRef" in source:
                    secrets.add((source["secretKeyRef"]["name"], source["secretKeyRef"]["key"]))
                if "configMapKeyRef" in source:
                    maps.add((source["configMapKeyRef"]["name"], source["configMapKeyRef"]["key"]))
        for volume in pod["spec"].get("volumes", []):
            if "configMap" in volume:
                maps.add((volume["configMap"]["name"], ""))
            if "persistentVolumeClaim" in volume:
                claims.add(volume["persistentVolumeClaim"]["claimName"])
    return secrets, maps, claims


def test_every_secret_is_made_by_a_command_of_the_docs_and_none_lies_in_the_tree() -> None:
    secrets, _, _ = references(whole("cpu"))
    secrets |= {(ray_spec(each)["authOptions"]["secretName"], "auth_token") for each in of_kind(whole("cpu"), "RayJob")}
    commands = DOCS.read_text().replace("\\\n", " ")
    made = {
        (line.split("generic ")[1].split()[0], key)
        for line in commands.splitlines()
        if "create secret generic " in line
        for key in re.findall(r"--from-literal=(\w+)=", line)
    }
    assert secrets == made
    assert of_kind(whole("cpu") + whole("gpu"), "Secret") == []


def test_every_config_map_and_claim_that_a_pod_names_is_there() -> None:
    documents = whole("gpu")
    _, maps, claims = references(documents)
    there = {each["metadata"]["name"]: each["data"] for each in of_kind(documents, "ConfigMap")}
    assert maps and all(key == "" or key in there[name] for name, key in maps)
    assert {name for name, _ in maps} <= there.keys()
    assert claims == {each["metadata"]["name"] for each in of_kind(documents, "PersistentVolumeClaim")}


def test_everything_is_in_the_one_namespace() -> None:
    for document in whole("cpu"):
        assert document["metadata"].get("namespace", document["metadata"]["name"]) == "t2s", document["kind"]


def test_services_and_workloads_select_pods_that_have_their_labels_and_ports() -> None:
    documents = whole("cpu")
    templates = [pod for _, pod in pods(documents)]
    for service in of_kind(documents, "Service"):
        found = [pod for pod in templates if matches({"matchLabels": service["spec"]["selector"]}, pod)]
        assert len(found) == 1, service["metadata"]["name"]
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= port_names(found[0])
    for workload in of_kind(documents, "Deployment") + of_kind(documents, "StatefulSet"):
        assert matches(workload["spec"]["selector"], workload["spec"]["template"])


def test_the_network_is_shut_but_for_what_is_named_and_every_name_means_a_pod() -> None:
    documents = whole("cpu")
    templates = [pod for _, pod in pods(documents)]
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind(documents, "NetworkPolicy")}
    assert policies.pop("deny-all") == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    policies.pop("names")
    for pod in templates:
        assert any(matches(spec["podSelector"], pod) for spec in policies.values()), pod["metadata"]
    for name, spec in policies.items():
        selected = [pod for pod in templates if matches(spec["podSelector"], pod)]
        assert selected, name
        for rule in spec.get("ingress", []) + spec.get("egress", []):
            peers = rule.get("from", rule.get("to"))
            assert peers, f"{name}: a rule without peers lets everybody in"
            ours = [peer["podSelector"] for peer in peers if peer.keys() == {"podSelector"}]
            meant = [pod for selector in ours for pod in templates if matches(selector, pod)]
            assert all(any(matches(selector, pod) for pod in templates) for selector in ours), name
            listeners = selected if "from" in rule else meant
            named = {port["port"] for port in rule.get("ports", []) if isinstance(port["port"], str)}
            assert named <= {each for pod in listeners for each in port_names(pod)}, name


def test_no_policy_opens_private_addresses_or_the_metadata_service() -> None:
    blocks = [
        peer["ipBlock"]
        for policy in of_kind(rendered("cpu"), "NetworkPolicy")
        for rule in policy["spec"].get("ingress", []) + policy["spec"].get("egress", [])
        for peer in rule.get("from", rule.get("to"))
        if "ipBlock" in peer
    ]
    assert blocks
    for block in blocks:
        assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(block["except"])
