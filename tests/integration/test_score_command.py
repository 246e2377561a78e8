"""``t2s score`` and ``t2s compare`` as a user runs them, against the official verdicts and with bad files."""

from __future__ import annotations

import bz2
import json
import shutil
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from t2s.cli.main import run

GOLDS: list[dict[str, Any]] = [
    {"sel": 1, "agg": 0, "conds": [[0, 0, "Oslo"]]},
    {"sel": 0, "agg": 0, "conds": [[1, 1, 1990], [1, 2, 2000]]},
    {"sel": 1, "agg": 1, "conds": [[0, 0, "nowhere"]]},
    {"sel": 0, "agg": 0, "conds": [[1, 0, "late"]]},
    {"sel": 0, "agg": 7, "conds": []},
]
"""Plain; two conditions on one column; a result of NULL; a gold that cannot run; one that is out of range."""

TABLE = {"id": "1-2", "header": ["City", "Year"], "types": ["text", "real"], "rows": [["Oslo", 1990]]}


def write(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return list(map(json.loads, path.read_text(encoding="utf-8").splitlines()))


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """A ``dev`` split of five questions over one table, with its database and nothing of the other splits."""
    folder = tmp_path / "data"
    folder.mkdir()
    write(folder / "dev.jsonl", [{"question": f"q{i}", "table_id": "1-2", "sql": gold} for i, gold in enumerate(GOLDS)])
    write(folder / "dev.tables.jsonl", [TABLE])
    with closing(sqlite3.connect(folder / "dev.db")) as connection:
        connection.execute("CREATE TABLE table_1_2 (col0 text, col1 real)")
        rows = [("oslo", 1990), ("bergen", 1995), ("oslo", 2000)]
        connection.executemany("INSERT INTO table_1_2 VALUES (?, ?)", rows)
        connection.commit()
    return folder


@pytest.fixture
def score(split: Path, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    def scored(lines: list[Any], *words: str) -> list[dict[str, Any]]:
        file = write(tmp_path / "predictions.jsonl", lines)
        arguments = ["score", str(file), "--data", str(split), "--split", "dev", "--json", str(tmp_path / "out.jsonl")]
        assert run([*arguments, *words]) == 0
        return read(tmp_path / "out.jsonl")

    return scored


def test_every_line_of_the_parity_file_gets_its_official_verdict_through_the_command(
    shared_wikisql: Path, tmp_path: Path
) -> None:
    graded = [
        json.loads(raw) for raw in bz2.decompress((shared_wikisql / "parity.jsonl.bz2").read_bytes()).splitlines()
    ]
    folder = tmp_path / "mini"
    folder.mkdir()
    # The parity file is shuffled: its own lines are the split.
    with tarfile.open(shared_wikisql / "data.tar.bz2") as archive:
        for member in archive:
            if Path(member.name).name in ("dev.tables.jsonl", "dev.db"):
                source = archive.extractfile(member)
                assert source is not None
                with (folder / Path(member.name).name).open("wb") as file:
                    shutil.copyfileobj(source, file)
    write(folder / "dev.jsonl", [{key: line[key] for key in ("question", "table_id", "sql")} for line in graded])
    file = write(tmp_path / "predictions.jsonl", [line["prediction"] for line in graded])
    out = tmp_path / "out.jsonl"
    assert run(["score", str(file), "--data", str(folder), "--split", "dev", "--json", str(out)]) == 0
    verdicts = read(out)
    assert [line["index"] for line in verdicts] == list(range(1000))
    assert [(v["ex"], v["lf"]) for v in verdicts] == [(line["ex"], line["lf"]) for line in graded]
    assert all((v["outcome"] == "correct") == v["ex"] for v in verdicts)


def test_the_official_example_predictions_have_their_known_lf_and_no_made_up_ex(
    shared_wikisql: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = (shared_wikisql / "official-dev-example-predictions.jsonl.bz2").read_bytes()
    file = tmp_path / "example.jsonl"
    file.write_bytes(bz2.decompress(packed))
    words = ["--data", str(shared_wikisql / "official-dev.tar.bz2"), "--split", "dev", "--cache-dir", str(tmp_path)]
    assert run(["score", str(file), *words, "--json", str(tmp_path / "out.jsonl")]) == 0
    shown = capsys.readouterr()
    assert "3807 of 8421 LF" in shown.err and "EX cannot be measured" in shown.err
    verdicts = read(tmp_path / "out.jsonl")
    assert {verdict["ex"] for verdict in verdicts} == {verdict["repaired_ex"] for verdict in verdicts} == {None}
    assert (sum(verdict["lf"] for verdict in verdicts), len(verdicts)) == (3807, 8421)


def test_the_repaired_verdict_and_the_faults_of_the_golds_are_reported(
    score: Callable[..., list[dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = {"sql": "SELECT City FROM table WHERE City = 'none'"}
    found = score([{"query": GOLDS[0]}, nothing, nothing, {"query": GOLDS[3]}, {"query": GOLDS[4]}])
    assert [(v["ex"], v["lf"], v["repaired_ex"]) for v in found] == [
        (True, True, True),
        (True, False, False),
        (False, False, False),
        (None, True, None),
        (None, True, None),
    ]
    assert [v["gold_faults"] for v in found[1:3]] == [["repeated_column", "changed_by_repair", "empty"], ["null"]]
    said = capsys.readouterr().err
    assert "EX is over 3 of 5 questions" in said and "repeated column 1" in said and "out of range 1" in said
    assert "dev-3: the gold query cannot run" in said and "dev-4: the gold query cannot run" in said


def test_a_missing_and_a_surplus_line_are_said_and_count_as_wrong(
    score: Callable[..., list[dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    found = score([{"query": GOLDS[0]}])
    assert [(v["ex"], v["lf"], v["outcome"]) for v in found[:2]] == [(True, True, "correct"), (False, False, "missing")]
    said = capsys.readouterr().err
    assert "4 prediction lines are missing" in said and "after 1 questions and give EX 1.0000, LF 1.0000" in said
    assert len(score([{"query": gold} for gold in GOLDS] * 2)) == 5
    shown = capsys.readouterr()
    assert "5 prediction lines are surplus" in shown.err
    assert "37.5" in shown.out, "three right of the three that can be measured and five too many"


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ({"error": "no answer"}, "missing"),
        ({"error": "no", "query": GOLDS[0]}, "missing"),
        ({"error": None, "query": GOLDS[0]}, "correct"),
        ({"error": "", "sql": "select year from anything where city = 'OSLO'"}, "correct"),
        ({}, "missing"),
        ({"query": None}, "missing"),
        ({"query": "SELECT"}, "parse_error"),
        ({"query": [1, 2]}, "parse_error"),
        ({"query": {"sel": 1}}, "parse_error"),
        ({"query": {"sel": 9, "agg": 0, "conds": []}}, "execution_error"),
        ({"query": {"sel": "1", "agg": 0, "conds": [[0, 0, "Oslo"]]}}, "correct"),
        ({"query": {"sel": 1, "agg": 0, "conds": [[0, 0, float("nan")]]}}, "wrong"),
        ({"query": {"sel": 1, "agg": 0, "conds": [[0, 0, 10**30]]}}, "execution_error"),
        ({"sql": "SELECT Year FROM table WHERE City = 'Oslo'\n\nQUESTION: SELECT City FROM table"}, "correct"),
        ({"sql": "SELECT Year FROM table WHERE City = 'ber\ud800'"}, "execution_error"),
        ({"sql": ""}, "missing"),
    ],
)
def test_a_line_that_is_no_good_query_is_a_wrong_answer_and_not_an_error(
    score: Callable[..., list[dict[str, Any]]], line: dict[str, Any], outcome: str
) -> None:
    found = score([line, *({"query": gold} for gold in GOLDS[1:])])[0]
    assert (found["outcome"], found["ex"]) == (outcome, outcome == "correct")


def test_an_index_that_is_no_whole_number_is_wrong_in_the_repaired_score(
    score: Callable[..., list[dict[str, Any]]],
) -> None:
    found = score([{"query": {"sel": "1", "agg": False, "conds": [[0, 0, "oslo"]]}}])[0]
    assert (found["ex"], found["repaired_ex"]) == (True, False)


def test_ordered_compares_conditions_as_a_list(score: Callable[..., list[dict[str, Any]]]) -> None:
    swapped = GOLDS[1] | {"conds": GOLDS[1]["conds"][::-1]}
    lines = [{"query": GOLDS[0]}, {"query": swapped}]
    assert [v["lf"] for v in score(lines)[:2]] == [True, True]
    assert [v["lf"] for v in score(lines, "--ordered")[:2]] == [True, False]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"query": {}}\n{"query"\n', "predictions.jsonl:2: not JSON"),
        (b'{"query": {}}\n\n', "predictions.jsonl:2: not JSON"),
        (b"[1]\n", "predictions.jsonl:1: expected an object"),
        (b'{"sql": 5}\n', "predictions.jsonl:1: field 'sql': expected a string, found a number"),
        (b'{"sql": "SELECT 1", "query": {}}\n', "predictions.jsonl:1: both query and sql"),
        (b'{"sqll": "SELECT 1"}\n', "did you mean 'sql'"),
        (b'{"sql": "\xff"}\n', "predictions.jsonl:1: not UTF-8"),
        (b"", "is empty"),
    ],
)
def test_a_malformed_file_of_predictions_ends_in_one_line_and_exit_3(
    split: Path, tmp_path: Path, content: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "predictions.jsonl"
    file.write_bytes(content)
    out = tmp_path / "out.jsonl"
    assert run(["score", str(file), "--data", str(split), "--split", "dev", "--json", str(out)]) == 3
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said and said.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["none.jsonl", "--data", "data", "--split", "dev"], 3, "none.jsonl: no such file"),
        (["p.jsonl", "--data", "nowhere", "--split", "dev"], 3, "--data nowhere"),
        (["p.jsonl", "--data", "data", "--split", "test"], 3, "no test.jsonl"),
        (["p.jsonl", "--data", "data", "--split", "../dev"], 2, "--split"),
        (["p.jsonl", "--data", "p.jsonl", "--split", "dev"], 3, "not a whole"),
        (["p.jsonl", "--data", "data", "--split", "dev", "--json", "p.jsonl"], 2, "is the file of predictions"),
        (["p.jsonl", "--data", "data", "--split", "dev", "--json", "no/where.jsonl"], 2, "a folder that exists"),
        (["p.jsonl", "--split", "dev"], 2, "--data"),
    ],
)
def test_wrong_use_of_score_says_what_to_do(
    split: Path,
    tmp_path: Path,
    words: list[str],
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "p.jsonl", [{"query": GOLDS[0]}])
    before = (tmp_path / "p.jsonl").read_bytes()
    assert run(["score", *words]) == code
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said
    assert (tmp_path / "p.jsonl").read_bytes() == before


def test_what_a_model_writes_reaches_neither_terminal_nor_page_as_code(
    split: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = "</pre><script>alert(1)</script>![x](http://evil.example/x.png)\x1b[31m\x00\u202e[bold]x"
    gold = {"sel": 0, "agg": 0, "conds": [[1, 0, hostile]]}
    write(split / "dev.jsonl", [{"question": hostile, "table_id": "1-2", "sql": gold}])
    file = write(tmp_path / "p.jsonl", [{"sql": hostile}])
    html = tmp_path / "report.html"
    assert run(["score", str(file), "--data", str(split), "--split", "dev", "--html", str(html)]) == 0
    shown = capsys.readouterr()
    for char in ("\x1b", "\x00", "\u202e"):
        assert char not in shown.out + shown.err + html.read_text(encoding="utf-8")
    page = html.read_text(encoding="utf-8")
    assert "<script" not in page and "<img" not in page and "&lt;script&gt;" in page and "\\x1b[31m" in page


def test_compare_tells_two_scored_files_apart_and_refuses_other_questions(
    score: Callable[..., list[dict[str, Any]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score([{"query": gold} for gold in GOLDS])
    good = str((tmp_path / "out.jsonl").rename(tmp_path / "good.jsonl"))
    score([{"error": "x"}] * 5)
    bad = str(tmp_path / "out.jsonl")
    capsys.readouterr()
    assert run(["compare", good, bad, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["metrics"]
    overall = found["ex"]["overall"]
    assert (overall["n"], overall["only_first"], overall["only_second"]) == (3, 3, 0)
    assert (overall["difference"], overall["p_value"]) == (1.0, 0.25)
    assert found["lf"]["overall"]["n"] == 5
    assert run(["compare", good, bad, "--metric", "lf"]) == 0
    assert "LF: A - B is +100.0 points" in capsys.readouterr().err
    short = write(tmp_path / "short.jsonl", read(Path(bad))[:3])
    assert run(["compare", good, str(short)]) == 3
    assert "answer other questions: 2 are only in the first" in capsys.readouterr().err
    for words, code in ((["compare", good, bad, "--metric", "em"], 2), (["compare", good, "none.jsonl"], 3)):
        assert run(words) == code
        assert "Traceback" not in capsys.readouterr().err


def test_compare_takes_the_sides_of_one_evaluation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def side(ex: bool) -> dict[str, Any]:
        return {"ex": ex, "lf": ex, "repaired_ex": ex}

    lines = [{"id": f"t-{i}", "category": "other", "base": side(i < 2), "tuned": side(i > 0)} for i in range(8)]
    write(tmp_path / "predictions.jsonl", lines)
    assert run(["compare", f"{tmp_path}:tuned", f"{tmp_path}:base", "--metric", "ex", "--json"]) == 0
    overall = json.loads(capsys.readouterr().out)["metrics"]["ex"]["overall"]
    assert (overall["only_first"], overall["only_second"], overall["difference"]) == (6, 1, 5 / 8)
    assert run(["compare", f"{tmp_path}:tunedd", f"{tmp_path}:base"]) == 3
    assert "did you mean 'tuned'" in capsys.readouterr().err
