"""The stages that judge an adapter: the evaluation beside base and champion, and the gate of the registry."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from t2s.config import Config
from t2s.errors import AdapterError
from t2s.evaluate.run import PREDICTIONS, RESULTS, Evaluation, choose_examples, evaluate, write_evaluation
from t2s.evaluate.tracking import overall_scores, track_evaluation
from t2s.pipeline.answers import KeptAnswers
from t2s.pipeline.work import Work
from t2s.registry import CHAMPION, ResolvedAdapter, find_adapter, promote, register
from t2s.track.files import recall_run, write_run_files

SPLIT = "test"
SIDES = ("base", "tuned", CHAMPION)


def champion_to_ask(config: Config) -> ResolvedAdapter | None:
    """The champion, if there is one; an :class:`AdapterError` if it cannot be asked with these settings."""
    from t2s.model.adapter import check_fits, read_manifest
    from t2s.model.base import find_base

    champion = find_adapter(config, CHAMPION)
    if champion is not None and champion.path is not None:
        try:
            check_fits(read_manifest(champion.path), champion.path, find_base(config.model), config.prompt)
        except AdapterError as error:
            raise AdapterError(
                f"champion version {champion.version} could not be compared with what is to be trained: {error}; or "
                "name another registry: tracking.registered_model"
            ) from None
    return champion


def do_evaluate(work: Work) -> dict[str, Any]:
    """Base, the trained adapter and the champion answer the same questions; each side is asked once."""
    config, place = work.config, work.place("evaluate")
    place.mkdir(parents=True, exist_ok=True)
    found = _finished(place, work.state["train"].result["sha256"])
    if found is None:
        write_run_files(place, config)
        adapters = _sides(work)
        examples, about = choose_examples(config, SPLIT, work.flags.max_samples)
        asked = f"{len(examples)} questions of {config.data.pipeline} {SPLIT}"
        work.screen.say(f"evaluation {place}: {asked}, {' and '.join(adapters)}")
        with work.screen.meter("answering") as progress:
            found = evaluate(config, adapters, examples, about, progress.update, KeptAnswers(place))
    write_evaluation(found, place)
    KeptAnswers(place).forget()
    run_id = track_evaluation(config, place, found)
    return {"questions": found.results["data"]["n"], "scores": _scores(found), "run_id": run_id}


def _sides(work: Work) -> dict[str, Path | None]:
    trained = work.state["train"].result
    sides: dict[str, Path | None] = {"base": None, "tuned": work.state.run_dir.parent / trained["adapter"]}
    champion = champion_to_ask(work.config)
    if champion is not None and champion.path is not None and _weights(champion.path) != trained["sha256"]:
        sides[CHAMPION] = champion.path
    return sides


def _weights(adapter: Path) -> str:
    from t2s.model.adapter import weights_hash

    return weights_hash(adapter)


def _finished(place: Path, sha256: str) -> Evaluation | None:
    """An evaluation of these weights that came to its end before its pipeline heard of it."""
    try:
        lines = [json.loads(line) for line in (place / PREDICTIONS).read_text("utf-8").splitlines()]
        results = json.loads((place / RESULTS).read_text("utf-8"))
        if results["adapter_sha256"].get("tuned") != sha256 or len(lines) != results["data"]["n"]:
            return None
        return Evaluation(lines, results["table"], results)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # half of one, or another version's
        return None


def _scores(found: Evaluation) -> dict[str, float]:
    """Overall shares, the champion's among them."""
    marks = [line[CHAMPION]["ex"] for line in found.lines if CHAMPION in line]
    known = [mark for mark in marks if mark is not None]
    champion = {"ex_champion": sum(known) / len(known)} if known else {}
    return overall_scores(found.rows) | champion


def do_promote(work: Work) -> dict[str, Any]:
    """Register the adapter and let the gate decide. A refusal is a result."""
    run_dir = work.place("train")
    version = register(work.config, run_dir, recall_run(run_dir))
    decision = promote(work.config, version.number, work.place("evaluate"))
    champion = find_adapter(work.config, CHAMPION)
    told = dataclasses.asdict(decision)
    if decision.against == "itself":
        told |= _decided_before(work.config, version.number)
    work.screen.say(f"version {version.number}: {told['reason']}")
    return told | {"is_champion": decision.is_champion, "champion": champion.version if champion else None}


def _decided_before(config: Config, number: int) -> dict[str, Any]:
    """What the registry kept of the decision that made a version the champion."""
    from t2s.registry.store import open_store

    with open_store(config) as store:
        tags = store.tags(store.numbered(number))
    if tags.get("promotion") != "promoted":
        return {}
    p_value = float(tags["promotion_p_value"]) if "promotion_p_value" in tags else None
    return {
        "promoted": True,
        "reason": tags["promotion_reason"],
        "against": tags["promotion_against"],
        "p_value": p_value,
    }
