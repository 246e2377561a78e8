"""``t2s search``: what it refuses before anything starts, and what it shows."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

import t2s.cli.search as verb
from t2s.cli.main import run
from t2s.config import Config, load
from t2s.errors import ConfigError
from t2s.search.record import RungRecord, Trial


def trial(number: int, state: str, rung: int, ex: float | None = None, error: str = "") -> Trial:
    """As far as ``rung``."""
    metrics = {"eval_loss": 1.0 / max(rung, 1), "cpu_s": 10.0 * rung, "examples": 64.0 * rung}
    rungs = [RungRecord(at, 8 * at, metrics | ({"eval_ex": ex} if ex else {}), 100.0) for at in range(1, rung + 1)]
    setting = {"r": 8 * number, "alpha_over_r": 2.0, "learning_rate": 1e-3}
    return Trial(number, setting, state, rungs, "host-1", 40.0, None if state == "running" else 100.0, error)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("1.5h", 5400)]
)
def test_a_budget_is_read_in_the_words_that_people_use(text: str, seconds: float) -> None:
    assert verb.parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "30 m", "m", "0s", "-5m", "2d", "1e3s", "nan", "30m!", "99999999999h"])
def test_another_budget_is_refused_with_what_is_expected(text: str) -> None:
    with pytest.raises(ConfigError, match=f"--budget {text}: expected a time such as 90s, 30m, 2h"):
        verb.parse_budget(text)


REFUSED = [
    (["--budget", "soon"], "--budget soon: expected a time"),
    (["--trials", "0"], "search.num_trials"),
    (["--examples", "-3"], "search.max_examples"),
    (["--trials", "many"], "--trials"),
    (["--resume", "absent"], "--resume absent: no search of that name"),
    (["--resume", "last"], "--resume last: no unfinished search"),
    (["--report", "absent"], "absent"),
    (["--name", "a/b"], "not a run name"),
    (["search.rungs=1", "search.ex_rungs=2"], "search.ex_rungs=2 is more than search.rungs=1"),
    (["search.mode=workers", "search.slots=2"], "search.slots has no meaning"),
    (["model.name=./absent"], "no such directory ./absent"),
]


@pytest.mark.parametrize(("words", "said"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_bad_words_end_in_one_line_and_exit_code_2_before_anything_is_written(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["search", *words]) == 2
    message = capsys.readouterr().err
    assert said in message and "Traceback" not in message and message.count("\n") == 1
    assert not list(tmp_path.glob("runs/*"))


def test_a_space_that_the_base_has_no_room_for_is_refused_before_ray_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tiny_model import save_tiny_model

    def no_ray(config: Config) -> None:
        raise AssertionError("a local Ray would have been started")

    monkeypatch.setattr(verb, "ray_session", no_ray)
    base = save_tiny_model(tmp_path / "base")
    assert run(["search", f"model.name={base}", f"output_dir={tmp_path / 'runs'}", "search.space.r=[999]"]) == 2
    assert "r=999 is above 64, the hidden size" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_off_a_terminal_each_measurement_and_each_end_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    board = verb.TrialBoard(rungs=2, is_live=False)
    board.update([trial(1, "running", 0)])
    board.update([trial(1, "running", 1), trial(2, "running", 0)])
    board.update([trial(1, "running", 1), trial(2, "failed", 0, error="no [bold]number[/bold]")])
    board.update([trial(1, "finished", 2, ex=0.625), trial(2, "failed", 0, error="no [bold]number[/bold]")])
    assert capsys.readouterr().err.splitlines() == [
        "  trial 1  r 8  alpha/r 2  lr 1.00e-03  rung 1/2  loss 1.0000",
        "  trial 2  failed: no [bold]number[/bold]",
        "  trial 1  r 8  alpha/r 2  lr 1.00e-03  rung 2/2  loss 0.5000  EX 62.5%  finished",
    ]


@pytest.mark.parametrize("width", [60, 120])
def test_on_a_terminal_the_table_shows_what_runs_and_the_newest(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Console(file=io.StringIO(), force_terminal=True, width=width, height=14, color_system=None)
    monkeypatch.setattr(verb, "err", shown)
    board = verb.TrialBoard(rungs=2, is_live=True)
    board.update(
        [trial(1, "running", 1), *(trial(n, "stopped", 1) for n in range(2, 40)), trial(40, "finished", 2, 0.5)]
    )
    shown.print(board)
    text = shown.file.getvalue()  # type: ignore[attr-defined]
    numbers = [int(line.split("│")[1]) for line in text.splitlines() if line[:1] == "│" and line.split("│")[1].strip()]
    assert numbers == [1, 36, 37, 38, 39, 40] and "34 before" in text
    assert all(len(line) <= width for line in text.splitlines())


def test_a_finished_search_shows_trials_costs_finalists_and_the_comparison(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from t2s.search.finalists import Finalist
    from t2s.search.run import SearchResult

    asked = {"eval_ex": 0.6, "eval_ex_low": 0.55, "eval_ex_high": 0.65, "eval_ex_n": 200.0}
    pair = {"difference": 0.05, "low": 0.01, "high": 0.09, "p_value": 0.012, "n": 200}
    trials = [trial(1, "finished", 2, 0.5), trial(2, "finished", 2, 0.6), trial(3, "stopped", 1)]
    finalists = [Finalist(2, 0.5, [asked], pair), Finalist(1, 0.5, [asked])]
    result = SearchResult(tmp_path, trials, trials[1], finalists, load([], ["search.rungs=2"]), None)
    verb.show_search(result)
    captured = capsys.readouterr()
    for said in ("2 *", "60.0% (55.0 to 65.0)", "+5.0 (+1.0 to +9.0)", "0.012", "200", "20.0"):
        assert said in captured.out
    assert "320 examples trained in 0:50 of CPU time" in captured.err
    assert "winner: trial 2  r 16" in captured.err
    assert "+5.0 (+1.0 to +9.0) points of execution accuracy on 200 questions" in captured.err
    assert json.loads(json.dumps(verb._as_json(result)))["best"] == 2


def test_a_winner_that_is_the_configured_setting_is_said_to_be_it(tmp_path: Path) -> None:
    from t2s.search.run import SearchResult

    only = trial(1, "finished", 2, 0.5)
    result = SearchResult(tmp_path, [only], only, [], load(), None)
    assert "the configured setting (trial 1) is the best" in verb.verdict(result)
