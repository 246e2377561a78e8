"""docs/notebook.ipynb, executed: every cell, on a real Ray, with the tiny model in the place of the pretrained one.

What does not hang on the model comes out as it stands in the file; of the rest the numbers must fit together.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from t2s.track.journal import read_journal

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"
QUESTIONS = 8
SMALL = f"""
TRAINING += ["training.max_train_samples=64", "training.max_val_samples=16", "training.learning_rate=1e-2"]
ANSWERS += ["ray.num_cpus=1", "inference.max_new_tokens=200"]
QUESTIONS = {QUESTIONS}
"""
"""In place of what suits a pretrained model; the data stay, and so does what is shown of them."""


@pytest.fixture(scope="module")
def written() -> Any:
    """The notebook as it stands in the file, with what came out when it was last run on SmolLM2-135M."""
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture(scope="module")
def executed(folder: Path, tiny_model: Path) -> Any:
    """The notebook after its last cell; a cell that fails ends this with the cell's own traceback."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    at = notebook.cells.index(tagged(notebook, "parameters")[0])
    notebook.cells.insert(at + 1, nbformat.v4.new_code_cell(f"MODEL = {str(tiny_model)!r}{SMALL}"))
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


@pytest.fixture(scope="module")
def run_dir(executed: Any, folder: Path) -> Path:
    (found,) = (folder / "runs").glob("train-*")
    return found


def tagged(notebook: Any, tag: str) -> list[Any]:
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def text(cell: Any) -> str:
    """What a cell printed and showed, as plain text or Markdown."""
    shown = [each.get("data", {"text/plain": each.get("text")}) for each in cell.outputs]
    return "\n".join(each.get("text/markdown", each.get("text/plain")) for each in shown)


def test_what_hangs_on_no_model_comes_out_as_it_is_written(written: Any, executed: Any) -> None:
    outputs = [text(cell) for cell in tagged(executed, "same")]
    assert outputs == [text(cell) for cell in tagged(written, "same")]
    counts, examples, prompt, refused = outputs
    assert "where_filters   1048" in counts and "SELECT COUNT(" in examples
    assert prompt.startswith("TABLE: ") and refused.startswith("Refused: only one read-only SELECT")


def test_the_adapter_has_learned(executed: Any, run_dir: Path) -> None:
    losses = [row["loss"] for row in read_journal(run_dir / "metrics.jsonl") if "loss" in row]
    (said,) = re.findall(r"^validation loss ([\d.]+)$", text(tagged(executed, "train")[0]), re.MULTILINE)
    assert losses[-1] < losses[0] and float(said) < losses[0]
    assert "image/png" in tagged(executed, "loss")[0].outputs[0]["data"]


def test_the_tables_count_every_question(executed: Any, run_dir: Path) -> None:
    results = json.loads((run_dir / "evaluation.json").read_text("utf-8"))
    table, outcomes, confusion = (text(tagged(executed, tag)[0]) for tag in ("evaluate", "outcomes", "confusion"))
    assert f"| overall | {QUESTIONS} |" in table
    assert results["data"]["n"] == QUESTIONS == sum(results["outcomes"]["tuned"].values())
    assert all(outcome in outcomes for outcome in results["outcomes"]["tuned"])
    assert all(gold in confusion for gold in results["confusion"]["tuned"]["aggregation"])
    assert (run_dir / "report.html").is_file()


def test_questions_are_answered_with_rows_or_the_sandbox_says_why_not(executed: Any) -> None:
    lines = text(tagged(executed, "ask")[0]).splitlines()
    answers = [line.strip() for line in lines if line.startswith("  ")]
    assert len(answers) == 6
    assert all(sql.startswith("SELECT ") for sql in answers[::2])
    assert all(re.match(r"\[|InvalidSQL: |ExecutionFailed: |Refused: ", rows) for rows in answers[1::2])


def test_what_is_written_came_from_one_run_without_an_error(written: Any) -> None:
    outputs = [output for cell in written.cells if cell.cell_type == "code" for output in cell.outputs]
    assert outputs and not [each for each in outputs if each.output_type == "error" or each.get("name") == "stderr"]
    (gain,) = re.findall(r"^[+-][\d.]+(?= points)", text(tagged(written, "gain")[0]))
    overall = next(line for line in text(tagged(written, "evaluate")[0]).splitlines() if "overall" in line)
    assert f"| {gain} |" in overall


def test_its_links_lead_to_files(written: Any) -> None:
    links = [link for cell in written.cells for link in re.findall(r"\]\(([^)#:]+)\)", cell.source)]
    assert len(links) > 5
    assert [link for link in links if not (NOTEBOOK.parent / link).is_file()] == []
