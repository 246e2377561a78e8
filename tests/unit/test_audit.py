"""The audit script: a finding fails unless it is waived with a reason, and silence is no audit."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / ".ci" / "audit"


@pytest.fixture
def audit() -> Any:
    spec = importlib.util.spec_from_loader("audit", SourceFileLoader("audit", str(SCRIPT)))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_waiver_names_places_and_a_reason(audit: Any) -> None:
    import tomllib

    for waiver in tomllib.loads(audit.WAIVERS.read_text("utf-8"))["bandit"]:
        assert waiver["files"] and len(waiver["reason"]) > 20, waiver


def test_bandit_finds_what_is_bad_and_a_waiver_that_nothing_needs(
    audit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("t2s", "jobs", ".ci"):
        (tmp_path / folder).mkdir()
    (tmp_path / "t2s" / "bad.py").write_text("import pickle\npickle.loads(b'')\nassert True\n")
    monkeypatch.setattr(audit, "HERE", tmp_path / ".ci")
    waivers = [{"test": "B101", "files": ["t2s/*"]}, {"test": "B999", "files": ["t2s/*"]}]
    found = audit.bandit([*waivers, {"test": "B403", "files": ["t2s/*"]}])
    assert len(found) == 2 and found[0].startswith("t2s/bad.py:2: B301") and "B999" in found[1]


def test_pip_audit_fails_for_an_advisory_and_says_when_it_could_not_ask(
    audit: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(listed: object) -> None:
        done = subprocess.CompletedProcess([], 1, json.dumps(listed) if listed is not None else "no network", "")
        monkeypatch.setattr(audit, "_run", lambda words: done)

    vuln = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2"]}
    answer({"dependencies": [{"name": "a", "version": "1", "vulns": [vuln]}, {"name": "b", "skip_reason": "?"}]})
    assert audit.pip_audit([]) == ["pip-audit: a 1: PYSEC-1, fixed in ['2']"]
    assert audit.pip_audit([{"id": "CVE-1"}]) == []
    answer({"dependencies": [{"name": "b", "skip_reason": "not found"}]})
    assert audit.pip_audit([]) == [] and "NOT DONE" in capsys.readouterr().out
    answer(None)
    assert audit.pip_audit([]) == [] and "NOT DONE" in capsys.readouterr().out
