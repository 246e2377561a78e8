import subprocess
import sys
from pathlib import Path

import pytest

from t2s.cli.main import run


def code(*arguments: str) -> int:
    return run(list(arguments))


def test_help_and_import_load_neither_torch_nor_ray_nor_mlflow() -> None:
    program = (
        "import sys; from t2s.cli.main import run; assert run(['train', '--help']) == 0; "
        "sys.exit(bool({'torch', 'ray', 'transformers', 'mlflow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "expected", "said"),
    [
        (["config", "show", "lora.rr=1"], 2, "did you mean 'r'"),
        (["config", "show", "-c", "absent.yaml"], 2, "absent.yaml"),
        (["train", "--epochz", "3"], 2, "--epochz"),
        (["nonsense"], 2, "nonsense"),
        (["infer", "--adapter-path", "none"], 2, "exactly one of"),
        (["infer", "--question", "Who?"], 2, "--schema"),
        (["infer", "--question", "Who?", "--schema", "TABLE: t ( a (real"], 2, "--schema"),
        (["infer", "--question", "Who?", "--database", "absent.db"], 3, "absent.db"),
        (["evaluate", "--split", "tset"], 2, "did you mean 'test'"),
        (["submit", "tran"], 2, "train"),
        (["train", "model.name=./absent"], 2, "absent"),
        (["train", "--dry-run", "--resume", "last"], 2, "--dry-run and --resume do not go together"),
        (["train", "--dry-run", "--promote"], 2, "--dry-run and --promote do not go together"),
        (["search", "--report", "runs/x", "--resume", "last"], 2, "--report and --resume do not go together"),
        (["quickstart", "data.pipeline=jsonl", "data.path=own.jsonl"], 2, "t2s pipeline"),
        (["quickstart", "serve.host=0.0.0.0"], 2, "serve.token_file"),
    ],
)
def test_bad_input_ends_in_one_message_and_the_documented_code(
    arguments: list[str],
    expected: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert code(*arguments) == expected
    captured = capsys.readouterr()
    assert said in captured.err
    assert "Traceback" not in captured.err
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").glob("train-*"))


def test_a_file_of_questions_reports_every_bad_line_before_a_model_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        '{"question": "Who?", "schema": "TABLE: t ( a (real) )"}',
        "{",
        '["x"]',
        '{"question": "Who?"}',
        '{"schema": "x"}',
    ]
    file = tmp_path / "questions.jsonl"
    file.write_text("\n".join(lines))
    assert code("infer", "--adapter-path", "none", "--input", str(file)) == 3
    said = capsys.readouterr().err
    assert [f"{file}:{n}" in said for n in range(1, 6)] == [False, True, True, True, True]


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert code("--version") == 0
    assert capsys.readouterr().out.startswith("t2s ")
