"""``serve.engine: vllm``: vLLM behind the interface of :class:`t2s.generate.engine.Generator`, for a GPU.

vLLM batches, remembers prefixes and routes adapters by itself. The prompt, the grammar (its backend ``guidance`` is
llguidance too) and the rule where an answer ends are ours. Not covered, and refused: execution-guided decoding, packed
and 4-bit weights, adapters above ``MAX_RANK``. Answers are those of transformers up to what half precision rounds.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from copy import copy
from itertools import count
from pathlib import Path
from typing import Any

from t2s.config import Config, InferenceConfig, PromptConfig
from t2s.errors import AdapterError, ConfigError, DataError, SetupError
from t2s.generate.core import BASE, Generation, Request
from t2s.generate.ends import Ends
from t2s.model.base import BaseFiles
from t2s.prompt import build_prompt
from t2s.sql.extract import extract_sql
from t2s.sql.grammar import grammar_of

MAX_RANK = 64
"""Room for each adapter is made when the engine starts, before it is known which ones will come."""
_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


def check_installed() -> None:
    """Raise a :class:`SetupError` if there is no vLLM."""
    if importlib.util.find_spec("vllm") is None:
        raise SetupError("serve.engine=vllm: vLLM is not installed: pip install 't2s[vllm]', on a machine with a GPU")


def load_generator(config: Config, adapter: Path | None) -> VLLMGenerator:
    """As :func:`t2s.generate.load_generator`."""
    check_installed()
    from vllm import LLM

    from t2s.model.base import find_base
    from t2s.model.load import load_tokenizer

    files = find_base(config.model)
    engine = LLM(**engine_settings(config, files)).llm_engine
    generator = VLLMGenerator(engine, load_tokenizer(files), config.inference, config.prompt, files)
    if adapter is not None:
        generator.attach(None, generator.read_adapter(adapter))
    return generator


def engine_settings(config: Config, files: BaseFiles) -> dict[str, Any]:
    """What ``vllm.LLM`` is started with."""
    from t2s.model.load import plain
    from t2s.model.precision import pick_device, resolve_precision

    return {
        "model": str(plain(files).directory),
        "tokenizer_mode": "hf",  # prompts are tokens of transformers' own; vLLM's of Mistral knows no such grammar
        "dtype": _DTYPES[resolve_precision(config.training.precision, pick_device(config.training.use_gpu))],
        "seed": config.seed,
        "max_num_seqs": config.serve.max_batch_size,
        "enable_lora": True,
        "max_loras": len(config.serve.adapters) + 2,  # serve.adapter, and during a swap its successor
        "max_lora_rank": MAX_RANK,
        "structured_outputs_config": {"backend": "guidance"},
        "trust_remote_code": False,
    }


class VLLMGenerator:
    """A vLLM engine that answers :class:`Request` batches. Not thread-safe: one caller at a time."""

    def __init__(
        self, engine: Any, tokenizer: Any, config: InferenceConfig, prompt: PromptConfig, base: BaseFiles
    ) -> None:
        self.engine, self.tokenizer = engine, tokenizer
        self.config, self.prompt, self.base = config, prompt, base
        self.ends = Ends(tokenizer)
        self._held: dict[str | None, Any] = {}
        self._numbers = count(1)

    def with_inference(self, config: InferenceConfig) -> VLLMGenerator:
        """The same engine under another way of decoding."""
        if config.execution_guided > 1:
            raise ConfigError("serve.engine=vllm decodes no candidates: ask for another regime than guided")
        other = copy(self)
        other.config = config
        return other

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        """Answer every request, in the order given; who goes away leaves between two steps of the engine.

        Raises:
            AdapterError: one asks for an adapter that is not attached.
            DataError: vLLM refuses one, of a prompt that is too long for example.
        """
        from vllm.exceptions import VLLMClientError

        asked = {str(next(self._numbers)): request for request in requests}
        given = [(name, self._tokens(r), self.parameters(r), self._lora(r.adapter)) for name, r in asked.items()]
        said: dict[str, Any] = {}
        try:
            for name, prompt, parameters, lora in given:
                self.engine.add_request(name, prompt, parameters, lora_request=lora)
            while asked:
                said |= {output.request_id: output.outputs[0] for output in self.engine.step()}
                ended = [name for name, request in asked.items() if self._may_end(request, said.get(name))]
                self.engine.abort_request(ended)
                asked = {
                    name: request
                    for name, request in asked.items()
                    if name not in ended and not (name in said and said[name].finish_reason)
                }
        except VLLMClientError as error:  # no ValueError since vLLM has errors of its own
            raise DataError(f"vLLM refuses the question: {_first_line(error)}") from None
        finally:
            self.engine.abort_request(list(asked))  # what an error left there would be written beside the next batch
        return [self._read(said.get(name), len(prompt["prompt_token_ids"])) for name, prompt, *_ in given]

    def parameters(self, request: Request) -> Any:
        """A request in vLLM's terms: greedy, and held to the same grammar."""
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        config, held = self.config, None
        if config.grammar != "none":
            question = request.question if config.values == "span" else None
            held = StructuredOutputsParams(grammar=grammar_of(request.schema, config.grammar, question))
        limit = min(request.max_tokens or config.max_new_tokens, config.max_new_tokens)
        return SamplingParams(temperature=0.0, max_tokens=limit, structured_outputs=held)

    def read_adapter(self, directory: Path) -> Path:
        """As :meth:`t2s.generate.core.HoldsAdapters.read_adapter`; vLLM reads the files itself."""
        from t2s.model.adapter import check_fits, read_manifest
        from t2s.model.lora import plain_settings

        check_fits(read_manifest(directory), directory, self.base, self.prompt)
        rank = plain_settings(directory)["r"]
        if rank > MAX_RANK:
            raise AdapterError(f"adapter {directory}: rank {rank}, and serve.engine=vllm takes up to {MAX_RANK}")
        return directory

    def attach(self, name: str | None, adapter: Path) -> None:
        """As :meth:`t2s.generate.core.HoldsAdapters.attach`; None is what requests without a name get."""
        from vllm.lora.request import LoRARequest

        assert name != BASE and name not in self._held
        number = next(self._numbers)
        request = LoRARequest(f"{name}-{number}", number, str(adapter))  # vLLM knows a prefix by its adapter's name
        try:
            self.engine.add_lora(request)
        except Exception as error:  # fault boundary: what failed in vLLM's own process comes back as a bare Exception
            raise AdapterError(f"adapter {adapter}: vLLM refuses it: {_first_line(error)}") from None
        self._held[name] = request

    def detach(self, name: str) -> None:
        """As :meth:`t2s.generate.core.HoldsAdapters.detach`."""
        self.engine.remove_lora(self._held.pop(name).lora_int_id)

    def _tokens(self, request: Request) -> dict[str, Any]:
        """With its type, as vLLM's renderer would give it: text or bare tokens are deprecated there."""
        prompt = build_prompt(request.question, request.schema, self.prompt)
        return {"type": "token", "prompt_token_ids": self.tokenizer(prompt)["input_ids"]}

    def _may_end(self, request: Request, output: Any) -> bool:
        """Whether vLLM is to stop writing: nobody wants the rest, or it is beyond our end of an answer."""
        if request.should_stop is not None and request.should_stop():
            return True
        return output is not None and not output.finish_reason and self.ends(output.token_ids)

    def _lora(self, name: str | None) -> Any:
        if name not in (None, BASE, *self._held):
            raise AdapterError(f"no adapter {name!r} is attached")
        return self._held.get(name)

    def _read(self, output: Any, num_prompt_tokens: int) -> Generation:
        """Cut where writing would have stopped; what comes after that changes nothing before it."""
        tokens = list(output.token_ids) if output is not None else []
        end = next((n for n in range(1, len(tokens) + 1) if self.ends(tokens[:n])), None)
        text = self.tokenizer.decode(tokens[:end], skip_special_tokens=True)
        finished = end is not None or (output is not None and output.finish_reason == "stop")
        return Generation(extract_sql(text), text, end or len(tokens), finished, num_prompt_tokens)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
