"""The journal of a run as a Ray actor on the machine of the command that started it.

The first worker may be on another machine, and MLflow may be slow: workers send a line and go on. The actor owns the
file and the sink; it takes no CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray

from t2s.track.journal import Journal
from t2s.track.sinks import Sink, build_sink


class _JournalActor:
    def __init__(self, path: Path, sink_arguments: dict[str, Any]) -> None:
        sink: Sink | None = build_sink(**sink_arguments)
        self._journal = Journal(path, sink).__enter__()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._journal.log(step, metrics)

    def close(self) -> None:
        self._journal.__exit__(None, None, None)


def start_journal(path: Path, **sink_arguments: Any) -> Any:
    """Start the actor beside the caller; ``sink_arguments`` are :func:`t2s.track.sinks.build_sink`'s."""
    here = ray.get_runtime_context().get_node_id()
    strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(here, soft=False)
    actor = ray.remote(_JournalActor).options(num_cpus=0, scheduling_strategy=strategy)
    return actor.remote(path, sink_arguments)
