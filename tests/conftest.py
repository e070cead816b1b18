import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from flashdreams.infra.pipeline import StreamInferencePipeline
from flashdreams.testing.toy import toy_pipeline_config

torch.set_num_threads(1)


@pytest.fixture
def toy() -> StreamInferencePipeline:
    return toy_pipeline_config().setup()
