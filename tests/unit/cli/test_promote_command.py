"""What ``t2s promote`` refuses before it starts anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from t2s.cli.main import run


@pytest.mark.parametrize(
    ("arguments", "expected", "said"),
    [
        (["1", "2"], 2, "one version"),
        (["none"], 2, "bare base"),
        (["--max-p", "0"], 2, "above 0"),
        (["--min-gain", "nan"], 2, "0 to 100"),
        (["--force", " "], 2, "reason"),
        (["--rollback", "3"], 2, "takes no version"),
        (["--evaluation", "absent"], 3, "t2s evaluate"),
        (["--evaluation", "absent", "--max-samples", "3"], 2, "--evaluation and --max-samples do not go together"),
        (["--force", "why", "--max-samples", "3"], 2, "--force and --max-samples do not go together"),
        (["--rollback", "--max-samples", "3"], 2, "--rollback and --max-samples do not go together"),
        (["./absent"], 2, "no such directory"),
        (["1", "lora.rr=1"], 2, "did you mean 'r'"),
    ],
)
def test_bad_input_is_one_line_and_its_code(
    arguments: list[str],
    expected: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["promote", *arguments]) == expected
    error = capsys.readouterr().err
    assert said in error and error.startswith("error: ") and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_promote_and_json_do_not_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["search", "--promote", "--json"]) == 2
    assert "t2s promote" in capsys.readouterr().err
