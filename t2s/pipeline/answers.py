"""The answers of an evaluation, kept side by side while it goes on: a side that has answered is not asked again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from t2s.config import Config
from t2s.evaluate.answers import Answers, answer_all
from t2s.generate.core import Generation, Request
from t2s.generate.regime import describe_decoding
from t2s.model.adapter import weights_hash
from t2s.pipeline.state import write_synced

Ask = Callable[[Config, dict[str, Path | None], Sequence[Request], Callable[[int, int], None] | None], Answers]


@dataclass(frozen=True)
class KeptAnswers:
    """Asks like :func:`t2s.evaluate.answers.answer_all`, one side after the other, and keeps each in ``place``."""

    place: Path
    ask: Ask = answer_all

    def __call__(
        self,
        config: Config,
        adapters: dict[str, Path | None],
        requests: Sequence[Request],
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Answers:
        """One generation a request for each side, in order."""
        found: Answers = {}
        for number, (side, adapter) in enumerate(adapters.items()):
            asked = _fingerprint(config, adapter, requests)
            kept = self._kept(side, asked, len(requests))
            if kept is None:
                told = _counted(on_progress, number, len(adapters))
                kept = self.ask(config, {side: adapter}, requests, told)[side]
                self._keep(side, asked, kept)
            found[side] = kept
        return found

    def file(self, side: str) -> Path:
        """Where a side's answers are kept."""
        return self.place / f"answers-{side}.json"

    def forget(self) -> None:
        """Remove them: ``predictions.jsonl`` holds them now."""
        for path in self.place.glob("answers-*.json*"):
            path.unlink()

    def _kept(self, side: str, asked: str, count: int) -> list[Generation] | None:
        try:
            told = json.loads(self.file(side).read_text("utf-8"))
            if told["asked"] != asked or len(told["answers"]) != count:
                return None
            return [Generation(**answer) for answer in told["answers"]]
        except (OSError, ValueError, KeyError, TypeError):  # damaged, or another version's: the side is asked again
            return None

    def _keep(self, side: str, asked: str, answers: Sequence[Generation]) -> None:
        told: dict[str, Any] = {"asked": asked, "answers": [asdict(answer) for answer in answers]}
        write_synced(self.file(side), json.dumps(told))


def _counted(on_progress: Callable[[int, int], None] | None, before: int, sides: int) -> Callable[[int, int], None]:
    """Progress over all sides, of one of them."""

    def count(done: int, total: int) -> None:
        if on_progress is not None:
            on_progress(before * total + done, sides * total)

    return count


def _fingerprint(config: Config, adapter: Path | None, requests: Sequence[Request]) -> str:
    """Of who answers what, and how."""
    digest = hashlib.sha256()
    weights = weights_hash(adapter) if adapter else "base"
    decoding = json.dumps(describe_decoding(config.inference), sort_keys=True) + str(config.inference.max_new_tokens)
    for part in (
        weights,
        config.model.name,
        decoding,
        config.prompt.model_dump_json(),
        config.quantization.model_dump_json(),
    ):
        digest.update(part.encode())
    for request in requests:
        digest.update(repr((request.question, request.schema)).encode())
    return digest.hexdigest()
