"""How much memory this machine, or the container that it is, can still give."""

from __future__ import annotations

from pathlib import Path

_CGROUP = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def available_memory() -> int:
    """Bytes of RAM: what Linux calls available, or what a container's limit leaves."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text("utf-8").splitlines())
    free = [int(fields["MemAvailable"].split()[0]) * 1024]
    for limit, used in _CGROUP:
        if Path(limit).is_file() and (most := Path(limit).read_text("utf-8").strip()) != "max":
            free.append(int(most) - int(Path(used).read_text("utf-8")))
    return max(0, min(free))
