"""docs/operations.md: its backup is run as it stands there, and the messages that it explains are the code's own."""

from __future__ import annotations

import ast
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

from documents_rig import ROOT, rows

PAGE = ROOT / "docs" / "operations.md"


def _run(name: str, where: Path) -> None:
    block = re.search(rf"<!-- run by \S+: {name} -->\n```bash\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert block, f"{PAGE.name} has no block {name}"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["bash", "-euc", block[1]], cwd=where, env={**os.environ, "PATH": path}, check=True, timeout=60)


def test_the_backup_of_the_page_restores_runs_and_database_also_while_somebody_writes(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for file in ("train-1/adapter/weights", "train-1/config.yaml", "cache/big", "cluster/token", "mlartifacts/1/a"):
        (runs / file).parent.mkdir(parents=True, exist_ok=True)
        (runs / file).write_text(file)
    writer = sqlite3.connect(runs / "mlflow.db")
    writer.executescript("CREATE TABLE runs (name TEXT); INSERT INTO runs VALUES ('kept');")
    writer.execute("INSERT INTO runs VALUES ('not committed')")
    _run("backup", tmp_path)
    writer.close()
    shutil.rmtree(runs)
    _run("restore", tmp_path)
    assert sqlite3.connect(runs / "mlflow.db").execute("SELECT name FROM runs").fetchall() == [("kept",)]
    assert {str(file.relative_to(runs)) for file in runs.rglob("*") if file.is_file()} == {
        "train-1/adapter/weights", "train-1/config.yaml", "mlartifacts/1/a", "mlflow.db"
    }  # fmt: skip


def _messages() -> str:
    """Each text of the code, a line each, with … where a value is put in."""
    found = []
    for file in (ROOT / "t2s").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(text.replace("\n", " ") for text in found)


def test_every_message_that_the_failure_tables_explain_is_one_of_the_code() -> None:
    messages, explained = _messages(), 0
    for line, cells in rows(PAGE):
        for text in cells[0] if cells else []:
            if text.count(" ") > 1 and not text.startswith("t2s "):
                explained += 1
                parts = map(re.escape, re.split(r"…|\bN\b", text))
                assert re.search(".*".join(parts), messages), f"{PAGE.name}:{line}: {text!r}: no such message"
    assert explained > 12
