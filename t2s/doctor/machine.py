"""The machine: device and precision, memory against the configuration, room on its disks."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from t2s.doctor.check import SAMPLE, Check, Subject, failed, passed, warned

MIN_FREE_GB = 5
FULL = 0.95
"""Share of a disk at which Ray refuses to write objects there (its ``local_fs_capacity_threshold``)."""
MIN_SHM = 1 << 30


def device(subject: Subject) -> Check:
    """The device, its precision, and GPUs that torch does not see."""
    from t2s.model.precision import pick_device, resolve_precision
    from t2s.track.files import describe_environment

    config = subject.config
    found = pick_device(config.training.use_gpu)
    precision = resolve_precision(config.training.precision, found)
    gpus = describe_environment()["gpus"]
    if found.type == "cpu" and gpus and config.training.use_gpu is not False:
        return warned(f"{len(gpus)} GPU(s) here ({gpus[0]}), and torch sees none", _unseen())
    if found.type == "cpu" and "7b" in config.model.name.lower():
        cure = "use a GPU, or a small model: -c configs/smollm2-135m.yaml"
        return warned(f"{config.model.name} on a CPU takes days", cure)
    return passed(f"{found.type}, {precision}{f', {gpus[0]}' if found.type == 'cuda' and gpus else ''}")


def _unseen() -> str:
    import torch

    if torch.version.cuda is None:
        return f"torch {torch.__version__} is the CPU build: install the one for CUDA (pytorch.org/get-started)"
    if os.environ.get("CUDA_VISIBLE_DEVICES") is not None:
        return f"CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']} hides them: unset it"
    return f"torch is built for CUDA {torch.version.cuda}: update the driver, or install torch for an older CUDA"


def memory(subject: Subject) -> Check:
    """What a worker will need by the estimate of ``t2s train --dry-run``, on a sample of the examples."""
    from t2s.train.estimate import estimate, settle_checkpointing
    from t2s.train.launch import prepare_texts
    from t2s.train.place import look

    config = subject.config
    most = min(config.training.max_train_samples or SAMPLE, SAMPLE)
    sampled = config.training.model_copy(update={"max_train_samples": most, "max_val_samples": 8, "eval_ex_samples": 0})
    sampled = sampled.model_copy(update={"metric_for_best": None})
    config = config.model_copy(update={"training": sampled})
    place = look(config)
    found = estimate(config, prepare_texts(config, subject.splits)[0], place, subject.base)
    decided, _ = settle_checkpointing(config, found, place)
    on = decided.training.gradient_checkpointing is True
    needs = found.memory(on)
    text = (
        f"about {needs / 1e9:.1f} GB a worker{' with gradient checkpointing' if on else ''}, "
        f"{place.memory / 1e9:.1f} GB free on {place.name}"
    )
    cure = "lower training.batch_size or training.max_length, or use a smaller base"
    if found.memory(True) > place.memory:
        return failed(text, cure)
    return warned(text, cure) if needs > place.memory else passed(text)


def disk(subject: Subject) -> Check:
    """Room where runs, caches and Ray's files go, and the shared memory that Ray wants."""
    config = subject.config
    places = {
        "output_dir": config.output_dir,
        "data.cache_dir": config.data.cache_dir,
        "Ray's files": Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()),
    }
    said = {}
    for name, wanted in places.items():
        place = next(parent for parent in (wanted, *wanted.parents) if parent.exists())
        usage = shutil.disk_usage(place)
        if not os.access(place, os.W_OK):
            return failed(f"{name}: {place} cannot be written", "set it to a directory of yours, or change its owner")
        if usage.used / usage.total > FULL and name == "Ray's files":
            return failed(f"{place} is over {FULL:.0%} full: Ray writes nothing there", "free some, or set RAY_TMPDIR")
        if usage.free / 1e9 < MIN_FREE_GB:
            found = f"{usage.free / 1e9:.1f} GB free at {place} ({name})"
            return warned(found, f"free some space: a run wants {MIN_FREE_GB} GB")
        said[usage.free, usage.total] = f"{usage.free / 1e9:.0f} GB free at {place}"
    shm = Path("/dev/shm")
    if shm.is_dir() and shutil.disk_usage(shm).total < MIN_SHM:
        found = f"/dev/shm has {shutil.disk_usage(shm).total / 1e6:.0f} MB: Ray keeps its objects on the disk, slowly"
        return warned(found, "give the container more: --shm-size=2g, or an emptyDir of medium Memory")
    return passed(", ".join(said.values()))
