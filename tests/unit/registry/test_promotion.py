"""What moves the champion, what does not, and what stands on the versions afterwards; against a real MLflow."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from versions_on_disk import sha

from t2s.config import Config
from t2s.errors import AdapterError, ConfigError, DataError
from t2s.gate import Gate
from t2s.registry import find_adapter, promote, register, resolve_adapter, roll_back
from t2s.registry.store import open_store

MakeRun = Callable[..., Path]
GOOD, BAD = "1111111100", "0000000000"


def tags(config: Config, number: int) -> dict[str, str]:
    with open_store(config) as store:
        return store.tags(store.numbered(number))


def champion(config: Config) -> str | None:
    found = find_adapter(config, "champion")
    return found.version if found else None


def crown(config: Config, run_dir: Path, why: str = "a test") -> int:
    """Register and force."""
    number = register(config, run_dir, None).number
    assert promote(config, number, force=why).promoted
    return number


def test_a_version_says_what_it_is_in_a_folder_of_its_own(config: Config, make_run: MakeRun) -> None:
    run_dir = make_run("one", tuned=GOOD, base=BAD, sha256={"tuned": sha("one")})
    (run_dir / "config.yaml").write_text("seed: 7\n")
    version = register(config, run_dir, None)
    with open_store(config) as store, store.file(version, "version.json") as file:
        assert file is not None
        record = json.loads(file.read_text())
        listed = {each.path.rpartition("/")[2] for each in store.client.list_artifacts(version.run_id, version.folder)}
    assert listed == {"adapter", "version.json", "predictions.jsonl", "evaluation.json"}
    assert record["base"] == {"name": "tiny", "fingerprint": "f00"} and record["data"]["fingerprint"] == "d00"
    assert record["prompt_regime"] == "schema-only/1" and record["decoding"]["name"] == "greedy, grammar none"
    assert record["scores"]["ex"] == "0.8000" and record["config"] == {"seed": 7}
    shown = tags(config, 1)
    assert (shown["ex"], shown["base_fingerprint"], shown["data_fingerprint"]) == ("0.8000", "f00", "d00")
    assert shown["decoding"] == "greedy, grammar none" and shown["prompt_regime"] == "schema-only/1"


def test_the_next_adapter_of_the_same_run_leaves_the_first_one_as_it_was(config: Config, make_run: MakeRun) -> None:
    first = register(config, make_run("one"), None)
    second = register(config, make_run("two"), first.run_id)
    assert (second.number, second.run_id) == (2, first.run_id)
    paths = [resolve_adapter(config, number).path for number in ("1", "2")]
    assert [path and (path / "adapter_model.safetensors").read_bytes() for path in paths] == [b"one", b"two"]


def test_the_gate_asks_for_a_p_and_for_a_gain(config: Config, make_run: MakeRun) -> None:
    number = register(config, run_dir := make_run("one", tuned="11111" + "0" * 5, base=BAD), None).number
    refused = promote(config, number, run_dir)
    assert not refused.promoted and refused.p_value == pytest.approx(2 / 2**5) and "p ≤ 0.05" in refused.reason
    refused = promote(config, number, run_dir, gate=Gate(max_p=0.1, min_gain=60))
    assert not refused.promoted and "by 60 points or more" in refused.reason
    assert tags(config, 1)["promotion"] == "refused" and tags(config, 1)["promotion_gain"] == "+50.0"
    assert champion(config) is None
    assert promote(config, number, run_dir, gate=Gate(max_p=0.1, min_gain=50)).promoted
    assert tags(config, 1)["promotion"] == "promoted" and "+50.0 points" in tags(config, 1)["promotion_reason"]


def test_a_worse_challenger_is_refused_however_sure_the_test_is(config: Config, make_run: MakeRun) -> None:
    number = register(config, run_dir := make_run("one", tuned=BAD, base=GOOD), None).number
    assert not promote(config, number, run_dir, gate=Gate(max_p=1)).promoted


@pytest.mark.parametrize(("p", "gain"), [(0, 0), (1.5, 0), (float("nan"), 0), (0.05, -1), (0.05, float("nan"))])
def test_an_impossible_gate_is_refused(p: float, gain: float) -> None:
    with pytest.raises(ConfigError, match="must be"):
        Gate(p, gain)


def test_the_champions_answers_beside_the_challengers_are_the_ones_that_count(
    config: Config, make_run: MakeRun
) -> None:
    crown(config, make_run("old", tuned=GOOD, base=BAD))
    sides: dict[str, Any] = {"tuned": GOOD, "base": BAD, "champion": BAD}
    fresh = make_run("new", **sides, sha256={"tuned": sha("new"), "champion": sha("old")})
    decision = promote(config, register(config, fresh, None).number, fresh)
    assert decision.promoted and decision.against == "champion version 1" and "8 won and 0 lost" in decision.reason
    stale = make_run("newer", **sides, sha256={"tuned": sha("newer"), "champion": sha("old")})
    decision = promote(config, register(config, stale, None).number, stale)  # old is not the champion any more
    assert decision.against == "champion version 2" and "0 won and 0 lost" in decision.reason


@pytest.mark.parametrize(
    ("setting", "said"),
    [({"prompt_regime": "ddl/1"}, "another prompt regime"), ({"decoding": {"name": "guided"}}, "another decoding")],
)
def test_answers_to_another_prompt_or_decoding_are_no_comparison(
    config: Config, make_run: MakeRun, setting: dict[str, Any], said: str
) -> None:
    crown(config, make_run("old", tuned=BAD, base=BAD, sha256={"tuned": sha("old")}))
    other = make_run("new", tuned=GOOD, base=BAD, sha256={"tuned": sha("new")}, setting=setting)
    decision = promote(config, register(config, other, None).number, other)
    assert not decision.promoted and said in decision.reason and decision.p_value is None


def test_an_evaluation_of_another_adapter_is_refused(config: Config, make_run: MakeRun) -> None:
    number = register(config, make_run("one"), None).number
    for name, sha256 in (("other", {"tuned": sha("other")}), ("nobody", {})):
        with pytest.raises(DataError, match="not this version"):
            promote(config, number, make_run(name, tuned=GOOD, base=BAD, sha256=sha256))
    assert champion(config) is None


def test_a_force_needs_a_reason_which_stays_on_the_version(config: Config, make_run: MakeRun) -> None:
    number = register(config, make_run("one"), None).number
    with pytest.raises(ConfigError, match="reason"):
        promote(config, number, force=" \n ")
    crown(config, make_run("two"), "the first one\nleaks " + "x" * 600)
    told = tags(config, 2)["promotion_reason"]
    assert told.startswith("forced, without a test: the first one leaks x") and len(told) < 600


def test_damaged_files_never_become_the_champion(config: Config, make_run: MakeRun) -> None:
    number = register(config, make_run("one"), None).number
    path = resolve_adapter(config, str(number)).path
    assert path is not None
    (path / "adapter_model.safetensors").write_bytes(b"0ne")
    with pytest.raises(AdapterError, match="SHA-256"):
        promote(config, number, force="why")
    manifest = json.loads((path / "t2s_adapter.json").read_text())
    manifest["files"]["adapter_model.safetensors"] = sha("0ne")  # whole, and not what was registered
    (path / "t2s_adapter.json").write_text(json.dumps(manifest))
    with pytest.raises(AdapterError, match="not those that were registered"):
        promote(config, number, force="why")
    assert champion(config) is None


def test_a_roll_back_is_one_step_and_the_next_one_another(config: Config, make_run: MakeRun) -> None:
    with pytest.raises(AdapterError, match="no adapters yet"):
        roll_back(config)
    for name in ("one", "two", "three"):
        crown(config, make_run(name))
    done = roll_back(config, "three is slow")
    assert (done.version, done.was) == (2, 3) and champion(config) == "2"
    assert tags(config, 3)["promotion_reason"] == "rolled back to version 2: three is slow"
    assert tags(config, 2)["restored_from"] == "3"
    roll_back(config)
    assert champion(config) == "1"
    with pytest.raises(AdapterError, match="first champion"):
        roll_back(config)
    assert champion(config) == "1"


def test_a_roll_back_after_there_and_back_again_does_not_go_in_circles(config: Config, make_run: MakeRun) -> None:
    first, second = crown(config, make_run("one")), crown(config, make_run("two"))
    assert promote(config, first, force="again").promoted
    assert [roll_back(config).version for _ in range(2)] == [second, first]
    with pytest.raises(AdapterError, match="first champion"):
        roll_back(config)
