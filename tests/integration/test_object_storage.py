"""Data and a model out of an S3 (moto's server): what is there is copied once, and named when it cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow_rig import BUCKET, Bucket
from tiny_model import save_tiny_model

from t2s.config import load
from t2s.data.example import write_example
from t2s.data.pipelines import build_pipeline
from t2s.errors import DataError, SetupError
from t2s.model import base
from t2s.runtime import pin_paths


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    folder = tmp_path_factory.mktemp("s3")
    made = Bucket(folder)
    write_example(folder / "shop")
    save_tiny_model(folder / "tiny")
    for file in sorted(file for name in ("shop", "tiny") for file in (folder / name).rglob("*") if file.is_file()):
        made.client.upload_file(str(file), BUCKET, f"team/{file.relative_to(folder)}")
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def keys(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("AWS_ENDPOINT_URL", bucket.url), ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "tests"), ("AWS_SECRET_ACCESS_KEY", "tests"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)


def settings(tmp_path: Path, path: str) -> list[str]:
    return ["data.pipeline=jsonl", f"data.path=s3://{BUCKET}/{path}", f"data.cache_dir={tmp_path / 'cache'}"]


def test_data_is_copied_once_and_again_when_it_has_changed(bucket: Bucket, tmp_path: Path) -> None:
    config = pin_paths(load([], settings(tmp_path, "team/shop")))
    train, val, test = build_pipeline(config.data).prepare()
    assert (len(train), len(val), len(test)) == (114, 14, 14) and isinstance(test[0].source, Path)
    copies = tmp_path / "cache" / "remote"
    before = [(path, path.stat().st_mtime_ns) for path in sorted(copies.rglob("*"))]
    build_pipeline(config.data).prepare()
    assert [(path, path.stat().st_mtime_ns) for path in sorted(copies.rglob("*"))] == before
    lines = (tmp_path / "cache" / "remote" / next(copies.iterdir()).name / "shop" / "val.jsonl").read_bytes()
    bucket.client.put_object(Bucket=BUCKET, Key="team/shop/val.jsonl", Body=b"".join(lines.splitlines(True)[:-1]))
    assert len(build_pipeline(config.data).prepare()[1]) == 13
    assert len(list(copies.iterdir())) == 2 and not list(copies.glob(".tmp-*"))


def test_a_model_is_found_there_and_is_the_same_base(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "CACHE", tmp_path / "models")
    local = base.find_base(load([], [f"model.name={save_tiny_model(tmp_path / 'tiny')}"]).model)
    there = base.find_base(load([], [f"model.name=s3://{BUCKET}/team/tiny"]).model)
    assert there.fingerprint == local.fingerprint and there.directory.is_relative_to(tmp_path / "models")


def test_what_cannot_be_read_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=f"^s3://{BUCKET}/team/shoppe: there is nothing$"):
        build_pipeline(load([], settings(tmp_path, "team/shoppe")).data)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(SetupError, match=r"s3://.*are the store's credentials and region set\?$"):
        build_pipeline(load([], settings(tmp_path, "team/shop")).data)
    assert not (tmp_path / "cache").exists() or not list((tmp_path / "cache").rglob("*.jsonl"))
