"""The champion moves: forward only past the gate, back one step at a time, and each move leaves why on its version."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from t2s.config import Config
from t2s.errors import AdapterError, ConfigError
from t2s.gate import DEFAULT_GATE, EVALUATION, PREDICTIONS, Answers, Comparison, Gate, compare, read_answers
from t2s.registry.store import CHAMPION, SHA256_TAG, Store, Version, open_store
from t2s.registry.versions import keep_evaluation

HISTORY_TAG = "champion_history"
"""On the registered model: the versions that were champion before the present one, the last one last."""
MAX_HISTORY = 100
MAX_REASON_CHARS = 500


@dataclass(frozen=True, slots=True)
class Promotion:
    """What :func:`promote` decided, against what, and why. ``p_value`` is None if no test was made."""

    promoted: bool
    reason: str
    p_value: float | None
    version: int
    against: str
    comparison: Comparison | None = None

    @property
    def is_champion(self) -> bool:
        """Whether the version is the champion now, be it that it was before."""
        return self.promoted or self.against == "itself"


@dataclass(frozen=True, slots=True)
class RollBack:
    """Which version is champion again, and which one it was taken from."""

    version: int
    was: int


def promote(
    config: Config, version: int, results: Path | None = None, *, gate: Gate = DEFAULT_GATE, force: str | None = None
) -> Promotion:
    """Make ``version`` the champion if its answers in ``results`` are better by what ``gate`` asks.

    ``results`` is the directory of an evaluation. The opponent is the champion: its answers in
    the same evaluation, or those that the registry keeps of it to the same questions with the same prompt; without a
    champion it is the base in the same evaluation. ``force``, a reason, promotes without a test and needs no results.
    The decision and its reason are written on the version as tags.

    Raises:
        DataError: the results are missing, malformed or another adapter's.
        AdapterError: no such version, or its files are damaged.
        ConfigError: a force without a reason.
        SetupError: MLflow cannot be reached.
    """
    reason = _reason(force) if force is not None else None
    if results is not None:
        read_answers(results / PREDICTIONS, "tuned")  # refused before anything is written
    with open_store(config) as store:
        candidate, champion = store.numbered(version), store.aliased(CHAMPION)
        if champion is not None and champion.number == version:
            return Promotion(False, f"version {version} is the champion already", None, version, "itself")
        store.checked_copy(candidate)
        if results is not None:
            keep_evaluation(store, candidate, results)
        if reason is not None:
            against = _name(champion)
            decision = Promotion(True, f"forced, without a test: {reason}", None, version, against)
        else:
            decision = _decide(store, candidate, champion, results, gate)
        if decision.promoted:
            _move(store, candidate, champion)
        _write(store, candidate, decision, champion)
    return decision


def roll_back(config: Config, reason: str = "") -> RollBack:
    """Make the version champion that was it before the present one; called again, the one before that.

    Raises:
        AdapterError: there is no champion, none before it, or its files are damaged.
        SetupError: MLflow cannot be reached.
    """
    with open_store(config) as store:
        champion = store.aliased(CHAMPION)
        if champion is None:
            raise AdapterError(store.nothing_called(CHAMPION))
        history = _history(store)
        if not history:
            raise AdapterError(
                f"version {champion.number} is the first champion: there is none to roll back to; "
                'promote another one: t2s promote VERSION --force "why"'
            )
        before = store.numbered(history[-1])
        store.checked_copy(before)
        store.point(CHAMPION, before)
        _set_history(store, history[:-1])
        why = _reason(reason) if reason.strip() else "no reason given"
        told = f"rolled back to version {before.number}: {why}"
        store.tag(champion, {"promotion": "rolled back", "promotion_reason": told, "promotion_at": _now()})
        store.tag(before, {"promotion": "champion again", "restored_from": str(champion.number)})
    return RollBack(before.number, champion.number)


def _decide(
    store: Store, candidate: Version, champion: Version | None, directory: Path | None, gate: Gate
) -> Promotion:
    number, against = candidate.number, _name(champion)
    cure = 't2s promote without --evaluation asks both the same, or --force "why"'
    if directory is None:
        return Promotion(False, f"version {number} has not been compared with {against}: {cure}", None, number, against)
    ours = read_answers(directory / PREDICTIONS, "tuned")
    theirs = _champion_answers(store, champion, directory) if champion else _base_answers(directory)
    problem = "has no predictions in the registry" if theirs is None else ours.unlike(theirs)
    if theirs is None or problem is not None:
        return Promotion(False, f"{against} {problem}; {cure}", None, number, against)
    result = compare(ours, theirs)
    reason = f"{result.sentence(against)} (needed: {gate})"
    return Promotion(gate.passes(result), reason, result.p_value, number, against, result)


def _base_answers(directory: Path) -> Answers:
    return read_answers(directory / PREDICTIONS, "base")


def _champion_answers(store: Store, champion: Version, directory: Path) -> Answers | None:
    """Those beside the challenger's own if that very champion gave them, else those kept with its version."""
    if _champion_in(directory) == store.tags(champion).get(SHA256_TAG, ""):
        return read_answers(directory / PREDICTIONS, CHAMPION)
    with store.file(champion, PREDICTIONS) as predictions, store.file(champion, EVALUATION) as evaluation:
        if predictions is None:
            return None
        if evaluation is not None:
            evaluation.rename(predictions.with_name(EVALUATION))
        return read_answers(predictions, "tuned")


def _champion_in(directory: Path) -> str | None:
    """The weights of the champion that answered in this evaluation."""
    try:
        return json.loads((directory / EVALUATION).read_text("utf-8"))["adapter_sha256"].get(CHAMPION)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _move(store: Store, candidate: Version, champion: Version | None) -> None:
    """The history first: between the two calls a roll back would change nothing, and never lose a champion."""
    if champion is not None:
        _set_history(store, [*_history(store), champion.number])
    store.point(CHAMPION, candidate)


def _write(store: Store, candidate: Version, decision: Promotion, champion: Version | None) -> None:
    tags = {"promotion": "promoted" if decision.promoted else "refused", "promotion_reason": decision.reason}
    tags |= {"promotion_at": _now(), "promotion_against": decision.against}
    tags |= _numbers(decision.comparison) if decision.comparison else {}
    tags |= {"replaced_version": str(champion.number)} if decision.promoted and champion else {}
    store.tag(candidate, tags)


def _numbers(found: Comparison) -> Mapping[str, str]:
    return {
        "promotion_p_value": f"{found.p_value:.3g}",
        "promotion_gain": f"{100 * found.difference:+.1f}",
        "promotion_questions": str(found.questions),
    }


def _history(store: Store) -> list[int]:
    text = store.client.get_registered_model(store.model).tags.get(HISTORY_TAG, "")
    return [int(number) for number in text.split(",") if number.isdigit()]


def _set_history(store: Store, numbers: list[int]) -> None:
    text = ",".join(map(str, numbers[-MAX_HISTORY:]))
    store.client.set_registered_model_tag(store.model, HISTORY_TAG, text)


def _name(champion: Version | None) -> str:
    return f"champion version {champion.number}" if champion else "the base model"


def _reason(text: str) -> str:
    """One line that says something."""
    line = " ".join(text.split())[:MAX_REASON_CHARS]
    if not line:
        raise ConfigError('a forced promotion needs a reason: --force "why"')
    return line


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
