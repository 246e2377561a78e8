"""Questions in, SQL out. The light names are here; :func:`load_generator` brings torch in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from t2s.generate.core import Generation, Request

if TYPE_CHECKING:
    from t2s.config import Config
    from t2s.generate.engine import Generator

__all__ = ["Generation", "Request", "load_generator"]


def load_generator(config: Config, adapter: Path | None, merge: bool = True) -> Generator:
    """Load the base (and the adapter in the directory ``adapter``) and return a ready :class:`Generator`.

    On a CPU, where the base's weights are written out anyway, the adapter is merged into them: same numbers, fewer
    products; ``merge=False`` keeps it apart. Either way the bare base still answers under the name ``base``, and a
    generator without an adapter takes any number of them later (:class:`t2s.generate.core.HoldsAdapters`).
    """
    from t2s.errors import AdapterError
    from t2s.generate.adapters import Adapters
    from t2s.generate.engine import Generator
    from t2s.generate.weights import pack
    from t2s.model.adapter import check_fits, load_adapter, read_manifest
    from t2s.model.base import find_base
    from t2s.model.load import load_base
    from t2s.model.lora import Lora, read_lora

    if adapter is not None:  # refuse a wrong adapter before the base is loaded, which takes longer
        check_fits(read_manifest(adapter), adapter, find_base(config.model), config.prompt)
    model, tokenizer, files = load_base(config, for_training=False)
    own: Lora | AdapterError | None = None
    if adapter is not None:
        model = load_adapter(model, adapter, files, config.prompt)
        try:
            own = read_lora(adapter, model.device)
        except AdapterError as error:  # it answers all the same, but cannot be taken off
            own = error
        if merge and model.device.type == "cpu":
            model = model.merge_and_unload()
    model = pack(model, config.inference.weights)
    return Generator(model, tokenizer, config.inference, config.prompt, files, Adapters(model, own))
