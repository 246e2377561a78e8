"""The search: Ray Tune runs the trials, Optuna proposes them, a scheduler stops the worse ones, finalists decide.

A trial is a slot beside others on a base that is loaded once (``search.mode: slots``), or a training of its own. What
happened stands in the search's study at once (:mod:`t2s.search.book`), so that a search can be killed anywhere and go
on: the trials that were running are taken up under their numbers, from their last rung.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from t2s.config import Config
from t2s.errors import ConfigError
from t2s.search.book import Book
from t2s.search.finalists import Finalist
from t2s.search.ladder import Ladder
from t2s.search.record import STUDY, Trial
from t2s.search.setting import apply_setting, as_overrides, trial_config
from t2s.search.space import check_space, default_setting

ADAPTER = "adapter"
"""Name of the directory of the winner's adapter."""
OnChange = Callable[[list[Trial]], None]


@dataclass(frozen=True)
class SearchResult:
    """What a search left: all trials in order, the best one, and the configuration with its setting."""

    search_dir: Path
    trials: list[Trial]
    best: Trial
    finalists: list[Finalist]
    config: Config
    run_id: str | None
    pareto: list[int] = field(default_factory=list)
    """With several objectives: the trials that no other one beats in all of them."""

    @property
    def adapter(self) -> Path | None:
        """The winner's adapter; None if a budget ended the search before there was one."""
        path = self.search_dir / ADAPTER
        return path if path.is_dir() else None


@dataclass(frozen=True)
class Material:
    """What all trials share. ``config`` is limited to the search's examples."""

    config: Config
    ladder: Ladder
    texts: Any
    about: dict[str, Any]
    questions: list[Any]
    """Of the finalists."""
    identity: dict[str, str]

    @property
    def num_examples(self) -> int:
        """Training examples that a trial may use."""
        return len(self.texts.train)


def search(
    config: Config,
    run_name: str | None = None,
    say: Callable[[str], None] = print,
    on_change: OnChange | None = None,
    resume: Path | None = None,
) -> SearchResult:
    """Run a search, or go on with the one in ``resume``, and return its best setting.

    It leaves ``study.db``, ``search.json``, ``best.yaml``, ``report.html`` and the winner's ``adapter``. Ray must be
    connected and paths absolute. ``on_change`` hears of all trials whenever one of them has changed.

    Raises:
        T2SError: bad data or settings before anything starts; :class:`RunError` if no trial finished.
        KeyboardInterrupt: after ``say`` has told how to go on.
    """
    from t2s.runtime import uses_gpu
    from t2s.search.resume import refuse_changes
    from t2s.track.files import new_run_dir, refuse_taken, write_run_files
    from t2s.track.lock import hold
    from t2s.train.resume import update_config

    uses_gpu(config)  # refuses a device or a precision that this Ray does not have
    if resume is None:
        refuse_taken(config.output_dir, run_name)
        material = _prepare(config, say)
        search_dir = new_run_dir(config.output_dir, "search", run_name)
        with hold(search_dir):
            write_run_files(search_dir, config)
            book = Book.create(search_dir, config, material.ladder, material.identity)
            return _tracked(config, material, book, say, on_change)
    with hold(resume):
        material = _prepare(config, say)
        book = Book.open(resume, config, material.ladder, material.identity)
        refuse_changes(resume, book.about, config)
        _check_material(book, material)
        update_config(resume, config)
        return _tracked(config, material, book, say, on_change)


def _prepare(config: Config, say: Callable[[str], None]) -> Material:
    """Data, tokenizer and space, checked before anything is written."""
    from t2s.data.pipelines import build_pipeline
    from t2s.model.base import find_base
    from t2s.search.finalists import final_questions
    from t2s.search.resume import about
    from t2s.train.launch import prepare_texts

    files = find_base(config.model)
    check_space(config, files)
    splits = build_pipeline(config.data).prepare()
    questions = final_questions(config, splits[1]) if config.search.ex_rungs else []
    ladder = Ladder.of(config, has_rows=bool(questions))
    if "latency" in config.search.objectives and not questions:
        raise ConfigError("search.objectives: latency is measured on questions with rows to execute on: leave it out")
    if config.search.ex_rungs and not questions:
        say("the validation questions have no rows to execute on: trials are ranked by their loss alone")
    limited = _limited(config, ladder)
    texts, manifest = prepare_texts(limited, splits)
    trial_config(config, default_setting(config), len(texts.train))  # refuses impossible batches now
    return Material(limited, ladder, texts, manifest, questions, about(config, texts, files.fingerprint))


def _limited(config: Config, ladder: Ladder) -> Config:
    update = {
        "max_train_samples": config.search.max_train_samples,
        "max_val_samples": config.search.max_val_samples,
        "eval_ex_samples": config.search.ex_samples if ladder.ex_rungs else 0,
        # The scheduler ends trials, and a trial's last step is what the others are compared with.
        "metric_for_best": None,
        "early_stopping_patience": None,
    }
    return config.model_copy(update={"training": config.training.model_copy(update=update)})


def _check_material(book: Book, material: Material) -> None:
    from t2s.search.resume import check_material

    check_material(book.search_dir, book.about, material.identity)


def _tracked(
    config: Config, material: Material, book: Book, say: Callable[[str], None], on_change: OnChange | None
) -> SearchResult:
    """The search as one MLflow run with a child a trial, the same ones when it is resumed."""
    from t2s.search.resume import resume_command
    from t2s.search.tracking import SearchTracker

    say(f"search {book.search_dir}")
    tracker = SearchTracker(config, book.search_dir)
    try:
        result = _run(config, material, book, tracker, say, on_change)
    except KeyboardInterrupt:
        say(f"stopped; go on with: {resume_command(book.search_dir)}")
        _within(lambda: tracker.finish("KILLED"))
        raise
    except BaseException:
        tracker.finish("FAILED")
        raise
    tracker.finish("FINISHED", result)
    return result


def _within(call: Callable[[], object]) -> None:
    """A person who pressed Ctrl-C does not wait long for MLflow."""
    from t2s.train.launch import INTERRUPT_S, within

    within(INTERRUPT_S, call)


def _run(
    config: Config,
    material: Material,
    book: Book,
    tracker: Any,
    say: Callable[[str], None],
    on_change: OnChange | None,
) -> SearchResult:
    from t2s.search import slots_mode, workers_mode
    from t2s.search.finalists import choose, winner
    from t2s.search.tune import Watcher, run_trials

    mode = slots_mode if config.search.mode == "slots" else workers_mode
    _announce_resumed(book, say)
    with mode.open_mode(material, book, say) as running:
        watcher = Watcher(book, tracker, running.free, on_change, config.search.finalists)
        run_trials(config, book, watcher, running, say)
        chosen = [book.trial(number) for number in choose(book.trials(), book.ladder, config.search.finalists)]
        say(f"finalists: trials {', '.join(str(trial.number) for trial in chosen)}")
        finalists = running.compare(chosen)
        best = book.trial(winner(finalists).number)
        about = material.about | {"run": book.search_dir.name, "run_id": tracker.run_id, "trial": best.number}
        running.export(best, book.search_dir / ADAPTER, about)
    return _finish(config, book, finalists, best, tracker.run_id)


def _announce_resumed(book: Book, say: Callable[[str], None]) -> None:
    trials = book.trials()
    running = [trial.number for trial in trials if trial.state == "running"]
    if trials:
        say(f"going on after {len(trials)} trials" + (f", of which {running} were running" if running else ""))


def _finish(config: Config, book: Book, finalists: list[Finalist], best: Trial, run_id: str | None) -> SearchResult:
    """Write what a person and the next training need, and last that the search has come to its end."""
    from t2s.search.finalists import sweep_trials
    from t2s.search.report import write_report
    from t2s.search.resume import RESULT
    from t2s.search.tune import FOLDER

    search_dir, trials, pareto = book.search_dir, book.trials(), book.pareto()
    book.write(best=best.number, finalists=[each.to_dict() for each in finalists], pareto=pareto)
    text = yaml.safe_dump(as_overrides(config, best.setting), sort_keys=False)
    (search_dir / "best.yaml").write_text(f"# best of {len(trials)} trials of {search_dir.name}\n{text}", "utf-8")
    write_report(search_dir, trials, search_dir / STUDY)
    book.note(RESULT, {"best": best.number, "finalists": [each.to_dict() for each in finalists]})
    keep = [each.number for each in finalists]  # with more trials the search goes on, and compares them again
    sweep_trials(search_dir / "trials", {trial.number for trial in trials}, keep)
    shutil.rmtree(search_dir / FOLDER, ignore_errors=True)
    return SearchResult(search_dir, trials, best, finalists, apply_setting(config, best.setting), run_id, pareto)
