"""The configuration: a strict schema, and resolving files and ``key.path=value`` into it.

Precedence, once: defaults < YAML files from left to right < ``key.path=value``. The schema describes; other
rooms build. This package is light: importing it loads neither torch nor Ray.
"""

from t2s.config.resolve import dump, load
from t2s.config.schema import (
    Config,
    DataConfig,
    InferenceConfig,
    LoraConfig,
    ModelConfig,
    PromptConfig,
    QuantizationConfig,
    RayConfig,
    SearchConfig,
    ServeConfig,
    SpaceConfig,
    TrackingConfig,
    TrainingConfig,
)

__all__ = [
    "Config",
    "DataConfig",
    "InferenceConfig",
    "LoraConfig",
    "ModelConfig",
    "PromptConfig",
    "QuantizationConfig",
    "RayConfig",
    "SearchConfig",
    "ServeConfig",
    "SpaceConfig",
    "TrackingConfig",
    "TrainingConfig",
    "dump",
    "load",
]
