"""A slot host without Ray and without a model: slots are taken, told of, given back, lost and found again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from t2s.config import Config
from t2s.errors import ConfigError, RunError
from t2s.search import host as host_module
from t2s.search.host import SlotHost
from t2s.search.ladder import Ladder
from t2s.search.news import News, SlotLost
from t2s.train.checkpoint import step_of, write_checkpoint

LADDER = Ladder(rungs=3, ex_rungs=0)
CONFIG = Config()
STEPS = 4
"""Passes a rung."""


@dataclass
class CountingEngine:
    """Counts passes instead of training; a slot's loss is 10 / (its number + its rung)."""

    capacity: int = 2
    steps: dict[str, int] = field(default_factory=dict)
    parked: set[str] = field(default_factory=set)
    fail: list[Exception] = field(default_factory=list)

    def open(self, key: str, short: Config, resume: Path | None = None) -> None:
        if short.seed == 13:
            raise ConfigError("thirteen is not allowed")
        assert len(self.steps) < self.capacity and key not in self.steps
        self.steps[key] = step_of(resume) if resume else 0

    def step(self) -> list[Any]:
        time.sleep(0.002)
        if self.fail:
            raise self.fail.pop()
        reached = []
        for key in [key for key in self.steps if key not in self.parked and self.steps[key] < 3 * STEPS]:
            self.steps[key] += 1
            if self.steps[key] % STEPS == 0:
                self.parked.add(key)
                rung = self.steps[key] // STEPS
                metrics = {"eval_loss": 10 / (int(key) + rung)} if key != "7" else {"failed": 1.0}
                reached.append(SimpleNamespace(key=key, rung=rung, step=self.steps[key], metrics=metrics, error=None))
                if key == "7":
                    self.close(key)
        return reached

    def proceed(self, key: str) -> None:
        self.parked.discard(key)

    def close(self, key: str) -> None:
        self.steps.pop(key, None)
        self.parked.discard(key)

    def save(self, key: str, folder: Path) -> Path:
        return write_checkpoint(folder, self.steps[key], {"weights": key.encode()}, {})

    def export(self, key: str, directory: Path, about: dict[str, Any]) -> None:
        directory.mkdir()

    def verdicts(self, key: str, questions: Any) -> list[bool | None]:
        return [self.steps[key] == 3 * STEPS for _ in questions]


@pytest.fixture
def engine() -> CountingEngine:
    return CountingEngine()


@pytest.fixture
def host(engine: CountingEngine, tmp_path: Path) -> SlotHost:
    made = SlotHost("host-0", lambda say: engine, LADDER, tmp_path)
    assert made.ready() == (2, [])
    return made


def wait_for(met: Any, timeout_s: float = 20) -> None:
    end = time.monotonic() + timeout_s
    while not met():
        assert time.monotonic() < end
        time.sleep(0.005)


def follow(host: SlotHost, number: int) -> Iterator[News]:
    while True:
        news = host.next_rung(number, 20)
        assert news is not None
        yield news
        if news.rung == LADDER.rungs:
            return
        host.proceed(number, news.rung)


def test_a_trial_hears_each_rung_once_it_is_on_the_disk_and_waits_until_it_may_go_on(
    host: SlotHost, tmp_path: Path
) -> None:
    assert host.try_open(1, CONFIG)
    first = host.next_rung(1, 20)
    assert first is not None and (first.rung, first.metrics["eval_loss"]) == (1, 5.0)
    assert [path.name for path in (tmp_path / "1").glob("step-*")] == [f"step-{STEPS}"]
    assert host.next_rung(1, 0) == first, "a rung that was not answered is told again"
    assert [news.rung for news in follow(host, 1)] == [1, 2, 3]
    assert [path.name for path in (tmp_path / "1").glob("step-*")] == [f"step-{3 * STEPS}"], "only the newest is kept"
    host.close(1)
    wait_for(lambda: host.status()["free"] == 2)


def test_slots_run_out_and_come_back_at_once(host: SlotHost) -> None:
    assert host.try_open(1, CONFIG) and host.try_open(2, CONFIG) and not host.try_open(3, CONFIG)
    assert host.status()["trials"] == [1, 2]
    host.close(1)
    wait_for(lambda: host.try_open(3, CONFIG))
    with pytest.raises(SlotLost):
        host.next_rung(1, 1)


def test_trials_that_arrive_together_know_of_each_other(host: SlotHost, engine: CountingEngine) -> None:
    engine.parked = {"1", "2"}
    assert host.try_open(1, CONFIG) and host.try_open(2, CONFIG)
    wait_for(lambda: len(engine.steps) == 2)
    engine.parked = set()
    one, two = host.next_rung(1, 20), host.next_rung(2, 20)
    assert one is not None and two is not None
    assert one.peers == [(2, pytest.approx(10 / 3))] and two.peers == [(1, 5.0)]


def test_a_lost_trial_frees_its_slot(host: SlotHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_module, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(host_module, "PARKED_S", 0.2)
    assert host.try_open(1, CONFIG)
    wait_for(lambda: host.status()["free"] == 2)


def test_a_successor_takes_a_trials_slot_over(host: SlotHost) -> None:
    assert host.try_open(1, CONFIG)
    first = host.next_rung(1, 20)
    assert host.try_open(1, CONFIG), "the same trial, in another process"
    assert host.next_rung(1, 20) == first and host.status()["free"] == 1


def test_a_host_that_was_started_anew_goes_on_from_the_last_rung_and_tells_it_again(
    host: SlotHost, tmp_path: Path
) -> None:
    assert host.try_open(1, CONFIG)
    told = host.next_rung(1, 20)
    fresh = CountingEngine()
    anew = SlotHost("host-1", lambda say: fresh, LADDER, tmp_path)
    anew.ready()
    assert anew.try_open(1, CONFIG)
    again = anew.next_rung(1, 20)
    assert told is not None and again is not None
    assert (again.rung, again.metrics) == (told.rung, told.metrics) and fresh.steps["1"] == STEPS
    assert [news.rung for news in follow(anew, 1)] == [1, 2, 3]


def test_damaged_checkpoints_cost_the_trial_its_progress_not_its_life(host: SlotHost, tmp_path: Path) -> None:
    assert host.try_open(1, CONFIG) and host.next_rung(1, 20)
    host.close(1)
    wait_for(lambda: host.status()["free"] == 2)
    (tmp_path / "1" / f"step-{STEPS}" / "weights").write_text("other bytes")
    assert host.try_open(1, CONFIG)
    assert [news.rung for news in follow(host, 1)] == [1, 2, 3]


def test_a_step_that_raises_loses_the_slots_and_not_the_host(host: SlotHost, engine: CountingEngine) -> None:
    assert host.try_open(1, CONFIG) and host.next_rung(1, 20)
    engine.fail.append(RuntimeError("CUDA out of memory"))
    host.proceed(1, 1)
    with pytest.raises(SlotLost):
        for _ in follow(host, 1):
            pass
    assert host.try_open(1, CONFIG)
    assert [news.rung for news in follow(host, 1)] == [1, 2, 3]


def test_a_setting_that_cannot_begin_and_a_loss_that_is_no_number_are_news(host: SlotHost) -> None:
    assert host.try_open(1, CONFIG.model_copy(update={"seed": 13})) and host.try_open(7, CONFIG)
    one, seven = host.next_rung(1, 20), host.next_rung(7, 20)
    assert one is not None and one.error == "thirteen is not allowed"
    assert seven is not None and seven.error == "the loss is no number"


def test_a_host_whose_base_cannot_be_loaded_says_why_to_everybody(tmp_path: Path) -> None:
    def refuse(say: Any) -> Any:
        raise ConfigError("search.slots=9 needs more memory")

    broken = SlotHost("host-0", refuse, LADDER, tmp_path)
    for ask in (broken.ready, broken.status, lambda: broken.try_open(1, CONFIG)):
        with pytest.raises(ConfigError, match="needs more memory"):
            ask()


def test_a_finalist_is_asked_from_its_checkpoint(host: SlotHost, tmp_path: Path) -> None:
    assert host.try_open(1, CONFIG)
    assert [news.rung for news in follow(host, 1)] == [1, 2, 3]
    host.close(1)
    assert host.examine(1, CONFIG, ["a", "b"], tmp_path / "adapter", {}) == [True, True]
    assert (tmp_path / "adapter").is_dir() and host.status()["free"] == 2
    with pytest.raises(RunError, match="is gone"):
        host.examine(5, CONFIG, ["a"], None, {})
