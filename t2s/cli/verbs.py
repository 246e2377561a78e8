"""The bodies of ``t2s train`` and ``evaluate``: run the thing, show it, say what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from t2s.cli.console import meter, next_steps, out, same_settings, say, short, table
from t2s.config import Config
from t2s.errors import ConfigError, suggest
from t2s.runtime import pin_paths, ray_session, uses_gpu


def train_verb(config: Config, name: str | None) -> Path:
    """Train one adapter; returns the run's directory."""
    from t2s.track.files import refuse_taken

    config = pin_paths(config)
    refuse_taken(config.output_dir, name)  # before a local Ray takes its seconds to start
    return _train(config, name)


def resume_verb(run: str, files: Sequence[Path], overrides: Sequence[str], name: str | None) -> Path:
    """Go on with a training that was ended; one that has finished is shown."""
    from t2s.train.launch import ADAPTER
    from t2s.train.resume import plan_resume

    plan = plan_resume(run, files, overrides)
    if name is not None and name != plan.run_dir.name:
        raise ConfigError(f"--name {name}: --resume goes on with {plan.run_dir.name}, which keeps its name")
    if plan.is_finished:
        say(f"{plan.run_dir} has finished: nothing is left to do")
        out.print(str(plan.run_dir / ADAPTER), markup=False)
        return plan.run_dir
    return _train(plan.config, None, plan)


def _train(config: Config, name: str | None, plan: Any = None) -> Path:
    from t2s.model.base import find_base
    from t2s.train.launch import train

    find_base(config.model)  # likewise
    with ray_session(config), meter("training") as progress:
        result = train(config, name, say, progress.metrics, plan)
    out.print(str(result.adapter))
    losses = "  ".join(f"{k} {v:.4f}" for k, v in result.metrics.items() if k.endswith("loss"))
    say(f"{losses}  in {result.metrics.get('wall_s', 0):.0f} s ({result.metrics.get('cpu_s', 0):.0f} CPU s a worker)")
    own = f"-c {shlex.quote(short(result.run_dir / 'config.yaml'))}"
    same = same_settings() or (own if plan is not None else "")
    next_steps(
        f"t2s evaluate --adapter-path {short(result.adapter)} {same}",
        f"t2s infer --adapter-path {short(result.adapter)} --interactive {same}",
        f"t2s ui {same}",
    )
    return Path(result.run_dir)


def evaluate_verb(
    config: Config, adapter: str, split: str, max_samples: int | None, with_base: bool, name: str | None
) -> None:
    """Score an adapter beside its base."""
    from t2s.evaluate.run import SPLITS, choose_examples, evaluate, write_evaluation
    from t2s.evaluate.tracking import track_evaluation
    from t2s.registry import resolve_adapter
    from t2s.track.files import new_run_dir, write_run_files

    if split not in SPLITS:
        raise ConfigError(f"--split {split}: expected one of {', '.join(SPLITS)}{suggest(split, SPLITS)}")
    config = pin_paths(config)
    resolved = resolve_adapter(config, adapter)
    adapters = ({"base": None} if with_base or resolved.path is None else {}) | (
        {"tuned": resolved.path} if resolved.path else {}
    )
    _check_adapter(config, resolved.path)
    examples, about = choose_examples(config, split, max_samples)
    with ray_session(config):
        uses_gpu(config)  # refuses a precision that this Ray has no device for, before anything is written
        run_dir = new_run_dir(config.output_dir, "evaluate", name)
        write_run_files(run_dir, config)
        asked = f"{len(examples)} questions of {config.data.pipeline} {split}"
        say(f"evaluation {run_dir}: {asked}, {' and '.join(adapters)}")
        with meter("answering") as progress:
            found = evaluate(config, adapters, examples, about, progress.update)
    write_evaluation(found, run_dir)
    track_evaluation(config, run_dir, found)
    show_evaluation(found)
    out.print(str(run_dir / "report.html"), markup=False)
    next_steps(
        f"xdg-open {short(run_dir / 'report.html')}    # tables, intervals, the wrong answers",
        *([f"t2s compare {short(run_dir)}:tuned {short(run_dir)}:base"] if len(adapters) == 2 else []),
        f"t2s serve {same_settings()}",
    )


def _check_adapter(config: Config, adapter: Path | None) -> None:
    """Refuse an adapter that does not fit before anything is written or started."""
    from t2s.model.adapter import check_fits, read_manifest
    from t2s.model.base import find_base

    base = find_base(config.model)
    if adapter is not None:
        check_fits(read_manifest(adapter), adapter, base, config.prompt)


def show_evaluation(found: Any) -> None:
    """The table, and what went wrong how often."""
    from t2s.evaluate.table import cells

    data = found.results["data"]
    title = f"accuracy in % on {data['n']} questions of {data['pipeline']} {data['split']}"
    head = ("category", "n", "EX base", "EX tuned", "change", "LF base", "LF tuned", "change")
    table(title, head, [cells(row) for row in found.rows])
    for side, counts in found.results["outcomes"].items():
        say(f"{side}: " + ", ".join(f"{outcome} {count}" for outcome, count in counts.items()))
    pair = found.results["comparison"].get("ex", found.results["comparison"].get("lf", {})).get("overall")
    if pair:
        say(
            f"tuned against base: {100 * pair['difference']:+.1f} points ({100 * pair['low']:+.1f} to "
            f"{100 * pair['high']:+.1f}, paired bootstrap), p = {pair['p_value']:.3g} (McNemar, exact)"
        )
    faults = {name: n for name, n in found.results["gold_faults"]["counts"].items() if n}
    if faults:
        say("faults of the golds: " + ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in faults.items()))
