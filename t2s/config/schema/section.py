"""What all sections of a configuration share: strictness, and the types that several of them use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

FilePath = Annotated[Path, Field(strict=False)]
Name = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
MAX_RANK = 1024
"""Of an adapter, configured or proposed by a search."""
Init = Literal["default", "gaussian", "orthogonal", "pissa", "olora"]
Schedule = Literal["cosine", "linear", "constant", "constant_with_warmup"]


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
