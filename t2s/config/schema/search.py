"""The section of the search."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from t2s.config.schema.section import Count, Name, Section
from t2s.config.schema.space import SettingConfig, SpaceConfig


class SearchConfig(Section):
    """Ray Tune with Optuna: each trial is a short training, and by default a slot beside others on one base."""

    mode: Literal["slots", "workers"] = "slots"
    """``slots``: many adapters train side by side on a base that is loaded once. ``workers``: each trial is a training
    of its own, with ``search.num_workers`` workers, for bases that need several GPUs and for DoRA, PiSSA and OLoRA."""
    slots: Count | None = None
    """Adapters that share one base in ``slots`` mode; None is on a GPU as many as memory carries, at most 8,
    and on a CPU 1: computing several at once saves no time there."""
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
    """How often a trial is measured; the last time when it has trained on all its examples."""
    reduction_factor: int = Field(default=3, ge=2, le=1000)
    """ASHA and Hyperband keep one in this many at each rung that compares (η in the papers)."""
    rung_spacing: Literal["geometric", "even"] = "geometric"
    """``geometric``: each rung ends after ``search.reduction_factor`` times the examples of the one before, and each
    compares. ``even``: all rungs are equally long, and those numbered 1, η, η² and so on compare."""
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
