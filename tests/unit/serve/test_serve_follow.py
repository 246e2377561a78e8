"""The adapter changes under load, or is refused and nothing changes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import serve_rig
from serve_rig import SCHEMA, Rig

from t2s.errors import AdapterError, SetupError
from t2s.registry import ResolvedAdapter
from t2s.serve import follow
from t2s.serve.follow import Follower, is_alias


def resolves_to(monkeypatch: pytest.MonkeyPatch, *versions: str | Exception) -> None:
    answers = iter(versions)

    def resolve(config: object, name: str) -> ResolvedAdapter:
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return ResolvedAdapter(Path(f"/adapters/{found}"), found, f"run{found}")

    monkeypatch.setattr(follow, "resolve_adapter", resolve)


def test_a_swap_under_load_misses_no_question_and_mixes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(tmp_path, "serve.max_batch_size=4")
    resolves_to(monkeypatch, "8")
    ask = {"question": "brief", "schema": SCHEMA}

    async def swap() -> list[tuple[int, str, str]]:
        async with rig.client() as client:
            first = [asyncio.create_task(client.post("/v1/sql", json=ask)) for _ in range(30)]
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            swapped = asyncio.create_task(asyncio.to_thread(Follower(rig.config, rig.engine).look))
            second = [asyncio.create_task(client.post("/v1/sql", json=ask)) for _ in range(30)]
            await swapped
            third = [asyncio.create_task(client.post("/v1/sql", json=ask)) for _ in range(5)]
            done = await asyncio.gather(*first, *second, *third)
            return [(r.status_code, r.json()["sql"], r.json()["adapter"]["version"]) for r in done]

    seen = asyncio.run(swap())
    by_old, by_new = (200, "SELECT 'of /'", "7"), (200, "SELECT 'of /adapters/8'", "8")
    assert set(seen) == {by_old, by_new} and seen[0] == by_old and seen[-5:] == [by_new] * 5


def test_the_next_questions_and_the_metrics_name_the_new_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(tmp_path)
    resolves_to(monkeypatch, "8")
    Follower(rig.config, rig.engine).look()
    for adapter, status in (("8", 200), ("champion", 200), ("7", 404)):
        assert rig.post("/v1/sql", {"question": "x", "schema": SCHEMA, "adapter": adapter}).status_code == status
    assert 'version="8"' in rig.ask("GET", "/metrics").text


def test_a_refused_adapter_leaves_the_old_one_and_says_why_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(tmp_path)
    loads = len(serve_rig.LOADED)
    resolves_to(monkeypatch, AdapterError("version 8 is damaged:\nits hash"), "bad", "bad", "9")
    follower = Follower(rig.config, rig.engine)
    follower.look()
    follower.look()
    follower.look()
    ready = rig.ask("GET", "/readyz").json()
    assert ready["adapter"]["version"] == "7" and ready["problem"] == "bad is of another base"
    assert rig.post("/v1/sql", {"question": "x", "schema": SCHEMA}).json()["adapter"]["version"] == "7"
    assert len(serve_rig.LOADED) == loads and caplog.text.count("stays:") == 2
    follower.look()
    assert rig.ask("GET", "/readyz").json() | {"status": ""} == {
        "status": "",
        "adapter": {"version": "9", "run_id": "run9"},
        "adapters": {"base": {"version": "base", "run_id": None}},
        "problem": None,
    }


def test_a_registry_that_is_back_is_no_problem_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(tmp_path)
    resolves_to(monkeypatch, SetupError("MLflow is away"), "7")
    follower = Follower(rig.config, rig.engine)
    follower.look()
    assert rig.ask("GET", "/readyz").json()["problem"] == "MLflow is away"
    follower.look()
    assert rig.ask("GET", "/readyz").json()["problem"] is None


def test_an_alias_that_goes_back_to_what_is_served_loads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(tmp_path)
    resolves_to(monkeypatch, "bad", "7")
    follower, loads = Follower(rig.config, rig.engine), len(serve_rig.LOADED)
    follower.look()
    follower.look()
    assert len(serve_rig.LOADED) == loads and rig.ask("GET", "/readyz").json()["problem"] is None


def test_what_nobody_expected_is_told_and_following_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that follows must not end of it: nobody would follow any more, and nobody would know."""
    rig = Rig(tmp_path)
    resolves_to(monkeypatch, "8", "8", "9")
    swap, swaps = rig.engine.swap, iter([MemoryError("no room\nfor 8")])

    def may_fail(*given: Any) -> None:
        for error in swaps:
            raise error
        swap(*given)

    monkeypatch.setattr(rig.engine, "swap", may_fail)
    follower = Follower(rig.config, rig.engine)
    for _ in range(2):
        follower.look()
        assert rig.ask("GET", "/readyz").json()["problem"] == "MemoryError no room for 8"
    follower.look()
    ready = rig.ask("GET", "/readyz").json()
    assert ready["adapter"]["version"] == "9" and ready["problem"] is None


@pytest.mark.parametrize(
    ("name", "expected"), [("champion", True), ("none", False), ("12", False), ("runs/a/adapter", False)]
)
def test_only_an_alias_is_followed(name: str, expected: bool) -> None:
    assert is_alias(name) == expected
