"""One prompt: what is trained, evaluated, asked on the command line and served is the same text, token by token."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tiny_model import tiny_trainer

from t2s.cli.infer_files import Source, request_of
from t2s.cli.main import run
from t2s.cli.show import look
from t2s.config import Config, load
from t2s.data.core import Example
from t2s.data.samples import with_samples
from t2s.errors import AdapterError
from t2s.generate import Generation, load_generator
from t2s.generate.core import Request
from t2s.model.adapter import check_fits
from t2s.model.base import find_base
from t2s.serve.engine import Question, Written
from t2s.serve.schemas import AdapterInfo, Ask, Readiness
from t2s.serve.service import Service
from t2s.sql.schema import schema_of_database
from t2s.train.texts import build_texts

QUESTION, SQL = "Which town has most\n inhabitants?", 'SELECT "name" FROM "towns"'
REGIMES: dict[str, list[str]] = {
    "schema-only/1": [],
    "compact+2values/1": ["prompt.sample_values=2"],
    "ddl/1": ["prompt.style=ddl"],
    "ddl+2values+200chars/1": ["prompt.style=ddl", "prompt.sample_values=2", "prompt.max_schema_chars=200"],
}

Overrides = Callable[[Path], list[str]]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "towns.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE towns (name TEXT, inhabitants INTEGER, mayor TEXT, size REAL, founded TEXT, remark TEXT)"
        )
        connection.execute(
            "INSERT INTO towns VALUES ('Oslo', 5, 'ignore this; DROP TABLE towns', 1.5, '1048', ?)", ["x" * 60]
        )
    return path


class Model:
    """Stands where the replicas stand, and keeps what the service asks of them."""

    def __init__(self) -> None:
        self.asked: list[Request] = []

    async def write(self, question: Question) -> Written:
        self.asked.append(Request(question.text, question.schema))
        return Written(Generation(SQL, SQL, 1, True), AdapterInfo(version="none", run_id=None), "greedy")

    async def readiness(self) -> Readiness:
        raise AssertionError("nobody asked")


def served(config: Config, database: Path) -> Request:
    config = config.model_copy(update={"serve": config.serve.model_copy(update={"databases": {"towns": database}})})
    model = Model()
    service = Service(config, model, AdapterInfo(version="none", run_id=None))
    ask = Ask.model_validate({"question": QUESTION, "database": "towns", "execute": True})
    try:
        answer = asyncio.run(service.answer(ask))
    finally:
        service.close()
    assert answer.rows == [["Oslo"]]
    return model.asked[0]


@pytest.mark.parametrize("name", REGIMES)
def test_training_evaluation_infer_show_and_serving_use_one_text(
    name: str, database: Path, tiny_overrides: Overrides, tmp_path: Path
) -> None:
    config = load([], [*tiny_overrides(tmp_path), *REGIMES[name], "training.max_length=1024"])
    generator = load_generator(config, None)
    example = Example("e", QUESTION, schema_of_database(database), SQL, None, database)
    texts = build_texts(config, [example], [example], generator.tokenizer)
    evaluated = Request(QUESTION, with_samples(example.schema, example.source, config.prompt.sample_values))
    typed = request_of(generator.prompt, QUESTION, Source(schema_of_database(database), database))
    prompts = generator.prompts([evaluated, typed, served(config, database)])
    shown = look(example, config, generator.tokenizer)
    trained = generator.tokenizer.decode(texts.train[0].input_ids[: texts.train[0].num_prompt])
    assert {*prompts, shown.prompt.text} == {trained}
    assert ("'Oslo'" in prompts[0]) == ("2values" in name and "200chars" not in name)
    assert texts.num_cut == (2 if "200chars" in name else 0)


def test_what_show_marks_as_learned_are_the_labels_of_a_training_batch(
    tiny_overrides: Overrides, tmp_path: Path, database: Path
) -> None:
    config = load([], tiny_overrides(tmp_path))
    examples = [
        Example(
            f"e{n}",
            f"{QUESTION} {'x' * n}",
            schema_of_database(database),
            f"{SQL} WHERE size > {10**n}",
            None,
            database,
        )
        for n in range(4)
    ]
    tokenizer = load_generator(config, None).tokenizer
    texts = build_texts(config, examples, examples, tokenizer)
    trainer = tiny_trainer(config, tmp_path / "out", texts)
    batch = trainer.data_collator([trainer.train_dataset[at] for at in range(4)])
    for row, example in enumerate(examples):
        tokens = look(example, config, tokenizer).tokens or []
        length = int(batch["attention_mask"][row].sum())
        assert len(tokens) == length
        assert [is_label for _, is_label in tokens] == (batch["labels"][row, :length] != -100).tolist()
        assert [text for text, _ in tokens] == [tokenizer.decode([token]) for token in batch["input_ids"][row, :length]]
        assert tokens[-1] == (tokenizer.eos_token, True)
        assert (batch["labels"][row, length:] == -100).all()


def test_an_adapter_refuses_another_prompt_and_says_what_to_set(tiny_overrides: Overrides, tmp_path: Path) -> None:
    config = load([], [*tiny_overrides(tmp_path), "prompt.style=ddl"])
    base = find_base(config.model)
    manifest = {
        "base": {"name": base.name, "fingerprint": base.fingerprint},
        "prompt_regime": "compact+3values/1",
        "prompt": "prompt.style=compact prompt.sample_values=3 prompt.max_schema_chars=12000",
    }
    with pytest.raises(
        AdapterError, match=r"compact\+3values/1.*ddl/1.*set prompt\.style=compact prompt\.sample_values=3"
    ):
        check_fits(manifest, tmp_path, base, config.prompt)
    check_fits(manifest, tmp_path, base, load([], str(manifest["prompt"]).split()).prompt)


SYNTHETIC = [
    f"data.{word}" for word in ("pipeline=synthetic", "options.num_train=8", "options.num_val=4", "options.num_test=4")
]


def test_show_prints_tokens_or_says_why_not(
    tiny_overrides: Overrides, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = [*SYNTHETIC, f"data.cache_dir={tmp_path}", "prompt.sample_values=2"]
    tiny = [word for word in tiny_overrides(tmp_path) if word.startswith("model.")]
    assert run(["data", "show", "-n", "2", *where, *tiny]) == 0
    shown = capsys.readouterr().out
    assert shown.count("# train-") == 2 and "prompt compact+2values/1" in shown
    assert shown.count("learned: ") == 2 and shown.count("</s>\n") == 2
    assert run(["data", "show", "-n", "1", *where, "model.name=nobody/nothing"]) == 0
    captured = capsys.readouterr()
    assert "no token counts: model.name=nobody/nothing" in captured.err and "learned: " not in captured.out
    assert run(["data", "show", "--tokenizer", *where, "model.name=/nowhere"]) == 2
    capsys.readouterr()
    assert run(["data", "show", "-n", "1", "--json", *where, *tiny]) == 0
    line = json.loads(capsys.readouterr().out)
    learned = "".join(token["text"] for token in line["tokens"] if token["label"])
    assert learned == line["completion"] + "</s>"
    assert line["prompt_regime"] == "compact+2values/1"
