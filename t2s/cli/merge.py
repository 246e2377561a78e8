"""``t2s merge``: one model from base and adapter, and a measurement of what merging changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from t2s.cli.console import next_steps, out, say
from t2s.config import Config
from t2s.errors import ConfigError, suggest
from t2s.runtime import pin_paths

TYPES = ("fp32", "bf16", "fp16")


def merge_verb(config: Config, adapter: str, target: Path, dtype: str, num_checked: int) -> None:
    """Merge, write, and ask base + adapter and the merged model the same ``num_checked`` validation questions."""
    from t2s.model.merge import INFO, merge_adapter
    from t2s.registry import resolve_adapter

    if dtype not in TYPES:
        raise ConfigError(f"--dtype {dtype}: expected one of {', '.join(TYPES)}{suggest(dtype, TYPES)}")
    config = pin_paths(config)
    found = resolve_adapter(config, adapter).path
    if found is None:
        raise ConfigError(f"{adapter}: there is no adapter to merge")
    target = target.expanduser().resolve()
    examples = _questions(config, num_checked) if num_checked else []  # bad data is refused before the work
    info = merge_adapter(config, found, target, dtype)
    say(f"merged into {target}")
    if examples:
        info["check"] = check(config, found, target, examples)
        _show(info["check"])
    (target / INFO).write_text(json.dumps(info, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    out.print(str(target), markup=False)
    next_steps(f"t2s infer --adapter-path none model.name={target} quantization.load_in_4bit=false --interactive")


def check(config: Config, adapter: Path, merged: Path, examples: Sequence[Any]) -> dict[str, Any]:
    """What merging changed on ``examples``: logits at the tokens of the gold queries, answers, EX and LF.

    Three models answer in turn: base + adapter as it is served, the merged weights as they are written, and, where
    the configuration asks for 4 bits, the merged weights rounded to 4 bits again as that would serve them.
    """
    full = config.quantization.model_copy(update={"load_in_4bit": False})
    plain = config.model_copy(
        update={"model": config.model.model_copy(update={"name": str(merged)}), "quantization": full}
    )
    say(f"checking on {len(examples)} validation questions")
    before = _measure(config, adapter, examples)
    report = {
        "split": "val",
        "n": len(examples),
        "before": before["scores"],
        "merged": _against(before, _measure(plain, None, examples)),
    }
    if config.quantization.load_in_4bit:
        again = plain.model_copy(update={"quantization": config.quantization})
        report["merged_in_4_bits_again"] = _against(before, _measure(again, None, examples))
    return report


def _questions(config: Config, count: int) -> list[Any]:
    from t2s.evaluate.run import choose_examples

    return choose_examples(config, "val", count)[0]


def _measure(config: Config, adapter: Path | None, examples: Sequence[Any]) -> dict[str, Any]:
    """Answers, scores and logits of one form; its model is freed when this returns."""
    from t2s.data.samples import with_samples
    from t2s.evaluate.score import Scorer
    from t2s.generate import Request, load_generator

    shown = config.prompt.sample_values
    generator = load_generator(config, adapter, merge=False)
    requests = [Request(e.question, with_samples(e.schema, e.source, shown)) for e in examples]
    answers = [answer.sql for answer in generator.generate(requests)]
    with Scorer() as scorer:
        verdicts = [scorer.score(example, sql) for example, sql in zip(examples, answers, strict=True)]
    scores = {"ex": _mean([v.ex for v in verdicts]), "lf": _mean([v.lf for v in verdicts])}
    return {"answers": answers, "scores": scores, "logits": _logits(generator, requests, examples)}


def _logits(generator: Any, requests: Sequence[Any], examples: Sequence[Any]) -> list[Any]:
    """For each example, the fp32 logits that predict its gold query and the end, of shape (labels, vocabulary)."""
    import torch

    from t2s.prompt import build_completion
    from t2s.train.encode import encode

    pairs = list(zip(generator.prompts(requests), (build_completion(e.sql) for e in examples), strict=True))
    found = []
    with torch.inference_mode():
        for one in encode(pairs, [0] * len(pairs), generator.tokenizer):
            ids = torch.tensor([one.input_ids], device=generator.model.device)
            found.append(generator.model(ids, use_cache=False).logits[0, one.num_prompt - 1 : -1].float().cpu())
    return found


def _against(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    pairs = list(zip(before["logits"], after["logits"], strict=True))
    same = [one == other for one, other in zip(before["answers"], after["answers"], strict=True)]
    return {
        **after["scores"],
        "max_logit_difference": max(float((one - other).abs().max()) for one, other in pairs),
        "same_answers": sum(same),
    }


def _mean(verdicts: Sequence[bool | None]) -> float | None:
    known = [verdict for verdict in verdicts if verdict is not None]
    return sum(known) / len(known) if known else None


def _show(report: dict[str, Any]) -> None:
    before, n = report["before"], report["n"]
    say(f"base + adapter: {_percent(before)}")
    for name in ("merged", "merged_in_4_bits_again"):
        if name in report:
            row = report[name]
            say(
                f"{name.replace('_', ' ')}: {_percent(row)}, the same answer to {row['same_answers']} of {n}, "
                f"logits differ by at most {row['max_logit_difference']:.2g}"
            )


def _percent(scores: dict[str, Any]) -> str:
    shown = {name.upper(): scores[name] for name in ("ex", "lf")}
    return ", ".join(f"{name} {'–' if value is None else f'{100 * value:.1f}%'}" for name, value in shown.items())
