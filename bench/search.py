"""Three searches beside each other: same space, seed, data, rungs and trials, in turn, each in a process of its own.

    python -m bench.search [--trials 12] [--only NAME ...] [-c FILE] [key.path=value ...]

``full``: Ray Tune with its own OptunaSearch, every trial to its end, each a process that loads the base and trains with
``SFTTrainer`` as it comes. ``asha``: the same with Ray's ASHA, and each trial trains as ``t2s train`` does. ``t2s``:
``t2s search`` in slots. All rank by validation loss, begin with the configured setting, use TPE with the same options,
and may use all CPUs; a trial takes one thread (a host of ours too).

The time is that until a search has first measured a validation loss as low as the worse of the two bests that are
compared, from the moment that Ray is up. CPU seconds are those of all processes, sampled twice a second. What is
printed besides: the whole search's wall time, the examples that were trained, and of ours how long slots stood still
for Tune's decisions.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_AUTH_MODE", "token")  # as t2s.runtime does; here Ray is imported before it

import psutil

from t2s.config import Config, load

NAMES = ("full", "asha", "t2s")
MARK = "T2S_BENCH_MARK"
METRIC = "eval_loss"


@dataclass
class Measured:
    """What one search did. Times are seconds after Ray was up."""

    points: list[tuple[float, int, int, float]] = field(default_factory=list)
    """(time, trial, rung, validation loss)"""
    wall_s: float = 0.0
    examples: int = 0
    waited_share: float | None = None
    began: float = 0.0
    """Seconds since 1970."""
    cpu: list[tuple[float, float]] = field(default_factory=list)
    """(time, CPU seconds of all processes until then)"""

    @property
    def best(self) -> float:
        return min(loss for *_, loss in self.points)

    def reaches(self, target: float) -> float:
        """When a loss of ``target`` was first measured."""
        return min(at for at, _, _, loss in self.points if loss <= target)

    def cpu_until(self, at: float) -> float:
        return max((cpu for when, cpu in self.cpu if when <= at), default=0.0)


def main() -> None:
    """Run each search and print what they took."""
    given = _arguments()
    if given.child:
        found = CHILDREN[given.child](_config(given, Path(given.out).parent))
        Path(given.out).write_text(json.dumps(vars(found)), "utf-8")
        return
    measured = {}
    for name in given.only or NAMES:
        measured[name] = _run(name)
        print(_line(name, measured[name]), flush=True)
    _report(measured)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--examples", type=int, default=192, help="training examples of a full trial")
    parser.add_argument("--val", type=int, default=32)
    parser.add_argument("--rungs", type=int, default=4)
    parser.add_argument("--only", nargs="+", choices=NAMES)
    parser.add_argument("--child", choices=NAMES, help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    parser.add_argument("-c", "--config", default="configs/smollm2-135m.yaml")
    parser.add_argument("overrides", nargs="*")
    return parser.parse_args()


def _config(given: argparse.Namespace, output_dir: Path) -> Config:
    from t2s.runtime import pin_paths

    sizes = [
        f"search.num_trials={given.trials}",
        f"search.rungs={given.rungs}",
        f"search.max_train_samples={given.examples}",
        f"search.max_val_samples={given.val}",
    ]
    fixed = ["search.ex_rungs=0", "search.finalists=1", "training.report_to=none", f"output_dir={output_dir}"]
    return pin_paths(load([Path(given.config)], [*sizes, *fixed, *given.overrides]))


# -- the parent: starts each search and counts its processes' CPU time ---------------------------------------------


def _run(name: str) -> Measured:
    mark = secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="t2s-bench-") as scratch:
        out = Path(scratch) / "measured.json"
        words = [sys.executable, "-m", "bench.search", "--child", name, "--out", str(out), *sys.argv[1:]]
        cpu: list[tuple[float, float]] = []
        process = subprocess.Popen(words, env=os.environ | {MARK: mark})
        done = threading.Event()
        counter = threading.Thread(target=_count_cpu, args=(mark, cpu, done))
        counter.start()
        code = process.wait()
        done.set()
        counter.join()
        if code:
            sys.exit(f"the search {name!r} ended with {code}")
        measured = Measured(**json.loads(out.read_text("utf-8")))
    measured.cpu = [(at - measured.began, spent) for at, spent in cpu]
    before = measured.cpu_until(0.0)
    measured.cpu = [(at, spent - before) for at, spent in measured.cpu]
    return measured


def _count_cpu(mark: str, cpu: list[tuple[float, float]], done: threading.Event) -> None:
    spent: dict[tuple[int, float], float] = {}
    while not done.wait(0.5):
        for process in psutil.process_iter():
            try:
                if f"{MARK}={mark}".encode() in Path(f"/proc/{process.pid}/environ").read_bytes():
                    times = process.cpu_times()
                    spent[process.pid, process.create_time()] = times.user + times.system
            except (OSError, psutil.NoSuchProcess):
                continue
        cpu.append((time.time(), sum(spent.values())))


# -- the children: one search each ---------------------------------------------------------------------------------


def _slots(config: Config) -> Measured:
    from t2s.runtime import ray_session
    from t2s.search.run import search

    with ray_session(config):
        measured = Measured(began=time.time())
        result = search(config, "t2s", lambda text: print(f"  {text}", flush=True))
        measured.wall_s = time.time() - measured.began
    for trial in result.trials:
        measured.points += [(r.time - measured.began, trial.number, r.rung, r.metrics[METRIC]) for r in trial.rungs]
    measured.examples = sum(trial.examples for trial in result.trials)
    lasted = sum(trial.ended - trial.started for trial in result.trials if trial.ended is not None)
    waited = sum(trial.last.metrics["waited_s"] for trial in result.trials if trial.last)
    measured.waited_share = waited / lasted
    return measured


def _processes(config: Config, stops: bool) -> Measured:
    """Ray Tune as its documentation has it: OptunaSearch, a process per trial."""
    import optuna
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    from t2s.runtime import ray_session
    from t2s.search.run import _prepare
    from t2s.search.space import default_setting, define_space, trial_config

    measured, search = Measured(), config.search
    steps: dict[int, int] = {}

    class Watch(tune.Callback):
        """Notes each validation on the driver, when Tune hears of it."""

        def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **_: Any) -> None:
            number = trials.index(trial) + 1
            at = time.time() - measured.began
            measured.points.append((at, number, int(result["training_iteration"]), float(result[METRIC])))
            steps[number] = int(result["step"])

        def __reduce__(self) -> Any:
            return (tune.Callback, ())

    sampler = optuna.samplers.TPESampler(seed=config.seed, n_startup_trials=4, multivariate=True)
    with ray_session(config):
        measured.began = time.time()
        material = _prepare(config, print)
        first = trial_config(config, default_setting(config), material.num_examples).training
        ends = first.measured_after(first.max_steps)
        asha = ASHAScheduler("step", max_t=ends[-1], grace_period=ends[0], reduction_factor=search.reduction_factor)
        train = tune.with_parameters(
            _train_alone if stops else _train_stock, config=material.config, texts=material.texts
        )
        tune.Tuner(
            tune.with_resources(train, {"CPU": config.ray.worker_cpus}),
            tune_config=tune.TuneConfig(
                metric=METRIC,
                mode="min",
                num_samples=search.num_trials,
                search_alg=OptunaSearch(
                    space=define_space(config),
                    metric=METRIC,
                    mode="min",
                    points_to_evaluate=[default_setting(config)],
                    sampler=sampler,
                ),
                scheduler=asha if stops else None,
            ),
            run_config=tune.RunConfig(
                name="tune", storage_path=str(config.output_dir), verbose=0, callbacks=[Watch()], log_to_file=True
            ),
        ).fit()
        measured.wall_s = time.time() - measured.began
    measured.examples = sum(steps.values()) * first.batch_size * first.gradient_accumulation_steps
    return measured


def _train_alone(setting: dict[str, Any], config: Config, texts: Any) -> None:
    """A trial with the trainer of ``t2s train``."""
    from t2s.search.space import trial_config
    from t2s.train.harness import TrialHarness
    from t2s.train.loop import train_here

    short = trial_config(config, setting, len(texts.train))
    alone = {"config": short, "texts": texts, "about": {}, "journal": None, "name": "trial"}
    train_here(alone | {"run_dir": None, "stop_board": None}, TrialHarness())


def _train_stock(setting: dict[str, Any], config: Config, texts: Any) -> None:
    """A trial with ``SFTTrainer``; its validations are ours, so that the losses are comparable."""
    import torch
    import transformers
    from ray import tune

    from bench.train import _stock
    from t2s.model.adapter import attach
    from t2s.model.load import load_base
    from t2s.search.space import trial_config
    from t2s.train.trainer import build_trainer

    torch.set_num_threads(max(1, int(config.ray.worker_cpus)))
    short = trial_config(config, setting, len(texts.train))
    model, tokenizer, _ = load_base(short, for_training=True)
    transformers.set_seed(short.seed)
    model = attach(model, short.lora)
    measured_after = short.training.measured_after(short.training.max_steps)

    with tempfile.TemporaryDirectory() as scratch:
        exact = build_trainer(short, model, tokenizer, texts, Path(scratch) / "exact", 1)

        class Validate(transformers.TrainerCallback):
            """The exact loss at the end of each rung."""

            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                if state.global_step in measured_after:
                    was_training = model.training
                    tune.report({METRIC: exact.evaluate()[METRIC], "step": state.global_step})
                    model.train(was_training)

        passes = short.training.gradient_accumulation_steps
        trainer = _stock(short, None, passes)(model, tokenizer, texts, Path(scratch) / "stock")
        trainer.args.max_steps = short.training.max_steps
        trainer.add_callback(Validate())
        trainer.train()


CHILDREN = {
    "full": lambda config: _processes(config, stops=False),
    "asha": lambda config: _processes(config, stops=True),
    "t2s": _slots,
}


# -- what is printed -----------------------------------------------------------------------------------------------


def _line(name: str, measured: Measured) -> str:
    trials, rungs = len({number for _, number, _, _ in measured.points}), len(measured.points)
    waited = "" if measured.waited_share is None else f", slots waited for Tune {100 * measured.waited_share:.1f}%"
    return (
        f"{name:<5} {trials} trials, {rungs} rungs, {measured.examples} examples in {measured.wall_s:.0f} s and "
        f"{measured.cpu_until(measured.wall_s):.0f} CPU s, best loss {measured.best:.4f}{waited}"
    )


def _report(measured: dict[str, Measured]) -> None:
    for name, other in measured.items():
        if name != "t2s" and "t2s" in measured:
            _compare(measured["t2s"], other, name)


def _compare(ours: Measured, other: Measured, name: str) -> None:
    target = max(ours.best, other.best)
    print(f"t2s beside {name}, until a validation loss of {target:.4f}, the worse of the two bests:")
    wall, theirs = ours.reaches(target), other.reaches(target)
    cpu, theirs_cpu = max(0.1, ours.cpu_until(wall)), other.cpu_until(theirs)
    print(f"  {wall:.0f} s, not {theirs:.0f} ({theirs / wall:.2f} x); CPU {cpu:.0f} s, not {theirs_cpu:.0f}", end="")
    print(f" ({theirs_cpu / cpu:.2f} x); in all {ours.wall_s:.0f} s, not {other.wall_s:.0f}", end="")
    print(f" ({other.wall_s / ours.wall_s:.2f} x)")


if __name__ == "__main__":
    main()
