"""A generator behind a batcher: what a replica of the model is, also without Ray Serve around it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2s.config import Config, InferenceConfig
from t2s.errors import ConfigError, T2SError
from t2s.generate.core import Generation, Request
from t2s.generate.regime import decoding_regime
from t2s.registry import ResolvedAdapter
from t2s.serve.batcher import Batcher, Result
from t2s.serve.schemas import AdapterInfo, Readiness, Regime
from t2s.sql.core import Schema

GUIDED_CANDIDATES = 3
"""Of the regime ``guided``, where the configuration does not ask for more."""


@dataclass(frozen=True, slots=True)
class Question:
    """What goes to the model. ``source`` is what execution-guided decoding may run candidates on."""

    text: str
    schema: Schema
    source: Path | None = None
    regime: Regime = "configured"
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A generation, the adapter that wrote it, and the name of how it was decoded."""

    generation: Generation
    adapter: AdapterInfo
    regime: str


class Engine:
    """One model, one adapter at a time, any regime."""

    def __init__(self, config: Config, resolved: ResolvedAdapter, generator: str) -> None:
        """Load; takes as long as the model's weights do."""
        self._config = config
        self._factory = import_factory(generator)
        self.problem: str | None = None
        """Why a newer adapter was not taken."""
        self._install(self._factory(config, resolved.path), resolved)
        self.batcher = Batcher(self._generate, config.serve.max_batch_size, config.serve.batch_wait_timeout_s)

    async def write(self, question: Question) -> Written:
        """The model's SQL; raises the :class:`T2SError` that this question alone caused."""
        source = question.source if question.source is not None and question.source.is_file() else None
        request = Request(question.text, question.schema, source, question.max_tokens)
        result, adapter = await self.batcher.ask(question.regime, request)
        if isinstance(result, T2SError):
            raise result
        return Written(result, adapter, decoding_regime(inference_for(question.regime, self._config.inference)))

    def swap(self, resolved: ResolvedAdapter) -> None:
        """Answer with another adapter. It loads beside the old one, which answers until the new one takes over between
        two batches; raises what loading raises, and then nothing has changed. Call it on a thread of its own.
        """
        loaded = self._factory(self._config, resolved.path)
        self.batcher.thread.submit(self._install, loaded, resolved).result()

    def readiness(self) -> Readiness:
        """What a question would get now."""
        return Readiness(adapter=self.adapter, problem=self.problem)

    def _install(self, generator: Any, resolved: ResolvedAdapter) -> None:
        """A new generator remembers nothing of the old weights."""
        self._ways: dict[Hashable, Any] = {"configured": generator}
        self.adapter = AdapterInfo(version=resolved.version, run_id=resolved.run_id)

    def _generate(self, regime: Hashable, requests: Sequence[Request]) -> list[tuple[Result, AdapterInfo]]:
        return [(result, self.adapter) for result in self._attempt(self._way(regime), requests)]

    def _attempt(self, generator: Any, requests: Sequence[Request]) -> list[Result]:
        try:
            return list(generator.generate(requests))
        except T2SError as error:
            # One impossible question must not fail its neighbours in the batch: then each goes alone.
            return [error] if len(requests) == 1 else [self._attempt(generator, [each])[0] for each in requests]

    def _way(self, regime: Hashable) -> Any:
        if regime not in self._ways:
            settings = inference_for(regime, self._config.inference)  # type: ignore[arg-type]  # a Regime
            self._ways[regime] = self._ways["configured"].with_inference(settings)
        return self._ways[regime]


def inference_for(regime: Regime, configured: InferenceConfig) -> InferenceConfig:
    """The settings of a regime. ``grammar`` and ``guided`` take the configured grammar, or ``select`` if it is none."""
    grammar = configured.grammar if configured.grammar != "none" else "select"
    candidates = max(GUIDED_CANDIDATES, configured.execution_guided)
    changes: dict[Regime, dict[str, Any]] = {
        "configured": {},
        "unconstrained": {"grammar": "none", "execution_guided": 1},
        "grammar": {"grammar": grammar, "execution_guided": 1},
        "guided": {"grammar": grammar, "execution_guided": candidates},
    }
    return configured.model_copy(update=changes[regime])


def import_factory(path: str) -> Callable[[Config, Path | None], Any]:
    """The function behind ``package.module:function``, an engine's ``load_generator``; else a ConfigError."""
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"generator {path!r}: expected package.module:function ({error})") from None
