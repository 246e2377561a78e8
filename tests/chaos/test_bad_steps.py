"""Steps that must not be taken: a loss that is no number, a batch that always fails, a disk that is full.

The faults are real ones: a base whose embedding of one token is infinite, a base with fewer embeddings than its
tokenizer has tokens, and a file system of little more than a megabyte.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from chaos_rig import Bench, Record, Undisturbed, farthest, last_step, losses, rows
from transformers import AutoModelForCausalLM, AutoTokenizer

from t2s.train.checkpoint import checkpoints, read_checkpoint

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1500)]

GUILTY = "Which team has a salary of zqzq~?"
"""The one question with a tilde, and with a word that becomes a token of its own."""
SCHEMA = "TABLE: people ( name (text), team (text), salary (real) )"


@pytest.fixture
def data(bench: Bench) -> list[str]:
    """Settings of a run on 64 questions of which one is :data:`GUILTY`."""
    folder = bench.folder / "data"
    folder.mkdir()
    asked = [(f"Which name has a salary of {number}?", f"SELECT name FROM people WHERE salary = {number}")
             for number in range(80)]  # fmt: skip
    asked[37] = (GUILTY, "SELECT team FROM people WHERE salary = 7")
    for split, part in (("train", asked[:64]), ("val", asked[64:72]), ("test", asked[72:])):
        lines = [json.dumps({"question": question, "sql": sql, "schema": SCHEMA}) for question, sql in part]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return ["data.pipeline=jsonl", f"data.path={folder}", "training.batch_size=8"]


def test_an_infinite_number_stops_before_the_step_and_names_its_example(
    bench: Bench, data: list[str], places: tuple[Path, Path], record_row: Record
) -> None:
    model = AutoModelForCausalLM.from_pretrained(places[0])
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    model.config.tie_word_embeddings = False
    tokenizer = AutoTokenizer.from_pretrained(places[0])
    with torch.no_grad():
        model.model.embed_tokens.weight[tokenizer.convert_tokens_to_ids("~")] = float("inf")
    model.save_pretrained(bench.folder / "model")
    tokenizer.save_pretrained(bench.folder / "model")

    command = bench.train("--name", "k", *data, f"model.name={bench.folder / 'model'}")
    assert command.wait() == 1, command.said()
    said = " ".join(command.said().split())
    step = last_step(bench.runs / "k") + 1
    assert f"step {step}: the loss is nan; stopped before the optimizer took it in" in said
    assert GUILTY in said and "Which name" not in said.partition("the loss is nan")[2], "it names other examples"
    assert "Traceback" not in said and "started again" not in said
    assert all(row.get("loss") is not None for row in rows(bench.runs / "k") if "loss" in row)
    record_row(
        "a loss that is NaN (an infinite weight that one example meets)",
        "stops before the optimizer step, names the batch's examples; no NaN in the journal",
        f"exit 1 at step {step}, no restart, names “{GUILTY}”, one of 16 examples",
    )


def test_a_batch_that_always_fails_is_named_after_max_failures(
    bench: Bench, data: list[str], places: tuple[Path, Path], record_row: Record
) -> None:
    shutil.copytree(places[0], bench.folder / "model")
    tokenizer = AutoTokenizer.from_pretrained(bench.folder / "model")
    tokenizer.add_tokens(["zqzq"])
    tokenizer.save_pretrained(bench.folder / "model")
    command = bench.train(
        "--name", "k", *data, f"model.name={bench.folder / 'model'}", "training.max_failures=1", "training.save_steps=1"
    )
    assert command.wait() == 1, command.said()
    said = " ".join(command.said().split())
    assert "IndexError" in said and GUILTY in said and "Traceback" not in said, said
    assert said.count("a worker died") == 1 and "restart 1 of at most 1" in said
    record_row(
        "a worker raises on the same batch every time",
        "stops after `max_failures`, names the batch and the first error",
        "exit 1 after 1 restart; “" + said[said.index("step ") :].partition(".")[0][:80] + "…”",
    )


@pytest.fixture
def small_disk(bench: Bench) -> Iterator[Path]:
    """``runs`` on a file system that holds two checkpoints and not three."""
    bench.runs.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1200k", "tmpfs", str(bench.runs)]
    subprocess.run(mount, check=True)
    yield bench.runs
    bench.end()
    subprocess.run(["umount", "-l", str(bench.runs)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root; a unit test limits the file size")
def test_a_full_disk_during_a_save_leaves_the_checkpoint_before(
    bench: Bench, small_disk: Path, undisturbed: Undisturbed, record_row: Record
) -> None:
    command = bench.train("--name", "k")
    assert command.wait() == 4, command.said()
    said = " ".join(command.said().split())
    assert "No space left on device" in said and "bytes needed" in said and "Traceback" not in said
    whole = [read_checkpoint(path)["step"] for path in checkpoints(small_disk / "k" / "checkpoints")]
    assert whole == [8, 4] and not list(small_disk.glob("k/checkpoints/*.tmp"))
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    resumed = bench.train("--resume", "k")
    assert resumed.wait() == 0, resumed.said()
    difference = farthest(losses(small_disk / "k"), undisturbed.losses)
    assert difference <= 1e-6
    told = said[said.index("cannot write") :].partition(":")[2].split(";")[0]
    record_row(
        "disk full during a save",
        "clear error with path and bytes; the checkpoint before is intact",
        f"exit 4, “{told.strip()}”; steps 8 and 4 intact; with room again, resumed to the same losses",
    )
