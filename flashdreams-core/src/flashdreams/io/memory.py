"""Memory of this machine: what there is, what is free, and what this process holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_ROOT = Path("/")


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be allocated on ``device``; None where the machine does not say.

    A GPU is asked, which starts its driver in this process.
    """
    import torch

    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return free_host_memory() if device.type == "cpu" else None


def free_host_memory(root: Path = _ROOT) -> int | None:
    """Bytes that Linux can give without swapping, within the limits of this process's control groups.

    Args:
        root: Where ``/proc`` and ``/sys`` are.
    """
    return _least([_meminfo(root, "MemAvailable"), *(limit - held for limit, held in _limits(root))])


def total_host_memory(root: Path = _ROOT) -> int | None:
    """Bytes of this machine's memory, or of what the control groups of this process allow of it."""
    return _least([_meminfo(root, "MemTotal"), *(limit for limit, _ in _limits(root))])


def resident_memory(root: Path = _ROOT) -> int | None:
    """Bytes of this process that are in memory now, libraries included; None where there is no ``/proc``."""
    return _kib(_read(root / "proc/self/status"), "VmRSS")


def most_resident_memory(root: Path = _ROOT) -> int | None:
    """The most bytes of this process that were in memory at once; None where there is no ``/proc``."""
    return _kib(_read(root / "proc/self/status"), "VmHWM")


def binary(size: float) -> str:
    """A number of bytes for people, in the units in which memory is sold: ``5.62 GiB``, ``48.0 MiB``."""
    for unit, scale, digits in (("GiB", 2**30, 2), ("MiB", 2**20, 1)):
        if size >= scale:
            return f"{size / scale:.{digits}f} {unit}"
    return f"{size / 2**10:.1f} KiB"


def _least(found: list[int | None]) -> int | None:
    return min((count for count in found if count is not None), default=None)


def _meminfo(root: Path, name: str) -> int | None:
    return _kib(_read(root / "proc/meminfo"), name)


def _kib(text: str, name: str) -> int | None:
    """The value of a line such as ``MemTotal:  16 kB``, in bytes."""
    for line in text.splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None


def _limits(root: Path) -> Iterator[tuple[int, int]]:
    """Limit and use of each control group around this process that has a limit, in bytes.

    Files that the kernel keeps in memory and can drop at once do not count as used.
    """
    for folder, limit, use, cache in _groups(root):
        text, held = _read(folder / limit).strip(), _read(folder / use).strip()
        if text.isdecimal() and held.isdecimal():
            yield int(text), max(0, int(held) - _statistic(_read(folder / "memory.stat"), cache))


def _groups(root: Path) -> Iterator[tuple[Path, str, str, str]]:
    """Folders of the control groups, of both versions of Linux's interface, and the names of their files."""
    mounted = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            names = ("memory.max", "memory.current", "inactive_file")
            yield from ((folder, *names) for folder in _upwards(mounted, path))
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from ((folder, *names) for folder in _upwards(mounted / "memory", path))


def _upwards(mounted: Path, path: str) -> list[Path]:
    """The folder of a group and of all groups around it. In a container only the outermost may exist."""
    parts = Path(path.lstrip("/")).parts
    return [mounted.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]


def _statistic(text: str, name: str) -> int:
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} ")), 0)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
