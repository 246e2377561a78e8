"""The schema of a configuration. The docstring under a field is the reference for that field.

Every section is frozen and strict: an unknown key, a number where a name belongs, or two settings that cannot
go together are refused when the configuration is resolved, not at step 400.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

FilePath = Annotated[Path, Field(strict=False)]
Name = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
MAX_RANK = 1024
Precision = Literal["auto", "bf16", "fp16", "fp32"]


def _least_first(workers: list[int]) -> list[int]:
    if workers[0] > workers[1]:
        raise ValueError(f"the first is the least, the second the most, found {workers}")
    return workers


class Section(BaseModel):
    """What all sections share: strict types, no unknown keys, no change after resolving."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),
        allow_inf_nan=False,
    )


class ModelConfig(Section):
    """Which base model is tuned."""

    name: Name = "mistralai/Mistral-7B-v0.1"
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

    @property
    def bits(self) -> float:
        """Bits a weight with its constants: one of 8 bits (or 32) for 64 weights, and one of 32 for 256 of those."""
        return 4 + (8 / 64 + 32 / (64 * 256) if self.double_quant else 32 / 64)


class LoraConfig(Section):
    """The adapter (LoRA, Hu et al. 2021, arXiv:2106.09685)."""

    r: int = Field(default=16, ge=1, le=MAX_RANK)
    """Rank of the update."""
    alpha: float = Field(default=32.0, gt=0)
    """The update is scaled by alpha / r."""
    dropout: float = Field(default=0.05, ge=0, lt=1)
    """Dropout on the adapter's input, in training only."""
    target_modules: Annotated[list[Name], Field(min_length=1)] | Literal["all-linear"] = [
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    ]  # fmt: skip
    """Names of the layers that get an adapter, or ``all-linear``."""
    use_rslora: bool = False
    """Scale by alpha / √r instead of alpha / r, so that large ranks learn too (Kalajdzievski 2023,
    arXiv:2312.03732)."""
    use_dora: bool = False
    """Learn the magnitude of each weight's columns apart from the direction (DoRA, Liu et al. 2024, arXiv:2402.09353);
    about a third slower."""
    init: Literal["default", "gaussian", "orthogonal", "pissa", "olora"] = "default"
    """How the adapter begins. ``pissa`` (arXiv:2404.02948), ``olora`` (arXiv:2406.01775) and ``orthogonal`` need
    ``quantization.load_in_4bit: false``; the first two change the base while training, and are saved as a plain
    adapter of twice the rank that fits the unchanged base."""


class TrainingConfig(Section):
    """The fine-tuning: TRL's SFTTrainer in every worker of a Ray Train run."""

    epochs: float = Field(default=3.0, gt=0)
    """Passes over the training examples."""
    max_steps: int = Field(default=-1, ge=-1, le=2**31 - 1)
    """Stop after this many optimizer steps, whatever ``epochs`` says; -1 is no such limit."""
    batch_size: Count = 4
    """Examples a worker takes in one forward pass."""
    gradient_accumulation_steps: Count = 4
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
    max_length: int = Field(default=512, ge=16, le=2**20)
    """Longest example in tokens; longer ones are left out of training, and counted in the log."""
    precision: Precision = "auto"
    """Arithmetic outside the 4-bit weights. ``auto``: bf16 on a GPU that has it, else fp16; fp32 on a CPU."""
    gradient_checkpointing: bool | Literal["auto"] = "auto"
    """Recompute activations in the backward pass: less memory, about a third slower. ``auto`` does so only if the
    memory of the device (or of the machine, shared among its workers) would not suffice by the estimate."""
    optimizer: Literal["adamw_torch", "paged_adamw_8bit"] = "adamw_torch"
    """``paged_adamw_8bit`` needs a GPU."""
    questions_per_row: Count = 4
    """Questions about one table that stand in one row, so that their schema is computed once; 1 is off. The loss and
    the gradients of a batch are the same."""
    max_train_samples: Count | None = None
    """Use only this many training examples, drawn with ``seed``."""
    max_val_samples: Count | None = None
    """Use only this many validation examples for the loss, drawn with ``seed``."""
    logging_steps: Count = 10
    """Steps between two lines of metrics."""
    eval_steps: Count | None = None
    """Steps between two measurements of the validation loss; None measures it once, at the end."""
    eval_ex_samples: int = Field(default=0, ge=0, le=2**31 - 1)
    """Questions of the validation split that each such measurement also asks, for execution accuracy: a fixed slice,
    drawn with ``seed``, with the share of each category that the split has. 0 asks none."""
    metric_for_best: Literal["eval_loss", "eval_ex"] | None = None
    """None: the run's adapter is that of the last step. Else that of the step where this was best, the earlier one of
    equals. ``eval_ex`` is what users want and is as sure as ``eval_ex_samples`` is large; the loss often rises again
    while answers still improve."""
    early_stopping_patience: Count | None = None
    """End the training after this many measurements in a row without a better ``metric_for_best``."""
    save_steps: Count | None = None
    """Steps between two checkpoints; None writes one at the end of each epoch."""
    num_workers: Count | Annotated[list[Count], Field(min_length=2, max_length=2), AfterValidator(_least_first)] = 1
    """Ray Train workers; each holds the base and a share of every batch (DDP). ``[1, 4]``: as many of one to four as
    the cluster has room for, which may change while it trains."""
    use_gpu: bool | Literal["auto"] = "auto"
    """One GPU a worker; ``auto`` uses GPUs if the Ray cluster has any."""
    max_failures: int = Field(default=2, ge=0, le=1000)
    """How often a run is restarted from its last checkpoint after a worker died."""
    report_to: Literal["mlflow", "wandb", "none"] = "mlflow"
    """Where metrics go besides ``metrics.jsonl``, which is always written."""

    @property
    def max_workers(self) -> int:
        """The most workers there may be."""
        return self.num_workers if isinstance(self.num_workers, int) else self.num_workers[1]

    @model_validator(mode="after")
    def _reached(self) -> TrainingConfig:
        if self.max_steps == 0:
            raise ValueError("training.max_steps=0 trains nothing; -1 is no limit")
        if self.early_stopping_patience and not self.metric_for_best:
            raise ValueError(
                f"training.early_stopping_patience={self.early_stopping_patience} needs training.metric_for_best: "
                "set it to eval_loss or eval_ex"
            )
        if self.metric_for_best and not self.eval_steps:
            raise ValueError(
                f"training.metric_for_best={self.metric_for_best} has one measurement to choose from, because "
                "training.eval_steps is not set: set it"
            )
        if self.metric_for_best == "eval_ex" and not self.eval_ex_samples:
            raise ValueError(
                "training.metric_for_best=eval_ex needs training.eval_ex_samples above 0: set it, for example to 128"
            )
        for name, steps in (("eval_steps", self.eval_steps), ("save_steps", self.save_steps)):
            if steps and 0 < self.max_steps < steps:
                raise ValueError(
                    f"training.{name}={steps} is never reached with training.max_steps={self.max_steps}: "
                    f"lower training.{name}, or leave it out for once at the end"
                )
        return self


class InferenceConfig(Section):
    """How SQL is generated, in evaluation, on the command line and behind the endpoint."""

    batch_size: Count = 16
    """Questions generated together, sorted by length."""
    max_new_tokens: int = Field(default=96, ge=1, le=4096)
    """Longest answer in tokens."""
    grammar: Literal["none", "wikisql"] = "none"
    """``wikisql`` allows only tokens that continue a WikiSQL query over the question's own table."""


class PromptConfig(Section):
    """How a question and a schema become text; training, evaluation and the endpoint use the same setting.

    An adapter records it, and is refused under another one. Each setting has a name that stands in every result, for
    example ``schema-only/1`` or ``ddl+3values/1``.
    """

    style: Literal["compact", "ddl"] = "compact"
    """``compact`` is one line a table, ``ddl`` is CREATE TABLE statements with types and foreign keys."""
    sample_values: int = Field(default=0, ge=0, le=20)
    """Values shown of each column: the first distinct ones of the table's first 200 rows. 0 is WikiSQL's rule."""
    max_schema_chars: int = Field(default=12_000, ge=200, le=1_000_000)
    """A schema whose text is longer loses its sample values, then the columns that share fewest words with the
    question; of equals, columns of foreign keys and earlier columns stay. What was cut is counted in the log."""


class DataConfig(Section):
    """Which questions, tables and queries."""

    pipeline: Name = "wikisql"
    """``wikisql``, ``synthetic``, ``jsonl``, or ``package.module:Class`` with ``prepare() -> (train, val, test)``."""
    path: FilePath | None = None
    """A directory or archive for ``wikisql``, a directory or one file for ``jsonl``; None is the fetched archive."""
    cache_dir: FilePath = Path("runs/cache")
    """Where archives are unpacked and generated tables are kept, and rejected lines written."""
    skip_bad: bool = False
    """Leave bad lines of ``wikisql`` and ``jsonl`` data out, counted and written to a rejects file, and go on."""
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
    def _usable(self) -> SpaceConfig:
        """What is proposed must be a valid ``lora`` and ``training`` section."""
        if min(self.r) < 1 or min(self.alpha_over_r) <= 0:
            raise ValueError("r and alpha_over_r take positive numbers only")
        if max(self.r) > MAX_RANK:
            raise ValueError(f"r={max(self.r)} is above {MAX_RANK}, the largest lora.r")
        if len(set(self.r)) < len(self.r) or len(set(self.alpha_over_r)) < len(self.alpha_over_r):
            raise ValueError("r and alpha_over_r take each choice once")
        if not 0 < self.learning_rate.low < self.learning_rate.high <= 1:
            found = f"[{self.learning_rate.low}, {self.learning_rate.high}]"
            raise ValueError(f"learning_rate lies above 0 and up to 1, as training.learning_rate does, not in {found}")
        return self


class SearchConfig(Section):
    """Ray Tune with Optuna: each trial is a short Ray Train run, ranked by validation loss."""

    num_trials: Count = 8
    """Settings to try; the first is the configured one, so a search never ends worse than none."""
    space: SpaceConfig = SpaceConfig()
    """What is varied."""
    scheduler: Literal["asha", "none"] = "asha"
    """``asha`` stops the worse trials at each rung (Li et al. 2018, arXiv:1810.05934)."""
    rungs: Count = 3
    """How often a trial measures its validation loss, evenly over its steps."""
    reduction_factor: int = Field(default=2, ge=2, le=1000)
    """ASHA keeps one in this many at each rung."""
    sampler: Literal["tpe", "random"] = "tpe"
    """Optuna's sampler."""
    max_train_samples: Count = 512
    """Training examples a trial may use."""
    max_val_samples: Count = 64
    """Validation examples that rank the trials."""
    num_workers: Count = 1
    """Workers of each trial; 1 trains in the trial's own process, more are a Ray Train run. The global batch stays."""
    max_concurrent_trials: Count | None = None
    """Trials at a time; None is as many as the cluster's CPUs or GPUs carry."""
    time_budget_s: float | None = Field(default=None, gt=0)
    """No new trial starts, and running ones end, after this many seconds."""


class ServeConfig(Section):
    """The Ray Serve application."""

    host: Name = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8000, ge=1, le=65535)
    """HTTP port."""
    adapter: Name = "champion"
    """``champion`` (the registry's), a version number, an adapter's directory, or ``none`` for the bare base."""
    num_replicas: Count = 1
    """Copies of the model."""
    max_batch_size: Count = 8
    """Requests answered together."""
    batch_wait_timeout_s: float = Field(default=0.02, ge=0)
    """How long the first request of a batch waits for others."""
    max_queued_requests: int = Field(default=64, ge=-1, le=2**31 - 1)
    """Requests that may wait; more are refused with 429. -1 is no limit."""
    databases: dict[Name, FilePath] = {}
    """SQLite files that questions may be asked of, by name; opened read-only in the sandbox."""
    max_rows: Count = 100
    """Rows returned at most."""
    timeout_s: float = Field(default=2.0, gt=0)
    """Seconds a query may run."""


class TrackingConfig(Section):
    """Where runs are written down."""

    uri: str | None = None
    """MLflow's tracking URI; None is SQLite at ``output_dir/mlflow.db``."""
    experiment: Name = "t2s"
    """MLflow experiment."""
    registered_model: Name = "t2s"
    """Name of the model in MLflow's registry whose versions are adapters."""
    wandb_project: Name = "t2s"
    """Project for ``training.report_to: wandb``."""


class RayConfig(Section):
    """Which Ray. On a laptop a local one is started and ends with the command."""

    address: str | None = None
    """``auto`` or ``HOST:PORT`` joins a running cluster; None starts a local Ray, unless RAY_ADDRESS is set."""
    num_cpus: Count | None = None
    """CPUs of a local Ray; None is all."""
    worker_cpus: float = Field(default=1, gt=0)
    """CPUs a training worker or a replica takes; a worker runs one thread a CPU."""


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
        passes = training.gradient_accumulation_steps * training.max_workers
        if passes % search.num_workers:
            raise ValueError(
                f"search.num_workers={search.num_workers} does not divide training.gradient_accumulation_steps × "
                f"training.num_workers = {passes}, so that a trial cannot keep the global batch; change one of them"
            )
        if ray.num_cpus and not ray.address and ray.worker_cpus > ray.num_cpus:
            raise ValueError(
                f"ray.worker_cpus={ray.worker_cpus:g} is more than ray.num_cpus={ray.num_cpus}: no worker could start"
            )
        return self
