"""The synthetic data set: held-out names, stated mix, golds that find something, the same data by seed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from t2s.data.core import Example, Splits, TableRef
from t2s.data.pipelines import fingerprint
from t2s.data.synthetic import SyntheticPipeline
from t2s.data.synthetic.domains import DOMAINS
from t2s.errors import ConfigError
from t2s.sql.official import OfficialEngine


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    return SyntheticPipeline(cache_dir=tmp_path_factory.mktemp("cache")).prepare()


def bare(name: str) -> str:
    """A name without its style: ``Pop. (2010)`` and ``pop_2010`` are one."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def headers(examples: list[Example]) -> set[str]:
    return {bare(column.name) for example in examples for column in example.schema.table.columns}


def test_held_out_splits_share_no_column_name_with_training(splits: Splits) -> None:
    train, val, test = (headers(list(split)) for split in splits)
    assert not train & val
    assert not train & test


def test_no_header_of_any_held_out_domain_is_a_header_of_a_training_domain() -> None:
    names = {
        split: {bare(header) for domain in domains for spec in domain.columns for header in spec.headers}
        for split, domains in DOMAINS.items()
    }
    assert not names["train"] & (names["dev"] | names["test"])
    assert not names["dev"] & names["test"]


def test_held_out_splits_share_no_table_name_with_training(splits: Splits) -> None:
    train, val, test = ({bare(e.schema.table.name) for e in split} for split in splits)
    assert not train & (val | test)
    assert not val & test


def test_there_are_many_domains_with_many_columns_said_in_several_ways() -> None:
    domains = [domain for group in DOMAINS.values() for domain in group]
    assert len(DOMAINS["train"]) >= 24
    assert all(len(domain.columns) >= 8 for domain in domains)
    assert all({"text", "real"} <= {spec.type for spec in domain.columns} for domain in domains)
    spoken = [len(spec.says) + len(spec.eq + spec.gt + spec.lt + spec.ask) for d in domains for spec in d.columns]
    assert sum(ways >= 2 for ways in spoken) > 0.95 * len(spoken)


def test_headers_of_one_domain_never_collide() -> None:
    for domain in (domain for group in DOMAINS.values() for domain in group):
        names = Counter(name for spec in domain.columns for name in {bare(header) for header in spec.headers})
        assert not [name for name, count in names.items() if count > 1], domain.tables


def test_the_mix_is_the_stated_one(splits: Splits) -> None:
    forms = [example.logical_form for example in splits[0] if example.logical_form]
    shares = Counter(len(form.conds) for form in forms)
    assert [round(100 * shares[number] / len(forms)) for number in range(4)] == [25, 50, 20, 5]
    assert 0.30 <= sum(form.agg > 0 for form in forms) / len(forms) <= 0.40
    assert {cond.op for form in forms for cond in form.conds} == {0, 1, 2}
    assert {form.agg for form in forms} == set(range(6))


def test_values_stand_in_the_question_letter_by_letter(splits: Splits) -> None:
    for example in (example for split in splits for example in split):
        assert example.logical_form is not None
        assert all(str(cond.value) in example.question for cond in example.logical_form.conds), example


def test_conditions_repeat_no_column_and_leave_the_selected_one_alone(splits: Splits) -> None:
    for form in (example.logical_form for split in splits for example in split):
        assert form is not None
        columns = [cond.column for cond in form.conds]
        assert len(set(columns)) == len(columns)
        assert form.sel not in columns


def test_every_gold_finds_something_under_the_official_engine(splits: Splits) -> None:
    for split in splits:
        source = split[0].source
        assert isinstance(source, TableRef)
        with OfficialEngine(source.database) as engine:
            for example in split:
                assert isinstance(example.source, TableRef)
                assert example.logical_form is not None
                found = engine.execute(example.source.table_id, example.logical_form)
                assert any(cell is not None for cell in found), example
                assert example.logical_form.agg != 3 or found[0] > 0, example


def test_questions_read_as_sentences(splits: Splits) -> None:
    for example in (example for split in splits for example in split):
        assert re.fullmatch(r"\S(.*\S)?[.?]", example.question)
        assert not re.search(r"[{}|~]|  | a [AEIOaeio]\w| an [bcdfgh]\w|\(\)", example.question), example.question


def test_no_table_asks_one_question_twice(splits: Splits) -> None:
    for split in splits:
        asked = Counter((e.source.table_id, e.question) for e in split if isinstance(e.source, TableRef))
        assert max(asked.values()) == 1


def test_columns_of_one_domain_change_place_and_header_from_table_to_table(splits: Splits) -> None:
    schemas = {id(e.schema): e.schema.table for e in splits[0]}.values()
    flights = [t for t in schemas if bare(t.name) in ("flights", "departures", "flightschedule")]
    assert len({tuple(bare(c.name) for c in t.columns) for t in flights}) == len(flights) > 5
    fares = {c.name for t in flights for c in t.columns if bare(c.name) in ("fare", "fareusd", "ticketprice")}
    assert len(fares) >= 3


def test_the_same_seed_gives_the_same_data_in_another_process(tmp_path: Path) -> None:
    sizes = {"num_train": 120, "num_val": 12, "num_test": 12}
    here = SyntheticPipeline(**sizes, seed=7, cache_dir=tmp_path / "a").prepare()
    code = (
        "from pathlib import Path; from t2s.data.pipelines import fingerprint;"
        "from t2s.data.synthetic import SyntheticPipeline;"
        f"s = SyntheticPipeline(**{sizes}, seed=7, cache_dir=Path({str(tmp_path / 'b')!r})).prepare();"
        "print([fingerprint(x) for x in s])"
    )
    there = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "5"}
    )
    assert there.stdout.strip() == str([fingerprint(split) for split in here])


def test_another_seed_gives_other_data(tmp_path: Path) -> None:
    first, second = (
        SyntheticPipeline(num_train=12, num_val=6, num_test=6, seed=seed, cache_dir=tmp_path).prepare()
        for seed in (0, 1)
    )
    assert fingerprint(first[0]) != fingerprint(second[0])


def test_sizes_are_kept_exactly(tmp_path: Path) -> None:
    pipeline = SyntheticPipeline(num_train=7, num_val=1, num_test=2, cache_dir=tmp_path)
    assert [len(split) for split in pipeline.prepare()] == [7, 1, 2]


@pytest.mark.parametrize("options", [{"num_train": 0}, {"num_val": "10"}, {"num_test": True}, {"seed": 1.5}])
def test_a_wrong_option_is_named(options: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"data\.options\.{next(iter(options))}"):
        SyntheticPipeline(**options, cache_dir=tmp_path)  # type: ignore[arg-type]
