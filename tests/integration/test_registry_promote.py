"""``t2s promote`` as a user types it: the tiny model, a real Ray, a real MLflow."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from t2s.cli.main import run
from t2s.config import load
from t2s.model.adapter import attach, save_adapter
from t2s.model.load import load_base
from t2s.registry import find_adapter

pytestmark = pytest.mark.usefixtures("ray")


def test_promote_asks_all_three_the_same_refuses_forces_and_goes_back(
    tiny_overrides: Callable[[Path], list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*tiny_overrides(tmp_path / "runs"), "quantization.load_in_4bit=false"]
    config = load([], words)
    for number in (1, 2):
        model, _, files = load_base(config, for_training=True)
        lora = config.lora.model_copy(update={"r": 2 * number})
        (tmp_path / f"run{number}").mkdir()
        save_adapter(attach(model, lora), tmp_path / f"run{number}" / "adapter", files, config.prompt, {})

    def promote(*arguments: str) -> tuple[int, str]:
        asks = {"--force", "--rollback", "--evaluation"}.isdisjoint(arguments)
        code = run(["promote", *arguments, *(("--max-samples", "4") if asks else ()), *words])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out + said.err

    code, said = promote(str(tmp_path / "run1"))  # new adapters answer as the base does
    assert code == 1 and "is version 1" in said and "p = 1 (needed: better, p ≤ 0.05)" in said
    assert promote("1", "--force", "the first")[0] == 0
    assert promote("1")[0] == 0, "it is the champion already"
    code, said = promote(str(tmp_path / "run2" / "adapter"))
    assert code == 1 and "against champion version 1" in said and "version 2 is not promoted" in said
    newest = max((tmp_path / "runs").glob("promote-*"), key=lambda path: path.stat().st_mtime)
    results = json.loads((newest / "evaluation.json").read_text())
    assert set(results["adapter"]) == {"base", "tuned", "champion"}
    assert results["adapter_sha256"]["tuned"] != results["adapter_sha256"]["champion"]
    lines = (newest / "predictions.jsonl").read_text().splitlines()
    assert len(lines) == 4 and all({"base", "tuned", "champion"} <= json.loads(line).keys() for line in lines)
    assert promote("challenger", "--evaluation", str(newest), "--max-p", "0.5")[0] == 1
    assert promote("--force", "faster")[0] == 0
    code, said = promote("--rollback")
    assert code == 0 and "version 1 is the champion again, in place of version 2" in said
    champion = find_adapter(config, "champion")
    assert champion is not None and champion.version == "1"
