import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from flashdreams.infra.pipeline import StreamInferencePipeline
from flashdreams.testing.toy import toy_pipeline_config

torch.set_num_threads(1)


@pytest.fixture
def toy() -> StreamInferencePipeline:
    return toy_pipeline_config().setup()


@pytest.fixture
def unpack_wheel(tmp_path_factory):
    """Builds the wheel of a project and unpacks it into a folder, as an installation would."""

    def unpack(project: Path, site: Path) -> None:
        out = tmp_path_factory.mktemp("wheel")
        line = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out]
        done = subprocess.run(line, cwd=project, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        (wheel,) = out.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)

    return unpack
