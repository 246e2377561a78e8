"""A trainer's state as safetensors and JSON, exactly: adapter, optimizer, schedule, random numbers.

A nested state (PyTorch's ``state_dict``) becomes two things: its tensors under running numbers, and JSON with
references to them. Floats survive JSON to the last bit, and keys that are no strings are written as pairs.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save

ADAPTER = "adapter.safetensors"
_TENSOR, _PAIRS, _TUPLE = "__tensor__", "__pairs__", "__tuple__"


def pack(name: str, state: Any) -> dict[str, bytes]:
    """``{name.json: ..., name.safetensors: ...}`` of a nested state of plain values and tensors."""
    tensors: dict[str, torch.Tensor] = {}
    tree = _split(state, tensors)
    return {f"{name}.json": json.dumps(tree).encode(), f"{name}.safetensors": save(tensors)}


def unpack(directory: Path, name: str) -> Any:
    """What :func:`pack` was given; tensors are on the CPU."""
    tree = json.loads((directory / f"{name}.json").read_text("utf-8"))
    return _join(tree, load_file(directory / f"{name}.safetensors"))


def pack_adapter(model: torch.nn.Module) -> dict[str, bytes]:
    """The trainable parameters by their names."""
    return {ADAPTER: save({name: _plain(p) for name, p in model.named_parameters() if p.requires_grad})}


def restore_adapter(model: torch.nn.Module, directory: Path) -> None:
    """Set the trainable parameters of ``model`` to those of a checkpoint; names and shapes are the same."""
    saved = load_file(directory / ADAPTER)
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert saved.keys() == trainable.keys(), "the settings' hash is the same, but the adapter's parameters are not"
    with torch.no_grad():
        for name, parameter in trainable.items():
            parameter.copy_(saved[name])


def capture_random(device: torch.device) -> dict[str, Any]:
    """The states of this process's generators: Python, numpy, torch on the CPU and on its device."""
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": {"kind": kind, "keys": keys.tolist(), "rest": (position, has_gauss, gauss)},  # type: ignore[union-attr]
        "cpu": torch.get_rng_state(),
        "device": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def restore_random(state: Mapping[str, Any], device: torch.device) -> None:
    """Go on where :func:`capture_random` was."""
    random.setstate(state["python"])
    numbers = state["numpy"]
    np.random.set_state((numbers["kind"], np.array(numbers["keys"], dtype=np.uint32), *numbers["rest"]))
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and state["device"] is not None:
        torch.cuda.set_rng_state(state["device"], device)


def _split(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        tensors[str(len(tensors))] = _plain(value)
        return {_TENSOR: str(len(tensors) - 1)}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and not key.startswith("__") for key in value):
            return {key: _split(item, tensors) for key, item in value.items()}
        return {_PAIRS: [[key, _split(item, tensors)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {_TUPLE: [_split(item, tensors) for item in value]}
    if isinstance(value, list):
        return [_split(item, tensors) for item in value]
    assert value is None or isinstance(value, bool | int | float | str), f"a state holds a {type(value).__name__}"
    return value


def _join(tree: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(tree, Sequence) and not isinstance(tree, str):
        return [_join(item, tensors) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if _TENSOR in tree:
        return tensors[tree[_TENSOR]]
    if _PAIRS in tree:
        return {key: _join(item, tensors) for key, item in tree[_PAIRS]}
    if _TUPLE in tree:
        return tuple(_join(item, tensors) for item in tree[_TUPLE])
    return {key: _join(item, tensors) for key, item in tree.items()}


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """On the CPU, contiguous, and sharing its memory with no other: what safetensors takes."""
    return tensor.detach().to("cpu", copy=True).contiguous()
