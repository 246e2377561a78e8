"""Promises M1 and X9: every bad configuration is one block that names the place and the cure, exit code 2.

``corpus/bad.tsv`` lists each file of ``corpus/bad`` with the line at fault and what the message must hold;
``corpus/overrides.jsonl`` does the same for ``key.path=value``; ``corpus/good.tsv`` says what edge cases resolve to.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from t2s.cli.main import run
from t2s.config import Config, dump, load
from t2s.config.reader import MAX_BYTES
from t2s.errors import ConfigError

CORPUS = Path(__file__).parent / "corpus"
CONFIGS = sorted((Path(__file__).resolve().parents[3] / "configs").glob("*.yaml"))
BAD = {row[0]: row[1:] for row in (line.split("\t") for line in (CORPUS / "bad.tsv").read_text("utf-8").splitlines())}
GOOD = [line.split("\t") for line in (CORPUS / "good.tsv").read_text("utf-8").splitlines()]
OVERRIDES = [json.loads(line) for line in (CORPUS / "overrides.jsonl").read_text("utf-8").splitlines()]
# Ten times the slowest here: it notices what grows with the square of its input, and is no benchmark of the machine.
MAX_SECONDS = 20.0

Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run ``t2s config show`` with these words and return its message, having checked what every refusal keeps."""

    def check(*words: str) -> str:
        started = time.process_time()
        code = run(["config", "show", *words])
        assert time.process_time() - started < MAX_SECONDS
        captured = capsys.readouterr()
        message = captured.err
        assert code == 2, f"exit {code}: {message}"
        assert captured.out == ""
        assert message.startswith("error: ") and "Traceback" not in message and len(message) < 8_000
        assert all(char.isprintable() or char == "\n" for char in message)
        return message

    return check


def test_the_corpus_is_listed_and_large() -> None:
    assert {file.name for file in (CORPUS / "bad").iterdir()} == set(BAD)
    assert {file.name for file in (CORPUS / "good").iterdir()} == {row[0] for row in GOOD}
    assert len(BAD) >= 100 and len({row[0] for row in GOOD}) >= 15 and len(OVERRIDES) >= 40


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_exits_2_with_file_line_and_cure(name: str, refused: Refused) -> None:
    line, *fragments = BAD[name]
    message = refused("-c", str(CORPUS / "bad" / name))
    for fragment in fragments:
        assert fragment in message
    place = f"{name}:{line}" if line else name
    assert f"{place}: " in message or f"{place}, " in message


@pytest.mark.parametrize("case", OVERRIDES, ids=range(len(OVERRIDES)))
def test_a_bad_override_exits_2_and_is_named(case: dict[str, str], refused: Refused) -> None:
    message = refused(case["override"])
    assert case["expect"] in message
    key = case["override"].partition("=")[0]
    assert not key.isprintable() or key.strip(" .") in message


@pytest.mark.parametrize(("name", "path", "expected"), GOOD)
def test_an_edge_case_that_is_right_loads(name: str, path: str, expected: str) -> None:
    value: object = load([CORPUS / "good" / name])
    for key in path.split("."):
        value = getattr(value, key)
    assert repr(value) == expected


def test_files_that_are_no_files_are_refused(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    assert "no such configuration file" in refused("-c", str(tmp_path / "absent.yaml"))
    assert "is a directory" in refused("-c", str(tmp_path / "folder.yaml"))
    assert "cannot be read" in refused("-c", str(tmp_path / "loop.yaml"))
    assert "cannot be read" in refused("-c", str(tmp_path / ("long" * 200)))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, refused: Refused) -> None:
    closed = tmp_path / "closed.yaml"
    closed.write_text("seed: 1\n")
    closed.chmod(0)
    assert "Permission denied" in refused("-c", str(closed))


@pytest.mark.parametrize("unit", [b"# comment\n", b"\0", b"a: &a [1]\n", b"- "])
def test_a_file_of_50_megabytes_is_refused_without_being_read_whole(
    tmp_path: Path, refused: Refused, unit: bytes
) -> None:
    huge = tmp_path / "huge.yaml"
    huge.write_bytes(unit * (50_000_000 // len(unit)))
    assert "over 100000 bytes" in refused("-c", str(huge))


def test_an_endless_device_is_refused(refused: Refused) -> None:
    assert "over 100000 bytes" in refused("-c", "/dev/zero")


def test_the_largest_file_of_small_keys_is_refused_in_time(tmp_path: Path, refused: Refused) -> None:
    wide = tmp_path / "wide.yaml"
    wide.write_text("".join(f"k{number}: 1\n" for number in range(11_000)))
    assert 90_000 < wide.stat().st_size <= MAX_BYTES
    message = refused("-c", str(wide))
    assert message.count("\n") == 21 and "and more" in message


def test_no_python_object_is_ever_made(tmp_path: Path) -> None:
    marker = tmp_path / "made"
    bad = tmp_path / "bad.yaml"
    bad.write_text(f"model: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [{marker}]]\n")
    with pytest.raises(ConfigError, match="tags"):
        load([bad])
    assert not marker.exists()


def test_text_from_a_wrong_locale_is_refused() -> None:
    with pytest.raises(ConfigError, match="not Unicode text"):
        load([], ["model.name=caf\udce9"])


MACHINERY = (
    *(": ", "- ", "{", "}", "[", "]", "? ", "| ", "> ", "---\n", "...\n", "<<: ", "\t", "&a ", "*a", "!!int "),
    *("%", "@", "'", '"', "\0", "~", "0x", "1e999", ".nan", "\ud800"),
)
JUNK = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(MACHINERY)
TEXTS = [file.read_text("utf-8") for file in CONFIGS] + [dump(Config())]


@settings(max_examples=150)
@given(data=st.data())
def test_a_damaged_good_file_loads_or_is_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    text = data.draw(st.sampled_from(TEXTS))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 12)))
        text = text[:start] + data.draw(JUNK) + text[end:]
    file = tmp_path_factory.getbasetemp() / "damaged.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    loads_or_says_where(file)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
SECTIONS = st.sampled_from([*Config.model_fields, "x"])
KEYS = st.sampled_from(
    sorted({key for section in Config().model_dump().values() if isinstance(section, dict) for key in section})
)


@settings(max_examples=150)
@given(st.dictionaries(SECTIONS, VALUES | st.dictionaries(KEYS, VALUES, max_size=4), max_size=4))
def test_any_yaml_of_known_words_loads_or_is_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, object]
) -> None:
    file = tmp_path_factory.getbasetemp() / "generated.yaml"
    file.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    loads_or_says_where(file)


@given(st.text(max_size=40))
def test_any_override_loads_or_is_refused_in_words(text: str) -> None:
    try:
        load([], [text])
    except ConfigError as error:
        assert str(error)


def loads_or_says_where(file: Path) -> None:
    try:
        config = load([file])
    except ConfigError as error:
        assert file.name in str(error)
        assert str(error).replace("\n", "").isprintable()
    else:
        dumped = file.with_suffix(".dumped.yaml")
        dumped.write_text(dump(config), encoding="utf-8")
        assert load([dumped]) == config
