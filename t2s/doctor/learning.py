"""What is learned from and with: base, tokenizer, data, and the adapter that would be served."""

from __future__ import annotations

from t2s.doctor.check import SAMPLE, Check, Subject, passed, warned
from t2s.errors import AdapterError, SetupError


def model(subject: Subject) -> Check:
    """The base is here."""
    base = subject.base
    return passed(f"{base.name} in {base.directory} ({base.fingerprint})")


def tokenizer(subject: Subject) -> Check:
    """It ends an example in one end token, which is a label."""
    from t2s.prompt import build_completion, build_prompt
    from t2s.sql.schema import parse_schema
    from t2s.train.preflight import check_tokens

    found = subject.tokenizer
    schema = parse_schema("TABLE: employees ( id (real), name (text) )")
    prompt = build_prompt("Who?", schema, subject.config.prompt)
    check_tokens(found, [(prompt, build_completion('SELECT "name" FROM "employees"'))])
    same = found.pad_token_id == found.eos_token_id
    more = "; pad is the same token, so labels are masked by position" if same else ""
    return passed(f"ends with {found.eos_token!r}{more}")


def data(subject: Subject) -> Check:
    """Every line is read."""
    train, val, test = subject.splits
    return passed(f"{subject.config.data.pipeline}: {len(train)} train, {len(val)} val, {len(test)} test")


def tokens(subject: Subject) -> Check:
    """The checks that a training begins with, on questions of the data and with the layers that get an adapter."""
    from t2s.data.sampling import sample
    from t2s.model.skeleton import adapted_layers, build_skeleton
    from t2s.train.preflight import check_tokens, find_unwritable
    from t2s.train.texts import to_text

    config, found = subject.config, subject.tokenizer
    adapted_layers(build_skeleton(subject.base), config.lora)
    texts = [to_text(example, config.prompt) for example in sample(subject.splits[0], SAMPLE, config.seed)]
    examples = check_tokens(found, texts)
    limit, longest = config.training.max_length, max(map(len, examples))
    cut = sum(len(example) > limit for example in examples)
    lost = len(find_unwritable(found, texts, examples))
    said = f"{len(examples)} examples end in one {found.eos_token!r}, a label; the longest has {longest} tokens"
    if cut:
        said += f"; {cut} are over training.max_length={limit} and would be left out"
    if lost:
        said += f"; {lost} queries are not given back letter by letter"
    if cut > len(examples) // 100 or lost > len(examples) // 100:
        return warned(said, "raise training.max_length" if cut > lost else "use another tokenizer")
    return passed(said)


def adapter(subject: Subject) -> Check:
    """What ``t2s serve`` and ``infer`` would answer with: whole, unchanged, and of this base and prompt."""
    from t2s.doctor.services import has_store
    from t2s.model.adapter import check_fits, read_manifest
    from t2s.registry import CHAMPION, resolve_adapter
    from t2s.serve.beside import check_beside

    config = subject.config
    name = config.serve.adapter
    none_yet = warned("no champion yet", "t2s train --promote, or t2s quickstart; serve.adapter=none serves the base")
    if name == CHAMPION and not has_store(config):
        return none_yet
    try:
        resolved = resolve_adapter(config, name)
    except SetupError as error:  # MLflow is away, which has a check of its own
        return warned(f"serve.adapter={name} is not known: {error}", "see tracking")
    except AdapterError as error:
        if name == CHAMPION and "not in registry" in str(error):
            return none_yet
        raise
    if resolved.path is not None:
        check_fits(read_manifest(resolved.path), resolved.path, subject.base, config.prompt)
    check_beside(config, resolved, subject.base)
    if resolved.path is None:
        return warned(f"serve.adapter={name}: the bare base", "t2s train, then serve.adapter=champion")
    more = f"; so are {len(config.serve.adapters)} beside it" if config.serve.adapters else ""
    return passed(f"{name} is {resolved.version or resolved.path.name} in {resolved.path}: whole, of this base{more}")
