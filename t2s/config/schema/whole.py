"""All sections together, and what one of them asks of another."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from t2s.config.schema.data import DataConfig
from t2s.config.schema.inference import InferenceConfig
from t2s.config.schema.lora import LoraConfig
from t2s.config.schema.model import ModelConfig, QuantizationConfig
from t2s.config.schema.prompt import PromptConfig
from t2s.config.schema.search import SearchConfig
from t2s.config.schema.section import FilePath, Section
from t2s.config.schema.serve import ServeConfig
from t2s.config.schema.services import RayConfig, TrackingConfig
from t2s.config.schema.training import TrainingConfig


class Config(Section):
    """Everything that makes a run."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seeds data order, initialisation, dropout and the search."""
    output_dir: FilePath = Path("runs")
    """Every run gets a directory below it."""
    model: ModelConfig = ModelConfig()
    quantization: QuantizationConfig = QuantizationConfig()
    lora: LoraConfig = LoraConfig()
    training: TrainingConfig = TrainingConfig()
    inference: InferenceConfig = InferenceConfig()
    prompt: PromptConfig = PromptConfig()
    data: DataConfig = DataConfig()
    search: SearchConfig = SearchConfig()
    serve: ServeConfig = ServeConfig()
    tracking: TrackingConfig = TrackingConfig()
    ray: RayConfig = RayConfig()

    @model_validator(mode="after")
    def _possible(self) -> Config:
        """Pairs of sections; a message names both keys."""
        training, search, ray = self.training, self.search, self.ray
        if training.use_gpu is False and training.precision in ("bf16", "fp16"):
            raise ValueError(
                f"training.precision={training.precision} needs a GPU, and training.use_gpu is false: "
                "set training.precision=auto"
            )
        if training.use_gpu is False and training.optimizer == "paged_adamw_8bit":
            raise ValueError(
                "training.optimizer=paged_adamw_8bit needs a GPU, and training.use_gpu is false: "
                "set training.optimizer=adamw_torch"
            )
        if self.quantization.load_in_4bit and self.lora.init in ("pissa", "olora", "orthogonal"):
            raise ValueError(
                f"lora.init={self.lora.init} works on full weights, and quantization.load_in_4bit is true: "
                "set quantization.load_in_4bit=false, or lora.init to default or gaussian"
            )
        if self.lora.init == "orthogonal" and self.lora.r % 2:
            raise ValueError(f"lora.init=orthogonal needs an even rank, and lora.r is {self.lora.r}")
        self._logs_start_above_zero()
        passes = training.gradient_accumulation_steps * training.max_workers
        if passes % search.num_workers:
            raise ValueError(
                f"search.num_workers={search.num_workers} does not divide training.gradient_accumulation_steps × "
                f"training.num_workers = {passes}, so that a trial cannot keep the global batch; change one of them"
            )
        self._vllm_can()
        if ray.num_cpus and not ray.address and ray.worker_cpus > ray.num_cpus:
            raise ValueError(
                f"ray.worker_cpus={ray.worker_cpus:g} is more than ray.num_cpus={ray.num_cpus}: no worker could start"
            )
        return self

    def _vllm_can(self) -> None:
        """Whether vLLM can do what is asked for, if it is to."""
        asked = {
            "inference.execution_guided": (self.inference.execution_guided, 1),
            "inference.weights": (self.inference.weights, "full"),
            "quantization.load_in_4bit": (self.quantization.load_in_4bit, False),
            "training.use_gpu": (self.training.use_gpu is not False, True),
        }
        for key, (value, only) in asked.items() if self.serve.engine == "vllm" else ():
            if value != only:
                shown = str(only).lower()
                raise ValueError(
                    f"serve.engine=vllm does not go with {key}: set {key}={shown}, or serve.engine=transformers"
                )

    def _logs_start_above_zero(self) -> None:
        """The configured setting is always in the space, and a logarithmic range has no place for zero."""
        own = {"dropout": "lora.dropout", "warmup_ratio": "training.warmup_ratio"}
        for name, key in (own | {"weight_decay": "training.weight_decay"}).items():
            space, section = getattr(self.search.space, name), getattr(self, key.partition(".")[0])
            if space is None or not space.log or self.search.space.function is not None:
                continue
            if getattr(section, name) == 0:
                raise ValueError(f"search.space.{name} is logarithmic and {key} is 0, its first value: set log=false")
            if any(getattr(known, name) == 0 for known in self.search.known):
                raise ValueError(f"search.space.{name} is logarithmic and search.known holds 0 for it: set log=false")
