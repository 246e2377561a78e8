"""Several adapters in one replica: who answers whom, in which batch, and what happens when one of them changes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import serve_rig
from serve_rig import SCHEMA, Rig

from t2s.config import load
from t2s.errors import AdapterError, ConfigError
from t2s.registry import ResolvedAdapter
from t2s.serve import engine, follow
from t2s.serve.follow import Follower

OTHERS = "serve.adapters={small: '3', twin: '7', new: challenger, plain: none}"


class Registry:
    """Names to versions, in the place of MLflow's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
        self.versions = versions
        for module in (engine, follow):
            monkeypatch.setattr(module, "resolve_adapter", self.resolve)

    def resolve(self, config: object, name: str) -> ResolvedAdapter:
        if name == "none":
            return ResolvedAdapter(None, "none", None)
        version = self.versions.get(name, name)
        if version == "damaged":
            raise AdapterError("its hash differs")
        return ResolvedAdapter(Path(f"/adapters/{version}"), version, f"run{version}")


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    return Registry(monkeypatch, champion="7", challenger="8")


@pytest.fixture
def many(tmp_path: Path, registry: Registry) -> Rig:
    return Rig(tmp_path, OTHERS)


def brief(rig: Rig, adapter: str | None) -> tuple[str, str]:
    """Who wrote, and who the answer says wrote."""
    answered = rig.post("/v1/sql", {"question": "brief", "schema": SCHEMA, "adapter": adapter}).json()
    return answered["sql"].removeprefix("SELECT 'of ").rstrip("'"), answered["adapter"]["version"]


@pytest.mark.parametrize(
    ("adapter", "writer", "version"),
    [
        (None, "/", "7"),
        ("champion", "/", "7"),
        ("7", "/", "7"),
        ("small", "/adapters/3", "3"),
        ("3", "/adapters/3", "3"),
        ("twin", "/", "7"),
        ("new", "/adapters/8", "8"),
        ("8", "/adapters/8", "8"),
        ("base", "/base", "base"),
        ("plain", "/base", "none"),
    ],
)
def test_a_question_is_answered_by_the_adapter_that_it_names(
    many: Rig, adapter: str | None, writer: str, version: str
) -> None:
    assert brief(many, adapter) == (writer, version)


def test_an_adapter_that_is_not_there_is_404_and_the_line_says_who_is(many: Rig) -> None:
    refused = many.post("/v1/sql", {"question": "x", "schema": SCHEMA, "adapter": "4"})
    assert refused.status_code == 404
    assert refused.json()["error"] == "no adapter '4' here; serving: 7 = champion, small, twin, new, plain, base"


def test_questions_for_different_adapters_are_generated_in_one_batch(many: Rig) -> None:
    names = [None, "small", "base", "new", "small"]

    async def ask() -> list[Any]:
        async with many.client() as client:
            bodies = [{"question": "brief", "schema": SCHEMA, "adapter": name} for name in names]
            return await asyncio.gather(*(client.post("/v1/sql", json=body) for body in bodies))

    answered = [response.json() for response in asyncio.run(ask())]
    assert [each["adapter"]["version"] for each in answered] == ["7", "3", "base", "8", "3"]
    assert max(map(len, many.rules.batches)) > 1 and len(many.rules.batches) < len(names)


def test_the_openai_routes_list_the_adapters_and_ask_them(many: Rig) -> None:
    listed = [model["id"] for model in many.ask("GET", "/v1/models").json()["data"]]
    assert listed == ["t2s", "t2s@7", "t2s@small", "t2s@twin", "t2s@new", "t2s@plain", "t2s@base"]
    messages = [{"role": "system", "content": SCHEMA}, {"role": "user", "content": "brief"}]
    for model, version in (("t2s@small", "3"), ("t2s@base", "base"), ("t2s", "7")):
        done = many.post("/v1/chat/completions", {"model": model, "messages": messages}).json()
        assert done["t2s"]["adapter"]["version"] == version


def test_who_else_answered_does_not_change_what_health_and_metrics_name(many: Rig) -> None:
    assert brief(many, "small")[1] == "3"
    assert many.ask("GET", "/healthz").json()["adapter"]["version"] == "7"
    assert 'version="7"' in many.ask("GET", "/metrics").text
    others = many.ask("GET", "/readyz").json()["adapters"]
    assert {name: info["version"] for name, info in others.items()} == {
        "base": "base",
        "small": "3",
        "twin": "7",
        "new": "8",
        "plain": "none",
    }


def test_an_alias_moves_without_a_second_copy_of_the_base_and_the_others_stay(many: Rig, registry: Registry) -> None:
    loads, follower = len(serve_rig.LOADED), Follower(many.config, many.engine)
    registry.versions["champion"] = "9"
    follower.look()
    assert [brief(many, name)[1] for name in (None, "twin", "small", "new")] == ["9", "7", "3", "8"]
    registry.versions["challenger"] = "10"
    follower.look()
    assert [brief(many, name) for name in ("new", None)] == [("/adapters/10", "10"), ("/adapters/9", "9")]
    assert len(serve_rig.LOADED) == loads
    assert set(many.rules.held) == {None, "base", "3", "7", "9", "10"}  # 8 has no name any more


def test_a_refused_version_keeps_the_old_one_and_the_problem_names_the_alias(many: Rig, registry: Registry) -> None:
    registry.versions["challenger"] = "damaged"
    follower = Follower(many.config, many.engine)
    follower.look()
    assert brief(many, "new")[1] == "8"
    assert many.ask("GET", "/readyz").json()["problem"] == "new: its hash differs"
    registry.versions["challenger"] = "bad"
    follower.look()
    assert many.ask("GET", "/readyz").json()["problem"] == "new: bad is of another base"
    registry.versions["challenger"] = "11"
    follower.look()
    assert brief(many, "new")[1] == "11" and many.ask("GET", "/readyz").json()["problem"] is None


@pytest.mark.parametrize(("version", "line"), [("bad", "another base"), ("damaged", "serve.adapters.new: its hash")])
def test_a_bad_adapter_beside_a_good_one_is_refused_before_traffic(
    tmp_path: Path, registry: Registry, version: str, line: str
) -> None:
    registry.versions["challenger"] = version
    with pytest.raises(AdapterError, match=line):
        Rig(tmp_path, OTHERS)


def test_one_adapter_alone_answers_for_the_base_too(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    assert brief(rig, "base") == ("/base", "base") and brief(rig, None)[1] == "7"


def load_one_only(config: object, adapter: Path | None) -> Any:
    rules = serve_rig.Rules(adapter or Path("/"))
    return type("OneOnly", (), {"generate": rules.generate, "with_inference": rules.with_inference})()


def test_an_engine_that_holds_one_adapter_says_so(tmp_path: Path, registry: Registry) -> None:
    alone = ResolvedAdapter(Path("/adapters/7"), "7", None)
    with pytest.raises(ConfigError, match=r"serve\.adapters: OneOnly holds one adapter"):
        engine.Engine(load([], [OTHERS]), alone, f"{__name__}:load_one_only")
    rig = Rig(tmp_path)
    rig.engine = engine.Engine(load([], []), alone, f"{__name__}:load_one_only")
    rig.service._model.engine = rig.engine  # type: ignore[attr-defined]
    assert rig.post("/v1/sql", {"question": "brief", "schema": SCHEMA, "adapter": "base"}).status_code == 404


@pytest.mark.parametrize("name", ["base", "none", "champion", "12"])
def test_a_name_that_means_something_already_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"serve\.adapters: the name {name} means something already"):
        load([], [f"serve.adapters={{'{name}': '3'}}"])
