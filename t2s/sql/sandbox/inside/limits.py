"""Layer 5 from inside: what the kernel lets this process use. Not covered: reading files, the network."""

from __future__ import annotations

import math
import resource
from pathlib import Path


def limit_process(memory_bytes: int, on_top: bool) -> None:
    """No files, no processes, no core dumps, and so much memory; ``on_top`` of what is mapped already.

    The number of processes is not limited for root, whom the kernel exempts.
    """
    wanted = {
        resource.RLIMIT_AS: memory_bytes + (_mapped_bytes() if on_top else 0),
        resource.RLIMIT_DATA: memory_bytes,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: 64,
    }
    for kind, value in wanted.items():
        try:
            resource.setrlimit(kind, (value, value))
        except (ValueError, OSError):
            # macOS knows RLIMIT_AS but refuses to set it; the other limits stand.
            continue


def limit_cpu(seconds: float) -> None:
    """Let this process burn ``seconds`` more, rounded up; the kernel kills it then."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(used.ru_utime + used.ru_stime + seconds) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _mapped_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        # No /proc (macOS), where the limit cannot be set either.
        return 0
    return pages * resource.getpagesize()
