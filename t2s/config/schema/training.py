"""The section of the fine-tuning."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from t2s.config.schema.section import Count, Schedule, Section

Precision = Literal["auto", "bf16", "fp16", "fp32"]


def _least_first(workers: list[int]) -> list[int]:
    if workers[0] > workers[1]:
        raise ValueError(f"the first is the least, the second the most, found {workers}")
    return workers


def _ascending(steps: list[int]) -> list[int]:
    if steps != sorted(set(steps)):
        raise ValueError(f"steps ascend, each once, found {steps}")
    return steps


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
    eval_steps: Count | Annotated[list[Count], Field(min_length=1), AfterValidator(_ascending)] | None = None
    """Steps between two measurements of the validation loss; ``[10, 100, 1000]`` measures after these. None measures it
    once, at the end."""
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

    def measured_after(self, steps: int) -> list[int]:
        """The steps of a training of ``steps`` that a measurement follows; the last one always is among them."""
        asked = self.eval_steps or steps
        between = range(asked, steps, asked) if isinstance(asked, int) else [step for step in asked if step < steps]
        return [*between, steps]

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
        first = self.eval_steps[0] if isinstance(self.eval_steps, list) else self.eval_steps
        for name, steps in (("eval_steps", first), ("save_steps", self.save_steps)):
            if steps and 0 < self.max_steps < steps:
                raise ValueError(
                    f"training.{name}={steps} is never reached with training.max_steps={self.max_steps}: "
                    f"lower training.{name}, or leave it out for once at the end"
                )
        return self
