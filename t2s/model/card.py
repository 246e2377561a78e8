"""The model card of an exported adapter: what it is, how it was made, how good it is, what it cannot do.

Only what is known stands in it; what is not is said to be not known.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined

from t2s.model.base import BaseFiles

UNKNOWN = "not known"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_TEMPLATE = """\
---
{{ front }}---

# {{ title }}

A LoRA adapter that makes {{ base }} write SQL from a question and a table's schema.

## Base

| | |
| --- | --- |
{% for name, value in base_rows -%}
| {{ name }} | {{ value | cell }} |
{% endfor %}
## Training

| | |
| --- | --- |
{% for name, value in training_rows -%}
| {{ name }} | {{ value | cell }} |
{% endfor %}
{% if settings -%}
The settings that make the numbers:

```yaml
{{ settings }}```
{% else -%}
The settings of the training are {{ unknown }}.
{% endif %}
## Scores

{% if scores -%}
{{ scores.about }}

| category | questions |{% for side in scores.sides %} EX {{ side }} | LF {{ side }} |{% endfor %}
{# -#}
| --- | ---: |{% for side in scores.sides %} ---: | ---: |{% endfor %}
{% for row in scores.rows -%}
| {{ row.category | cell }} | {{ row.n }} |{% for value in row.cells %} {{ value }} |{% endfor %}
{% endfor %}
EX: the answer returns what the gold query returns. LF: it is the same logical form. In percent, 95% Wilson intervals in
parentheses; an answer that does not parse, fails or times out is wrong.
{% else -%}
How good this adapter is is {{ unknown }}: it was exported without an evaluation.
{% endif %}
## Limits

- It was trained on one kind of questions and schemas; on others expect less than the scores above.
- It sees the schema{{ " and sample values" if shows_values else ", never a row" }}: a value that must be spelled as the
  table spells it has to stand in the question.
- A query that runs may still be the wrong query. What it writes is not to be trusted: run it read-only, with limits.
- It is right on this base only, in the prompts that it was trained on (`{{ regime }}`).

## Licence

{{ licence_text }}

## Use

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer{{ ", BitsAndBytesConfig" if four_bits }}

base = "{{ loadable }}"{{ "" if is_hub else "  # a directory with the base of the fingerprint above" }}
tokenizer = AutoTokenizer.from_pretrained(base)
{% if four_bits -%}
# It was trained on these 4-bit weights; on full ones its answers may differ.
held = BitsAndBytesConfig(
    load_in_4bit=True, bnb_4bit_quant_type="{{ four_bits }}", bnb_4bit_use_double_quant={{ double_quant }}
)
model = AutoModelForCausalLM.from_pretrained(base, quantization_config=held)
{% else -%}
model = AutoModelForCausalLM.from_pretrained(base)
{% endif -%}
model = PeftModel.from_pretrained(model, "path/to/this/directory")

prompt = {{ prompt_example }}
ids = tokenizer(prompt, return_tensors="pt")
answer = model.generate(**ids, max_new_tokens=96, do_sample=False)
print(tokenizer.decode(answer[0, ids["input_ids"].shape[1]:], skip_special_tokens=True))
```

With t2s, which also checks the files' SHA-256 against `t2s_adapter.json`:
`t2s infer --adapter-path DIRECTORY --interactive model.name={{ loadable }}`
"""


def is_hub_name(name: str) -> bool:
    """Whether ``name`` can be a repository of a hub, ``owner/name``, and is no path."""
    return bool(_HUB_NAME.fullmatch(name)) and not Path(name).exists()


def render_card(
    manifest: dict[str, Any],
    lora: dict[str, Any],
    settings: dict[str, Any] | None,
    evaluation: dict[str, Any] | None,
    licence: str | None,
    prompt_example: str,
) -> str:
    """The card as Markdown with YAML front matter.

    ``lora`` is PEFT's configuration, ``settings`` the sections of the run's configuration that make its numbers,
    ``evaluation`` an ``evaluation.json``; each may be absent where it may be None.
    """
    name = str(manifest["base"].get("name", UNKNOWN))
    hub, form = is_hub_name(name), manifest["base"].get("form")
    shown = name if hub else Path(name).name
    environment = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    environment.filters["cell"] = _cell
    return environment.from_string(_TEMPLATE).render(
        front=_front_matter(name if hub else None, licence, manifest),
        title=f"Text-to-SQL adapter for {shown.rsplit('/', 1)[-1]}",
        base=shown,
        base_rows=_base_rows(manifest, shown),
        training_rows=_training_rows(manifest, lora),
        settings=yaml.safe_dump(settings, sort_keys=False, allow_unicode=True) if settings else "",
        scores=_scores(evaluation) if evaluation else None,
        shows_values="value" in str(manifest.get("prompt_regime")),
        regime=manifest.get("prompt_regime", UNKNOWN),
        licence_text=_licence_text(licence, shown),
        loadable=shown if hub else f"path/to/{shown}",
        is_hub=hub,
        four_bits=form if form in ("nf4", "fp4") else "",
        double_quant=(settings or {}).get("quantization", {}).get("double_quant", True),
        prompt_example=json.dumps(prompt_example),
        unknown=UNKNOWN,
    )


def licence_of(files: BaseFiles) -> str | None:
    """What the base's own files say: the card's front matter, or the field of a GGUF file."""
    card = files.directory / "README.md"
    if card.is_file():
        parts = card.read_text("utf-8", errors="replace").split("---", 2)
        front = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else None
        if isinstance(front, dict) and isinstance(front.get("license"), str):
            return str(front["license"])
    if files.gguf is not None:
        from gguf import GGUFReader

        field = GGUFReader(files.directory / files.gguf).get_field("general.license")
        if field is not None:
            return str(field.contents())
    return None


def _front_matter(base: str | None, licence: str | None, manifest: dict[str, Any]) -> str:
    """The hub's metadata; without a base that the hub knows, the key is left out, since it must name one."""
    pipeline = manifest.get("data", {}).get("pipeline")
    front: dict[str, Any] = {"library_name": "peft", "pipeline_tag": "text-generation"}
    if base:
        front["base_model"] = base
    if licence:
        front["license"] = licence
    tags = ["text-to-sql", "lora", "t2s", *(["wikisql"] if pipeline == "wikisql" else [])]
    return yaml.safe_dump(front | {"tags": tags, "language": ["en"]}, sort_keys=False, allow_unicode=True)


def _base_rows(manifest: dict[str, Any], shown: str) -> list[tuple[str, Any]]:
    base = manifest["base"]
    return [
        ("name", shown),
        ("fingerprint", base.get("fingerprint", UNKNOWN)),
        ("weights in training", base.get("form", UNKNOWN)),
    ]


def _training_rows(manifest: dict[str, Any], lora: dict[str, Any]) -> list[tuple[str, Any]]:
    data = manifest.get("data", {})
    kinds = [name for key, name in (("use_rslora", "rsLoRA"), ("use_dora", "DoRA")) if lora.get(key)]
    targets = lora.get("target_modules", UNKNOWN)
    return [
        ("data", data.get("pipeline", UNKNOWN)),
        ("data hash", data.get("fingerprint", UNKNOWN)),
        ("examples", data.get("train", UNKNOWN)),
        ("optimizer steps", manifest.get("steps", UNKNOWN)),
        ("run", manifest.get("run", UNKNOWN)),
        ("prompts", manifest.get("prompt_regime", UNKNOWN)),
        ("adapter", " ".join(["LoRA", *kinds, f"rank {lora.get('r')}, alpha {lora.get('lora_alpha')}"])),
        ("layers", ", ".join(sorted(targets)) if isinstance(targets, list) else targets),
    ]


def _scores(evaluation: dict[str, Any]) -> dict[str, Any]:
    data, rows = evaluation["data"], evaluation["table"]
    sides = [side for side in ("base", "tuned") if rows[-1]["lf"].get(side)]
    about = (
        f"On {data['n']} questions of {data['pipeline']} {data['split']} (data hash {data['fingerprint']}), "
        f"{_decoding(evaluation)}, prompts {evaluation.get('prompt_regime', UNKNOWN)}."
    )
    table = [
        {
            "category": row["category"].replace("_", " "),
            "n": row["n"],
            "cells": [_score(row[metric].get(side)) for side in sides for metric in ("ex", "lf")],
        }
        for row in rows
    ]
    return {"about": about, "sides": sides, "rows": table}


def _decoding(evaluation: dict[str, Any]) -> str:
    decoding = evaluation.get("decoding", {})
    if "name" in decoding:
        return str(decoding["name"])
    grammar = decoding.get("grammar", UNKNOWN)
    return f"{'greedy' if decoding.get('greedy') else 'decoding ' + UNKNOWN}, grammar {grammar}"


def _score(cell: dict[str, Any] | None) -> str:
    if not cell:
        return UNKNOWN
    return f"{100 * cell['accuracy']:.1f} ({100 * cell['low']:.1f}–{100 * cell['high']:.1f})"


def _licence_text(licence: str | None, base: str) -> str:
    if licence is None:
        return f"The licence of {base} is {UNKNOWN} here; an adapter is of use with its base only, whose terms apply."
    return f"{licence}. The base's terms apply to what is made from it; the data's may too."


def _cell(value: Any) -> str:
    """A value inside a Markdown table, on one line."""
    return re.sub(r"\s+", " ", str(value)).replace("|", "\\|")
