"""What the documents name is there: files, headings, commands with their options, settings, targets of make."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_origin

import pytest
from documents_rig import (
    DOCUMENTS,
    ROOT,
    WALKED,
    Found,
    anchors,
    blocks,
    code_marks,
    commands,
    links,
    rows,
    said_of,
    split_words,
)
from typer.main import get_command

from t2s.cli.main import app
from t2s.config import Config, load
from t2s.config.resolve import field_paths
from t2s.errors import T2SError

T2S: Any = get_command(app)
KEYS = set(field_paths(Config))
FREE = {
    f"{section}.{name}."
    for section, field in Config.model_fields.items()
    for name, inner in getattr(field.annotation, "model_fields", {}).items()
    if get_origin(inner.annotation) is dict
}
"""Below these stands what a user names."""
PLACES = ("t2s/", "tests/", "docs/", "configs/", "cluster/", "bench/", "jobs/", ".ci/", "base/")
FILES = (".yaml", ".yml", ".json", ".jsonl", ".db", ".html", ".md", ".py", ".bz2", ".csv", ".lock", ".sh")


def _leaf(words: list[str]) -> tuple[Any, list[str]]:
    """The command that ``words`` (after ``t2s``) name, and the rest of them."""
    command, rest = T2S, list(words)
    while known := getattr(command, "commands", None):
        if not rest or rest[0].startswith("-"):
            return command, rest
        if command.name == "bundle" and rest[0] not in known:
            rest = ["collect", *rest]
        assert rest[0] in known, f"no command {rest[0]}"
        command = known[rest.pop(0)]
    return command, rest


def _options(command: Any) -> set[str]:
    """Of a command, or of all below a group."""
    own = {name for param in command.params for name in (*param.opts, *param.secondary_opts) if name.startswith("-")}
    return own | {"--help"} | {name for each in getattr(command, "commands", {}).values() for name in _options(each)}


ALL_OPTIONS = _options(T2S)


def _check_words(words: list[str]) -> None:
    """The command, its options and settings exist; what else it needs may be left out."""
    command, rest = _leaf(words)
    if command.name == "submit" and "--" in rest:
        job = [rest[0], *rest[rest.index("--") + 1 :]]
        rest = rest[: rest.index("--")]
        if job[0] != "VERB":
            _check_words(job)
    for word in rest:
        if word.startswith("-") and not re.match(r"-\d", word):
            assert word.partition("=")[0] in _options(command), f"{command.name} has no option {word}"
        elif setting := re.match(r"([a-z_]\w*(\.[\w-]+)*)=", word):
            assert setting[1] == "key" or _is_setting(setting[1]), f"no setting {setting[1]}"


def _is_setting(key: str) -> bool:
    return key in KEYS or any(key.startswith(free) for free in FREE)


def _run_parser(words: list[str]) -> None:
    """As the command line would read it: needed arguments are there, values fit, settings resolve together."""
    command, rest = _leaf(words)
    context = command.make_context(command.name, rest)
    given = context.params
    if command.name == "submit":
        _run_parser([given["verb"], *context.args])
        return
    overrides = given.get("overrides", given.get("words", []))
    files = [file for file in map(ROOT.joinpath, given.get("config") or []) if "configs" in file.parts]
    load(files, [word for word in overrides if "=" in word and "…" not in word])


def _all(reader: Any) -> Iterator[Found]:
    return (found for document in DOCUMENTS for found in reader(document))


def _report(problems: list[str]) -> None:
    assert not problems, "\n" + "\n".join(problems)


def test_every_link_leads_to_a_file_and_every_anchor_to_a_heading() -> None:
    problems = []
    for found in _all(links):
        path, _, anchor = found.text.partition("#")
        target = (found.document.parent / path).resolve() if path else found.document
        if not target.exists() or ROOT not in (target, *target.parents):
            problems.append(f"{found}: no such file")
        elif anchor and anchor not in anchors(target):
            problems.append(f"{found}: no such heading")
    _report(problems)


def test_every_command_of_a_block_is_one_that_the_command_line_takes() -> None:
    problems, count = [], 0
    for document in DOCUMENTS:
        for found, words in commands(document):
            if words[0] == "t2s" and document.name != "commands.md":
                count += 1
                try:
                    _check_words(words[1:])
                    _run_parser(words[1:])
                except (AssertionError, T2SError) as error:
                    problems.append(f"{found}: {error}")
                except Exception as error:  # click's, which typer bundles
                    problems.append(f"{found}: {getattr(error, 'message', repr(error))}")
    _report(problems)
    assert count > 40


def test_a_command_that_make_walk_does_not_type_says_what_it_needs_or_where_it_is_run() -> None:
    problems = []
    walked = {*WALKED, ROOT / "docs" / "commands.md", ROOT / "docs" / "results.md"}  # a reference, and what was typed
    for document in set(DOCUMENTS) - walked:
        for found, words in commands(document):
            place = re.search(r"run by `?([\w/.]+)", said_of(found))
            if words[0] == "t2s" and not (said_of(found) and (not place or (ROOT / place[1]).exists())):
                problems.append(str(found))
    _report(problems)
    assert sum(words[0] == "t2s" and not said_of(found) for each in WALKED for found, words in commands(each)) > 40


def test_every_command_in_a_sentence_or_a_table_has_its_options_and_settings() -> None:
    problems = []
    for found in _all(code_marks):
        words = next(iter(split_words(found.text)), [])
        if words[:1] == ["t2s"] and len(words) > 1 and words[1].islower():
            try:
                _check_words([word.strip("[]") for word in words[1:] if word.strip("[]…")])
            except AssertionError as error:
                problems.append(f"{found}: {error}")
    _report(problems)


def test_options_beside_a_command_in_a_table_are_options_of_that_command() -> None:
    problems: list[str] = []
    for document in DOCUMENTS:
        for line, cells in rows(document):
            named = [mark.split()[1:] for mark in (cells[0] if cells else []) if mark.startswith("t2s ")]
            if named and named[0][0].islower():
                known = _options(T2S.commands[named[0][0]])
                own = [mark for cell in cells for mark in cell if mark.startswith("--") and mark != "--"]
                options = {word for mark in own for word in mark.split() if word.startswith("--")}
                problems += [f"{Found(document, line, word)}: not of t2s {named[0][0]}" for word in options - known]
    _report(problems)


def test_the_readme_lists_every_command_and_no_other() -> None:
    listed = set()
    for _, cells in rows(ROOT / "README.md"):
        for mark in cells[0] if cells and cells[0] and cells[0][0].startswith("t2s ") else []:
            group, words = cells[0][0].split()[1:-1], mark.removeprefix("t2s ").split()
            beside = group and words[0] in _leaf(group)[0].commands
            command, rest = _leaf([*group, *words] if beside else words)
            assert not rest, f"README.md: {mark} is no command"
            listed.add((group if beside else words)[0])
            assert command.name == words[-1]
    assert listed == set(T2S.commands)


def test_an_option_in_a_sentence_is_one_of_t2s_or_of_a_program_that_is_shown() -> None:
    own = set(re.findall(r'"(--[\w-]+)"', "".join(file.read_text("utf-8") for file in (ROOT / "bench").glob("*.py"))))
    shown = {word for document in DOCUMENTS for _, words in commands(document) for word in words if words[0] != "t2s"}
    named = [(found, re.match(r"--[a-z][\w-]*", found.text)) for found in _all(code_marks)]
    _report([str(found) for found, option in named if option and option[0] not in ALL_OPTIONS | own | shown])


def test_every_setting_that_is_named_exists() -> None:
    problems = []
    for found in _all(code_marks):
        setting = re.fullmatch(r"([a-z_]+(?:\.[a-z_0-9]+)+)(?:[:=].*)?", found.text)
        if setting and setting[1].partition(".")[0] in Config.model_fields and not setting[1].endswith(FILES):
            problems += [] if _is_setting(setting[1]) else [f"{found}: no such setting"]
    _report(problems)


def test_every_block_of_settings_resolves(tmp_path: Path) -> None:
    problems, count = [], 0
    for document in DOCUMENTS:
        for found in blocks(document, "yaml"):
            sections = re.findall(r"^([a-z_]+):", found.text, re.MULTILINE)
            if sections and set(sections) <= set(Config.model_fields):
                count += 1
                (tmp_path / "block.yaml").write_text(found.text, "utf-8")
                try:
                    load([tmp_path / "block.yaml"])
                except T2SError as error:
                    problems.append(f"{document.name}:{found.line}: {error}")
    _report(problems)
    assert count > 2


def test_files_targets_and_modules_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    problems = []
    for found, words in _words():
        if words[0] == "make" and len(words) > 1 and words[1] not in targets:
            problems.append(f"{found}: no such target")
        module = words[2].replace(".", "/") if words[:2] == ["python", "-m"] else ""
        if module.startswith(("bench/", "t2s/")) and not (ROOT / f"{module}.py").is_file():
            problems.append(f"{found}: no such module")
        problems += [f"{found}: no {word}" for word in words if _is_missing_file(found.document, word)]
    _report(problems)


def _words() -> Iterator[tuple[Found, list[str]]]:
    for document in DOCUMENTS:
        yield from commands(document)
        yield from ((found, words) for found in code_marks(document) for words in split_words(found.text)[:1])


def _is_missing_file(document: Path, word: str) -> bool:
    path = word.partition("::")[0]
    if not path.startswith(PLACES) or re.search(r"[A-Z*…{}=]", path.replace("README", "").replace("Dockerfile", "")):
        return False
    return not any((base / path).exists() for base in (ROOT, document.parent, ROOT / "cluster" / "kubernetes"))


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["trian"], "no command"),
        (["train", "--epochz", "3"], "no option"),
        (["train", "lora.rr=1"], "no setting"),
        (["submit", "train", "--", "--epochz", "3"], "no option"),
        (["bundle", "out", "--sha256", "x"], "no option"),
    ],
)
def test_a_stale_command_is_found(words: list[str], problem: str) -> None:
    with pytest.raises(AssertionError, match=problem):
        _check_words(words)
