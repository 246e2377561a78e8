"""Several adapters on one base: each row of a batch is written by its own, and by nothing of another one.

Hooks on the base's linear layers add an adapter's products to its own rows, which lie side by side. What the weights
hold already (one adapter, merged or beside them) is taken off rows that are not its own, so that a model with one
merged adapter costs nothing until another one, or the bare base, is asked for. Not covered: layers that do not keep
the rows of a batch apart (routed experts); an adapter of such a layer is refused when it is attached.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import torch

from t2s.errors import AdapterError
from t2s.generate.core import BASE
from t2s.model.lora import Lora

Step = tuple[slice, Lora, int]
"""Rows, what is added to them, and +1; or taken off, and -1."""


class Adapters:
    """The adapters of ``model`` by name. Not thread-safe."""

    def __init__(self, model: Any, own: Lora | AdapterError | None = None) -> None:
        """``own`` is what the weights hold: None for a bare base, an error for what cannot be taken off again."""
        self._model, self._own = model, own
        self._held: dict[str, Lora] = {}
        self._hooked: set[str] = set()
        self._steps: Sequence[Step] = ()
        self._num_rows = 0

    def attach(self, name: str, lora: Lora) -> None:
        """Let rows be written by ``lora`` under ``name``; an :class:`AdapterError` if it does not fit the base."""
        assert name != BASE and name not in self._held
        for one in (lora, self._own):
            if isinstance(one, dict):
                self._hook(one)
        self._held[name] = lora
        try:
            self._try_out(name)
        except (AdapterError, RuntimeError) as error:  # torch's, of shapes
            del self._held[name]
            raise AdapterError(f"adapter {name} does not fit the base: {str(error).splitlines()[0]}") from None

    def detach(self, name: str) -> None:
        """Forget an adapter."""
        del self._held[name]

    def check(self, name: str | None) -> None:
        """Raise an :class:`AdapterError` if no row can be written by ``name``; None is what the weights hold."""
        if name is not None and isinstance(self._own, AdapterError):
            raise self._own
        if name not in (None, BASE, *self._held):
            raise AdapterError(f"no adapter {name!r} is attached; there are {', '.join([BASE, *self._held])}")
        if name == BASE and isinstance(self._own, dict):
            self._hook(self._own)

    @contextmanager
    def writing(self, names: Sequence[str | None]) -> Iterator[None]:
        """What the model computes inside the block, it computes for rows of these adapters (see :meth:`check`)."""
        self._num_rows = len(names)
        self._steps = [step for name, rows in _runs(names) if name is not None for step in self._of(name, rows)]
        try:
            yield
        finally:
            self._steps = ()

    def _of(self, name: str, rows: slice) -> Iterator[Step]:
        if isinstance(self._own, dict):
            yield rows, self._own, -1
        if name != BASE:
            yield rows, self._held[name], 1

    def _hook(self, lora: Lora) -> None:
        """Hook the layers of ``lora``, each one once for all adapters."""
        base = unwrapped(self._model)
        for name in lora.keys() - self._hooked:
            try:
                layer = base.get_submodule(name)
            except AttributeError:
                raise AdapterError(f"the base has no layer {name}") from None
            if layer is base.get_output_embeddings():
                raise AdapterError(f"{name} is the base's head, which rows share; serve this adapter alone")
            layer.register_forward_hook(self._adding(name))
            self._hooked.add(name)

    def _adding(self, name: str) -> Any:
        def add(_layer: Any, given: tuple[torch.Tensor, ...], result: torch.Tensor) -> torch.Tensor:
            for rows, lora, sign in self._steps:
                if name in lora:
                    if len(result) != self._num_rows:
                        raise AdapterError(f"layer {name} does not keep the rows of a batch apart")
                    lora[name].add_to(result[rows], given[0][rows], sign)
            return result

        return add

    @torch.inference_mode()
    def _try_out(self, name: str) -> None:
        tokens = torch.zeros((2, 3), dtype=torch.long, device=self._model.device)
        with self.writing([name, BASE]):
            self._model(input_ids=tokens, use_cache=False)


def unwrapped(model: Any) -> Any:
    """The base inside PEFT's wrapper, if there is one."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _runs(names: Sequence[str | None]) -> Iterator[tuple[str | None, slice]]:
    """Neighbours of one name, as a slice."""
    start = 0
    for name, run in groupby(names):
        stop = start + len(list(run))
        yield name, slice(start, stop)
        start = stop
