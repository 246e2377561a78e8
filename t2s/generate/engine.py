"""Questions in, SQL out, in batches of like length.

The answer to a question does not depend on its neighbours in the batch (but for ties in the last bits of floating
point). Writing a row ends at the end-of-sequence token, at ``;`` or at a blank line, whichever comes first: a base
model that was never tuned does not stop by itself. A model that does not attend through transformers' standard cache
is left to its own ``generate``, which is slower and knows no grammar-forced tokens.

Each question of a batch may have its own adapter (:mod:`t2s.generate.adapters`); what is remembered of one adapter is
never used for another.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import Any

from t2s.config import InferenceConfig, PromptConfig
from t2s.errors import ConfigError
from t2s.generate.adapters import Adapters
from t2s.generate.batch import is_supported, longest
from t2s.generate.candidates import beam, sample
from t2s.generate.constrained import constraint_for
from t2s.generate.core import Generation, Request
from t2s.generate.decode import Decoder
from t2s.generate.drafts import Drafts
from t2s.generate.ends import Ends
from t2s.generate.guided import Judge
from t2s.generate.prefixes import Prefixes
from t2s.generate.writer import Writer
from t2s.model.adapter import check_fits, read_manifest
from t2s.model.base import BaseFiles
from t2s.model.lora import Lora, read_lora
from t2s.prompt import build_prompt
from t2s.sql.extract import extract_sql

log = logging.getLogger("t2s.generate")


class Generator:
    """A loaded model that answers :class:`Request` batches. Not thread-safe: one caller at a time.

    It remembers schemas and answers of earlier calls, which makes later ones faster and changes no answer. After the
    weights have changed, call :meth:`forget`.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        config: InferenceConfig,
        prompt: PromptConfig,
        base: BaseFiles | None = None,
        adapters: Adapters | None = None,
    ) -> None:
        self.model = model
        self.base = base
        self.adapters = adapters or Adapters(model)
        self.tokenizer = tokenizer
        self.config = config
        self.prompt = prompt
        self.ends = Ends(tokenizer)
        self.decoder = Decoder(model, Prefixes(), Drafts(), self.adapters)
        self.judge = Judge(config.drop_empty)
        self._own_loop = is_supported(model)
        if not self._own_loop:
            log.warning("%s has no standard cache: it answers greedily with its own generate", type(model).__name__)
            _refuse_candidates(config)

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        """Answer every request, in the order given."""
        answers = dict(pair for batch in self.stream(requests) for pair in batch)
        return [answers[position] for position in range(len(requests))]

    def stream(self, requests: Sequence[Request]) -> Iterator[list[tuple[int, Generation]]]:
        """Yield ``(position in requests, answer)`` pairs, a batch at a time, the shortest prompts first."""
        if not requests:
            return
        for name in {request.adapter for request in requests}:
            self.adapters.check(name)
        texts = self.prompts(requests)
        encoded = self.tokenizer(texts)["input_ids"]
        long = self._over_long(encoded)
        if long:
            yield list(long.items())
        shared = self._schema_parts(texts, encoded)
        asked = [i for i in range(len(requests)) if i not in long]
        order = sorted(asked, key=lambda i: (len(shared[i]), shared[i], len(encoded[i])))
        for start in range(0, len(order), self.config.batch_size):
            batch = order[start : start + self.config.batch_size]
            batch.sort(key=lambda i: requests[i].adapter or "")  # an adapter's rows side by side
            answers = self._answer(
                [requests[i] for i in batch], [encoded[i] for i in batch], [shared[i] for i in batch]
            )
            yield list(zip(batch, answers, strict=True))

    def prompts(self, requests: Sequence[Request]) -> list[str]:
        """What the model is given to continue."""
        return [build_prompt(request.question, request.schema, self.prompt) for request in requests]

    def with_inference(self, config: InferenceConfig) -> Generator:
        """The same weights and memory under another way of decoding; one caller at a time for both together.

        Raises:
            ConfigError: candidates, of a model that answers greedily only.
        """
        if not self._own_loop:
            _refuse_candidates(config)
        other = copy(self)
        other.config, other.judge = config, Judge(config.drop_empty)
        return other

    def read_adapter(self, directory: Path) -> Lora:
        """As :meth:`t2s.generate.core.HoldsAdapters.read_adapter`."""
        assert self.base is not None, "a generator that was given a model does not know its base"
        check_fits(read_manifest(directory), directory, self.base, self.prompt)
        return read_lora(directory, self.model.device)

    def attach(self, name: str, adapter: Lora) -> None:
        """As :meth:`t2s.generate.core.HoldsAdapters.attach`."""
        self.adapters.attach(name, adapter)

    def detach(self, name: str) -> None:
        """As :meth:`t2s.generate.core.HoldsAdapters.detach`."""
        self.adapters.detach(name)
        self.decoder.forget(name)

    def forget(self) -> None:
        """Drop what is remembered of schemas: the weights have changed."""
        self.decoder.prefixes.clear()

    def _over_long(self, encoded: Sequence[list[int]]) -> dict[int, Generation]:
        """The prompts that leave no room in the model's context, which would be computed for long, and to no avail."""
        room = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        found = {}
        for i, prompt in enumerate(encoded):
            if room is not None and len(prompt) >= room:
                problem = f"the prompt has {len(prompt)} tokens, and the model's context {room}: ask over fewer columns"
                log.warning("a question is not answered: %s", problem)
                found[i] = Generation("", "", 0, False, len(prompt), problem)
        return found

    def _schema_parts(self, texts: Sequence[str], encoded: Sequence[list[int]]) -> list[tuple[int, ...]]:
        """The tokens of each prompt that any question of the same schema begins with; never all of them."""
        heads = [text.rpartition("\nQUESTION:")[0] for text in texts]  # a question is one line
        distinct = list(dict.fromkeys(heads))
        tokens = dict(zip(distinct, self.tokenizer(distinct)["input_ids"], strict=True))
        return [_common(tokens[head], prompt[:-1]) for head, prompt in zip(heads, encoded, strict=True)]

    def _answer(
        self, requests: Sequence[Request], encoded: Sequence[list[int]], shared: Sequence[tuple[int, ...]]
    ) -> list[Generation]:
        writers = [self.writer(*each) for each in zip(requests, encoded, shared, strict=True)]
        window = longest(self.model) if self._own_loop else 0
        if window is not None and max(map(len, encoded)) + self.config.max_new_tokens > window:
            if self._own_loop:
                log.warning("%d prompts do not fit a window of %d tokens: left to generate", len(encoded), window)
            return self._fall_back(writers)
        if self.config.execution_guided > 1:
            return self._guided(requests, writers, shared)
        self.decoder.write(writers, shared)
        return [self.read(writer) for writer in writers]

    def _guided(
        self, requests: Sequence[Request], writers: Sequence[Writer], shared: Sequence[tuple[int, ...]]
    ) -> list[Generation]:
        size = self.config.execution_guided
        if self.config.candidates == "beam":
            drawn = beam(self.decoder, writers, shared, size)
        else:
            drawn = sample(self.decoder, writers, size)
        candidates = [[(self.read(writer), writer.score) for writer in group] for group in drawn]
        return [self.judge.choose(*each) for each in zip(requests, candidates, strict=True)]

    def writer(self, request: Request, prompt: list[int], shared: tuple[int, ...]) -> Writer:
        """An answer that is not begun."""
        config = self.config
        constraint = constraint_for(self.tokenizer, config.grammar, config.values, request.schema, request.question)
        question = prompt[len(shared) :]
        limit = min(request.max_tokens or config.max_new_tokens, config.max_new_tokens)
        stop = request.should_stop
        made = Writer(prompt, question, limit, self.ends, self._vocabulary(), constraint, should_stop=stop)
        made.adapter = request.adapter
        return made

    def read(self, writer: Writer) -> Generation:
        """What was written, as text and SQL."""
        text = self.tokenizer.decode(writer.written, skip_special_tokens=True)
        return Generation(extract_sql(text), text, len(writer.written), writer.finished, len(writer.prompt))

    def _vocabulary(self) -> int:
        return int(self.model.get_output_embeddings().out_features)

    def _fall_back(self, writers: Sequence[Writer]) -> list[Generation]:
        from t2s.generate.fallback import write

        with self.adapters.writing([writer.adapter for writer in writers]):
            write(self.model, self.tokenizer, writers)
        return [self.read(writer) for writer in writers]


def _refuse_candidates(config: InferenceConfig) -> None:
    """A score must not be called guided that is not."""
    if config.execution_guided > 1:
        raise ConfigError(
            f"inference.execution_guided={config.execution_guided}: this base has no standard cache and answers "
            "greedily only: set inference.execution_guided=1"
        )


def _common(first: Sequence[int], second: Sequence[int]) -> tuple[int, ...]:
    """The longest common beginning."""
    length = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        length += 1
    return tuple(first[:length])
