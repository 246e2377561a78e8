"""The schema of a configuration. The docstring under a field is the reference for that field.

Every section is frozen and strict: an unknown key, a number where a name belongs, or two settings that cannot
go together are refused when the configuration is resolved, not at step 400.
"""

from t2s.config.schema.data import DataConfig
from t2s.config.schema.inference import InferenceConfig
from t2s.config.schema.lora import LoraConfig
from t2s.config.schema.model import ModelConfig, QuantizationConfig
from t2s.config.schema.prompt import PromptConfig
from t2s.config.schema.search import SearchConfig
from t2s.config.schema.section import Section
from t2s.config.schema.serve import ServeConfig
from t2s.config.schema.services import RayConfig, TrackingConfig
from t2s.config.schema.space import Range, SettingConfig, SpaceConfig
from t2s.config.schema.training import TrainingConfig
from t2s.config.schema.whole import Config

__all__ = [
    "Config",
    "DataConfig",
    "InferenceConfig",
    "LoraConfig",
    "ModelConfig",
    "PromptConfig",
    "QuantizationConfig",
    "Range",
    "RayConfig",
    "SearchConfig",
    "Section",
    "ServeConfig",
    "SettingConfig",
    "SpaceConfig",
    "TrackingConfig",
    "TrainingConfig",
]
