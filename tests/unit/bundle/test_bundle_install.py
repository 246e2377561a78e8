"""Installing a bundle: everything is checked first, and what fails leaves nothing behind."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundle_rig import Collect

from t2s.bundle import standalone
from t2s.bundle.collect import Collected
from t2s.bundle.standalone import INSTALLER, MANIFEST, UNFINISHED, Places, UnfitError, install
from t2s.cli.main import run
from t2s.config import load

DEAD = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "PIP_INDEX_URL": "http://127.0.0.1:9"}


def test_a_bundle_is_installed_by_its_own_script_without_a_network_and_without_t2s(
    made: Collected, bundle: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home of mine"
    command = [sys.executable, "-I", str(bundle / INSTALLER), "--to", str(home), "--sha256", made.manifest_sha256]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **DEAD}, timeout=250)
    assert done.returncode == 0, done.stderr
    assert f"t2s doctor -c '{home}/config.yaml'" in done.stdout and "HF_HUB_OFFLINE=1" in done.stdout
    asked = [home / "venv" / "bin" / "python", "-c", "import t2s_stand_in; print(t2s_stand_in.VALUE)"]
    assert subprocess.run(asked, capture_output=True, text=True).stdout == "7\n"
    for source, target in (("shop", "data"), ("tiny-model", "model")):
        folder = made.directory.parent / source
        for file in folder.rglob("*"):
            place = home / target / file.relative_to(folder)
            if file.is_file() and file.name not in (".hidden", "script.py"):
                assert place.read_bytes() == file.read_bytes()
    assert sorted(file.name for file in home.iterdir()) == ["config.yaml", "data", "model", "venv"]
    config = load([home / "config.yaml"])
    assert (config.model.name, config.data.path, config.lora.r) == (str(home / "model"), home / "data", 4)
    assert not (home / "venv" / UNFINISHED).exists()


def spoil_first_part(bundle: Path, manifest: dict[str, Any]) -> None:
    raw = bytearray((bundle / "part-0001").read_bytes())
    raw[7] ^= 1
    (bundle / "part-0001").write_bytes(raw)


def remove_a_part(bundle: Path, manifest: dict[str, Any]) -> None:
    (bundle / "part-0002").unlink()


def link_a_part(bundle: Path, manifest: dict[str, Any]) -> None:
    (bundle / "part-0002").rename(bundle.parent / "elsewhere")
    (bundle / "part-0002").symlink_to(bundle.parent / "elsewhere")


def add_a_file(bundle: Path, manifest: dict[str, Any]) -> None:
    (bundle / "sitecustomize.py").write_text("import os")


def truncate_the_manifest(bundle: Path, manifest: dict[str, Any]) -> None:
    manifest.pop("files")


def tell(key: str, value: Any) -> Callable[[Path, dict[str, Any]], None]:
    def change(bundle: Path, manifest: dict[str, Any]) -> None:
        manifest[key] = value

    return change


def rename_a_file(path: str) -> Callable[[Path, dict[str, Any]], None]:
    def change(bundle: Path, manifest: dict[str, Any]) -> None:
        manifest["files"][0]["path"] = path

    return change


def name_a_part(name: str) -> Callable[[Path, dict[str, Any]], None]:
    def change(bundle: Path, manifest: dict[str, Any]) -> None:
        manifest["parts"][0]["name"] = name

    return change


def lie_about_a_file(bundle: Path, manifest: dict[str, Any]) -> None:
    manifest["files"][-1]["sha256"] = "0" * 64


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (spoil_first_part, 3, "part-0001: is not the part that was made"),
        (remove_a_part, 3, "part-0002 not here yet"),
        (link_a_part, 3, "part-0002: a link"),
        (add_a_file, 3, "sitecustomize.py: does not belong"),
        (truncate_the_manifest, 3, "not a manifest of t2s"),
        (tell("files", [{"path": "model/x"}]), 3, "not a manifest"),
        (tell("format", 2), 3, "format 2"),
        (rename_a_file("model/../../evil"), 3, "no place inside a bundle"),
        (rename_a_file("/etc/cron.d/evil"), 3, "no place inside a bundle"),
        (rename_a_file("model/\x1b[2Jx"), 3, "no place inside a bundle"),
        (rename_a_file("model\\..\\evil"), 3, "no place inside a bundle"),
        (rename_a_file("home/.bashrc"), 3, "no place inside a bundle"),
        (tell("data_path", "../../x"), 3, "no place inside a bundle"),
        (name_a_part("../part-0001"), 3, "no name of a part"),
        (name_a_part("manifest.json"), 3, "no name of a part"),
        (tell("requirements", ["--index-url=http://evil"]), 3, "no name==version"),
        (tell("requirements", ["t2s @ file:///evil"]), 3, "no name==version"),
        (lie_about_a_file, 3, "is not the file that was collected"),
        (tell("unpacked", "much"), 3, "unpacked is no number"),
        (tell("glibc", 2.3), 3, "glibc no version"),
        (tell("config", ["x"]), 3, "not a manifest"),
        (tell("config", {"model": "x"}), 3, "sections of settings"),
        (tell("unpacked", 1 << 60), 4, "no space"),
        (tell("python", "2.7"), 4, "run install.py with python2.7"),
        (tell("platform", "plan9-mips"), 4, "the bundle is for plan9-mips"),
        (tell("glibc", "99.0"), 4, "wheels need 99.0"),
    ],
)
def test_a_fault_is_one_line_and_nothing_is_installed(
    fault: Callable[[Path, dict[str, Any]], None],
    code: int,
    said: str,
    bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text("utf-8"))
    fault(bundle, manifest)
    (bundle / MANIFEST).write_text(json.dumps(manifest), "utf-8")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert run(["bundle", "install", str(bundle), "--to", str(tmp_path / "new" / "home")]) == code
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and said in error
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert {path for path in after if path != tmp_path} == {path for path in before if path != tmp_path}


def test_the_digest_that_was_noted_tells_a_forged_bundle(collect: Collect, tmp_path: Path) -> None:
    made = collect()
    places = Places(tmp_path / "home")
    with pytest.raises(standalone.BundleError, match="not the bundle that was made"):
        install(made.directory, places, hashlib.sha256(b"another").hexdigest())
    install(made.directory, places, made.manifest_sha256.upper(), lambda text: None)
    with pytest.raises(standalone.PlaceError, match="holds files already"):
        install(made.directory, places)


def test_what_a_killed_installation_left_is_removed_by_the_next(collect: Collect, tmp_path: Path) -> None:
    made, places = collect(), Places(tmp_path / "home")
    stale = places.aside("model")
    stale.mkdir(parents=True)
    (stale / "model.safetensors").write_bytes(b"half")
    install(made.directory, places, say=lambda text: None)
    assert sorted(file.name for file in places.to.iterdir()) == ["config.yaml", "data", "model"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device", "x")])
def test_an_interruption_or_a_full_disk_in_the_middle_takes_back_what_was_begun(
    error: BaseException, collect: Collect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, places = collect(), Places(tmp_path / "new" / "home", data=tmp_path / "data" / "shop")

    def fail(*_: object) -> None:
        (places.to / "config.yaml").write_text("half")
        raise error

    monkeypatch.setattr(standalone, "_write_config", fail)  # the last step: all else has its name by then
    with pytest.raises((KeyboardInterrupt, UnfitError)):
        install(made.directory, places, say=lambda text: None)
    assert not (tmp_path / "new").exists() and not (tmp_path / "data").exists()


def test_the_installer_is_the_same_code_and_needs_the_standard_library_alone(collect: Collect) -> None:
    made = collect()
    assert (made.directory / INSTALLER).read_bytes() == Path(standalone.__file__).read_bytes()
    command = [sys.executable, "-I", "-S", str(made.directory / INSTALLER), "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "--model-dir" in done.stdout
