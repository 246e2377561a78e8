"""What is checked before a process starts: the adapters of ``serve.adapters``, and the engine that is to hold them."""

from __future__ import annotations

from t2s.config import Config
from t2s.errors import AdapterError
from t2s.model.adapter import check_fits, read_manifest
from t2s.model.base import BaseFiles
from t2s.registry import ResolvedAdapter, resolve_adapter
from t2s.runtime import cluster_address


def check_beside(config: Config, own: ResolvedAdapter, files: BaseFiles) -> None:
    """Raise what starting would raise, but now: each adapter is whole, of this base, and nothing but products.

    Raises:
        AdapterError: one is not, with its name in ``serve.adapters``.
        SetupError: the engine is not installed, where it will run on this machine.
    """
    settings = config.serve
    if settings.engine == "vllm" and cluster_address(config) is None:
        from t2s.generate.vllm import check_installed

        check_installed()
    if not settings.adapters:
        return
    from t2s.model.lora import plain_settings

    for name, reference in settings.adapters.items():
        try:
            found = resolve_adapter(config, reference)
            if found.path is not None:
                check_fits(read_manifest(found.path), found.path, files, config.prompt)
                plain_settings(found.path)
        except AdapterError as error:
            raise AdapterError(f"serve.adapters.{name}: {error}") from None
    if own.path is not None:
        plain_settings(own.path)
