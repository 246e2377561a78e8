"""How answers are decoded, by name: it stands beside the prompt's regime in every score."""

from __future__ import annotations

from typing import Any

from t2s.config import InferenceConfig

_LANGUAGES = {"select": "select/3"}
"""A grammar that came to say other things has another name, since answers of the two are not comparable."""


def decoding_regime(config: InferenceConfig) -> str:
    """``greedy``, ``greedy, grammar wikisql, values span``, ``execution-guided (3 beam, no empty results), ...``"""
    guided = config.execution_guided > 1
    empty = ", no empty results" if config.drop_empty else ""
    parts = [f"execution-guided ({config.execution_guided} {config.candidates}{empty})" if guided else "greedy"]
    parts += [f"grammar {_LANGUAGES.get(config.grammar, config.grammar)}"]
    parts += [f"values {config.values}"] if config.grammar != "none" and config.values != "free" else []
    parts += [f"weights {config.weights}"] if config.weights != "full" else []
    return ", ".join(parts)


def describe_decoding(config: InferenceConfig) -> dict[str, Any]:
    """For results: the name, and the settings that make it."""
    keys = ("grammar", "values", "execution_guided", "candidates", "drop_empty", "weights")
    settings = {key: getattr(config, key) for key in keys}
    return {"name": decoding_regime(config), "greedy": config.execution_guided == 1, **settings}
