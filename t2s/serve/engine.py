"""A generator behind a batcher: what a replica of the model is, also without Ray Serve around it.

With one adapter the generator is loaded with it, and merges it where that is faster. With ``serve.adapters`` the base
is loaded once, bare, and each question of a batch goes to its own adapter. A name means one adapter at a time; what it
means is decided on the batcher's thread, so that an answer is written by one and says by which.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from t2s.config import Config, InferenceConfig
from t2s.errors import AdapterError, ConfigError, DataError, RunError, T2SError
from t2s.generate.core import BASE, Generation, HoldsAdapters, Request
from t2s.generate.regime import decoding_regime
from t2s.registry import ResolvedAdapter, resolve_adapter
from t2s.serve.batcher import Batcher, Result
from t2s.serve.schemas import AdapterInfo, Readiness, Regime
from t2s.sql.core import Schema

MAX_FAILURES = 3
GUIDED_CANDIDATES = 3
"""Of the regime ``guided``, where the configuration does not ask for more."""
ENGINES = {"transformers": "t2s.generate:load_generator", "vllm": "t2s.generate.vllm:load_generator"}


@dataclass(frozen=True, slots=True)
class Question:
    """What goes to the model. ``source`` is what execution-guided decoding may run candidates on; ``adapter`` is a name
    or a version, None for whatever ``serve.adapter`` means.
    """

    text: str
    schema: Schema
    source: Path | None = None
    regime: Regime = "configured"
    max_tokens: int | None = None
    adapter: str | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A generation, the adapter that wrote it, and the name of how it was decoded."""

    generation: Generation
    adapter: AdapterInfo
    regime: str


@dataclass(frozen=True, slots=True)
class _Served:
    """What a name means: the adapter for the generator (None: what it was loaded with), and for the answer."""

    key: str | None
    info: AdapterInfo


class Engine:
    """One model, its adapters, any regime."""

    def __init__(self, config: Config, resolved: ResolvedAdapter, generator: str) -> None:
        """Load ``resolved``, which ``serve.adapter`` means, and ``serve.adapters``; takes as long as the weights do.

        Raises:
            AdapterError: one is damaged or does not fit, or the engine cannot hold it beside others.
        """
        self._config = config
        self._factory = import_factory(generator)
        self.problem: str | None = None
        """Why a newer adapter was not taken."""
        self._apart = bool(config.serve.adapters) or config.serve.engine == "vllm"
        self._served: dict[str, _Served] = {}
        self._ways: dict[Hashable, Any] = {}
        if self._apart:
            self._load_apart(resolved)
        else:
            self._install(self._factory(config, resolved.path), resolved)
        self._failures = 0
        self.batcher = Batcher(self._generate, config.serve.max_batch_size, config.serve.batch_wait_timeout_s)

    async def write(self, question: Question) -> Written:
        """The model's SQL; raises the :class:`T2SError` that this question alone caused."""
        source = question.source if question.source is not None and question.source.is_file() else None
        request = Request(question.text, question.schema, source, question.max_tokens, adapter=question.adapter)
        result, adapter = await self.batcher.ask(question.regime, request)
        if isinstance(result, T2SError):
            raise result
        return Written(result, adapter, decoding_regime(inference_for(question.regime, self._config.inference)))

    def check_health(self) -> None:
        """A :class:`RunError` once :data:`MAX_FAILURES` batches in a row failed by no question's own error.

        A GPU after a device-side assertion, or vLLM whose core has died, answers nothing any more and does not end.
        """
        if self._failures >= MAX_FAILURES:
            raise RunError(f"the engine failed {self._failures} times in a row; its log says why")

    def swap(self, resolved: ResolvedAdapter, name: str | None = None) -> None:
        """Answer with another adapter under ``name``, or ``serve.adapter``. It is read (or, where it is merged, loaded
        with a base of its own) beside the old one, which answers until the new one takes over between two batches;
        raises what loading raises, and then nothing has changed. Call it on a thread of its own.
        """
        if self._apart:
            adapter = self._read(resolved)
            self.batcher.thread.submit(self._take, name or self._config.serve.adapter, resolved, adapter).result()
        else:
            loaded = self._factory(self._config, resolved.path)
            self.batcher.thread.submit(self._install, loaded, resolved).result()

    @property
    def adapter(self) -> AdapterInfo:
        """What ``serve.adapter`` means now."""
        return self._served[self._config.serve.adapter].info

    def readiness(self) -> Readiness:
        """What a question would get now."""
        own = self._config.serve.adapter
        others = {name: served.info for name, served in self._served.items() if name != own}
        return Readiness(adapter=self.adapter, adapters=others, problem=self.problem)

    def _install(self, generator: Any, resolved: ResolvedAdapter) -> None:
        """A new generator remembers nothing of the old weights."""
        self._ways = {"configured": generator}
        self._served = {self._config.serve.adapter: _Served(None, _info(resolved))}
        if isinstance(generator, HoldsAdapters):
            self._served[BASE] = _Served(BASE, AdapterInfo(version=BASE, run_id=None))

    def _load_apart(self, resolved: ResolvedAdapter) -> None:
        settings = self._config.serve
        found = {name: _resolve(self._config, name, reference) for name, reference in settings.adapters.items()}
        generator = self._factory(self._config, None)
        if not isinstance(generator, HoldsAdapters):
            raise ConfigError(f"serve.adapters: {type(generator).__name__} holds one adapter: serve them apart")
        self._ways = {"configured": generator}
        self._served = {BASE: _Served(BASE, AdapterInfo(version=BASE, run_id=None))}
        for name, each in ({settings.adapter: resolved} | found).items():
            self._take(name, each, self._read(each))

    def _read(self, resolved: ResolvedAdapter) -> Any:
        return None if resolved.path is None else self._ways["configured"].read_adapter(resolved.path)

    def _take(self, name: str, resolved: ResolvedAdapter, adapter: Any) -> None:
        """Let ``name`` mean ``adapter``, which is attached once however many names it has."""
        generator, before = self._ways["configured"], self._served.get(name)
        key = BASE if resolved.path is None else resolved.version
        if key not in self._keys():
            generator.attach(key, adapter)
        self._served = self._served | {name: _Served(key, _info(resolved))}
        if before is not None and before.key not in self._keys():
            generator.detach(before.key)

    def _keys(self) -> set[str | None]:
        return {served.key for served in self._served.values()}

    def _generate(self, regime: Hashable, requests: Sequence[Request]) -> list[tuple[Result, AdapterInfo]]:
        means = [self._meaning(request.adapter) for request in requests]
        known = [replace(r, adapter=m.key) for r, m in zip(requests, means, strict=True) if m is not None]
        try:
            results = iter(self._attempt(self._way(regime), known) if known else ())
        except Exception:  # counted, and told to those who asked
            self._failures += 1
            raise
        self._failures = 0
        return [
            (AdapterError(f"no adapter {request.adapter!r} here any more"), self.adapter)
            if served is None
            else (next(results), served.info)
            for request, served in zip(requests, means, strict=True)
        ]

    def _meaning(self, name: str | None) -> _Served | None:
        """Of a name or a version."""
        served = self._served.get(self._config.serve.adapter if name is None else name)
        return served or next((one for one in self._served.values() if one.info.version == name), None)

    def _attempt(self, generator: Any, requests: Sequence[Request]) -> list[Result]:
        try:
            results = list(generator.generate(requests))
            if len(results) != len(requests):  # else somebody would get another one's answer
                raise RuntimeError(f"the engine gave {len(results)} answers to {len(requests)} questions")
            return [DataError(each.problem) if each.problem else each for each in results]
        except T2SError as error:
            # One impossible question must not fail its neighbours in the batch: then each goes alone.
            return [error] if len(requests) == 1 else [self._attempt(generator, [each])[0] for each in requests]

    def _way(self, regime: Hashable) -> Any:
        if regime not in self._ways:
            settings = inference_for(regime, self._config.inference)  # type: ignore[arg-type]  # a Regime
            self._ways[regime] = self._ways["configured"].with_inference(settings)
        return self._ways[regime]


def _info(resolved: ResolvedAdapter) -> AdapterInfo:
    return AdapterInfo(version=resolved.version, run_id=resolved.run_id)


def _resolve(config: Config, name: str, reference: str) -> ResolvedAdapter:
    try:
        return resolve_adapter(config, reference)
    except AdapterError as error:
        raise AdapterError(f"serve.adapters.{name}: {error}") from None


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


def load_engine(config: Config, adapter: Path | None) -> Any:
    """What ``serve.engine`` names, loaded; as :func:`t2s.generate.load_generator`."""
    return import_factory(ENGINES[config.serve.engine])(config, adapter)


def import_factory(path: str) -> Callable[[Config, Path | None], Any]:
    """The function behind ``package.module:function``, an engine's ``load_generator``; else a ConfigError."""
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"generator {path!r}: expected package.module:function ({error})") from None
