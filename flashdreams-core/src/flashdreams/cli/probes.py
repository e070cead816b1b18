"""What ``flashdreams doctor`` looks at. Each probe is called in a try of its own; none changes anything."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from flashdreams.infra.device import available_devices
from flashdreams.plugins.needs import missing
from flashdreams.plugins.registry import installed_registry

PACKAGES = (
    "flashdreams-core",
    "torch",
    "triton",
    "numpy",
    "safetensors",
    "huggingface_hub",
    "av",
    "tyro",
    "pluggy",
)
_DTYPES = ("float32", "bfloat16", "float16")
_GIB = 2**30


def machine() -> dict[str, str]:
    """The machine and its Python."""
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu cores": str(os.cpu_count()),
        "python": f"{platform.python_version()}, {sys.executable}",
    }


def versions() -> dict[str, str]:
    """Versions of what matters, from metadata."""
    return {package: _version(package) for package in PACKAGES}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def devices() -> dict[str, str]:
    """The devices that torch can compute on, the fastest first."""
    return {name: _device(name) for name in available_devices()}


def _device(name: str) -> str:
    import torch

    if name == "cpu":
        return f"{torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"
    if not name.startswith("cuda"):
        return "Apple GPU"
    gpu = torch.cuda.get_device_properties(name)
    memory = f"{gpu.total_memory / _GIB:.1f} GiB"
    return f"{gpu.name}, {memory}, compute capability {gpu.major}.{gpu.minor}"


def dtypes() -> dict[str, str]:
    """The dtypes in which each kind of device can multiply matrices: it is tried."""
    return {
        device: ", ".join(dtype for dtype in _DTYPES if _multiplies(device, dtype)) or "none"
        for device in _kinds()
    }


def _kinds() -> list[str]:
    return list(dict.fromkeys(name.partition(":")[0] for name in available_devices()))


def _multiplies(device: str, dtype: str) -> bool:
    import torch

    try:
        square = torch.ones(8, 8, device=device, dtype=getattr(torch, dtype))
        return bool((square @ square).sum() == 512)
    except RuntimeError:
        return False


def attention() -> dict[str, str]:
    """The attention backends: which can run on each kind of device, which one is taken, and why.

    A GPU is asked for bfloat16, and all for heads of 128 channels, as Wan's are.
    """
    import torch

    from flashdreams.core.attention import BackendStatus, backend_report

    def verdict(backend: BackendStatus) -> str:
        if backend.unavailable is not None:
            return backend.unavailable
        return f"runs{' (auto)' if backend.is_auto else ''}, {backend.reason}"

    reports = {
        device: backend_report(device, torch.bfloat16 if device == "cuda" else torch.float32, head_dim=128)
        for device in _kinds()
    }
    return {
        f"{device} {backend.name}": verdict(backend)
        for device, report in reports.items()
        for backend in report
    }


def disk() -> dict[str, str]:
    """Free space where outputs, temporary files and downloads go."""
    places = {
        "outputs": Path.cwd(),
        "temporary files": Path(tempfile.gettempdir()),
        "downloads": _downloads(),
    }
    return {f"{use}, {place}": f"{_free_bytes(place) / _GIB:.1f} GiB" for use, place in places.items()}


def _downloads() -> Path:
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except ImportError:
        return Path.home()
    return Path(HF_HUB_CACHE)


def _free_bytes(place: Path) -> int:
    there = next(folder for folder in (place, *place.parents) if folder.exists())
    return shutil.disk_usage(there).free


def slugs() -> dict[str, dict[str, Any]]:
    """Whether each slug can run here, and why not."""
    registry = installed_registry()
    verdicts = {}
    for runner in registry.runners():
        reasons = missing(runner.spec.needs) + [fault.reason for fault in registry.check([runner])]
        verdicts[runner.spec.slug] = {"runs": not reasons, "reasons": reasons}
    return verdicts


def import_name() -> dict[str, str]:
    """Who owns the import name ``flashdreams``: it should be flashdreams-core alone."""
    import flashdreams

    found = {"imported from": str(Path(flashdreams.__file__ or "").parent)}
    for other in other_owners():
        remedy = f"pip uninstall {other}, then install flashdreams-core again"
        found[other] = f"{_version(other)} installs files of the same name over ours: {remedy}"
    return found


def other_owners() -> list[str]:
    """Distributions beside flashdreams-core that install the import name ``flashdreams``."""
    owners = set(metadata.packages_distributions().get("flashdreams", []))
    if _version("flashdreams") != "not installed":
        owners.add("flashdreams")  # an editable installation lists no files
    return sorted(owners - {"flashdreams-core"})


def plugins() -> dict[str, str]:
    """Plugins that failed, and names that several claim."""
    return {"broken": "; ".join(installed_registry().problems()) or "none"}


PROBES: dict[str, Callable[[], dict[str, Any]]] = {
    "machine": machine,
    "versions": versions,
    "import name": import_name,
    "devices": devices,
    "dtypes": dtypes,
    "attention backends": attention,
    "free disk": disk,
    "slugs": slugs,
    "plugins": plugins,
}
"""What is looked at, in the order in which it is shown."""
