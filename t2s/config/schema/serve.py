"""The section of the endpoint."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from t2s.config.schema.section import Count, FilePath, Name, Section


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
