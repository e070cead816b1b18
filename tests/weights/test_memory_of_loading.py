"""How much memory loading takes: never more than the file's size and a tenth, mapped pages included."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import re, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from torch import nn
from flashdreams.io.weights import load_weights

kind, path, stored, wanted, tensors, rows = *sys.argv[1:5], *map(int, sys.argv[5:])


def network(count):
    return nn.Sequential(*(nn.Linear(rows, rows, bias=False) for _ in range(count)))


def status(field):
    return 1024 * int(re.search(rf"{field}:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])


def make():
    weight = torch.randn(rows, rows).to(getattr(torch, stored))
    random = {f"{n}.weight": weight.clone() for n in range(tensors)}
    if path.endswith(".safetensors"):
        save_file(random, path)
    else:
        torch.save(random, path, _use_new_zipfile_serialization="legacy" not in path)


def load():
    with torch.device("meta"):
        module = network(tensors).to(getattr(torch, wanted))
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the imports
    load_weights(module, path, device="cpu")
    for parameter in module.parameters():
        parameter.view(torch.uint8).flatten()[::512].sum()  # every page of it is used
    print(status("VmHWM") - before)


{"make": make, "load": load}[kind]()
"""


def peak(path, stored, wanted, tensors, rows):
    """Bytes that loading and using a file of random weights adds, and the bytes of the file."""

    def python(kind):
        command = [sys.executable, "-c", SCRIPT, kind, str(path), stored, wanted, str(tensors), str(rows)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    python("make")
    try:
        return int(python("load")), path.stat().st_size
    finally:
        path.unlink()


CASES = [
    ("w.safetensors", "bfloat16", "bfloat16"),
    ("w.safetensors", "float32", "bfloat16"),
    ("w.pth", "bfloat16", "bfloat16"),
    ("w.pth", "float32", "bfloat16"),
    ("legacy.pth", "float32", "bfloat16"),
]
pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measured on Linux alone")


@pytest.mark.parametrize(("name", "stored", "wanted"), CASES[1:4:2])
def test_a_tenth_of_a_gigabyte(tmp_path, name, stored, wanted):
    taken, size = peak(tmp_path / name, stored, wanted, 50, 707)
    assert taken <= 1.1 * size
    assert taken <= 0.75 * size, "half of it is what is kept"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "stored", "wanted"), CASES)
def test_nearly_three_gigabytes(tmp_path, name, stored, wanted):
    tensors = 2_800_000_000 // 5120**2 // (4 if stored == "float32" else 2)
    taken, size = peak(tmp_path / name, stored, wanted, tensors, 5120)
    print(f"{name} of {size / 1e9:.2f} GB, {stored} to {wanted}: {taken / size:.3f} of its size")
    assert 0.45 * size <= taken <= 1.1 * size
