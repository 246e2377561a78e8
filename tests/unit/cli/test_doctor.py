"""Every check of the doctor passes where all is well, and does not where something is really wrong."""

from __future__ import annotations

import http.server
import json
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[2]))
from tiny_model import save_tiny_model

from t2s.cli.main import run
from t2s.cluster.nodes import free_port
from t2s.config import load
from t2s.doctor import learning, machine, packages, services, sharing
from t2s.doctor import run as doctor
from t2s.doctor.check import Check, Subject
from t2s.errors import SetupError, T2SError
from t2s.runtime import pin_paths

Look = Callable[..., Check]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "T2S_SERVE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    # No dashboard of somebody else's Ray.
    monkeypatch.setattr(services, "DASHBOARD", f"http://127.0.0.1:{free_port()}")


@pytest.fixture
def look(tiny: Path, cache: Path, tmp_path: Path) -> Look:
    """``look(check, *settings)``: one check on the tiny model and generated data."""
    own = [f"model.name={tiny}", f"output_dir={tmp_path}", f"data.cache_dir={cache}", "data.pipeline=synthetic"]
    own += ["data.options={num_train: 64, num_val: 16, num_test: 16}", "training.use_gpu=false"]
    own += ["lora.target_modules=all-linear"]

    def one(check: Callable[[Subject], Check], *settings: str) -> Check:
        try:
            return check(Subject(pin_paths(load([], [*own, *settings]))))
        except T2SError as error:
            return Check("", "fail", str(error))

    return one


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers 200, or 401 to whom does not bring the server's token."""

    def do_GET(self) -> None:
        wanted = getattr(self.server, "token", None)
        given = self.headers.get("Authorization", "")
        self.send_response(200 if wanted is None or given == f"Bearer {wanted}" else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def answering() -> Iterator[Callable[..., int]]:
    """``answering(host, token)``: a server; returns its port."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(host: str = "127.0.0.1", token: str | None = None) -> int:
        server = http.server.ThreadingHTTPServer((host, 0), Answers)
        server.token = token  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return int(server.server_address[1])

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def install(folder: Path, name: str, *requires: str) -> None:
    """Make a package look installed from ``folder``, which stands first on the path."""
    info = folder / f"{name.replace('-', '_')}-9.dist-info"
    info.mkdir(parents=True)
    lines = [f"Requires-Dist: {each}" for each in requires]
    (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", f"Name: {name}", "Version: 9", *lines, ""]))


def test_versions_that_are_not_those_asked_for(look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path / "site")
    install(tmp_path / "site", "t2s", "typer>=0.1", "packaging")
    found = look(packages.versions)
    assert found.state == "pass" and "Python 3." in found.found
    install(tmp_path / "site", "old-plugin", "typer<0.1")
    found = look(packages.versions)
    assert found.state == "warn" and "old-plugin needs typer<0.1" in found.found and "pip check" in found.cure
    shutil.rmtree(tmp_path / "site" / "t2s-9.dist-info")
    install(tmp_path / "site", "t2s", "typer<0.1", "nobody-has-this>=2")
    found = look(packages.versions)
    assert found.state == "fail" and "nobody-has-this>=2 and it is absent" in found.found
    assert "'typer<0.1'" in found.cure


def test_what_the_settings_need_and_what_breaks_ray(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    if packages.version_of("wandb") is None:
        found = look(packages.versions, "training.report_to=wandb")
        assert found.state == "fail" and "t2s[wandb]" in found.cure
    monkeypatch.setenv("RAY_TRAIN_V2_ENABLED", "0")
    found = look(packages.versions)
    assert found.state == "fail" and found.cure == "unset RAY_TRAIN_V2_ENABLED"


def test_a_device_that_is_not_here_and_one_that_torch_does_not_see(
    look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert look(machine.device) == Check("", "pass", "cpu, fp32")
    found = look(machine.device, "training.use_gpu=true")
    assert found.state == "fail" and "training.use_gpu=auto" in found.found
    found = look(machine.device, "training.use_gpu=auto", "model.name=mistralai/Mistral-7B-v0.1")
    assert found.state == "warn" and "takes days" in found.found
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho 'NVIDIA Thing, 80 GiB, 999'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")
    found = look(machine.device, "training.use_gpu=auto")
    assert found.state == "warn" and "torch sees none" in found.found and "CPU build" in found.cure


def test_a_base_that_is_not_here_fails_once_and_the_others_say_so(look: Look, tmp_path: Path) -> None:
    assert look(learning.model).state == "pass"
    config = pin_paths(load([], [f"model.name={tmp_path / 'absent'}", f"output_dir={tmp_path}"]))
    wanted = {name: doctor.CHECKS[name] for name in ("model", "tokenizer", "adapter", "disk")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doctor, "CHECKS", wanted)
        found = {check.name: check for check in doctor.run_checks(config)}
    assert "no such directory" in found["model"].found
    assert found["tokenizer"].found == "not checked: see model" and found["tokenizer"].state == "fail"
    assert found["disk"].state in ("pass", "warn")


def test_a_check_that_breaks_is_a_failed_one_and_the_others_still_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(subject: Subject) -> Check:
        raise KeyError("postgresql://u:canary@h")

    monkeypatch.setattr(doctor, "CHECKS", {"one": broken, "access": sharing.access})
    found = list(doctor.run_checks(load([], [])))
    assert [check.state for check in found] == ["fail", "pass"] and "KeyError" in found[0].found
    assert "canary" not in found[0].found


def test_a_tokenizer_without_an_end(look: Look, tiny: Path, tmp_path: Path) -> None:
    assert "pad is the same token" in look(learning.tokenizer).found
    other = Path(shutil.copytree(tiny, tmp_path / "endless"))
    settings = json.loads((other / "tokenizer_config.json").read_text())
    settings.pop("eos_token")
    (other / "tokenizer_config.json").write_text(json.dumps(settings))
    (other / "special_tokens_map.json").unlink(missing_ok=True)
    found = look(learning.tokenizer, f"model.name={other}")
    assert found.state == "fail" and "end" in found.found


def test_data_that_is_not_there_and_examples_that_are_too_long(look: Look, tmp_path: Path) -> None:
    assert "64 train" in look(learning.data).found
    gone = look(learning.data, "data.pipeline=jsonl", f"data.path={tmp_path / 'gone'}", "data.options={}")
    assert gone.state == "fail" and "no such directory" in gone.found
    assert look(learning.tokens).state == "pass"
    found = look(learning.tokens, "training.max_length=16")
    assert found.state == "warn" and found.cure == "raise training.max_length"
    wrong = look(learning.tokens, "lora.target_modules=[q_prog]")
    assert wrong.state == "fail" and "q_proj" in wrong.found


def test_memory_that_does_not_suffice(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look(machine.memory).state == "pass"
    monkeypatch.setattr("t2s.train.place.available_memory", lambda: 200_000_000)
    found = look(machine.memory)
    assert found.state == "fail" and "0.2 GB free" in found.found and "training.batch_size" in found.cure


def test_an_adapter_that_may_not_be_served(look: Look, tmp_path: Path) -> None:
    none_yet = look(learning.adapter)
    assert none_yet.state == "warn" and "no champion yet" in none_yet.found
    assert look(learning.adapter, "serve.adapter=none").state == "warn"
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "adapter_model.bin").write_bytes(b"\x80\x04.")
    found = look(learning.adapter, f"serve.adapter={tmp_path / 'bad'}")
    assert found.state == "fail" and "adapter_model.bin does not belong" in found.found
    found = look(learning.adapter, "serve.adapter=none", f"serve.adapters={{other: {tmp_path / 'bad'}}}")
    assert found.state == "fail" and found.found.startswith("serve.adapters.other: ")


def test_an_mlflow_that_is_away_or_broken(
    look: Look, tmp_path: Path, answering: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "made by the first run" in look(services.tracking).found and not (tmp_path / "mlflow.db").exists()
    assert look(services.tracking, "training.report_to=none").state == "pass"
    found = look(services.tracking, f"tracking.uri=http://127.0.0.1:{free_port()}")
    assert found.state == "fail" and "nobody listens" in found.found
    assert look(services.tracking, f"tracking.uri=http://127.0.0.1:{answering(token='x')}").state == "fail"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    found = look(services.tracking)
    assert found.state == "warn" and "set tracking.uri" in found.cure


def test_a_ray_that_is_not_there_or_wants_another_token(
    look: Look, tmp_path: Path, answering: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert look(services.ray).state == "pass"
    gone = look(services.ray, f"ray.address=127.0.0.1:{free_port()}")
    assert gone.state == "fail" and "nobody listens" in gone.found
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert "no Ray runs" in look(services.ray, "ray.address=auto").found

    port = answering(token="the-right-one")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", f"http://127.0.0.1:{port}")
    assert "none is set" in look(services.ray).found
    monkeypatch.setenv("RAY_AUTH_TOKEN", "another")
    refused = look(services.ray)
    assert refused.state == "fail" and "refuses the token" in refused.found
    monkeypatch.setenv("RAY_AUTH_TOKEN", "the-right-one")
    assert look(services.ray, f"ray.address=127.0.0.1:{port}").state == "pass"
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", f"http://127.0.0.1:{answering()}")
    found = look(services.ray)
    assert found.state == "warn" and "answers without a token" in found.found
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "no-token"))
    assert "no such file" in look(services.ray).found


def test_a_token_is_wanted_and_there_is_none(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    assert look(services.ray).state == "pass"  # a local Ray makes its own
    found = look(services.ray, f"ray.address=127.0.0.1:{free_port()}")
    assert found.state == "fail" and "there is no token" in found.found


def test_a_port_that_is_taken_or_rays(look: Look) -> None:
    assert look(sharing.ports, f"serve.port={free_port()}").state == "pass"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        found = look(sharing.ports, f"serve.port={taken.getsockname()[1]}")
    assert found.state == "fail" and "free it or choose another" in found.found
    found = look(sharing.ports, "serve.port=10002")
    assert found.state == "warn" and "Ray gives to its workers" in found.found
    assert look(sharing.ports, "serve.port=19999").state == "warn"


def test_a_public_address_without_a_token(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look(sharing.access).state == "pass"
    found = look(sharing.access, "serve.host=0.0.0.0")
    assert found.state == "fail" and "serve.token_file" in found.found
    assert look(sharing.access, "serve.host=0.0.0.0", "serve.allow_public=true").state == "warn"
    monkeypatch.setenv("T2S_SERVE_TOKEN", "long-enough-0123456789")
    found = look(sharing.access, "serve.host=0.0.0.0")
    assert found.state == "pass" and "0123456789" not in found.found


def test_a_service_that_answers_the_world(look: Look, answering: Callable[..., int]) -> None:
    everybody = answering("0.0.0.0")  # of this machine, for a moment
    found = look(sharing.exposed, f"tracking.uri=http://127.0.0.1:{everybody}")
    assert found.state == "fail" and f"MLflow on port {everybody} answers everybody" in found.found
    guarded, own = answering("0.0.0.0", token="x"), answering("127.0.0.1")
    for port in (guarded, own):
        assert look(sharing.exposed, f"tracking.uri=http://127.0.0.1:{port}").state == "pass"
    found = look(sharing.exposed, f"serve.port={everybody}")
    assert found.state == "fail" and "the endpoint" in found.found


def test_a_service_is_asked_at_the_address_that_it_listens_on(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked on loopback, what listens on one public address alone did not answer, and passed."""
    import psutil

    asked: list[str] = []

    def listen(*addresses: str) -> None:
        found = [SimpleNamespace(ip=address, port=8123) for address in addresses]
        there = [SimpleNamespace(laddr=each, status=psutil.CONN_LISTEN) for each in found]
        monkeypatch.setattr(psutil, "net_connections", lambda kind: there)

    monkeypatch.setattr(sharing, "status", lambda url: asked.append(url) or (200 if "10.1.2.3" in url else None))
    listen("10.1.2.3")
    assert look(sharing.exposed, "serve.port=8123").state == "fail"
    listen("127.0.0.1", "::1", "::", "fd00::7", "::ffff:0.0.0.0")
    assert look(sharing.exposed, "serve.port=8123").found.startswith("1 services listen")
    hosts = {url.removeprefix("http://").partition("/")[0] for url in asked}
    assert hosts == {"10.1.2.3:8123", "[::1]:8123", "[fd00::7]:8123", "127.0.0.1:8123"}


def test_two_checks_that_fail_for_reasons_of_their_own_say_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that is gone gives its id away: the next one passed for the same and hid what it had to say."""

    def failing(text: str) -> Callable[[Subject], Check]:
        def check(subject: Subject) -> Check:
            raise SetupError(text)

        return check

    names = [f"check-{number}" for number in range(8)]
    monkeypatch.setattr(doctor, "CHECKS", {name: failing(name) for name in names})
    assert [check.found for check in doctor.run_checks(load([]))] == names


def test_secrets_that_others_may_read(look: Look, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("a-token-of-enough-length\n")
    file.chmod(0o600)
    assert look(sharing.secrets, f"serve.token_file={file}").state == "pass"
    file.chmod(0o644)
    found = look(sharing.secrets, f"serve.token_file={file}")
    assert found.state == "warn" and found.cure == f"chmod 600 {file}"
    found = look(sharing.secrets, "tracking.uri=postgresql://u:canary@h/db")
    assert found.state == "warn" and "canary" not in found.found and "PGPASSWORD" in found.cure
    found = look(sharing.secrets, "data.options={num_train: 64, api_token: canary}")
    assert found.state == "warn" and "data.options" in found.found and "canary" not in found.found


def test_a_disk_that_is_full_and_too_little_shared_memory(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk(total: float, free: float) -> Callable[[object], Any]:
        return lambda place: shutil._ntuple_diskusage(int(total), int(total - free), int(free))  # type: ignore[attr-defined]

    # Full disks and containers' limits cannot be had without a root's rights.
    monkeypatch.setattr(machine.shutil, "disk_usage", disk(1e12, 5e11))
    assert look(machine.disk).state == "pass"
    monkeypatch.setattr(machine.shutil, "disk_usage", disk(1e11, 1e9))
    assert "Ray writes nothing there" in look(machine.disk).found or look(machine.disk).state == "warn"
    monkeypatch.setattr(machine.shutil, "disk_usage", disk(1e10, 4e9))
    assert "a run wants" in look(machine.disk).cure
    monkeypatch.setattr(machine, "MIN_SHM", 1 << 60)
    monkeypatch.setattr(machine.shutil, "disk_usage", disk(1e12, 5e11))
    assert "--shm-size" in look(machine.disk).cure


def test_the_report_as_json_has_every_check_and_the_exit_code_of_the_worst(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "CHECKS", {name: doctor.CHECKS[name] for name in ("access", "secrets")})
    assert run(["doctor", "--json", f"output_dir={tmp_path}"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(each["name"], each["state"]) for each in found] == [("access", "pass"), ("secrets", "pass")]
    assert run(["doctor", "serve.host=0.0.0.0", f"output_dir={tmp_path}"]) == 4
    printed = capsys.readouterr().out
    assert printed.startswith("fail  access") and "\x1b" not in printed
