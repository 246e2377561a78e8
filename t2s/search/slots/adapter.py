"""A slot's adapter: what PEFT makes and saves, held as one vector.

It is made by :func:`t2s.model.adapter.attach` on the base itself, with the seed of a training, so that it begins with
that training's numbers, and then taken off: the base stays bare, and adapters of any rank and any layers come and go.
A and B of every layer are views of one vector. Clipping and AdamW are then a few operations for a whole adapter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save

from t2s.config import Config, LoraConfig
from t2s.errors import ConfigError
from t2s.model.adapter import CHANGES_BASE, attach, save_adapter
from t2s.model.base import BaseFiles
from t2s.search.slots.routed import Matrices, Part
from t2s.train.state import ADAPTER, capture_random, restore_random

Pair = tuple[torch.Tensor, torch.Tensor]
"""A and B of one layer."""


class SlotAdapter:
    """LoRA weights beside a base that does not know of them."""

    def __init__(self, lora: LoraConfig, pairs: dict[str, Pair], scaling: float) -> None:
        self.lora, self.scaling = lora, scaling
        sizes = [matrix.numel() for pair in pairs.values() for matrix in pair]
        device = next(iter(pairs.values()))[0].device
        self.vector = torch.nn.Parameter(torch.empty(sum(sizes), dtype=torch.float32, device=device))
        self.vector.grad = torch.zeros_like(self.vector)
        values, grads = self.vector.detach().split(sizes), self.vector.grad.split(sizes)
        self.layers: dict[str, Matrices] = {}
        for at, (name, pair) in enumerate(pairs.items()):
            here = slice(2 * at, 2 * at + 2)
            a, b = (value.view_as(given).copy_(given) for value, given in zip(values[here], pair, strict=True))
            grad_a, grad_b = (grad.view_as(given) for grad, given in zip(grads[here], pair, strict=True))
            self.layers[name] = Matrices(a, b, grad_a, grad_b)

    @classmethod
    def fresh(cls, base: Any, config: Config) -> SlotAdapter:
        """As a training with ``config`` begins; ``base`` and the random numbers of this process stay as they are.

        Raises:
            ConfigError: an option that slots cannot hold, or that the base does not take.
        """
        check_lora(base, config.lora)
        with _attached(base, config) as adapted:
            layers = dict(_lora_layers(adapted))
            pairs = {name: _pair(layer) for name, layer in layers.items()}
            if getattr(base, "is_loaded_in_4bit", False):
                # On a 4-bit base TRL's trainer rounds the first A to bf16, before ours makes it fp32 again.
                pairs = {name: (a.bfloat16().float(), b) for name, (a, b) in pairs.items()}
            scaling = next(iter(layers.values())).scaling["default"]
            return cls(config.lora, pairs, scaling)

    def part(self, start: int = 0, stop: int | None = None, seed: int = 0) -> Part:
        """This adapter on the tokens from ``start`` to ``stop`` of a pass whose dropout is drawn from ``seed``."""
        return Part(self.layers, self.scaling, start, stop, self.lora.dropout, seed)

    def matrices(self) -> Iterator[torch.Tensor]:
        """A and B of every layer, one after the other."""
        for layer in self.layers.values():
            yield from (layer.a, layer.b)

    def pack(self) -> dict[str, bytes]:
        """For a checkpoint, under PEFT's names."""
        named = {
            f"base_model.model.{name}.lora_{letter}.default.weight": matrix.cpu().contiguous().clone()
            for name, layer in self.layers.items()
            for letter, matrix in (("A", layer.a), ("B", layer.b))
        }
        return {ADAPTER: save(named)}

    def restore(self, directory: Path) -> None:
        """Take the values of a checkpoint that :meth:`pack` wrote for an adapter of the same settings."""
        saved = load_file(directory / ADAPTER)
        for name, layer in self.layers.items():
            for letter, matrix in (("A", layer.a), ("B", layer.b)):
                matrix.copy_(saved[f"base_model.model.{name}.lora_{letter}.default.weight"])

    def export(self, base: Any, config: Config, files: BaseFiles, directory: Path, about: dict[str, Any]) -> None:
        """Write an adapter directory as :func:`t2s.model.adapter.save_adapter` does after a training."""
        with _attached(base, config) as adapted, torch.no_grad():
            for name, layer in _lora_layers(adapted):
                a, b = _pair(layer)
                a.copy_(self.layers[name].a)
                b.copy_(self.layers[name].b)
            save_adapter(adapted, directory, files, config.prompt, about)


def check_lora(base: Any, lora: LoraConfig) -> None:
    """Raise a :class:`ConfigError` for what an adapter in a slot cannot be."""
    cure = "set search.mode=workers"
    if lora.use_dora:
        raise ConfigError(f"lora.use_dora=true: a slot holds plain products only: {cure}")
    if lora.init in CHANGES_BASE:
        raise ConfigError(f"lora.init={lora.init} changes the base, which slots share: {cure}")
    if lora.target_modules != "all-linear":
        head = base.get_output_embeddings()
        shared = {name.rsplit(".", 1)[-1] for name, m in base.named_modules() if m is head or _is_embedding(m)}
        if bad := sorted(shared & {target.rsplit(".", 1)[-1] for target in lora.target_modules}):
            raise ConfigError(f"lora.target_modules: a slot adapts no {bad[0]}, only the layers inside: {cure}")


def _is_embedding(module: torch.nn.Module) -> bool:
    return isinstance(module, torch.nn.Embedding)


@contextmanager
def _attached(base: Any, config: Config) -> Iterator[Any]:
    """The base with PEFT's adapter on it for the length of the block, begun as a training with this seed begins."""
    state = capture_random(base.device)
    try:
        transformers.set_seed(config.seed)
        adapted = attach(base, config.lora)
    finally:
        restore_random(state, base.device)
    try:
        yield adapted
    finally:
        adapted.unload()
        vars(base).pop("peft_config", None)


def _lora_layers(adapted: Any) -> Iterator[tuple[str, Any]]:
    """PEFT's layers by the names that they have in the base."""
    from peft.tuners.lora import LoraLayer

    for name, module in adapted.get_base_model().named_modules():
        if isinstance(module, LoraLayer):
            yield name, module


def _pair(layer: Any) -> Pair:
    return layer.lora_A["default"].weight.data, layer.lora_B["default"].weight.data
