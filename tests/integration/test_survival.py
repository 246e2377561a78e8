"""What a worker does to survive, without Ray: its state comes back to the last bit, and a bad step is not taken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.data_loader import BatchSamplerShard, SkipBatchSampler
from tiny_model import fixed_texts, tiny_texts, tiny_trainer
from torch.utils.data import BatchSampler, DataLoader
from transformers import AutoModelForCausalLM, AutoTokenizer
from two_workers import run_two

from t2s.config import Config, load
from t2s.errors import RunError, SetupError
from t2s.model.adapter import read_manifest
from t2s.track.files import write_run_files
from t2s.track.journal import read_journal
from t2s.train.batches import LengthSortedBatches
from t2s.train.encode import Encoded
from t2s.train.guard import examples_of
from t2s.train.harness import Agreed, Alone, BatchError, together
from t2s.train.journal_actor import _JournalActor
from t2s.train.launch import prepare_texts
from t2s.train.loop import train_here
from t2s.train.record import write_record
from t2s.train.sharing import SharingCollator
from t2s.train.state import pack, unpack
from t2s.train.survive import set_epoch

Settings = Callable[..., Config]


@pytest.fixture
def settings(tiny_overrides: Callable[[Path], list[str]], tmp_path: Path) -> Settings:
    return lambda *more: load([], [*tiny_overrides(tmp_path), *more])


def train(config: Config, run_dir: Path) -> dict[str, float]:
    """One training in ``run_dir``, which may hold checkpoints."""
    texts, about = prepare_texts(config)
    if not run_dir.exists():
        run_dir.mkdir()
        write_run_files(run_dir, config)
        write_record(run_dir, config, "examples", "base")
    given = {"config": config, "texts": texts, "about": about, "run_dir": run_dir, "name": "k"}
    return train_here(given | {"journal": None, "stop_board": None}, Alone())


def test_a_run_that_goes_on_ends_with_the_same_bytes_and_unpickles_nothing(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings("lora.dropout=0.2", "training.epochs=2", "training.save_steps=3")
    whole = train(config, tmp_path / "whole")
    kept = sorted((tmp_path / "whole" / "checkpoints").iterdir())
    assert {file.suffix for path in kept for file in path.iterdir()} == {".safetensors", ".json"}

    (tmp_path / "again").mkdir()
    shutil.copy(tmp_path / "whole" / "run.json", tmp_path / "again")
    shutil.copytree(tmp_path / "whole" / "checkpoints", tmp_path / "again" / "checkpoints")
    shutil.rmtree(tmp_path / "again" / "checkpoints" / "step-15")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("something was unpickled"))
    again = train(config, tmp_path / "again")
    assert again["train_loss"] == whole["train_loss"] and again["eval_loss"] == whole["eval_loss"]
    bytes_of = [(tmp_path / run / "adapter" / "adapter_model.safetensors").read_bytes() for run in ("whole", "again")]
    assert bytes_of[0] == bytes_of[1]
    assert read_manifest(tmp_path / "again" / "adapter")["steps"] == 16


@pytest.mark.chaos  # four processes that import torch
def test_two_workers_that_go_on_inside_a_later_epoch_end_with_the_same_bytes(
    tiny_overrides: Callable[[Path], list[str]], tmp_path: Path
) -> None:
    more = ["lora.dropout=0.2", "training.epochs=2", "training.num_workers=2", "training.batch_size=4"]
    settings = [*tiny_overrides(tmp_path), *more, "training.save_steps=6"]
    whole, again = tmp_path / "whole", tmp_path / "again"
    for run_dir in (whole, again):
        run_dir.mkdir()
        write_record(run_dir, load([], settings), "examples", "base")
    run_two(whole, settings)
    shutil.copytree(whole / "checkpoints" / "step-12", again / "checkpoints" / "step-12")
    run_two(again, settings)
    adapters = [(run_dir / "adapter" / "adapter_model.safetensors").read_bytes() for run_dir in (whole, again)]
    assert adapters[0] == adapters[1]
    assert read_manifest(again / "adapter")["steps"] == 16


def test_lines_of_several_steps_are_the_same_means_after_a_checkpoint_between_them(
    settings: Settings, tmp_path: Path
) -> None:
    config = settings("training.logging_steps=4")
    trainers = [tiny_trainer(config, tmp_path / "out") for _ in range(2)]
    trainers[0].args.save_strategy, trainers[0].args.save_steps, trainers[0].args.save_total_limit = "steps", 3, None
    trainers[0].train()
    trainers[1].train(resume_from_checkpoint=str(tmp_path / "out" / "step-3"))
    rows = [[row for row in trainer.state.log_history if "loss" in row] for trainer in trainers]
    assert [(row["step"], row["loss"]) for row in rows[1]] == [(row["step"], row["loss"]) for row in rows[0]]


def test_a_sampler_learns_its_epoch_behind_a_shard_and_skipped_batches() -> None:
    sampler = LengthSortedBatches([Encoded([1] * (number % 7 + 1), 0) for number in range(64)], 8, seed=0)
    shard = BatchSamplerShard(BatchSampler(sampler, 4, drop_last=False), num_processes=2, process_index=1)
    loader = DataLoader(list(range(64)), batch_sampler=SkipBatchSampler(shard, skip_batches=3))
    first = [batch.tolist() for batch in loader]
    set_epoch(loader, 1)
    assert [batch.tolist() for batch in loader] != first
    set_epoch(loader, 0)
    assert [batch.tolist() for batch in loader] == first


def test_nested_states_come_back_exactly(tmp_path: Path) -> None:
    shared = torch.arange(6.0).reshape(2, 3)
    state = {
        "state": {0: {"step": torch.tensor(3.0), "m": shared.T}, 7: {"step": 0.1 + 0.2, "m": shared}},
        "groups": [{"betas": (0.9, 0.999), "params": [0, 7], "lr": 1e-300, "on": True, "none": None}],
        "__tensor__": "a name that is a word of the format",
    }
    for name, data in pack("x", state).items():
        (tmp_path / name).write_bytes(data)
    found = unpack(tmp_path, "x")
    assert torch.equal(found["state"][0].pop("m"), state["state"][0].pop("m"))  # type: ignore[index]
    assert torch.equal(found["state"][7].pop("m"), state["state"][7].pop("m"))  # type: ignore[index]
    assert found == state and isinstance(found["groups"][0]["betas"], tuple)


@pytest.fixture
def poisoned(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model with an infinite weight that only texts with a tilde meet."""
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    model.config.tie_word_embeddings = False
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    with torch.no_grad():
        model.model.embed_tokens.weight[tokenizer.convert_tokens_to_ids("~")] = float("inf")
    model.save_pretrained(tmp_path / "poisoned")
    tokenizer.save_pretrained(tmp_path / "poisoned")
    return tmp_path / "poisoned"


def with_a_tilde(trainer: Any, at: int) -> dict[str, Any]:
    """A batch of four of which one holds a tilde."""
    items = [dict(trainer.train_dataset[number]) for number in range(4)]
    tilde = trainer.processing_class.convert_tokens_to_ids("~")
    ids = list(items[at]["input_ids"])
    ids[3] = tilde
    items[at]["input_ids"] = ids
    batch: dict[str, Any] = trainer.data_collator(items)
    return batch


def test_a_loss_that_is_no_number_moves_nothing_and_names_only_its_example(
    settings: Settings, poisoned: Path, tmp_path: Path
) -> None:
    trainer = tiny_trainer(settings(f"model.name={poisoned}", "training.questions_per_row=1"), tmp_path / "out")
    trainer.create_optimizer_and_scheduler(4)
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters() if p.requires_grad}
    trainer.current_gradient_accumulation_steps = 1
    trainer.training_step(trainer.model, with_a_tilde(trainer, at=2), None)
    with pytest.raises(Agreed) as raised:
        trainer._clip_grad_norm(trainer.model)
    message = str(raised.value.error)
    question = fixed_texts()[2][0].partition("QUESTION: ")[2].partition("\n")[0]
    assert "step 1: the loss is nan" in message and question in message and message.count("QUESTION") == 1
    assert isinstance(raised.value.error, RunError)
    for name, parameter in trainer.model.named_parameters():
        assert name not in before or torch.equal(parameter, before[name])


def test_an_error_inside_a_step_names_the_batch(settings: Settings, tmp_path: Path) -> None:
    trainer = tiny_trainer(settings("training.questions_per_row=1"), tmp_path / "out")
    batch = trainer.data_collator([trainer.train_dataset[0]])
    batch["input_ids"][0, 3] = 10**6
    with pytest.raises(BatchError, match=r"^step 1: IndexError: .*QUESTION: "):
        trainer.training_step(trainer.model, batch, None)


class Three(Alone):
    """A worker of three, of which another one had an error."""

    world_size = 3

    def __init__(self, other: Exception | None) -> None:
        self.other = other

    def gather(self, value: Any) -> list[Any]:
        return [value, self.other, None]


def test_a_batch_of_shared_rows_is_taken_apart_into_its_examples(settings: Settings, tmp_path: Path) -> None:
    tokenizer = tiny_trainer(settings(), tmp_path).processing_class
    texts = tiny_texts(tokenizer, tables=True).train[:12]
    by_table = sorted(texts, key=lambda example: example.table)
    features = [{"input_ids": e.input_ids, "num_prompt": e.num_prompt, "table": e.table} for e in by_table]
    for share in (True, False):
        batch = SharingCollator(tokenizer.pad_token_id, share)(features)
        assert (len(batch["input_ids"]) < 12) == share
        found = [(one["input_ids"][0].tolist(), one["labels"][0].tolist()) for one in examples_of(batch)]
        assert found == [(example.input_ids, example.labels) for example in by_table]


def test_what_one_worker_cannot_do_ends_all_of_them() -> None:
    went_through = False
    with pytest.raises(Agreed) as raised, together(Three(SetupError("no room"))):
        went_through = True
    assert went_through and str(raised.value.error) == "no room"
    with together(Three(None)):
        pass
    with pytest.raises(Agreed), together(Three(None)):
        raise RunError("mine")


def test_the_journal_of_a_run_that_goes_on_has_each_line_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    nothing = {"report_to": "none", "uri": "", "run_id": None}
    first = _JournalActor(path, nothing)
    first.begin(0, [])
    for step in range(1, 7):
        first.log(step, {"loss": step / 10, "elapsed_s": 1.0})
    first.begin(4, [{"loss": step / 10, "step": step} for step in range(1, 5)])  # the same actor: a worker died
    first.log(5, {"loss": 0.5, "elapsed_s": 2.0})
    with path.open("a") as stream:
        stream.write('{"step": 6, "lo')  # killed while it wrote
    # The checkpoint knows of step 6, whose line was on its way.
    second = _JournalActor(path, nothing)
    second.begin(6, [{"loss": step / 10, "step": step} for step in range(1, 7)])
    second.log(6, {"loss": 0.6, "elapsed_s": 9.0})  # a step that has its line
    second.log(7, {"loss": 0.7, "elapsed_s": 3.0})
    second.close()
    rows = read_journal(path)
    assert [(row["step"], row["loss"]) for row in rows if "loss" in row] == [(n, n / 10) for n in range(1, 8)]
    assert [row["step"] for row in rows] == sorted(row["step"] for row in rows)
    assert [(row["step"], row["restarts"]) for row in rows if "restarts" in row] == [(4, 1.0)]
    assert [(row["step"], row["resumes"]) for row in rows if "resumes" in row] == [(6, 1.0)]
    assert all(json.loads(line) for line in path.read_text().splitlines())
