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
Init = Literal["default", "gaussian", "orthogonal", "pissa", "olora"]
Schedule = Literal["cosine", "linear", "constant", "constant_with_warmup"]


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
    init: Init = "default"
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
    lr_scheduler: Schedule = "cosine"
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
    grammar: Literal["none", "wikisql", "select"] = "none"
    """``wikisql`` allows only tokens that continue a WikiSQL query over the question's own table, ``select`` those of a
    read-only SELECT over all tables of the schema (joins, grouping, ordering, subqueries)."""
    values: Literal["free", "span"] = "free"
    """With a grammar: values are any text, or only spans of the question (as all of WikiSQL's are, up to the case of
    letters) and its numbers."""
    execution_guided: Count = 1
    """Candidates for each question; above 1 they run in the sandbox, those that fail are dropped, and the result that
    most agree on is the answer (Wang et al. 2018, arXiv:1807.03100). A regime of its own in every score."""
    candidates: Literal["beam", "sample"] = "beam"
    """How candidates are drawn."""
    drop_empty: bool = False
    """Whether a candidate with an empty result is dropped too."""
    weights: Literal["full", "half"] = "full"
    """For a CPU: ``half`` holds the linear layers packed in 16 bits and multiplies in fp32, which is faster and changes
    hardly an answer."""


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


Layers = Annotated[list[Name], Field(min_length=1)]


class SettingConfig(Section):
    """One point of a search's space; what is None is as configured."""

    r: int | None = Field(default=None, ge=1, le=MAX_RANK)
    """As ``lora.r``."""
    alpha_over_r: float | None = Field(default=None, gt=0)
    """``lora.alpha`` divided by ``lora.r``."""
    learning_rate: float | None = Field(default=None, gt=0, le=1)
    """As ``training.learning_rate``."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """As ``lora.dropout``."""
    target_modules: Layers | Literal["all-linear"] | None = None
    """As ``lora.target_modules``."""
    warmup_ratio: float | None = Field(default=None, ge=0, lt=1)
    """As ``training.warmup_ratio``."""
    weight_decay: float | None = Field(default=None, ge=0)
    """As ``training.weight_decay``."""
    global_batch: Count | None = None
    """Examples an optimizer step."""
    init: Init | None = None
    """As ``lora.init``."""
    lr_scheduler: Schedule | None = None
    """As ``training.lr_scheduler``."""


class SpaceConfig(Section):
    """What the search varies; what is None stays as configured."""

    r: list[int] | None = Field(default=[8, 16, 32], min_length=1)
    """Ranks to choose from."""
    alpha_over_r: list[float] | None = Field(default=[1.0, 2.0, 4.0], min_length=1)
    """LoRA's scale alpha / r to choose from; alpha follows."""
    learning_rate: Range | None = Range(low=1e-4, high=4e-3, log=True)
    """Peak learning rates."""
    dropout: Range | None = None
    """Of the adapter's input."""
    target_modules: list[Layers | Literal["all-linear"]] | None = Field(default=None, min_length=1)
    """Sets of layers to choose from."""
    warmup_ratio: Range | None = None
    """Shares of the steps over which the learning rate rises."""
    weight_decay: Range | None = None
    """AdamW's."""
    global_batch: list[Count] | None = Field(default=None, min_length=1)
    """Examples an optimizer step to choose from; a rung stays the same number of examples."""
    init: list[Init] | None = Field(default=None, min_length=1)
    """How the adapter begins."""
    lr_scheduler: list[Schedule] | None = Field(default=None, min_length=1)
    """How the learning rate falls."""
    function: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")] | None = None
    """``package.module:function`` that draws a setting from an Optuna trial (define-by-run) and returns it by the names
    above; it replaces them."""

    @model_validator(mode="after")
    def _usable(self) -> SpaceConfig:
        """What is proposed must be a valid ``lora`` and ``training`` section."""
        if min(self.r or [1]) < 1 or min(self.alpha_over_r or [1]) <= 0:
            raise ValueError("r and alpha_over_r take positive numbers only")
        if max(self.r or [1]) > MAX_RANK:
            raise ValueError(f"r={max(self.r or [1])} is above {MAX_RANK}, the largest lora.r")
        for name in ("r", "alpha_over_r", "target_modules", "global_batch", "init", "lr_scheduler"):
            # Layers in another order are the same choice.
            choices = [frozenset(one) if isinstance(one, list) else one for one in getattr(self, name) or []]
            if twice := [str(one) for at, one in enumerate(getattr(self, name) or []) if choices[at] in choices[:at]]:
                raise ValueError(f"{name} takes each choice once, and {twice[0]} stands twice")
        return self._within_bounds()

    def _within_bounds(self) -> SpaceConfig:
        rate = self.learning_rate
        if rate is not None and not 0 < rate.low < rate.high <= 1:
            found = f"[{rate.low}, {rate.high}]"
            raise ValueError(f"learning_rate lies above 0 and up to 1, as training.learning_rate does, not in {found}")
        for name, key in (("dropout", "lora.dropout"), ("warmup_ratio", "training.warmup_ratio")):
            share = getattr(self, name)
            if share is not None and not 0 <= share.low < share.high < 1:
                raise ValueError(f"{name} lies in 0 to below 1, as {key} does, not in [{share.low}, {share.high}]")
        if self.weight_decay is not None and self.weight_decay.low < 0:
            raise ValueError(f"weight_decay starts at 0 or above, not at {self.weight_decay.low}")
        return self


class SearchConfig(Section):
    """Ray Tune with Optuna: each trial is a short training, and by default a slot beside others on one base."""

    mode: Literal["slots", "workers"] = "slots"
    """``slots``: many adapters train side by side on a base that is loaded once. ``workers``: each trial is a training
    of its own, with ``search.num_workers`` workers, for bases that need several GPUs and for DoRA, PiSSA and OLoRA."""
    slots: Count | None = None
    """Adapters that share one base in ``slots`` mode; None is as many as memory carries, at most 8."""
    hosts: Count | None = None
    """Processes that each hold a base and its slots; None is one a GPU, or one for each ``ray.worker_cpus`` CPUs that
    the memory carries."""
    num_trials: Count = 8
    """Settings to try; the first is the configured one, so a search never ends worse than none."""
    space: SpaceConfig = SpaceConfig()
    """What is varied."""
    known: list[SettingConfig] = []
    """Known good settings, tried right after the configured one, for example ``[{r: 32, learning_rate: 1e-3}]``; what a
    setting leaves out is as configured."""
    scheduler: Literal["asha", "hyperband", "median", "none"] = "asha"
    """``asha`` stops the worse trials at each rung (Li et al. 2018, arXiv:1810.05934), ``hyperband`` does so with
    several brackets, ``median`` stops what is worse than the median of the others, ``none`` stops nothing."""
    rungs: Count = 3
    """How often a trial is measured, evenly over its examples."""
    reduction_factor: int = Field(default=2, ge=2, le=1000)
    """ASHA and Hyperband keep one in this many at each rung."""
    sampler: Name = "tpe"
    """Optuna's sampler: ``tpe``, ``random``, or the name of one in ``optuna.samplers``, for example ``GPSampler``."""
    sampler_options: dict[str, Any] = {}
    """Keywords for the sampler's constructor."""
    max_train_samples: Count = 512
    """Training examples a trial may use."""
    max_val_samples: Count = 64
    """Validation examples whose loss ranks the trials."""
    ex_rungs: int = Field(default=1, ge=0, le=1000)
    """The last so many rungs rank the trials by execution accuracy, the others by validation loss; 0 is by loss alone,
    as for data without rows to execute on."""
    ex_samples: Count = 64
    """Questions of the validation split asked for execution accuracy: a fixed slice with the share of each category
    that the split has."""
    finalists: Count = 2
    """The best so many of the trials that reached the last rung are compared once more, on
    ``search.final_samples`` questions."""
    final_samples: Count | None = None
    """Validation questions that finalists are asked; None is all of the validation split."""
    finalist_seeds: Count = 1
    """Trainings of each finalist, with different seeds; their mean decides. 1 is the trial's own, more need slots."""
    objectives: Annotated[list[Literal["quality", "adapter_size", "latency"]], Field(min_length=1)] = ["quality"]
    """What Optuna optimises; with more than ``quality`` the search ends in a Pareto table, and the best by quality is
    still the one that is kept."""
    num_workers: Count = 1
    """Workers of each trial in ``workers`` mode; 1 trains in the trial's own process, more are a Ray Train run. The
    global batch stays."""
    max_concurrent_trials: Count | None = None
    """Trials at a time. None is, in slots, as many as there are, but at most a third of the trials or one a host, so
    that later trials learn from earlier ones; in workers, as many as the cluster's CPUs or GPUs carry."""
    time_budget_s: float | None = Field(default=None, gt=0)
    """No new trial starts, and running ones end, after this many seconds."""
    max_examples: Count | None = None
    """Likewise after so many examples, trained over all trials."""

    @model_validator(mode="after")
    def _possible(self) -> SearchConfig:
        """Pairs of keys; a message names both."""
        if self.ex_rungs > self.rungs:
            raise ValueError(f"search.ex_rungs={self.ex_rungs} is more than search.rungs={self.rungs}: lower it")
        if len(set(self.objectives)) < len(self.objectives) or "quality" not in self.objectives:
            raise ValueError(f"search.objectives holds quality, and each once, not {', '.join(self.objectives)}")
        if "latency" in self.objectives and self.ex_rungs == 0:
            raise ValueError("search.objectives: latency is measured where questions are asked: set search.ex_rungs=1")
        if self.mode == "workers" and len(self.objectives) > 1:
            raise ValueError("search.objectives: with search.mode=workers trials report quality alone; drop the rest")
        for key in ("slots", "hosts"):
            if self.mode == "workers" and getattr(self, key) is not None:
                raise ValueError(f"search.{key} has no meaning with search.mode=workers: remove it, or set mode=slots")
        if self.mode == "workers" and self.finalist_seeds > 1:
            raise ValueError(f"search.finalist_seeds={self.finalist_seeds} needs search.mode=slots: set it to 1")
        if self.mode == "slots" and self.num_workers > 1:
            raise ValueError(
                f"search.num_workers={self.num_workers} needs search.mode=workers: in a slot a trial trains alone"
            )
        return self._known_are_varied()

    def _known_are_varied(self) -> SearchConfig:
        for at, known in enumerate(self.known):
            for name in known.model_dump(exclude_none=True):
                if self.space.function is None and getattr(self.space, name) is None:
                    raise ValueError(f"search.known[{at}] sets {name}, which search.space.{name} does not vary: add it")
        return self


class ServeConfig(Section):
    """The Ray Serve application."""

    host: Name = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8000, ge=1, le=65535)
    """HTTP port."""
    adapter: Name = "champion"
    """``champion`` (the registry's), a version number, an adapter's directory, or ``none`` for the bare base."""
    adapters: dict[Name, Name] = {}
    """More adapters on the same base, by the name that a question asks for one by; each as in ``adapter``. The base is
    then held once and unmerged, and questions for different adapters are answered in one batch."""
    engine: Literal["transformers", "vllm"] = "transformers"
    """What runs the model. ``vllm`` is for a GPU and needs ``pip install t2s[vllm]``."""
    num_replicas: Count = 1
    """Copies of the model, always that many."""
    min_replicas: Count | None = None
    """Copies at least, where their number follows the load (``max_replicas``); None is 1."""
    max_replicas: Count | None = None
    """Copies at most: their number then follows the load, in place of ``num_replicas``."""
    max_batch_size: Count = 8
    """Requests answered together."""
    batch_wait_timeout_s: float = Field(default=0.02, ge=0)
    """How long a batch waits for those whose answers have just gone out, so that who asks one question after the other
    goes together again. A model at rest waits for nobody."""
    max_queued_requests: int | None = Field(default=None, ge=-1, le=2**31 - 1)
    """Requests that may wait while others are answered; more are refused with 429. None is one batch a replica, so that
    nobody waits longer than one batch takes; -1 is no limit."""
    max_batch_questions: Count = 64
    """Questions that one ``POST /v1/sql/batch`` may bring."""
    request_timeout_s: float = Field(default=60.0, gt=0)
    """Seconds until a request that has no answer yet is given up and gets 504."""
    follow_s: float = Field(default=30.0, ge=0)
    """Where ``adapter`` is an alias: seconds between looks at the registry, whose newer version replaces the one that
    answers without missing a question. 0 stays with the first."""
    drain_timeout_s: float = Field(default=20.0, ge=0)
    """Seconds that requests under way get to finish when the endpoint stops; new ones get 503 meanwhile."""
    token_file: FilePath | None = None
    """A file of bearer tokens, one a line; who asks must send one. None is the environment's T2S_SERVE_TOKEN."""
    allow_public: bool = False
    """Listen on an address that others can reach although there is no token."""
    databases: dict[Name, FilePath] = {}
    """SQLite and DuckDB files that questions may be asked of, by name; opened read-only in the sandbox."""
    max_rows: Count = 100
    """Rows returned at most."""
    timeout_s: float = Field(default=2.0, gt=0)
    """Seconds a query may run."""

    @property
    def at_once(self) -> int:
        """Questions that all replicas together answer at the same time."""
        return self.max_batch_size * (self.max_replicas or self.num_replicas)

    @property
    def most_under_way(self) -> int | None:
        """Questions that are answered or wait; the next one is refused. None is no limit."""
        if self.max_queued_requests == -1:
            return None
        return self.at_once + (self.at_once if self.max_queued_requests is None else self.max_queued_requests)

    @model_validator(mode="after")
    def _names(self) -> ServeConfig:
        for name in self.adapters:
            if name in ("base", "none", self.adapter) or name.isdigit():
                raise ValueError(
                    f"serve.adapters: the name {name} means something already (base and none the bare base, a number "
                    "a version, serve.adapter itself): choose another"
                )
        return self

    @model_validator(mode="after")
    def _replicas(self) -> ServeConfig:
        least, most = self.min_replicas, self.max_replicas
        if least is not None and most is None:
            raise ValueError("serve.min_replicas goes with serve.max_replicas, which is not set")
        if most is not None and (least or 1) > most:
            raise ValueError(f"serve.min_replicas={least} is more than serve.max_replicas={most}")
        if most is not None and self.num_replicas != 1:
            raise ValueError(
                f"serve.num_replicas={self.num_replicas} is a fixed number, and serve.max_replicas={most} lets it "
                "follow the load: set one of them"
            )
        return self


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
