"""The body of ``t2s search``: run it, show the trials while they run, then what was found and what it cost."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table as RichTable

from t2s.cli.console import err, next_steps, out, same_settings, say, short, table
from t2s.config import Config
from t2s.errors import ConfigError
from t2s.runtime import pin_paths, ray_session

if TYPE_CHECKING:
    from t2s.search.finalists import Finalist
    from t2s.search.record import Trial
    from t2s.search.run import SearchResult

_UNITS = {"s": 1, "m": 60, "h": 3600}
_STYLES = {"running": "bold", "finished": "green", "stopped": "dim", "failed": "red"}
_AROUND = 8
"""Lines of a terminal that are not for trials: the table's frame, and some of what was said before."""


def search_verb(config: Config, name: str | None, as_json: bool = False) -> Path:
    """Search for a better setting; returns the search's directory."""
    from t2s.track.files import refuse_taken

    config = pin_paths(config)
    refuse_taken(config.output_dir, name)  # before a local Ray takes its seconds to start
    return _search(config, name, None, as_json)


def resume_search_verb(
    run: str, files: Sequence[Path], overrides: Sequence[str], name: str | None, as_json: bool = False
) -> Path:
    """Go on with a search that was ended; of one that has finished the report is written anew."""
    from t2s.search.resume import plan_resume

    plan = plan_resume(run, files, overrides)
    if name is not None and name != plan.search_dir.name:
        raise ConfigError(f"--name {name}: --resume goes on with {plan.search_dir.name}, which keeps its name")
    for line in plan.changed:
        say(f"changed: {line}")
    if plan.is_finished:
        say(f"{plan.search_dir} has finished: nothing is left to do")
        report_verb(plan.search_dir)
        return plan.search_dir
    return _search(plan.config, None, plan.search_dir, as_json)


def report_verb(search_dir: Path) -> None:
    """Write ``report.html`` of a search anew, also while it runs."""
    from t2s.search.record import STUDY, read_trials
    from t2s.search.report import write_report

    search_dir = search_dir.absolute()
    page = write_report(search_dir, read_trials(search_dir), search_dir / STUDY)
    out.print(str(page), markup=False)


def parse_budget(text: str) -> float:
    """Seconds of ``90s``, ``30m``, ``2h`` or ``1h30m``; a :class:`ConfigError` for anything else."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([smh])", text)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or not 0 < seconds < 1e9:
        raise ConfigError(f"--budget {text}: expected a time such as 90s, 30m, 2h or 1h30m")
    return seconds


class TrialBoard:
    """What a person sees of running trials; :meth:`update` takes all of them at each change. From :func:`trial_board`.

    On a terminal it is a table that redraws itself; elsewhere each measurement and each end is a line.
    """

    def __init__(self, rungs: int, is_live: bool) -> None:
        self._rungs, self._is_live = rungs, is_live
        self._trials: list[Trial] = []
        self._said: dict[int, tuple[int, str]] = {}

    def update(self, trials: Sequence[Trial]) -> None:
        """Show these trials."""
        from t2s.search.show import line

        self._trials = list(trials)
        for trial in [] if self._is_live else trials:
            rung, state = self._said.get(trial.number, (0, "running"))
            if (trial.rung, trial.state) != (rung, state):
                say("  " + line(trial, self._rungs, is_measured=trial.rung > rung))
            self._said[trial.number] = (trial.rung, trial.state)

    def __rich__(self) -> RichTable:
        from t2s.search.show import cells, heads, varied_names

        names = varied_names(self._trials)
        room = max(3, err.height - _AROUND)
        hidden = max(0, len(self._trials) - room)
        matter = _that_matter(self._trials, room)
        rows = [cells(trial, names, self._rungs, time.time(), is_brief=True) for trial in matter]
        head, rows = _fitted(heads(names), rows, err)
        shown = RichTable(*head, title_justify="left")
        shown.title = f"trials, and {hidden} before" if hidden else "trials"
        for trial, row in zip(matter, rows, strict=True):
            shown.add_row(*(escape(cell) for cell in row), style=_STYLES[trial.state])
        return shown


def _fitted(head: list[str], rows: list[list[str]], console: Console) -> tuple[list[str], list[list[str]]]:
    """Without the columns that can be missed where the terminal has no room for all."""
    dropped = ("examples", "CPU s", "time") if console.is_terminal else ()
    for name in (name for name in dropped if name in head):
        needed = sum(3 + max(len(row[at]) for row in [head, *rows]) for at in range(len(head))) + 1
        if needed > console.width:
            at = head.index(name)
            head, rows = head[:at] + head[at + 1 :], [row[:at] + row[at + 1 :] for row in rows]
    return head, rows


def _that_matter(trials: Sequence[Trial], room: int) -> list[Trial]:
    """Those that run, then the newest, as many as there is room for, by number."""
    kept = sorted(trials, key=lambda trial: (trial.state != "running", -trial.number))[:room]
    return sorted(kept, key=lambda trial: trial.number)


@contextmanager
def trial_board(config: Config) -> Iterator[TrialBoard]:
    """A board for the length of the block."""
    board = TrialBoard(config.search.rungs, err.is_terminal)
    if not err.is_terminal:
        yield board
        return
    with Live(board, console=err, refresh_per_second=2, redirect_stdout=False, redirect_stderr=False):
        yield board


def show_search(result: SearchResult) -> None:
    """The trials with what each cost, the finalists, and the winner beside the configured setting."""
    from t2s.search.record import cost_of
    from t2s.search.show import cells, duration, heads, setting_text, varied_names

    names, rungs, now = varied_names(result.trials), result.config.search.rungs, time.time()
    rows = [
        [*_starred(cells(trial, names, rungs, now), trial.number == result.best.number), f"{trial.cpu_s:.1f}"]
        for trial in result.trials
    ]
    table("trials", *_fitted([*heads(names), "CPU s"], rows, out))
    if any(each.accuracies for each in result.finalists):
        table("finalists", FINALIST_HEADS, [_finalist_row(each, result) for each in result.finalists])
    _show_pareto(result)
    cost = cost_of(result.trials)
    say(f"{int(cost['examples']):,} examples trained in {duration(cost['cpu_s'])} of CPU time, over all trials")
    say(f"winner: trial {result.best.number}  {setting_text(result.best.setting)}")
    say(verdict(result))


def _show_pareto(result: SearchResult) -> None:
    """With several objectives: what cannot be had together."""
    from t2s.search.show import number_text, percent, setting_text

    front = [trial for trial in result.trials if trial.number in result.pareto]
    rows = []
    for trial in front:
        metrics = trial.last.metrics if trial.last else {}
        size = number_text(metrics.get("adapter_parameters"), ",.0f")
        row = [str(trial.number), percent(trial.ex), number_text(trial.loss, ".4f"), size]
        rows.append([*row, number_text(metrics.get("latency_s"), ".3f"), setting_text(trial.setting)])
    if rows:
        head = ("trial", "EX", "loss", "adapter parameters", "s a question", "setting")
        table("Pareto front: no other trial is better in every objective", head, rows)


FINALIST_HEADS = ("trial", "EX", "questions", "against the configured setting", "p", "loss")


def verdict(result: SearchResult) -> str:
    """The winner against the configured setting, in a sentence."""
    from t2s.search.show import change_text

    if result.best.number == 1:
        return "the configured setting (trial 1) is the best of these: nothing found here beats it"
    found = next((each for each in result.finalists if each.number == result.best.number), None)
    if found is None or found.against_default is None:
        return "the winner was not compared with the configured setting on the same questions"
    return f"winner against the configured setting: {change_text(found.against_default)}"


def _search(config: Config, name: str | None, resume: Path | None, as_json: bool) -> Path:
    from t2s.model.base import find_base
    from t2s.search.run import search
    from t2s.search.space import check_space

    files = find_base(config.model)  # before a local Ray takes its seconds to start
    check_space(config, files)  # likewise
    with ray_session(config), trial_board(config) as board:
        result = search(config, name, say, board.update, resume)
    if as_json:
        out.print(json.dumps(_as_json(result)), markup=False)
    else:
        show_search(result)
        out.print(str(result.search_dir / "report.html"), markup=False)
    _say_next(result)
    return result.search_dir


def _say_next(result: SearchResult) -> None:
    own = shlex.quote(short(result.search_dir / "config.yaml"))
    same = same_settings() or f"-c {own}"
    best = shlex.quote(short(result.search_dir / "best.yaml"))
    next_steps(
        f"t2s train {same} -c {best}    # the winner's setting on all the data",
        *([f"t2s evaluate {same} --adapter-path {shlex.quote(short(result.adapter))}"] if result.adapter else []),
        f"xdg-open {shlex.quote(short(result.search_dir / 'report.html'))}    # curves, importances, slots",
        f"t2s ui {same}",
    )


def _as_json(result: SearchResult) -> dict[str, Any]:
    from t2s.search.record import cost_of

    return {
        "search_dir": str(result.search_dir),
        "best": result.best.number,
        "setting": result.best.setting,
        "finalists": [each.to_dict() for each in result.finalists],
        "cost": cost_of(result.trials),
        "trials": [dataclasses.asdict(trial) for trial in result.trials],
    }


def _starred(row: list[str], is_best: bool) -> list[str]:
    return [f"{row[0]} *" if is_best else row[0], *row[1:]]


def _finalist_row(finalist: Finalist, result: SearchResult) -> list[str]:
    from t2s.search.show import accuracy_text, points

    against = finalist.against_default
    change = "–" if against is None else points(against)
    return [
        f"{finalist.number} *" if finalist.number == result.best.number else str(finalist.number),
        accuracy_text(finalist.accuracies),
        f"{finalist.accuracies[0]['eval_ex_n']:.0f}" if finalist.accuracies else "–",
        change,
        "–" if against is None else f"{against['p_value']:.3g}",
        f"{finalist.loss:.4f}",
    ]
