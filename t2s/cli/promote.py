"""``t2s promote``: put the challenger beside the champion on the same questions, and move the alias if it is better."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from t2s.cli.console import meter, next_steps, out, same_settings, say, short, table
from t2s.cli.options import refuse_together
from t2s.config import Config
from t2s.errors import EXIT_FAILED, EXIT_OK, AdapterError, ConfigError, DataError
from t2s.gate import EVALUATION, PREDICTIONS, Gate
from t2s.runtime import pin_paths, ray_session, uses_gpu

_SETTING = re.compile(r"[a-z_]+(\.\w+)*=")
_SIDES = {"base": "base", "tuned": "challenger", "champion": "champion"}


def split_words(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The version that is named, if one is, and the settings."""
    settings = [word for word in words if _SETTING.match(word)]
    names = [word for word in words if not _SETTING.match(word)]
    if len(names) > 1:
        raise ConfigError(f"promote takes one version, found {' and '.join(names)}")
    return (names[0] if names else None), settings


def promote_verb(
    config: Config,
    name: str | None,
    evaluation: Path | None,
    gate: Gate,
    split: str,
    max_samples: int | None,
    force: str | None,
) -> int:
    """Decide about one version; the exit code says whether it is the champion now."""
    from t2s.registry import CHALLENGER, promote

    config = pin_paths(config)
    if evaluation is not None:
        refuse_together("--evaluation", {"--max-samples": max_samples})
        _check_evaluation(evaluation)
    if force is not None:
        refuse_together("--force", {"--max-samples": max_samples})
        if not force.strip():
            raise ConfigError('--force needs a reason: --force "why"')
    number = _number_of(config, name or CHALLENGER)
    if force is None and evaluation is None and not _is_champion(config, number):
        evaluation = _evaluate(config, number, split, max_samples)
    decision = promote(config, number, evaluation, gate=gate, force=force)
    say(decision.reason)
    if not decision.is_champion:
        out.print(f"version {number} is not promoted", markup=False)
        next_steps(
            f"{_again('t2s serve')} serve.adapter={number}    # serve it all the same",
            f"{_again('t2s promote')} {number} --force WHY    # and more test questions would decide smaller gains",
        )
        return EXIT_FAILED
    out.print(f"version {number} is the champion", markup=False)
    if decision.promoted:
        next_steps(_again("t2s serve"), _again("t2s promote --rollback"))
    return EXIT_OK


def _again(command: str) -> str:
    """``command`` with the settings of this one."""
    return f"{command} {same_settings()}".rstrip()


def roll_back_verb(config: Config, name: str | None, evaluation: Path | None, force: str | None) -> int:
    """One step back; ``force`` is the reason to write down."""
    from t2s.registry import roll_back

    if name is not None or evaluation is not None:
        raise ConfigError("--rollback takes no version and no --evaluation: it goes back by one champion")
    done = roll_back(pin_paths(config), force or "")
    out.print(f"version {done.version} is the champion again, in place of version {done.was}", markup=False)
    return EXIT_OK


def promote_run(run_dir: Path, given: Config) -> int:
    """Register and judge what a training or a search left, with its own settings.

    Those lost their secrets when they were written down; where ``given``, the command's, say the same, they have them.
    """
    from t2s.config import load
    from t2s.track.files import without_secrets

    own, given = load([run_dir / "config.yaml"]), pin_paths(given)
    clean = without_secrets(given)
    for section in ("tracking", "data"):
        if getattr(clean, section) == getattr(own, section):
            own = own.model_copy(update={section: getattr(given, section)})
    return promote_verb(own, str(run_dir), None, Gate(), "test", None, None)


def _check_evaluation(evaluation: Path) -> None:
    for name in (PREDICTIONS, EVALUATION):
        if not (evaluation / name).is_file():
            raise DataError(f"--evaluation {evaluation}: has no {name}: name a directory that t2s evaluate wrote")


def _number_of(config: Config, name: str) -> int:
    """The version's number; a directory is registered first."""
    from t2s.model.adapter import MANIFEST
    from t2s.registry import ADAPTER, register, resolve_adapter
    from t2s.track.files import recall_run

    path = Path(name)
    if name == "none":
        raise ConfigError("none is the bare base, which is no version: name a version, `challenger` or a directory")
    if "/" not in name and (name.isdigit() or not path.is_dir()):
        return int(resolve_adapter(config, name).version)
    run_dir = path.parent if path.name == ADAPTER and (path / MANIFEST).is_file() else path
    version = register(config, run_dir.absolute(), recall_run(run_dir.absolute()))
    say(f"{run_dir / ADAPTER} is version {version.number}")
    return version.number


def _is_champion(config: Config, number: int) -> bool:
    from t2s.registry import CHAMPION, find_adapter

    champion = find_adapter(config, CHAMPION)
    return champion is not None and champion.version == str(number)


def _evaluate(config: Config, number: int, split: str, max_samples: int | None) -> Path:
    """Base, challenger and champion answer the same questions with the same prompt; returns the directory."""
    from t2s.evaluate.run import SPLITS, choose_examples, evaluate, write_evaluation
    from t2s.evaluate.tracking import track_evaluation
    from t2s.track.files import new_run_dir, write_run_files

    if split not in SPLITS:
        raise ConfigError(f"--split {split}: expected one of {', '.join(SPLITS)}")
    adapters = _sides(config, number)
    examples, about = choose_examples(config, split, max_samples)
    with ray_session(config):
        uses_gpu(config)  # refuses a precision that this Ray has no device for, before anything is written
        run_dir = new_run_dir(config.output_dir, "promote")
        write_run_files(run_dir, config)
        named = " and ".join(_SIDES[side] for side in adapters)
        say(f"evaluation {run_dir}: {len(examples)} questions of {config.data.pipeline} {split}, {named}")
        with meter("answering") as progress:
            found = evaluate(config, adapters, examples, about, progress.update)
    write_evaluation(found, run_dir)
    track_evaluation(config, run_dir, found)
    _show(found.lines, list(adapters))
    say(f"the answers one by one: {short(run_dir / 'report.html')}")
    return run_dir


def _sides(config: Config, number: int) -> dict[str, Path | None]:
    """Who answers. An adapter that cannot be asked with these settings is refused before anything starts."""
    from t2s.cli.verbs import _check_adapter
    from t2s.registry import CHAMPION, find_adapter, resolve_adapter

    sides: dict[str, Path | None] = {"base": None, "tuned": resolve_adapter(config, str(number)).path}
    _check_adapter(config, sides["tuned"])
    champion = find_adapter(config, CHAMPION)
    if champion is not None:
        try:
            _check_adapter(config, champion.path)
        except AdapterError as error:
            same = f"champion version {champion.version} cannot be asked the same as version {number}"
            raise AdapterError(f'{same}: {error}; or --force "why"') from None
        sides["champion"] = champion.path
    return sides


def _show(lines: Sequence[dict[str, Any]], sides: Sequence[str]) -> None:
    from t2s.evaluate.table import METRICS, percent, summarize

    rows = []
    for side in sides:
        found = summarize(lines, [side])[-1]
        rows.append([_SIDES[side], *(percent(found[metric][side], interval=False) for metric in METRICS)])
    table(f"accuracy in % on {len(lines)} questions", ("", "EX", "LF"), rows)
