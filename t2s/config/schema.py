"""The schema of a configuration. The docstring under a field is the reference for that field.

Every section is frozen and strict: an unknown key, a number where a name belongs, or two settings that cannot
go together are refused when the configuration is resolved, not at step 400.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

FilePath = Annotated[Path, Field(strict=False)]
Precision = Literal["auto", "bf16", "fp16", "fp32"]


class Section(BaseModel):
    """What all sections share: strict types, no unknown keys, no change after resolving."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, protected_namespaces=()
    )


class ModelConfig(Section):
    """Which base model is tuned."""

    name: str = "mistralai/Mistral-7B-v0.1"
    """A Hugging Face name, or a directory with a model (safetensors, or one GGUF file)."""
    revision: str | None = None
    """The branch, tag or commit on the hub; None is its default branch."""


class QuantizationConfig(Section):
    """How the frozen base is held in memory (QLoRA, Dettmers et al. 2023, arXiv:2305.14314)."""

    load_in_4bit: bool = True
    """Hold the base's linear layers in 4 bits. False keeps them in the training precision."""
    quant_type: Literal["nf4", "fp4"] = "nf4"
    """The 4-bit code book."""
    double_quant: bool = True
    """Quantise the quantisation constants too (about 0.4 bits a weight less)."""


class LoraConfig(Section):
    """The adapter (LoRA, Hu et al. 2021, arXiv:2106.09685)."""

    r: int = Field(default=16, ge=1, le=1024)
    """Rank of the update."""
    alpha: float = Field(default=32.0, gt=0)
    """The update is scaled by alpha / r."""
    dropout: float = Field(default=0.05, ge=0, lt=1)
    """Dropout on the adapter's input, in training only."""
    target_modules: list[str] | Literal["all-linear"] = [
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    ]  # fmt: skip
    """Names of the layers that get an adapter, or ``all-linear``."""


class TrainingConfig(Section):
    """The fine-tuning: TRL's SFTTrainer in every worker of a Ray Train run."""

    epochs: float = Field(default=3.0, gt=0)
    """Passes over the training examples."""
    max_steps: int = Field(default=-1, ge=-1)
    """Stop after this many optimizer steps, whatever ``epochs`` says; -1 is no such limit."""
    batch_size: int = Field(default=4, ge=1)
    """Examples a worker takes in one forward pass."""
    gradient_accumulation_steps: int = Field(default=4, ge=1)
    """Forward passes an optimizer step; global batch = batch_size × this × num_workers."""
    learning_rate: float = Field(default=2e-4, gt=0, le=1)
    """Peak learning rate."""
    lr_scheduler: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    """How the learning rate falls after its warm-up."""
    warmup_ratio: float = Field(default=0.03, ge=0, lt=1)
    """The share of all steps over which the learning rate rises to its peak."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's weight decay on the adapter."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """The gradient is scaled down to this norm."""
    max_length: int = Field(default=512, ge=16)
    """Longest example in tokens; longer ones are left out of training, and counted in the log."""
    precision: Precision = "auto"
    """Arithmetic outside the 4-bit weights. ``auto``: bf16 on a GPU that has it, else fp16; fp32 on a CPU."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third slower."""
    optimizer: Literal["adamw_torch", "paged_adamw_8bit"] = "adamw_torch"
    """``paged_adamw_8bit`` needs a GPU."""
    max_train_samples: int | None = Field(default=None, ge=1)
    """Use only this many training examples, drawn with ``seed``."""
    max_val_samples: int | None = Field(default=None, ge=1)
    """Use only this many validation examples for the loss, drawn with ``seed``."""
    logging_steps: int = Field(default=10, ge=1)
    """Steps between two lines of metrics."""
    eval_steps: int | None = Field(default=None, ge=1)
    """Steps between two measurements of the validation loss; None measures it once, at the end."""
    save_steps: int | None = Field(default=None, ge=1)
    """Steps between two checkpoints; None writes one at the end of each epoch."""
    num_workers: int = Field(default=1, ge=1)
    """Ray Train workers; each holds the base and a share of every batch (DDP)."""
    use_gpu: bool | Literal["auto"] = "auto"
    """One GPU a worker; ``auto`` uses GPUs if the Ray cluster has any."""
    max_failures: int = Field(default=2, ge=0)
    """How often a run is restarted from its last checkpoint after a worker died."""
    report_to: Literal["mlflow", "wandb", "none"] = "mlflow"
    """Where metrics go besides ``metrics.jsonl``, which is always written."""


class InferenceConfig(Section):
    """How SQL is generated, in evaluation, on the command line and behind the endpoint."""

    batch_size: int = Field(default=16, ge=1)
    """Questions generated together, sorted by length."""
    max_new_tokens: int = Field(default=96, ge=1, le=4096)
    """Longest answer in tokens."""
    grammar: Literal["none", "wikisql"] = "none"
    """``wikisql`` allows only tokens that continue a WikiSQL query over the question's own table."""


class DataConfig(Section):
    """Which questions, tables and queries."""

    pipeline: str = "wikisql"
    """``wikisql``, ``synthetic``, ``jsonl``, or ``package.module:Class`` with ``prepare() -> (train, val, test)``."""
    path: FilePath | None = None
    """A directory or archive for ``wikisql``, a directory for ``jsonl``; None is the fetched archive."""
    cache_dir: FilePath = Path("runs/cache")
    """Where archives are unpacked and generated tables are kept."""
    options: dict[str, Any] = {}
    """Keywords for the pipeline's constructor, for example ``num_train`` of ``synthetic``."""


class Range(Section):
    """An interval to draw from."""

    low: float
    """Smallest value."""
    high: float
    """Largest value."""
    log: bool = False
    """Draw evenly in the logarithm."""

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if not self.low < self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range starts above 0, not at {self.low}")
        return self


class SpaceConfig(Section):
    """What the search varies."""

    r: list[int] = Field(default=[8, 16, 32], min_length=1)
    """Ranks to choose from."""
    alpha_over_r: list[float] = Field(default=[1.0, 2.0, 4.0], min_length=1)
    """LoRA's scale alpha / r to choose from; alpha follows."""
    learning_rate: Range = Range(low=1e-4, high=4e-3, log=True)
    """Peak learning rates."""

    @model_validator(mode="after")
    def _positive(self) -> SpaceConfig:
        if min(self.r) < 1 or min(self.alpha_over_r) <= 0:
            raise ValueError("r and alpha_over_r take positive numbers only")
        return self


class SearchConfig(Section):
    """Ray Tune with Optuna: each trial is a short Ray Train run, ranked by validation loss."""

    num_trials: int = Field(default=8, ge=1)
    """Settings to try; the first is the configured one, so a search never ends worse than none."""
    space: SpaceConfig = SpaceConfig()
    """What is varied."""
    scheduler: Literal["asha", "none"] = "asha"
    """``asha`` stops the worse trials at each rung (Li et al. 2018, arXiv:1810.05934)."""
    rungs: int = Field(default=3, ge=1)
    """How often a trial measures its validation loss, evenly over its steps."""
    reduction_factor: int = Field(default=2, ge=2)
    """ASHA keeps one in this many at each rung."""
    sampler: Literal["tpe", "random"] = "tpe"
    """Optuna's sampler."""
    max_train_samples: int = Field(default=512, ge=1)
    """Training examples a trial may use."""
    max_val_samples: int = Field(default=64, ge=1)
    """Validation examples that rank the trials."""
    num_workers: int = Field(default=1, ge=1)
    """Workers of each trial; 1 trains in the trial's own process, more are a Ray Train run. The global batch stays."""
    max_concurrent_trials: int | None = Field(default=None, ge=1)
    """Trials at a time; None is as many as the cluster's CPUs or GPUs carry."""
    time_budget_s: float | None = Field(default=None, gt=0)
    """No new trial starts, and running ones end, after this many seconds."""


class ServeConfig(Section):
    """The Ray Serve application."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8000, ge=1, le=65535)
    """HTTP port."""
    adapter: str = "champion"
    """``champion`` (the registry's), a version number, an adapter's directory, or ``none`` for the bare base."""
    num_replicas: int = Field(default=1, ge=1)
    """Copies of the model."""
    max_batch_size: int = Field(default=8, ge=1)
    """Requests answered together."""
    batch_wait_timeout_s: float = Field(default=0.02, ge=0)
    """How long the first request of a batch waits for others."""
    max_queued_requests: int = Field(default=64, ge=-1)
    """Requests that may wait; more are refused with 429. -1 is no limit."""
    databases: dict[str, FilePath] = {}
    """SQLite files that questions may be asked of, by name; opened read-only in the sandbox."""
    max_rows: int = Field(default=100, ge=1)
    """Rows returned at most."""
    timeout_s: float = Field(default=2.0, gt=0)
    """Seconds a query may run."""


class TrackingConfig(Section):
    """Where runs are written down."""

    uri: str | None = None
    """MLflow's tracking URI; None is SQLite at ``output_dir/mlflow.db``."""
    experiment: str = "t2s"
    """MLflow experiment."""
    registered_model: str = "t2s"
    """Name of the model in MLflow's registry whose versions are adapters."""
    wandb_project: str = "t2s"
    """Project for ``training.report_to: wandb``."""


class RayConfig(Section):
    """Which Ray. On a laptop a local one is started and ends with the command."""

    address: str | None = None
    """``auto`` or ``HOST:PORT`` joins a running cluster; None starts a local Ray, unless RAY_ADDRESS is set."""
    num_cpus: int | None = Field(default=None, ge=1)
    """CPUs of a local Ray; None is all."""
    worker_cpus: float = Field(default=1, gt=0)
    """CPUs a training worker or a replica takes; a worker runs one thread a CPU."""


class Config(Section):
    """Everything that makes a run."""

    seed: int = Field(default=0, ge=0)
    """Seeds data order, initialisation, dropout and the search."""
    output_dir: FilePath = Path("runs")
    """Every run gets a directory below it."""
    model: ModelConfig = ModelConfig()
    quantization: QuantizationConfig = QuantizationConfig()
    lora: LoraConfig = LoraConfig()
    training: TrainingConfig = TrainingConfig()
    inference: InferenceConfig = InferenceConfig()
    data: DataConfig = DataConfig()
    search: SearchConfig = SearchConfig()
    serve: ServeConfig = ServeConfig()
    tracking: TrackingConfig = TrackingConfig()
    ray: RayConfig = RayConfig()

    @model_validator(mode="after")
    def _possible(self) -> Config:
        if self.training.use_gpu is False and self.training.precision in ("bf16", "fp16"):
            raise ValueError(
                f"training.precision={self.training.precision} needs a GPU, and training.use_gpu is false: "
                "set training.precision=auto"
            )
        if self.training.use_gpu is False and self.training.optimizer == "paged_adamw_8bit":
            raise ValueError(
                "training.optimizer=paged_adamw_8bit needs a GPU, and training.use_gpu is false: "
                "set training.optimizer=adamw_torch"
            )
        return self
