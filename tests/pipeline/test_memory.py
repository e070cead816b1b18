"""Memory does not grow with the length of a rollout."""

import subprocess
import sys

import pytest

PROGRAM = """
import gc, sys
import torch
torch.set_num_threads(1)
{build}

def resident_kib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

rollout = pipeline.initialize_cache()
seen = []
for index in range(2001):
    pipeline.generate(index, rollout, input={control})
    pipeline.finalize(index, rollout)
    if index in (200, 2000):
        gc.collect()
        seen.append(resident_kib())
print(seen[1] - seen[0])
"""
TOY = (
    "from flashdreams.testing.toy import toy_pipeline_config\npipeline = toy_pipeline_config().setup()",
    "0.5",
)
POCKET = (
    "import flashdreams\npipeline = flashdreams.load('pocket-racer', device='cpu')",
    "(0.0, 0.5, 0.0)",
)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("build", "control"), [pytest.param(*POCKET, marks=pytest.mark.slow), TOY])
def test_resident_memory_is_flat_from_chunk_200_to_2000(build, control):
    program = PROGRAM.format(build=build, control=control)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    grown_kib = int(result.stdout)
    assert grown_kib < 2 * 1024
