"""What a search varies, and one point of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from t2s.config.schema.section import MAX_RANK, Count, Init, Name, Schedule, Section

Layers = Annotated[list[Name], Field(min_length=1)]


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
